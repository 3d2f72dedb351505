"""Portraits at the registry: a purpose of its own, stated before anything is read, and nothing follows it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from support.scoring import ASKED, Desk, asks_to_score

from clients.consents import Consents
from consent.notice_text import particulars
from desk.consents import ConsentsUnavailable, Permission, ScoringConsents
from desk.trail import AboutToRead, LoggedUse, UseRefused
from law.categories import DataCategory
from protocol.notices import Notice
from protocol.terms import Frequency, Limits
from protocol.uses import PORTRAIT_PURPOSE, SCORING_PURPOSE, Blinding, UseStatement

PORTRAITS = "7" * 64
SOURCES = {"own-book": DataCategory.REPAYMENT}


def asks_to_portray(market, version: int = 1, **terms: Any) -> Notice:
    notice = market.publish(version, "portraits", purpose=PORTRAIT_PURPOSE, **({"categories": ASKED} | terms))
    market.checkpoint()
    return notice


def permits(market, folder: Path) -> ScoringConsents:
    folder.mkdir(exist_ok=True)
    desk = Desk.of(market, folder)
    return ScoringConsents(
        Consents(folder, "aspen"), desk.client, clock=market.clock, purpose=PORTRAIT_PURPOSE
    )  # fmt: skip


def about(permission: Permission, name: str = "p-1", **changes: Any) -> AboutToRead:
    return replace(AboutToRead(Blinding.of(name), permission, SOURCES, PORTRAITS), **changes)


def came_of(desk: Desk, use: AboutToRead) -> LoggedUse | Exception:
    (found,) = desk.trail.read_together([use])
    return found


def test_it_is_logged_under_a_consent_to_portraits_and_the_person_is_told_what_for(market, tmp_path):
    asks_to_portray(market)
    [person] = market.consenting("aspen")
    desk, permission = Desk.of(market, tmp_path / "d"), permits(market, tmp_path / "p").check
    logged = came_of(desk, about(permission(person.pseudonym, ASKED)))
    assert isinstance(logged, LoggedUse)
    market.checkpoint()
    found = market.http.get(f"/v1/log/entries/{logged.index}").json()
    assert (found["type"], found["actor"], found["body"]["sealed_to"]) == ("use.portrayed", "aspen", ["subject"])
    assert set(found["use"]) == {"application", "statement", "policy"}
    assert found["use"]["policy"] == PORTRAITS
    (use,) = market.call(person.pseudonym, "GET", "/v1/me/uses").json()["items"]
    assert (use["what"], use["purpose"]) == ("use.portrayed", PORTRAIT_PURPOSE)


def test_a_yes_to_scoring_is_none_to_portraits_and_the_other_way_round(market, tmp_path):
    asks_to_portray(market)
    asks_to_score(market)
    [person] = market.consenting("aspen")  # they answer the newest notice: of scoring
    desk = Desk.of(market, tmp_path / "d")
    scored = desk.permission(person)
    assert scored.consents
    assert not permits(market, tmp_path / "p").check(person.pseudonym, ASKED).consents
    forged = came_of(desk, about(scored))
    assert isinstance(forged, UseRefused)
    assert "another person's" in str(forged)  # a consent of this person to that purpose has another record


def test_nothing_is_logged_once_the_consent_was_taken_back(market, tmp_path):
    asks_to_portray(market)
    [person] = market.consenting("aspen")
    desk, check = Desk.of(market, tmp_path / "d"), permits(market, tmp_path / "p").check
    permission = check(person.pseudonym, ASKED)
    market.says(person, "withdraw")
    refused = came_of(desk, about(permission))
    assert isinstance(refused, UseRefused)
    assert "withdrawn" in str(refused)


def test_where_no_notice_asks_for_it_nothing_can_be_told(market, tmp_path):
    with pytest.raises(ConsentsUnavailable, match="how borrowers consent to portraits cannot be told now"):
        permits(market, tmp_path / "p").check("v1." + "A" * 43, ASKED)


def test_nothing_is_decided_on_what_was_read_for_portraits(market, tmp_path):
    asks_to_portray(market)
    [person] = market.consenting("aspen")
    desk = Desk.of(market, tmp_path / "d")
    asks_to_score(market)
    permission = permits(market, tmp_path / "p").check(person.pseudonym, ASKED)
    use = about(permission)
    assert isinstance(came_of(desk, use), LoggedUse)
    market.says(person, "give")
    said, _ = desk.decides(use.blinding, desk.permission(person))
    [answer] = desk.client.log_uses([said.sign(market.keys["aspen"])])
    assert answer.index is None
    assert "no use.read of this application" in str(answer.refused)


@pytest.mark.parametrize(
    "changes",
    [
        {"purpose": SCORING_PURPOSE}, {"step": "use.read"}, {"policy": None}, {"automated": True}, {"model": "1" * 64},
        {"decision": "1" * 64}, {"case": "1" * 64}, {"follows": "1" * 64}, {"document": "1" * 64}, {"consents": []},
        {"sources": {"tax-office": "tax"}},
    ],
)  # fmt: skip
def test_a_statement_of_portraits_says_nothing_else(market, tmp_path, changes):
    asks_to_portray(market)
    [person] = market.consenting("aspen")
    desk, permission = Desk.of(market, tmp_path / "d"), permits(market, tmp_path / "p").check
    statements = desk.trail._statements
    said = statements.portrayed(Blinding.of("p-1"), permission(person.pseudonym, ASKED), SOURCES, PORTRAITS)
    with pytest.raises(ValidationError):
        UseStatement.model_validate(said.payload() | changes)


def test_a_consent_that_counts_its_uses_counts_these_apart_from_applications(market, tmp_path):
    limits = Limits(frequency=Frequency(times=2, per="month"))
    asks_to_portray(market, limits=limits)
    [person] = market.consenting("aspen")
    desk, check = Desk.of(market, tmp_path / "d"), permits(market, tmp_path / "p").check
    found = [came_of(desk, about(check(person.pseudonym, ASKED), f"p-{n}")) for n in range(3)]
    assert [type(one) for one in found] == [LoggedUse, LoggedUse, UseRefused]
    assert "used up" in str(found[2])


def test_its_notice_says_what_ends_and_names_no_coordinator(market):
    notice = asks_to_portray(market)
    for language, said in (("en", "takes you out of every group at once"), ("zh", "立即将您移出所有分组")):
        assert said in particulars(notice, language)
