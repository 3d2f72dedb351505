"""Contracts and events as stored: what was written is what is read, and what is none is refused."""

from __future__ import annotations

import json

import pytest
import rfc8785
from hypothesis import given, settings
from support.loan_histories import contract, day, histories, paid

from lending.account.events import Corrected, LoanEvent
from lending.account.fold import state
from lending.account.records import contract_from, contract_record, event_from, record_of
from lending.errors import AccountError, LendingError, MoneyError


@settings(max_examples=60, deadline=None)
@given(histories)
def test_a_stored_history_is_the_same_account(history):
    records = json.loads(json.dumps([record_of(one) for one in history.events]))
    loan = contract_from(json.loads(json.dumps(contract_record(history.loan))))
    events = [event_from(one) for one in records]
    assert (loan, events) == (history.loan, history.events)
    assert state(loan, events, history.last) == state(history.loan, history.events, history.last)
    assert rfc8785.dumps(records)


def test_a_correction_is_stored_with_what_it_puts_in_place():
    event = Corrected(id="c", day=day(9), corrects=("a",), instead=(paid(3, 4, prepays=True),))
    assert event_from(record_of(event)) == event


GOOD = record_of(paid(3, 400))


@pytest.mark.parametrize(
    ("record", "error", "sentence"),
    [
        ({**GOOD, "kind": "given"}, AccountError, "no kind of event: disbursed, "),
        ({"id": "x"}, AccountError, "None is no kind"),
        ({**GOOD, "amount": 4.0}, MoneyError, "whole fen"),
        ({**GOOD, "day": "2026-02-30"}, AccountError, "event paid-3-400 cannot be read"),
        ({**GOOD, "day": 5}, AccountError, "cannot be read"),
        ({**GOOD, "payer": "aunt"}, AccountError, "'aunt' is no payer: borrower, "),
        ({**GOOD, "prepays": "no"}, AccountError, "yes or no"),
        ({**GOOD, "kind": "waived"}, AccountError, "cannot be read"),
        ({"kind": "waived", "id": "w", "day": "2026-02-02", "component": "all"}, AccountError, "'all' is no component"),
        ({"kind": "grace-granted", "id": "g", "day": "2026-02-02", "until": None}, AccountError, "cannot be read"),
        ({**GOOD, "surprise": 1}, AccountError, "surprise"),
        ({name: one for name, one in GOOD.items() if name != "day"}, AccountError, "day"),
        ({**record_of(Corrected(id="c", day=day(1))), "instead": [{"kind": "x"}]}, AccountError, "'x' is no kind"),
    ],
)
def test_what_is_no_event_is_refused_in_a_sentence(record, error, sentence):
    with pytest.raises(error, match=sentence):
        event_from(record)


def test_what_is_no_contract_is_refused_in_a_sentence():
    good = contract_record(contract((30, 100, 1, 0)))
    for odd in ({"principal": "100"}, {"dues": [{"day": "soon"}]}, {"order": {"steps": []}}, {"more": 1}):
        with pytest.raises(LendingError):
            contract_from({**good, **odd})


def test_every_kind_of_event_can_be_stored():
    kinds = {one for one in LoanEvent.__subclasses__() if one.__module__ == LoanEvent.__module__}
    assert len({one.__name__ for one in kinds}) == 12
