"""What a desk decides by: the model, the policy, the products and the law, as of a day.

:class:`LendingRules` is the seam between the service and the pure room ``lending``; whoever tries a
policy puts another one in. :class:`ReleasedRules` is what a lender released to its desk.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cached_property, partial
from typing import Any, Protocol

from crypto.documents import canonical_json
from desk.errors import RulesMissing
from desk.retention import kept, kept_by_policies
from desk.rule_documents import RuleDocument, RuleKind
from desk.score_rules import ScoreRules
from desk.servicing_rules import PricedServicing, ServicingRules
from law.categories import DataCategory
from law.packs import Jurisdiction
from lending.cases import Case, Decision, Fact, LoanOffer, PrincipalReason, Scored
from lending.errors import LawSilent
from lending.law import features as barred_features
from lending.law.rows import Laws
from lending.policy.conditions import DeclaredFact
from lending.policy.decide import decide, decide_silently, price_by_hand
from lending.policy.document import CreditPolicy, FeatureLaw, unlawful
from lending.policy.offers import LoanTerms
from lending.policy.prices import unfair_price
from lending.policy.pricing import ProductPricing
from lending.policy.release import Release
from lending.score.compiled import ScoreError

NO_MODEL = "0" * 64
"""In place of a model's hash where none may be asked."""


@dataclass(frozen=True)
class Versions:
    """By hash, what is in force."""

    model: str
    policy: str
    law: str
    release: str
    """Of products and what reasons compare with."""
    product: str
    """Of the product that is applied for, in it."""


class LendingRules(ServicingRules, Protocol):
    """Pure: the same case gives the same decision, always."""

    def versions(self, product: str, day: date) -> Versions:
        """What is in force for a product on a day. Raises RulesMissing."""
        ...

    def documents(self) -> Mapping[str, RuleDocument]:
        """All of it, by hash: whatever versions may be named, so that it can be kept."""
        ...

    def kept(self, facts: Mapping[str, Fact], product: str, day: date) -> dict[str, Fact]:
        """These, but for what has been known for longer than it may be used where somebody applies
        for this product."""
        ...

    def score(self, facts: Mapping[str, Fact]) -> Scored | None:
        """None where no model may be asked."""
        ...

    def decide(self, case: Case) -> Decision:
        """Raises RulesMissing where the case names versions that are not here."""
        ...

    def by_hand(self) -> LendingRules:
        """The same without a model: every case goes to a person."""
        ...

    @property
    def untried(self) -> LendingRules:
        """The same without a model in shadow."""
        ...

    def challenger(self, product: str, policy: str, day: date) -> str | None:
        """The hash of the policy, or the model (``desk.score_rules``), that is tried beside it."""
        ...

    def silently(self, case: Case, challenger: str) -> Decision:
        """What that one says of the case. Raises as :meth:`decide`; RulesMissing: it names what
        may not be used on that day."""
        ...

    def offer(self, case: Case, amount: int, term_days: int) -> LoanOffer | None:
        """What can be lent where a person approves on the day of ``case.now``: at the policy's
        price, under the cap of the day; None where none fits."""
        ...

    def most_explored(self, case: Case) -> int:
        """What may be owed in all on loans below the cut-off, by the policy that decided the case;
        fen. Raises RulesMissing where it is not here."""
        ...

    def hidden(self, held: Mapping[str, Collection[DataCategory]], day: date) -> frozenset[str]:
        """Of these features, by their kinds of data, the protected ones: they may be held for
        measuring fairness, and no reviewer sees them."""
        ...


def feature_law(laws: Laws) -> FeatureLaw:
    """What these laws say about using facts for decisions, as policies ask it."""
    return partial(barred_features.objection, laws=laws)


