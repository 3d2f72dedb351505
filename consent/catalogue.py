"""The catalogue of data: every column of the registry's tables, every file, every feature that a
campaign may read, each with whether it is about a person, how sensitive it is, whence it comes and
where it lies (PBOC 数据安全办法 8, 10). Pure, but for reading ``retention.toml`` once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from consent.retention import Level, RetentionRule, reviewed_on, rules
from credit.features import FeatureSchema, schema_from
from law.categories import consent_for
from protocol.campaigns import Campaign

REVIEWED_AGAIN = timedelta(days=365)


@dataclass(frozen=True)
class DataItem:
    """One item of the catalogue."""

    item: str
    """``registry.consents.state``, ``node:book.parquet``, ``feature:income``."""
    system: str
    what: str
    personal: bool
    level: Level
    source: str
    law: str


def items(campaigns: Iterable[Campaign] = ()) -> list[DataItem]:
    """Everything, in the order of the file; then the features of these campaigns, each once, at the
    level of the most careful campaign."""
    found = [one for rule in rules() for one in _stored(rule)]
    features: dict[str, DataItem] = {}
    for campaign in campaigns:
        for one in _features(schema_from(campaign.features, f"campaign {campaign.id}")):
            known = features.get(one.item)
            features[one.item] = known if known is not None and known.level == "high" else one
    return [*found, *(features[name] for name in sorted(features))]


def review_due(today: date) -> date | None:
    """Since when the yearly review is due; None while it is not."""
    due = reviewed_on() + REVIEWED_AGAIN
    return due if today > due else None


def _stored(rule: RetentionRule) -> list[DataItem]:
    about = (rule.what, rule.level != "none", rule.level, rule.source, rule.law)
    if not rule.of.startswith("registry."):
        return [DataItem(rule.of, rule.by, *about)]
    return [DataItem(f"{rule.of}.{one.name}", rule.by, *about) for one in rule.table.columns]


def _features(schema: FeatureSchema) -> list[DataItem]:
    found = []
    for one in schema.features:
        ordinary = one.sensitivity == "ordinary" and consent_for(one.category) == "ordinary"
        level: Level = "personal" if ordinary else "high"
        source = f"lender: {one.source}"
        law = "PIPL 28; 征信业管理条例 14" if level == "high" else "PIPL 4"
        found.append(
            DataItem(f"feature:{one.name}", "node", one.relevance, True, level, source, law)
        )
    return found
