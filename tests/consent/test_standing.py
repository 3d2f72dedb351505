"""How people stand: one truth, told by single decisions, bulk decisions, whole states and changes alike."""

from __future__ import annotations

import random
import zlib
from base64 import b64encode
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from support.effort import effort
from support.house import everybody
from support.market import Signed
from support.observed import statements
from support.world import features, schema_of

from clients.admission import UseLimits
from clients.consents import Consents
from law.bases import LegalBasis
from protocol.coverage import needs_of
from protocol.enrolment import EnrolmentList
from protocol.errors import Malformed, RegistryUnavailable
from protocol.snapshots import (
    REASONS,
    STATES,
    AnsweredNotice,
    code_of,
    codes_sha256,
    packed,
    reasons_of,
    unpacked,
)
from protocol.states import ConsentStatus
from protocol.terms import TRAINING_PURPOSE, Limits

KINDS = ("ordinary", "income")
NEEDS = needs_of(features().model_dump(mode="json"), False, LegalBasis.PIPL_CONSENT)


@pytest.fixture
def market(any_market):
    return any_market


# --- codes


@given(st.sampled_from(ConsentStatus), st.integers(0, 2**24 - 1))
def test_a_code_says_state_and_notice(state, notice):
    code = code_of(state, notice)
    assert 0 <= code < 2**32
    assert (STATES[code & 0xFF], code >> 8) == (state, notice)


def test_each_state_has_its_rule_and_only_given_allows():
    notices = {1: AnsweredNotice(id="n", version=1, stale=False, limits=Limits())}
    codes = np.array([code_of(state, 1) for state in ConsentStatus], dtype=np.uint32)
    told = [str(REASONS[i]) for i in reasons_of(codes, notices)]
    assert told == [
        "never-asked", "given", "refused", "withdrawn", "expired", "suspended", "superseded",
    ]  # fmt: skip
    with pytest.raises(Malformed, match="state that does not exist"):
        reasons_of(np.array([len(STATES)], dtype=np.uint32), notices)


def test_consent_to_a_stale_or_unknown_notice_does_not_count():
    notices = {n: AnsweredNotice(id="n", version=n, stale=n == 1, limits=Limits()) for n in (1, 2)}
    codes = np.array([code_of(ConsentStatus.GIVEN, n) for n in (1, 2, 3)], dtype=np.uint32)
    assert [str(REASONS[i]) for i in reasons_of(codes, notices)] == ["notice-changed", "given", "notice-changed"]
    refused = np.array([code_of(ConsentStatus.REFUSED, 1)], dtype=np.uint32)
    assert REASONS[reasons_of(refused, notices)[0]] == "refused"
    used = reasons_of(codes, notices, np.array([True, True, True]))
    assert [str(REASONS[i]) for i in used] == ["notice-changed", "used-up", "notice-changed"]


@given(st.lists(st.integers(0, 2**32 - 1), max_size=200))
def test_what_is_packed_comes_out_as_it_went_in(values):
    array = np.array(values, dtype=np.uint32)
    assert unpacked(packed(array), "uint32").tolist() == values
    assert unpacked(packed(array), "uint32", max(len(values), 1)).tolist() == values, "as many as are allowed"


@given(st.data())
def test_what_is_damaged_is_refused_or_is_the_same(data):
    array = np.arange(50, dtype=np.uint32)
    text_of = packed(array)
    at = data.draw(st.integers(0, len(text_of) - 1))
    cut = data.draw(st.booleans())
    damaged = text_of[:at] if cut else text_of[:at] + data.draw(st.sampled_from("AZaz09+/=!")) + text_of[at + 1 :]
    try:
        found = unpacked(damaged, "uint32")
    except Malformed:
        return
    assert found.tolist() == array.tolist()


