"""What an account says of one loan, event by event, worked by hand."""

from __future__ import annotations

from datetime import datetime

import pytest
from support.loan_histories import contract, day, disbursed, paid

from lending.account.allocation import STEPS, Order
from lending.account.balances import Spell
from lending.account.events import (
    ChargedOff,
    ContractDue,
    Corrected,
    Disbursed,
    Extended,
    FeeCharged,
    GraceGranted,
    LoanEvent,
    Recovered,
    Refunded,
    Repaid,
    Restructured,
    Waived,
)
from lending.account.fold import resume, state
from lending.account.rows import Balances
from lending.account.states import LOAN_TRANSITIONS, LoanStatus, next_loan_status
from lending.errors import AccountError, LendingError, MoneyError

BULLET = contract((30, 100_000, 1_500, 0))
"""1,000.00 for 30 days at 0.05% a day."""
THREE = contract((30, 33_000, 1_500, 100), (60, 33_000, 1_000, 100), (90, 34_000, 500, 100), grace_days=3)


def at(number, *events, loan=THREE):
    return state(loan, [disbursed(loan), *events], day(number))


# --- balances


def test_interest_accrues_daily_and_is_due_as_the_schedule_says():
    assert at(0).not_due == Balances(principal=100_000)
    assert at(10).not_due == Balances(interest=500, principal=100_000)
    assert at(30).due == Balances(fees=100, interest=1_500, principal=33_000)
    assert at(30).not_due == Balances(principal=67_000)
    assert at(90).due.interest == 3_000


def test_interest_of_a_period_spreads_as_the_day_count_has_it():
    """30/360: from 28 February to 31 March are 33 days, three of them before 1 March; the due is the schedule's to the
    fen."""
    loan = contract((28, 50_000, 900, 0), (59, 50_000, 930, 0), day_count="30/360")
    growth = [at(n, paid(28, 50_900), loan=loan).outstanding.interest for n in (0, 1, 14, 27, 29, 31, 58, 59)]
    assert growth == [0, 32, 450, 868, 85, 141, 902, 930]
    assert [at(n, loan=loan).due.interest for n in (28, 59)] == [900, 1_830]
    with pytest.raises(AccountError, match="is no day count: ACT/365F, "):
        contract((30, 1, 0, 0), day_count="30E/360")


def test_half_a_fen_is_rounded_once_per_due():
    """1 fen a day over 2 days is half a fen a day: 1 on the first, still 1 on the second."""
    loan = contract((2, 1_000, 1, 0))
    assert [at(n, loan=loan).outstanding.interest for n in (0, 1, 2)] == [0, 1, 1]


def test_paying_on_the_day_is_never_late():
    events = [paid(30, 34_600), paid(60, 34_100), paid(90, 34_600)]
    done = at(200, *events)
    assert (done.status, done.arrears, done.held, done.outstanding.total) == (LoanStatus.SETTLED, (), 0, 0)


def test_money_that_comes_early_waits_for_its_due():
    waiting = at(29, paid(20, 34_600))
    assert (waiting.held, waiting.outstanding.principal) == (34_600, 100_000)
    met = at(30, paid(20, 34_600))
    assert (met.held, met.due.total, met.arrears) == (0, 0, ())


def test_early_repayment_pays_interest_by_actual_days():
    """Civil Code 677; and the fees of periods that never came are not owed."""
    done = at(10, paid(10, 100_500, prepays=True))
    assert (done.status, done.paid) == (LoanStatus.SETTLED, Balances(interest=500, principal=100_000))


def test_what_is_paid_in_advance_lowers_interest_of_the_next_dues_or_of_the_last():
    half = [paid(0, 34_000, prepays=True)]
    assert at(30, *half).due.interest == 990  # 1500 x 66/100
    soon = [(row.due - THREE.starts).days for row in at(1, *half).rows if row.principal.open]
    late = contract(
        (30, 33_000, 1_500, 0), (60, 33_000, 1_000, 0), (90, 34_000, 500, 0), order=Order(STEPS, True, True)
    )
    last = [(row.due - late.starts).days for row in at(1, *half, loan=late).rows if row.principal.open]
    assert (soon, last) == ([60, 90], [30, 60])


def test_a_prepayment_leaves_what_waits_for_the_next_due():
    """Or who paid a due early and then more would be late with it."""
    loan = contract(
        (30, 33_000, 1_500, 0), (60, 33_000, 1_000, 0), (90, 34_000, 500, 0), order=Order(STEPS, True, True)
    )
    events = [paid(20, 34_500), paid(21, 30_000, prepays=True)]
    assert [at(n, *events, loan=loan).dpd for n in (30, 31)] == [0, 0]
    both = at(21, paid(20, 34_500), paid(21, 70_000, prepays=True), loan=loan)
    assert (both.status, both.held) == (LoanStatus.SETTLED, 34_500 + 70_000 - 101_050)


