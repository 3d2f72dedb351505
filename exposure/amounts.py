"""What one person owes: open loans, outstanding and reserved fen. No amount is ever printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from protocol.errors import Malformed

MAX_LOANS = 100_000
MAX_FEN = 10**15
"""Ten trillion yuan: more than any person owes to all lenders together, and so far below the field
of the shares that a negative number is seen."""


@dataclass(frozen=True, repr=False)
class Exposure:
    """At one lender, or in the sum over several. Raises Malformed outside the bounds."""

    loans: int = 0
    outstanding_fen: int = 0
    reserved_fen: int = 0

    def __post_init__(self) -> None:
        fen = self.outstanding_fen, self.reserved_fen
        if not (0 <= self.loans <= MAX_LOANS and all(0 <= one <= MAX_FEN for one in fen)):
            raise Malformed("an exposure is none: a number in it is negative or absurdly large")

    def __add__(self, other: Exposure) -> Exposure:
        pairs = zip(self.values, other.values, strict=True)
        return Exposure(*(one + more for one, more in pairs))

    @property
    def values(self) -> tuple[int, int, int]:
        return self.loans, self.outstanding_fen, self.reserved_fen

    @property
    def fen(self) -> int:
        """What is owed or may be within minutes."""
        return self.outstanding_fen + self.reserved_fen

    @classmethod
    def of(cls, values: tuple[int, ...]) -> Self:
        return cls(*values)


def may_lend(amount_fen: int, limit_fen: int, own: Exposure, others: Exposure) -> bool:
    """Whether ``amount_fen`` more stays within what a person may owe to everybody together.

    Args:
        own: at the lender that asks, without the amount itself. others: as it was answered.
    """
    return others.fen + own.fen + amount_fen <= limit_fen
