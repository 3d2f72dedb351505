"""Reports of compliance audits."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from protocol.audits import ComplianceReport

FINDING = {"id": "late", "party": "aspen", "law": "PIPL 50", "what": "Requests wait too long.", "severity": "medium"}


def some_report(auditor: str, moment: datetime, **changes) -> ComplianceReport:
    said = {
        "id": "audit", "auditor": auditor, "firm": {"name": "Plain & Partners", "number": "9131"},
        "about": ["aspen", "registry"], "first": date(2025, 1, 1), "last": moment.date() - timedelta(days=1),
        "basis": "审计指引", "log_size": 1, "log_root": "0" * 64, "methods": ["tahini log verify"],
        "findings": [FINDING], "conclusion": "In order but for one thing.", "made_at": moment,
    }  # fmt: skip
    return ComplianceReport.model_validate(said | changes)
