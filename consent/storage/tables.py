"""The registry's tables. Rows marked append-only are so in the database too (triggers in the first
migration)."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import (
    BigInteger,
    Date,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from auditlog.column_types import Base, BigId, Coded, UtcDateTime
from law.categories import SENSITIVITIES
from protocol.states import ConsentStatus, Event

STATES = tuple(ConsentStatus)
EVENTS = tuple(Event)


class NoticeRow(Base):
    """Append-only."""

    __tablename__ = "notices"
    number: Mapped[int] = mapped_column(primary_key=True)
    """Short name of (id, version) in the tables below."""
    id: Mapped[str] = mapped_column(String(63))
    version: Mapped[int]
    token: Mapped[str]
    __table_args__ = (UniqueConstraint("id", "version"),)


class SubjectRow(Base):
    """One person at one lender, by pseudonym."""

    __tablename__ = "subjects"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    lender: Mapped[str] = mapped_column(String(63))
    number: Mapped[int]
    """Place in the lender's own order of enrolment, from 0: its place in every state."""
    pseudonym: Mapped[str] = mapped_column(String(64), unique=True)
    ledger_pseudonym: Mapped[str] = mapped_column(String(64))
    public_key: Mapped[str] = mapped_column(String(43))
    """The key that the person's own decisions are signed with; empty for those who only log in."""
    child: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Under 14, as was said last: everything of theirs is sensitive (PIPL article 28)."""
    enrolled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """The day of the enrolment; none in a tombstone. Of who was enrolled before version 0.7.0, the
    day on which the database became one of that version."""
    returned_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When somebody who had been erased was enrolled again: no earlier yes of theirs counts."""
    erased_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """The day of the erasure. The row is a tombstone then: its place on the roll stays, its names
    mean nobody (``consent.storage.tombstones``), and the triggers let nothing else of it change."""
    __table_args__ = (
        Index("subjects_by_person", "ledger_pseudonym"),
        Index("subjects_by_number", "lender", "number", unique=True),
        Index(
            "subjects_under_14",
            "lender",
            "number",
            sqlite_where=text("child"),
            postgresql_where=text("child"),
        ),
    )


class FormerNameRow(Base):
    """A name that a borrower had until the naming keys were rotated: it still means them.
    Append-only, until its subject is erased."""

    __tablename__ = "former_names"
    pseudonym: Mapped[str] = mapped_column(String(64), primary_key=True)
    subject_id: Mapped[int] = mapped_column(ForeignKey("subjects.id"), index=True)


class RenamingRow(Base):
    """People who were renamed together; their log entry holds the Merkle root. Append-only."""

    __tablename__ = "renamings"
    entry_index: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    lender: Mapped[str] = mapped_column(String(63))
    salt: Mapped[bytes] = mapped_column(LargeBinary)
    leaves: Mapped[bytes] = mapped_column(LargeBinary)
    """The leaf hash of every pair of names, 32 bytes each, in order."""


class RollRow(Base):
    """How many borrowers a lender has enrolled, and a hash over their names in order; after an
    erasure a mark in its place, for it is worked out when it is needed
    (``consent.storage.enrolment``)."""

    __tablename__ = "rolls"
    lender: Mapped[str] = mapped_column(String(63), primary_key=True)
    people: Mapped[int]
    names_sha256: Mapped[str] = mapped_column(String(64))


class KeyGroupRow(Base):
    """A wrapped key that wraps the data keys of up to ``consent.keys.datakeys.GROUP_SIZE``
    subjects."""

    __tablename__ = "key_groups"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    root_version: Mapped[int]
    wrapped: Mapped[bytes] = mapped_column(LargeBinary)
    members: Mapped[int]


class DataKeyRow(Base):
    """A subject's wrapped data key. Deleting the row, and re-keying its group, is forgetting."""

    __tablename__ = "data_keys"
    subject_id: Mapped[int] = mapped_column(ForeignKey("subjects.id"), primary_key=True)
    group_id: Mapped[int] = mapped_column(ForeignKey("key_groups.id"), index=True)
    key_id: Mapped[str] = mapped_column(String(32))
    """Random name of the key: what the log calls it when it is destroyed."""
    wrapped: Mapped[bytes] = mapped_column(LargeBinary)


class ScopeRow(Base):
    """A purpose and a recipient: what one state covers. ``events`` counts what happened in it so
    far; a state from before ``whole_from`` is told anew as a whole, because somebody was erased or
    is no longer under 14."""

    __tablename__ = "scopes"
    id: Mapped[int] = mapped_column(primary_key=True)
    purpose: Mapped[str] = mapped_column(String(200))
    recipient: Mapped[str] = mapped_column(String(63))
    events: Mapped[int] = mapped_column(BigInteger)
    whole_from: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    __table_args__ = (UniqueConstraint("purpose", "recipient"),)


