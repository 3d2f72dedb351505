"""Two years of a desk under a calendar that is moved, and the book that they leave for its node."""

from __future__ import annotations

import json
from collections import Counter as Tally
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from support.counter import BAD, GOOD, MIDDLING, Counter, PlainRules, counter
from support.effort import effort
from support.world import pseudonym, schema_of

from clients.data.book import open_source
from credit.metrics import quality
from demo.campaigns import budget_of, planned
from demo.loop_report import arrears, loop_figures, loop_pictures, vintage_triangle
from demo.progress import closed
from demo.repaying import ASKED_BEFORE, EXTENSION_DAYS, course
from demo.result import Comparison, Loop, Retrained, Settings, YearsLived
from demo.retraining import BOOKS, read_own_loans
from demo.two_years import Branch, Calendar, live
from desk.commands.book import book_standing
from desk.commands.export_book import BookWritten, export_book
from desk.office import Transactions
from desk.sources import About, Reading, Sources
from desk.storage.tables import account_events, loans
from law.categories import DataCategory
from lending.account.default import Definition
from lending.account.extension import ExtensionAnswer
from privacy.accounting import epsilon_of
from privacy.mechanism import Audience
from protocol.errors import Malformed

FIRST = date(2026, 11, 30)
days = st.integers(1, 40)


class Rules(PlainRules):
    """Nothing is extended."""

    def extension(self, product, account, asked):
        return ExtensionAnswer(("too-long",), None, None)


class Customers:
    """A source that knows how often each person paid late, and when that ended."""

    about = About("book", DataCategory.REPAYMENT, ("late",))

    def __init__(self, late: dict[str, int]) -> None:
        self._late = late

    def ask(self, inquiry):
        return {"late": Reading(self._late[inquiry.pseudonym], FIRST - timedelta(days=100))}


def branch_of(desk: Counter, late: list[int], bad: list[bool]) -> tuple[Branch, Calendar]:
    people = [pseudonym() for _ in late]
    calendar = Calendar(desk.clock())
    calendar.move_to(FIRST, desk.desk.ways.timezone)
    desk.desk.transactions = Transactions(desk.desk.transactions.database, calendar)
    desk.desk.sources = Sources([Customers(dict(zip(people, late, strict=True))), desk.income])
    desk.desk.lending = Rules()
    table = pd.DataFrame({"pseudonym": people, "income": 6000.0, "bad": bad})
    return Branch(desk.desk, table, seed=8), calendar


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Branch]:
    """Of twenty people, eight turn out bad; one is declined, one looked at."""
    late = [GOOD] * 18 + [BAD, MIDDLING]
    with counter(tmp_path_factory.mktemp("lived") / "desk.db") as desk:
        branch, calendar = branch_of(desk, late, [True] * 8 + [False] * 12)
        live(branch, calendar, 60, steps=15)
        yield branch


def booked(branch: Branch) -> Tally[str]:
    with branch.desk.reading() as hand:
        return Tally(hand.connection.scalars(select(account_events.c.kind)))


def test_the_desk_lives_through_its_calendar_and_nobody_comes_who_owes(lived: Branch):
    assert lived.today == FIRST + timedelta(weeks=60)
    assert lived.decided.total() == 60 and lived.decided["offered"] > 30
    assert lived.decided["declined"] and lived.decided["in-review"]
    kinds = booked(lived)
    assert kinds["repaid"] > 20 and kinds["charged-off"] and kinds["recovered"]
    with lived.desk.reading() as hand:
        rows = hand.connection.execute(select(loans).order_by(loans.c.number)).all()
    spans: dict[str, date] = {}
    for row in rows:
        assert spans.get(row.pseudonym, date.min) < row.disbursed_on
        spans[row.pseudonym] = row.disbursed_on + timedelta(days=14)
    assert len(rows) > len(spans), "some come back"


def test_a_persons_fate_is_the_tables_and_no_score(lived: Branch):
    worst = dict.fromkeys((True, False), 0)
    standing = book_standing(lived.desk, lived.today)
    turned = dict(zip(lived.customers["pseudonym"], lived.customers["bad"], strict=True))
    with lived.desk.reading() as hand:
        gone = select(loans.c.pseudonym).join(account_events, account_events.c.loan == loans.c.id)
        for name in hand.connection.scalars(gone.where(account_events.c.kind == "charged-off")):
            worst[turned[name]] += 1
    assert worst[True] > worst[False]
    assert sum(one.curve[-1].bad for one in standing.vintages if one.curve) > 0