def test_bombs_and_what_does_not_fit_are_refused():
    bomb = b64encode(zlib.compress(b"\0" * (64 << 20), 9)).decode()
    with pytest.raises(Malformed, match="too many"):
        unpacked(bomb, "uint32", 1000)
    trailing, no_zlib = b64encode(zlib.compress(b"abcd") + b"x").decode(), b64encode(b"no zlib").decode()
    for bad in (packed(np.zeros(3, np.uint8)), trailing, no_zlib, "", "A", "AAAA", "====", "eJw=", "é"):
        with pytest.raises(Malformed):
            unpacked(bad, "uint32")
    with pytest.raises(Malformed):
        unpacked(packed(np.zeros(11, np.uint32)), "uint32", 10)


def test_the_hash_tells_the_three_arrays_apart():
    a, b = np.array([1, 2], np.uint32), np.array([3], np.uint32)
    none = np.zeros(0, np.uint32)
    parts = [(None, a, b), (a, b, none), (None, b, a), (a, none, b), (b, a, none)]
    hashes = [codes_sha256(numbers, {"ordinary": first, "income": second}) for numbers, first, second in parts]
    hashes += [codes_sha256(None, {"ordinary": a, kind: b}) for kind in ("sensitive", "tax")]
    assert len(set(hashes)) == len(hashes)


# --- one truth


def rules_by_state(snapshot, kind):
    """What a node makes of its own copy: the first kind that is not given decides."""
    rules = reasons_of(snapshot.answered("ordinary"), snapshot.state.notices)
    if kind != "ordinary":
        other = reasons_of(snapshot.answered(kind), snapshot.state.notices)
        rules = np.where(rules == REASONS.index("given"), other, rules)
    return [str(REASONS[i]) for i in rules]


@pytest.mark.parametrize("seed", range(effort(6, 2)))
def test_single_bulk_whole_and_changes_tell_the_same(market, tmp_path, seed):
    rng = random.Random(seed)
    purpose = TRAINING_PURPOSE
    people = market.enrol("aspen", 12)
    (tmp_path / "kept").mkdir()
    client, kept = market.client("aspen"), Consents(tmp_path / "kept", "aspen")
    for turn in range(8):
        for person in rng.sample(people, 5):
            action = rng.choice(["give", "give", "refuse", "withdraw", "suspend", "resume"])
            ends = rng.choice([None, market.clock() + timedelta(seconds=rng.choice([5, 50]))])
            market.says(person, action, rng.choice([("ordinary",), ("income",), KINDS]), expiry_time=ends)
        if turn == 4:
            market.publish(2, material_change=True)
        if turn == 5:
            people += market.enrol("aspen", 2)
        market.clock.move(seconds=rng.choice([1, 20]))
        (tmp_path / f"whole-{turn}").mkdir()
        whole = Consents(tmp_path / f"whole-{turn}", "aspen").sync(client, purpose)
        delta = kept.sync(client, purpose)
        assert all((whole.answered(kind) == delta.answered(kind)).all() for kind in KINDS)
        assert whole.names == delta.names == tuple(p.pseudonym for p in people)
        assert (delta.state.since is None) == (turn == 0)
        for kind in KINDS:
            expected = rules_by_state(whole, kind)
            of_all = market.check("aspen", kind)
            assert [REASONS[i] for i in unpacked(of_all["rules"], "uint8")] == expected
            order = [rng.randrange(len(people) + 3) for _ in range(20)]
            some = market.check("aspen", kind, numbers=packed(np.array(order, dtype=np.uint32)))
            told = [REASONS[i] for i in unpacked(some["rules"], "uint8")]
            assert told == [expected[n] if n < len(people) else "not-enrolled" for n in order]
            named = market.check("aspen", kind, subjects=[p.pseudonym for p in people])["decisions"]
            assert [d["rule"] for d in named] == expected
            assert expected[:2] == [market.rule(p, kind) for p in people[:2]]
        usable = whole.usable(everybody(len(people)), NEEDS)
        assert usable.members == [
            p.pseudonym for p, r in zip(people, rules_by_state(whole, "ordinary"), strict=True) if r == "given"
        ]
        hidden = {name: usable.patterns[pattern] for name, pattern in usable.hidden().items()}
        assert {name for name in usable.members if "income" not in hidden.get(name, ())} == {
            p.pseudonym for p, r in zip(people, rules_by_state(whole, "income"), strict=True) if r == "given"
        }


