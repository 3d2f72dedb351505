"""Whatever happens to a loan in whatever order: nothing resets the contractual clock, no balance is negative, and every
fen is somewhere."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import accumulate
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.effort import EFFORT
from support.loan_histories import History, disbursed, histories, played, random_contract, random_event
from support.naive_loans import NaiveLoan

from lending.account.allocation import HEADS, STANDARD
from lending.account.balances import Account
from lending.account.events import (
    Corrected,
    Extended,
    FeeCharged,
    GraceGranted,
    LoanEvent,
    Recovered,
    Repaid,
    SettledEarly,
)
from lending.account.fold import resume, state
from lending.account.states import LoanStatus
from lending.errors import AccountError

THOROUGH = settings(
    max_examples=100_000 if EFFORT >= 1 else 250,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def borrowers_money(event: LoanEvent) -> bool:
    return isinstance(event, SettledEarly) or (isinstance(event, Repaid | Recovered) and event.payer == "borrower")


def every_fen_is_somewhere(account: Account) -> None:
    assert account.received == account.paid.total + account.held + account.refunded
    outstanding = account.outstanding
    assert account.contract.principal == outstanding.principal + account.paid.principal + account.waived.principal
    assert min(account.held, account.received, account.refunded) >= 0
    for row in account.rows:
        for what in HEADS:
            claim = getattr(row, what)
            assert claim.open >= 0
            assert 0 <= claim.met <= claim.settled


def effective_money(account: Account) -> int:
    gone = {name for one in account.events if isinstance(one, Corrected) for name in one.corrects}
    return sum(one.amount for one in account.events if borrowers_money(one) and one.id not in gone)


def no_clock_is_ahead_of_the_money(account: Account) -> None:
    """From first principles: somebody who paid less, all in all, than the contract's principal up to a due is late
    since that due at least."""
    if account.status is LoanStatus.SETTLED:
        return
    most = effective_money(account) + account.waived.principal
    dues = account.contract.dues
    for one, asked in zip(dues, accumulate(due.principal for due in dues), strict=True):
        if asked > most and one.day < account.day:
            assert account.dpd >= (account.day - one.day).days
            return


def only_money_moves_the_clock(before: Account, event: LoanEvent, after: Account) -> None:
    if isinstance(event, Corrected):
        theirs = all(one.payer == "borrower" for one in before.events if isinstance(one, Repaid | Recovered))
        assert after.dpd >= before.dpd or not theirs  # a payment that never was
    elif borrowers_money(event) or after.status is LoanStatus.SETTLED:
        assert after.dpd <= before.dpd
    else:
        assert after.dpd == before.dpd
    assert after.worst_dpd >= before.worst_dpd or isinstance(event, Corrected)


def time_moves_it_by_the_day(history: History) -> None:
    for (_, _, earlier), (later, _, _) in zip(history.steps, history.steps[1:], strict=False):
        days = (later.day - earlier.day).days
        if later.status is LoanStatus.SETTLED:
            assert later.dpd == 0  # money that was held met the last due
        elif earlier.dpd:
            assert later.dpd == earlier.dpd + days
        else:
            assert later.dpd <= days


def check(history: History) -> None:
    for before, event, after in history.steps:
        every_fen_is_somewhere(before)
        every_fen_is_somewhere(after)
        only_money_moves_the_clock(before, event, after)
        no_clock_is_ahead_of_the_money(before)
        no_clock_is_ahead_of_the_money(after)
    time_moves_it_by_the_day(history)
    end = state(history.loan, history.events, history.last)
    every_fen_is_somewhere(end)
    no_clock_is_ahead_of_the_money(end)
    paying = effective_money(end) or end.waived.total or end.status is LoanStatus.SETTLED
    first = history.loan.dues[0]
    if not paying and first.principal and end.day > first.day:
        assert end.dpd == (end.day - first.day).days


@pytest.mark.timeout(7200)
@THOROUGH
@given(histories)
def test_nothing_resets_the_clock_and_every_fen_is_somewhere(history):
    check(history)


@settings(THOROUGH, max_examples=THOROUGH.max_examples // 5)
@given(histories, st.randoms(use_true_random=False))
def test_the_fold_does_not_depend_on_how_events_come(history, rng: Random):
    """In batches, with days asked for in between, twice, or all at once."""
    whole = state(history.loan, history.events, history.last)
    cut = rng.randrange(len(history.events) + 1)
    first, rest = history.events[:cut], history.events[cut:]
    day = first[-1].day if first else history.loan.starts - timedelta(days=3)
    until = rest[0].day if rest else history.last
    day += timedelta(days=rng.randint(0, max((until - day).days, 0)))
    half = state(history.loan, first, day)
    assert resume(half, rest, history.last) == whole
    again = [*history.events, *rng.sample(history.events, rng.randint(0, len(history.events)))]
    assert state(history.loan, again, history.last) == whole
    assert resume(whole, history.events, history.last) == whole


@settings(THOROUGH, max_examples=THOROUGH.max_examples // 5)
@given(histories, st.integers(0, 400))
def test_what_was_known_of_an_earlier_day_does_not_change(history, days):
    day = history.loan.starts + timedelta(days=days)
    known = [one for one in history.events if one.day <= day]
    assert state(history.loan, history.events, day) == state(history.loan, known, day)


PLAIN = (Repaid, FeeCharged, GraceGranted, Extended)


@settings(THOROUGH, max_examples=THOROUGH.max_examples // 10)
@given(st.integers(0, 2**63))
def test_every_evening_is_as_by_hand(seed):
    """Balances by component, what is held, and the contractual clock, beside a loan that is lived day by day."""
    rng = Random(seed)
    loan = replace(random_contract(rng), order=STANDARD, day_count="ACT/360")
    naive, account = NaiveLoan(loan), state(loan, [disbursed(loan)], loan.starts)
    for number in range(rng.randint(20, 120)):
        if rng.random() < 0.1:
            with suppress(AccountError):
                event = random_event(rng, account, f"e{number}")
                if isinstance(event, PLAIN) and getattr(event, "payer", "borrower") == "borrower":
                    account = resume(account, [event], naive.today)
                    naive.happens(event)
        naive.night()
        account = resume(account, (), naive.today)
        assert {what: getattr(account.outstanding, what) for what in HEADS} == naive.outstanding()
        assert (account.held, account.dpd) == (naive.purse, naive.dpd())


def test_histories_are_of_all_kinds():
    """The random loans meet every kind of event, every status, and long arrears."""
    made = [played(seed, seed % 15) for seed in range(150)]
    kinds = {type(event).__name__ for one in made for event in one.events}
    assert len(kinds) == 12
    ends = [state(one.loan, one.events, one.last) for one in made]
    assert {end.status for end in ends} == set(LoanStatus) - {LoanStatus.AGREED}
    assert sum(end.worst_dpd >= 90 for end in ends) > 15
    assert sum(bool(end.held) for end in ends) > 3
    assert sum(one.refused for one in made) > 80
