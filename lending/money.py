"""Money is whole: integer fen (1/100 of the currency's unit), never a double.

Between two whole amounts everything is a fraction and exact; :func:`rounded` is the one place where
a fraction becomes money, once per due item. A rate is a whole number of parts per million a day
(:data:`PPM`: 500 is 0.05% a day) or, a year, a decimal fraction (0.24).

Three annual figures come of one daily rate and are not each other (0.05% a day):

>>> simple_year(500), compound_year(500).quantize(Decimal("1e-4")), nominal_year(500, 360)
(Decimal('0.1825'), Decimal('0.2002'), Decimal('0.18'))
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context, Decimal, localcontext
from fractions import Fraction
from typing import Literal

from lending.errors import MoneyError

Rounding = Literal["half-up", "half-even", "down", "up"]
PPM = 1_000_000
YEAR = 365
"""Days of the year that annual figures are shown for."""
EXACT = Context(prec=40)
"""What decimals are computed in here, whatever the context of the caller's thread."""
SETTLED = Decimal("1e-25")
"""What is left of such a computation is no error of it."""
SHOWN = Decimal("1e-12")
"""To which an annual figure is kept; upwards, so that none looks cheaper than it is."""
CENTS = 100
_AMOUNT = re.compile(r"([0-9]{1,15}|[0-9]{1,3}(?:,[0-9]{3}){1,4})(?:\.([0-9]{1,2}))?")


def whole(value: object, what: str) -> int:
    """``value``, if it is an amount of whole fen from 0 on.

    Raises:
        MoneyError: it is a double, a truth value, a text, or below 0.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise MoneyError(f"{what} is {value!r}: give whole fen, as an integer from 0 on")
    if value < 0:
        raise MoneyError(f"{what} is {value} fen: it cannot be below 0")
    return value


def rounded(amount: Fraction | int, how: Rounding = "half-up") -> int:
    """Whole fen. ``half-up`` takes half a fen away from zero, ``down`` every part of one towards
    it."""
    exact = Fraction(amount)
    return quotient(exact.numerator, exact.denominator, how)


def quotient(amount: int, divisor: int, how: Rounding = "half-up") -> int:
    """:func:`rounded` of ``amount / divisor``, which is above 0."""
    floor, rest = divmod(abs(amount), divisor)
    if how == "half-up":
        more = 2 * rest >= divisor
    elif how == "half-even":
        more = 2 * rest > divisor or (2 * rest == divisor and floor % 2 == 1)
    else:
        more = how == "up" and rest > 0
    return (floor + more) if amount >= 0 else -(floor + more)


def split(total: int, parts: int) -> tuple[int, ...]:
    """Equal parts; the last one takes the remainder."""
    if parts < 1:
        raise MoneyError(f"{total} fen cannot be split into {parts} parts")
    each = total // parts
    return (*[each] * (parts - 1), total - each * (parts - 1))


def part(amount: int, ppm: int, how: Rounding = "half-up") -> int:
    """So many millionths of an amount."""
    return quotient(amount * ppm, PPM, how)


def shares(total: int, weights: Sequence[int]) -> tuple[int, ...]:
    """In proportion to the weights, each rounded down; the last that weighs anything takes the
    remainder."""
    all_of_it = sum(weights)
    if not weights or min(weights) < 0 or all_of_it == 0:
        raise MoneyError(f"{total} fen cannot be shared by weights {list(weights)}")
    found = [total * weight // all_of_it for weight in weights]
    last = max(at for at, weight in enumerate(weights) if weight)
    found[last] += total - sum(found)
    return tuple(found)


def from_text(text: str) -> int:
    """Fen of an amount as people write it.

    >>> from_text("1234.5"), from_text("10,000")
    (123450, 1000000)

    Raises:
        MoneyError: it is no such amount, or has more than two decimals.
    """
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        raise MoneyError(f"{text!r} is no amount: write it like 1234.50, with two decimals at most")
    return int(found[1].replace(",", "")) * CENTS + int((found[2] or "").ljust(2, "0"))


def shown(amount: int) -> str:
    """As people read it.

    >>> shown(123450), shown(-5)
    ('1,234.50', '-0.05')
    """
    units, cents = divmod(abs(amount), CENTS)
    return f"{'-' * (amount < 0)}{units:,}.{cents:02d}"


def percent(rate: Decimal, digits: int = 2) -> str:
    """An annual or other rate as people read it, rounded up: never cheaper than it is.

    >>> percent(Decimal("0.200156"))
    '20.02%'
    """
    with localcontext(EXACT):
        return f"{(rate * 100).quantize(Decimal(1).scaleb(-digits), ROUND_CEILING):f}%"


def upwards(exact: Decimal) -> Decimal:
    """An annual figure as it is kept: upwards, what computing left of it taken off before. So it is
    at most a cap of up to twelve digits where the figure itself is."""
    return exact.quantize(SETTLED, ROUND_HALF_EVEN, EXACT).quantize(SHOWN, ROUND_CEILING, EXACT)


def nominal_year(ppm_day: int, days: int) -> Decimal:
    """What a contract calls the annual rate that counts ``days`` days a year: by itself no cost."""
    return EXACT.divide(Decimal(ppm_day * days), Decimal(PPM))


def simple_year(ppm_day: int) -> Decimal:
    """Of a year of 365 days, interest not compounded."""
    return nominal_year(ppm_day, YEAR)


def compound_year(ppm_day: int) -> Decimal:
    """Of a year of 365 days, interest compounded daily: the most that a daily rate can cost."""
    with localcontext(EXACT):
        return upwards((1 + Decimal(ppm_day) / PPM) ** YEAR - 1)