def test_arrears_and_vintages_are_those_of_the_accounts(lived: Branch):
    standing = book_standing(lived.desk, lived.today)
    assert standing.loans == sum(one.loans for one in standing.vintages)
    assert [sum(of.values()) for of in standing.arrears.values()] == sorted(
        sum(of.values()) for of in standing.arrears.values()
    ), "no loan leaves the book"
    last = standing.arrears[lived.today]
    assert last["settled"] and last["charged-off"] and sum(last.values()) == standing.loans
    ends = list(standing.arrears)[:-1]
    assert all((end + timedelta(days=1)).day == 1 for end in ends)
    oldest, youngest = standing.vintages[0], standing.vintages[-1]
    assert len(oldest.curve) > len(youngest.curve)
    compared = standing.at(6)
    assert oldest.month in compared and youngest.month not in compared
    assert compared[oldest.month].bad == oldest.curve[6].bad
    with pytest.raises(Malformed, match="still to come"):
        book_standing(lived.desk, lived.today + timedelta(days=1))
    assert book_standing(lived.desk, FIRST).figures(3)["at"]["vintages"] == {}


def test_a_node_reads_the_latest_loan_of_each_and_whom_there_is_no_loan_of_as_before(lived: Branch, tmp_path: Path):
    schema = schema_of(
        {"name": "late", "kind": "integer", "category": "repayment", "adverse": True, "ended_by": "late_ended",
         "clean": 0, "retention_days": 700},
        outcome_ended_by="bad_ended",
    )  # fmt: skip
    home, book = tmp_path / "node", tmp_path / "own-loans.parquet"
    home.mkdir()
    written = export_book(lived.desk, schema, Definition(180), lived.today, book)
    own = pd.read_parquet(book)
    assert len(own) == written.rows > own["pseudonym"].nunique()
    assert set(own["late_ended"]) == {FIRST - timedelta(days=100)}
    stranger = pseudonym()
    people = [*lived.customers["pseudonym"], stranger]
    before = pd.DataFrame({"pseudonym": people, "late": 7, "late_ended": FIRST, "bad": 1, "bad_ended": FIRST})
    before.to_parquet(home / "book.parquet")
    years = YearsLived("aspen", FIRST, lived.today, {}, {}, book_standing(lived.desk, FIRST), book, written)
    counted = read_own_loans(home, years)
    assert counted == (own["pseudonym"].nunique(), len(people) - own["pseudonym"].nunique())
    assert all(path.stat().st_mode & 0o077 == 0 for path in (home / BOOKS).glob("*.parquet"))
    source = open_source(home)
    read = pd.concat(source.rows(people, schema)).sort_index()
    assert list(read.index) == list(range(len(people))), "one row of each"
    latest = own.sort_values("disbursed_on").groupby("pseudonym").last()
    for at, name in enumerate(people):
        row = read.loc[at]
        expected = (latest.loc[name, "late"], latest.loc[name, "bad"]) if name in latest.index else (7, 1)
        assert (row["late"], row["bad"]) == expected


def test_who_has_two_loans_has_two_rows_and_no_node_guesses_which_one_is_meant(lived: Branch, tmp_path: Path):
    schema = schema_of({"name": "late", "kind": "integer", "category": "repayment"})
    export_book(lived.desk, schema, Definition(180), lived.today, tmp_path / "rows.parquet")
    people = sorted(set(pd.read_parquet(tmp_path / "rows.parquet")["pseudonym"]))
    described = 'kind = "parquet"\npath = "rows.parquet"\nperson = "pseudonym"\n'
    (tmp_path / "data.toml").write_text(described, encoding="utf-8")
    once = pd.concat(open_source(tmp_path).rows(people, schema))
    (tmp_path / "data.toml").write_text(described + 'latest_by = "disbursed_on"\n', encoding="utf-8")
    latest = pd.concat(open_source(tmp_path).rows(people, schema))
    assert len(latest) == len(people) > len(once)


