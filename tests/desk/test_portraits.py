"""Portraits at a desk: consent, then the log, then reading; who is in one, why, for how long, and how they get out."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select
from support.counter import Counter, StandInSource, counter
from support.erasures import ordered
from support.portraits import both, document, fact
from support.world import pseudonym

from crypto.keys import SigningKey
from desk.commands.erase import erase_ordered
from desk.commands.person import person_file
from desk.commands.placed import all_portraits, people_in, portraits_of
from desk.commands.portray import Portrayed, portray
from desk.commands.retain import retain
from desk.consents import ConsentsUnavailable
from desk.customers import CustomerTokens
from desk.portraying import OF_ACCOUNTS, keep_portrait, read_portraits, unusable
from desk.sources import About, HttpSource, Sources
from desk.storage import tables
from law.categories import DataCategory
from lending.portraits import Portrait, PortraitRefused
from protocol.errors import BadSettings, Conflict, RegistryUnavailable
from protocol.uses import PORTRAIT_PURPOSE, UseStatement

MINE = "/v1/me/portraits"
DUE = fact(("days until your next payment", "距下一还款日天数"), "repayment", kind="integer", low=0, high=400)

BAND = fact(("age band", "年龄段"), "age", kind="integer")


def made(desk: Counter, **changes: Any) -> Portrait:
    """In use today, and until 30 days from now."""
    today = desk.desk.day(desk.clock())
    dates = {"valid_from": str(today - timedelta(days=10)), "review_on": str(today + timedelta(days=30))}
    return Portrait(document(**(dates | changes)))


def borrower(desk: Counter, late: int = 3, payment: str = "pay-1") -> str:
    """Somebody with a loan, who since was late so often."""
    person = pseudonym()
    desk.lent(payment, pseudonym=person)
    desk.book.values["late"] = late
    desk.log.asked.clear()
    return person


def portrayed(desk: Counter, *portraits: Portrait) -> Portrayed:
    desk.desk.portraits = portraits or (made(desk),)
    return portray(desk.desk)


def placed(desk: Counter) -> set[tuple[str, str]]:
    """What is stored."""
    with desk.desk.reading() as hand:
        rows = hand.connection.execute(select(tables.memberships))
        return {(row.pseudonym, row.portrait) for row in rows}


def call(desk: Counter, person: str, method: str = "GET", path: str = MINE) -> Any:
    token = CustomerTokens(desk.desk.at_rest).give(person, desk.clock())
    return desk.http.request(method, path, headers={"Authorization": f"Bearer {token}"})


def objects(desk: Counter, person: str, portrait: str = "late-before") -> Any:
    return call(desk, person, "POST", f"/v1/me/portraits/{portrait}/objection")


# --- who is placed


def test_who_fulfils_the_rule_is_in_it_and_is_told_why_what_for_and_until_when(desk: Counter):
    person = borrower(desk)
    assert portrayed(desk) == Portrayed(people=1, read=1, placed=1, refused=0)
    (item,) = call(desk, person).json()["items"]
    assert item["name"] == both("Paid late before", "曾经逾期还款")
    assert (item["action"], item["product"]) == ("remind-before-due", None)
    assert item["purpose"]["zh"] == "在下一还款日前提醒您"
    assert item["since"] == desk.today()
    assert item["until"] == str(desk.desk.day(desk.clock()) + timedelta(days=30))
    assert item["because"] == [
        [
            {
                "name": "late", "words": both("late payments", "逾期次数"), "kind": "integer", "condition": ">= 2",
                "status": "present", "value": "3",
            }
        ]
    ]  # fmt: skip
    assert call(desk, pseudonym()).json() == {"items": [], "objections": []}


def test_it_is_stated_in_the_log_before_anything_is_read(desk: Counter):
    borrower(desk)
    order: list[str] = []
    desk.book.before = lambda: order.append("read")
    log_uses = desk.log.log_uses
    desk.log.log_uses = lambda tokens: order.append("log") or log_uses(tokens)  # type: ignore[method-assign]
    desk.desk.trail._client = desk.log  # type: ignore[attr-defined]
    desk.desk.trail.together._client = desk.log  # type: ignore[attr-defined]
    portrayed(desk)
    assert order == ["log", "read"]
    said = UseStatement.verify(desk.log.entries[-1], desk.log.key.public)
    assert (said.step, said.purpose, said.sources) == (
        "use.portrayed", PORTRAIT_PURPOSE, {"book": DataCategory.REPAYMENT},
    )  # fmt: skip
    assert said.policy is not None


def test_where_the_log_does_not_take_it_nothing_is_read(desk: Counter):
    borrower(desk)
    before = desk.book.asked
    desk.log.refuses = "use.portrayed"
    assert portrayed(desk) == Portrayed(people=1, read=0, placed=0, refused=1)
    desk.log.refuses, desk.log.away = None, True
    with pytest.raises(RegistryUnavailable):
        portrayed(desk)
    assert desk.book.asked == before
    assert placed(desk) == set()


def test_without_a_consent_to_portraits_nothing_is_read_or_stated(desk: Counter):
    """Though they agreed to be scored."""
    borrower(desk)
    before = desk.book.asked
    desk.portrait_consents.refused = {DataCategory.REPAYMENT}
    assert portrayed(desk) == Portrayed(people=1, read=0, placed=0, refused=0)
    assert (desk.book.asked, desk.log.asked, placed(desk)) == (before, [], set())


def test_who_takes_it_back_while_the_run_goes_on_is_not_read_and_holds_up_nobody(desk: Counter):
    person, other = borrower(desk), borrower(desk, payment="pay-2")
    check, before = desk.portrait_consents.check, desk.book.asked

    def taken_back(pseudonym: str, categories: Any) -> Any:
        desk.portrait_consents.refused = {DataCategory.REPAYMENT} if pseudonym == person else set()
        return check(pseudonym, categories)

    at_first = desk.portrait_consents.check_together(sorted((person, other)), [DataCategory.REPAYMENT])
    desk.portrait_consents.check_together = lambda *_: at_first  # type: ignore[method-assign]
    desk.portrait_consents.check = taken_back  # type: ignore[method-assign]
    assert portrayed(desk) == Portrayed(people=2, read=1, placed=1, refused=1)
    assert (placed(desk), desk.book.asked) == ({(other, "late-before")}, before + 1)


def test_a_consent_to_less_than_it_reads_is_none(desk: Counter):
    borrower(desk)
    desk.income.values["income"] = 100
    income = fact(("income a month", "月收入"), "income", kind="integer", low=0, high=10**9)
    late = made(desk).document.facts["late"].model_dump(mode="json", exclude_defaults=True)
    both_read = made(
        desk, id="poor-and-late", facts={"late": late, "income": income},
        rows=[{"id": "one", "when": {"late": ">= 2"}}, {"id": "other", "when": {"late": "< 2", "income": "< 3000"}}],
    )  # fmt: skip
    desk.portrait_consents.refused = {DataCategory.INCOME}
    before = desk.income.asked
    assert portrayed(desk, both_read, made(desk)).placed == 1
    assert {name for _, name in placed(desk)} == {"late-before"}
    assert desk.income.asked == before
    desk.portrait_consents.refused = set()
    assert portrayed(desk, both_read, made(desk)).placed == 2


@pytest.mark.parametrize("value", [None, 1, 500, "3", True])
def test_what_is_not_known_puts_nobody_in(desk: Counter, value):
    borrower(desk)
    desk.book.values["late"] = value
    assert portrayed(desk) == Portrayed(people=1, read=1, placed=0, refused=0)


def test_a_table_that_fails_puts_nobody_in(desk: Counter):
    borrower(desk)
    desk.book.fails = OSError("no such table")
    assert portrayed(desk).placed == 0


def test_accounts_of_loans_are_read_and_stated(desk: Counter):
    person = borrower(desk)
    soon = made(
        desk, id="due-soon", facts={"days_to_due": DUE}, rows=[{"id": "soon", "when": {"days_to_due": "<= 30"}}]
    )
    before = desk.book.asked
    assert portrayed(desk, soon).placed == 1
    assert desk.book.asked == before  # no table is asked that the portrait does not read
    said = UseStatement.verify(desk.log.entries[-1], desk.log.key.public)
    assert said.sources == {"desk-accounts": DataCategory.REPAYMENT}
    (item,) = call(desk, person).json()["items"]
    assert item["because"][0][0]["value"] == "30"
    desk.clock.move(days=31)
    overdue = {"days_past_due": fact(("days late", "逾期天数"), "repayment", kind="integer", low=0)}
    late = made(desk, id="late-now", rows=[{"id": "late", "when": {"days_past_due": ">= 1"}}], facts=overdue)
    assert portrayed(desk, soon, late).placed == 1
    assert {name for _, name in placed(desk)} == {"late-now"}


def test_a_table_of_the_same_name_is_not_asked_for_what_accounts_say(desk: Counter):
    borrower(desk)
    theirs = StandInSource(About("ledger", DataCategory.INCOME, ("days_to_due",)), {"days_to_due": 1})
    desk.desk.sources = Sources([desk.book, theirs])
    rows = [{"id": "tomorrow", "when": {"days_to_due": "<= 1"}}]
    assert portrayed(desk, made(desk, facts={"days_to_due": DUE}, rows=rows)) == Portrayed(1, 1, 0, 0)
    assert theirs.asked == 0


def test_whoever_has_no_loan_here_is_nobodys_customer(desk: Counter):
    desk.offered()
    desk.book.values["late"] = 3
    assert portrayed(desk) == Portrayed(people=0, read=0, placed=0, refused=0)


# --- for how long


def test_an_expired_portrait_is_applied_to_nobody_and_whoever_was_in_it_is_out(desk: Counter):
    person = borrower(desk)
    portrayed(desk)
    desk.clock.move(days=30)
    desk.book.values["late"] = 3
    assert call(desk, person).json()["items"] == []  # though nobody has computed anything since
    assert placed(desk) == set()
    before = desk.book.asked
    assert portray(desk.desk) == Portrayed(people=1, read=0, placed=0, refused=0)
    assert desk.book.asked == before


def test_a_portrait_that_is_to_come_is_applied_to_nobody(desk: Counter):
    borrower(desk)
    tomorrow = str(desk.desk.day(desk.clock()) + timedelta(days=1))
    assert portrayed(desk, made(desk, valid_from=tomorrow)).read == 0


def test_a_newer_version_takes_the_place_of_what_was_computed_by_an_older_one(desk: Counter):
    person = borrower(desk)
    portrayed(desk)
    desk.desk.portraits = (made(desk), made(desk, version=2, rows=[{"id": "often", "when": {"late": ">= 50"}}]))
    assert call(desk, person).json()["items"] == []
    assert portray(desk.desk).placed == 0


def test_whoever_does_not_fulfil_it_any_more_is_out_and_since_stays_for_who_is_in(desk: Counter):
    person, other = borrower(desk), borrower(desk, payment="pay-2")
    portrayed(desk)
    first = desk.today()
    desk.clock.move(days=2)
    portray(desk.desk)
    assert {call(desk, one).json()["items"][0]["since"] for one in (person, other)} == {first}
    desk.book.values["late"] = 0
    portray(desk.desk)
    assert placed(desk) == set()


# --- how they get out


def test_a_withdrawal_ends_it_at_once_for_person_and_staff(desk: Counter):
    person = borrower(desk)
    portrayed(desk)
    assert [one.row.pseudonym for one in people_in(desk.desk, "late-before")] == [person]
    desk.portrait_consents.refused = {DataCategory.REPAYMENT}
    assert people_in(desk.desk, "late-before") == []
    assert placed(desk) == set()
    assert call(desk, person).json()["items"] == []


def test_if_consents_cannot_be_told_nobody_is_shown_and_nothing_is_read(desk: Counter):
    person = borrower(desk)
    portrayed(desk)

    def away(*_: Any) -> Any:
        raise ConsentsUnavailable("the registry does not answer")

    desk.portrait_consents.check = away  # type: ignore[method-assign]
    before = desk.book.asked
    for ask in (lambda: portray(desk.desk), lambda: people_in(desk.desk, "late-before"),
                lambda: all_portraits(desk.desk), lambda: portraits_of(desk.desk, person)):  # fmt: skip
        with pytest.raises(ConsentsUnavailable):
            ask()
    assert call(desk, person).status_code == 503
    assert desk.book.asked == before
    assert objects(desk, person).status_code == 200  # an objection needs nobody else


def test_an_objection_ends_it_with_one_call_is_kept_and_outlasts_versions(desk: Counter):
    person, other = borrower(desk), borrower(desk, payment="pay-2")
    portrayed(desk)
    assert objects(desk, person).status_code == 200
    assert objects(desk, person).status_code == 200
    told = call(desk, person).json()
    assert told["items"] == []
    assert [(one["portrait"], one["name"]["en"]) for one in told["objections"]] == [("late-before", "Paid late before")]
    desk.log.asked.clear()
    assert portrayed(desk, made(desk), made(desk, version=2)).placed == 1
    assert placed(desk) == {(other, "late-before")}
    assert desk.log.asked == ["use.portrayed"]  # of the other alone: who objected to all is not read


def test_an_objection_to_one_portrait_is_none_to_another(desk: Counter):
    person = borrower(desk)
    again = made(desk, id="late-again", action="financial-education")
    portrayed(desk, made(desk), again)
    objects(desk, person)
    assert portray(desk.desk).placed == 1
    assert [one["portrait"] for one in call(desk, person).json()["items"]] == ["late-again"]


def test_who_objects_while_their_data_are_being_read_is_not_placed(desk: Counter):
    person = borrower(desk)
    desk.desk.portraits = (made(desk),)
    desk.book.before = lambda: objects(desk, person)
    assert portray(desk.desk) == Portrayed(people=1, read=1, placed=0, refused=0)
    assert placed(desk) == set()


def test_nobody_objects_for_somebody_else_or_to_what_is_not_there(desk: Counter):
    person = borrower(desk)
    portrayed(desk)
    assert objects(desk, pseudonym()).status_code == 200
    assert placed(desk) == {(person, "late-before")}
    assert objects(desk, person, "no-such").status_code == 404
    assert objects(desk, person, "NO SUCH").status_code == 422
    assert desk.http.get(MINE).status_code == 401
    assert desk.http.post(f"{MINE}/late-before/objection").status_code == 401


# --- for the staff


def test_staff_see_portraits_and_people_by_their_role(desk: Counter):
    person = borrower(desk)
    desk.desk.portraits = (made(desk), made(desk, id="over", review_on=desk.today()))
    portray(desk.desk)
    for who in ("servicing", "reviewer", "reader"):
        first, over = desk.call(who, "GET", "/v1/portraits").json()["items"]
        assert (first["portrait"], first["people"], first["idle"]) == ("late-before", 1, None)
        assert first["owner"] == "head of servicing"
        assert (over["people"], "looked at again by" in over["idle"]) == (0, True)
    assert desk.call("origination", "GET", "/v1/portraits").status_code == 403
    for who, status in (("servicing", 200), ("reviewer", 200), ("reader", 403), ("origination", 403)):
        answer = desk.call(who, "GET", "/v1/portraits/late-before/people")
        assert answer.status_code == status
    (one,) = desk.call("servicing", "GET", "/v1/portraits/late-before/people").json()["items"]
    assert (one["pseudonym"], one["because"][0][0]["value"]) == (person, "3")
    assert desk.call("servicing", "GET", "/v1/portraits/none/people").status_code == 404


# --- what may be signed


def test_a_portrait_is_signed_once_in_each_version_and_read_back_under_the_lenders_key_alone(desk: Counter, tmp_path):
    key = SigningKey.generate()
    path = keep_portrait(tmp_path, desk.desk, made(desk).document, key)
    assert [one.hash for one in read_portraits(tmp_path, key.public)] == [made(desk).hash]
    with pytest.raises(Conflict, match="there in version 1"):
        keep_portrait(tmp_path, desk.desk, made(desk).document, key)
    keep_portrait(tmp_path, desk.desk, made(desk, version=2).document, key)
    with pytest.raises(Conflict, match="version 2"):
        keep_portrait(tmp_path, desk.desk, made(desk).document, key)
    with pytest.raises(BadSettings, match="no portrait of this lender's"):
        read_portraits(tmp_path, SigningKey.generate().public)
    path.write_text("nothing", encoding="utf-8")
    with pytest.raises(BadSettings):
        read_portraits(tmp_path, key.public)


def test_one_that_begins_later_can_be_signed_before(desk: Counter, tmp_path: Path):
    key, tomorrow = SigningKey.generate(), desk.desk.day(desk.clock()) + timedelta(days=1)
    keep_portrait(tmp_path, desk.desk, made(desk, valid_from=str(tomorrow)).document, key)
    borrower(desk)
    assert portrayed(desk, *read_portraits(tmp_path, key.public)).read == 0
    assert [one.people for one in all_portraits(desk.desk)] == [0]
    desk.clock.move(days=1)
    assert portray(desk.desk).placed == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"facts": {"band": BAND}, "rows": [{"id": "a", "when": {"band": "< 3"}}]}, "neither the accounts nor a table"),
        ({"jurisdiction": "EU"}, "where this desk does not lend"),
        ({"review_on": "2020-02-01", "valid_from": "2020-01-01"}, "was to be looked at again"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_here_is_not_signed(desk: Counter, tmp_path, changes, said):
    with pytest.raises(PortraitRefused, match=said):
        keep_portrait(tmp_path, desk.desk, made(desk, **changes).document, SigningKey.generate())
    assert not (tmp_path / "portraits").exists()


def test_it_names_every_kind_of_data_that_its_source_is_made_of_and_none_that_is_protected(desk: Counter):
    about = desk.book.about
    object.__setattr__(about, "also", (DataCategory.INCOME,))
    assert "which is made of income" in str(unusable(desk.desk, made(desk), desk.desk.day(desk.clock())))
    object.__setattr__(about, "also", (DataCategory.MARITAL,))
    borrower(desk)
    before = desk.book.asked
    assert portrayed(desk).read == 0
    assert desk.book.asked == before


def test_no_third_party_is_asked(desk: Counter):
    key = SigningKey.generate()
    theirs = HttpSource(desk.book.about, "https://bureau.example", "bureau", "aspen", key, None)  # type: ignore[arg-type]
    desk.desk.sources = Sources([theirs, desk.income])
    assert "neither the accounts" in str(unusable(desk.desk, made(desk), desk.desk.day(desk.clock())))
    assert set(OF_ACCOUNTS) == {"days_to_due", "days_past_due", "outstanding"}


# --- what is kept


def test_what_is_stored_says_nothing_in_clear_and_its_person_is_told_all_of_it(desk: Counter):
    person = borrower(desk, late=77)
    portrayed(desk)
    with desk.desk.reading() as hand:
        (row,) = hand.connection.execute(select(tables.memberships)).all()
    assert b"77" not in row.sealed
    (kept,) = person_file(desk.desk, person)["portraits"]["placed"]
    assert kept["because"] == {"often": [{"fact": "late", "condition": ">= 2", "value": 77}]}
    assert "sealed" not in json.dumps(kept)
    assert desk.log.entries[kept["entry"]] == desk.log.entries[-1]


def test_whoever_is_erased_is_in_nothing_and_comes_back_as_somebody_new(desk: Counter, tmp_path: Path):
    person = borrower(desk)
    portrayed(desk, made(desk), made(desk, id="late-again"))
    objects(desk, person)
    ordered(tmp_path / "orders", person, desk.clock())
    desk.portrait_consents.refused = {DataCategory.REPAYMENT}
    erase_ordered(desk.desk, tmp_path / "orders")
    with desk.desk.reading() as hand:
        for table in (tables.memberships, tables.portrait_objections):
            assert hand.connection.execute(select(table)).all() == []


def test_who_is_erased_while_their_data_are_being_read_is_not_placed(desk: Counter, tmp_path: Path):
    person = borrower(desk)
    desk.desk.portraits = (made(desk),)

    def erase() -> None:
        ordered(tmp_path / "orders", person, desk.clock())
        erase_ordered(desk.desk, tmp_path / "orders")

    desk.book.before = erase
    assert portray(desk.desk) == Portrayed(people=1, read=1, placed=0, refused=0)
    assert placed(desk) == set()
    desk.clock.move(seconds=1)
    desk.book.before, desk.book.values["late"] = lambda: None, 0
    desk.lent("pay-2", pseudonym=person)  # who comes back after that is a customer again
    desk.book.values["late"] = 3
    assert portray(desk.desk).placed == 1


def test_what_was_forgotten_in_time_leaves_no_objection(desk: Counter):
    nobody = {"pseudonym": pseudonym(), "portrait": "late-before", "objected_at": desk.clock()}
    person = borrower(desk)
    portrayed(desk)
    objects(desk, person)
    desk.desk.write(lambda hand: hand.connection.execute(insert(tables.portrait_objections).values(nobody)) and None)
    retain(desk.desk, 365 * 10)
    with desk.desk.reading() as hand:
        left = hand.connection.scalars(select(tables.portrait_objections.c.pseudonym)).all()
    assert list(left) == [person]


def test_it_is_the_same_on_either_database(either: Counter):
    person = borrower(either)
    assert portrayed(either).placed == 1
    objects(either, person)
    assert portray(either.desk).placed == 0


def test_more_people_than_are_asked_about_at_once(desk: Counter, monkeypatch):
    monkeypatch.setattr("desk.commands.portray.AT_A_TIME", 2)
    people = {borrower(desk, payment=f"pay-{n}") for n in range(5)}
    assert portrayed(desk) == Portrayed(people=5, read=5, placed=5, refused=0)
    assert {one for one, _ in placed(desk)} == people


def test_where_no_portrait_was_ever_signed_nobody_is_asked_about(tmp_path: Path):
    with counter(tmp_path / "plain.db") as desk:
        person = borrower(desk)
        assert portray(desk.desk) == Portrayed(people=1, read=0, placed=0, refused=0)
        assert desk.portrait_consents.checks == 0
        assert call(desk, person).json() == {"items": [], "objections": []}
        assert all_portraits(desk.desk) == []
