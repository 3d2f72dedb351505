"""What a jurisdiction asks of the parties of a consortium: one rule for each article. Pure.

``found`` refuses a consortium that claims a jurisdiction and breaks one of its rules; ``tahini
doctor`` and the auditor look again, with the day and the number of people as they are then. That
all rules hold does not make a consortium lawful: engineering, not legal advice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

from protocol.errors import Conflict
from protocol.legal import (
    AgreementKind,
    Jurisdiction,
    LawRole,
    LegalIdentity,
    LegalTerms,
    LicenceKind,
)
from protocol.parties import Consortium, Role
from protocol.rules import Rule, rule_name

MANY_PEOPLE = 1_000_000
"""From so many on a handler names an officer (PIPL 52 with CAC 个人信息保护合规审计管理办法 12)."""
EEA = frozenset(
    {
        *("AT", "BE", "BG", "HR", "CY", "CZ", "DK", "EE", "FI", "FR", "DE", "GR", "HU", "IE", "IT"),
        *("LV", "LT", "LU", "MT", "NL", "PL", "PT", "RO", "SK", "SI", "ES", "SE", "IS", "LI", "NO"),
    }
)
"""The European Economic Area."""


@dataclass(frozen=True)
class Constitution:
    """A consortium as a rule looks at it.

    ``people`` counts a lender's borrowers where somebody can count them.
    """

    consortium: Consortium
    day: date
    people: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def terms(self) -> LegalTerms:
        """Raises Malformed."""
        return LegalTerms.of(self.consortium)

    @cached_property
    def stated(self) -> dict[str, LegalIdentity]:
        """What each party states of itself. Raises Malformed."""
        return {party.id: LegalIdentity.of(party) for party in self.consortium.parties}

    def joint(self) -> dict[str, list[str]]:
        """Joint handlers by purpose."""
        found: dict[str, list[str]] = {}
        for name, identity in self.stated.items():
            for one in identity.roles:
                if one.role is LawRole.JOINT_HANDLER:
                    found.setdefault(one.purpose, []).append(name)
        return found


def _told(names: list[str]) -> str:
    return ", ".join(sorted(names))


def successors_belong(of: Constitution) -> str | None:
    """PIPL 22: who took over is known, and an id that was given up is nobody else's."""
    known = of.stated.keys()
    for name, identity in of.stated.items():
        if identity.succeeded_by is not None and identity.succeeded_by not in known - {name}:
            return f"{name!r} is succeeded by {identity.succeeded_by!r}, which is no other party"
    former = [one for identity in of.stated.values() for one in identity.former_ids]
    taken = [one for one in former if one in known or former.count(one) > 1]
    return f"the former id {taken[0]!r} is somebody else's too" if taken else None


def licensed_coordinator(of: Constitution) -> str | None:
    """征信业管理条例 6, 7; 征信业务管理办法 4, 5, 50: who adds up credit information is a licensed
    bureau, or one of the lenders, or has counsel's opinion that it is no bureau."""
    party = of.consortium.one(Role.COORDINATOR)
    stated = of.stated[party.id]
    licence = stated.licence
    if licence is not None and licence.kind is LicenceKind.PERSONAL_CREDIT_REPORTING:
        if licence.until is None or of.day <= licence.until:
            return None
        return f"the licence of {party.id!r} for personal credit reporting ended on {licence.until}"
    if stated.opinion_sha256 is not None:
        return None
    lenders = {lender.id for lender in of.consortium.lenders}
    same = stated.institution
    if same in lenders and same is not None and of.stated[same].institution == party.id:
        return None
    return (
        f"the coordinator {party.id!r} states no licence for personal credit reporting, is none of "
        "the lenders (both would have to say so), and names no counsel's opinion"
    )


def licensed_lenders(of: Constitution) -> str | None:
    """征信业务管理办法 5 with the law of each licence: who lends says by whose leave."""
    for lender in of.consortium.lenders:
        licence = of.stated[lender.id].licence
        if licence is None:
            return f"the lender {lender.id!r} states no licence"
        if licence.until is not None and licence.until < of.day:
            return f"the licence of {lender.id!r} ended on {licence.until}"
    return None


