"""The daily discount factor at which what was received and what is paid are worth the same.

With v for one day, cash flows are a polynomial: the sum of c_k v^(d_k), c_k in fen, d_k days since
the first. Its positive roots are found in decimals of 40 digits, so the same everywhere:

- Money only comes before it only goes: one root (Descartes), by Halley's steps between two
  bounds, which every step narrows.
- Anything else: between two roots lies one of the derivative, which has a term less; so the roots
  are found from the last term on, each by itself between two others. There may be none, or several.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, localcontext
from itertools import pairwise

from lending.money import EXACT

Term = tuple[int, int]
"""Days since the first flow, and fen."""
ZERO, ONE, TWO = Decimal(0), Decimal(1), Decimal(2)
TIGHT = Decimal("1e-34")
"""Relative width of two bounds that are the root."""
CLOSE = Decimal("1e-12")
"""After a step so small what is left is its third power."""
FAR = Decimal(2) ** 40
"""No root is looked for beyond: it would be a loan of which all but nothing is given away."""


def merged(flows: Sequence[Term]) -> list[Term]:
    """One term a day, in order, those of nothing left out, from day 0 on."""
    days: dict[int, int] = {}
    for day, amount in flows:
        days[day] = days.get(day, 0) + amount
    found = sorted((day, amount) for day, amount in days.items() if amount)
    return [(day - found[0][0], amount) for day, amount in found]


def changes(terms: Sequence[Term]) -> int:
    """How often the sign changes: the most positive roots there can be."""
    return sum((one > 0) != (other > 0) for (_, one), (_, other) in pairwise(terms))


def derivatives(terms: Sequence[Term], v: Decimal) -> tuple[Decimal, Decimal, Decimal]:
    """The polynomial, ``v`` times its first and ``v`` squared times its second derivative, by
    Horner over the gaps between days."""
    powers: dict[int, Decimal] = {}
    zeroth, first, second = ZERO, ZERO, ZERO
    at = terms[-1][0]
    for day, amount in reversed(terms):
        if day != at:
            gap = at - day
            power = powers.get(gap)
            if power is None:
                shorter = powers.get(gap - 1)
                power = powers[gap] = v**gap if shorter is None else shorter * v
            zeroth, first, second, at = zeroth * power, first * power, second * power, day
        zeroth += amount
        first += amount * day
        second += amount * day * (day - 1)
    return zeroth, first, second


def _step(v: Decimal, zeroth: Decimal, first: Decimal, second: Decimal) -> Decimal:
    """Halley's step: with every one three times the digits."""
    below = TWO * first * first - zeroth * second
    return -TWO * v * zeroth * first / below if below else ZERO


def _sign(terms: Sequence[Term], v: Decimal) -> int:
    """At 0 it is that of the first term, on day 0."""
    found = derivatives(terms, v)[0] if v else Decimal(terms[0][1])
    return (found > 0) - (found < 0)


def roots(flows: Sequence[Term]) -> list[Decimal]:
    """Daily discount factors above 0, the smallest (the dearest loan) first."""
    terms = merged(flows)
    with localcontext(EXACT):
        count = changes(terms)
        if count == 0:
            return []
        return [_only(terms)] if count == 1 else _all(terms)


def _only(terms: Sequence[Term]) -> Decimal:
    """The one root of terms whose sign changes once. At 1 everything is a whole number."""
    zeroth = sum(amount for _, amount in terms)
    if (zeroth > 0) == (terms[0][1] > 0):
        low, high = ONE, TWO
        while (_sign(terms, high) > 0) == (terms[0][1] > 0):
            low, high = high, high * TWO
        return _between(terms, (low, high), high)
    first = sum(day * amount for day, amount in terms)
    second = sum(day * (day - 1) * amount for day, amount in terms)
    start = ONE + _step(ONE, Decimal(zeroth), Decimal(first), Decimal(second))
    return _between(terms, (ZERO, ONE), start)


def _between(terms: Sequence[Term], bounds: tuple[Decimal, Decimal], start: Decimal) -> Decimal:
    """The root between two bounds where the signs differ: Halley's step where it stays between
    them and shrinks, else the middle."""
    low, high = bounds
    left = _sign(terms, low)
    v = start if low < start <= high else (low + high) / TWO
    before = high - low
    while high - low > TIGHT * high:
        found = derivatives(terms, v)
        if not found[0]:
            return v
        if (found[0] > 0) == (left > 0):
            low = v
        else:
            high = v
        step = _step(v, *found)
        following = v + step
        if not low <= following <= high or abs(step) * TWO > before:
            following = (low + high) / TWO
            step = following - v
        elif abs(step) < CLOSE * v:
            return following
        v, before = following, abs(step)
    return v


def _all(terms: Sequence[Term]) -> list[Decimal]:
    """Every root up to :data:`FAR`, by those of the derivative."""
    if len(terms) == 1:
        return []
    begin = terms[0][0]
    lowered = [(day - begin, amount) for day, amount in terms]
    slope = [(day - 1, amount * day) for day, amount in lowered[1:]]
    bounds = [ZERO, *_all(slope), FAR]
    found: list[Decimal] = []
    for low, high in pairwise(bounds):
        here, there = _sign(lowered, low), _sign(lowered, high)
        if there == 0:
            found.append(high)
        elif here * there < 0:
            found.append(_between(lowered, (low, high), (low + high) / TWO))
    return found
