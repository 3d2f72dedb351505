"""Reports of compliance audits: record one, and what was done about a finding; list them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select

from consent.registry import Registry
from consent.storage.filing_tables import AuditRemedyRow, AuditReportRow
from consent.transaction import Transaction, reading, writing
from protocol.audits import (
    MOST_RUNNING,
    AuditRemedy,
    ComplianceReport,
    due_again,
    is_late,
    one_too_many,
)
from protocol.errors import Conflict, NotAllowed, NotFound
from protocol.legal import LegalIdentity, LicenceKind
from protocol.parties import Party, Role

CLOCK_SKEW = timedelta(minutes=5)


def record_report(registry: Registry, auditor: Party, token: str) -> ComplianceReport:
    """Record a report that the auditor signed; the same one again changes nothing.

    Raises:
        SignatureError: not the caller's, or about nobody of the consortium. NotAllowed: it names
            another auditor. Conflict: it is of another time, or the firm's fourth of one
            institution running.
    """
    report = ComplianceReport.verify(token, auditor.key)
    if report.auditor != auditor.id:
        raise NotAllowed(f"the report names {report.auditor!r} as its auditor")
    for party in report.about:
        registry.consortium.party(party)
    with writing(registry) as transaction:
        if transaction.session.get(AuditReportRow, report.sha256):
            return report
        if report.made_at > transaction.moment + CLOCK_SKEW:
            raise Conflict(f"report {report.id!r} is of the future")
        if (whose := one_too_many(report, _reports(transaction))) is not None:
            raise Conflict(
                f"{report.firm.name!r} has audited {whose!r} {MOST_RUNNING} times running; another "
                "firm must audit it now (个人信息保护合规审计管理办法)"
            )
        public = {"report": report.sha256}
        index = transaction.log_sealed("audit.reported", auditor.id, public, {"token": token})
        transaction.session.add(
            AuditReportRow(sha256=report.sha256, auditor=auditor.id, token=token, entry_index=index)
        )
    return report


def record_remedy(registry: Registry, party: Party, sha256: str, token: str) -> AuditRemedy:
    """Record that the party remedied a finding of its own; the same one again changes nothing.

    Raises:
        SignatureError: not the caller's. NotFound: no such report or finding of the caller's.
        NotAllowed: it is about another report or party. Conflict: it is of another time, or the
            finding was remedied before.
    """
    remedy = AuditRemedy.verify(token, party.key)
    if (remedy.report_sha256, remedy.party) != (sha256, party.id):
        raise NotAllowed("the remedy is of another report or another party")
    with writing(registry) as transaction:
        session = transaction.session
        row = session.get(AuditReportRow, sha256)
        report = None if row is None else ComplianceReport.claimed(row.token)
        found = {one.id for one in report.findings if one.party == party.id} if report else set()
        if report is None or remedy.finding not in found:
            raise NotFound(f"no report of this hash finds {remedy.finding!r} about {party.id!r}")
        known = session.get(AuditRemedyRow, (sha256, remedy.finding))
        if known is not None:
            if AuditRemedy.claimed(known.token) == remedy:
                return remedy
            raise Conflict(f"finding {remedy.finding!r} was remedied before")
        if not report.made_at <= remedy.done_at <= transaction.moment + CLOCK_SKEW:
            raise Conflict(f"finding {remedy.finding!r} is remedied after the report, before now")
        public = {"report": sha256}
        index = transaction.log_sealed("audit.remedied", party.id, public, {"token": token})
        session.add(
            AuditRemedyRow(
                report_sha256=sha256, finding=remedy.finding, token=token, entry_index=index
            )
        )
    return remedy


def _reports(view: Transaction) -> list[ComplianceReport]:
    rows = view.session.scalars(select(AuditReportRow).order_by(AuditReportRow.entry_index))
    return [ComplianceReport.claimed(row.token) for row in rows]


def _sees(caller: Party, report: ComplianceReport) -> bool:
    return caller.role in (Role.AUDITOR, Role.REGISTRY) or caller.id in report.about


def list_audits(registry: Registry, caller: Party) -> list[dict[str, Any]]:
    """The reports that the caller may see, in order: of its own, or all of them for auditor and
    operator; of each finding, whether it is remedied, and whether it is late."""
    with reading(registry) as view:
        remedied = {
            (row.report_sha256, row.finding) for row in view.session.scalars(select(AuditRemedyRow))
        }
        return [
            {
                "sha256": report.sha256,
                "id": report.id,
                "firm": report.firm.name,
                "about": list(report.about),
                "last": report.last.isoformat(),
                "remedy_by": report.remedy_by.isoformat(),
                "findings": [
                    {
                        "id": one.id,
                        "party": one.party,
                        "severity": one.severity,
                        "remedied": (done := (report.sha256, one.id) in remedied),
                        "late": not done and is_late(report, view.moment),
                    }
                    for one in report.findings
                    if caller.role in (Role.AUDITOR, Role.REGISTRY) or one.party == caller.id
                ],
            }
            for report in _reports(view)
            if _sees(caller, report)
        ]


def read_audit(registry: Registry, caller: Party, sha256: str) -> dict[str, Any]:
    """A report as it was signed, its place in the log, and remedies; raises NotFound: also where
    the caller may not see it."""
    with reading(registry) as view:
        row = view.session.get(AuditReportRow, sha256)
        if row is None or not _sees(caller, ComplianceReport.claimed(row.token)):
            raise NotFound(f"there is no report of an audit {sha256[:12]}…")
        mine = select(AuditRemedyRow).where(AuditRemedyRow.report_sha256 == sha256)
        remedies = view.session.scalars(mine.order_by(AuditRemedyRow.entry_index))
        return {
            "token": row.token,
            "entry_index": row.entry_index,
            "remedies": [one.token for one in remedies],
        }


def audits_due(registry: Registry) -> list[dict[str, Any]]:
    """When each institution must be audited again; those that never were are due now."""
    with reading(registry) as view:
        reports = _reports(view)
    found = []
    for party in registry.consortium.parties:
        if party.role is Role.AUDITOR:
            continue
        last = max((one.last for one in reports if party.id in one.about), default=None)
        licence = LegalIdentity.of(party).licence
        bureau = licence is not None and licence.kind is LicenceKind.PERSONAL_CREDIT_REPORTING
        due = None if last is None else due_again(last, bureau).isoformat()
        found.append({"party": party.id, "last": last and last.isoformat(), "due": due})
    return found