@dataclass(frozen=True)
class ReleasedRules(PricedServicing):
    """What a lender's risk officer released: signed policies, products, and a model that the
    consortium trained, if there is one.

    Args:
        policies: all that are or were in force here, or tried.
        exploration_key: the lender's secret (``CreditPolicy.explores``).
        tried: a model that scores in shadow, beside whatever no policy is tried beside.
    """

    policies: Sequence[CreditPolicy]
    pricing: ProductPricing
    model: ScoreRules | None
    exploration_key: bytes = field(default=b"", repr=False)
    tried: ScoreRules | None = None
    held: Mapping[str, Collection[DataCategory]] = field(default_factory=dict)
    """Of which kinds of data the facts are made, by the sources that answer for them."""

    @cached_property
    def _by_hash(self) -> dict[str, CreditPolicy]:
        return {policy.hash: policy for policy in self.policies}

    @cached_property
    def _model_hash(self) -> str:
        return NO_MODEL if self.model is None else self.model.scorer.model_sha256

    @cached_property
    def _release(self) -> Release:
        key, model = self.exploration_key, self.model
        return Release(
            self.pricing.products,
            None if model is None else model.reference,
            {} if model is None else model.glossary.families,
            hashlib.sha256(key).hexdigest() if key else "",
        )

    def by_hand(self) -> ReleasedRules:
        return self if self.model is None else replace(self, model=None, tried=None)

    @cached_property
    def untried(self) -> ReleasedRules:
        return self if self.tried is None else replace(self, tried=None)

    def documents(self) -> dict[str, RuleDocument]:
        payloads: list[tuple[RuleKind, dict[str, Any]]] = [
            ("law", self.pricing.laws.payload()),
            ("release", self._release.payload()),
        ]
        payloads += [("policy", one.document.payload()) for one in self.policies]
        found = [RuleDocument(kind, canonical_json(said)) for kind, said in payloads]
        models = [one for one in (self.model, self.tried) if one is not None]
        found += [RuleDocument("model", one.file) for one in models]
        if self.tried is not None:
            found.append(RuleDocument("trial", self.tried.trial.content))
        if self.exploration_key:
            found.append(RuleDocument("exploration", self.exploration_key))
        return {one.sha256: one for one in found}

    def versions(self, product: str, day: date) -> Versions:
        """The newest policy for this product that is in force, and lawful, on that day."""
        policy = self._in_force(product, day)
        if self.model is not None and (why := self._barred(self.model, day)):
            raise RulesMissing(f"{why}; nothing is scored by it")
        terms, law = self.pricing.product(product), self.pricing.laws.hash
        try:
            self.pricing.choices(product, day)
        except LawSilent as error:
            raise RulesMissing(f"{error}; nothing is decided about {product!r}") from error
        return Versions(self._model_hash, policy.hash, law, self._release.hash, terms.hash)

    def _barred(self, model: ScoreRules, day: date) -> str | None:
        """Why a model may not score on a day: many people apply on one."""
        about = model.scorer.model_sha256, day
        if about not in self._asked:
            self._asked[about] = self._objection(model, day)
        return self._asked[about]

    def _objection(self, model: ScoreRules, day: date) -> str | None:
        try:
            model.scorer.require(day)
            return self._source_barred(model.schema.names, model.schema.jurisdictions, day)
        except (ScoreError, LawSilent) as error:
            return str(error)

    def _source_barred(
        self, names: Iterable[str], places: Collection[Jurisdiction], day: date
    ) -> str | None:
        """Why one of these facts may not be used, whatever it is called: what it is made of."""
        laws = self.pricing.laws
        for name in names:
            kinds = self.held.get(name, ())
            if kinds and (found := barred_features.objection(places, day, kinds, laws=laws)):
                return f"{name!r} comes from a source that {found.why}"
        return None

    def _in_force(self, product: str, day: date) -> CreditPolicy:
        found = self._newest(product, day)
        if found is None:
            raise RulesMissing(
                f"no policy for product {product!r} is in force on {day}; nothing is decided"
            )
        return self._lawful(found, day)

    def _lawful(self, policy: CreditPolicy, day: date) -> CreditPolicy:
        """Asked of the law once a day. Raises RulesMissing."""
        about = policy.hash, day
        if about not in self._asked:
            said = policy.document
            self._asked[about] = (
                unlawful(said, feature_law(self.pricing.laws), day)
                or self._source_barred(said.facts, (said.jurisdiction,), day)
                or unfair_price(said, self.held, day, self.pricing.laws)
            )
        if why := self._asked[about]:
            raise RulesMissing(f"{why}; nothing is decided by it")
        return policy

    def _newest(self, product: str, day: date, challenges: str = "") -> CreditPolicy | None:
        """Of those beside this policy; of those that are beside none, if it is left out."""
        found = [
            policy
            for policy in self._beside.get(challenges, ())
            if product in policy.document.products and policy.out_of_force(day) is None
        ]
        return max(
            found, key=lambda one: (one.document.valid_from, one.document.version), default=None
        )

    @cached_property
    def _beside(self) -> dict[str, list[CreditPolicy]]:
        found: dict[str, list[CreditPolicy]] = defaultdict(list)
        for policy in self.policies:
            found[policy.document.challenges].append(policy)
        return dict(found)

    def challenger(self, product: str, policy: str, day: date) -> str | None:
        found = self._newest(product, day, policy)
        if found is not None:
            return found.hash
        if self.tried is None or self.untried_because(day) is not None:
            return None
        return self.tried.trial.sha256

    def untried_because(self, day: date) -> str | None:
        """Why the model in shadow may score nobody on a day."""
        return None if self.tried is None else self._barred(self.tried, day)

    @cached_property
    def _asked(self) -> dict[tuple[str, date], str | None]:
        return {}

    @property
    def declared_sensitive(self) -> frozenset[DataCategory]:
        """Kinds of data that the consortium's features declare sensitive beyond what law does: they
        need a consent apart."""
        return frozenset() if self.model is None else self.model.sensitive

    @property
    def made_of(self) -> dict[str, frozenset[DataCategory]]:
        """Of each fact that the model or a policy reads, the kinds of data that they say it is made
        of."""
        found = {} if self.model is None else self.model.made_of
        for policy in self.policies:
            for name, fact in policy.document.facts.items():
                found[name] = found.get(name, frozenset()) | frozenset(fact.categories)
        return found

    def kept(self, facts: Mapping[str, Fact], product: str, day: date) -> dict[str, Fact]:
        """The rest than what the model reads by the policy that decides, whatever others say."""
        found = dict(facts)
        if self.model is not None:
            found = kept(found, self.model.schema, day)
        others = (one for one in self.policies if one.out_of_force(day) is None)
        policies = [one.document for one in (self._newest(product, day), *others) if one]
        return kept_by_policies(found, policies, self._scored_by, day)

    @property
    def _scored_by(self) -> tuple[str, ...]:
        return () if self.model is None else self.model.schema.names

    def score(self, facts: Mapping[str, Fact]) -> Scored | None:
        return None if self.model is None else self.model.scorer.score_facts(facts)

    def decide(self, case: Case) -> Decision:
        policy = self._of(case, case.policy_hash)
        return decide(case, policy, self.pricing, self._reasons, self.exploration_key)

    def silently(self, case: Case, challenger: str) -> Decision:
        day = case.now.date()
        if self.tried is not None and challenger == self.tried.trial.sha256:
            return self._in_shadow(case, self.tried)
        policy = self._lawful(self._of(case, challenger), day)
        facts = kept_by_policies(case.facts, [policy.document], self._scored_by, day)
        return decide_silently(replace(case, facts=facts), policy, self.pricing, self._reasons)

    def _in_shadow(self, case: Case, tried: ScoreRules) -> Decision:
        """By the policy that decides the case, as if the other model had scored it."""
        policy = self._of(case, case.policy_hash)
        return decide(tried.instead(case), policy, self.pricing, tried.reasons)

    def _of(self, case: Case, policy: str) -> CreditPolicy:
        """The policy of this hash, beside the model, the law and the release of the case."""
        found = self._by_hash.get(policy)
        here = (self._model_hash, self.pricing.laws.hash, self._release.hash)
        if found is None or (case.model_hash, case.law_hash, case.release_hash) != here:
            raise RulesMissing("the case names a model, policy, law or release that is not here")
        return found

    def _reasons(self, scored: Scored) -> tuple[PrincipalReason, ...]:
        if self.model is None:
            raise RulesMissing("a score has reasons by the model that gave it, and none is here")
        return self.model.reasons(scored)

    def offer(self, case: Case, amount: int, term_days: int) -> LoanOffer | None:
        day = case.now.date()
        policy = self._in_force(case.application.product, day)
        terms = LoanTerms(case.application.product, amount, term_days, day)
        choices = self.pricing.choices(terms.product, day)
        most = self.pricing.most_owed(terms.product, day)
        room = amount if most is None else most - case.outstanding
        if amount > room or choices.floor(amount) != amount or term_days not in choices.terms:
            return None
        price = price_by_hand(policy, case, terms)
        found = None if price is None else self.pricing.lawful_price(terms, price[0])
        if price is None or found is None or found[0] < price[1] or not found[1].within:
            return None
        return LoanOffer(
            product=terms.product,
            amount=amount,
            term_days=term_days,
            rate_ppm_day=found[0],
            limit=room,
            cost=found[1],
            valid_until=case.now + timedelta(days=policy.document.offer_days),
        )

    def most_explored(self, case: Case) -> int:
        policy = self._by_hash.get(case.policy_hash)
        if policy is None:
            raise RulesMissing("the case was decided by a policy that is not here")
        explored = policy.document.exploration
        return 0 if explored is None else explored.most_outstanding

    def hidden(self, held: Mapping[str, Collection[DataCategory]], day: date) -> frozenset[str]:
        places = sorted({policy.document.jurisdiction for policy in self.policies})
        return frozenset(
            name
            for name, kinds in held.items()
            if barred_features.objection(places, day, tuple(kinds), name, laws=self.pricing.laws)
        )


def declared_by(rules: LendingRules, policy: str) -> Mapping[str, DeclaredFact]:
    """What the policy of that hash says of its facts; nothing where no such policy was released."""
    if not isinstance(rules, ReleasedRules):
        return {}
    found = next((one for one in rules.policies if one.hash == policy), None)
    return {} if found is None else found.document.facts
