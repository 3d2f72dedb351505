"""The feature schema: every column that may enter a model declares what it is.

Law enters here. Credit-reporting rules (China: Regulation on the Administration of the Credit
Reporting Industry, 2013, articles 14 and 16) forbid religion, genes, fingerprints, blood type and
disease history outright; income, deposits, securities, insurance, property and tax need a consent
of their own; adverse records are forgotten after five years. A schema that breaks the first two
does not load; :func:`forget` applies the third before a batch exists.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Sequence
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from credit.errors import FeatureError
from credit.values import DAY_US, UNREADABLE_DATE, code, codes, moment, moments, numbers
from crypto.sentences import one_sentence
from law.categories import SENSITIVE_CATEGORIES, DataCategory

ADVERSE_RECORD_YEARS = 5
ADVERSE_RECORD_DAYS = ADVERSE_RECORD_YEARS * 365 + 1


class Sensitivity(StrEnum):
    ORDINARY = "ordinary"
    SENSITIVE = "sensitive"


FORBIDDEN = {
    "religion": r"religio\w*|church|faith|宗教|信仰",
    "genes": r"gen(?:e|es|etic\w*|om\w*|otyp\w*)|dna|基因",
    "fingerprints": r"finger ?prints?|指纹",
    "blood type": r"blood ?(?:type|group)|血型",
    "disease history": (
        r"diseases?|illness(?:es)?|medical|diagnos\w*|hiv|cancer|health "
        r"?(?:records?|history)|疾病|病史"
    ),
}
"""Kinds of data that credit-reporting law forbids, with the names by which they are recognised."""


def forbidden_kind(*texts: str) -> str | None:
    """The forbidden kind of data that one of these names or descriptions speaks of, if any."""
    normal = " ".join(unicodedata.normalize("NFKC", text) for text in texts)
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[\W_]+", " ", normal)
    words = re.sub(r" +", " ", apart).lower()
    for kind, pattern in FORBIDDEN.items():
        latin = re.search(rf"(?<![a-z])(?:{pattern})(?![a-z])", words)
        if latin or any(part in normal for part in pattern.split("|") if not part.isascii()):
            return kind
    return None


class Feature(BaseModel):
    """One column.

    ``low`` and ``high`` are the public range (values outside are clamped), ``values`` the public
    list of codes of a ``category``. ``dated_by`` names the column that says when the fact was
    recorded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(min_length=1, max_length=100)
    kind: Literal["integer", "number", "category"]
    category: DataCategory
    description: str = ""
    unit: str = ""
    low: float | None = None
    high: float | None = None
    values: tuple[str, ...] = ()
    sensitivity: Sensitivity = Sensitivity.ORDINARY
    retention_days: int = Field(default=ADVERSE_RECORD_DAYS, ge=1)
    adverse: bool = False
    dated_by: str | None = None

    @model_validator(mode="after")
    def _lawful(self) -> Self:
        if kind := forbidden_kind(self.name, self.description, self.unit):
            raise ValueError(
                f"feature {self.name!r} is about {kind}, which credit-reporting law forbids; "
                "remove it"
            )
        if self.category in SENSITIVE_CATEGORIES and self.sensitivity is not Sensitivity.SENSITIVE:
            raise ValueError(
                f"feature {self.name!r} is about {self.category}, so it must be declared sensitive"
            )
        if self.kind == "category" and not self.values:
            raise ValueError(f"feature {self.name!r} is a category but lists no values")
        if self.kind != "category" and self.values:
            raise ValueError(f"feature {self.name!r} lists values but is not a category")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"feature {self.name!r} has an empty range {self.low} to {self.high}")
        if self.adverse and self.retention_days > ADVERSE_RECORD_DAYS:
            raise ValueError(
                f"feature {self.name!r} is an adverse record; the law keeps those "
                f"{ADVERSE_RECORD_YEARS} years"
            )
        return self


