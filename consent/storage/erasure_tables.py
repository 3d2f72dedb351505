"""Tables of what is left of erased people, and of the review of it. Rows marked append-only are so
in the database too (triggers in migration 0010)."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, Date, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from auditlog.column_types import Base, UtcDateTime


class TombstoneRow(Base):
    """Under a key that no copy of the database holds: the hash of a name that an erased person had,
    so that they are known again if they come back; and of what a lender keeps of it, so that they
    are known in a roster. Append-only."""

    __tablename__ = "tombstones"
    name_mac: Mapped[str] = mapped_column(String(43), primary_key=True)
    """HMAC-SHA256, base64url."""
    subject_id: Mapped[int] = mapped_column(ForeignKey("subjects.id"), index=True)


class ErasureOrderRow(Base):
    """Whom the revocation of this number orders the recipient to erase, under a key of the
    registry's. It goes when the recipient has acknowledged it."""

    __tablename__ = "erasure_orders"
    recipient: Mapped[str] = mapped_column(String(63), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    wrapped: Mapped[bytes] = mapped_column(LargeBinary)
    """The order's own key, under the key of enclosures (``consent.keys.enclosures``)."""
    sealed: Mapped[bytes] = mapped_column(LargeBinary)


class LegalHoldRow(Base):
    """What an erased person had signed, for a court, until ``expires_at``: sealed to the auditor,
    and that under a key of the registry's, so that only both together can read it."""

    __tablename__ = "legal_holds"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    subject_id: Mapped[int] = mapped_column(ForeignKey("subjects.id"), index=True)
    """The tombstone."""
    wrapped: Mapped[bytes] = mapped_column(LargeBinary)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class ReviewRow(Base):
    """A yearly review of what is still kept, and the log entry that says what was found.
    Append-only."""

    __tablename__ = "retention_reviews"
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    entry_index: Mapped[int] = mapped_column(BigInteger)
