"""All-in cost: against pyxirr, by known answers, everybody counted (traps 1 and 2), and the rate that fits the cap."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal, localcontext

import pytest
import pyxirr
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.effort import EFFORT, effort
from support.loans import TODAY, asked, fee, once, product

from benchmarks.lending.money import adds_up, oracle, random_loans
from lending.errors import CostError, LawSilent, TermsError
from lending.law.caps import Cap, cap
from lending.law.rows import LAWS
from lending.money import compound_year, percent, simple_year
from lending.terms.cost import (
    BEYOND,
    CashFlow,
    cost,
    cost_of,
    flows_of,
    highest_rate,
    margin,
    price,
    simple_rate,
    xirr,
)
from lending.terms.irr import roots
from lending.terms.schedule import schedule

START = date(2026, 11, 27)
FREE = Cap(None, ())
YUAN = 100


def lent(*paid: tuple[int, int, int], upfront: int = 0, principal: int = 1_000_000) -> list[CashFlow]:
    """10,000 yuan, and (days later, principal, charges)."""
    first = CashFlow(START, principal, charges=upfront)
    return [first, *(CashFlow(START + timedelta(days=day), 0, back, more) for day, back, more in paid)]


@settings(max_examples=effort(1_500), deadline=None)
@given(asked())
def test_the_compound_figure_is_pyxirrs(case):
    flows = flows_of(schedule(*case))
    assume(flows[0].net > 0 and xirr(flows) < 100)
    _, expected = oracle(flows)
    assert abs(float(xirr(flows)) - expected) <= 1e-9 * max(1.0, expected)


def test_random_loans_cost_what_pyxirr_says_and_add_up_to_the_fen():
    """The bar of the benchmark: all 100,000 of them at full effort."""
    for loan in random_loans(seed=7, count=100_000 if EFFORT >= 1 else 500):
        flows = flows_of(loan)
        assert adds_up(loan)
        assert abs(float(xirr(flows)) - oracle(flows)[1]) <= 1e-9


@settings(max_examples=effort(1_000), deadline=None)
@given(asked())
def test_at_the_compound_figure_nothing_is_gained_or_lost(case):
    """The definition itself, in other digits than it was solved in."""
    flows = flows_of(schedule(*case))
    assume(flows[0].net > 0)
    rate = xirr(flows)
    assume(rate < BEYOND)
    with localcontext(prec=80):

        def worth(annual: Decimal) -> Decimal:
            return sum(flow.net / (1 + annual) ** (Decimal((flow.day - flows[0].day).days) / 365) for flow in flows)

        assert worth(rate) >= 0 >= worth(rate - Decimal("1.01e-12")), "upwards, and by less than the last digit"


def test_the_figures_of_a_daily_rate_that_is_paid_back_every_day():
    """0.05% a day is 18.25% simple; the shorter the interval of payment, the nearer to 20.02% compound."""
    for days, least in ((1, "20.02%"), (30, "19.86%"), (365, "18.25%")):
        flows = lent((days, 1_000_000, 500 * days))
        assert percent(simple_rate(flows)) == "18.25%"
        assert percent(xirr(flows)) == least
    assert xirr(lent((1, 1_000_000, 500))) == compound_year(500) and simple_year(500) == Decimal("0.1825")


def test_a_flat_rate_of_one_percent_a_month():
    """1% of the first principal a month, twelve months: 21.5% nominal, 23.7 to 23.9% effective."""
    days = [30, 61, 91, 122, 152, 183, 213, 244, 274, 305, 335, 365]
    flows = lent(*((day, 100_000, 12_000) for day in days), principal=1_200_000)
    assert Decimal("0.236") < xirr(flows) < Decimal("0.239")
    monthly = pyxirr.irr([-1_200_000, *[112_000] * 12])
    assert f"{12 * monthly:.3f} {(1 + monthly) ** 12 - 1:.3f}" == "0.215 0.237"


def test_an_extension_for_a_fee_counts_over_the_whole_life():
    """Trap 2: 30 days at 0.03% a day cost 11.5%; extended once for 1% of the principal, 18.5%."""
    plain, extended = lent((30, 1_000_000, 9_000)), lent((30, 0, 19_000), (60, 1_000_000, 9_000))
    assert percent(xirr(plain), 1) == "11.6%" and Decimal("0.18") < xirr(extended) < Decimal("0.186")
    limit = Cap(Decimal("0.12"), ())
    assert cost_of(plain, limit).within and not cost_of(extended, limit).within


@pytest.mark.parametrize(
    "hidden",
    [fee("guarantee", payee="guarantor", method="of-balance", value=9_000),
     fee("premium", when="start", payee="insurer", value=40_000),
     fee("membership", when="start", payee="platform", method="amount", value=400 * YUAN),
     fee("service", payee="platform", method="amount", value=70 * YUAN),
     fee("closing", when="last-due", payee="lender", value=60_000)],
    ids=lambda one: one["code"],
)  # fmt: skip
def test_whoever_is_paid_the_cap_counts_it(hidden):
    """Trap 2: at a nominal 21.9% everything fits; with what goes to others nothing does."""
    case = (1_000_000, 580, START, 360)
    assert cost(product(), schedule(product(), *case)).within
    made = product(fees=[hidden])
    found = cost(made, schedule(made, *case))
    assert not found.within and found.cap == Decimal("0.24")
    assert found.total == schedule(made, *case).interest + schedule(made, *case).fees


def test_a_fee_of_nothing_interest_is_a_cost():
    made = once(fees=[fee("premium", when="start", value=20_000)])
    found = cost(made, schedule(made, 1_000_000, 0, START, 30))
    assert found.simple > Decimal("0.248") and found.compound > found.simple and not found.within
    assert found.total == 20_000


def test_what_is_charged_on_the_first_day_was_never_in_the_borrowers_hand():
    assert simple_rate(lent((365, 1_000_000, 0), upfront=100_000)) == Decimal("0.111111111112")
    assert xirr(lent((365, 1_000_000, 0), upfront=100_000)) == Decimal("0.111111111112")


@pytest.mark.parametrize(("rate", "daily"), [("0.24", 657), ("0.12", 328)])
def test_a_cap_divided_by_the_days_of_the_year_does_not_fit_under_it(rate, daily):
    """Trap 1: the simple figure fits, the compound one does not, and the stricter one gates."""
    flows = lent((30, 1_000_000, 30 * daily))
    found = cost_of(flows, Cap(Decimal(rate), ()))
    assert found.simple <= found.cap < found.compound and not found.within
    assert margin(flows, Cap(Decimal(rate), ())) < 0


def test_over_a_year_the_simple_figure_is_the_stricter_one():
    flows = lent((1095, 1_000_000, 700_000))
    limit = Cap(Decimal("0.2"), ())
    found = cost_of(flows, limit)
    assert found.compound < found.cap < found.simple and not found.within and margin(flows, limit) < 0


@settings(max_examples=effort(1_000), deadline=None)
@given(asked(), st.sampled_from(["0", "0.12", "0.24", "0.36"]))
def test_the_margin_says_what_the_figures_say(case, rate):
    flows, limit = flows_of(schedule(*case)), Cap(Decimal(rate), ())
    assume(flows[0].net > 0)
    assert (margin(flows, limit) >= 0) == cost_of(flows, limit).within


@pytest.mark.parametrize("charge", [239_999, 240_000, 240_001])
def test_at_the_cap_itself_to_the_fen(charge):
    flows, limit = lent((365, 1_000_000, charge)), Cap(Decimal("0.24"), ())
    assert cost_of(flows, limit).within == (margin(flows, limit) >= 0) == (charge <= 240_000)


@settings(max_examples=effort(1_000), deadline=None)
@given(asked(), st.one_of(st.none(), st.integers(0, 2_000)))
def test_the_highest_rate_fits_and_one_more_does_not(case, most):
    made, principal, _, day, term = case
    found = highest_rate(made, principal, term, day, most)
    top = made.rates.most if most is None else min(most, made.rates.most)

    def within(rate: int) -> bool:
        flows = flows_of(schedule(made, principal, rate, day, term))
        return flows[0].net > 0 and cost(made, schedule(made, principal, rate, day, term)).within

    if found is None:
        assert not within(made.rates.least)
    else:
        assert within(found) and (found == top or not within(found + 1))


def test_the_highest_rate_is_that_of_trying_every_one():
    made = product(fees=[fee("guarantee", method="of-balance", value=3_000)], rates={"least": 300, "most": 700})
    fits = [rate for rate in range(300, 701) if cost(made, schedule(made, 1_000_000, rate, START, 360)).within]
    assert highest_rate(made, 1_000_000, 360, START) == max(fits) and fits == list(range(300, max(fits) + 1))


def test_a_product_that_cannot_live_under_the_cap_has_no_rate():
    made = product(fees=[fee("guarantee", value=20_000)])
    assert highest_rate(made, 1_000_000, 360, START) is None
    assert highest_rate(product(rates={"least": 600, "most": 700}), 1_000_000, 360, START) is None
    assert highest_rate(product(rates={"least": 300, "most": 700}), 1_000_000, 360, START, most=299) is None
    swallowed = once(fees=[fee("premium", when="start", value=1_000_000)])
    assert highest_rate(swallowed, 1_000_000, 30, START) is None
    with pytest.raises(TermsError):
        highest_rate(product(), 1, 360, START)


@settings(max_examples=effort(1_000), deadline=None)
@given(asked())
def test_a_price_is_the_wanted_rate_or_the_highest_that_fits(case):
    made, principal, wanted, day, term = case
    found, most = price(made, principal, term, day, wanted), highest_rate(made, principal, term, day, wanted)
    assert (found is None) == (most is None)
    if found is not None:
        assert found.rate_ppm_day == most and found.loan == schedule(made, principal, most, day, term)
        assert found.cost == cost(made, found.loan) and found.cost.within


def test_after_2027_the_same_product_is_priced_under_four_times_lpr_and_a_month_is_not():
    made = product(kind="bullet", dues="once", terms=[30, 360])
    turn = date(2028, 1, 1)
    with pytest.raises(LawSilent, match="add the one that follows"):
        highest_rate(made, 1_000_000, 360, turn)
    row = 'key = "lpr-1y"\nvalue = "0.030"\nfrom = 2027-12-20\narticle = "1Y LPR"\nsource = "a test"\nverified = true'
    laws = LAWS.with_rows("CN", f"[[row]]\n{row}")
    assert highest_rate(made, 1_000_000, 360, turn, laws=laws) == 328
    assert highest_rate(made, 1_000_000, 30, turn, laws=laws) == 594
    assert cap(turn, "CN", 30, "microloan", laws).rate == Decimal("0.24")


@pytest.mark.parametrize("flows", [[], lent(), lent(upfront=1_000_000), lent((0, 1_000_000, 5))])
def test_flows_that_have_no_annual_cost_are_refused(flows):
    with pytest.raises(CostError, match="no annual rate"):
        xirr(flows)
    with pytest.raises(CostError, match="no annual rate"):
        simple_rate(flows)
    assert not flows or margin(flows, Cap(Decimal("0.24"), ())) < 0


def test_who_never_pays_all_back_has_a_rate_below_nothing():
    assert xirr(lent((365, 500_000, 0))) == Decimal("-0.5")
    assert xirr(lent((365, 1_000_000, 0))) == 0


def test_where_several_rates_would_do_the_highest_counts():
    """Received 100, paid 230 after a year, received 132 after two: 10% and 20%."""
    flows = [CashFlow(START, 10_000), CashFlow(date(2027, 11, 27), 0, 23_000),
             CashFlow(date(2028, 11, 26), 13_200)]  # fmt: skip
    assert xirr(flows) == Decimal("0.2")
    with pytest.raises(CostError, match="no annual rate"):
        xirr([flows[0], CashFlow(date(2027, 11, 27), 0, 20_000), CashFlow(date(2028, 11, 26), 10_100)])


@settings(max_examples=effort(1_000), deadline=None)
@given(st.lists(st.sampled_from([-30, -12, -5, 0, 3, 7, 10, 25]), min_size=1, max_size=4, unique=True))
def test_every_root_is_found(percents):
    """Of the polynomial that has exactly these: the product of (v - root) over years."""
    wanted = sorted(Decimal(100) / (100 + percent) for percent in percents)
    terms = [1]
    for at in percents:  # (100 + at) * v - 100, in whole numbers
        terms = [
            (100 + at) * (terms[k - 1] if k else 0) - 100 * (terms[k] if k < len(terms) else 0)
            for k in range(len(terms) + 1)
        ]
    found = roots(list(enumerate(terms)))
    assert len(found) == len(wanted)
    assert all(abs(one - other) < Decimal("1e-25") for one, other in zip(found, wanted, strict=True))


def test_a_rate_beyond_all_caps_is_given_an_end():
    assert xirr(lent((1, 1_000_000, 1_000_000))) == BEYOND
    assert simple_rate(lent((1, 1_000_000, 10**15))) == BEYOND


def test_the_union_has_no_cap_of_its_own_and_that_is_said():
    made = product(jurisdiction="EU", lender_kind="creditor")
    found = cost(made, schedule(made, 1_000_000, 900, TODAY, 360))
    assert found.cap is None and found.within and "Member States" in found.cap_source
    assert highest_rate(made, 1_000_000, 360, TODAY) == 2_000
    assert margin(flows_of(schedule(made, 1_000_000, 900, TODAY, 360)), FREE) > 0
    assert margin(lent((30, 1_000_000, 0), upfront=1_000_000), FREE) < 0, "no cap, and no cost either"


def test_no_context_of_the_caller_changes_a_cost():
    made = product()
    wanted = cost(made, schedule(made, 1_234_567, 433, START, 360)), highest_rate(made, 1_234_567, 360, START)
    with localcontext(prec=6):
        found = cost(made, schedule(made, 1_234_567, 433, START, 360)), highest_rate(made, 1_234_567, 360, START)
    assert found == wanted