def test_changes_are_as_many_as_there_were_and_found_by_index(market, tmp_path):
    people = market.consenting("aspen", 60, kinds=KINDS)
    market.registry.ledger.catch_up()
    client = market.client("aspen")
    held = client.consent_state(TRAINING_PURPOSE, "c" * 16).state
    for person in people[7:10]:
        assert market.says(person, "withdraw").status_code == 201
    with statements(market.registry) as asked:
        changed = client.consent_state(TRAINING_PURPOSE, "d" * 16, held)
    assert changed.numbers.tolist() == [7, 8, 9]
    if market.registry.ledger.database.dialect == "sqlite":
        (query,) = [q for q in asked if "UNION SELECT" in q]
        with market.registry.ledger.read() as session:
            plan = [row[3] for row in session.execute(text(f"EXPLAIN QUERY PLAN {query}"))]
        assert not [step for step in plan if step.startswith(("SCAN c", "SCAN s", "SCAN e", "SCAN x"))], plan


def test_a_state_that_never_was_is_refused(market):
    market.enrol("aspen", 3)
    market.registry.ledger.catch_up()
    target = f"/v1/consent-states?purpose={TRAINING_PURPOSE.replace('#', '%23')}&challenge={'c' * 16}"
    moment = market.clock().isoformat().replace("+00:00", "Z")
    later = (market.clock() + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    for wrong in (f"&since=99&since_moment={moment}", f"&since=0&since_moment={later}", "&since=0"):
        assert market.call("aspen", "GET", target + wrong).status_code == 422
    assert market.call("aspen", "GET", target + f"&since=0&since_moment={moment}").status_code == 200


# --- the roll


@given(st.lists(st.text("abc", min_size=1, max_size=3), max_size=8), st.integers(0, 8))
def test_the_roll_s_hash_goes_on_where_it_stopped_and_knows_every_order(names, cut):
    whole = EnrolmentList().extended(names)
    assert EnrolmentList().extended(names[:cut]).extended(names[cut:]) == whole
    assert whole.people == len(names)
    if len(set(names)) > 1 and names != names[::-1]:
        assert EnrolmentList().extended(names[::-1]) != whole
    assert EnrolmentList().extended([*names, "d"]) != whole


def test_names_that_the_registry_did_not_sign_are_not_believed(market, tmp_path, monkeypatch):
    market.enrol("aspen", 3)
    market.registry.ledger.catch_up()
    monkeypatch.setattr(Signed, "roll", lambda self, first, until: ["v1." + "A" * 43] * (until - first))
    with pytest.raises(RegistryUnavailable, match="list of names"):
        Consents(tmp_path, "aspen").sync(market.client("aspen"), TRAINING_PURPOSE)


# --- limits on use


def limited(market, **limits):
    notice = market.publish(2, limits=limits)
    person = market.enrol("aspen", 1)[0]
    market.says(person, "give", notice=notice)
    return person


def test_one_time_is_one_campaign(market):
    person = limited(market, fetch_type="one-time")
    assert market.rule(person) == "given"
    first = market.campaign(("aspen", "birch"))
    assert market.placed(first, "aspen") == {0}
    assert market.rule(person) == "used-up", "no further campaign"
    assert market.placed(market.campaign(("aspen", "birch")), "aspen") == set()
    assert market.placed(first, "aspen") == {0}, "the campaign under way goes on"


def test_suspending_and_resuming_does_not_make_one_time_twice(market):
    person = limited(market, fetch_type="one-time")
    market.campaign(("aspen", "birch"))
    market.clock.move(hours=2)
    for action in ("suspend", "resume"):
        assert market.says(person, action).status_code == 201
    assert market.rule(person) == "used-up"
    assert market.placed(market.campaign(("aspen", "birch")), "aspen") == set()


def test_who_gives_while_a_campaign_runs_has_no_place_in_it(market):
    notice = market.publish(2, limits={"fetch_type": "one-time"})
    person = market.enrol("aspen", 1)[0]
    first = market.campaign(("aspen", "birch"), hours=1)
    assert market.says(person, "give", notice=notice).status_code == 201
    assert market.placed(first, "aspen") == set()
    assert market.placed(market.campaign(("aspen", "birch")), "aspen") == {0}
    assert market.placed(market.campaign(("aspen", "birch")), "aspen") == set(), "once is once"


def test_giving_anew_while_a_campaign_runs_is_the_use_it_was(market):
    """The place in the running campaign stays, so the new consent is used in it."""
    person = limited(market, fetch_type="one-time")
    market.campaign(("aspen", "birch"), hours=1)
    for action in ("withdraw", "give"):
        assert market.says(person, action, notice=market.notices[-1]).status_code == 201
    assert market.rule(person) == "used-up"


def test_giving_anew_after_all_campaigns_ended_is_a_new_consent(market):
    person = limited(market, fetch_type="one-time")
    market.campaign(("aspen", "birch"), hours=1)
    market.clock.move(hours=2)
    for action in ("withdraw", "give"):
        assert market.says(person, action, notice=market.notices[-1]).status_code == 201
    assert market.rule(person) == "given"


def test_frequency_counts_campaigns_in_the_period(market):
    person = limited(market, frequency={"times": 2, "per": "week"})
    days = []
    for day in range(16):
        if market.rule(person) == "given":
            campaign = market.campaign(("aspen", "birch"))
            assert market.placed(campaign, "aspen") == {0}
            days.append(day)
        market.clock.move(days=1)
    assert days == [0, 1, 7, 8, 14, 15]


def test_facts_outside_of_the_window_or_older_than_their_life_are_not_used():
    schema = schema_of(
        {"name": "late", "kind": "integer", "category": "repayment", "dated_by": "seen"},
        {"name": "income", "kind": "number", "category": "income", "sensitivity": "sensitive"},
        outcome_dated_by="decided",
    )
    day = date(2026, 6, 15)
    seen = pd.to_datetime([date(2026, 6, n) for n in (1, 5, 10, 15, 5)])
    table = pd.DataFrame(
        {"pseudonym": list("abcde"), "late": [1, 2, 3, 4, 5], "income": [1.0] * 5, "bad": [0] * 5,
         "seen": seen, "decided": seen}
    )  # fmt: skip
    limits = {
        "a": Limits(data_from=date(2026, 6, 2)),
        "b": Limits(data_to=date(2026, 6, 5)),
        "c": Limits(data_life_days=5),
        "d": Limits(data_from=date(2026, 6, 15), data_to=date(2026, 6, 15)),
    }
    moment = pd.Timestamp(day, tz="UTC").to_pydatetime()

    def within(limits):
        return UseLimits.of(table["pseudonym"].tolist(), limits).within(table, schema, moment)

    found = within(limits).set_index("pseudonym").sort_index()
    assert list(found.index) == ["b", "c", "d", "e"], "an outcome outside of the window is no outcome"
    assert found["late"].tolist() == [2, 3, 4, 5]
    assert found["income"].isna().tolist() == [True, True, True, False], "what has no date cannot be shown to be inside"
    older = {"c": Limits(data_life_days=4), "e": Limits(data_life_days=1, data_from=date(2026, 1, 1))}
    assert sorted(within(older)["pseudonym"]) == ["a", "b", "d"]
    assert within({}).equals(table)
