"""What can never enter a score: sex, marital status, race, religion, nationality and the like.

They may be held apart, under a consent of their own, to measure fairness; a model whose schema
declares one, derives from one, or names one in plain words is not used for decisions. There is one
list, dated and with its articles (``law.packs``), which training, scores and policies ask.
"""

from __future__ import annotations

from collections.abc import Iterable

from credit.features import Feature
from lending.law.features import LawOfDay
from lending.score.compiled import ScoreError


def refuse_protected(features: Iterable[Feature], under: LawOfDay) -> None:
    """Raises ScoreError, with the article, if one is protected or forbidden there on that day; and
    where no law is named at all. LawSilent: the table does not reach that day."""
    if not under.jurisdictions:
        raise ScoreError("no law was named by which this model may score; name its jurisdictions")
    for feature in features:
        texts = (feature.name, feature.description, feature.unit, feature.source)
        if (barred := under.against(feature.categories, *texts)) is not None:
            raise ScoreError(f"feature {feature.name!r} {barred.why}; train without it")
