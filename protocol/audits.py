"""Reports of compliance audits, and that a finding was remedied: signed documents. Pure.

PIPL article 54; 个人信息保护合规审计管理办法 (CAC, in force since 2025-05-01): regular audits,
findings, remediation, and no firm more than three times running for the same institution. What was
found stands in the log, sealed to the auditor; the report is signed with the auditor's key. No node
imports this. Engineering, not legal advice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from law.deadlines import working_days_after
from protocol.schema import Document, Instant, Sha256, Slug, StaffId, left_out

REMEDY_WORKING_DAYS = 15
MOST_RUNNING = 3
"""Audits of one institution by one firm, one after the other."""
Words = Annotated[str, Field(min_length=10, max_length=4000)]
Line = Annotated[str, Field(min_length=2, max_length=300)]
Severity = Literal["low", "medium", "high"]
YEAR = timedelta(days=365)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Firm(_Part):
    """Who audits: the institution behind the auditor's key."""

    name: Line
    number: Line
    """Under which it is registered (统一社会信用代码): a firm does not become another by another
    spelling of its name."""

    def is_same(self, other: Firm) -> bool:
        names = {" ".join(one.name.casefold().split()) for one in (self, other)}
        return len(names) == 1 or self.number.strip() == other.number.strip()


class AuditFinding(_Part):
    """What is not as it must be, and whose it is to put right."""

    id: Slug
    party: Slug
    law: Line
    """The article, or the duty of ``compliance/duties.toml``."""
    what: Words
    severity: Severity


class ComplianceReport(Document):
    """What an auditor looked at, how, and what it found."""

    typ = "tahini-audit-report"

    id: Slug
    auditor: Slug
    firm: Firm
    about: tuple[Slug, ...] = Field(min_length=1, max_length=64)
    """The institutions that were audited."""
    first: date
    last: date
    """The period, both days included."""
    basis: Line
    """By which law or guideline (审计指引)."""
    log_size: int = Field(ge=1)
    log_root: Sha256
    """The head of the log that was verified."""
    methods: tuple[Line, ...] = Field(min_length=1, max_length=64)
    findings: tuple[AuditFinding, ...] = Field(default=(), max_length=200)
    conclusion: Words
    made_at: Instant
    operator: StaffId | None = Field(default=None, exclude_if=left_out)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.last < self.first or self.last > self.made_at.date():
            raise ValueError("the period ends before it begins, or after the report")
        if len(set(self.about)) != len(self.about):
            raise ValueError("an institution is named twice")
        if len({one.id for one in self.findings}) != len(self.findings):
            raise ValueError("two findings share an id")
        if strangers := sorted({one.party for one in self.findings} - set(self.about)):
            raise ValueError(f"a finding is about {strangers[0]!r}, which was not audited")
        return self

    @property
    def remedy_by(self) -> date:
        """The last day on which a finding is remedied in time."""
        return working_days_after(self.made_at.date(), REMEDY_WORKING_DAYS)


class AuditRemedy(Document):
    """That a finding was put right, by whom it was about."""

    typ = "tahini-audit-remedy"

    report_sha256: Sha256
    finding: Slug
    party: Slug
    done: Words
    done_at: Instant
    operator: StaffId | None = Field(default=None, exclude_if=left_out)


def one_too_many(report: ComplianceReport, earlier: Sequence[ComplianceReport]) -> str | None:
    """The institution that this firm would audit more than three times running; None of nobody.

    Args:
        earlier: every report before it, in order.
    """
    for party in report.about:
        of_party = [one for one in earlier if party in one.about][-MOST_RUNNING:]
        running = [one for one in of_party if one.firm.is_same(report.firm)]
        if len(running) == MOST_RUNNING:
            return party
    return None


def due_again(last: date, licensed_bureau: bool) -> date:
    """When the next audit must have reached its end: a personal credit bureau's after a year
    (征信业务管理办法 43), anybody else's after two (the audit measures ask it from ten million
    people on; here it is asked of everybody)."""
    return last + (1 if licensed_bureau else 2) * YEAR


def is_late(report: ComplianceReport, moment: datetime) -> bool:
    return moment.date() > report.remedy_by
