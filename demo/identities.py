"""Who the parties of the demo would be in law: whole, and plainly invented."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date
from typing import Any

from protocol.legal import (
    Agreement,
    AgreementKind,
    Contact,
    LawRole,
    LegalIdentity,
    LegalTerms,
    Licence,
    LicenceKind,
    Officer,
    PurposeRole,
)
from protocol.parties import Role
from protocol.terms import TRAINING_PURPOSE

TERMS: dict[str, Any] = LegalTerms(jurisdiction="CN").model_dump(mode="json", exclude_defaults=True)
JOINT_TEXT = "Fictitious agreement of joint handlers, for the demo: who answers requests, and how."
CONTRACT_TEXT = "Fictitious contract with processors, for the demo: what, how long, how it ends."
UNTIL = date(2099, 12, 31)
NOBODY = "nobody (fictitious)"
_ROLES = {
    Role.LENDER: LawRole.JOINT_HANDLER,
    Role.COORDINATOR: LawRole.PROCESSOR,
    Role.REGISTRY: LawRole.PROCESSOR,
    Role.NAMING: LawRole.PROCESSOR,
    Role.AUDITOR: LawRole.NONE,
}


def _agreement(kind: AgreementKind, text: str, others: Sequence[str]) -> Agreement:
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return Agreement(kind=kind, sha256=sha256, parties=tuple(others), until=UNTIL)


def fictitious(party: str, role: Role, lenders: Sequence[str]) -> dict[str, Any]:
    """What a party of the demo states of itself: such that the rules of CN hold, and nobody
    exists."""
    contact = Contact(email=f"privacy@{party}.example", postal="1 Example Street, Nowhere")
    licences = {
        Role.COORDINATOR: LicenceKind.PERSONAL_CREDIT_REPORTING,
        Role.LENDER: LicenceKind.CONSUMER_FINANCE,
    }
    others = [lender for lender in lenders if lender != party]
    agreements = []
    if role is Role.LENDER and others:
        agreements = [_agreement(AgreementKind.JOINT, JOINT_TEXT, others)]
    elif role not in (Role.LENDER, Role.AUDITOR):
        agreements = [_agreement(AgreementKind.PROCESSING, CONTRACT_TEXT, lenders)]
    return LegalIdentity(
        contact=contact,
        officer=Officer(
            name="officer for personal information", contact=contact, reported_on=date(2026, 1, 5)
        ),
        country="CN",
        licence=Licence(kind=licences[role], number=f"FICTITIOUS-{party}", authority=NOBODY)
        if role in licences
        else None,
        roles=(PurposeRole(purpose=TRAINING_PURPOSE, role=_ROLES[role]),),
        agreements=tuple(agreements),
    ).stated()
