"""Loans of random products as they are lived: priced, paid or not, given grace, extended while the law changes.

Whatever is granted, the whole life costs no more than the law of that day allows, and nothing but money moves the
contractual clock. What a life costs is counted here from what the borrower pays, beside what the pricing says.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import pytest
import pyxirr
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from support.effort import EFFORT
from support.loans import fee, product

from lending.account.balances import Account
from lending.account.events import Disbursed, Extended, FeeCharged, GraceGranted, LoanEvent, Repaid, by_payee
from lending.account.fold import resume, state
from lending.account.states import LoanStatus
from lending.cases import Cost, LoanOffer
from lending.errors import AccountError
from lending.law.rows import LAWS, Laws
from lending.policy.pricing import Extending, ProductPricing
from lending.terms.cost import price
from lending.terms.products import Product
from lending.terms.schedule import charge_of

COUNT = 100_000 if EFFORT >= 1 else 150
BEGINS = date(2026, 3, 1)
SHAPES = [("annuity", "monthly"), ("equal-principal", "monthly"), ("bullet", "monthly"), ("bullet", "once")]
THIRD = ["guarantor", "insurer", "platform"]
NEAR = 1e-9


@cache
def law(changes: date, cap: str) -> Laws:
    """The law, but that another cap holds from a day on."""
    rows: list[Any] = []
    for row in LAWS.rows["CN"]:
        if row.key == "cap.microloan" and row.until == date(2028, 1, 1):
            rows.append(row.model_copy(update={"until": changes}))
            rows.append(row.model_copy(update={"since": changes, "value": cap}))
        else:
            rows.append(row)
    return Laws({**LAWS.rows, "CN": tuple(rows)})


@st.composite
def charges(draw: st.DrawFn, at: int) -> dict[str, Any]:
    method, most = draw(st.sampled_from([("amount", 800), ("of-principal", 6_000), ("of-balance", 4_000)]))
    when = draw(st.sampled_from(["start", "each-due", "last-due", "extension", "extension"]))
    others = THIRD if when == "start" else [*THIRD, "lender"]
    value = draw(st.integers(0, most))
    return fee(f"fee-{at}", when=when, method=method, value=value, payee=draw(st.sampled_from(others)))


@st.composite
def products(draw: st.DrawFn) -> Product:
    kind, dues = draw(st.sampled_from(SHAPES))
    late = fee("late", when="late", method="of-overdue-a-day", value=draw(st.integers(0, 900)), payee="lender")
    return product(
        kind=kind,
        dues=dues,
        day_count=draw(st.sampled_from(["ACT/365F", "ACT/360", "30/360", "ACT/ACT"])),
        grace_days=draw(st.sampled_from([0, 0, 3, 10])),
        fees=[late, *(draw(charges(at)) for at in range(draw(st.integers(0, 3))))],
        extension={"times": draw(st.integers(1, 3)), "days": draw(st.integers(1, 200))},
    )


STEP = st.tuples(
    st.sampled_from(["pay", "pay", "extend", "extend", "grace", "wait"]), st.integers(0, 40), st.integers(1, 90)
)


@dataclass
class Life:
    """One loan as it is lived. ``flows``: what the borrower received and paid, penalties left out, fen by day;
    ``repaid``: the principal among it."""

    made: Product
    pricing: ProductPricing
    account: Account
    flows: list[tuple[date, int]]
    repaid: list[tuple[date, int]] = field(default_factory=list)
    numbers: int = 0

    def happens(self, one: LoanEvent) -> None:
        """It is booked on the account's day; what it takes from the borrower is counted."""
        before = self.account
        self.account = resume(before, [one], before.day)
        self.counts(before)

    def counts(self, before: Account) -> None:
        old, new = before.paid, self.account.paid
        paid = (new.total - new.penalty) - (old.total - old.penalty)
        if paid:
            self.flows.append((self.account.day, -paid))
            self.repaid.append((self.account.day, new.principal - old.principal))

    def until(self, day: date) -> None:
        before = self.account
        self.account = resume(before, (), day)
        self.counts(before)

    def pays(self) -> None:
        owed = self.account.due.total
        if owed:
            self.numbers += 1
            self.happens(Repaid(id=f"paid-{self.numbers}", day=self.account.day, amount=owed))

    def to_the_end(self) -> Life:
        """Another life from here on, in which everything is paid on its day."""
        rest = replace(self, flows=list(self.flows), repaid=list(self.repaid))
        rest.pays()
        while rest.account.status is not LoanStatus.SETTLED:
            ahead = [row.due for row in rest.account.rows if row.due > rest.account.day]
            rest.until(min(ahead))
            rest.pays()
        return rest


