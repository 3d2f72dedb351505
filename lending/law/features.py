"""What may not enter a score or a policy, by jurisdiction and day: the list of ``law.packs``, by
which features are refused in training too, and rows that a lender adds.

*Forbidden* may not be collected or used at all. *Protected* may be held, under a consent of its
own, to measure whether decisions are fair; it can never be scored or decided on.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from law.categories import DataCategory
from law.packs import Jurisdiction, spoken_of
from lending.law.rows import LAWS, LawRow, Laws

Bar = Literal["forbidden", "protected"]


@dataclass(frozen=True, slots=True)
class Barred:
    """A kind of data that a score or a policy must not read, and which row says so."""

    category: DataCategory
    bar: Bar
    jurisdiction: Jurisdiction
    row: LawRow

    @property
    def why(self) -> str:
        """The rest of a sentence that begins with the feature."""
        held = "it may be held only to measure fairness, under a consent of its own"
        end = "it may not be used at all" if self.bar == "forbidden" else held
        return (
            f"is about {self.category}, which can enter no score and no policy "
            f"({self.jurisdiction}: {self.row.article}); {end}"
        )


def barred(jurisdiction: Jurisdiction, day: date, laws: Laws = LAWS) -> dict[DataCategory, Barred]:
    """All of them on ``day``; a category that is both is forbidden.

    Raises:
        LawSilent: the table says nothing of features on that day.
    """
    found: dict[DataCategory, Barred] = {}
    bars: tuple[Bar, ...] = ("forbidden", "protected")
    for bar in bars:
        for row in laws.under(jurisdiction, bar, day):
            for word in row.words:
                category = DataCategory(word)
                found.setdefault(category, Barred(category, bar, jurisdiction, row))
    if not found:
        laws.at(jurisdiction, "protected", day)  # silent, and says so
    return found


@dataclass(frozen=True)
class LawOfDay:
    """The law of these places on one day, as a score asks it."""

    jurisdictions: tuple[Jurisdiction, ...]
    day: date
    laws: Laws = field(default=LAWS, repr=False)

    def against(self, declared: Collection[DataCategory], *texts: str) -> Barred | None:
        """As :func:`objection`."""
        return objection(self.jurisdictions, self.day, declared, *texts, laws=self.laws)


def objection(
    jurisdictions: Collection[Jurisdiction],
    day: date,
    declared: Collection[DataCategory],
    *texts: str,
    laws: Laws = LAWS,
) -> Barred | None:
    """Why a feature of these categories, so named and described, can enter no score and no policy
    of these jurisdictions on ``day``; None if it can."""
    for category in dict.fromkeys((*sorted(declared), *spoken_of(*texts))):
        for jurisdiction in jurisdictions:
            if found := barred(jurisdiction, day, laws).get(category):
                return found
    return None
