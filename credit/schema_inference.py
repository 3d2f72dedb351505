"""A feature schema for a table that comes without one.

A consortium agrees on a data dictionary before it trains: which columns exist, of which type, with
which codes. For a table at hand this module writes that dictionary from the table's *schema*:
column names, types and category codes that several rows have. Values are looked at only to leave
out what tells rows or people apart, by the share that looks so: no single row makes a column a
feature or none. Their ranges and quantiles go nowhere, bins come from a private release.

The data category of a column is guessed from its name: what looks like money earned or owned is
sensitive, an amount of unknown money too; other names that say nothing are consumption. A name is
no proof, and nothing here knows what a column was computed from. Why a column has to do with
repaying credit, and since when outcomes ended, no table says: what is written there instead begins
with "guessed: ", checks warn of it, and whoever trains for earnest puts the truth in its place.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from credit.errors import FeatureError
from credit.features import FeatureSchema, schema_from
from credit.values import codes, numbers
from law.categories import SENSITIVE_CATEGORIES, DataCategory
from law.packs import Jurisdiction, objection, spoken_of

GUESSED = "guessed: "
"""A relevance that begins so was written by a program and is nobody's reason yet."""
MAX_UNREADABLE = 0.01
"""Share of values that are no numbers, up to which a column of numbers is one all the same."""
MOSTLY = 0.9
"""Share of a column's values, or of its different ones, from which it is what they look like."""
LEAST_ROWS = 5
"""A code that fewer rows have is not declared, and so few fractions make no column one of
fractions: what is declared must not hang on somebody's row."""
ROWS_TO_NUMBER = 100
"""Rows below which whole numbers without a gap may be a coincidence."""
_IDENTIFIERS = {
    "numbers of 15 digits or more: of identity papers, cards or accounts": re.compile(
        r"[0-9]{15,19}|[0-9]{17}X"
    ),
    "mobile phone numbers": re.compile(r"(?:\+?86|0086)?1[3-9][0-9]{9}"),
}
_BESIDE_THEM = re.compile(
    r"0[1-9][0-9]{8,15}|[1-9][0-9]{6,11}|\+[1-9][0-9]{7,14}|[A-Z]{1,3}[0-9]{6,10}"
)
"""What stands in the same columns: landlines, foreign numbers, passports."""
_BETWEEN_DIGITS = {"Zs", "Cc", "Cf", "Pd", "Ps", "Pe"}
"""Blanks, what cannot be seen, hyphens and brackets; not the point of a number with a fraction."""
_WHOSE = re.compile(
    r"(?<![a-z])(?:(?:customer|cust|client|borrower|applicant|debtor|member|user|person|people) ?"
    r"(?:id|no|nr|key|uuid|guid|name)|(?:customer|client|borrower|member) ?(?:num|number)"
    r"|(?:loan|account|acct|contract|application|order|case|card|record|transaction|row|line) "
    r"?(?:id|key|uuid|guid)"
    r"|(?:row|serial|sequence|seq|identity|id|id ?card|passport|phone|mobile|cell|telephone) "
    r"?(?:no|nr|num|number)"
    r"|identity|id|id ?card|national id|ssn|uuid|guid|rowid|serial)$"
    r"|(?:序|行|流水|户|客户|用户|会员|借款人|申请人|证件|身份证|护照|手机|电话|合同|贷款|借据|订单|申请|账户|卡|账|帐)号码?$"
    r"|(?:客户|用户|会员|借款人|申请人|合同|贷款|借据|订单|申请|账户|记录)(?:编号|编码|代码|标识|id)$"
    r"|(?:^编号|身份证|姓名|邮箱|客户名称?)$"
)
"""Names of columns that number rows or people, whatever is in them, unless it is yes or no."""
_KEY = re.compile(
    r"\b(?:id|no|nr|num|number|key|code|index|serial|row|phone|mobile|tel|unnamed(?: "
    r"[0-9]+)?)$|[号码]$"
)
"""Names that say so if nearly every row has a value of its own."""
MAX_CATEGORIES = 50
"""A text column with more codes than this is a name or a number in disguise and is left out."""

JURISDICTION: Jurisdiction = "CN"

