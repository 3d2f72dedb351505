"""Tables of the rights desk: requests, their steps, what objections mark, attachments."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from auditlog.column_types import Base, BigId, Coded, UtcDateTime
from protocol.rights import RequestEvent, RequestKind, RequestStatus

KINDS = tuple(RequestKind)
REQUEST_STATUSES = tuple(RequestStatus)
REQUEST_EVENTS = tuple(RequestEvent)


class RightsRequestRow(Base):
    """One person's request of one lender, and how it stands: a projection of its steps, written in
    the same transaction. What it says is sealed in the steps."""

    __tablename__ = "rights_requests"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    """Of the request document: its name."""
    subject_id: Mapped[int] = mapped_column(ForeignKey("subjects.id"), index=True)
    lender: Mapped[str] = mapped_column(String(63))
    kind: Mapped[RequestKind] = mapped_column(Coded(KINDS))
    status: Mapped[RequestStatus] = mapped_column(Coded(REQUEST_STATUSES))
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    """An answer from then on is late."""
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Answered or refused."""
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    __table_args__ = (Index("rights_requests_open", "lender", "status", "due_at"),)


class RequestStepRow(Base):
    """A step of a request, in order: the truth. Append-only."""

    __tablename__ = "request_steps"
    request_id: Mapped[int] = mapped_column(
        ForeignKey("rights_requests.id"), primary_key=True, autoincrement=False
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """From 1."""
    event: Mapped[RequestEvent] = mapped_column(Coded(REQUEST_EVENTS))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    entry_index: Mapped[int] = mapped_column(BigInteger)
    """The person's copy is the body of this log entry."""


class LendersCopyRow(Base):
    """The lender's copy of a step, sealed to its recipient key; there is none where the consortium
    names no such key. It goes when the person is forgotten."""

    __tablename__ = "request_copies"
    request_id: Mapped[int] = mapped_column(
        ForeignKey("rights_requests.id"), primary_key=True, autoincrement=False
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)


class RequestMarkRow(Base):
    """What an objection marks: a feature, or the whole person. Append-only; it counts while the
    request is not closed."""

    __tablename__ = "request_marks"
    request_id: Mapped[int] = mapped_column(
        ForeignKey("rights_requests.id"), primary_key=True, autoincrement=False
    )
    feature: Mapped[str] = mapped_column(String(63), primary_key=True)


class AttachmentRow(Base):
    """What a lender attached to an answer, sealed by it to the person. It goes when they are
    forgotten."""

    __tablename__ = "request_attachments"
    request_id: Mapped[int] = mapped_column(
        ForeignKey("rights_requests.id"), primary_key=True, autoincrement=False
    )
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
