"""A request: every event in every state, and what is written about it."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from crypto.errors import ProofError
from crypto.keys import SigningKey
from protocol.rights import (
    ENTRY_TYPES,
    OPEN,
    REQUEST_TRANSITIONS,
    UNANSWERED,
    WHOLE_PERSON,
    AnswerOutcome,
    IllegalRequestStep,
    RefusalReason,
    RequestContent,
    RequestEvent,
    RequestKind,
    RequestStatus,
    RequestStep,
    RightsAnswer,
    RightsRequest,
    next_status,
    status_after,
)

MOMENT = datetime(2026, 11, 27, 8, tzinfo=UTC)
AFTER = {
    "none": {"receive": "received"},
    "received": {"mark": "marked", "answer": "answered", "refuse": "refused", "close": "closed"},
    "marked": {"answer": "answered", "refuse": "refused", "close": "closed"},
    "answered": {"close": "closed"},
    "refused": {"close": "closed"},
    "closed": {},
}
"""The table again, as it was drawn on paper."""


@pytest.mark.parametrize(("status", "event"), [*itertools.product(RequestStatus, RequestEvent)])
def test_every_event_in_every_state(status, event):
    expected = AFTER[status.value].get(event.value)
    if expected is None:
        with pytest.raises(IllegalRequestStep, match=f"that is {status} cannot be changed by '{event.value}'"):
            next_status(status, event)
    else:
        assert next_status(status, event) == expected
    assert ((status, event) in REQUEST_TRANSITIONS) == (expected is not None)


@given(st.lists(st.sampled_from(RequestEvent), max_size=8))
def test_whatever_happens_a_request_is_received_first_answered_once_and_stays_closed(events):
    status, taken = RequestStatus.NONE, []
    for event in events:
        try:
            status = next_status(status, event)
        except IllegalRequestStep:
            continue
        taken.append(event)
    assert status_after(taken) == status
    assert taken[:1] in ([], [RequestEvent.RECEIVE])
    assert len([one for one in taken if one in {RequestEvent.ANSWER, RequestEvent.REFUSE}]) <= 1
    assert RequestEvent.CLOSE not in taken[:-1]
    assert (status in UNANSWERED) == (bool(taken) and taken[-1] in {RequestEvent.RECEIVE, RequestEvent.MARK})
    assert (status in OPEN) == (status not in {RequestStatus.NONE, RequestStatus.CLOSED})


def test_only_objections_mark_and_what_names_nothing_marks_the_person():
    about = {"text": "x", "transfer_to": "Oak", "about": {"campaign_sha256": "0" * 64, "release": 0}}
    marking = {kind for kind in RequestKind if RequestContent(kind=kind, **about).marks}
    assert marking == {RequestKind.CORRECT, RequestKind.OBJECT, RequestKind.RESTRICT}
    assert RequestContent(kind=RequestKind.OBJECT).marks == (WHOLE_PERSON,)
    assert RequestContent(kind=RequestKind.OBJECT, features=("late", "income")).marks == ("income", "late")
    with pytest.raises(ValidationError):
        RequestContent(kind=RequestKind.OBJECT, features=(WHOLE_PERSON,))


def answer(**changes) -> RightsAnswer:
    said = {"lender": "aspen", "request_sha256": "0" * 64, "outcome": "granted", "text": "Yes.", "language": "en",
            "answered_at": MOMENT}  # fmt: skip
    return RightsAnswer.model_validate(said | changes)


def test_a_no_has_a_reason_from_the_list_and_a_yes_has_none():
    assert answer().event is RequestEvent.ANSWER
    assert answer(outcome="partly", reason="not-held").event is RequestEvent.ANSWER
    assert answer(outcome="refused", reason="secrecy").event is RequestEvent.REFUSE
    wrong = [
        {"outcome": "refused"},
        {"outcome": "partly"},
        {"reason": "not-held"},
        {"outcome": "refused", "reason": "because"},
        {"text": ""},
        {"text": "."},
        {"text": " … !"},
        {"outcome": "refused", "reason": "verified-correct", "corrected": ["late"]},
    ]
    for changes in wrong:
        with pytest.raises(ValidationError):
            answer(**changes)
    assert set(AnswerOutcome) == {"granted", "partly", "refused"}
    assert RefusalReason("no-authority")


def step(**changes) -> RequestStep:
    request = RightsRequest(
        pii_principal_id="v1." + "A" * 43, recipient="aspen", asked=RequestContent(kind="access"), asked_at=MOMENT,
        nonce="n" * 16,
    )  # fmt: skip
    fields = {
        "request_sha256": request.sha256, "event": RequestEvent.RECEIVE, "at": MOMENT, "salt": "s" * 43,
        "evidence": {"request": request.payload(), "login_sha256": ""},
    }  # fmt: skip
    return RequestStep.model_validate(fields | changes)


@pytest.mark.parametrize(
    "change",
    [
        {"at": MOMENT + timedelta(seconds=1)},
        {"due_at": MOMENT},
        {"salt": "t" * 43},
        {"law": "GDPR 12(3)"},
        {"evidence": {}},
        {"request_sha256": "0" * 64},
        {"event": RequestEvent.CLOSE},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_leaf_commits_to_everything_in_its_step(change):
    leaf = f'{{"type":"request.received","request":"{step().commitment}"}}'.encode()
    step().proved_by(leaf)
    with pytest.raises(ProofError, match="commit"):
        step(**change).proved_by(leaf)
    with pytest.raises(ProofError):
        step().proved_by(leaf.replace(b"received", b"answered"))


def test_a_step_that_holds_another_request_or_answer_is_none():
    with pytest.raises(ProofError, match="another request"):
        step(request_sha256="0" * 64).request()
    key, about = SigningKey.generate(), step().request_sha256
    said = {"event": RequestEvent.ANSWER, "evidence": {"token": answer(request_sha256=about).sign(key)}}
    assert step(**said).answer(key.public).text == "Yes."
    for change in ({"event": RequestEvent.REFUSE}, {"request_sha256": "0" * 64}):
        with pytest.raises(ProofError, match="another answer"):
            step(**said | change).answer(key.public)


def test_every_event_has_a_type_of_entry():
    assert set(ENTRY_TYPES) == set(RequestEvent)
