"""A challenger decides beside each decision: kept, compared, made again, and told to nobody."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from sqlalchemy import event, select, text, update
from sqlalchemy.exc import DBAPIError
from support.challenged import CHALLENGER, SECRET_REASON, Challenged
from support.counter import BAD, GOOD, HASHES, MIDDLING, Counter, counter
from support.world import pseudonym

from desk.commands.challenge import challengers, replay_silent
from desk.commands.person import person_file
from desk.commands.retain import retain
from desk.commands.status import standing
from desk.storage import tables
from lending.account.default import Definition
from ops.metrics import EVERYTHING


def beside_again(desk):
    return replay_silent(desk.transactions.database, desk.at_rest, AsInstalled(desk))


class AsInstalled:
    """The stand-in's rules, which nobody keeps by their hash."""

    def __init__(self, desk) -> None:
        self.desk = desk

    def of(self, case, policy=None):
        return self.desk.lending


@pytest.fixture
def tried(desk: Counter) -> Counter:
    desk.desk.lending = desk.rules = Challenged()
    return desk


@pytest.fixture
def either_tried(either: Counter) -> Counter:
    either.desk.lending = either.rules = Challenged()
    return either


def failures() -> float:
    return EVERYTHING.get_sample_value("tahini_challenger_failures_total") or 0.0


def silent(desk: Counter) -> list:
    with desk.desk.reading() as hand:
        return list(hand.connection.execute(select(tables.silent_decisions)).all())


def seen(desk: Counter, days: int = 120):
    return challengers(desk.desk, Definition(days), desk.desk.day(desk.clock()))


def test_what_a_challenger_would_have_said_is_kept_beside_each_decision_and_changes_none(either_tried: Counter):
    for late in (GOOD, 1, MIDDLING, BAD):
        assert either_tried.asks(late).status_code == 201
    assert [one.outcome for one in silent(either_tried)] == ["approve", "decline", "decline", "decline"]
    (one,) = seen(either_tried)
    found = one.found
    assert (one.champion, one.challenger, one.failed) == (HASHES.policy, CHALLENGER, 0)
    assert (found.both, found.only_champion, found.only_challenger, found.neither) == (1, 1, 0, 2)
    assert beside_again(either_tried.desk).same == 4
    with either_tried.desk.reading() as hand:
        outcomes = hand.connection.scalars(select(tables.decisions.c.outcome)).all()
    assert sorted(outcomes) == ["approve", "approve", "decline", "review"]


def test_terms_are_compared_where_both_offer(tried: Counter):
    for less in (0, 50, 100):
        tried.rules.less = less
        tried.asks(GOOD)
    found = seen(tried)[0].found
    assert (found.limit.offers, found.limit.higher, found.limit.mean.value) == (3, 3, 1000)
    assert (found.rate.higher, found.rate.lower, found.rate.mean.value) == (0, 2, -50)


def test_loans_that_only_the_challenger_would_have_declined_speak_when_they_mature(tried: Counter):
    for number in range(6):
        tried.lent(f"pay-{number}", pseudonym=pseudonym())
    application = tried.asks(1).json()
    assert application["status"] == "offered"
    tried.accepts(application)
    assert tried.pays(application["id"], "pay-x").status_code == 201
    assert seen(tried)[0].found.declined_alone is None, "nobody is mature yet"
    tried.clock.move(days=130)
    found = seen(tried)[0].found
    assert (found.declined_alone.value, found.others.value) == (1, 1)
    assert {(one.champion, one.challenger): one.mature for one in found.cells} == {
        ("approve", "approve"): 6, ("approve", "decline"): 1,
    }  # fmt: skip


@pytest.mark.parametrize("error", [KeyError("income"), ZeroDivisionError(), RecursionError()])
def test_a_challenger_that_fails_stops_nothing_and_is_counted(tried: Counter, error: Exception, caplog):
    tried.rules.fails = error
    before = failures()
    assert tried.asks(GOOD).json()["status"] == "offered"
    assert failures() == before + 1
    assert seen(tried)[0].failed == 1 and seen(tried)[0].found is None
    assert standing(tried.desk, ["small"]).challenger_failures == 1
    assert type(error).__name__ in caplog.text and "income" not in caplog.text
    assert beside_again(tried.desk).same == 1, "it fails again"
    tried.rules.fails = None
    assert len(beside_again(tried.desk).differs) == 1


