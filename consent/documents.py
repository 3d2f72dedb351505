"""Every signed document of the system, as a schema. Unknown fields are refused: what is signed is what is read.

Field names of consent records follow ISO/IEC TS 27560; purposes and legal bases are W3C DPV terms
(https://w3id.org/dpv). Times are RFC 3339 in UTC.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from consent.consortium import DEFAULT_COVER_RATE
from consent.consortium import Consortium
from consent.consortium import Membership
from consent.consortium import Party
from consent.consortium import Role
from consent.schema import Document, Instant, KeyText, Language, Pseudonym, Sha256, Slug
from consent.terms import CONSENT_BASIS, Authority, Channel, Iri, Sensitivity, Terms
from crypto.documents import document_hash
from privacy.accounting import epsilon_of
from privacy.charges import Charge
from privacy.filter import TOLERANCE
from privacy.mechanism import Audience, Mechanism, PlannedRelease, ReleaseKind

RECEIPTS_UP_TO = 16
"""A request with at most this many decisions is answered with a receipt for each."""


class Notice(Document):
    """What a borrower is shown, in each language, word for word."""

    typ = "tahini-notice"

    id: Slug
    version: int = Field(ge=1)
    purpose: Iri
    recipients: tuple[Slug, ...]
    texts: dict[Language, str]
    terms: Terms = Terms()
    published_at: Instant

    def text_sha256(self, language: str) -> str:
        return hashlib.sha256(self.texts[language].encode()).hexdigest()


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


class Decision(Document):
    """A borrower's answers on one occasion, signed with the borrower's own key. Each choice becomes its own event."""

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
    nonce: str = Field(min_length=16, max_length=64)

    @model_validator(mode="after")
    def _one_answer_each(self) -> Self:
        keys = [(c.purpose, c.recipient, c.sensitivity) for c in self.choices]
        if len(set(keys)) != len(keys):
            raise ValueError("two answers to the same question")
        return self


class Campaign(Document):
    """What a coordinator wants to train. Its hash is what lenders approve and everything later refers to."""

    typ = "tahini-campaign"

    id: Slug
    title: str
    coordinator: Slug
    lenders: tuple[Slug, ...] = Field(min_length=2)
    purpose: str
    legal_basis: str = CONSENT_BASIS
    model: Literal["scorecard", "gam", "mlp"]
    features: dict[str, Any]
    """The feature registry (credit.features.FeatureRegistry) that the model may see."""
    mechanism: Mechanism
    code_sha256: Sha256
    """What a node must have installed (``consent.code``)."""
    bundle_sha256: Sha256 | None = None
    """The Flower App Bundle that a SuperLink may send for it; without one it can only be simulated."""
    seed: int
    created_at: Instant
    expires_at: Instant

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.lenders)) != len(self.lenders):
            raise ValueError("a lender is named twice")
        if len(self.lenders) < self.mechanism.threshold:
            raise ValueError("the threshold is higher than there are lenders")
        if (self.model == "gam") != any(r.kind is ReleaseKind.PAIRS for r in self.mechanism.releases):
            raise ValueError("pairwise terms belong to a gam, and a gam has them")
        return self

    def planned(self, release: int) -> PlannedRelease | None:
        """What the plan says of a release, as every party reads it; None if it has no such release."""
        releases = self.mechanism.releases
        return releases[release] if 0 <= release < len(releases) else None

    def within_budget(self, releases: Iterable[int]) -> bool:
        """Whether these releases, retries named as often as they were attempted, cost nobody more than was approved."""
        spent: dict[Audience, list[Charge]] = {}
        for release in releases:
            planned = self.mechanism.releases[release]
            spent.setdefault(planned.audience, []).append(planned.charge)
        most = self.mechanism.epsilon * (1 + TOLERANCE)
        return all(epsilon_of(charges, self.mechanism.delta) <= most for charges in spent.values())

    def why_not(self, releases: Sequence[int]) -> str:
        """Why a lender may not be asked for all these attempts, the newest last; "" if it may. Depends on no data."""
        spare = self.mechanism.spare_attempts
        again = releases[-1] in releases[:-1]
        if again and len(releases) - len(set(releases)) > spare:
            return f"the campaign reserved {spare} attempts beyond the first of each release, and they are used up"
        return "" if self.within_budget(releases) else f"the budget of campaign {self.id!r} is spent"


class Approval(Document):
    """One lender's yes to one campaign, by hash."""

    typ = "tahini-approval"

    campaign_sha256: Sha256
    lender: Slug
    lot: KeyText | None = None
    """32 random bytes, base64url: this lender's part in drawing who is held out (``consent.holdout``). Approvals of
    version 0.5 have none: they stay in the log, and nothing is drawn or approved by them any more."""
    approved_at: Instant


