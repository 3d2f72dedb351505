"""The registry's tables. Rows marked append-only are so in the database too (triggers in the first migration)."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import BigInteger, DateTime, Dialect, ForeignKey, Index, Integer, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

BigId = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only where the column is called INTEGER."""


class UtcDateTime(TypeDecorator[datetime]):
    """SQLite forgets time zones; what goes in as UTC comes out as UTC."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC).replace(tzinfo=None) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value else None


class Base(DeclarativeBase):
    pass


class NoticeRow(Base):
    __tablename__ = "notices"
    id: Mapped[str] = mapped_column(String(63), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    token: Mapped[str]


class SubjectRow(Base):
    """One person at one lender, by pseudonym, with the key that the person's decisions are signed with."""

    __tablename__ = "subjects"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    lender: Mapped[str] = mapped_column(String(63))
    pseudonym: Mapped[str] = mapped_column(String(64), unique=True)
    ledger_pseudonym: Mapped[str] = mapped_column(String(64))
    public_key: Mapped[str] = mapped_column(String(43))
    __table_args__ = (Index("subjects_by_person", "ledger_pseudonym"), Index("subjects_by_lender", "lender"))


class KeyGroupRow(Base):
    """A wrapped key that wraps the data keys of up to ``consent.datakeys.GROUP_SIZE`` subjects."""

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


