"""Who may be scored, on what: a yes to this purpose, this lender and these categories, or nothing is read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from support.desk import asked
from support.market import Market, open_market
from support.scoring import ASKED, BUREAU, INCOME, REPAYMENT, Desk, asks_to_score
from support.world import pseudonym

from clients.consents import Consents
from desk.consents import ConsentLost, ConsentsUnavailable, Permission, ScoringConsents
from law.categories import DataCategory
from protocol.errors import RegistryUnavailable
from protocol.notices import Notice
from protocol.records import record_id
from protocol.snapshots import Reason
from protocol.terms import TRAINING_PURPOSE, Limits
from protocol.uses import SCORING_PURPOSE, ConsentNamed

KINDS = ("ordinary", "income")


@pytest.fixture
def fresh_market(tmp_path: Path) -> Iterator[Market]:
    with open_market(tmp_path) as opened:
        yield opened


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """One for all who publish nothing more: its people are each test's own."""
    with open_market(tmp_path_factory.mktemp("market")) as opened:
        asks_to_score(opened)
        yield opened


@pytest.fixture
def scoring(market: Market) -> Notice:
    return market.notices[-1]


@pytest.fixture
def desk(market: Market, tmp_path: Path) -> Desk:
    return Desk.of(market, tmp_path / "desk")


def test_a_yes_to_all_grants_all_and_says_by_which_consent(market, scoring, desk):
    [person] = market.consenting("aspen", kinds=KINDS)
    found = desk.permission(person)
    assert set(found.granted) == set(ASKED)
    assert found.refused == {}
    assert found.automated
    origin = market.registry.consortium.log_origin
    for category, kind in ((REPAYMENT, "ordinary"), (BUREAU, "ordinary"), (INCOME, "income")):
        consent = found.granted[category]
        assert consent.record_id == record_id(origin, person.pseudonym, SCORING_PURPOSE, "aspen", kind)
        assert (consent.notice_id, consent.notice_sha256) == ("scoring", scoring.sha256)
    assert [one.sensitivity for one in found.consents] == ["ordinary", "income"]


def test_training_is_not_scoring_and_scoring_is_not_training(market, scoring, desk):
    training = next(one for one in market.notices if one.purpose == TRAINING_PURPOSE)
    learnt, judged = market.enrol("aspen", 2)
    market.clock.move(seconds=1)
    assert market.decide(market.decision(learnt, {"ordinary": "give"}, training)).is_success
    assert market.decide(market.decision(judged, {"ordinary": "give"}, scoring)).is_success
    assert desk.permission(learnt).refused == dict.fromkeys(ASKED, Reason.NEVER_ASKED)
    assert set(desk.permission(judged).granted) == {REPAYMENT, BUREAU}
    assert (market.rule(learnt), market.rule(judged)) == ("given", "never-asked")


def test_each_no_is_told_and_one_category_apart_from_another(market, desk):
    [person] = market.consenting("aspen")
    market.says(person, "refuse", ("income",))
    found = desk.permission(person)
    assert (set(found.granted), found.refused) == ({REPAYMENT, BUREAU}, {INCOME: Reason.REFUSED})
    assert [one.sensitivity for one in found.consents] == ["ordinary"]
    assert desk.permission(person, DataCategory.SOCIAL).refused == {DataCategory.SOCIAL: Reason.NEVER_ASKED}


def test_without_the_ordinary_consent_nothing_is_granted(market, desk):
    [person] = market.consenting("aspen", kinds=KINDS)
    market.says(person, "withdraw")
    market.clock.move(minutes=3)
    found = desk.permission(person)
    assert found.refused == dict.fromkeys(ASKED, Reason.WITHDRAWN)
    assert found.consents == ()
    assert not found.automated


def test_strangers_and_another_lenders_borrowers_are_not_enrolled(market, desk):
    [theirs] = market.consenting("birch")
    for name in (theirs.pseudonym, pseudonym()):
        assert set(desk.consents.check(name, ASKED).refused.values()) == {Reason.NOT_ENROLLED}


def test_an_objection_counts_as_a_no_until_it_is_closed(market, desk):
    [person] = market.consenting("aspen")
    asked(market, person, "restrict")
    assert set(desk.permission(person).refused.values()) == {Reason.SUSPENDED}


