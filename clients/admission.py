"""Admission of rows: features without consent masked, stale records gone, limits of notices kept.

Everything here is decided person by person, so that it does not matter in which chunk somebody
stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import repeat

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from credit.features import FeatureSchema, forget, within
from protocol.terms import Limits

_NO_LIMITS = Limits()


@dataclass(frozen=True)
class UseLimits:
    """Limits on the use of each member's data: ``which`` of ``limits`` is theirs, by their place in
    the roster."""

    limits: tuple[Limits, ...]
    which: NDArray[np.int32]

    @classmethod
    def of(cls, members: Sequence[str], limits: Mapping[str, Limits]) -> UseLimits:
        kinds = tuple(dict.fromkeys((_NO_LIMITS, *limits.values())))
        number = {limit: place for place, limit in enumerate(kinds)}
        limited = {name: number[limit] for name, limit in limits.items()}
        unlimited = repeat(number[_NO_LIMITS])
        which = map(limited.get, members, unlimited)
        return cls(kinds, np.fromiter(which, np.int32, len(members)))

    def within(self, table: pd.DataFrame, schema: FeatureSchema, moment: datetime) -> pd.DataFrame:
        """Only the facts that each person's consent reaches: by the days on which they were
        recorded. The table itself where nobody's has a limit."""
        if self.limits == (_NO_LIMITS,):
            return table
        parts = []
        which = self.which[table.index.to_numpy()]
        for number in np.unique(which):
            part = table[which == number]
            limit = self.limits[number]
            first, last = limit.data_from, limit.data_to
            if limit.data_life_days is not None:
                oldest = moment.date() - timedelta(days=limit.data_life_days)
                first = oldest if first is None else max(first, oldest)
            parts.append(
                part if first is None and last is None else within(part, schema, first, last)
            )
        return pd.concat(parts) if parts else table


@dataclass(frozen=True)
class Admission:
    """The rules for one release's members; ``sensitive`` says who consented to those features, by
    place."""

    schema: FeatureSchema
    moment: datetime
    sensitive: NDArray[np.bool_]
    ordinary_limits: UseLimits
    sensitive_limits: UseLimits

    def admitted(self, table: pd.DataFrame) -> pd.DataFrame:
        """The target and the features of some members, whose places are the index; the places stay
        behind."""
        schema = self.schema
        fresh = forget(table, schema, self.moment.date())
        reached = self.ordinary_limits.within(fresh, schema, self.moment)
        narrowed = self.sensitive_limits.within(fresh, schema, self.moment)
        if schema.sensitive() and narrowed is not fresh:
            narrowed = narrowed[list(schema.sensitive())].reindex(reached.index)
            within_both = {
                name: reached[name].where(narrowed[name].notna()) for name in schema.sensitive()
            }
            reached = reached.assign(**within_both)
        masked = ~self.sensitive[reached.index.to_numpy()]
        hidden = {name: reached[name].mask(masked) for name in schema.sensitive()}
        return reached.assign(**hidden)[[schema.target, *schema.names]].reset_index(drop=True)
