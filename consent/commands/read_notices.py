"""What a borrower is asked: each question of each notice, how it was answered, what is still open.

A question is a lender and a kind of data: each is answered by itself. A no rests, whatever notice
or version follows it (网络数据安全管理条例 22(5)).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from consent.commands.read_consents import own_consents
from consent.notices import Notices
from consent.registry import Registry
from consent.storage.consents import ConsentKey, young_of
from consent.transaction import reading
from law.categories import SENSITIVITIES
from protocol.changes import CurrentConsent
from protocol.notices import Notice
from protocol.records import record_id
from protocol.states import ConsentStatus


class WhyOpen(StrEnum):
    """Why a question waits for an answer."""

    UNANSWERED = "unanswered"
    CHANGED = "changed"
    """The yes was to a version that said less, or to another notice: it must be given again."""
    EXPIRED = "expired"
    """The yes has ended by its time."""


@dataclass(frozen=True)
class _Asked:
    """Somebody at one lender."""

    subject: int
    pseudonym: str
    lender: str
    young: bool
    """Under 14: everything of theirs is sensitive."""


@dataclass(frozen=True)
class _Questions:
    """What notices ask one person, as their consents stand at one moment."""

    known: Notices
    people: Sequence[_Asked]
    presents: Mapping[ConsentKey, CurrentConsent]
    origin: str
    moment: datetime

    def of(self, notice: Notice) -> list[dict[str, Any]]:
        """Those of a notice, by lender and kind; of a kind that it asks no more only where it was
        answered."""
        asked = [one for one in self.people if one.lender in notice.recipients]
        found = []
        for one in sorted(asked, key=lambda one: one.lender):
            scope = self.known.scope(notice.purpose, one.lender)
            kinds = {*notice.terms.asked(), *(("sensitive",) if one.young else ())}
            for kind in SENSITIVITIES:
                present = self.presents.get((scope, one.subject, kind))
                if kind in kinds or present is not None:
                    found.append(self._question(notice, one, kind, present or CurrentConsent()))
        return found

    def _question(
        self, notice: Notice, one: _Asked, kind: str, present: CurrentConsent
    ) -> dict[str, Any]:
        state, answered = present.at(self.moment), self.known.notices.get(present.notice)
        why = None
        if answered is None:
            why = WhyOpen.UNANSWERED
        elif state is ConsentStatus.GIVEN and self.known.is_stale(present.notice, one.lender):
            why = WhyOpen.CHANGED
        elif state is ConsentStatus.EXPIRED:
            why = WhyOpen.EXPIRED
        named = record_id(self.origin, one.pseudonym, notice.purpose, one.lender, kind)
        return {
            "recipient": one.lender,
            "sensitivity": kind,
            "state": state.value,
            "open": why,
            "record_id": named if answered else None,
            "answered": {"id": answered.id, "version": answered.version} if answered else None,
        }


def read_notices(registry: Registry, pseudonyms: Sequence[str]) -> list[dict[str, Any]]:
    """The newest version of every notice that asks this person something, with its questions."""
    with reading(registry) as view:
        people, presents = own_consents(view, pseudonyms)
        young = young_of(view.session, sorted(people))
        known, moment = view.notices, view.moment
    asked = [_Asked(subject, *names, subject in young) for subject, names in people.items()]
    questions = _Questions(known, asked, presents, registry.consortium.log_origin, moment)
    lenders = {one.lender for one in asked}
    newest: dict[str, Notice] = {}
    for notice in known.notices.values():
        held = newest.get(notice.id)
        if lenders & set(notice.recipients) and (held is None or held.version < notice.version):
            newest[notice.id] = notice
    return [
        {
            "id": notice.id,
            "version": notice.version,
            "purpose": notice.purpose,
            "recipients": sorted(lenders & set(notice.recipients)),
            "languages": {
                language: notice.text_sha256(language) for language in sorted(notice.texts)
            },
            "asks": {
                kind: [one.value for one in about] for kind, about in notice.terms.asked().items()
            },
            "validity_days": notice.terms.validity_days,
            "reading_seconds": notice.terms.reading_seconds,
            "questions": questions.of(notice),
        }
        for _, notice in sorted(newest.items())
    ]
