"""The feature schema: every column that may enter a model declares what it is.

Law enters here (:mod:`law.packs`, by jurisdiction; article numbers below are China's Regulation on
the Administration of the Credit Reporting Industry, 征信业管理条例, 2013). A feature is of a closed
list of categories, and of those that it was computed from: what is forbidden (14(1)) does not load,
what needs a consent of its own (14(2)) needs it for whatever was derived from it too. A record of
bad behaviour names the date on which the behaviour *ended*, or it does not load: from there
:func:`forget` counts the years that the law allows (16), before a batch exists. Every feature says
where its values stand and what they have to do with repaying credit (征信业务管理办法 29).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from credit.errors import FeatureError
from credit.values import DAY_US, UNREADABLE_DATE, moment, moments
from crypto.sentences import one_sentence
from law.categories import SENSITIVE_CATEGORIES, DataCategory, Sensitivity, consent_for
from law.packs import Jurisdiction, adverse_days, objection

RETENTION_DAYS = 5 * 365 + 1


class Feature(BaseModel):
    """One column.

    ``low`` and ``high`` are the public range (values outside are clamped), ``values`` the public
    list of codes of a ``category``. ``source`` is the column or system where its values stand at
    the lender, ``derived_from`` what else it was computed from. ``dated_by`` names the column that
    says when the fact was recorded, ``ended_by`` the one that says when bad behaviour ended;
    ``clean`` is the value that tells of none. ``direction`` says that the risk of bad rises
    (``up``) or falls (``down``) with the value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(min_length=1, max_length=100)
    kind: Literal["integer", "number", "category"]
    category: DataCategory
    derived_from: tuple[DataCategory, ...] = ()
    source: str = Field(min_length=1, max_length=200)
    relevance: str = Field(min_length=6, max_length=500)
    description: str = ""
    unit: str = ""
    low: float | None = None
    high: float | None = None
    values: tuple[str, ...] = ()
    sensitivity: Literal["ordinary", "sensitive"] = "ordinary"
    retention_days: int = Field(default=RETENTION_DAYS, ge=1)
    adverse: bool = False
    dated_by: str | None = None
    ended_by: str | None = None
    clean: float | None = None
    direction: Literal["up", "down"] | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.category in SENSITIVE_CATEGORIES and self.sensitivity != "sensitive":
            raise ValueError(
                f"feature {self.name!r} is about {self.category}, so it must be declared sensitive"
            )
        if self.kind == "category" and not self.values:
            raise ValueError(f"feature {self.name!r} is a category but lists no values")
        if self.kind != "category" and self.values:
            raise ValueError(f"feature {self.name!r} lists values but is not a category")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"feature {self.name!r} has an empty range {self.low} to {self.high}")
        if self.adverse and self.ended_by is None:
            raise ValueError(
                f"feature {self.name!r} is an adverse record, so it must name in ended_by the date "
                "column that says when the behaviour ended"
            )
        if not self.adverse and (self.ended_by, self.clean) != (None, None):
            raise ValueError(f"feature {self.name!r} has an end but is not an adverse record")
        if self.clean is not None and self.kind == "category":
            raise ValueError(f"feature {self.name!r} is a category, so clean cannot be one of it")
        if self.direction is not None and self.kind == "category":
            raise ValueError(f"feature {self.name!r} is a category, so it can have no direction")
        return self

    @property
    def categories(self) -> frozenset[DataCategory]:
        """Its own and those that it was computed from."""
        return frozenset({self.category, *self.derived_from})

    @property
    def consents(self) -> frozenset[Sensitivity]:
        """The consents that it needs, usually one; ``ordinary``, which everybody's row needs, only
        where it needs no other."""
        sensitive = self.sensitivity == "sensitive"
        found = {consent_for(one, sensitive) for one in self.categories}
        return frozenset(found - {"ordinary"} or found)


class FeatureSchema(BaseModel):
    """Every feature of a consortium, and the outcome they are to predict."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    target: str
    features: tuple[Feature, ...] = Field(min_length=1)
    jurisdictions: tuple[Jurisdiction, ...] = Field(default=("CN",), min_length=1)
    outcome_dated_by: str | None = None
    outcome_ended_by: str | None = None
    outcomes_since: date | None = None

    @model_validator(mode="after")
    def _lawful(self) -> Self:
        limit = adverse_days(self.jurisdictions, date.max)
        for one in self.features:
            texts = (one.name, one.description, one.unit, one.source)
            if why := objection(self.jurisdictions, one.categories, *texts):
                raise ValueError(f"feature {one.name!r} {why}")
            if one.adverse and limit is not None and one.retention_days > limit:
                raise ValueError(
                    f"feature {one.name!r} is an adverse record; the law keeps those "
                    f"{limit // 365} years"
                )
        if (self.outcome_ended_by is None) == (self.outcomes_since is None):
            raise ValueError(
                "a bad outcome is an adverse record: name in outcome_ended_by the date column that "
                "says when it ended, or in outcomes_since the day before which none ended, not both"
            )
        return self

    @property
    def directions(self) -> dict[str, Literal["up", "down"]]:
        """Which way the risk of bad goes with a feature, where that is declared."""
        return {one.name: one.direction for one in self.features if one.direction is not None}

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
        """Features that need another consent than the ordinary one."""
        return tuple(f.name for f in self.features if f.consents != {"ordinary"})


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


def date_columns(schema: FeatureSchema) -> tuple[str, ...]:
    """The columns that say when a fact or an outcome was recorded, or when bad behaviour ended."""
    dates = {schema.outcome_dated_by, schema.outcome_ended_by}
    dates.update(date for one in schema.features for date in (one.dated_by, one.ended_by))
    return tuple(sorted(name for name in dates if name))


def forget(table: pd.DataFrame, schema: FeatureSchema, today: date) -> pd.DataFrame:
    """Apply retention: stale values become missing, what is left of adverse records is forgotten,
    rows whose bad outcome ended longer ago than the law allows disappear.

    Counting starts when a fact was recorded, of adverse ones when the behaviour ended. What has no
    such date cannot be shown to be fresh: it counts as stale. Behaviour that goes on is dated by
    the day on which it was last seen to. A forgotten value becomes ``clean`` where the schema has
    one: whose record was deleted must not be told from who never had any. An undated one becomes
    missing, not clean: nothing shows that it is old.
    """
    kept, limit = table, adverse_days(schema.jurisdictions, today)
    if limit is not None:
        column = schema.outcome_ended_by
        ended = moments(kept[column]) if column else moment(schema.outcomes_since)
        fresh = ended >= moment(today - timedelta(days=limit))
        kept = kept[(kept[schema.target] == 0) | fresh]
    values = {}
    for one in schema.features:
        dated_by = one.ended_by or one.dated_by
        if dated_by is None:
            continue
        days = one.retention_days
        if one.adverse and limit is not None:
            days = min(days, limit)
        dates = moments(kept[dated_by])
        undated = dates <= UNREADABLE_DATE
        old = ~undated & (dates < moment(today - timedelta(days=days)))
        value = kept[one.name].mask(old, np.nan if one.clean is None else one.clean)
        values[one.name] = value.mask(undated & (value != one.clean))
    return kept.assign(**values) if values else kept


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