def test_an_overpayment_is_held_and_refunded():
    over = [paid(30, 101_600)]
    assert at(30, *over, loan=BULLET).held == 100
    done = at(31, *over, Refunded(id="back", day=day(31), amount=100), loan=BULLET)
    assert (done.held, done.refunded, done.status) == (0, 100, LoanStatus.SETTLED)
    late = at(40, *over, paid(40, 5), loan=BULLET)
    assert (late.held, late.status) == (105, LoanStatus.SETTLED)


def test_a_penalty_begins_after_grace_and_is_not_retroactive():
    assert at(33).outstanding.penalty == 0
    assert at(35).outstanding.penalty == 50  # 2 days x 33,000 x 0.075%
    assert at(35, GraceGranted(id="g", day=day(31), until=day(40))).outstanding.penalty == 0


def test_charge_off_stops_interest_and_recoveries_go_on():
    off = [ChargedOff(id="off", day=day(200))]
    before = at(200)
    gone = at(400, *off)
    assert (gone.written_off, gone.outstanding) == (before.outstanding.total, before.outstanding)
    assert gone.dpd == 370
    back = at(400, *off, Recovered(id="r", day=day(300), amount=gone.written_off))
    assert (back.status, back.outstanding.total, back.dpd) == (LoanStatus.SETTLED, 0, 0)
    assert ("charged-off" in {mark for _, mark in back.marks}) and back.worst_dpd == 270


def test_what_is_held_is_set_off_before_a_charge_off():
    off = at(20, paid(10, 40_000), ChargedOff(id="off", day=day(20)))
    assert (off.held, off.written_off) == (0, 100_000 + 1_000 - 40_000)


def test_a_restructuring_takes_all_principal_along_and_the_rest_is_due_with_it():
    plan = (ContractDue(day(120), 40_000, 900, 50), ContractDue(day(150), 60_000, 600))
    new = at(70, Restructured(id="r", day=day(70), amount=100_000, dues=plan))
    assert (new.past_due, new.due.total, new.outstanding.principal) == (0, 0, 100_000)
    at_first = at(120, Restructured(id="r", day=day(70), amount=100_000, dues=plan)).due
    old_interest = 1_500 + 1_000 + 167  # of the three periods so far, 10 of 30 days of the last
    assert (at_first.principal, at_first.interest, at_first.fees) == (40_000, old_interest + 900, 200 + 50)


# --- two clocks


def test_the_contractual_clock_counts_from_the_earliest_unpaid_due():
    assert [at(n).dpd for n in (29, 30, 31, 60, 100)] == [0, 0, 1, 30, 70]
    one = at(70, paid(65, 34_600 + 1_000))  # the first due, and a part of the second
    assert (one.dpd, one.worst_dpd) == (10, 35)
    assert [one.dpd_on(day(n)) for n in (30, 31, 64, 65, 70)] == [0, 1, 34, 5, 10]


def test_who_pays_five_days_late_was_five_days_late():
    assert at(40, paid(35, 34_650)).arrears == (Spell(day(30), day(35)),)


def test_grace_is_a_second_number_and_never_a_subtraction():
    assert [(at(n).dpd, at(n).past_due) for n in (31, 33, 34)] == [(1, 0), (3, 0), (4, 4)]
    granted = at(35, GraceGranted(id="g", day=day(31), until=day(50)))
    assert (granted.dpd, granted.past_due) == (5, 0)


SLOW = (ContractDue(day(51), 1, 0), ContractDue(day(500), 99_999, 0))


@pytest.mark.parametrize(
    "event",
    [
        GraceGranted(id="x", day=day(25), until=day(300)),
        Extended(id="x", day=day(25), days=300),
        Extended(id="x", day=day(50), days=300, in_difficulty=True),
        Restructured(id="x", day=day(50), amount=100_000, dues=(ContractDue(day(400), 100_000, 0),)),
        Restructured(id="x", day=day(50), amount=100_000, dues=SLOW),
        Waived(id="x", day=day(50), amount=33_000, component="principal"),
        Repaid(id="x", day=day(50), amount=40_000, payer="insurer"),
        Repaid(id="x", day=day(50), amount=40_000, payer="lender"),
        ChargedOff(id="x", day=day(50)),
        FeeCharged(id="x", day=day(50), amount=5),
    ],
    ids=lambda event: type(event).__name__,
)
def test_nothing_but_the_borrowers_money_resets_the_contractual_clock(event):
    """Trap 4."""
    assert [at(n, event).dpd for n in (51, 90, 200)] == [21, 60, 170]
    assert at(200, event).worst_dpd == 170


