"""Identity numbers as they stand in files, before anybody is named by them.

Two spellings of one number are two people to the registry, and two numbers that a spreadsheet
rounded to one are one person. So a spelling that can be undone is undone, and counted; what cannot
be is refused, by its row. Blanks, hyphens and characters that cannot be seen are taken off by the
rule by which names are made (:func:`crypto.pseudonyms.normal_identity`), so that what is said of a
number here is true of its name. A number has ``SHORTEST`` to ``LONGEST`` characters, a digit among
them; of Chinese resident numbers (GB 11643-1999: 17 digits and a check character by ISO 7064 MOD
11-2) those are counted that somebody mistyped.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from clients.data.columns import NoRow, OddQuotes, listed
from clients.data.files import FileReader
from clients.errors import SourceError
from credit.values import is_missing
from crypto.errors import PseudonymError
from crypto.pseudonyms import normal_identity

SHORTEST, LONGEST = 5, 200
SHOWN_ROWS = 5
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK = "10X98765432"
_RESIDENT = re.compile(r"[0-9]{17}[0-9X]")
_SCIENTIFIC = re.compile(r"[+-]?[0-9]+(?:E\+?|[.,][0-9]+E[+-]?)[0-9]+", re.I)
_SIGNED = re.compile(r"[-+\u2010-\u2015\u2212][0-9]+")
_FORMULA = re.compile(r'="(.*)"')
_UNSEEN = {"Cc", "Cf", "Zs"}
_IN_A_NUMBER = ("L", "N", "P")
"""General categories of Unicode: letters, digits, punctuation. Anything else that is left is no
part of a number."""
_OTHER_LENGTH = (
    f"an identity number has {SHORTEST} to {LONGEST} characters, not counting blanks and hyphens"
)
_BLANK_LETTERS = "\u115f\u1160"


class NoIdentity(ValueError):
    """A value that names nobody; says why without quoting it."""


def has_valid_check(number: str) -> bool:
    """Whether the last character of an 18-character resident number is the one that the others
    give."""
    return (
        _CHECK[
            sum(int(digit) * weight for digit, weight in zip(number, _WEIGHTS, strict=False)) % 11
        ]
        == number[17]
    )


def identity(value: object) -> tuple[str, str]:
    """An identity number in its one spelling, and what had to be undone for that (empty if
    nothing).

    Args:
        value: whatever a file may hold, of any type.

    Raises:
        NoIdentity: nothing is there, digits are lost, or it is not a number of its kind.
    """
    if is_missing(value):
        raise NoIdentity("there is no identity number")
    text = _text(value)
    if is_missing(text):
        raise NoIdentity("there is no identity number")
    found, undone = _undone(text)
    if _SCIENTIFIC.fullmatch(found):
        raise NoIdentity(
            "a spreadsheet wrote it as a power of ten and lost its last digits; export the column "
            "as text"
        )
    if _SIGNED.fullmatch(found):
        raise NoIdentity("it is a number with a sign; an identity number has none")
    try:
        number, before = normal_identity(found), ""
        while number != before:  # a hyphen may stand before an apostrophe, or in a "12-345.0"
            before = number
            number = normal_identity(_undone(number)[0])
    except PseudonymError:
        raise NoIdentity("there is no identity number") from None
    if not SHORTEST <= len(number) <= LONGEST:
        raise NoIdentity(_OTHER_LENGTH)
    if not all(
        unicodedata.category(one)[0] in _IN_A_NUMBER and one not in _BLANK_LETTERS for one in number
    ):
        raise NoIdentity("it holds a character that is no letter, digit or punctuation mark")
    if not any(one.isdigit() for one in number):
        raise NoIdentity("there is no digit in it")
    if any(unicodedata.category(one) == "Pd" for one in found):
        undone.append("hyphens")
    if re.fullmatch(r"[0-9]{17}x", found):
        undone.append("a small x")
    return number, ", ".join(undone)


def _text(value: object) -> str:
    """What a value of a file says, with all of its digits. Raises NoIdentity."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise NoIdentity("its bytes are not UTF-8") from None
    if isinstance(value, bool | np.bool_) or not isinstance(
        value, int | float | Decimal | np.integer | np.floating
    ):
        raise NoIdentity("it is neither text nor a whole number")
    if isinstance(value, float | np.floating) and not abs(value) < 2 ** (
        np.finfo(type(value)).nmant + 1
    ):
        raise NoIdentity(
            "the column holds floating-point numbers, whose last digits are lost; save it as text"
        )
    # int() may not end
    if isinstance(value, Decimal) and not (value.is_finite() and value.adjusted() < LONGEST):
        raise NoIdentity(_OTHER_LENGTH)
    whole = int(value)
    if abs(whole) >= 10**LONGEST:
        raise NoIdentity(_OTHER_LENGTH)
    if whole != value:
        raise NoIdentity("it is a number with a fraction; an identity number has none")
    return str(whole)