class ConsentRow(Base):
    """The present state of one consent: a projection of its events, written in the same transaction."""

    __tablename__ = "consents"
    subject_id: Mapped[int] = mapped_column(ForeignKey("subjects.id"), primary_key=True)
    purpose: Mapped[str] = mapped_column(String(200), primary_key=True)
    recipient: Mapped[str] = mapped_column(String(63), primary_key=True)
    sensitivity: Mapped[str] = mapped_column(String(16), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    expiry_time: Mapped[datetime | None] = mapped_column(UtcDateTime)
    event_time: Mapped[datetime] = mapped_column(UtcDateTime)
    """When the borrower last decided: an older decision that turns up later changes nothing."""


class DecisionRow(Base):
    """A decision that was accepted, so that the same signed document cannot act twice. Append-only."""

    __tablename__ = "decisions"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    subject_id: Mapped[int] = mapped_column(ForeignKey("subjects.id"), index=True)
    entry_index: Mapped[int] = mapped_column(BigInteger)


class ConsentEventRow(Base):
    """What happened to a consent, in order: the truth. Append-only."""

    __tablename__ = "consent_events"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    subject_id: Mapped[int] = mapped_column(ForeignKey("subjects.id"), index=True)
    purpose: Mapped[str] = mapped_column(String(200))
    recipient: Mapped[str] = mapped_column(String(63))
    sensitivity: Mapped[str] = mapped_column(String(16))
    event: Mapped[str] = mapped_column(String(16))
    event_time: Mapped[datetime] = mapped_column(UtcDateTime)
    decision_sha256: Mapped[str] = mapped_column(String(64))


class CampaignRow(Base):
    __tablename__ = "campaigns"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    token: Mapped[str]
    activated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ApprovalRow(Base):
    __tablename__ = "approvals"
    campaign_sha256: Mapped[str] = mapped_column(ForeignKey("campaigns.sha256"), primary_key=True)
    lender: Mapped[str] = mapped_column(String(63), primary_key=True)
    token: Mapped[str]


class AssignmentRow(Base):
    """Where a person who borrows at several lenders is counted, in every campaign. Append-only."""

    __tablename__ = "assignments"
    ledger_pseudonym: Mapped[str] = mapped_column(String(64), primary_key=True)
    subject_id: Mapped[int] = mapped_column(ForeignKey("subjects.id"), index=True, unique=True)


class AuthorisationRow(Base):
    __tablename__ = "authorisations"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    campaign_sha256: Mapped[str] = mapped_column(ForeignKey("campaigns.sha256"))
    lender: Mapped[str] = mapped_column(String(63))
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class CommitmentRow(Base):
    """A roster commitment, once per lender and release attempt."""

    __tablename__ = "commitments"
    entry_index: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    campaign_sha256: Mapped[str] = mapped_column(ForeignKey("campaigns.sha256"))
    lender: Mapped[str] = mapped_column(String(63))
    release: Mapped[int]
    attempt: Mapped[int]
    __table_args__ = (UniqueConstraint("campaign_sha256", "lender", "release", "attempt"),)


class LogStateRow(Base):
    """The log's only row that changes: how far it is, and which process may write to it.

    ``epoch`` counts the writers there have been. Every append and every integration checks it in its own transaction,
    so a writer that was deposed while it slept can change nothing (a fencing token).
    """

    __tablename__ = "log_state"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    appended: Mapped[int] = mapped_column(BigInteger)
    """Entries that have an index."""
    integrated: Mapped[int] = mapped_column(BigInteger)
    """Entries that are under a signed head."""
    newest: Mapped[int] = mapped_column(BigInteger)
    """Time of the newest entry, in microseconds since 1970: the log's clock never runs backwards."""
    holder: Mapped[str] = mapped_column(String(200))
    epoch: Mapped[int] = mapped_column(BigInteger)
    held_until: Mapped[float]
    """POSIX time at which the holder's lease ends unless it is renewed."""


class LogEntryRow(Base):
    """One leaf of the log, and the sealed body that it commits to. Append-only."""

    __tablename__ = "log_entries"
    index: Mapped[int] = mapped_column("idx", BigId, primary_key=True, autoincrement=False)
    leaf: Mapped[bytes] = mapped_column(LargeBinary)
    body: Mapped[bytes] = mapped_column(LargeBinary)


class LogEnvelopeRow(Base):
    """The header of an envelope: the content key of many bodies, sealed to their recipients. Append-only."""

    __tablename__ = "log_envelopes"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    header: Mapped[bytes] = mapped_column(LargeBinary)


class LogTileRow(Base):
    __tablename__ = "log_tiles"
    level: Mapped[int] = mapped_column(primary_key=True)
    index: Mapped[int] = mapped_column("idx", BigInteger, primary_key=True)
    hashes: Mapped[bytes] = mapped_column(LargeBinary)
    check: Mapped[bytes] = mapped_column("checksum", LargeBinary)
    """SHA-256 of ``hashes``: a damaged tile is refused, not served."""


class LogCheckpointRow(Base):
    """Every tree head that was ever signed. Append-only."""

    __tablename__ = "log_checkpoints"
    size: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    note: Mapped[str]


class LogPublishedRow(Base):
    """Every checkpoint that a quorum of witnesses has cosigned. Append-only."""

    __tablename__ = "log_published"
    size: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    note: Mapped[str]


class PartyKeyRow(Base):
    """A key that an institution authenticates to the registry with. The consortium document's is the first: it has a
    row only once it is revoked. A key is one party's for ever, and what was revoked stays so."""

    __tablename__ = "party_keys"
    thumbprint: Mapped[str] = mapped_column(String(43), primary_key=True)
    party: Mapped[str] = mapped_column(String(63), index=True)
    public_key: Mapped[str] = mapped_column(String(43))
    added_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class LoginLinkRow(Base):
    """A login that may speak for a pseudonym. It goes with the subject's data key: forgetting takes it along."""

    __tablename__ = "login_links"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    issuer: Mapped[str] = mapped_column(String(255))
    subject_hash: Mapped[str] = mapped_column(String(64))
    """Keyed hash of the login's ``sub``, hex; the ``sub`` itself is never stored."""
    subject_id: Mapped[int] = mapped_column(ForeignKey("data_keys.subject_id", ondelete="CASCADE"), index=True)
    linked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    __table_args__ = (UniqueConstraint("issuer", "subject_hash", "subject_id"),)


class UsedOnceRow(Base):
    """Something that acts once and has acted: the hash of a nonce, an assertion or a ticket, until it cannot matter."""

    __tablename__ = "used_once"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
