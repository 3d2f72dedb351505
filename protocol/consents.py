"""The answers that borrowers give to notices, and receipts: the signed documents of consent.

Field names follow ISO/IEC TS 27560; purposes and legal bases are W3C DPV terms
(https://w3id.org/dpv).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from crypto.documents import document_hash
from law.categories import Sensitivity
from protocol.schema import Document, Instant, Language, Pseudonym, Sha256, Slug, left_out

RECEIPTS_UP_TO = 16
"""A request with at most this many decisions is answered with a receipt for each."""


Channel = Literal["app", "web", "branch", "phone", "paper", "api"]
AgeBand = Literal["under-14", "14-17", "adult"]


class Authority(BaseModel):
    """By what right somebody decides who is not an adult deciding alone. Entities are named by
    opaque identifiers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    age_band: AgeBand = "adult"
    guardian_entity_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._:-]{1,100}$")
    """Who decided in the person's place: a guardian or delegate."""
    authority_evidence_hash: Sha256 | None = None
    """SHA-256 of the document that shows the guardian's or delegate's authority; whoever collected
    it keeps it."""

    @model_validator(mode="after")
    def _shown(self) -> Self:
        if self.age_band != "adult" and self.guardian_entity_id is None:
            raise ValueError("for a minor a guardian decides: guardian_entity_id is missing")
        if self.guardian_entity_id is not None and self.authority_evidence_hash is None:
            raise ValueError(
                "a guardian's authority is shown by a document: authority_evidence_hash is missing"
            )
        return self


class Presentation(BaseModel):
    """How a notice was shown on a screen, by the word of the app that showed it (ISO/IEC 29184;
    GB/T 42574)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layout_sha256: Sha256
    """SHA-256 of the page or screen as it was shown; whoever showed it keeps it."""
    seconds: int = Field(ge=0, le=86_400)
    """How long it was shown before the answer."""
    to_the_end: bool
    """Whether its end was reached."""
    own_controls: bool
    """Whether each choice had a control of its own, and none was chosen beforehand."""


class Action(StrEnum):
    """What a borrower can do to one consent."""

    GIVE = "give"
    REFUSE = "refuse"
    WITHDRAW = "withdraw"
    SUSPEND = "suspend"
    """Not for now: no use until the borrower resumes (GDPR Art. 18)."""
    RESUME = "resume"


class Choice(BaseModel):
    """One consent, one answer. There is one record per (purpose, recipient, sensitivity)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    purpose: str
    recipient: Slug
    sensitivity: Sensitivity
    action: Action


class ConsentDecision(Document):
    """A borrower's answers on one occasion, signed with the borrower's own key. Each choice becomes
    its own event."""

    typ = "tahini-decision"

    pii_principal_id: Pseudonym
    notice_id: Slug
    notice_version: int = Field(ge=1, le=1_000_000)
    notice_language: Language
    notice_sha256: Sha256
    choices: tuple[Choice, ...] = Field(min_length=1, max_length=16)
    event_time: Instant
    expiry_time: Instant | None = None
    channel: Channel = "app"
    authority: Authority = Authority()
    presentation: Presentation | None = Field(default=None, exclude_if=left_out)
    nonce: str = Field(min_length=16, max_length=64)

    @model_validator(mode="after")
    def _one_answer_each(self) -> Self:
        keys = [(c.purpose, c.recipient, c.sensitivity) for c in self.choices]
        if len(set(keys)) != len(keys):
            raise ValueError("two answers to the same question")
        return self


def decision_commitment(salt: str, decision_sha256: str, states: dict[str, str]) -> str:
    """What a leaf says about a decision: meaningless without the salt, binding with it."""
    return document_hash({"salt": salt, "decision": decision_sha256, "states": states})


class Receipt(Document):
    """What a borrower keeps: the record as it stands, and the proof that it is in the log."""

    typ = "tahini-consent-receipt"

    record_id: str
    pii_principal_id: Pseudonym
    decision_sha256: Sha256
    states: dict[str, str]
    salt: str
    """Opens the commitment in the leaf: SHA-256 over the canonical JSON of salt, decision and
    states."""
    entry: str
    proof: str
    issued_at: Instant
