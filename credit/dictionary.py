"""A feature schema for a table that comes without one.

A consortium agrees on a data dictionary before it trains: which columns exist, of which type, with which codes.
For a table at hand this module writes that dictionary from the table's *schema*: column names, types and category
codes. Values are looked at only to leave out what tells rows or people apart; their ranges and quantiles go nowhere,
bins come from a private release.

The data category of a column is guessed from its name, and guessed strictly: what looks like money earned or owned
is sensitive.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import pandas as pd

from credit.errors import FeatureError
from credit.features import (
    SENSITIVE_CATEGORIES,
    DataCategory,
    FeatureSchema,
    Sensitivity,
    forbidden_kind,
    schema_from,
)
from credit.values import codes, numbers

MAX_UNREADABLE = 0.01
"""Share of values that are no numbers, up to which a column of numbers is one all the same."""
MOSTLY = 0.9
ROWS_TO_NUMBER = 100
"""Rows below which whole numbers without a gap may be a coincidence."""
_IDENTITY = re.compile(r"[0-9]{15,19}|[0-9]{17}[Xx]")
_MOBILE = re.compile(r"(?:\+?86)?1[3-9][0-9]{9}")
_KEY = re.compile(r"\b(?:id|no|nr|key|index|serial|row|unnamed(?: [0-9]+)?)$")
MAX_CATEGORIES = 50
"""A text column with more codes than this is a name or a number in disguise and is left out."""

_PATTERNS: tuple[tuple[DataCategory, str], ...] = (
    (DataCategory.INCOME, r"income|salary|wage|earning|annual_inc|收入|工资"),
    (DataCategory.DEPOSITS, r"deposit|savings?|checking|balance_account|assets?\b|存款"),
    (DataCategory.SECURITIES, r"securit|stock|bond|证券"),
    (DataCategory.INSURANCE, r"insur|保险"),
    (DataCategory.PROPERTY, r"property|house|housing|home|real_?estate|mortgage|房"),
    (DataCategory.TAX, r"\btax|税"),
    (DataCategory.REPAYMENT, r"pay_|due|delinq|late|past|default|arrear|overdue|repay|seniority|records|逾期|还款"),
    (DataCategory.BUREAU, r"inq|inquir|open|line|accounts?|revol|util|rev\b|loan|credit|debt|dti|deb|负债|征信"),
    (
        DataCategory.IDENTITY,
        r"\bage\b|sex|gender|marital|marriage|educat|depend|job|employ|foreign|city|state|年龄|性别",
    ),
)


def guess_category(name: str) -> DataCategory:
    """The data category that a column's name suggests; consumption where it suggests nothing."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", name).lower()
    for category, pattern in _PATTERNS:
        if re.search(pattern.replace("_?", " ?").replace("_", " "), words):
            return category
    return DataCategory.CONSUMPTION


class Described(NamedTuple):
    """The dictionary of a table, and what became of its columns."""

    schema: FeatureSchema
    left_out: dict[str, str]
    """Columns that are no features, with the reason for each."""
    remarks: tuple[str, ...]
    """What was done with single values of columns that are."""


def describe(table: pd.DataFrame, target: str, name: str, exclude: Collection[str] = ()) -> Described:
    """Write the dictionary of ``table``.

    Raises:
        FeatureError: the target is missing, or no column is left to learn from.
    """
    if target not in table.columns:
        raise FeatureError(
            f"{name}: column {target!r} is missing; the columns are {', '.join(map(str, table.columns))}"
        )
    features: list[dict[str, object]] = []
    left_out: dict[str, str] = {}
    remarks: list[str] = []
    for column in map(str, table.columns):
        if column == target or column in exclude:
            continue
        if why := no_feature(column, table[column]):
            left_out[column] = why
            continue
        category = guess_category(column)
        sensitive = Sensitivity.SENSITIVE if category in SENSITIVE_CATEGORIES else Sensitivity.ORDINARY
        feature: dict[str, object] = {"name": column, "category": category, "sensitivity": sensitive}
        read = numbers(table[column])
        if is_number(table[column]):
            there = read.values[~np.isnan(read.values)]
            feature |= {"kind": "integer" if (there % 1 == 0).all() else "number"}
            if odd := int(read.unreadable.sum()):
                remarks.append(f"{column}: {odd:,} of {len(read.values):,} values are no numbers and count as missing")
        else:
            feature |= {"kind": "category", "values": _codes(table[column])}
        features.append(feature)
    if not features:
        raise FeatureError(f"{name}: no column is left to learn from besides the target {target!r}")
    schema = schema_from({"name": name, "target": target, "features": features}, name)
    return Described(schema, left_out, tuple(remarks))


def is_number(values: pd.Series) -> bool:
    """Whether a column holds numbers: all of its values, or nearly all of too many to be categories."""
    if pd.api.types.is_bool_dtype(values):
        return False
    unreadable = int(numbers(values).unreadable.sum())
    if pd.api.types.is_numeric_dtype(values) or not unreadable:
        return not unreadable
    return unreadable <= MAX_UNREADABLE * len(values) and len(_codes(values)) > MAX_CATEGORIES


def no_feature(name: str, values: pd.Series) -> str:
    """Why a column is no feature; empty if it may be one."""
    if kind := forbidden_kind(name):
        return f"about {kind}, which credit-reporting law forbids"
    if pd.api.types.is_datetime64_any_dtype(values):
        return "a date"
    found = _codes(values)
    if _share(found, _IDENTITY) > MOSTLY:
        return "numbers of 15 digits or more: of identity papers, cards or accounts"
    if _share(found, _MOBILE) > MOSTLY:
        return "mobile phone numbers"
    if not is_number(values):
        return "" if 2 <= len(found) <= MAX_CATEGORIES else f"text with {len(found)} distinct values"
    return "it numbers the rows" if _numbers_rows(name, values) else ""


def _codes(values: pd.Series) -> list[str]:
    return sorted({one for one in codes(values) if one is not None})


def _share(found: Collection[str], pattern: re.Pattern[str]) -> float:
    """Of the different codes, how many are such."""
    return sum(pattern.fullmatch(one) is not None for one in found) / len(found) if found else 0.0


def _numbers_rows(name: str, values: pd.Series) -> bool:
    """Every row has a number of its own, without a gap or under a name that says so."""
    read = numbers(values).values
    if len(read) < ROWS_TO_NUMBER or np.isnan(read).any() or len(np.unique(read)) < len(read) or (read % 1).any():
        return False
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|[\W_]+", " ", name).lower().strip()
    return bool(read.max() - read.min() + 1 == len(read)) or _KEY.search(words) is not None or not words
