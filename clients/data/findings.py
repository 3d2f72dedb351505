"""Findings about a lender's data, and the sentences that tell its operator; no value is quoted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from clients.data.columns import NoRow, OddQuotes
from clients.data.description import Column
from credit.features import Feature

SHOWN_LINES = 5


@dataclass(frozen=True)
class FeatureFound:
    """One feature over all rows. ``auc`` (alone, of values that are there) and ``missing_auc`` (of
    whether one is there) are at least 0.5; absent where there are too few outcomes."""

    name: str
    missing: int
    unreadable: int
    out_of_range: int
    unknown: int
    constant: bool
    auc: float | None
    missing_auc: float | None
    suspect: str
    """Why it may know the outcome; empty if nothing says so."""
    indistinct: str
    """Why a model on bins would hardly tell people apart by it; empty if it would."""


@dataclass(frozen=True)
class Found:
    """``errors`` say why the data cannot be used, ``warnings`` what to look at."""

    where: str
    rows: int
    no_rows: int
    """Lines of a file where a row should be and is none."""
    people: int
    repeated: int
    """People with more than one row."""
    good: int
    """People whose row that counts has this outcome."""
    bad: int
    features: tuple[FeatureFound, ...]
    unreadable_dates: Mapping[str, int]
    """By column: of every column that is a date, the one that orders a person's rows too."""
    errors: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass
class LinesThatAreNoRows:
    """Lines of a file that are no rows: how many, and the first of them; the same of records with
    odd quotes."""

    count: int = 0
    first: list[NoRow] = field(default_factory=list)
    odd: int = 0
    first_odd: OddQuotes | None = None

    def add(self, found: NoRow | OddQuotes) -> None:
        if isinstance(found, OddQuotes):
            self.odd += 1
            self.first_odd = self.first_odd or found
            return
        self.count += 1
        if len(self.first) < SHOWN_LINES:
            self.first.append(found)

    @property
    def sentence(self) -> str:
        if not self.first:
            return ""
        one = self.first[0]
        lines = ", ".join(f"{found.line:,}" for found in self.first)
        more = ", …" if self.count > len(self.first) else ""
        return (
            f"{self.count:,} lines of {one.file} are no rows and are left out (line "
            f"{lines}{more}); of line {one.line:,}: {one.why}"
        )

    @property
    def about_quotes(self) -> str:
        """One sentence; empty if each record is a line."""
        if self.first_odd is None:
            return ""
        return (
            f"{self.odd:,} records of {self.first_odd.file} have quotation marks by which they "
            "span several lines or "
            f"have no end (the first begins at line {self.first_odd.line:,}): if the program that "
            "wrote this file does not quote what people type, one typed quotation mark takes other "
            "people's rows away; then say "
            'quoting = "none" in data.toml'
        )


def date_sentence(column: str, count: int) -> str:
    return (
        f"{column}: {count:,} dates cannot be read and count as none; dates are ISO 8601 "
        "(2026-06-30), or say in data.toml how they are written: "
        f'{column} = {{ column = "{column}", format = "%d/%m/%Y" }}; of 2026年6月30日 it is '
        '"%Y年%m月%d日"'
    )


def outcome_sentence(count: int, target: str, columns: Mapping[str, Column]) -> str:
    column = columns.get(target, Column(column=target)).column
    return (
        f"{count:,} rows have an outcome that is neither 0 (good) nor 1 (bad); say in data.toml "
        "which is which: "
        f'{target} = {{ column = "{column}", values = {{ "what stands for good" = 0, "what stands '
        f'for bad" = 1 }} }}'
    )


def unreadable_sentence(one: FeatureFound, feature: Feature) -> str:
    remedy = (
        ""
        if feature.kind == "category"
        else "; they must be plain numbers: convert the column where it is made"
    )
    return f"{one.name}: {one.unreadable:,} values are not what it is declared to be{remedy}"


def unknown_sentence(one: FeatureFound, feature: Feature, column: str) -> str:
    return (
        f"{one.name}: {one.unknown:,} values are of categories that are not declared "
        f"({', '.join(feature.values)}); "
        "say in data.toml what they are, each exactly as it stands there, blanks and full-width "
        "letters included: "
        f'{one.name} = {{ column = "{column}", values = {{ "as you write it" = '
        f'"{feature.values[0]}" }} }}'
    )
