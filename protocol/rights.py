"""Requests that a person makes of a lender, and written answers to them: signed documents, and the
state machine of a request. Pure.

PIPL articles 44 to 50 with 24 and 31, 征信业管理条例 (2013) articles 25 and 26, GDPR articles 12 to
22. No module that a lender's node runs imports this one.

>>> status_after([RequestEvent.RECEIVE, RequestEvent.ANSWER, RequestEvent.CLOSE])
<RequestStatus.CLOSED: 'closed'>
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable
from enum import StrEnum
from functools import reduce
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from crypto.documents import document_hash
from crypto.errors import ProofError
from crypto.keys import PublicKey, unb64
from crypto.notes import InclusionProof, Trust
from protocol.consents import Authority, Channel
from protocol.errors import Conflict
from protocol.schema import Document, Instant, Language, Pseudonym, Sha256, Slug


class RequestKind(StrEnum):
    """What a person asks for. New kinds come last: their places are stored."""

    ACCESS = "access"
    """My data at the lender (PIPL 45; GDPR 15)."""
    CORRECT = "correct"
    """Something is wrong or incomplete (PIPL 46; GDPR 16; 征信业管理条例 25)."""
    OBJECT = "object"
    """I dispute it (征信业管理条例 25; GDPR 21)."""
    STATEMENT = "statement"
    """Add my own words to the record (征信业务管理办法; PIPL 46)."""
    EXPLAIN = "explain"
    """How a decision came about, how my data are handled (PIPL 24, 48; GDPR 15(1)(h))."""
    REVIEW = "review"
    """A person shall look at it (PIPL 24; GDPR 22(3))."""
    REFUSE_AUTOMATED = "refuse-automated"
    """No decision about me by a machine alone (PIPL 24; GDPR 22)."""
    COMPLAIN = "complain"
    """PIPL 50; 征信业管理条例 26."""
    ERASE = "erase"
    """Delete what you hold (PIPL 47; GDPR 17)."""
    TRANSFER = "transfer"
    """To a handler of my choice (PIPL 45; 网络数据安全管理条例 25; GDPR 20)."""
    RESTRICT = "restrict"
    """Store it, do nothing else with it (PIPL 44; GDPR 18)."""
    PROVE = "prove"
    """Was I in this release?"""


OBJECTIONS = frozenset({RequestKind.CORRECT, RequestKind.OBJECT, RequestKind.RESTRICT})
"""While one of these is not closed, what it is about is marked (异议标注, 征信业管理条例 25) and is
not used."""
STANDING = frozenset({RequestKind.REVIEW, RequestKind.REFUSE_AUTOMATED, RequestKind.RESTRICT})
"""What these ask for lasts beyond an answer, until the person takes it back (GDPR 18(3))."""
WHOLE_PERSON = "*"
"""What an objection marks that names no feature."""


class RequestStatus(StrEnum):
    """How a request stands."""

    NONE = "none"
    RECEIVED = "received"
    MARKED = "marked"
    ANSWERED = "answered"
    REFUSED = "refused"
    CLOSED = "closed"


class RequestEvent(StrEnum):
    """What can happen to a request."""

    RECEIVE = "receive"
    MARK = "mark"
    ANSWER = "answer"
    REFUSE = "refuse"
    CLOSE = "close"


class IllegalRequestStep(Conflict):
    """The event cannot happen to the request as it stands; nothing changes."""

    code = "illegal-request-step"


REQUEST_TRANSITIONS: dict[tuple[RequestStatus, RequestEvent], RequestStatus] = {
    (RequestStatus.NONE, RequestEvent.RECEIVE): RequestStatus.RECEIVED,
    (RequestStatus.RECEIVED, RequestEvent.MARK): RequestStatus.MARKED,
    (RequestStatus.RECEIVED, RequestEvent.ANSWER): RequestStatus.ANSWERED,
    (RequestStatus.RECEIVED, RequestEvent.REFUSE): RequestStatus.REFUSED,
    (RequestStatus.RECEIVED, RequestEvent.CLOSE): RequestStatus.CLOSED,
    (RequestStatus.MARKED, RequestEvent.ANSWER): RequestStatus.ANSWERED,
    (RequestStatus.MARKED, RequestEvent.REFUSE): RequestStatus.REFUSED,
    (RequestStatus.MARKED, RequestEvent.CLOSE): RequestStatus.CLOSED,
    (RequestStatus.ANSWERED, RequestEvent.CLOSE): RequestStatus.CLOSED,
    (RequestStatus.REFUSED, RequestEvent.CLOSE): RequestStatus.CLOSED,
}
UNANSWERED = frozenset({RequestStatus.RECEIVED, RequestStatus.MARKED})
OPEN = UNANSWERED | {RequestStatus.ANSWERED, RequestStatus.REFUSED}


def next_status(status: RequestStatus, event: RequestEvent) -> RequestStatus:
    """The status after ``event``; raises IllegalRequestStep."""
    try:
        return REQUEST_TRANSITIONS[status, event]
    except KeyError:
        raise IllegalRequestStep(
            f"a request that is {status} cannot be changed by {event.value!r}"
        ) from None


def status_after(events: Iterable[RequestEvent]) -> RequestStatus:
    return reduce(next_status, events, RequestStatus.NONE)


# --- documents

FeatureName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
ReplyKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1622}$")]
"""A recipient key (``crypto.keys.RecipientPublicKey``) as text."""
Relation = Literal["self", "guardian", "delegate", "heir"]


class AboutRelease(BaseModel):
    """One release of one campaign."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    campaign_sha256: Sha256 = Field(examples=["0" * 64])
    release: int = Field(ge=0, le=10_000, examples=[0])


