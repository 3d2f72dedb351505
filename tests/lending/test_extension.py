"""Who may be given more time, and what it costs."""

from __future__ import annotations

from decimal import Decimal

import pytest
from support.loan_histories import contract, day, disbursed, paid

from lending.account.events import ChargedOff, ContractDue, Corrected, Extended, FeeCharged, Restructured
from lending.account.extension import ExtensionLimits, ExtensionRequest, LifeFlow, answer, cost_after, life
from lending.account.fold import resume, state
from lending.cases import Cost

MONTH = contract((30, 100_000, 900, 0), rate_ppm_day=300)
"""0.03% a day for 30 days."""


def at(number, *events, loan=MONTH):
    return state(loan, [disbursed(loan), *events], day(number))


def xirr(flows):
    """By bisection: the rate at which what the borrower receives is worth what is paid."""
    first = min(flow.day for flow in flows)
    low, high = -0.9, 10.0
    for _ in range(200):
        rate = (low + high) / 2
        worth = sum(flow.net / (1 + rate) ** ((flow.day - first).days / 365) for flow in flows)
        low, high = (low, rate) if worth > 0 else (rate, high)
    return Decimal(f"{low:.6f}")


def flows(*days):
    """Of (day, principal paid, charges), after the loan."""
    return (LifeFlow(day(0), 100_000), *(LifeFlow(day(on), 0, principal, charges) for on, principal, charges in days))


def cost_of(cap):
    def cost(life):
        rate = xirr(life)
        return Cost(rate, rate, Decimal(cap), "of the day", -sum(flow.net for flow in life))

    return cost


TERM = ExtensionLimits(days=30, times=2)


def asked(number=20, days=30, fee=1_000, name="ext", consented=True):
    return ExtensionRequest(name, day(number), days, fee, consented=consented)


def said(account, request, limits=TERM, cap="0.24", others=()):
    return answer(account, request, limits, cost_of(cap), others)


def test_an_extension_is_costed_over_the_whole_life():
    """A loan of 30 days at 0.03% a day, extended once for 1%: from 11.5% a year to 18.4%, and to 18.5% where fee and
    interest are paid on the first due day."""
    plain = xirr(flows((30, 100_000, 900)))
    paid_then = xirr(flows((30, 0, 1_900), (60, 100_000, 900)))
    given = said(at(0), asked(29))
    whole = flows((29, 0, 1_000), (60, 100_000, 1_800))
    assert life(at(29), asked(29).event) == whole
    found = [str(round(one, 3)) for one in (plain, xirr(whole), paid_then)]
    assert found == ["0.115", "0.184", "0.185"]
    assert given.cost.compound == xirr(whole)
    assert (given.obstacles, given.event) == ((), Extended(id="ext", day=day(29), days=30, amount=1_000))
    assert said(at(0), asked(29), cap="0.12").obstacles == ("above-cap",)
    assert said(at(0), asked(29), cap="0.12").event is None


def test_what_others_are_paid_counts():
    assert said(at(0), asked(), others=[LifeFlow(day(0), charges=1_500)]).obstacles == ("above-cap",)


def test_a_fee_or_another_plan_is_costed_over_the_whole_life_too():
    """Trap 2: a cap that is looked at when the loan is made only."""
    now = at(10)
    fee = cost_after(now, FeeCharged(id="f", day=day(10), amount=1_500), cost_of("0.24"))
    assert not fee.within
    assert fee.compound == xirr(flows((10, 0, 1_500), (30, 100_000, 900)))
    longer = Restructured(id="r", day=day(10), amount=100_000, dues=(ContractDue(day(70), 100_000, 1_800),))
    plan = cost_after(now, longer, cost_of("0.24"))
    assert plan.within
    assert plan.compound == xirr(flows((70, 100_000, 2_100)))  # 300 of the first ten days


def test_it_is_asked_for_before_the_due_day_and_by_nobody_who_is_late():
    assert said(at(0), asked(29)).obstacles == ()
    assert said(at(0), asked(30)).obstacles == ("asked-late",)
    assert said(at(0), asked(31)).obstacles == ("overdue", "asked-late")
    two = contract((30, 50_000, 900, 0), (60, 50_000, 450, 0))
    assert said(at(0, loan=two), asked(45)).obstacles == ("overdue",)
    assert said(at(45, paid(30, 50_900), loan=two), asked(45)).obstacles == ()


def test_the_lender_consents_and_all_extensions_are_no_longer_than_the_term():
    assert said(at(0), asked(consented=False)).obstacles == ("no-consent",)
    assert said(at(0), asked(days=31, fee=0)).obstacles == ("too-long",)
    once = at(20, asked(20, 20, 0).event)
    assert said(once, asked(40, 10, 0, "more")).obstacles == ()
    assert said(once, asked(40, 11, 0, "more")).obstacles == ("too-long",)
    assert said(once, asked(40, 10, 0, "more"), ExtensionLimits(30)).obstacles == ("too-often",)
    assert said(at(0), asked(26), ExtensionLimits(30, asked_before_days=5)).obstacles == ("asked-late",)


def test_where_the_law_says_nothing_nothing_is_granted():
    assert said(at(0), asked(), ExtensionLimits(None)).obstacles == ("law-silent",)


@pytest.mark.parametrize(
    "event",
    [
        ChargedOff(id="off", day=day(10)),
        Restructured(id="r", day=day(10), amount=100_000, dues=(ContractDue(day(50), 100_000, 0),)),
        paid(10, 100_300, prepays=True),
    ],
    ids=["charged off", "restructured", "settled"],
)
def test_only_a_loan_that_stands_can_be_extended(event):
    given = said(at(10, event), asked())
    assert "status" in given.obstacles
    assert (given.cost, given.event) == (None, None)


def test_what_is_granted_can_be_booked_and_ends_where_its_cost_says():
    given = said(at(0), asked())
    there = resume(at(0), [given.event, paid(20, 1_000)], day(60))
    assert (there.due.total, there.past_due, there.dpd) == (101_800, 0, 30)


def test_penalties_are_no_cost_of_the_loan_and_corrections_count():
    two = contract((30, 50_000, 900, 0), (60, 50_000, 450, 0))
    late = at(50, paid(40, 50_900 + 375), loan=two)  # ten days of penalty
    assert late.paid.penalty == 375
    assert life(late, asked(50, 10, 0).event) == flows((40, 50_000, 900), (70, 50_000, 700))
    booked_late = Corrected(id="c", day=day(50), corrects=("paid-40-51275",), instead=(paid(30, 51_275),))
    corrected = life(at(50, paid(40, 51_275), booked_late, loan=two), asked(50, 10, 0).event)
    assert corrected == flows((30, 50_000, 900), (60, 0, 375), (70, 50_000, 325))