def test_a_child_needs_the_guardians_yes_to_sensitive_data(market, desk):
    authority = {"age_band": "under-14", "guardian_entity_id": "g", "authority_evidence_hash": "a" * 64}
    [person] = market.enrol("aspen")
    market.clock.move(seconds=1)
    assert market.decide(market.decision(person, {"ordinary": "give"}, authority=authority)).is_success
    assert set(desk.permission(person, REPAYMENT).refused.values()) == {Reason.CHILD}


def test_of_a_child_is_granted_what_the_guardians_sensitive_yes_names_too(fresh_market, tmp_path):
    market = fresh_market
    asks_to_score(market)
    wide = market.notices[-1]
    asks_to_score(market, 2, categories=(REPAYMENT, INCOME))
    authority = {"age_band": "under-14", "guardian_entity_id": "g", "authority_evidence_hash": "a" * 64}
    desk, [person] = Desk.of(market, tmp_path / "desk"), market.enrol("aspen")
    assert market.says(person, "give", notice=wide, authority=authority).is_success
    assert market.says(person, "give", ("sensitive",), authority=authority).is_success
    found = desk.permission(person, REPAYMENT, BUREAU)
    assert (set(found.granted), found.refused) == ({REPAYMENT}, {BUREAU: Reason.CHILD})


def test_a_newer_notice_that_reaches_further_must_be_answered_again(fresh_market, tmp_path):
    market = fresh_market
    asks_to_score(market)
    desk, [person] = Desk.of(market, tmp_path / "desk"), market.consenting("aspen")
    asks_to_score(market, 2, categories=(*ASKED, DataCategory.DEPOSITS))
    assert set(desk.permission(person, REPAYMENT).refused.values()) == {Reason.NOTICE_CHANGED}
    market.says(person, "give")
    market.clock.move(minutes=3)
    assert desk.permission(person, REPAYMENT).granted[REPAYMENT].notice_version == 2


def test_a_notice_without_machine_decisions_allows_none(fresh_market, tmp_path):
    asks_to_score(fresh_market, automated_decision=False)
    [person] = fresh_market.consenting("aspen")
    assert not Desk.of(fresh_market, tmp_path / "desk").permission(person).automated


TODAY = date(2026, 11, 27)


@pytest.mark.parametrize(
    ("limits", "day", "may"),
    [
        ({}, None, True),
        ({"data_life_days": 30}, None, False),
        ({"data_life_days": 30}, date(2026, 10, 28), True),
        ({"data_life_days": 30}, date(2026, 10, 27), False),
        ({"data_from": "2026-01-01"}, date(2025, 12, 31), False),
        ({"data_from": "2026-01-01"}, date(2026, 1, 1), True),
        ({"data_to": "2026-06-30"}, date(2026, 7, 1), False),
        ({"data_to": "2026-06-30"}, date(2026, 6, 30), True),
        ({"data_from": "2026-11-20", "data_life_days": 365}, date(2026, 11, 19), False),
    ],
)
def test_facts_are_used_of_the_days_that_the_notice_named(limits, day, may):
    permission = _granting(REPAYMENT, (Limits.model_validate(limits),))
    assert permission.covers(REPAYMENT, day, TODAY) is may
    assert not permission.covers(BUREAU, day, TODAY), "not granted at all"


def _granting(category: DataCategory, limits: tuple[Limits, ...]) -> Permission:
    consent = ConsentNamed(
        record_id="0" * 32, sensitivity="ordinary", categories=(category,), notice_id="n", notice_version=1,
        notice_sha256="0" * 64,
    )  # fmt: skip
    when = datetime(2026, 11, 27, tzinfo=UTC)
    return Permission("p", {category: consent}, {}, (consent,), True, when, "0" * 64, {category: limits})


def test_limits_of_both_consents_reach_a_fact_that_needs_two(fresh_market, tmp_path):
    asks_to_score(fresh_market, limits={"data_life_days": 30})
    [person] = fresh_market.consenting("aspen", kinds=KINDS)
    found = Desk.of(fresh_market, tmp_path / "desk").permission(person)
    assert found.limits == dict.fromkeys(ASKED, (Limits(data_life_days=30),))


# --- how old a copy may be, and what happens without a registry


def unreachable(desk: Desk, monkeypatch) -> None:
    def silent(*_: object) -> None:
        raise RegistryUnavailable("nobody listens there")

    monkeypatch.setattr(desk.client, "_send", silent)


