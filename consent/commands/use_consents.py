"""How the consents stand that statements of use name, in the transaction that logs them.

Each statement is of one purpose, and rests on consents to that one alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from consent.authorising import called_otherwise
from consent.commands.check_consents import decide_kinds
from consent.commands.request_marks import standing_refusals
from consent.storage.consents import load_presents
from consent.storage.subjects import Subject
from consent.transaction import Transaction
from law.categories import Sensitivity, consent_for
from protocol.notices import Notice
from protocol.parties import Consortium, Party
from protocol.rights import RequestKind
from protocol.snapshots import REASONS, Reason
from protocol.uses import USE_PURPOSES, ConsentNamed, UseStatement

_About = tuple[str, str, Sensitivity]
"""Whose consent: to which purpose, of whom, to which kind of data."""


class Unlogged(Exception):
    """The statement is not logged; the message says why."""


@dataclass(frozen=True)
class UseConsents:
    """How the borrowers of a batch stand, in its transaction."""

    reasons: Mapping[_About, Reason]
    notices: Mapping[_About, Notice]
    """What each answered last."""
    want_person: frozenset[str]
    consortium: Consortium

    @classmethod
    def of(
        cls,
        transaction: Transaction,
        lender: Party,
        said: Sequence[UseStatement],
        people: Mapping[str, Subject],
    ) -> UseConsents:
        """Of the consents that the statements name."""
        refusing = standing_refusals(transaction, lender.id).get(RequestKind.REFUSE_AUTOMATED, ())
        numbers = {int(number) for number in refusing}
        want_person = frozenset(n for n, one in people.items() if one.number in numbers)
        reasons: dict[_About, Reason] = {}
        notices: dict[_About, Notice] = {}
        for purpose in USE_PURPOSES:
            mine = [one for one in said if one.purpose == purpose]
            found = _standing_to(transaction, lender, purpose, mine, people)
            reasons |= found[0]
            notices |= found[1]
        return cls(reasons, notices, want_person, transaction.registry.consortium)

    def require(self, said: UseStatement, consent: ConsentNamed) -> Notice:
        """The notice that this consent answers, where it stands and covers what it is named for.
        Raises Unlogged."""
        name = said.pii_principal_id
        about = said.purpose, name, consent.sensitivity
        reason = self.reasons.get(about, Reason.NEVER_ASKED)
        if reason is not Reason.GIVEN:
            raise Unlogged(f"the consent to {consent.sensitivity} data is not given: {reason}")
        notice = self.notices[about]
        named = (consent.notice_id, consent.notice_version, consent.notice_sha256)
        if named != (notice.id, notice.version, notice.sha256):
            raise Unlogged(
                f"the consent to {consent.sensitivity} data answers another notice than is named"
            )
        if renamed := called_otherwise(notice, self.consortium):
            raise Unlogged(renamed)
        needed = consent.sensitivity
        for category in consent.categories:
            if category not in notice.terms.categories:
                raise Unlogged(f"the notice that was answered does not name {category}")
            if needed not in {consent_for(category), consent_for(category, True)}:
                raise Unlogged(f"{category} needs another consent than the one to {needed} data")
        if said.automated and (not notice.terms.automated_decision or name in self.want_person):
            raise Unlogged("this person is not to be decided about by a machine alone")
        return notice


def _standing_to(
    transaction: Transaction,
    lender: Party,
    purpose: str,
    said: Sequence[UseStatement],
    people: Mapping[str, Subject],
) -> tuple[dict[_About, Reason], dict[_About, Notice]]:
    """How the consents to this purpose stand that are named, and what those answer that do."""
    scope = transaction.notices.scopes.get((purpose, lender.id))
    asked: dict[Sensitivity, set[str]] = {}
    for one in said:
        for kind in one.kinds if one.pii_principal_id in people else ():
            asked.setdefault(kind, set()).add(one.pii_principal_id)
    if scope is None or not asked:
        return {}, {}
    names = sorted(set().union(*asked.values()))
    now = [people[name].pseudonym for name in names]
    decided = decide_kinds(transaction, lender, purpose, sorted(asked), now)
    reasons: dict[_About, Reason] = {
        (purpose, name, kind): REASONS[rule]
        for kind, rules in decided.items()
        for name, rule in zip(names, rules, strict=True)
        if name in asked[kind]
    }
    ids = sorted({people[name].id for name in names})
    presents = load_presents(transaction.session, ids, [scope])
    answered = transaction.notices.notices
    notices: dict[_About, Notice] = {
        (purpose, name, kind): answered[presents[scope, people[name].id, kind].notice]
        for (_, name, kind), reason in reasons.items()
        if reason is Reason.GIVEN
    }
    return reasons, notices