class ConsentRow(Base):
    """The present state of one consent: a projection of its events, written in the same
    transaction.

    Scopes and notices are not declared as foreign keys: they never go away, and the check costs
    more than the row.
    """

    __tablename__ = "consents"
    scope_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    subject_id: Mapped[int] = mapped_column(
        ForeignKey("subjects.id"), primary_key=True, autoincrement=False
    )
    sensitivity: Mapped[str] = mapped_column(
        Coded(SENSITIVITIES), primary_key=True, autoincrement=False
    )
    state: Mapped[ConsentStatus] = mapped_column(Coded(STATES))
    version: Mapped[int]
    """How often this record changed: its ETag."""
    notice: Mapped[int]
    event_time: Mapped[datetime] = mapped_column(UtcDateTime)
    """When the borrower last decided: an older decision that turns up later changes nothing."""
    expiry_time: Mapped[datetime | None] = mapped_column(UtcDateTime)
    __table_args__ = (Index("consents_by_expiry", "scope_id", "expiry_time"),)


class DecisionRow(Base):
    """A decision that was accepted, so that the same signed document cannot act twice.
    Append-only, until the subject is erased."""

    __tablename__ = "decisions"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    subject_id: Mapped[int] = mapped_column(ForeignKey("subjects.id"), index=True)
    entry_index: Mapped[int] = mapped_column(BigInteger)


class SubjectEntryRow(Base):
    """Which entries of the log concern a borrower: what they can ask to see. Append-only,
    until the subject is erased."""

    __tablename__ = "subject_entries"
    subject_id: Mapped[int] = mapped_column(
        ForeignKey("subjects.id"), primary_key=True, autoincrement=False
    )
    entry_index: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)


class ImportRow(Base):
    """Decisions that a lender collected and handed in together; one log entry holds their Merkle
    root. Append-only, but that the evidence hash of an erased person's record is blanked."""

    __tablename__ = "imports"
    id: Mapped[int] = mapped_column(primary_key=True)
    lender: Mapped[str] = mapped_column(String(63))
    entry_index: Mapped[int] = mapped_column(BigInteger)
    salt: Mapped[bytes] = mapped_column(LargeBinary)
    leaves: Mapped[bytes] = mapped_column(LargeBinary)
    """The leaf hash of every record, 32 bytes each, in order."""
    evidence: Mapped[bytes] = mapped_column(LargeBinary)
    """The hash of every record's evidence, 32 bytes each, in order."""
    about: Mapped[str]
    """What all records have in common, as JSON."""


class ConsentEventRow(Base):
    """What happened to a consent, in order: the truth. Append-only, until the subject is erased.

    It stems from a signed or logged-in decision, or from record ``position`` of an import.
    """

    __tablename__ = "consent_events"
    scope_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    subject_id: Mapped[int] = mapped_column(BigInteger, index=True)
    sensitivity: Mapped[str] = mapped_column(Coded(SENSITIVITIES))
    event: Mapped[Event] = mapped_column(Coded(EVENTS))
    notice: Mapped[int]
    event_time: Mapped[datetime] = mapped_column(UtcDateTime)
    decision_sha256: Mapped[str | None] = mapped_column(String(64))
    import_id: Mapped[int | None]
    position: Mapped[int | None]
    record: Mapped[str | None]
    """Of what that record said, what would not be known otherwise, as JSON: its own time, and who
    decided by what right."""


