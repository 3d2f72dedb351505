"""How a notice was shown is on record, and a yes that came too fast is none (征信业管理条例 19)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.notices import some_consortium

from consent.commands.check_decisions import check_answer
from demo.borrowers import make_notice
from protocol.consents import Action, Choice, ConsentDecision, Presentation
from protocol.errors import Conflict

LEAST = 10
NOTICE = make_notice(some_consortium("aspen", "birch"), ["aspen", "birch"], 1.0)
SHOWN = {"layout_sha256": "a" * 64, "seconds": LEAST, "to_the_end": True, "own_controls": True}


@pytest.fixture
def attentive(market):
    """A market whose notice must be shown for ten seconds."""
    market.publish(2, reading_seconds=LEAST)
    return market


@pytest.mark.parametrize(
    "shown", [None, SHOWN | {"seconds": LEAST - 1}, SHOWN | {"to_the_end": False}, SHOWN | {"own_controls": False}]
)
def test_a_yes_without_attention_is_refused_and_a_no_is_heard(attentive, shown):
    (person,) = attentive.enrol("aspen")
    refused = attentive.says(person, "give", presentation=shown)
    assert refused.status_code == 409 and "shown for 10 seconds" in refused.text
    assert attentive.says(person, "refuse", presentation=shown).status_code == 201


def test_how_it_was_shown_stands_in_the_record_whoever_signed(attentive):
    signing, logged_in = attentive.enrol("aspen", 2)
    assert attentive.says(signing, "give", presentation=SHOWN).status_code == 201
    headers = attentive.login(logged_in)
    said = attentive.statement([("aspen", "ordinary", "give")])
    assert attentive.call(headers, "POST", "/v1/me/consents", said).status_code == 409
    assert attentive.call(headers, "POST", "/v1/me/consents", said | {"presentation": SHOWN}).status_code == 201
    for caller in (signing.pseudonym, headers):
        (record,) = attentive.call(caller, "GET", "/v1/me/consents").json()["items"]
        assert record["served"]["presentation"] == SHOWN
        target = f"/v1/me/consents/{record['record_id']}"
        assert attentive.call(caller, "GET", target).json()["served"]["presentation"] == SHOWN


def test_on_paper_nothing_is_shown_on_a_screen(attentive):
    (person,) = attentive.enrol("aspen")
    assert attentive.says(person, "give", channel="paper").status_code == 201


@pytest.mark.parametrize("channel", ["paper", "branch", "api", "web"])
def test_whoever_is_logged_in_has_a_screen_before_them(attentive, channel):
    """Traced: a portal that called its page "paper" need not have shown anything."""
    (person,) = attentive.enrol("aspen")
    headers = attentive.login(person)
    said = attentive.statement([("aspen", "ordinary", "give")], channel=channel)
    refused = attentive.call(headers, "POST", "/v1/me/consents", said)
    assert refused.status_code == 409 and "shown for 10 seconds" in refused.text
    assert attentive.call(headers, "POST", "/v1/me/consents", said | {"presentation": SHOWN}).status_code == 201


def test_the_notice_says_it_and_without_it_nothing_is_asked(market):
    (person,) = market.enrol("aspen")
    assert market.says(person, "give").status_code == 201
    assert "shown for 10 seconds" in market.publish(2, reading_seconds=LEAST).texts["en"]


@given(
    seconds=st.integers(0, 30), end=st.booleans(), own=st.booleans(), login=st.booleans(),
    action=st.sampled_from(sorted(Action)),
    channel=st.sampled_from(["app", "web", "branch", "phone", "paper", "api"]), least=st.sampled_from([None, 1, LEAST]),
)  # fmt: skip
def test_the_rule_against_its_definition(seconds, end, own, login, action, channel, least):
    notice = NOTICE.model_copy(update={"terms": NOTICE.terms.model_copy(update={"reading_seconds": least})})
    about = {"notice_language": "en", "notice_sha256": NOTICE.text_sha256("en"), "event_time": NOTICE.published_at}
    shown = Presentation(layout_sha256="a" * 64, seconds=seconds, to_the_end=end, own_controls=own)
    decision = ConsentDecision.model_construct(
        choices=(Choice(purpose="x", recipient="aspen", sensitivity="ordinary", action=action),), channel=channel,
        presentation=shown, **about,
    )  # fmt: skip
    asked = least is not None and action in {"give", "resume"} and (login or channel in {"app", "web", "api"})
    if asked and not (end and own and seconds >= (least or 0)):
        with pytest.raises(Conflict):
            check_answer(decision, notice, in_a_login=login)
    else:
        check_answer(decision, notice, in_a_login=login)