def test_a_young_copy_answers_alone_and_an_old_one_only_after_the_registry_did(market, desk, monkeypatch):
    [person] = market.consenting("aspen")
    assert desk.permission(person).granted
    unreachable(desk, monkeypatch)
    market.clock.move(minutes=2)
    assert desk.permission(person).granted
    market.clock.move(seconds=1)
    with pytest.raises(ConsentsUnavailable, match="cannot be told now"):
        desk.permission(person)


def test_a_withdrawal_is_in_force_once_the_copy_is_asked_for_again(market, desk):
    [person] = market.consenting("aspen")
    assert desk.permission(person).granted
    market.says(person, "withdraw")
    market.clock.move(minutes=2)
    assert set(desk.permission(person).refused.values()) == {Reason.WITHDRAWN}


def test_without_a_registry_nobody_is_allowed_and_nobody_refused(market, desk, monkeypatch):
    market.consenting("aspen")
    unreachable(desk, monkeypatch)
    with pytest.raises(ConsentsUnavailable) as found:
        desk.consents.check(market.people["aspen"][0].pseudonym, ASKED)
    assert found.value.status == 503


def test_a_registry_that_does_not_answer_is_waited_for_once(market, desk, monkeypatch):
    """However many are asked about, or the last of them waits as often as there are others."""
    asked: list[object] = []
    unreachable(desk, monkeypatch)
    sync = Consents.sync
    monkeypatch.setattr(Consents, "sync", lambda *about: asked.append(about) or sync(*about))
    market.clock.move(minutes=3)
    found = desk.consents.check_together(["v1.a", "v1.b", "v1.c"], ASKED)
    assert len(asked) == 1 and [type(one) for one in found] == [ConsentsUnavailable] * 3


@pytest.mark.parametrize(
    "changes",
    [{"purpose": TRAINING_PURPOSE}, {"recipients": ("birch",)}, {"categories": (REPAYMENT,)},
     {"automated_decision": False}, {"limits": Limits(data_life_days=30)}],
)  # fmt: skip
def test_what_is_told_of_a_notice_is_what_the_signed_notice_says(market, scoring, desk, monkeypatch, changes):
    [person] = market.consenting("aspen")
    terms = scoring.terms.model_copy(update=changes)
    other = scoring.model_copy(update={**changes, "terms": terms})
    monkeypatch.setattr(desk.client, "notice", lambda *_: other)
    with pytest.raises(ConsentsUnavailable, match="does not say"):
        desk.permission(person)


def test_a_lender_without_a_notice_of_scoring_scores_nobody(fresh_market, tmp_path):
    with pytest.raises(ConsentsUnavailable, match="no notice asks"):
        Desk.of(fresh_market, tmp_path / "desk").consents.check(pseudonym(), ASKED)


@pytest.mark.parametrize("ahead", [-31, 121])
def test_a_clock_that_is_wrong_allows_nothing(market, desk, tmp_path, ahead):
    [person] = market.consenting("aspen")
    clock = lambda: market.clock() + timedelta(seconds=ahead)  # noqa: E731
    consents = ScoringConsents(Consents(tmp_path / "desk", "aspen"), desk.client, clock=clock)
    with pytest.raises(ConsentsUnavailable, match="clock"):
        consents.check(person.pseudonym, ASKED)


# --- again at disbursement


def test_disbursement_asks_the_registry_however_young_the_copy_is(market, desk):
    [person] = market.consenting("aspen", kinds=KINDS)
    before = desk.permission(person)
    assert desk.consents.check_again(before) == ()
    market.says(person, "withdraw", ("income",))
    assert desk.consents.check_again(before) == (ConsentLost(INCOME, Reason.WITHDRAWN),)
    market.says(person, "withdraw")
    lost = desk.consents.check_again(before)
    assert {one.category: one.reason for one in lost} == dict.fromkeys(ASKED, Reason.WITHDRAWN)


def test_what_was_never_granted_is_not_lost(market, desk):
    [person] = market.consenting("aspen")
    before = desk.permission(person)
    market.says(person, "refuse", ("income",))
    assert desk.consents.check_again(before) == ()


def test_disbursement_without_a_registry_is_refused(market, desk, monkeypatch):
    [person] = market.consenting("aspen")
    before = desk.permission(person)
    unreachable(desk, monkeypatch)
    with pytest.raises(ConsentsUnavailable):
        desk.consents.check_again(before)
