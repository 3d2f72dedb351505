"""Keys that borrowers registered themselves, beside the one that their lender named at enrolment;
and that one, once its borrower ended it. And whose yes needs one.

A signature says by ``kid`` which of its maker's keys made it; without one, or by any other name, it
is checked with the key of the enrolment. Exactly one key is tried.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from auditlog.column_types import Base, UtcDateTime
from auditlog.database import among
from consent.identity.jwts import peek_kid
from consent.storage.subjects import IN_CHUNK, Subject
from consent.storage.tables import SubjectRow
from crypto.keys import PublicKey


class OwnKeyRow(Base):
    """A key of a borrower's. It stays when it has ended, so that what it signed can be verified,
    until its subject is erased."""

    __tablename__ = "own_keys"
    subject_id: Mapped[int] = mapped_column(
        ForeignKey("subjects.id"), primary_key=True, autoincrement=False
    )
    thumbprint: Mapped[str] = mapped_column(String(43), primary_key=True)
    public_key: Mapped[str] = mapped_column(String(43))
    by_lender: Mapped[bool]
    """Whether the lender named it, at enrolment."""
    added_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Of one that the lender named: the day of the enrolment, where that is known."""
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    entry_index: Mapped[int] = mapped_column(BigInteger)
    """Of the log entry that says what happened to it last."""


class SignedOnlyRow(Base):
    """Somebody for whom only a signature says yes, at one lender: no login does, and no record of
    the lender's."""

    __tablename__ = "signed_only"
    subject_id: Mapped[int] = mapped_column(
        ForeignKey("subjects.id"), primary_key=True, autoincrement=False
    )
    since: Mapped[datetime] = mapped_column(UtcDateTime)
    entry_index: Mapped[int] = mapped_column(BigInteger)
    """Of the log entry that says so."""


def signed_only(session: Session, subjects: Sequence[int]) -> set[int]:
    """Those of these subjects for whom only a signature says yes."""
    found: set[int] = set()
    for start in range(0, len(subjects), IN_CHUNK):
        part = list(subjects[start : start + IN_CHUNK])
        rows = select(SignedOnlyRow.subject_id).where(SignedOnlyRow.subject_id.in_(part))
        found.update(session.scalars(rows))
    return found


Keys = Mapping[int, Mapping[str, PublicKey]]
"""Live keys by subject and thumbprint."""


def live_keys(session: Session, subjects: Sequence[int]) -> Keys:
    """The registered keys of these subjects that have not ended."""
    found: dict[int, dict[str, PublicKey]] = defaultdict(dict)
    for start in range(0, len(subjects), IN_CHUNK):
        some = among("subject_id", subjects[start : start + IN_CHUNK])
        rows = session.connection().exec_driver_sql(
            "SELECT subject_id, thumbprint, public_key FROM own_keys"  # noqa: S608 - numbers of our own
            f" WHERE ended_at IS NULL AND {some}"
        )
        for subject, thumbprint, key in rows:
            found[subject][thumbprint] = PublicKey.from_text(key)
    return found


def signing_key(subject: Subject, registered: Keys, token: str) -> PublicKey | None:
    """The key with which this subject's signature is checked; None where they have none."""
    mine = registered.get(subject.id)
    if mine and (found := mine.get(peek_kid(token) or "")) is not None:
        return found
    return PublicKey.from_text(subject.public_key) if subject.public_key else None


def live_key(session: Session, pseudonym: str, kid: str | None) -> PublicKey | None:
    """A registered key of whoever is called this now; asked of everybody alike, whether or not
    there is somebody of that name."""
    text = session.scalar(
        select(OwnKeyRow.public_key)
        .join(SubjectRow, SubjectRow.id == OwnKeyRow.subject_id)
        .where(SubjectRow.pseudonym == pseudonym)
        .where(OwnKeyRow.thumbprint == (kid or ""), OwnKeyRow.ended_at.is_(None))
    )
    return None if text is None else PublicKey.from_text(text)


def all_keys(session: Session, subject: Subject) -> list[str]:
    """Every key that this subject's decisions may be signed with, ended ones among them, the
    enrolment's first."""
    mine = select(OwnKeyRow.public_key).where(OwnKeyRow.subject_id == subject.id)
    held = [subject.public_key] if subject.public_key else []
    return [*held, *session.scalars(mine.order_by(OwnKeyRow.added_at, OwnKeyRow.thumbprint))]