def test_pictures_and_figures_of_the_loop_name_nobody(lived: Branch):
    standing = book_standing(lived.desk, lived.today)
    labels, probability = np.array([0, 1, 0, 1]), np.array([0.1, 0.6, 0.4, 0.3])
    measured = quality(labels, probability)
    years = YearsLived("aspen", FIRST, lived.today, dict(lived.decided), {}, standing, Path(), BookWritten(3, {}))
    again = Retrained(SimpleNamespace(sha256="a" * 64), Path(), 3, 4, 0.9, 1.5, probability, measured, None)  # type: ignore[arg-type]
    both = {"consortium": probability}
    loop, compared = Loop(years, again), Comparison(both, {"consortium": measured})
    said = json.dumps(loop_figures(loop, compared)) + closed(loop, compared)
    pictures = loop_pictures(loop, labels, both)
    assert set(pictures) == {"vintages", "arrears", "again"}
    assert all(text.startswith("<svg") for text in pictures.values())
    for vintage in standing.vintages:
        assert not vintage.curve or f"{vintage.curve[-1].bad} of {vintage.loans}" in pictures["vintages"]
    for name in lived.customers["pseudonym"]:
        assert name not in said + "".join(pictures.values())


def test_a_book_without_loans_stands_too(desk: Counter):
    standing = book_standing(desk.desk, desk.desk.day(desk.clock()))
    assert (standing.loans, standing.arrears, standing.vintages) == (0, {}, ())
    assert vintage_triangle(standing).startswith("<svg") and arrears(standing).startswith("<svg")


@settings(max_examples=effort(200, 60), deadline=None)
@given(st.lists(days, min_size=1, max_size=3), st.booleans(), st.integers(0, 2**31))
def test_what_somebody_does_with_a_loan_is_in_order_and_ends(gaps: list[int], bad: bool, seed: int):
    dues, day = [], FIRST
    for gap in gaps:
        day += timedelta(days=gap)
        dues.append(day)
    acts = course(dues, bad, np.random.default_rng(seed))
    kinds = [one.kind for one in acts]
    assert acts == sorted(acts, key=lambda one: one.day)
    assert acts == course(dues, bad, np.random.default_rng(seed))
    assert kinds[-1] in {"pays", "written-off", "recovers"}
    if "written-off" in kinds:
        gone = acts[kinds.index("written-off")]
        assert gone.day >= dues[0] + timedelta(days=150), "long after anybody calls it bad"
        assert set(kinds[kinds.index("written-off") + 1 :]) <= {"recovers"}
    else:
        assert acts[-1].day >= dues[-1], "all of it is paid, at the end or later"
    if "extends" in kinds:
        assert (acts[0].day, acts[1].day) == (dues[0] - ASKED_BEFORE, dues[0] + timedelta(EXTENSION_DAYS))


def test_those_who_were_bad_in_the_table_stop_paying_far_more_often():
    rng = np.random.default_rng(1)
    dues = [FIRST + timedelta(days=30)]
    stopped = {
        bad: np.mean([course(dues, bad, rng)[-1].day > dues[0] + timedelta(days=90) for _ in range(2000)])
        for bad in (False, True)
    }
    assert stopped[False] < 0.05 < 0.7 < stopped[True]


@pytest.mark.parametrize("epsilon", [0.5, 4.0])
def test_two_campaigns_fit_into_the_budget_and_a_third_does_not(epsilon: float):
    asked = Settings(SimpleNamespace(), Path(), 4, epsilon, 8, "scorecard", 1e-5)  # type: ignore[arg-type]
    budget = budget_of(asked, 2)
    charges = {audience: planned(asked).charges(audience) for audience in Audience}
    for one in Audience:
        for other in Audience:
            assert epsilon_of(charges[one] + charges[other], budget.delta) <= budget.epsilon
            third = charges[one] + charges[other] + min(charges.values(), key=lambda c: epsilon_of(c, 1e-5))
            assert epsilon_of(third, budget.delta) > budget.epsilon
    assert budget_of(asked, 1).epsilon == epsilon


def test_how_the_book_stands_is_told_from_the_command_line(monkeypatch, lived: Branch, tmp_path: Path):
    from contextlib import nullcontext

    from tahini import main

    monkeypatch.setattr("desk.home.opened_desk", lambda home: nullcontext(lived.desk))
    said = CliRunner().invoke(main, ["desk", "book", "--home", str(tmp_path), "--at", "6", "--json"])
    assert said.exit_code == 0, said.output
    found = json.loads(said.stdout)
    assert found == book_standing(lived.desk, lived.today).figures(6)
    plain = CliRunner().invoke(main, ["desk", "book", "--home", str(tmp_path), "--by", "weeks"])
    assert plain.exit_code == 0 and f"{found['loans']} loans" in plain.stdout and "bad after" in plain.stdout
