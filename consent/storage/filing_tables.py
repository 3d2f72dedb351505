"""Tables of documents that institutions file beside campaigns: impact assessments, incidents,
samples, reports of audits, recalls of models and that they were heard, statements of uses to score
an application."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from auditlog.column_types import Base, Coded, UtcDateTime
from protocol.uses import USE_STEPS, UseStep


class AssessmentRow(Base):
    """An impact assessment, as its author signed it. Append-only."""

    __tablename__ = "assessments"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    author: Mapped[str] = mapped_column(String(63))
    token: Mapped[str]
    entry_index: Mapped[int] = mapped_column(BigInteger)


class IncidentRow(Base):
    """An incident, as the institution signed it. Append-only."""

    __tablename__ = "incidents"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    institution: Mapped[str] = mapped_column(String(63))
    token: Mapped[str]
    entry_index: Mapped[int] = mapped_column(BigInteger)


class IncidentClosureRow(Base):
    """That an incident has been dealt with, signed likewise. Append-only."""

    __tablename__ = "incident_closures"
    incident_sha256: Mapped[str] = mapped_column(ForeignKey("incidents.sha256"), primary_key=True)
    token: Mapped[str]
    entry_index: Mapped[int] = mapped_column(BigInteger)


class IncidentPersonRow(Base):
    """Who was told of an incident, in which entry. Append-only."""

    __tablename__ = "incident_people"
    incident_sha256: Mapped[str] = mapped_column(ForeignKey("incidents.sha256"), primary_key=True)
    subject_id: Mapped[int] = mapped_column(
        ForeignKey("subjects.id"), primary_key=True, autoincrement=False
    )
    entry_index: Mapped[int] = mapped_column(BigInteger)
    __table_args__ = (Index("incident_people_by_subject", "subject_id"),)


class UseRow(Base):
    """Which entry a step of an application has, so that the same statement handed in again gets the
    same one. It says no more than the entry's skeleton: whose application it is stands in
    ``subject_entries``, and goes with the person. Append-only."""

    __tablename__ = "uses"
    lender: Mapped[str] = mapped_column(String(63), primary_key=True)
    application: Mapped[str] = mapped_column(String(64), primary_key=True)
    """The lender's commitment to its own id of it."""
    step: Mapped[UseStep] = mapped_column(Coded(USE_STEPS), primary_key=True, autoincrement=False)
    statement_sha256: Mapped[str] = mapped_column(String(64))
    entry_index: Mapped[int] = mapped_column(BigInteger)
    logged_at: Mapped[datetime] = mapped_column(UtcDateTime)
    follows: Mapped[str | None] = mapped_column(String(64))
    """The application that was read first, whose review or verification this is."""
    __table_args__ = (Index("uses_by_entry", "entry_index", unique=True),)


class SampleOpeningRow(Base):
    """What was opened of a lender's sample, once: a second time there is the same answer or none.
    Append-only."""

    __tablename__ = "sample_openings"
    entry_index: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """Of the entry that announced the sample."""
    lender: Mapped[str] = mapped_column(String(63), primary_key=True)
    sample_sha256: Mapped[str] = mapped_column(String(64))
    answer_sha256: Mapped[str] = mapped_column(String(64))


class AuditReportRow(Base):
    """A report of a compliance audit, as the auditor signed it. Append-only."""

    __tablename__ = "audit_reports"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    auditor: Mapped[str] = mapped_column(String(63))
    token: Mapped[str]
    entry_index: Mapped[int] = mapped_column(BigInteger)


class AuditRemedyRow(Base):
    """That a finding was remedied, signed by whom it was about. Append-only."""

    __tablename__ = "audit_remedies"
    report_sha256: Mapped[str] = mapped_column(ForeignKey("audit_reports.sha256"), primary_key=True)
    finding: Mapped[str] = mapped_column(String(63), primary_key=True)
    token: Mapped[str]
    entry_index: Mapped[int] = mapped_column(BigInteger)


class ModelRecallRow(Base):
    """That a released model is not to be used any more, as a party signed it. Append-only."""

    __tablename__ = "model_recalls"
    card_sha256: Mapped[str] = mapped_column(ForeignKey("models.card_sha256"), primary_key=True)
    party: Mapped[str] = mapped_column(String(63), primary_key=True)
    token: Mapped[str]
    entry_index: Mapped[int] = mapped_column(BigInteger)


class RecallAcknowledgementRow(Base):
    """That a lender uses a recalled model no more, as it signed it. Append-only."""

    __tablename__ = "recall_acknowledgements"
    card_sha256: Mapped[str] = mapped_column(ForeignKey("models.card_sha256"), primary_key=True)
    lender: Mapped[str] = mapped_column(String(63), primary_key=True)
    token: Mapped[str]
    entry_index: Mapped[int] = mapped_column(BigInteger)