_MONEY = (
    r"(?<![a-z])(?:amount|amt|balance|cash|money|capital|equity|worth|value|flow)s?(?![a-z])"
    r"|金额|余额|资金|现金|钱|额$"
)
"""Amounts whose name does not say what money it is: sensitive, until somebody says otherwise."""
_PATTERNS: tuple[tuple[DataCategory, str], ...] = (
    (
        DataCategory.INCOME,
        r"income|salary|wage|earning|annual_inc|revenue|turnover|pension|bonus|收入|工资|营业额|退休金",
    ),
    (
        DataCategory.SECURITIES,
        r"securit|stock|bond|\bfunds?\b|portfolio|invest|wealth|证券|股|基金|理财|投资",
    ),
    (
        DataCategory.DEPOSITS,
        r"deposit|savings?|checking|balance_account|bank_|cash_?flow|流水|存款|储蓄|公积金|银行",
    ),
    (DataCategory.INSURANCE, r"insur|保险|保单"),
    (
        DataCategory.PROPERTY,
        r"property|house|housing|home|real_?estate|mortgage|assets?\b|net_?worth|房|资产|净值",
    ),
    (DataCategory.TAX, r"\btax|税"),
    (
        DataCategory.REPAYMENT,
        r"pay_|due|delinq|late|past|default|arrear|overdue|repay|seniority|records|逾期|还款",
    ),
    (
        DataCategory.BUREAU,
        r"inq|inquir|open|line|accounts?|revol|util|rev\b|loan|credit|debt|deb|bill|limit|负债|征信|贷款|授信|额度",
    ),
    (DataCategory.AGE, r"\bage\b|年龄"),
    (DataCategory.SEX, r"\bsex\b|gender|性别"),
    (DataCategory.MARITAL, r"marital|marriage|婚"),
    (DataCategory.EDUCATION, r"educat|学历"),
    (DataCategory.EMPLOYMENT, r"\bjob|employ|occupation|职业|工作"),
    (DataCategory.NATIONALITY, r"foreign|nationalit|国籍"),
    (DataCategory.IDENTITY, r"depend|city|state"),
    (DataCategory.DEPOSITS, _MONEY),
)


def guess_category(name: str) -> DataCategory:
    """The data category that a column's name suggests, of several the strictest; consumption where
    it suggests nothing."""
    spoken = [one for one in spoken_of(name) if one in SENSITIVE_CATEGORIES]
    if spoken:
        return spoken[0]
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


