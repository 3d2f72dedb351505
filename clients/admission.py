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
from law.categories import Sensitivity
from protocol.coverage import Needs
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
    """The rules for one release's members.

    Args:
        needs: which consents each feature needs.
        hidden: for each member, by place, which of ``patterns`` of features their answers do not
            cover.
        limits: of each consent that some feature needs.
    """

    schema: FeatureSchema
    moment: datetime
    needs: Needs
    hidden: NDArray[np.int32]
    patterns: tuple[frozenset[str], ...]
    limits: Mapping[Sensitivity, UseLimits]

    def admitted(self, table: pd.DataFrame) -> pd.DataFrame:
        """The target and the features of some members, whose places are the index; the places stay
        behind."""
        schema = self.schema
        fresh = forget(table, schema, self.moment.date())
        reached = self.limits["ordinary"].within(fresh, schema, self.moment)
        for kind in self.needs.consents[1:]:
            narrowed = self.limits[kind].within(fresh, schema, self.moment)
            if narrowed is not fresh:
                kept = narrowed[list(self.needs.of(kind))].reindex(reached.index).notna()
                within_both = {
                    name: reached[name].where(kept[name]) for name in self.needs.of(kind)
                }
                reached = reached.assign(**within_both)
        which = self.hidden[reached.index.to_numpy()]
        masked = {
            name: reached[name].mask(np.array([name in one for one in self.patterns])[which])
            for name in sorted(frozenset[str]().union(*self.patterns))
        }
        return reached.assign(**masked)[[schema.target, *schema.names]].reset_index(drop=True)