class FeatureSchema(BaseModel):
    """Every feature of a consortium, and the outcome they are to predict."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    target: str
    features: tuple[Feature, ...] = Field(min_length=1)
    outcome_dated_by: str | None = None

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [feature.name for feature in self.features]
        repeated = {name for name in names if names.count(name) > 1}
        if repeated:
            raise ValueError(f"declared twice: {', '.join(sorted(repeated))}")
        if overlap := {self.target, *names} & set(date_columns(self)):
            raise ValueError(f"{sorted(overlap)[0]!r} cannot be a date column and something else")
        if self.target in names:
            raise ValueError(f"the target {self.target!r} cannot also be a feature")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)

    def __getitem__(self, name: str) -> Feature:
        for feature in self.features:
            if feature.name == name:
                return feature
        raise FeatureError(f"feature {name!r} is not in the registry {self.name!r}")

    def sensitive(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.features if f.sensitivity is Sensitivity.SENSITIVE)

    def only(self, names: Sequence[str]) -> FeatureSchema:
        """The schema restricted to ``names``, in that order; raises FeatureError for an unknown
        one."""
        return self.model_copy(update={"features": tuple(self[name] for name in names)})


def schema_from(data: Any, where: str) -> FeatureSchema:
    """Validate a schema; raises FeatureError with one sentence that names the place."""
    try:
        return FeatureSchema.model_validate(data)
    except ValidationError as error:
        place = _place(data, error.errors(include_url=False)[0]["loc"])
        said = one_sentence(error, lambda _: place)
        raise FeatureError(
            f"{where}: {said.removeprefix(place + ': ') if ': feature ' in said else said}"
        ) from error


def _place(data: Any, loc: Sequence[int | str]) -> str:
    """Where in a schema something is wrong, in its author's words: a feature by its name, counted
    from 1 without."""
    match loc:
        case ["features", int(at), *rest]:
            found = data["features"][at]
            name = found.get("name") if isinstance(found, dict) else None
            called = (
                f"feature {name!r}" if isinstance(name, str) and name else f"the {at + 1}. feature"
            )
            return ", ".join([called, *(".".join(map(str, rest)) for _ in rest[:1])])
        case _:
            return ".".join(map(str, loc))


def load_schema(path: Path) -> FeatureSchema:
    """Read a schema from a TOML file."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise FeatureError(f"cannot read the feature registry {path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise FeatureError(f"the feature registry {path} is not TOML: {error}") from error
    return schema_from(data, str(path))


def date_columns(schema: FeatureSchema) -> tuple[str, ...]:
    """The columns that say when a fact or an outcome was recorded."""
    dates = {feature.dated_by for feature in schema.features} | {schema.outcome_dated_by}
    return tuple(sorted(name for name in dates if name))


def check_table(table: pd.DataFrame, schema: FeatureSchema, where: str) -> None:
    """The table has every declared column, only declared categories, numbers where numbers belong,
    a binary target.

    Raises:
        FeatureError: one sentence naming the first column that does not fit; never a value that
            belongs to a person, except a category code, which is public by declaration.
    """
    for name in (schema.target, *schema.names):
        if name not in table.columns:
            raise FeatureError(
                f"{where}: column {name!r} is missing; the columns are "
                f"{', '.join(map(str, table.columns))}"
            )
    for name in date_columns(schema):
        if name not in table.columns:
            raise FeatureError(f"{where}: the date column {name!r} is missing")
        if (moments(table[name]) == UNREADABLE_DATE).any():
            raise FeatureError(
                f"{where}: the date column {name!r} holds something that is not a date"
            )
    labels = table[schema.target]
    if labels.isna().any() or not set(labels.unique()) <= {0, 1} or labels.nunique() != 2:
        raise FeatureError(
            f"{where}: the target {schema.target!r} must hold 0 (good) and 1 (bad), both, and "
            "nothing else"
        )
    for feature in schema.features:
        column = table[feature.name]
        if feature.kind == "category":
            known = {code(value) for value in feature.values} | {None}
            if rows := sum(one not in known for one in codes(column)):
                raise FeatureError(
                    f"{where}: column {feature.name!r} holds an unknown category in {rows} rows; "
                    f"the registry knows {', '.join(feature.values)}"
                )
        elif rows := int(numbers(column).unreadable.sum()):
            raise FeatureError(
                f"{where}: column {feature.name!r} is declared a {feature.kind} but holds "
                f"something else in {rows} rows"
            )


def forget(table: pd.DataFrame, schema: FeatureSchema, today: date) -> pd.DataFrame:
    """Apply retention: stale values become missing, rows whose bad outcome is older than five years
    disappear.

    A fact without a date cannot be shown to be fresh: where a date column is declared, a missing
    date counts as stale.
    """
    kept = table
    if schema.outcome_dated_by:
        recorded = moments(kept[schema.outcome_dated_by])
        kept = kept[
            (kept[schema.target] == 0)
            | (recorded >= moment(today - timedelta(days=ADVERSE_RECORD_DAYS)))
        ]
    stale = {
        feature.name: moments(kept[feature.dated_by])
        < moment(today - timedelta(days=feature.retention_days))
        for feature in schema.features
        if feature.dated_by
    }
    if not stale:
        return kept
    return kept.assign(**{name: kept[name].mask(rows) for name, rows in stale.items()})


def within(
    table: pd.DataFrame, schema: FeatureSchema, first: date | None, last: date | None
) -> pd.DataFrame:
    """Only facts recorded from ``first`` to ``last`` (either open): other values become missing,
    other outcomes go.

    What has no date cannot be shown to be inside: a value becomes missing, a row goes with its
    outcome.
    """

    def inside(column: str | None) -> NDArray[np.bool_]:
        if column is None:
            return np.zeros(len(table), dtype=bool)
        recorded = moments(table[column])
        reached = recorded > UNREADABLE_DATE
        if first is not None:
            reached &= recorded >= moment(first)
        if last is not None:
            reached &= recorded < moment(last) + DAY_US
        return np.asarray(reached)

    kept = {
        feature.name: table[feature.name].where(inside(feature.dated_by))
        for feature in schema.features
    }
    narrowed = table.assign(**kept)
    return narrowed[inside(schema.outcome_dated_by)]