class RequestContent(BaseModel):
    """What a person asks, whoever hands it in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: RequestKind = Field(examples=["object"])
    features: tuple[FeatureName, ...] = Field(
        default=(),
        max_length=64,
        description="What it is about; everything, if nothing is named.",
        examples=[["debrate"]],
    )
    text: str = Field(default="", max_length=4000, examples=["This is not my loan."])
    about: AboutRelease | None = None
    transfer_to: str | None = Field(
        default=None, min_length=1, max_length=300, description="To whom the data shall go."
    )
    follows: Sha256 | None = Field(
        default=None, description="The earlier request that this one comes back to."
    )
    reply_key: ReplyKey | None = Field(
        default=None,
        description="What an attachment to the answer is sealed to: the registry cannot read it.",
    )
    language: Language = "zh"
    channel: Channel = "web"
    relation: Relation = "self"
    authority: Authority = Authority()

    @model_validator(mode="after")
    def _whole(self) -> Self:
        needed = {
            RequestKind.TRANSFER: ("transfer_to", self.transfer_to),
            RequestKind.PROVE: ("about", self.about),
            RequestKind.CORRECT: ("text", self.text),
            RequestKind.STATEMENT: ("text", self.text),
            RequestKind.COMPLAIN: ("text", self.text),
        }
        name, given = needed.get(self.kind, ("", True))
        if not given:
            raise ValueError(f"a request of kind {self.kind.value!r} must have {name!r}")
        if len(set(self.features)) != len(self.features):
            raise ValueError("the same feature is named twice")
        if self.relation != "self" and self.authority.guardian_entity_id is None:
            raise ValueError(
                "who asks in another person's place is named and shown: authority is missing"
            )
        return self

    @property
    def marks(self) -> tuple[str, ...]:
        """What may not be used while this is not closed: features, or :data:`WHOLE_PERSON`."""
        if self.kind not in OBJECTIONS:
            return ()
        return tuple(sorted(self.features)) or (WHOLE_PERSON,)


class RightsRequest(Document):
    """One person's request of one lender: signed with the person's own key, stated in a login, or
    handed in and signed by the lender for somebody who came to it."""

    typ = "tahini-rights-request"

    pii_principal_id: Pseudonym
    recipient: Slug
    asked: RequestContent
    asked_at: Instant
    evidence_sha256: Sha256 | None = None
    """Of what the person signed or said, where a lender hands it in; the lender keeps it."""
    nonce: str = Field(min_length=16, max_length=64)


class AnswerOutcome(StrEnum):
    """How a lender decided about a request."""

    GRANTED = "granted"
    PARTLY = "partly"
    REFUSED = "refused"


class RefusalReason(StrEnum):
    """Why a lender does not do what is asked, or not all of it (PIPL 50: reasons are given)."""

    NOT_IDENTIFIED = "not-identified"
    """GDPR 12(6)."""
    NO_AUTHORITY = "no-authority"
    """The right of an heir, guardian or delegate was not shown (PIPL 31, 49)."""
    VERIFIED_CORRECT = "verified-correct"
    """What was disputed was checked, and is right (征信业管理条例 25)."""
    NOT_HELD = "not-held"
    LEGAL_RETENTION = "legal-retention"
    """It must be kept (PIPL 47; GDPR 17(3)(b))."""
    SECRECY = "secrecy"
    """A law forbids to tell (PIPL 18, 35, 45)."""
    RIGHTS_OF_OTHERS = "rights-of-others"
    """GDPR 15(4)."""
    IMPOSSIBLE = "impossible"
    """Technically (PIPL 47)."""
    UNFOUNDED = "unfounded"
    """Manifestly unfounded or excessive (GDPR 12(5))."""


MAX_ATTACHMENT_BYTES = 1 << 20


class RightsAnswer(Document):
    """A lender's written answer, signed. It says nothing about values: those are in the attachment,
    which only the person can open."""

    typ = "tahini-rights-answer"

    lender: Slug
    request_sha256: Sha256
    outcome: AnswerOutcome
    reason: RefusalReason | None = None
    text: str = Field(min_length=1, max_length=4000)
    language: Language
    corrected: tuple[FeatureName, ...] = Field(default=(), max_length=64)
    """What was put right."""
    attachment_sha256: Sha256 | None = None
    """Of the sealed bytes."""
    answered_at: Instant

    @model_validator(mode="after")
    def _with_reason(self) -> Self:
        if (self.reason is None) != (self.outcome is AnswerOutcome.GRANTED):
            raise ValueError(
                "a reason belongs to an answer that refuses, or grants in part, and to no other"
            )
        if sum(one.isalnum() for one in self.text) < 2:
            raise ValueError("an answer in writing says something (PIPL 50)")
        if self.corrected and self.outcome is AnswerOutcome.REFUSED:
            raise ValueError("an answer that refuses has corrected nothing")
        return self

    @property
    def event(self) -> RequestEvent:
        return RequestEvent.REFUSE if self.outcome is AnswerOutcome.REFUSED else RequestEvent.ANSWER


# --- steps, and what proves them

ENTRY_TYPES = {
    RequestEvent.RECEIVE: "request.received",
    RequestEvent.MARK: "request.marked",
    RequestEvent.ANSWER: "request.answered",
    RequestEvent.REFUSE: "request.answered",
    RequestEvent.CLOSE: "request.closed",
}
"""Types of log entries. A leaf does not tell an answer from a refusal."""


class RequestStep(BaseModel):
    """One step of a request as it is sealed: to the person, and to the lender.

    ``evidence`` shows who made it: ``token``, a signed document; or ``request``, stated in a login
    whose token had the hash ``login_sha256``; or ``by``, who was authenticated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    request_sha256: Sha256
    event: RequestEvent
    at: Instant
    due_at: Instant | None = None
    """When an answer is late; of the first step."""
    law: str | None = None
    """Which article says so."""
    evidence: dict[str, Any]
    salt: str = Field(min_length=40, max_length=64)

    @property
    def commitment(self) -> str:
        """What the leaf says of the step: meaningless without the salt, binding with it."""
        return document_hash(self.model_dump(mode="json"))

    def request(self) -> RightsRequest:
        """The request, of the first step; its hash is checked. Raises ProofError."""
        if "token" in self.evidence:
            found = RightsRequest.claimed(self.evidence["token"])
        else:
            found = RightsRequest.model_validate(self.evidence["request"])
        if not hmac.compare_digest(found.sha256, self.request_sha256):
            raise ProofError("the step holds another request than it names")
        return found

    def answer(self, key: PublicKey) -> RightsAnswer:
        """The lender's answer, of a step that answers or refuses. Raises ProofError,
        SignatureError: ``key`` did not sign it, or it answers another request, or otherwise."""
        found = RightsAnswer.verify(str(self.evidence.get("token")), key)
        if (found.request_sha256, found.event) != (self.request_sha256, self.event):
            raise ProofError("the step holds another answer than it names")
        return found

    def proved_by(self, leaf: bytes) -> None:
        """Raises ProofError unless this log entry is the step's."""
        fields = json.loads(leaf)
        right = fields.get("type") == ENTRY_TYPES[self.event]
        if not right or not hmac.compare_digest(str(fields.get("request")), self.commitment):
            raise ProofError("the log entry does not commit to this step of the request")


def seal_context(lender: str, request_sha256: str, event: RequestEvent) -> bytes:
    """What the lender's copy of a step is bound to besides its key."""
    return f"tahini/rights/v1/{lender}/{request_sha256}/{event.value}".encode()


def attachment_context(request_sha256: str) -> bytes:
    """What an attachment is bound to besides the person's key."""
    return f"tahini/rights-attachment/v1/{request_sha256}".encode()


class RightsReceipt(Document):
    """What either side keeps of a step: signed by the registry, with its proof in the log."""

    typ = "tahini-rights-receipt"

    step: RequestStep
    entry: str
    proof: str
    issued_at: Instant


def check_rights_receipt(receipt: RightsReceipt, trust: Trust) -> InclusionProof:
    """Offline: the receipt's entry is in the log and commits to the receipt's step.

    Raises:
        ProofError, SignatureError: it is not, or does not.
    """
    proof = InclusionProof.parse(receipt.proof)
    leaf = unb64(receipt.entry)
    proof.verify(leaf, trust)
    receipt.step.proved_by(leaf)
    if receipt.step.event is RequestEvent.RECEIVE:
        receipt.step.request()
    return proof
