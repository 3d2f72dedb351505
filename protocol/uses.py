"""Uses of one person's data to score an application, or to place them in portraits: what a lender
states of each in the log, and the receipt of a decision that the person keeps. Pure. No module that
a lender's node runs imports this one.

Scoring has a purpose of its own: a yes to training a model is none to being judged with it, and the
other way round. Three steps, each a signed statement, sealed to the person in the log: ``use.read``
before any source is asked, ``use.scored`` before a decision takes effect, ``use.explained`` when
its reasons were given. Of what was decided a statement holds a commitment only: the registry, which
seals it, learns that an application was scored and on which consents, not what came of it.

One *use* is one application with all that follows of it: its review by a person, and what third
parties verify of it. Those are read under names of their own that follow the first one's
(``follows``), so that they use up no consent which counts its uses; a machine alone decides nothing
there, so no second application can pass for one.

A portrait (画像) that the person did not apply for has a purpose of its own, and one step,
``use.portrayed``, before anything is read: nothing is decided by it, so nothing follows.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from crypto.documents import document_hash
from crypto.errors import ProofError
from crypto.keys import PublicKey, unb64
from crypto.notes import InclusionProof, Trust
from law.categories import DataCategory, Sensitivity
from protocol.records import record_id
from protocol.schema import Document, Instant, Pseudonym, Sha256, Slug, left_out

SCORING_PURPOSE = "https://w3id.org/tahini/purposes#ApplicationScoring"
"""Scoring one's own application for a loan; narrower than ``protocol.terms.BROADER_PURPOSE``. It
covers portraits (画像) made for it, and never the servicing of a contract, which needs no
consent."""
PORTRAIT_PURPOSE = "https://w3id.org/tahini/purposes#CustomerPortraits"
"""Placing one's own customers in named segments, to remind, inform or talk to them
(``lending.portraits``). A yes to scoring or training is none to this, nor the other way round."""
USE_PURPOSES = (SCORING_PURPOSE, PORTRAIT_PURPOSE)
UseStep = Literal["use.read", "use.scored", "use.explained", "use.portrayed"]
STEPS: tuple[UseStep, ...] = ("use.read", "use.scored", "use.explained")
"""Of an application, in their order. The first two need the consents that they name; an explanation
is owed to whoever was scored, whatever they have taken back since."""
PORTRAYED: UseStep = "use.portrayed"
USE_STEPS: tuple[UseStep, ...] = (*STEPS, PORTRAYED)
"""All that there are; the list only grows at its end."""
READING: tuple[UseStep, ...] = ("use.read", PORTRAYED)
"""Those after which sources are asked; of a consent that counts its uses, each is one."""
FIELDS: Mapping[str, frozenset[str]] = {
    "use.read": frozenset({"application", "statement"}),
    "use.scored": frozenset({"application", "statement", "model", "policy", "law", "case"}),
    "use.explained": frozenset({"application", "statement", "model", "policy", "law", "case"}),
    "use.portrayed": frozenset({"application", "statement", "policy"}),
}
"""What stands in clear under ``use`` in the skeleton of each, all of it hashes; ``model`` is left
out where none was asked; ``policy`` of ``use.portrayed`` is of the portraits that were in use.
Nothing there says whose application it is, or what was decided."""
MAX_TOKEN_BYTES = 32_768


class ConsentNamed(BaseModel):
    """A consent that a use rests on, by its record, and the version of the notice that this person
    answered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    record_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    sensitivity: Sensitivity
    categories: tuple[DataCategory, ...]
    """What is used by it; the ordinary one is needed even where that is nothing."""
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
    first: Blinding | None = None
    """That of the application which this is a review or a verification of: the same use."""

    @classmethod
    def of(cls, application: str, first: Blinding | None = None) -> Self:
        """A fresh one."""
        return cls(application, secrets.token_urlsafe(32), first)

    def commit(self, what: str, value: Any) -> str:
        """SHA-256: meaningless without the salt, binding with it."""
        return document_hash({"salt": self.salt, what: value})

    @property
    def name(self) -> str:
        """What the log calls the application: the same in every step."""
        return self.commit("application", self.application)

    @property
    def follows(self) -> str | None:
        """What the log calls the application whose use this one is part of."""
        return None if self.first is None else self.first.name


class UseStatement(Document):
    """What a lender states of one step, signed with the key that the consortium names."""

    typ = "tahini-use"

    lender: Slug
    step: UseStep
    pii_principal_id: Pseudonym
    purpose: str
    application: Sha256
    follows: Sha256 | None = Field(default=None, exclude_if=left_out)
    """The application that was read first and whose review or verification this is."""
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
        if self.follows is not None and (self.automated or self.follows == self.application):
            raise ValueError("what follows an application is another, and a person decides in it")
        if (self.step == PORTRAYED) != (self.purpose == PORTRAIT_PURPOSE):
            raise ValueError("use.portrayed is of portraits, and no other step is")
        if self.step == PORTRAYED:
            self._portrays()
            return self
        decided = (self.policy, self.law, self.case, self.decision)
        reads = self.step == "use.read"
        early = reads and (self.model is not None or self.automated)
        if early or any((one is None) != reads for one in decided):
            raise ValueError("versions, case and decision belong to what comes after use.read, all")
        if (self.document is not None) != (self.step == "use.explained"):
            raise ValueError("what was handed over belongs to use.explained, and to nothing else")
        if self.step == "use.explained":
            if self.consents or self.sources:
                raise ValueError("use.explained rests on no consent and asks nobody")
            return self
        self._rests()
        return self

    def _portrays(self) -> None:
        """Raises ValueError."""
        nothing = self.follows, self.model, self.law, self.case, self.decision, self.document
        if self.policy is None or self.automated or any(one is not None for one in nothing):
            raise ValueError("use.portrayed names the portraits in use, and decides nothing")
        self._rests()

    def _rests(self) -> None:
        """On what; raises ValueError."""
        if "ordinary" not in self.kinds or len(self.kinds) != len(self.consents):
            raise ValueError("each consent is named once, the one to ordinary data among them")
        named = {category for one in self.consents for category in one.categories}
        if stray := sorted(set(self.sources.values()) - named):
            raise ValueError(f"a source is asked about {stray[0]}, which no consent covers")

    @property
    def kinds(self) -> frozenset[Sensitivity]:
        return frozenset(one.sensitivity for one in self.consents)

    def public(self) -> dict[str, Any]:
        """What stands in clear in the log."""
        said = {**self.payload(), "statement": self.sha256}
        return {name: said[name] for name in sorted(FIELDS[self.step]) if said[name] is not None}

    def stands_in(self, leaf: Mapping[str, Any]) -> bool:
        """Whether this is the statement of a log entry."""
        stated = self.step, self.lender, self.public()
        return (leaf.get("type"), leaf.get("actor"), leaf.get("use")) == stated


