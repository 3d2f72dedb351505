"""A feature registry for a table that comes without one.

A consortium agrees on a data dictionary before it trains: which columns exist, of which type, with which codes.
For a table at hand this module writes that dictionary from the table's *schema*: column names, types and category
codes. Ranges and quantiles of values are never read here; bins come from a private release.

The data category of a column is guessed from its name, and guessed strictly: what looks like money earned or owned
is sensitive.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import pandas as pd

from credit.errors import FeatureError
from credit.features import (
    SENSITIVE_CATEGORIES,
    DataCategory,
    FeatureRegistry,
    Sensitivity,
    forbidden_kind,
    registry_from,
)

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


def describe(
    table: pd.DataFrame, target: str, name: str, exclude: Collection[str] = ()
) -> tuple[FeatureRegistry, dict[str, str]]:
    """The dictionary of ``table``, and the columns left out with the reason for each.

    Raises:
        FeatureError: the target is missing, or no column is left to learn from.
    """
    if target not in table.columns:
        raise FeatureError(
            f"{name}: column {target!r} is missing; the columns are {', '.join(map(str, table.columns))}"
        )
    features: list[dict[str, object]] = []
    left_out: dict[str, str] = {}
    for column in map(str, table.columns):
        if column == target or column in exclude:
            continue
        if kind := forbidden_kind(column):
            left_out[column] = f"about {kind}, which credit-reporting law forbids"
            continue
        values = table[column]
        category = guess_category(column)
        sensitive = Sensitivity.SENSITIVE if category in SENSITIVE_CATEGORIES else Sensitivity.ORDINARY
        feature: dict[str, object] = {"name": column, "category": category, "sensitivity": sensitive}
        if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values):
            if pd.api.types.is_datetime64_any_dtype(values):
                left_out[column] = "a date"
                continue
            codes = sorted(values.dropna().map(str).unique())
            if not 2 <= len(codes) <= MAX_CATEGORIES:
                left_out[column] = f"text with {len(codes)} distinct values"
                continue
            feature |= {"kind": "category", "values": codes}
        else:
            whole = pd.api.types.is_integer_dtype(values) or bool((values.dropna() % 1 == 0).all())
            feature |= {"kind": "integer" if whole else "number"}
        features.append(feature)
    if not features:
        raise FeatureError(f"{name}: no column is left to learn from besides the target {target!r}")
    return registry_from({"name": name, "target": target, "features": features}, name), left_out
