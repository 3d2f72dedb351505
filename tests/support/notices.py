"""Notices that say all that they must."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from crypto.keys import SigningKey
from crypto.notes import Verifier
from crypto.policies import Log, unwitnessed
from law.categories import DataCategory
from law.processing import Processing, SupportingBasis
from protocol.legal import LegalIdentity
from protocol.notices import Recipient, Terms
from protocol.parties import Consortium, Party, Role

CATEGORIES = (
    DataCategory.REPAYMENT, DataCategory.BUREAU, DataCategory.CONSUMPTION, DataCategory.IDENTITY, DataCategory.INCOME,
    DataCategory.DEPOSITS,
)  # fmt: skip
CAPACITIES = {Role.LENDER: "joint-handler", Role.AUDITOR: "handler"}


def words(text: str) -> dict[str, str]:
    return {"en": f"{text}, in a sentence", "zh": f"{text}：这里是一句完整的中文说明"}


def officer_of(party: Party) -> str | None:
    officer = LegalIdentity.of(party).officer
    return officer and f"{officer.name}, {officer.contact.email}"


def full_terms(consortium: Consortium, lenders: Sequence[str], without: Collection[Role] = (), **changes: Any) -> Terms:
    """Terms that can be published for these lenders; ``changes`` as they are."""
    named = [
        Recipient(
            id=party.id, name=party.name, role=party.role, capacity=CAPACITIES.get(party.role, "processor"),
            contact=f"privacy@{party.id}.example", officer=officer_of(party),
        )
        for party in consortium.parties
        if (party.role is not Role.LENDER or party.id in lenders) and party.role not in without
    ]  # fmt: skip
    fields = {
        "categories": CATEGORIES, "recipients": tuple(named), "necessity": words("Needed"), "effect": words("Effect"),
        "adverse_consequences": words("Consequences"), "complaint": words("Complain to the authority"),
        "withdrawal_method": words("In the portal"), "storage_locations": ("CN",), "jurisdiction": ("CN",),
        "written_form": True, "logic": words("Points are added up"),
        "children": words("A guardian answers for a child"),
        "bases": dict.fromkeys(Processing, SupportingBasis.PIPL_DUTY),
    }  # fmt: skip
    return Terms.model_validate(fields | changes)


def some_consortium(*lenders: str, officers: Mapping[str, Any] = MappingProxyType({})) -> Consortium:
    """One of each party and these lenders, with keys that nobody has."""
    roles = {role.value: role for role in Role if role is not Role.LENDER} | dict.fromkeys(lenders, Role.LENDER)
    parties = tuple(
        Party(
            id=name,
            name=name.title(),
            role=role,
            signing_key=SigningKey.generate().public.text,
            legal={"officer": officers[name]} if name in officers else None,
        )
        for name, role in roles.items()
    )
    log = Log(Verifier("test.example/log", SigningKey.generate().public))
    return Consortium(
        name="test", parties=parties, log_policy=unwitnessed(log).text, unwitnessed=True, max_epsilon=1, max_delta=1e-5
    )