def test_a_challenger_that_says_something_else_today_is_found(tried: Counter):
    application = tried.asks(GOOD).json()
    tried.rules.less = 1
    assert beside_again(tried.desk).differs == [application["id"]]


def everything_told(desk: Counter) -> str:
    """What every way of asking the desk says of one who was declined and one who waits for a person."""
    answers = []
    for late in (MIDDLING, BAD):
        made = desk.asks(late)
        path = f"/v1/applications/{made.json()['id']}"
        answers += [made, desk.call("reader", "GET", path), desk.call("reader", "GET", "/v1/applications")]
        if late == BAD:
            answers.append(desk.call("origination", "GET", f"{path}/letter"))
    (review,) = desk.call("reader", "GET", "/v1/reviews").json()["items"]
    path = f"/v1/reviews/{review['id']}"
    answers += [desk.call("reviewer.li", "POST", f"{path}/taking"), desk.call("reviewer.li", "GET", path)]
    assert all(one.is_success for one in answers), [(one.request.url.path, one.status_code) for one in answers]
    return "".join(one.text for one in answers)


def test_nobody_is_shown_what_a_challenger_said(tried: Counter, tmp_path: Path):
    desk = tried
    told = everything_told(desk)
    assert CHALLENGER not in told and SECRET_REASON not in told and "silent" not in told
    with desk.desk.reading() as hand:
        stated = "".join(hand.connection.scalars(select(tables.outbox.c.token)).all())
    assert "late" in told and CHALLENGER not in stated
    content = (tmp_path / "desk.db").read_bytes() + (tmp_path / "desk.db-wal").read_bytes()
    assert SECRET_REASON.encode() not in content, "it is sealed"


def test_the_person_may_ask_and_is_told(tried: Counter):
    desk = tried
    person = pseudonym()
    desk.asks(BAD, pseudonym=person)
    (decision,) = person_file(desk.desk, person)["applications"][0]["decisions"]
    assert decision["tried_beside"]["decision"]["reasons"][0]["code"] == SECRET_REASON
    assert decision["tried_beside"]["challenger"] == CHALLENGER
    json.dumps(decision)


def test_it_is_forgotten_with_the_decision(tried: Counter):
    tried.asks(BAD)
    tried.clock.move(days=31)
    assert retain(tried.desk, 30).forgotten == 1
    assert (seen(tried)[0].forgotten, seen(tried)[0].found) == (1, None)
    assert beside_again(tried.desk).forgotten == 1


def test_what_does_not_verify_is_not_called_forgotten(tried: Counter):
    """Somebody who holds the file of the database changes what a challenger said."""
    for _ in range(2):
        tried.asks(BAD)
    one, other = silent(tried)
    with tried.desk.transactions.database.engine.begin() as connection:
        for name in connection.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
            connection.execute(text(f"DROP TRIGGER {name}"))
        changed = update(tables.silent_decisions).where(tables.silent_decisions.c.decision == one.decision)
        connection.execute(changed.values(sealed=other.sealed))
    found = beside_again(tried.desk)
    assert (found.same, found.unreadable, found.forgotten, found.sound) == (1, 1, 0, False)


def test_it_is_kept_whoever_opens_the_database(either_tried: Counter):
    either_tried.asks(BAD)
    engine = either_tried.desk.transactions.database.engine
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(update(tables.silent_decisions).values(outcome="approve"))


def test_without_a_challenger_nothing_is_written_and_nothing_more_is_asked(tmp_path: Path):
    asked = {}
    for installed in (False, True):
        with counter(tmp_path / f"{installed}.db") as desk:
            desk.desk.lending = desk.rules = Challenged(installed=installed)
            desk.asks(GOOD)
            said: list[str] = []
            engine = desk.desk.transactions.database.engine
            event.listen(engine, "before_cursor_execute", lambda *a, said=said: said.append(a[2]))
            desk.asks(GOOD)
            asked[installed] = set(said)
            assert len(silent(desk)) == 2 * installed
    assert not any("silent" in one for one in asked[False])
    # kinds of statements, not their number, and none of what is written when it is time: the outbox, the newest instant
    more = {one for one in asked[True] - asked[False] if not re.search("outbox|desk_clock", one)}
    assert len(more) == 1, more
    assert more.pop().startswith("INSERT INTO silent_decisions")
