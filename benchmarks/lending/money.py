"""Random loans of every kind: the compound annual cost against ``pyxirr``, dues against principal
and interest to the fen, prices against the cap, and how long each takes.

``pyxirr`` stops where its own error is below 1e-9. One step of Newton's more, on its own ``xnpv``,
takes its answer to what doubles hold: ``xirr_max_error`` is against that, and
``xirr_max_error_as_it_stops`` against what ``pyxirr.xirr`` returns.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

import pyxirr

from lending.terms.cost import CashFlow, cost, flows_of, highest_rate, price, xirr
from lending.terms.products import Product
from lending.terms.schedule import Schedule, schedule

LOANS = 100_000
OFFERS = 20_000
BARS = {"xirr_max_error": 1e-9, "dues_that_do_not_add_up": 0, "offers_over_the_cap": 0}
REPETITIONS = 300
STEP = 1e-6
"""Of the rate, for the slope of a present value."""
SHAPES = (
    ("annuity", "monthly"),
    ("equal-principal", "monthly"),
    ("bullet", "monthly"),
    ("bullet", "once"),
    ("revolving", "monthly"),
    ("revolving", "once"),
)
PAYEES = ("guarantor", "insurer", "platform")
MONTHLY, DAYS = [30, 60, 90, 180, 360, 720, 1080], [7, 14, 30, 60, 90, 180, 365]


def random_product(rng: random.Random) -> Product:
    """Of any kind, with up to two fees to third parties."""
    kind, dues = rng.choice(SHAPES)
    fees = [
        {
            "code": f"fee-{at}",
            "en": "Fee",
            "zh": "费用",
            "payee": rng.choice(PAYEES),
            "method": rng.choice(("of-principal", "of-balance")),
            "value": rng.randint(0, 10_000),
            "when": rng.choice(("start", "each-due", "last-due")),
        }
        for at in range(rng.randint(0, 2))
    ]
    return Product.model_validate(
        {
            "name": "random",
            "en": "Random loan",
            "zh": "随机贷款",
            "kind": kind,
            "jurisdiction": "CN",
            "lender_kind": "microloan",
            "use": "consumption",
            "dues": dues,
            "terms": MONTHLY if dues == "monthly" else DAYS,
            "amounts": {"least": 10_000, "most": 20_000_000},
            "rates": {"least": 0, "most": 1_000},
            "fees": fees,
            "day_count": rng.choice(("ACT/365F", "ACT/360", "30/360", "ACT/ACT")),
            "rounding": rng.choice(("half-up", "half-even", "down", "up")),
        }
    )


def random_loans(seed: int, count: int) -> Iterator[Schedule]:
    """The same for the same seed."""
    rng = random.Random(seed)
    products = [random_product(rng) for _ in range(min(500, count))]
    for _ in range(count):
        product = rng.choice(products)
        yield schedule(
            product,
            rng.randint(product.amounts.least, product.amounts.most),
            rng.randint(product.rates.least, product.rates.most),
            date(2026, 1, 1) + timedelta(days=rng.randrange(700)),
            rng.choice(product.terms),
        )


def oracle(flows: list[CashFlow]) -> tuple[float, float]:
    """What ``pyxirr`` returns, and that after one more step on its own present value."""
    days, amounts = [flow.day for flow in flows], [flow.net for flow in flows]
    found = pyxirr.xirr(days, amounts)
    if found is None:
        raise SystemExit(f"pyxirr has no answer for {flows}")
    above, below = (pyxirr.xnpv(found + step, days, amounts) for step in (STEP, -STEP))
    here = pyxirr.xnpv(found, days, amounts)
    if above is None or below is None or here is None:
        raise SystemExit(f"pyxirr has no present value for {flows}")
    return found, found - here * 2 * STEP / (above - below)


def adds_up(loan: Schedule) -> bool:
    """Principal of the dues, and interest as it is exactly, rounded once."""
    exact, balance, since = 0, loan.principal, loan.terms.start
    for due in loan.dues:
        exact += balance * loan.terms.growth(since, due.day)
        balance, since = balance - due.principal, due.day
    total = sum(due.total for due in loan.dues) - sum(due.fees for due in loan.dues)
    return balance == 0 and total == loan.principal + loan.terms.money(exact)


def offers(seed: int, count: int) -> dict[str, int]:
    """Random wishes, priced: how many are offered as wished, lowered or not at all, and how many of
    those that are offered cost more than the cap by ``pyxirr``."""
    rng = random.Random(seed)
    products = [random_product(rng) for _ in range(min(500, count))]
    found = {"offers_as_wished": 0, "offers_lowered": 0, "offers_refused": 0}
    over = 0
    for _ in range(count):
        product = rng.choice(products)
        amounts, wanted = product.amounts, rng.randint(product.rates.least, product.rates.most)
        principal, term = rng.randint(amounts.least, amounts.most), rng.choice(product.terms)
        day = date(2026, 1, 1) + timedelta(days=rng.randrange(700))
        made = price(product, principal, term, day, wanted)
        if made is None:
            found["offers_refused"] += 1
            continue
        same = made.rate_ppm_day == wanted
        found["offers_as_wished" if same else "offers_lowered"] += 1
        _, expected = oracle(flows_of(made.loan))
        over += expected > float(made.cost.cap or 0) + 1e-10
    return found | {"offers_over_the_cap": over}


def median_us(act: Callable[[], object], repetitions: int) -> float:
    """Of one call, in microseconds."""
    seconds = []
    for _ in range(repetitions):
        started = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - started)
    return round(1e6 * statistics.median(seconds), 1)


def times(seed: int, repetitions: int) -> dict[str, float]:
    """Twelve monthly dues with a guarantee fee."""
    rng = random.Random(seed)
    product = random_product(rng)
    who = {"code": "guarantee", "en": "Guarantee", "zh": "担保费", "payee": "guarantor"}
    fee = {**who, "method": "of-balance", "value": 1_000, "when": "each-due"}
    changes = {"kind": "annuity", "dues": "monthly", "terms": MONTHLY, "fees": [fee]}
    whole = {"rounding": "half-up", "day_count": "ACT/365F"}
    product = Product.model_validate(product.model_dump() | changes | whole)
    day = date(2026, 11, 27)
    loan = schedule(product, 1_000_000, 500, day, 360)
    flows = flows_of(loan)
    days, amounts = [flow.day for flow in flows], [float(flow.net) for flow in flows]
    return {
        "schedule_us": median_us(lambda: schedule(product, 1_000_000, 500, day, 360), repetitions),
        "xirr_us": median_us(lambda: xirr(flows), repetitions),
        "pyxirr_us": median_us(lambda: pyxirr.xirr(days, amounts), repetitions),
        "price_us": median_us(lambda: price(product, 1_000_000, 360, day, 500), repetitions),
        "cost_us": median_us(lambda: cost(product, loan), repetitions),
        "highest_rate_us": median_us(
            lambda: highest_rate(product, 1_000_000, 360, day), repetitions
        ),
    }


def measure(seed: int, scale: float) -> dict[str, Any]:
    stopped_worst = worst = 0.0
    amiss, count = 0, max(1, round(LOANS * scale))
    for loan in random_loans(seed, count):
        flows = flows_of(loan)
        amiss += not adds_up(loan)
        found = float(xirr(flows))
        stopped, expected = oracle(flows)
        stopped_worst = max(stopped_worst, abs(found - stopped))
        worst = max(worst, abs(found - expected))
    return {
        "loans": count,
        "xirr_max_error": worst,
        "xirr_max_error_as_it_stops": stopped_worst,
        "dues_that_do_not_add_up": amiss,
        **offers(seed + 1, max(1, round(OFFERS * scale))),
        **times(seed, max(10, round(REPETITIONS * scale))),
    }
