"""How long a fact may be used: the rule of :func:`credit.features.forget`, for one applicant, and
what policies declare of facts that no model reads.

A model is served what it was trained on, and an adverse record does not outlive the five years that
the law allows (征信业管理条例 16), whether people are taught with or decided on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta

from credit.features import RETENTION_DAYS, Feature, FeatureSchema
from law.packs import Jurisdiction, adverse_days
from lending.cases import Fact
from lending.policy.conditions import DeclaredFact
from lending.policy.document import PolicyDocument


def kept(facts: Mapping[str, Fact], schema: FeatureSchema, today: date) -> dict[str, Fact]:
    """These facts, but for what is too old.

    ``observed_on`` of a dated feature is the day that its schema asks for: on which it was
    recorded, of an adverse one on which the behaviour ended. What has none cannot be shown to be
    fresh. A forgotten value is ``clean`` where the schema has one, else absent; an undated one is
    absent.
    """
    limit = adverse_days(schema.jurisdictions, today)
    found = dict(facts)
    for one in schema.features:
        fact = found.get(one.name)
        dated = one.ended_by is not None or one.dated_by is not None
        if fact is not None and fact.status == "present" and dated:
            found[one.name] = _kept(fact, one, limit, today)
    return found


def kept_by_policy(
    facts: Mapping[str, Fact],
    declared: Mapping[str, DeclaredFact],
    jurisdiction: Jurisdiction,
    today: date,
) -> dict[str, Fact]:
    """These facts, but for what is too old by what a policy declares of them: five years without a
    word (:data:`credit.features.RETENTION_DAYS`).

    What has no day and is asked for none is how it stands on the day on which it is asked, and is
    dated so: nothing that a decision rests on is without a day.
    ``observed_on`` of an adverse one is the day on which the behaviour ended.
    """
    limit = adverse_days([jurisdiction], today)
    found = dict(facts)
    for name, rule in declared.items():
        fact = found.get(name)
        if fact is not None and fact.status == "present":
            found[name] = _by_rule(fact, rule, limit, today)
    return found


def kept_by_policies(
    facts: Mapping[str, Fact],
    policies: Sequence[PolicyDocument],
    scored_by: Collection[str],
    today: date,
) -> dict[str, Fact]:
    """These facts, but for what is too old by the first of these policies, which decides, whatever
    the others say of what it reads; what only they read, by them.

    Args:
        scored_by: what a model reads, of which no policy has a word to say.
    """
    found, told = dict(facts), set(scored_by)
    for at, policy in enumerate(policies):
        own = {name: fact for name, fact in policy.facts.items() if name not in told}
        found = kept_by_policy(found, own, policy.jurisdiction, today)
        if at == 0:
            told.update(own)
    return found


def _by_rule(fact: Fact, rule: DeclaredFact, limit: int | None, today: date) -> Fact:
    days = RETENTION_DAYS if rule.keep_days is None else rule.keep_days
    if rule.adverse and limit is not None:
        days = min(days, limit)
    gone = replace(fact, status="absent", value=None)
    if fact.observed_on is None:
        asked_for = rule.adverse or rule.keep_days is not None
        says_none = rule.clean is not None and fact.value == rule.clean
        return gone if asked_for and not says_none else replace(fact, observed_on=today)
    if fact.observed_on >= today - timedelta(days=days):
        return fact
    return gone if rule.clean is None else replace(fact, value=rule.clean)


def _kept(fact: Fact, feature: Feature, limit: int | None, today: date) -> Fact:
    days = feature.retention_days
    if feature.adverse and limit is not None:
        days = min(days, limit)
    gone = replace(fact, status="absent", value=None)
    if fact.observed_on is None:
        says_none = feature.clean is not None and fact.value == feature.clean
        return fact if says_none else gone
    if fact.observed_on >= today - timedelta(days=days):
        return fact
    if feature.clean is None:
        return gone
    whole = feature.kind == "integer"
    return replace(fact, value=int(feature.clean) if whole else feature.clean)