class Rejection(Document):
    """One lender's no to one campaign, before its approval or after; it stays."""

    typ = "tahini-rejection"

    campaign_sha256: Sha256
    lender: Slug
    reason: str = Field(default="", max_length=500)
    """In the lender's words, for the coordinator and the auditor."""
    rejected_at: Instant


class DataUse(BaseModel):
    """What is authorised: one object of RFC 9396 ``authorization_details``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["tahini-data-use"] = "tahini-data-use"
    actions: tuple[ReleaseKind, ...]
    datatypes: tuple[str, ...]
    """The features that may be used, by name."""
    identifier: Sha256
    """The campaign's hash."""
    purpose: Iri
    node_key: KeyText
    first_release: int = Field(ge=0)
    last_release: int = Field(ge=0)
    code_sha256: Sha256
    mechanism_sha256: Sha256
    max_epsilon: float = Field(gt=0)
    delta: float = Field(gt=0, lt=1)
    consent_sequence: int = Field(ge=0)
    """Consent events that the decision was computed from: a node uses no state older than this."""
    consent_checkpoint: str
    """The newest published head of the log then."""


class Authorisation(Document):
    """Data-use authorisation (DUA): the registry lets one node use data for one campaign, for minutes.

    Claims are those of RFC 9068; what is authorised is in ``authorization_details`` (RFC 9396). Verified offline.
    """

    typ = "tahini-authorisation"

    jti: str = Field(pattern=r"^[0-9a-f]{32}$")
    iss: Slug
    aud: Slug
    """The lender."""
    iat: Instant
    exp: Instant
    authorization_details: tuple[DataUse, ...] = Field(min_length=1, max_length=1)

    @property
    def use(self) -> DataUse:
        return self.authorization_details[0]


class MaskKey(Document):
    """A lender's X25519 key for one campaign, from which pairwise masks are derived."""

    typ = "tahini-mask-key"

    campaign_sha256: Sha256
    lender: Slug
    public: KeyText


class ReleaseRequest(Document):
    """The coordinator asks every node for one release of the campaign. Parameters travel beside it, by hash."""

    typ = "tahini-release-request"

    campaign_sha256: Sha256
    release: int = Field(ge=0)
    attempt: int = Field(ge=1, le=100)
    kind: ReleaseKind
    parameters_sha256: Sha256
    mask_keys: dict[str, str]
    """The signed MaskKey of every lender of this attempt, by lender."""


class RosterCommitment(Document):
    """What a lender writes to the log before a release touches data. Sealed to the auditor."""

    typ = "tahini-roster-commitment"

    campaign_sha256: Sha256
    lender: Slug
    release: int
    attempt: int
    kind: ReleaseKind
    authorisation_id: str
    state_sha256: Sha256
    """Hash of the signed consent state (``consent.standing``) that the members were drawn from."""
    root: str
    salt: str
    size: int
    masked_sensitive: int
    draw_sha256: Sha256 | None = None
    """What decided who is held out (``consent.holdout.Draw``); none before there were lots."""
    noise_multiplier: float
    sampling_rate: float
    steps: int
    committed_at: Instant | None = None
    """By the node's clock, to the second; before version 0.6.0 the log's own times were exact."""


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
    """Opens the commitment in the leaf: SHA-256 over the canonical JSON of salt, decision and states."""
    entry: str
    proof: str
    issued_at: Instant
