"""Campaigns, from proposal to roster commitment: the signed documents of training, and what is sent
about them.

Unknown fields are refused: what is signed is what is read. Times are RFC 3339 in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from crypto.keys import b64, unb64
from law.bases import LegalBasis
from privacy.accounting import epsilon_of
from privacy.charges import MAX_NOISE_MULTIPLIER, MIN_NOISE_MULTIPLIER, Charge
from privacy.filter import TOLERANCE
from privacy.mechanism import Audience, Mechanism, PlannedRelease, ReleaseKind
from protocol.coverage import Needs, needs_of
from protocol.errors import Malformed
from protocol.parties import Consortium
from protocol.schema import Document, Instant, KeyText, Sha256, Slug, StaffId, left_out
from protocol.terms import Iri
from protocol.watched import WATCHING_PURPOSE, ModelReference, WatchedPeriod

MAX_BODY_TEXT = 16_384


def _base64url(text: str) -> str:
    unb64(text)
    return text


class ClearCommitment(BaseModel):
    """What stands in clear of a roster commitment: a release attempt, its charge, and the roster's
    root."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    authorisation_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    release: int = Field(ge=0, le=100_000)
    attempt: int = Field(ge=1, le=100)
    kind: ReleaseKind
    root: Sha256
    noise_multiplier: float = Field(ge=MIN_NOISE_MULTIPLIER, le=MAX_NOISE_MULTIPLIER)
    sampling_rate: float = Field(gt=0, le=1)
    steps: int = Field(ge=1, le=100_000)


class CommitmentRequest(ClearCommitment):
    """The clear part of a roster commitment, and its body sealed to the auditor (base64url)."""

    sealed_body: Annotated[str, Field(max_length=MAX_BODY_TEXT), AfterValidator(_base64url)]

    @classmethod
    def of(cls, commitment: RosterCommitment, sealed_body: bytes) -> CommitmentRequest:
        """What is sent of a commitment, with the whole of it in ``sealed_body``."""
        clear = commitment.model_dump(include=set(ClearCommitment.model_fields))
        return cls(**clear, sealed_body=b64(sealed_body))


def commitment_fields(request: CommitmentRequest, campaign_sha256: str) -> dict[str, object]:
    """What stands in clear in the leaf; the node checks the leaf it gets back against the same
    function."""
    clear = request.model_dump(mode="json", include=set(ClearCommitment.model_fields))
    return {"campaign": campaign_sha256, **clear}


class AuthorisationRequest(BaseModel):
    """What a node asks for: rich authorisation details (RFC 9396) of the one type there is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    node_key: KeyText
    """RFC 7638 thumbprint of the node's signing key."""
    purpose: Iri
    code_sha256: Sha256
    """The code that is installed on the node."""
    checkpoint: str = Field(max_length=100_000)
    """The newest published checkpoint that the node has accepted."""


