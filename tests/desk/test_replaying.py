"""Every decision comes out again by what it was made with, whatever was installed since; where it cannot, that is
told."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select
from support.counter import Counter, StandInSource, counter
from support.effort import slow
from support.lending_house import PROFILES, USUAL, home_day, released, released_policy
from support.world import pseudonym

from crypto.keys import write_secret
from desk.commands.apply import LoanWanted, apply
from desk.commands.replay import Replayed, Replaying, replay
from desk.errors import RulesMissing
from desk.home import DATABASE_FILE, KEY_FILE
from desk.lending_rules import ReleasedRules, feature_law
from desk.records import StoredDecision, held
from desk.rulebook import Rulebook
from desk.sealing import ApplicationKey
from desk.sources import About, Sources
from desk.storage.tables import rules
from law.categories import DataCategory
from lending.law.rows import LAWS
from lending.policy.document import policy_from
from lending.policy.pricing import ProductPricing
from lending.records import case_json, decision_json
from tahini import main

ROW = """
[[row]]
key = "lpr.1y"
value = "0.0295"
from = 2026-11-20
article = "LPR of November 2026"
source = "a test"
verified = false
"""


@pytest.fixture
def lender(tmp_path: Path) -> Iterator[Counter]:
    """A desk with real rules, whose sources know ``USUAL`` and a good profile of everybody."""
    write_secret(tmp_path / KEY_FILE, b"k" * 32)
    with counter(tmp_path / DATABASE_FILE) as found:
        found.desk.lending = released(tmp_path)
        found.desk.sources = Sources(
            [
                StandInSource(About("bureau", DataCategory.BUREAU, tuple(USUAL)), dict(USUAL)),
                StandInSource(About("book", DataCategory.REPAYMENT, tuple(PROFILES[0])), dict(PROFILES[0])),
            ]
        )
        yield found


def decided(lender: Counter, late: int = 0, term_days: int = 30) -> str:
    """One more decision of a machine."""
    lender.desk.sources.sources[1].values["late"] = late  # type: ignore[attr-defined]
    product = "daily-30" if term_days == 30 else "monthly-12"
    applied = apply(lender.desk, LoanWanted(pseudonym(), product, 300_000, term_days, "shopping"))
    assert applied.made is not None
    return applied.application


def replayed(lender: Counter) -> Replayed:
    """By somebody who has just opened the database."""
    here, found = Replaying(lender.desk.transactions.database, lender.desk.at_rest), Replayed()
    for numbers in here.spans:
        found.add(here.span(numbers))
    return found


def installed(lender: Counter, **changes: Any) -> ReleasedRules:
    """Something else is released to the desk, as after a restart."""
    now = lender.desk.lending
    assert isinstance(now, ReleasedRules)
    lender.desk.lending = replace(now, **changes)
    lender.desk.kept_rules.clear()
    return lender.desk.lending


def test_decisions_come_out_again_after_everything_has_changed(lender: Counter, tmp_path: Path):
    first = lender.desk.lending
    assert isinstance(first, ReleasedRules) and first.model is not None
    ids = [decided(lender, late, term) for late in (0, 6) for term in (30, 365)]
    outcomes = {lender.call("reader", "GET", f"/v1/applications/{one}").json()["decision"]["outcome"] for one in ids}
    assert outcomes == {"approve", "decline"}
    dearer = {
        name: one.model_copy(update={"rates": one.rates.model_copy(update={"most": 200})})
        for name, one in first.pricing.products.items()
    }
    other_means = {name: mean - 7.25 for name, mean in first.model.reference.points.items()}
    other = released(tmp_path, tilt=1.5)
    document = released_policy(500, version=2, offer_days=3)
    for changes in (
        {"pricing": ProductPricing(first.pricing.products, LAWS.with_rows("CN", ROW))},
        {"pricing": ProductPricing(dearer, LAWS)},
        {"policies": [policy_from(document, feature_law(LAWS), home_day())]},
        {"model": replace(first.model, reference=replace(first.model.reference, points=other_means))},
        {"model": other.model},
        {"exploration_key": os.urandom(32)},
        {"model": None},
    ):
        before, after = lender.desk.lending, installed(lender, **changes)
        assert before.versions("daily-30", home_day()) != after.versions("daily-30", home_day())
        decided(lender, late=6)
        decided(lender, term_days=365)
        found = replayed(lender)
        assert (found.same, found.sound) == (found.seen, True), found
    assert found.same == 4 + 7 * 2


def test_rules_are_read_as_they_were(lender: Counter):
    application = decided(lender)
    with lender.desk.reading() as hand:
        case = held(hand.connection, application).made(lender.desk).case
    given = lender.desk.lending
    assert isinstance(given, ReleasedRules) and given.model is not None
    read = Rulebook(lender.desk.transactions.database, lender.desk.at_rest).of(case)
    assert read.exploration_key == given.exploration_key and read.pricing.laws.rows == LAWS.rows
    assert read.pricing.products == given.pricing.products
    assert read.model is not None and read.model.reference == given.model.reference
    assert read.versions("daily-30", home_day()) == given.versions("daily-30", home_day())


def test_what_is_secret_is_sealed(lender: Counter, tmp_path: Path):
    decided(lender)
    with lender.desk.reading() as hand:
        kept = {row.kind: row.content for row in hand.connection.execute(select(rules))}
    assert sorted(kept) == ["exploration", "law", "model", "policy", "release"]
    assert lender.desk.lending.exploration_key not in kept["exploration"]  # type: ignore[attr-defined]


def altered(lender: Counter, statement: str, *values: Any) -> None:
    """Somebody opens the database with another program, and takes the triggers away first."""
    with lender.desk.transactions.database.write() as connection:
        for table in ("rules", "decisions", "applications", "offers"):
            for name in (f"{table}_kept", f"{table}_stand"):
                connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
        connection.exec_driver_sql(statement, values)


@pytest.mark.parametrize("kind", ["model", "policy", "law", "release", "exploration"])
def test_a_decision_whose_rules_are_gone_is_counted_and_not_passed_over(lender: Counter, tmp_path: Path, kind: str):
    decided(lender)
    altered(lender, "DELETE FROM rules WHERE kind = ?", kind)
    found = replayed(lender)
    assert (found.same, found.not_replayed, found.sound) == (0, {f"{kind}-missing": 1}, False)
    told = CliRunner().invoke(main, ["desk", "replay", "--home", str(tmp_path), "--processes", "1", "--json"])
    assert (told.exit_code, json.loads(told.stdout)["not_replayed"]) == (1, {f"{kind}-missing": 1})


def test_rules_that_are_not_what_their_hash_says_decide_nothing(lender: Counter):
    decided(lender)
    altered(lender, "UPDATE rules SET content = CAST(REPLACE(content, '0.24', '0.36') AS BLOB) WHERE kind = 'law'")
    assert replayed(lender).not_replayed == {"law-missing": 1}


def resealed(lender: Counter, application: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Somebody who has the desk's key writes another decision."""
    with lender.desk.reading() as hand:
        found = held(hand.connection, application)
    key: ApplicationKey = found.key(lender.desk)
    said = key.open("decision", found.decision.sealed)
    change(said)
    altered(lender, "UPDATE decisions SET sealed = ? WHERE id = ?", key.seal("decision", said), application)


