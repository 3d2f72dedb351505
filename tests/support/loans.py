"""Products and loans for the tests of lending, made up and valid."""

from __future__ import annotations

from datetime import date
from typing import Any

from hypothesis import strategies as st

from lending.terms.products import Product

TODAY = date(2026, 11, 27)
BASE: dict[str, Any] = {
    "name": "small",
    "en": "Small loan",
    "zh": "小额贷",
    "kind": "annuity",
    "jurisdiction": "CN",
    "lender_kind": "microloan",
    "use": "consumption",
    "dues": "monthly",
    "terms": [30, 90, 180, 360],
    "amounts": {"least": 10_000, "most": 20_000_000},
    "rates": {"least": 0, "most": 2_000},
}
LABELS = {"en": "Fee", "zh": "费用"}


def fee(code: str, when: str = "each-due", method: str = "of-principal", value: int = 1_000, **more: Any) -> dict:
    return {"code": code, "payee": "guarantor", "method": method, "value": value, "when": when} | LABELS | more


def product(**changes: Any) -> Product:
    """The small loan, changed. A kind that repays once has terms of days."""
    made = BASE | changes
    if made["dues"] == "once" and "terms" not in changes:
        made = made | {"terms": [7, 14, 30, 60, 360]}
    return Product.model_validate(made)


def once(**changes: Any) -> Product:
    return product(kind="bullet", dues="once", **changes)


SHAPES = [("annuity", "monthly"), ("equal-principal", "monthly"), ("bullet", "monthly"), ("bullet", "once"),
          ("revolving", "monthly"), ("revolving", "once")]  # fmt: skip
METHODS = st.sampled_from([("amount", 0, 5_000), ("of-principal", 0, 8_000), ("of-balance", 0, 8_000)])


@st.composite
def fees(draw: st.DrawFn, at: int) -> dict[str, Any]:
    method, least, most = draw(METHODS)
    return fee(
        f"fee-{at}",
        when=draw(st.sampled_from(["start", "each-due", "last-due"])),
        method=method,
        value=draw(st.integers(least, most)),
        payee=draw(st.sampled_from(["guarantor", "insurer", "platform"])),
    )


@st.composite
def products(draw: st.DrawFn) -> Product:
    """Of every kind, day count and rounding, with up to three fees."""
    kind, dues = draw(st.sampled_from(SHAPES))
    return product(
        kind=kind,
        dues=dues,
        day_count=draw(st.sampled_from(["ACT/365F", "ACT/360", "30/360", "ACT/ACT"])),
        rounding=draw(st.sampled_from(["half-up", "half-even", "down", "up"])),
        fees=[draw(fees(at)) for at in range(draw(st.integers(0, 3)))],
    )


@st.composite
def asked(draw: st.DrawFn) -> tuple[Product, int, int, date, int]:
    """A product with a principal, a daily rate, a first day and a term that it offers."""
    made = draw(products())
    return (
        made,
        draw(st.integers(made.amounts.least, made.amounts.most)),
        draw(st.integers(made.rates.least, made.rates.most)),
        draw(st.dates(date(2025, 12, 24), date(2027, 12, 31))),
        draw(st.sampled_from(made.terms)),
    )