@st.composite
def lives(draw: st.DrawFn) -> tuple[Life, list[tuple[str, int, int]]]:
    made = draw(products())
    principal, term = draw(st.integers(10_000, 500_000)), draw(st.sampled_from(made.terms))
    starts = BEGINS + timedelta(days=draw(st.integers(0, 300)))
    laws = law(BEGINS + timedelta(days=draw(st.integers(1, 500))), draw(st.sampled_from(["0.24", "0.18", "0.12"])))
    found = price(made, principal, term, starts, draw(st.integers(0, 700)), laws)
    assume(found is not None)
    assert found is not None
    here = ProductPricing({made.name: made}, laws)
    moment = datetime(starts.year, starts.month, starts.day, tzinfo=UTC)
    offer = LoanOffer(made.name, principal, term, found.rate_ppm_day, principal, found.cost, moment)
    agreed = here.agreed(offer, "loan", principal, starts)
    assert agreed.cost.within
    out = Disbursed(id="out", day=starts, amount=principal)
    begun = state(agreed.contract, [out], starts)
    _, others = by_payee(
        charge_of(one, principal, principal, made.rounding) for one in made.fees_by_moment.get("start", ())
    )
    flows = [(starts, principal), *((starts, -amount) for _, amount in others)]
    life = Life(made, here, begun, flows)
    if agreed.upfront:
        life.happens(FeeCharged(id="start", day=starts, amount=agreed.upfront))
    return life, draw(st.lists(STEP, min_size=1, max_size=12))


def costs(life: Life) -> tuple[float, float]:
    """Compound and simple, a year, of a life that is over."""
    days, amounts = zip(*life.flows, strict=True)
    compound = pyxirr.xirr(days, [float(one) for one in amounts]) or 0.0
    had, base, before = sum(amount for day, amount in life.flows if day == days[0]), 0, days[0]
    for day, principal in life.repaid:
        base += max(had, 0) * (day - before).days
        had, before = had - principal, day
    return float(compound), -sum(amounts) * 365 / base


def is_within(life: Life, said: Cost) -> None:
    """What the life costs, if it is kept from here on, is what was said, and within the cap."""
    compound, simple = costs(life.to_the_end())
    assert said.cap is not None
    assert compound == pytest.approx(float(said.compound), abs=NEAR)
    assert simple == pytest.approx(float(said.simple), abs=NEAR)
    assert max(compound, simple) <= float(said.cap) + NEAR


def extends(life: Life, days: int, difficult: bool) -> None:
    life.numbers += 1
    asked = Extending(f"x-{life.numbers}", life.account.day, days, difficult)
    found = life.pricing.extension(life.made, life.account, asked)
    if found.event is None:
        event("an extension is refused")
        return
    before = life.account
    life.happens(found.event)
    assert found.cost is not None and found.cost.within
    given = [one.days for one in life.account.events if isinstance(one, Extended)]
    assert sum(given) <= before.contract.term_days, "of a year at most: no longer than the term"
    assert life.made.extension is not None and len(given) <= life.made.extension.times
    is_within(life, found.cost)
    event("an extension is granted")


def grants(life: Life, days: int) -> None:
    life.numbers += 1
    day = life.account.day
    life.happens(GraceGranted(id=f"g-{life.numbers}", day=day, until=day + timedelta(days=days)))


@pytest.mark.timeout(36_000)
@settings(max_examples=COUNT, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(lives())
def test_no_life_costs_more_than_the_law_of_its_day_and_nothing_resets_the_clock(lived):
    life, steps = lived
    first = life.account.contract.dues[0]
    paid = False
    for what, gap, days in steps:
        life.until(life.account.day + timedelta(days=gap))
        before = life.account
        if what == "pay":
            life.pays()
            paid = paid or life.account.received > 0
            assert life.account.worst_dpd >= before.worst_dpd
            continue
        try:
            if what == "extend":
                extends(life, days, difficult=bool(days % 2))
            elif what == "grace":
                grants(life, days)
        except AccountError:
            assert before.status in {LoanStatus.SETTLED, LoanStatus.CHARGED_OFF}
        assert (life.account.dpd, life.account.worst_dpd) == (before.dpd, before.worst_dpd), what
        if not paid and first.principal and life.account.day > first.day:
            assert life.account.dpd == (life.account.day - first.day).days