class RevocationRow(Base):
    """A revocation that a recipient must learn of, numbered per recipient. Append-only, until the
    subject is erased and the recipient has acknowledged it."""

    __tablename__ = "revocations"
    recipient: Mapped[str] = mapped_column(String(63), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    scope_id: Mapped[int] = mapped_column(ForeignKey("scopes.id"))
    subject_id: Mapped[int] = mapped_column(ForeignKey("subjects.id"))
    sensitivity: Mapped[str] = mapped_column(Coded(SENSITIVITIES))
    event: Mapped[Event] = mapped_column(Coded(EVENTS))
    revoked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    """When the borrower said so."""
    recorded_at: Mapped[datetime] = mapped_column(UtcDateTime)
    """When the registry heard of it: from then on the recipient has time to acknowledge it."""
    __table_args__ = (Index("revocations_by_subject", "subject_id"),)


class AcknowledgementRow(Base):
    """How far a recipient has acknowledged its revocations. Append-only."""

    __tablename__ = "acknowledgements"
    recipient: Mapped[str] = mapped_column(String(63), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    entry_index: Mapped[int] = mapped_column(BigInteger)


class IdempotencyRow(Base):
    """The answer that a command was given, for whoever asks again under the same key."""

    __tablename__ = "idempotency"
    caller: Mapped[str] = mapped_column(String(100), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    request_sha256: Mapped[str] = mapped_column(String(64))
    status: Mapped[int]
    body: Mapped[str]
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class CampaignRow(Base):
    __tablename__ = "campaigns"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int]
    """Order in which campaigns were proposed, from 1."""
    token: Mapped[str]
    activated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    __table_args__ = (Index("campaigns_by_number", "number", unique=True),)


class ApprovalRow(Base):
    __tablename__ = "approvals"
    campaign_sha256: Mapped[str] = mapped_column(ForeignKey("campaigns.sha256"), primary_key=True)
    lender: Mapped[str] = mapped_column(String(63), primary_key=True)
    token: Mapped[str]


class RejectionRow(Base):
    """A lender's no. Append-only."""

    __tablename__ = "rejections"
    campaign_sha256: Mapped[str] = mapped_column(ForeignKey("campaigns.sha256"), primary_key=True)
    lender: Mapped[str] = mapped_column(String(63), primary_key=True)
    token: Mapped[str]


class ModelRow(Base):
    """A released model with its signed card; the newest of a campaign counts. Append-only."""

    __tablename__ = "models"
    card_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    campaign_sha256: Mapped[str] = mapped_column(ForeignKey("campaigns.sha256"))
    entry_index: Mapped[int] = mapped_column(BigInteger)
    card: Mapped[str]
    model: Mapped[bytes] = mapped_column(LargeBinary)
    __table_args__ = (Index("models_by_campaign", "campaign_sha256", "entry_index"),)


class AssignmentRow(Base):
    """Where a person is counted, in every campaign; nowhere, if the draw says so (cover).
    Append-only, until the person is erased: then the place goes under the tombstone's name."""

    __tablename__ = "assignments"
    ledger_pseudonym: Mapped[str] = mapped_column(String(64), primary_key=True)
    subject_id: Mapped[int | None] = mapped_column(ForeignKey("subjects.id"), index=True)


class PlacesRow(Base):
    """Who of a lender's borrowers has a place in a campaign, as a bitmap over their numbers.
    Append-only."""

    __tablename__ = "places"
    campaign_sha256: Mapped[str] = mapped_column(ForeignKey("campaigns.sha256"), primary_key=True)
    lender: Mapped[str] = mapped_column(String(63), primary_key=True)
    bitmap: Mapped[bytes] = mapped_column(LargeBinary)
    sensitive: Mapped[bytes] = mapped_column(LargeBinary)
    """Of these, for each further consent in the order of ``law.categories.SENSITIVITIES``, who has
    not used it up: bitmaps of the same length behind one another."""


class PopulationRow(Base):
    """A noisy count that was answered, so that asking again tells nothing more. Append-only."""

    __tablename__ = "populations"
    question_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    day: Mapped[date] = mapped_column(Date, index=True)
    coordinator: Mapped[str] = mapped_column(String(63))
    count: Mapped[int] = mapped_column(BigInteger)


class AuthorisationRow(Base):
    __tablename__ = "authorisations"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    campaign_sha256: Mapped[str] = mapped_column(ForeignKey("campaigns.sha256"))
    lender: Mapped[str] = mapped_column(String(63))
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    __table_args__ = (Index("authorisations_live", "lender", "expires_at"),)


class CommitmentRow(Base):
    """A roster commitment, once per lender and release attempt."""

    __tablename__ = "commitments"
    entry_index: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    campaign_sha256: Mapped[str] = mapped_column(ForeignKey("campaigns.sha256"))
    lender: Mapped[str] = mapped_column(String(63))
    release: Mapped[int]
    attempt: Mapped[int]
    committed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Exactly; None where it was committed while the log's own times were exact."""
    __table_args__ = (UniqueConstraint("campaign_sha256", "lender", "release", "attempt"),)


class PartyKeyRow(Base):
    """A key that an institution authenticates to the registry with. The consortium document's is
    the first: it has a row only once it is revoked. A key is one party's for ever, and what was
    revoked stays so."""

    __tablename__ = "party_keys"
    thumbprint: Mapped[str] = mapped_column(String(43), primary_key=True)
    party: Mapped[str] = mapped_column(String(63), index=True)
    public_key: Mapped[str] = mapped_column(String(43))
    added_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class LoginLinkRow(Base):
    """A login that may speak for a pseudonym. It goes with the subject's data key: forgetting takes
    it along."""

    __tablename__ = "login_links"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    issuer: Mapped[str] = mapped_column(String(255))
    subject_hash: Mapped[str] = mapped_column(String(64))
    """Keyed hash of the login's ``sub``, hex; the ``sub`` itself is never stored."""
    subject_id: Mapped[int] = mapped_column(
        ForeignKey("data_keys.subject_id", ondelete="CASCADE"), index=True
    )
    linked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    __table_args__ = (UniqueConstraint("issuer", "subject_hash", "subject_id"),)


class UsedOnceRow(Base):
    """Something that acts once and has acted: the hash of a nonce, an assertion or a ticket, until
    it cannot matter."""

    __tablename__ = "used_once"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
