"""Uses of one person's data to score an application: what a lender states of each in the log, and
the receipt of a decision that the person keeps. Pure. No module that a lender's node runs imports
this one.

Scoring has a purpose of its own: a yes to training a model is none to being judged with it, and the
other way round. Three steps, each a signed statement, sealed to the person in the log: ``use.read``
before any source is asked, ``use.scored`` before a decision takes effect, ``use.explained`` when
its reasons were given. Of what was decided a statement holds a commitment only: the registry, which
seals it, learns that an application was scored and on which consents, not what came of it.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from crypto.documents import document_hash
from crypto.errors import ProofError
from crypto.keys import PublicKey, b64, unb64
from crypto.notes import InclusionProof, Trust
from law.categories import DataCategory, Sensitivity, consent_for
from protocol.records import record_id
from protocol.schema import Document, Instant, Pseudonym, Sha256, Slug

SCORING_PURPOSE = "https://w3id.org/tahini/purposes#ApplicationScoring"
"""Scoring one's own application for a loan; narrower than ``protocol.terms.BROADER_PURPOSE``. It
covers portraits (画像) made for it, and never the servicing of a contract, which needs no
consent."""
UseStep = Literal["use.read", "use.scored", "use.explained"]
STEPS: tuple[UseStep, ...] = ("use.read", "use.scored", "use.explained")
"""In their order. The first two need the consents that they name; an explanation is owed to whoever
was scored, whatever they have taken back since."""
FIELDS: Mapping[str, frozenset[str]] = {
    "use.read": frozenset({"application", "statement"}),
    "use.scored": frozenset({"application", "statement", "model", "policy", "law", "case"}),
    "use.explained": frozenset({"application", "statement", "model", "policy", "law", "case"}),
}
"""What stands in clear under ``use`` in the skeleton of each, all of it hashes; ``model`` is left
out where none was asked. Nothing there says whose application it is, or what was decided."""
MAX_TOKEN_BYTES = 32_768


class ConsentNamed(BaseModel):
    """A consent that a use rests on, by its record, and the version of the notice that this person
    answered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    record_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    sensitivity: Sensitivity
    categories: tuple[DataCategory, ...] = Field(min_length=1)
    notice_id: Slug
    notice_version: int = Field(ge=1)
    notice_sha256: Sha256
    """Of the notice's signed payload."""


@dataclass(frozen=True)
class Blinding:
    """What opens the commitments of one application; kept by the lender, and in the receipt."""

    application: str
    """The lender's own id of it. Whoever decides anew does so under a new one."""
    salt: str

    @classmethod
    def of(cls, application: str) -> Self:
        """A fresh one."""
        return cls(application, secrets.token_urlsafe(32))

    def commit(self, what: Literal["application", "case", "decision"], value: Any) -> str:
        """SHA-256: meaningless without the salt, binding with it."""
        return document_hash({"salt": self.salt, what: value})

    @property
    def name(self) -> str:
        """What the log calls the application: the same in every step."""
        return self.commit("application", self.application)


class UseStatement(Document):
    """What a lender states of one step, signed with the key that the consortium names."""

    typ = "tahini-use"

    lender: Slug
    step: UseStep
    pii_principal_id: Pseudonym
    purpose: str
    application: Sha256
    consents: tuple[ConsentNamed, ...] = Field(max_length=16)
    sources: dict[Slug, DataCategory] = Field(default_factory=dict, max_length=64)
    """Who is asked for what; of ``use.scored``, who answered."""
    automated: bool = False
    """A machine alone decided (PIPL 24; GDPR 22)."""
    model: Sha256 | None = None
    policy: Sha256 | None = None
    law: Sha256 | None = None
    case: Sha256 | None = None
    """Commitment to the hash of all that the decision may have looked at."""
    decision: Sha256 | None = None
    """Commitment to the decision; of ``use.explained``, to the one that was explained."""
    document: Sha256 | None = None
    """Of what was handed to the person; of ``use.explained`` alone."""
    at: Instant
    nonce: str = Field(min_length=16, max_length=64)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        decided = (self.policy, self.law, self.case, self.decision)
        reads = self.step == "use.read"
        if any((one is None) != reads for one in decided) or (reads and (self.model or self.automated)):
            raise ValueError("versions, case and decision belong to what comes after use.read, all")
        if (self.document is not None) != (self.step == "use.explained"):
            raise ValueError("what was handed over belongs to use.explained, and to nothing else")
        if self.step == "use.explained":
            if self.consents or self.sources:
                raise ValueError("use.explained rests on no consent and asks nobody")
            return self
        if "ordinary" not in self.kinds or len(self.kinds) != len(self.consents):
            raise ValueError("each consent is named once, the one to ordinary data among them")
        named = {category for one in self.consents for category in one.categories}
        if stray := sorted(set(self.sources.values()) - named):
            raise ValueError(f"a source is asked about {stray[0]}, which no consent covers")
        return self

    @property
    def kinds(self) -> frozenset[Sensitivity]:
        return frozenset(one.sensitivity for one in self.consents)

    def public(self) -> dict[str, Any]:
        """What stands in clear in the log."""
        said = {**self.payload(), "statement": self.sha256}
        return {name: said[name] for name in sorted(FIELDS[self.step]) if said[name] is not None}

    def stands_in(self, leaf: Mapping[str, Any]) -> bool:
        """Whether this is the statement of a log entry."""
        return (leaf["type"], leaf["actor"], leaf["use"]) == (self.step, self.lender, self.public())