def within(countries: frozenset[str], article: str) -> Rule[Constitution]:
    """Everybody is in one of these countries, or shows by which document data may go there."""

    def data_stay_or_travel_by_document(of: Constitution) -> str | None:
        for name, identity in of.stated.items():
            if identity.country is None:
                return f"{name!r} does not state its country ({article})"
            papers = [
                one
                for one in identity.agreements
                if one.kind is AgreementKind.TRANSFER and one.in_force(of.day)
            ]
            if identity.country not in countries and not papers:
                return (
                    f"{name!r} is in {identity.country} and has no transfer document in force "
                    f"({article})"
                )
        return None

    return data_stay_or_travel_by_document


def roles_are_stated(of: Constitution) -> str | None:
    """PIPL 73(1), 20, 21; GDPR 4: every party but the auditor says what it is in law, and each
    lender is a handler of its borrowers' data."""
    for party in of.consortium.parties:
        if party.role is not Role.AUDITOR and not of.stated[party.id].roles:
            return f"{party.id!r} does not state its role in law for any purpose"
        if party.role is Role.LENDER and not of.stated[party.id].handles:
            return f"the lender {party.id!r} states to be handler of nothing"
    return None


def handlers_can_be_reached(of: Constitution) -> str | None:
    """PIPL 17(1); GDPR 13(1)(a)."""
    mute = [name for name, one in of.stated.items() if one.handles and one.contact is None]
    return f"handlers without a contact: {_told(mute)}" if mute else None


def joint_handlers_agreed(of: Constitution) -> str | None:
    """PIPL 20; GDPR 26: those who decide together have one agreement, and all name it."""
    for purpose, names in of.joint().items():
        if len(names) == 1:
            return f"{names[0]!r} is joint handler with nobody for {purpose}"
        texts = [
            {
                one.sha256
                for one in of.stated[name].agreements
                if one.kind is AgreementKind.JOINT
                and one.in_force(of.day)
                and {*one.parties} >= {*names} - {name}
            }
            for name in names
        ]
        if not set.intersection(*texts):
            return f"joint handlers without one agreement that all of them name: {_told(names)}"
    return None


def processors_are_bound(of: Constitution) -> str | None:
    """PIPL 21; GDPR 28: who processes for others has a contract with one of them."""
    handlers = {name for name, identity in of.stated.items() if identity.handles}
    for name, identity in of.stated.items():
        bound = any(
            one.kind is AgreementKind.PROCESSING
            and one.in_force(of.day)
            and handlers & {*one.parties}
            for one in identity.agreements
        )
        if not bound and any(one.role is LawRole.PROCESSOR for one in identity.roles):
            return f"the processor {name!r} names no contract in force with a handler"
    return None


def officer_for_many_people(of: Constitution) -> str | None:
    """PIPL 52: from a million people on, who can be reached and was reported to the authority."""
    for name, count in of.people.items():
        officer = of.stated[name].officer
        if count >= MANY_PEOPLE and (officer is None or officer.reported_on is None):
            return f"{name!r} has {MANY_PEOPLE:,} borrowers or more and states no reported officer"
    return None


RULES: Mapping[Jurisdiction, tuple[Rule[Constitution], ...]] = {
    "CN": (
        successors_belong,
        licensed_coordinator,
        licensed_lenders,
        within(frozenset({"CN"}), "PIPL 38, 40; 征信业管理条例 24"),
        roles_are_stated,
        handlers_can_be_reached,
        joint_handlers_agreed,
        processors_are_bound,
        officer_for_many_people,
    ),
    "EU": (
        successors_belong,
        within(EEA, "GDPR 44 to 46"),
        roles_are_stated,
        handlers_can_be_reached,
        joint_handlers_agreed,
        processors_are_bound,
    ),
}


def broken(of: Constitution) -> list[tuple[str, str]]:
    """Name and reason of every rule of its jurisdiction that does not hold; none where it claims
    none. Raises Malformed."""
    if of.terms.jurisdiction is None:
        return [] if (why := successors_belong(of)) is None else [("SuccessorsBelong", why)]
    found = [(rule_name(rule), rule(of)) for rule in RULES[of.terms.jurisdiction]]
    return [(name, reason) for name, reason in found if reason is not None]


def require(of: Constitution) -> None:
    """Raises Conflict with what is broken, and Malformed where a statement cannot be read."""
    if found := broken(of):
        whose = of.terms.jurisdiction or "any"
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise Conflict(
            f"under the law of {whose} jurisdiction, {found[0][1]} ({found[0][0]}){more}; a party "
            "states such things in its party.toml: tahini party template"
        )
