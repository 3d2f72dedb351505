"""The audit log's tables. Rows marked append-only are so in the database too (triggers in the first
migration)."""

from __future__ import annotations

from sqlalchemy import BigInteger, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from auditlog.column_types import Base, BigId


class LogStateRow(Base):
    """The log's only row that changes: how far it is, and which process may write to it.

    ``epoch`` counts the writers there have been. Every append and every integration checks it in
    its own transaction, so a writer that was deposed while it slept can change nothing (a fencing
    token).
    """

    __tablename__ = "log_state"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    appended: Mapped[int] = mapped_column(BigInteger)
    """Entries that have an index."""
    integrated: Mapped[int] = mapped_column(BigInteger)
    """Entries that are under a signed head."""
    newest: Mapped[int] = mapped_column(BigInteger)
    """Time of the newest entry, in microseconds since 1970: the log's clock never runs
    backwards."""
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
    """The header of an envelope: the content key of many bodies, sealed to their recipients.
    Append-only."""

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
