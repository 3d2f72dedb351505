"""Money is whole: integer fen (1/100 of the currency's unit), never a double.

Between two whole amounts everything is a fraction and exact; :func:`rounded` is the one place where
a fraction becomes money.
"""

from __future__ import annotations

from fractions import Fraction

from lending.errors import MoneyError

PPM = 1_000_000


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


def rounded(amount: Fraction | int) -> int:
    """Whole fen; half a fen goes away from zero."""
    size = (2 * abs(amount.numerator) + amount.denominator) // (2 * amount.denominator)
    return size if amount >= 0 else -size