# --- what the person keeps


class LoggedStatement(BaseModel):
    """A statement, its entry, and the proof that it is in the log."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: str = Field(max_length=MAX_TOKEN_BYTES)
    entry: str
    proof: str


class DecisionReceipt(Document):
    """A decision, and what it rested on, stated in the log before it took effect; signed by the
    lender. It holds all that is needed to verify it, for as long as somebody knows the consortium
    document."""

    typ = "tahini-decision-receipt"

    lender: Slug
    pii_principal_id: Pseudonym
    application: str = Field(min_length=1, max_length=100)
    salt: str = Field(min_length=40, max_length=64)
    """Opens the commitments of the statements: :class:`Blinding`."""
    decision: dict[str, Any]
    """Its ``case_hash`` is of all that it may have looked at; the lender keeps what that is of."""
    first_salt: str | None = Field(default=None, min_length=40, max_length=64, exclude_if=left_out)
    """Of a review's decision: opens the name of the application that it follows, which the decision
    says."""
    read: LoggedStatement
    scored: LoggedStatement
    explained: LoggedStatement | None = None
    issued_at: Instant

    @property
    def blinding(self) -> Blinding:
        if self.first_salt is None:
            return Blinding(self.application, self.salt)
        first = Blinding(str(self.decision.get("application")), self.first_salt)
        return Blinding(self.application, self.salt, first)


@dataclass(frozen=True)
class ProvedUse:
    """A statement that was found in the log, and under which head."""

    said: UseStatement
    proof: InclusionProof


def check_decision_receipt(
    receipt: DecisionReceipt, key: PublicKey, origin: str, trust: Trust
) -> dict[UseStep, ProvedUse]:
    """Offline: the decision is the one that was stated before it took effect, on these consents of
    this person, to this purpose.

    Args:
        key: the lender's. origin: of the log.

    Raises:
        ProofError, SignatureError: it is not.
    """
    parts: dict[UseStep, LoggedStatement] = {"use.read": receipt.read, "use.scored": receipt.scored}
    if receipt.explained is not None:
        parts["use.explained"] = receipt.explained
    found = {step: _proved(receipt, step, part, key, trust) for step, part in parts.items()}
    read, scored = found["use.read"], found["use.scored"]
    order = [one.proof.index for one in found.values()]
    if order != sorted(set(order)):
        raise ProofError("the log has the steps of this decision in another order")
    if scored.said.case != receipt.blinding.commit("case", receipt.decision.get("case_hash")):
        raise ProofError("the log commits to another case")
    for one in found.values():
        if one.said.decision not in {None, receipt.blinding.commit("decision", receipt.decision)}:
            raise ProofError("the log commits to another decision")
    for consent in read.said.consents + scored.said.consents:
        about = receipt.pii_principal_id, SCORING_PURPOSE, receipt.lender, consent.sensitivity
        if consent.record_id != record_id(origin, *about):
            raise ProofError("it rests on a consent of somebody else, or to something else")
    named = {one.record_id: set(one.categories) for one in read.said.consents}
    for consent in scored.said.consents:
        if not set(consent.categories) <= named.get(consent.record_id, set()):
            raise ProofError("it rests on a consent that was not named before anybody was asked")
    if not scored.said.sources.items() <= read.said.sources.items():
        raise ProofError("it rests on a source that was not named before it was asked")
    return found


def _proved(
    receipt: DecisionReceipt, step: UseStep, part: LoggedStatement, key: PublicKey, trust: Trust
) -> ProvedUse:
    """Raises ProofError, SignatureError."""
    said = UseStatement.verify(part.token, key)
    proof = InclusionProof.parse(part.proof)
    try:
        leaf = unb64(part.entry)
        proof.verify(leaf, trust)
        found = said.stands_in(json.loads(leaf))
    except (ValueError, AttributeError) as error:
        raise ProofError("the receipt's log entry is not that of a use") from error
    stated = (said.step, said.lender, said.pii_principal_id, said.purpose, said.application)
    about = (receipt.lender, receipt.pii_principal_id, SCORING_PURPOSE, receipt.blinding.name)
    if stated != (step, *about) or said.follows != receipt.blinding.follows or not found:
        raise ProofError(f"the log entry is not the {step} of this application")
    return ProvedUse(said, proof)