def _undone(text: str) -> tuple[str, list[str]]:
    """Without what spreadsheets put around a number and what cannot be seen; what that was."""
    found = unicodedata.normalize("NFKC", text)
    undone = []
    if found != text:
        undone.append("wide characters")
    seen = "".join(one for one in found if unicodedata.category(one) not in _UNSEEN)
    if seen != found:
        undone.append("blanks or characters that cannot be seen")
    before = ""
    while seen != before:  # one may stand within the other, or twice
        before = seen
        if formula := _FORMULA.fullmatch(seen):
            seen = formula[1]
            undone.append('a formula ="…"')
        if seen.startswith("'"):
            seen = seen.lstrip("'")
            undone.append("an apostrophe before it")
        if whole := re.fullmatch(r"([0-9]+)\.0+", seen):
            seen = whole[1]
            undone.append("a decimal point after it")
    return seen, list(dict.fromkeys(undone))


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
        said = [
            f"{count:,} identity numbers had {what}, which was taken off"
            for what, count in self.undone.items()
        ]
        wrong = sum(
            bool(_RESIDENT.fullmatch(number)) and not has_valid_check(number)
            for number in self.numbers
        )
        if wrong:
            said.append(
                f"{wrong:,} resident numbers have a wrong check digit (GB 11643); they are named "
                "as they are"
            )
        if odd := sum(not number.isalnum() for number in self.numbers):
            said.append(
                f"{odd:,} identity numbers hold marks beside letters and digits; they are named as "
                "they are"
            )
        if self.repeated:
            said.append(
                f"{self.repeated:,} identity numbers stand in several rows and have the same name "
                "there"
            )
        return said


def identity_numbers_of(path: Path, column: str, encoding: str) -> list[object]:
    """A column of a file, as it lies there. Raises SourceError: no such column, or a line that is
    no row."""
    reader = FileReader(
        Path(), str(path), "parquet" if path.suffix == ".parquet" else "csv", encoding=encoding
    )
    if column not in (there := reader.columns()):
        raise SourceError(f"{path} has no column {column!r}; {listed(there)}")
    told: list[NoRow | OddQuotes] = []
    values = [
        value
        for part in reader.batches([column], told.append)
        for value in _values(part[column], path)
    ]
    if torn := [one for one in told if isinstance(one, NoRow)]:
        raise SourceError(f"line {torn[0].line:,} of {path} is no row: {torn[0].why}")
    return values


def _values(column: pd.Series, path: Path) -> list[object]:
    """As they lie in the file. Text of Parquet, which may be none, as bytes; raises SourceError for
    lists and dates."""
    if not isinstance(column.dtype, pd.ArrowDtype):
        return list(column)
    read = pa.chunked_array(pa.array(column.array))
    if pa.types.is_dictionary(read.type):
        read = read.cast(read.type.value_type)
    if pa.types.is_nested(read.type) or pa.types.is_temporal(read.type):
        raise SourceError(
            f"{path}: the column {column.name!r} is of {read.type}, and identity numbers are none"
        )
    if pa.types.is_floating(read.type):  # of their own width, by which digits are lost
        return list(read.to_numpy())
    is_text = pa.types.is_string(read.type) or pa.types.is_large_string(read.type)
    return list((read.cast(pa.large_binary()) if is_text else read).to_pylist())
