"""What can never enter a score: sex, marital status, race, religion, nationality and the like.

They may be held apart, under a consent of their own, to measure fairness; a model whose schema
declares one, derives from one, or names one in plain words is not used for decisions. The law of
each place is handed in (:class:`Forbids`) and its article is part of the refusal; what it leaves
open but :data:`NEVER` names is refused here all the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Protocol

from credit.features import Feature
from law.categories import DataCategory
from law.packs import spoken_of
from lending.score.compiled import ScoreError

NEVER = frozenset(
    {
        DataCategory.SEX,
        DataCategory.MARITAL,
        DataCategory.NATIONALITY,
        DataCategory.ETHNICITY,
        DataCategory.RELIGION,
        DataCategory.POLITICAL,
        DataCategory.UNION,
        DataCategory.ORIENTATION,
        DataCategory.GENETIC,
        DataCategory.BLOOD_TYPE,
        DataCategory.HEALTH,
    }
)
"""Whatever the law of the place says."""
HOUSE_RULE = "no law was named, Tahini's own rule"


class Forbids(Protocol):
    """The law of one place on one day; :class:`law.packs.Pack` is one."""

    @property
    def jurisdiction(self) -> str: ...

    def article_against(self, category: DataCategory) -> str | None:
        """The article that forbids scoring by facts of this category; None if none does."""
        ...


def protected(feature: Feature, laws: Collection[Forbids]) -> Iterator[tuple[DataCategory, str]]:
    """Each category that forbids a feature, and by which article."""
    texts = (feature.name, feature.description, feature.unit, feature.source)
    for category in (*sorted(feature.categories), *spoken_of(*texts)):
        articles = {law.jurisdiction: law.article_against(category) for law in laws}
        named = [f"{place}: {article}" for place, article in articles.items() if article]
        if named or category in NEVER:
            yield category, "; ".join(named) or HOUSE_RULE


def refuse_protected(features: Iterable[Feature], laws: Collection[Forbids]) -> None:
    """Raises ScoreError, with the article, if one is protected or forbidden."""
    for feature in features:
        for category, article in protected(feature, laws):
            raise ScoreError(
                f"feature {feature.name!r} is about {category}, which can never enter a score "
                f"({article}); it may be held apart to measure fairness; train without it"
            )