class Campaign(Document):
    """What a coordinator wants to train, or which released model to watch. Its hash is what lenders
    approve and everything later refers to."""

    typ = "tahini-campaign"

    id: Slug
    title: str
    coordinator: Slug
    lenders: tuple[Slug, ...] = Field(min_length=2, max_length=64)
    consortium_sha256: Sha256 | None = Field(default=None, exclude_if=left_out)
    """The consortium document that it rests on; none in campaigns of before version 0.7.0."""
    purpose: str
    legal_basis: LegalBasis = LegalBasis.PIPL_CONSENT
    automated_decision: bool = Field(default=False, exclude_if=left_out)
    """Whether the model may decide about somebody by itself (GDPR Art. 22; PIPL Art. 24)."""
    model: Literal["scorecard", "gam", "mlp"]
    features: dict[str, Any]
    """The feature schema (``credit.features.FeatureSchema``) that the model may see."""
    mechanism: Mechanism
    watched: WatchedPeriod | None = Field(default=None, exclude_if=left_out)
    """The released model that is watched, and when; none where one is trained."""
    begins_with: ModelReference | None = Field(default=None, exclude_if=left_out)
    """The released model that a warm start begins with; its bins and coordinates are used again."""
    code_sha256: Sha256
    """What a node must have installed (``fleet.code``)."""
    bundle_sha256: Sha256 | None = None
    """The Flower App Bundle that a SuperLink may send for it; without one it can only be
    simulated."""
    assessment_sha256: Sha256 | None = Field(default=None, exclude_if=left_out)
    """The impact assessment that covers it (``protocol.assessments``); campaigns of before 0.7.0
    have none."""
    seed: int
    created_at: Instant
    expires_at: Instant

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.lenders)) != len(self.lenders):
            raise ValueError("a lender is named twice")
        if len(self.lenders) < self.mechanism.threshold:
            raise ValueError("the threshold is higher than there are lenders")
        if (self.watched is not None) != self.mechanism.watches:
            raise ValueError("a campaign that watches a model says which one and when")
        if (self.watched is not None) != (self.purpose == WATCHING_PURPOSE):
            raise ValueError("watching a model is a purpose of its own, and nothing else is")
        kinds = {planned.kind for planned in self.mechanism.releases}
        if self.begins_with and (self.watched or ReleaseKind.GRAM in kinds):
            raise ValueError("a warm start trains, in the coordinates of the model it begins with")
        pairs = ReleaseKind.PAIRS in kinds
        if self.watched is None and (self.model == "gam") != pairs:
            raise ValueError("pairwise terms belong to a gam, and a gam has them")
        return self

    def needs(self, consortium: Consortium) -> Needs:
        """What it needs of a person's answers; raises Malformed where the features are no
        schema."""
        reached = consortium.reached_by(self.lenders)
        try:
            return needs_of(self.features, self.automated_decision, self.legal_basis, reached)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Malformed(f"campaign {self.id!r} holds no feature schema") from error

    def planned(self, release: int) -> PlannedRelease | None:
        """What the plan says of a release, as every party reads it; None if it has no such
        release."""
        releases = self.mechanism.releases
        return releases[release] if 0 <= release < len(releases) else None

    def within_budget(self, releases: Iterable[int]) -> bool:
        """Whether these releases, retries named as often as they were attempted, cost nobody more
        than was approved."""
        spent: dict[Audience, list[Charge]] = {}
        for release in releases:
            planned = self.mechanism.releases[release]
            spent.setdefault(planned.audience, []).append(planned.charge)
        most = self.mechanism.epsilon * (1 + TOLERANCE)
        return all(epsilon_of(charges, self.mechanism.delta) <= most for charges in spent.values())

    def why_not(self, releases: Sequence[int]) -> str:
        """Why a lender may not be asked for all these attempts, the newest last; "" if it may.
        Depends on no data."""
        spare = self.mechanism.spare_attempts
        again = releases[-1] in releases[:-1]
        if again and len(releases) - len(set(releases)) > spare:
            return (
                f"the campaign reserved {spare} attempts beyond the first of each release, and "
                "they are used up"
            )
        return (
            "" if self.within_budget(releases) else f"the budget of campaign {self.id!r} is spent"
        )


class Approval(Document):
    """One lender's yes to one campaign, by hash."""

    typ = "tahini-approval"

    campaign_sha256: Sha256
    lender: Slug
    lot: KeyText | None = None
    """32 random bytes, base64url: this lender's part in drawing who is held out
    (``protocol.holdout``). Approvals of version 0.5 have none: they stay in the log, and nothing is
    drawn or approved by them any more."""
    operator: StaffId | None = Field(default=None, exclude_if=left_out)
    approved_at: Instant


class Rejection(Document):
    """One lender's no to one campaign, before its approval or after; it stays."""

    typ = "tahini-rejection"

    campaign_sha256: Sha256
    lender: Slug
    reason: str = Field(default="", max_length=500)
    """In the lender's words, for the coordinator and the auditor."""
    operator: StaffId | None = Field(default=None, exclude_if=left_out)
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
    """Data-use authorisation (DUA): the registry lets one node use data for one campaign, for
    minutes.

    Claims are those of RFC 9068; what is authorised is in ``authorization_details`` (RFC 9396).
    Verified offline.
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
    """The coordinator asks every node for one release of the campaign. Parameters travel beside it,
    by hash."""

    typ = "tahini-release-request"

    campaign_sha256: Sha256
    release: int = Field(ge=0)
    attempt: int = Field(ge=1, le=100)
    kind: ReleaseKind
    parameters_sha256: Sha256
    mask_keys: dict[str, str]
    """The signed MaskKey of every lender of this attempt, by lender."""


class RosterCommitment(ClearCommitment, Document):
    """What a lender writes to the log before a release touches data. Sealed to the auditor."""

    typ = "tahini-roster-commitment"

    campaign_sha256: Sha256
    lender: Slug
    state_sha256: Sha256
    """Hash of the signed consent snapshot (``protocol.snapshots``) that the members were drawn
    from."""
    salt: str
    size: int
    masked_sensitive: int
    """How many of them have a feature masked, for want of the consent that it needs."""
    draw_sha256: Sha256 | None = None
    """What decided who is held out (``protocol.holdout.Draw``); none before there were lots."""
    places_sha256: Sha256 | None = None
    """Of who had a place (``Places.content_sha256``); none before version 0.7.0."""
    committed_at: Instant | None = None
    """By the node's clock, to the second; before version 0.6.0 the log's own times were exact."""