def test_principal_takes_its_contractual_day_into_another_plan():
    """Also once all the interest of old is paid."""
    new = Restructured(id="r", day=day(50), amount=100_000, dues=(ContractDue(day(400), 100_000, 0),))
    old = at(51, new).outstanding.penalty + 100 + 1_500
    later = [at(n, new, paid(51, old)) for n in (52, 61, 91)]
    assert [one.dpd for one in later] == [22, 31, 61]
    assert later[0].outstanding.interest < 700  # of the period in which the plan was changed
    assert [at(n, new, paid(51, old + 33_000)).dpd for n in (52, 61, 91)] == [0, 1, 31]


def test_an_extension_moves_the_present_due_only_and_what_was_paid_meanwhile_is_paid():
    more = Extended(id="x", day=day(25), days=30, amount=1_000)
    there = at(40, more, paid(25, 1_000), loan=BULLET)
    assert (there.dpd, there.past_due, there.due.total, there.status) == (10, 0, 0, LoanStatus.EXTENDED)
    assert there.not_due.interest == 1_500 + 500  # 10 more days at 0.05%
    done = at(60, more, paid(25, 1_000), paid(50, 102_500), loan=BULLET)
    assert (done.status, done.worst_dpd) == (LoanStatus.SETTLED, 20)


def test_interest_of_an_extension_is_no_contractual_due():
    """The contract asked for 34,600 on day 30; who paid that on day 40 is not late for what the extension costs."""
    events = [Extended(id="x", day=day(25), days=30), paid(40, 33_000 + 100 + 1_500 + 500)]
    assert [at(n, *events).dpd for n in (39, 40, 45)] == [9, 0, 0]


def test_what_is_let_go_before_it_is_due_was_never_due():
    assert at(31, Waived(id="w", day=day(30), amount=1_500, component="interest"), paid(30, 33_100)).dpd == 0
    assert at(32, Waived(id="w", day=day(31), amount=1_500, component="interest"), paid(31, 33_100)).dpd == 2


def test_a_restructured_loan_is_watched_for_a_year_and_as_long_as_it_is_late():
    plan = (ContractDue(day(100), 50_000, 0), ContractDue(day(900), 50_000, 0))
    new = Restructured(id="r", day=day(50), amount=100_000, dues=plan)
    assert [at(n, new).watched for n in (49, 50, 414)] == [False, True, True]
    assert at(415, new).watched  # late on the new plan
    keeps = [new, paid(100, 60_000)]
    assert [at(n, *keeps).watched for n in (414, 415)] == [True, False]
    assert ("forborne", day(50)) in {(mark, on) for on, mark in at(50, new).marks}


# --- one answer to each mistake


def refused(sentence, number, *events, loan=BULLET):
    with pytest.raises(LendingError, match=sentence):
        at(number, *events, loan=loan)


def test_amounts_that_are_not_whole():
    for amount in (10.0, "10", True, None):
        with pytest.raises(MoneyError, match="give whole fen"):
            Repaid(id="x", day=day(1), amount=amount)
    with pytest.raises(MoneyError, match="cannot be below 0"):
        Repaid(id="x", day=day(1), amount=-1)
    with pytest.raises(AccountError, match="a day, not a time"):
        Repaid(id="x", day=datetime(2026, 2, 1), amount=1)
    with pytest.raises(AccountError, match="they must repay 5 fen"):
        Restructured(id="x", day=day(1), amount=5, dues=(ContractDue(day(2), 4, 0),))
    with pytest.raises(AccountError, match="in the order of their days"):
        contract((30, 1, 0, 0), (30, 1, 0, 0))
    with pytest.raises(AccountError, match="the last 0"):
        contract((30, 1, 0, 0), (60, 0, 0, 0))


def test_an_event_out_of_order_is_to_be_booked_as_a_correction():
    refused("book it as a correction", 40, paid(35, 5), paid(34, 5))
    late = Corrected(id="late", day=day(40), instead=(paid(29, 101_500),))
    assert [at(n, paid(35, 0), late, loan=BULLET).dpd for n in (39, 40)] == [9, 0]
    assert at(40, paid(35, 0), late, loan=BULLET).arrears == ()


def test_a_clock_that_goes_back():
    with pytest.raises(AccountError, match="cannot go back"):
        resume(at(40), (), day(39))


def test_one_id_for_two_events():
    refused("two events are called paid-5-1", 9, paid(5, 1), Repaid(id="paid-5-1", day=day(5), amount=2))
    refused("two events are called a", 9, Corrected(id="a", day=day(5), instead=(FeeCharged(id="a", day=day(4)),)))
    assert at(9, paid(5, 1), paid(5, 1)).received == 1