CHANGES: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
    ("offer", lambda said: said["decision"]["offer"].update(rate_ppm_day=299)),
    ("trace", lambda said: said["decision"]["trace"].pop()),
    ("scored", lambda said: said["case"]["facts"]["late"].update(value=6)),
    ("scored", lambda said: said["case"]["scored"].update(probability="0.1")),
    ("case_hash", lambda said: said["case"].update(outstanding=1)),
    ("fields", lambda said: said["decision"].update(note="")),
]


@pytest.mark.parametrize(("differs", "change"), CHANGES)
def test_whatever_is_altered_under_seal_is_found(lender: Counter, differs: str, change: Callable[[Any], Any]):
    application, other = decided(lender), decided(lender)
    resealed(lender, application, change)
    found = replayed(lender)
    assert (found.same, found.different, found.differs) == (1, 1, {application: differs}) and other != application


@pytest.mark.parametrize(
    ("column", "value"),
    [("outcome", "decline"), ("score", 700), ("explored", True), ("case_hash", "0" * 64), ("law_hash", "0" * 64)],
)
def test_what_stands_in_clear_says_the_same(lender: Counter, column: str, value: Any):
    application = decided(lender)
    altered(lender, f"UPDATE decisions SET {column} = ?", value)
    assert replayed(lender).differs == {application: column}


