"""Identity numbers as they stand in files, before anybody is named by them.

Two spellings of one number are two people to the registry, and two numbers that a spreadsheet rounded to one are one
person. So a spelling that can be undone is undone, and counted; what cannot be is refused, by its row. A number has any
form without blanks, of at least ``SHORTEST`` characters; of Chinese resident numbers (GB 11643-1999: 17 digits and a
check character by ISO 7064 MOD 11-2) those are counted that somebody mistyped.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from credit.values import is_missing

SHORTEST = 5
LARGEST_EXACT_DOUBLE = 2**53
SHOWN_ROWS = 5
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK = "10X98765432"
_RESIDENT = re.compile(r"[0-9]{17}[0-9X]")
_SCIENTIFIC = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?E\+?[0-9]+", re.I)
_FORMULA = re.compile(r'="(.*)"')


class NoIdentity(ValueError):
    """A value that names nobody; says why without quoting it."""


def has_valid_check(number: str) -> bool:
    """Whether the last character of an 18-character resident number is the one that the others give."""
    return _CHECK[sum(int(digit) * weight for digit, weight in zip(number, _WEIGHTS, strict=False)) % 11] == number[17]


def identity(value: object) -> tuple[str, str]:
    """An identity number in its one spelling, and what had to be undone for that (empty if nothing).

    Raises:
        NoIdentity: nothing is there, digits are lost, or it is not a number of its kind.
    """
    if is_missing(value):
        raise NoIdentity("there is no identity number")
    if isinstance(value, float):
        if not value.is_integer() or abs(value) >= LARGEST_EXACT_DOUBLE:
            raise NoIdentity("the column holds floating-point numbers, whose last digits are lost; save it as text")
        value = int(value)
    text = str(int(value)) if isinstance(value, Decimal) and value == int(value) else str(value)
    found, undone = _undone(text)
    if _SCIENTIFIC.fullmatch(found):
        raise NoIdentity("a spreadsheet wrote it as a power of ten and lost its last digits; export the column as text")
    if len(found) < SHORTEST or any(one.isspace() for one in found):
        raise NoIdentity(f"an identity number has at least {SHORTEST} characters and no blanks")
    return found, undone


def _undone(text: str) -> tuple[str, str]:
    found, undone = unicodedata.normalize("NFKC", text).strip(), []
    if formula := _FORMULA.fullmatch(found):
        found = formula[1].strip()
        undone.append('a formula ="…"')
    if found.startswith("'"):
        found = found[1:].strip()
        undone.append("an apostrophe before it")
    if whole := re.fullmatch(r"([0-9]+)\.0+", found):
        found = whole[1]
        undone.append("a decimal point after it")
    if found != text and not undone:
        undone.append("blanks or wide characters")
    if re.fullmatch(r"[0-9]{17}x", found):
        found = found.upper()
        undone.append("a small x")
    return found, ", ".join(undone)


@dataclass
class Identities:
    """Those of a file, in its order, and what is to be said of them."""

    numbers: list[str] = field(default_factory=list)
    undone: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[int, str]] = field(default_factory=list)
    """Rows, the first is 1, and why."""

    @classmethod
    def of(cls, values: Iterable[object]) -> Identities:
        found = cls()
        for row, value in enumerate(values, 1):
            try:
                number, undone = identity(value)
            except NoIdentity as error:
                found.refused.append((row, str(error)))
                continue
            found.numbers.append(number)
            found.undone.update([undone] if undone else [])
        return found

    @property
    def repeated(self) -> int:
        """Numbers that stand in several rows."""
        return sum(count > 1 for count in Counter(self.numbers).values())

    @property
    def refusal(self) -> str:
        """One sentence; empty if every row names somebody."""
        if not self.refused:
            return ""
        first, why = self.refused[0]
        rows = ", ".join(f"{row:,}" for row, _ in self.refused[:SHOWN_ROWS])
        more = ", …" if len(self.refused) > SHOWN_ROWS else ""
        return f"{len(self.refused):,} rows name nobody (row {rows}{more}); row {first:,}: {why}"

    @property
    def remarks(self) -> list[str]:
        said = [f"{count:,} identity numbers had {what}, which was taken off" for what, count in self.undone.items()]
        wrong = sum(bool(_RESIDENT.fullmatch(number)) and not has_valid_check(number) for number in self.numbers)
        if wrong:
            said.append(f"{wrong:,} resident numbers have a wrong check digit (GB 11643); they are named as they are")
        if self.repeated:
            said.append(f"{self.repeated:,} identity numbers stand in several rows and have the same name there")
        return said
