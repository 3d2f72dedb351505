"""A released model, as a desk scores with it or tries it in shadow beside the one in use."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import orjson

from credit.features import FeatureSchema
from crypto.documents import canonical_json
from desk.retention import kept
from law.categories import DataCategory
from lending.cases import Case, PrincipalReason, Scored
from lending.policy.release import reference_from, reference_payload
from lending.score.glossary import Glossary
from lending.score.reasons import MeanPoints, reasons
from lending.score.scorer import Scorer
from protocol.cards import ModelCard


@dataclass(frozen=True)
class Trial:
    """What a silent decision names that another model made: the model by its hash, and what its
    reasons are told by."""

    model_sha256: str
    reference: MeanPoints
    families: Mapping[str, str]

    @cached_property
    def content(self) -> bytes:
        """As it is kept (``desk.rulebook``)."""
        told = {"reference": reference_payload(self.reference), "families": dict(self.families)}
        return canonical_json({"model": self.model_sha256, **told})

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @classmethod
    def read(cls, content: bytes) -> Trial:
        """Inverse of :attr:`content`."""
        said: dict[str, Any] = orjson.loads(content)
        return cls(said["model"], reference_from(said["reference"]), said["families"])


@dataclass(frozen=True)
class ScoreRules:
    """A released model, and what its scores are explained by; ``file`` is the model's, which has
    its hash, ``card`` what its coordinator signed of it."""

    scorer: Scorer
    reference: MeanPoints
    glossary: Glossary
    schema: FeatureSchema
    file: bytes = field(repr=False)
    card: ModelCard | None = None

    @cached_property
    def trial(self) -> Trial:
        return Trial(self.scorer.model_sha256, self.reference, self.glossary.families)

    @property
    def sensitive(self) -> frozenset[DataCategory]:
        """Kinds of data that its features declare sensitive."""
        return frozenset(
            kind
            for one in self.schema.features
            if one.sensitivity == "sensitive"
            for kind in one.categories
        )

    @property
    def made_of(self) -> dict[str, frozenset[DataCategory]]:
        """Of each feature, the kinds of data that it is made of."""
        return {one.name: one.categories for one in self.schema.features}

    def reasons(self, scored: Scored) -> tuple[PrincipalReason, ...]:
        return reasons(scored, self.reference, self.glossary.families)

    def instead(self, case: Case) -> Case:
        """The case as if this model scored: by what it reads, no longer known than it may be used.

        Raises:
            ScoreError, LawSilent: it may not score on that day.
        """
        day = case.now.date()
        self.scorer.require(day)
        facts = kept(case.facts, self.schema, day)
        scored = self.scorer.score_facts(facts)
        return replace(case, facts=facts, scored=scored, model_hash=self.scorer.model_sha256)
