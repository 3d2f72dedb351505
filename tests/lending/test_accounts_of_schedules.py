"""An account of a schedule that a product made: what the schedule says, fen by fen, whatever the day count."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lending.account.allocation import THIRD_PARTIES
from lending.account.early import EarlyLimits, early_settlement
from lending.account.events import ContractDue, Disbursed, FeeCharged, LoanContract, Repaid
from lending.account.extension import life
from lending.account.fold import state
from lending.account.rows import Balances
from lending.account.states import LoanStatus

schedules = pytest.importorskip("lending.terms.schedule")
costs = pytest.importorskip("lending.terms.cost")
loans = pytest.importorskip("support.loans")


def account_of(loan, product):
    contract = LoanContract(
        "loan-1",
        loan.principal,
        loan.terms.start,
        tuple(map(ContractDue.of, loan.dues)),
        loan.terms.rate_ppm_day,
        750,
        product.grace_days,
        loan.terms.day_count,
    )
    out = Disbursed(id="out", day=contract.starts, amount=contract.principal)
    paid = (Repaid(id=f"p{at}", day=one.day, amount=one.total) for at, one in enumerate(loan.dues))
    return contract, [out, *paid]


@settings(max_examples=40, deadline=None)
@given(loans.asked(), st.data())
def test_what_is_paid_as_scheduled_settles_to_the_fen_and_so_does_repaying_early(case, data):
    loan = schedules.schedule(*case)
    contract, events = account_of(loan, case[0])
    done = state(contract, events, loan.end)
    assert (done.status, done.held, done.arrears) == (LoanStatus.SETTLED, 0, ())
    charged = [one for due in loan.dues for one in due.charges]
    of = {who: sum(one.amount for one in charged if one.payee == who) for who in ("lender", *THIRD_PARTIES)}
    assert done.paid == Balances(0, of["lender"], loan.interest, loan.principal, *(of[who] for who in THIRD_PARTIES))
    day = contract.starts + timedelta(days=data.draw(st.integers(0, contract.term_days - 1)))
    now = state(contract, events, day)
    assert now.outstanding.principal == sum(due.principal for due in loan.dues if due.day > day)
    last = early_settlement(now, (), EarlyLimits(0, None))
    assert last.to_pay == now.not_due.principal + now.not_due.interest
    over = state(contract, [*(one for one in events if one.day <= day), last.event("last", last.to_pay)], loan.end)
    assert (over.status, over.held, over.outstanding.total) == (LoanStatus.SETTLED, 0, 0)
    assert over.paid.interest <= loan.interest


@settings(max_examples=30, deadline=None)
@given(loans.asked())
def test_the_life_of_a_loan_that_keeps_to_its_schedule_costs_what_the_schedule_costs(case):
    loan = schedules.schedule(*case)
    contract, events = account_of(loan, case[0])
    nothing = FeeCharged(id="none", day=contract.starts, amount=0)
    flows = life(state(contract, events[:1], contract.starts), nothing)
    agreed = [one for one in costs.flows_of(loan) if one.net]
    agreed[0] = agreed[0]._replace(charges=0)  # what is charged on the first day is an event of its own
    assert [tuple(one) for one in flows] == [tuple(one) for one in agreed if one.net]