@pytest.mark.parametrize(
    ("column", "value"), [("amount", 1), ("rate_ppm_day", 1), ("compound", "0.1"), ("credit_limit", 9)]
)
def test_what_was_offered_stands_in_clear_as_it_was_decided(lender: Counter, column: str, value: Any):
    """What is accepted, reserved and paid out is read there."""
    application = decided(lender)
    altered(lender, f"UPDATE offers SET {column} = ?", value)
    assert replayed(lender).differs == {application: f"offer.{column}"}
    altered(lender, "DELETE FROM offers")
    assert replayed(lender).differs == {application: "offer"}


def test_what_cannot_be_opened_or_read_is_not_passed_over(lender: Counter):
    application, unreadable, _ = decided(lender), decided(lender), decided(lender)
    resealed(lender, application, lambda said: said["case"].pop("now"))
    altered(lender, "UPDATE decisions SET sealed = zeroblob(80) WHERE id = ?", unreadable)
    found = replayed(lender)
    assert (found.same, found.not_replayed, found.sound) == (1, {"unreadable": 2}, False)
    altered(lender, "UPDATE applications SET wrapped_key = NULL")
    forgotten = replayed(lender)
    assert (forgotten.forgotten, forgotten.seen, forgotten.sound) == (3, 3, True)


def test_nothing_is_decided_by_what_is_not_kept(lender: Counter, monkeypatch: pytest.MonkeyPatch):
    real = ReleasedRules.documents
    monkeypatch.setattr(
        ReleasedRules, "documents", lambda one: {k: d for k, d in real(one).items() if d.kind != "model"}
    )
    with pytest.raises(RulesMissing, match="does not have what a case names"):
        decided(lender)
    assert replayed(lender).seen == 0
    monkeypatch.undo()
    monkeypatch.setattr(lender.desk.transactions, "write", broken)
    with pytest.raises(OSError):
        decided(lender)
    assert not lender.desk.kept_rules
    monkeypatch.undo()
    decided(lender)
    assert replayed(lender).same == 1


def broken(job: Any) -> Any:
    raise OSError("the disk is full")


def in_spans(lender: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    for late in (0, 6, 0):
        decided(lender, late)
    altered(lender, "UPDATE decisions SET explored = TRUE WHERE rowid = 2")
    monkeypatch.setattr("desk.commands.replay.SPAN", 2)


def test_spans_cover_every_decision_once(lender: Counter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    in_spans(lender, monkeypatch)
    steps: list[int] = []
    found = replay(tmp_path, 1, steps.append)
    assert (found.same, found.different, steps) == (2, 1, [1, 3])


@slow
def test_processes_share_the_work_and_come_to_the_same(lender: Counter, tmp_path: Path, monkeypatch):
    in_spans(lender, monkeypatch)
    assert replay(tmp_path, 2) == replay(tmp_path, 1)


def test_what_is_told_is_bounded_and_everything_is_counted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("desk.commands.replay.MOST_TOLD", 2)
    total, one = Replayed(), Replayed()
    for number in range(3):
        one.differ(f"d-{number}", "offer")
    one.undone("law-missing")
    total.add(one)
    total.add(one)
    assert (total.different, list(total.differs)) == (6, ["d-0", "d-1"])
    assert (total.not_replayed, total.seen) == ({"law-missing": 2}, 8)


def test_what_is_stored_is_what_was_made(lender: Counter):
    application = decided(lender)
    with lender.desk.reading() as hand:
        found = held(hand.connection, application)
    said = found.key(lender.desk).open("decision", found.decision.sealed)
    made = StoredDecision.opened(found.decision, found.key(lender.desk))
    assert (said["case"], said["decision"]) == (case_json(made.case), decision_json(made.decision))
