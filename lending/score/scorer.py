"""A score of one person or of a table, in whole points that add up to it.

Points of feature j are ``rate * deviation_j``: its log-odds above the mean person's, times the
secant of calibration and scaling between that person and this one (one rate a person, so ranks do
not change); the base is the mean person's score. They are rounded by largest remainder, so base
and points add up to the shown score for everybody. A neutral feature has none.

Who builds a :class:`Scorer` has verified the model first: its card, signed by the coordinator and
logged, names the file's hash (``clients.models``, ``tahini score``, the desk). This room can read
no signature of another party; it takes the hash so that every decision says by which model.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from operator import getitem, sub
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from credit.bands import BANDS, Bands
from credit.edges import Edges
from credit.models import CreditModel
from credit.values import by_code, numbers
from lending.cases import Fact, FeaturePoints, Scored
from lending.law.features import LawOfDay
from lending.score.compiled import NEUTRAL, UNIT, FeatureTable, LookUp, ScoreError, compiled
from lending.score.protected import refuse_protected

Bins = NDArray[np.int32]

PROBABILITY_DIGITS = 9
"""So that another machine's ``exp`` gives the same decision."""
LEFT_OUT = frozenset({"refused", "disputed", "late"})
"""Facts whose column is neutral: that a source was late or not asked says nothing about a person,
and what 'missing' adds was learnt from people of whom a source knew nothing."""


def whole_points(parts: Sequence[float], total: int, neutral: Collection[int] = ()) -> list[int]:
    """``parts`` rounded so that they add up to ``total``: by largest remainder, the first of equal
    ones first. Those at ``neutral`` places are zero and stay so."""
    found = list(map(math.floor, parts))
    left = total - sum(found)
    over = list(map(sub, found, parts))  # the lower, the more a part lost
    places: Sequence[int] = range(len(parts))
    if neutral:
        places = [at for at in places if at not in neutral]
    if not left or not places:
        return found
    each, rest = divmod(left, len(places))
    if each:
        for at in places:
            found[at] += each
    for at in sorted(places, key=over.__getitem__)[:rest]:
        found[at] += 1
    return found