def test_what_cannot_have_happened():
    with pytest.raises(AccountError, match="a loan that is agreed cannot be changed by 'repay'"):
        state(BULLET, [paid(1, 1)], day(2))
    with pytest.raises(AccountError, match="make the contract for what is paid"):
        state(BULLET, [Disbursed(id="o", day=day(0), amount=99_000)], day(2))
    refused("cannot be changed by 'disburse'", 2, Disbursed(id="o2", day=day(1), amount=100_000))
    refused("only 0 are held", 2, Refunded(id="r", day=day(1), amount=1))
    refused("only 500 are owed", 10, Waived(id="w", day=day(10), amount=501, component="interest"))
    refused("a third party cannot overpay", 2, paid(1, 100_051, payer="insurer"))
    refused(
        "but 100000 fen of principal", 2, Restructured(id="r", day=day(1), amount=9, dues=(ContractDue(day(9), 9, 0),))
    )
    refused("nothing is due from", 40, Extended(id="x", day=day(31), days=3))
    with pytest.raises(AccountError, match="before it is granted"):
        GraceGranted(id="x", day=day(31), until=day(30))
    with pytest.raises(AccountError, match="is of no day"):
        Extended(id="x", day=day(3), days=0)
    refused("which is no event", 2, type("Odd", (LoanEvent,), {"step": "repay"})(id="o", day=day(1)))


def test_corrections_reverse_and_replace_and_say_when():
    bounced = Corrected(id="c", day=day(50), corrects=("paid-30-101500",))
    events = [paid(30, 101_500), bounced]
    assert [at(n, *events, loan=BULLET).status for n in (49, 50)] == [LoanStatus.SETTLED, LoanStatus.ACTIVE]
    assert [at(n, *events, loan=BULLET).dpd for n in (49, 50)] == [0, 20]
    refused("names an event that is not booked", 60, Corrected(id="c", day=day(50), corrects=("none",)))
    refused(
        "names an event that is not booked", 60, *events, Corrected(id="d", day=day(51), corrects=("paid-30-101500",))
    )
    refused("or is the disbursement", 60, Corrected(id="c", day=day(50), corrects=("out",)))
    with pytest.raises(AccountError, match="can be"):
        Corrected(id="c", day=day(50), instead=(paid(51, 5),))


@pytest.mark.parametrize(
    "event",
    [
        Waived(id="w", day=day(30), amount=1_500, component="interest"),
        GraceGranted(id="w", day=day(30), until=day(200)),
        Extended(id="w", day=day(29), days=30),
        Restructured(id="w", day=day(29), amount=100_000, dues=(ContractDue(day(200), 100_000, 0),)),
    ],
    ids=lambda one: type(one).__name__,
)
def test_no_concession_is_put_back_in_time(event):
    """A waiver "as of" the due day would be of what was never late: DPD 100 yesterday, and never late today."""
    with pytest.raises(AccountError, match="is granted on the day on which it is booked"):
        Corrected(id="c", day=day(130), instead=(event,))
    today = Waived(id="w", day=day(130), amount=1_500, component="interest")
    order = Order(tuple(sorted(STEPS, key=lambda step: step[1] != "principal")))
    loan = contract((30, 100_000, 1_500, 0), order=order)
    late = at(130, paid(30, 100_000), Corrected(id="c", day=day(130), instead=(today,)), loan=loan)
    assert (late.status, late.worst_dpd) == (LoanStatus.SETTLED, 100)


def test_a_refund_stops_a_correction_that_would_leave_it_uncovered():
    over = [paid(30, 101_600), Refunded(id="back", day=day(31), amount=100)]
    refused("only 0 are held", 50, *over, Corrected(id="c", day=day(50), corrects=("paid-30-101600",)))
    both = Corrected(id="c", day=day(50), corrects=("paid-30-101600", "back"))
    assert at(50, *over, both, loan=BULLET).dpd == 20


# --- the table


def test_the_table_of_loan_states_has_an_answer_for_every_pair():
    steps = {step for _, step in LOAN_TRANSITIONS}
    assert steps == {event.step for event in (*LoanEvent.__subclasses__(),) if hasattr(event, "step")} | {"settle"}
    for status in LoanStatus:
        for step in steps:
            if (status, step) not in LOAN_TRANSITIONS:
                with pytest.raises(AccountError, match="cannot be changed by"):
                    next_loan_status(status, step)
    assert not any(status is LoanStatus.RESTRUCTURED and step == "extend" for status, step in LOAN_TRANSITIONS)
    assert {after for (before, _), after in LOAN_TRANSITIONS.items() if before is LoanStatus.SETTLED} == {
        LoanStatus.SETTLED
    }