def describe(
    table: pd.DataFrame, target: str, name: str, since: date, exclude: Collection[str] = ()
) -> Described:
    """Write the dictionary of ``table``.

    Args:
        since: the day before which no bad outcome is taken to have ended. A table does not say.

    Raises:
        FeatureError: the target is missing, or no column is left to learn from.
    """
    if target not in table.columns:
        raise FeatureError(
            f"{name}: column {target!r} is missing; the columns are "
            f"{', '.join(map(str, table.columns))}"
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
        feature: dict[str, object] = {
            "name": column,
            "category": category,
            "sensitivity": "sensitive" if category in SENSITIVE_CATEGORIES else "ordinary",
            "derived_from": [one for one in spoken_of(column) if one != category],
            "source": column,
            "relevance": f"{GUESSED}a fact of {category}; say why it has to do with repaying "
            "credit, or leave it out, before use",
        }
        read = numbers(table[column])
        if is_number(table[column]):
            there = read.values[~np.isnan(read.values)]
            broken = int((there[np.isfinite(there)] % 1 != 0).sum())
            few = broken < LEAST_ROWS and broken <= MAX_UNREADABLE * len(there)
            feature |= {"kind": "integer" if few else "number"}
            if odd := int(read.unreadable.sum()):
                remarks.append(
                    f"{column}: {odd:,} of {len(read.values):,} values are no numbers and count as "
                    "missing"
                )
        else:
            found = _counts(table[column])
            feature |= {"kind": "category", "values": (declared := _declared(found))}
            if rare := len(found) - len(declared):
                rows = sum(found.values()) - sum(found[one] for one in declared)
                remarks.append(
                    f"{column}: {rare:,} codes that fewer than {LEAST_ROWS} rows have are not "
                    f"declared; {rows:,} values count as missing"
                )
        features.append(feature)
    if not features:
        raise FeatureError(f"{name}: no column is left to learn from besides the target {target!r}")
    remarks.append(
        f"{GUESSED}categories, by the names of the columns; reasons; and that no bad outcome ended "
        f"before {since}. Put the truth into the registry before you train on people's data"
    )
    about = {"name": name, "target": target, "outcomes_since": since}
    schema = schema_from(about | {"features": features}, name)
    return Described(schema, left_out, tuple(remarks))


def read_as(schema: FeatureSchema, table: pd.DataFrame) -> pd.DataFrame:
    """Each column as it was found to be: numbers, codes that are declared (others are missing), the
    outcome a number.

    Returns:
        a table that fits the registry (:func:`credit.validation.check_table`), with the columns
        that it does not know.
    """
    read: dict[str, Any] = {schema.target: numbers(table[schema.target]).values}
    for one in schema.features:
        if one.kind == "category":
            read[one.name] = np.array(
                [each if each in one.values else None for each in codes(table[one.name])], object
            )
        else:
            read[one.name] = numbers(table[one.name]).values
    return table.assign(**read)


def is_number(values: pd.Series) -> bool:
    """Whether a column holds numbers: all of its values, or nearly all while the others are no
    categories."""
    if pd.api.types.is_bool_dtype(values):
        return False
    unreadable = numbers(values).unreadable
    if pd.api.types.is_numeric_dtype(values) or not unreadable.any():
        return not unreadable.any()
    if unreadable.sum() > MAX_UNREADABLE * len(values):
        return False
    return len(_counts(values)) > MAX_CATEGORIES or not _declared(_counts(values[unreadable]))


def no_feature(name: str, values: pd.Series) -> str:
    """Why a column is no feature; empty if it may be one."""
    if why := objection((JURISDICTION,), tuple(spoken_of(name)), name):
        return why.removeprefix("is ")
    if pd.api.types.is_datetime64_any_dtype(values):
        return "a date"
    found = _counts(values)
    if not found:
        return "there is no value at all"
    if why := _identifies(found):
        return why
    words = _words(name)
    if len(found) > 2 and _WHOSE.search(words):
        return "it numbers the rows or the people, as its name says"
    if is_number(values):
        return "it numbers the rows" if _numbers_rows(words, values) else ""
    declared = _declared(found)
    if len(found) < 2 or len(declared) > MAX_CATEGORIES:
        return f"text with {len(found)} distinct values"
    if len(declared) < 2 or sum(found[one] for one in declared) < MOSTLY * sum(found.values()):
        return (
            f"text with {len(found)} distinct values, of which {len(declared)} have "
            f"{LEAST_ROWS} rows or more"
        )
    return ""


def _words(name: str) -> str:
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|[\W_]+", " ", unicodedata.normalize("NFKC", name))
    return apart.lower().strip()


def _counts(values: pd.Series) -> Counter[str]:
    """How many rows have each code."""
    return Counter(one for one in codes(values) if one is not None)


def _declared(found: Counter[str]) -> list[str]:
    """The codes that are declared, in order."""
    return sorted(one for one, rows in found.items() if rows >= LEAST_ROWS)


def _identifies(found: Counter[str]) -> str:
    """Which numbers of people or their accounts these are, by their share of the rows or of the
    different values."""
    plain = Counter[str]()
    for one, rows in found.items():
        letters = unicodedata.normalize("NFKC", one).upper()
        plain[
            "".join(each for each in letters if unicodedata.category(each) not in _BETWEEN_DIGITS)
        ] += rows
    shares = {why: np.zeros(2) for why in _IDENTIFIERS}
    any_of_them = np.zeros(2)
    for one, rows in plain.items():
        kinds = [why for why, pattern in _IDENTIFIERS.items() if pattern.fullmatch(one)]
        for why in kinds:
            shares[why] += (rows, 1)
        if kinds or _BESIDE_THEM.fullmatch(one):
            any_of_them += (rows, 1)
    whole = np.array([sum(plain.values()), len(plain)])
    why = max(shares, key=lambda kind: shares[kind].max())
    return why if ((any_of_them >= MOSTLY * whole) & (2 * shares[why] >= whole)).any() else ""


def _numbers_rows(words: str, values: pd.Series) -> bool:
    """Nearly every row has a whole number of its own, nearly without a gap or under a name that
    says so."""
    read = numbers(values).values
    there = read[np.isfinite(read)]
    different = np.unique(there[there % 1 == 0])
    if len(there) < ROWS_TO_NUMBER or len(different) < MOSTLY * len(there):
        return False
    without_gap = float(np.mean(np.diff(different) == 1)) >= MOSTLY
    return without_gap or _KEY.search(words) is not None or not words