@dataclass(frozen=True)
class Scorer:
    """Scores people by a released model that somebody has verified; ``model_sha256`` says which,
    ``under`` by the law of which places and day. There is none with a protected feature."""

    look_up: LookUp
    model_sha256: str
    under: LawOfDay
    bands: Bands = BANDS
    mean_raw: float = field(init=False)
    base: int = field(init=False)
    _kept: list[list[dict[int, FeaturePoints]]] = field(init=False, repr=False, compare=False)
    """By feature, bin and points; bins are few, and so are the points of one."""

    def __post_init__(self) -> None:
        """Raises ScoreError: a feature is protected."""
        refuse_protected((table.feature for table in self.look_up.tables), self.under)
        mean = self.look_up.mean_raw
        object.__setattr__(self, "mean_raw", mean)
        object.__setattr__(self, "base", self.look_up.score(mean))
        kept: list[list[dict[int, FeaturePoints]]] = [
            [{} for _ in table.units] for table in self.look_up.tables
        ]
        object.__setattr__(self, "_kept", kept)

    @classmethod
    def of(
        cls,
        model: CreditModel,
        model_sha256: str,
        under: LawOfDay,
        bands: Bands = BANDS,
    ) -> Scorer:
        """A scorer by a verified model, under the law of places and a day.

        Raises:
            ScoreError: a feature is protected, or the model explains no score (an MLP).
        """
        return cls(compiled(model), model_sha256, under, bands)

    def require(self, day: date) -> None:
        """Raises ScoreError: on that day the law of its places bars a feature."""
        tables = self.look_up.tables
        refuse_protected((table.feature for table in tables), replace(self.under, day=day))

    @property
    def features(self) -> tuple[str, ...]:
        return tuple(table.name for table in self.look_up.tables)

    def score(self, values: Mapping[str, object], neutral: frozenset[str] = frozenset()) -> Scored:
        """One person's: a value for each feature (None: nothing is known), except for those that
        are ``neutral``. Raises ScoreError."""
        return self.scored(self.look_up.bins(values, neutral))

    def score_facts(self, facts: Mapping[str, Fact]) -> Scored:
        """One applicant's: absent counts as missing, what was left out is neutral. Raises
        ScoreError."""
        left_out = frozenset(name for name, fact in facts.items() if fact.status in LEFT_OUT)
        values = {
            name: fact.value if fact.status == "present" else None for name, fact in facts.items()
        }
        return self.score(values, left_out)

    def scored(self, bins: Sequence[int]) -> Scored:
        """Whoever stands in these bins."""
        look_up = self.look_up
        raw = look_up.raw(bins)
        score, rate = look_up.score(raw), look_up.rate(raw, self.mean_raw)
        left_out = [at for at, one in enumerate(bins) if one == NEUTRAL] if NEUTRAL in bins else ()
        parts = [rate * deviation for deviation in look_up.deviations(bins)]
        points = whole_points(parts, score - self.base, left_out)
        return Scored(
            score,
            self.bands.band(score).code,
            round(1 / (1 + math.exp(-look_up.calibrated(raw))), PROBABILITY_DIGITS),
            self.base,
            self._feature_points(bins, points),
        )

    def _feature_points(
        self, bins: Sequence[int], points: Sequence[int]
    ) -> tuple[FeaturePoints, ...]:
        kept = list(map(getitem, self._kept, bins))
        try:
            return tuple(map(getitem, kept, points))
        except KeyError:  # somebody is the first with these points
            for table, known, at, one in zip(self.look_up.tables, kept, bins, points, strict=True):
                known[one] = FeaturePoints(table.name, at, one, at == NEUTRAL)
            return tuple(map(getitem, kept, points))

    def bins(self, table: pd.DataFrame) -> Bins:
        """(people, features), each from one value, as :meth:`LookUp.bins` finds them. Raises
        ScoreError."""
        if lacking := [name for name in self.features if name not in table.columns]:
            raise ScoreError(
                f"column {lacking[0]!r} of the model is not there; the columns are "
                f"{', '.join(map(str, table.columns))}"
            )
        each = [_column_bins(one, table[one.name]) for one in self.look_up.tables]
        return np.stack(each, axis=1)

    def raw(self, bins: Bins) -> NDArray[np.float64]:
        """(people,) log-odds of bad, not calibrated."""
        units = np.full(len(bins), self.look_up.constant, dtype=np.int64)
        for at, table in enumerate(self.look_up.tables):
            units += np.array(table.units)[bins[:, at]]
        together = np.zeros(len(bins))
        for pair in self.look_up.pairs:
            rows = np.array(pair.first_levels)[bins[:, pair.first]]
            together += np.array(pair.effects)[
                rows, np.array(pair.second_levels)[bins[:, pair.second]]
            ]
        return units * UNIT + together

    def scores(self, table: pd.DataFrame) -> NDArray[np.int64]:
        """(people,) shown scores, the same as one by one. Raises ScoreError."""
        raw = self.raw(self.bins(table))
        reached = np.searchsorted(np.array(self.look_up.bounds), raw, side="right")
        return np.asarray(self.look_up.highest - reached)


def _column_bins(table: FeatureTable, column: pd.Series[Any]) -> Bins:
    if table.is_code:
        return np.asarray(
            by_code(column, lambda one: table.bin_of_code.get(one, table.other), np.int32)
        )
    values, unreadable = numbers(column)
    if rows := int(unreadable.sum()):
        raise ScoreError(
            f"column {table.name!r} holds something that is no number in {rows} rows; write a "
            "number, or nothing"
        )
    found = Edges(np.array(table.edges)).passed(values)
    return np.where(np.isnan(values), np.int32(table.missing), found)
