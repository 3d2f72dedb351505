"""Withdrawals without a signed decision: of one consent, or of all, by a borrower whom the registry
knows otherwise.

Each becomes a decision in answer to the notice that was answered last, in the language in which it
was shown.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from consent.commands.borrowers_consents import BorrowersConsents
from consent.commands.check_decisions import Stated
from consent.storage.consents import ConsentKey
from consent.storage.subjects import Subject
from law.categories import Sensitivity
from protocol.changes import CurrentConsent
from protocol.consents import Action, Choice, ConsentDecision
from protocol.errors import NotFound, PreconditionFailed
from protocol.languages import lookup
from protocol.notices import Notice
from protocol.records import RecordKey, consent_record, record_id
from protocol.states import TRANSITIONS, Event


@dataclass(frozen=True)
class ReadLanguages:
    """What is known of the languages somebody reads: as each notice was ``shown`` to them, and what
    their browser says (RFC 4647 ranges, the most wanted first)."""

    shown: Mapping[ConsentKey, str]
    accepted: Sequence[str]

    def language(self, key: ConsentKey, notice: Notice) -> str:
        """Of the notice's text for this consent: as it was shown; where that cannot be read any
        more, as accepted."""
        tags = list(notice.texts)
        shown = [self.shown[key]] if key in self.shown else []
        return lookup(shown, tags) or lookup(self.accepted, tags) or min(tags)


def require_match(if_match: str | None, tag: str) -> None:
    """RFC 9110 section 13.1.1, with one strong tag or ``*``. Raises PreconditionFailed."""
    if if_match not in {None, "*", tag}:
        said = "what was read has changed since; read it again"
        raise PreconditionFailed(said).because("changed-since")


@dataclass(frozen=True)
class Withdrawal:
    """Withdraw the consent with this record.

    Args:
        accepted: the languages that the borrower's browser asks for.
        login_sha256: what the borrower's login began with; empty without one.
        if_match: the ETag of the record that the borrower read; with ``of_all_too`` that of all
            their consents will do.
    """

    reads_languages: ClassVar[bool] = True

    record_id: str
    accepted: Sequence[str]
    login_sha256: str
    if_match: str | None = None
    of_all_too: bool = False
    kind: Literal["withdrawal"] = "withdrawal"

    def decisions(self, consents: BorrowersConsents) -> list[Stated]:
        """The decision that withdraws it. Raises NotFound, PreconditionFailed."""
        record = _records(consents).get(self.record_id)
        if record is None:
            raise NotFound("no such consent record")
        if self.if_match is not None and not (self.of_all_too and self.if_match == consents.tag):
            require_match(self.if_match, _etag(consents, record))
        return [_withdrawal(consents, record, self.accepted, self.login_sha256)]


@dataclass(frozen=True)
class WithdrawalOfAll:
    """Withdraw everything that was given or suspended, everywhere; arguments as of
    :class:`Withdrawal`."""

    reads_languages: ClassVar[bool] = True

    accepted: Sequence[str]
    login_sha256: str
    kind: Literal["withdrawal-of-all"] = "withdrawal-of-all"

    def decisions(self, consents: BorrowersConsents) -> list[Stated]:
        """The decisions that withdraw it."""
        moment = consents.transaction.moment
        return [
            _withdrawal(consents, record, self.accepted, self.login_sha256)
            for _, record in sorted(_records(consents).items())
            if (record.present.at(moment), Event.WITHDRAW) in TRANSITIONS
        ]


@dataclass(frozen=True)
class _Record:
    """One consent of the borrower, as a decision about it needs it."""

    key: ConsentKey
    subject: Subject
    purpose: str
    sensitivity: Sensitivity
    present: CurrentConsent


def _records(consents: BorrowersConsents) -> dict[str, _Record]:
    """The borrower's consents by the id of their record (``protocol.records``)."""
    origin = consents.transaction.registry.consortium.log_origin
    scope_of = consents.transaction.notices.scope_of
    found = {}
    for subject, key, present in consents.all():
        scope, _, sensitivity = key
        purpose, recipient = scope_of[scope]
        name = record_id(origin, subject.pseudonym, purpose, recipient, sensitivity)
        found[name] = _Record(key, subject, purpose, sensitivity, present)  # type: ignore[arg-type]
    return found


def _etag(consents: BorrowersConsents, record: _Record) -> str:
    """The ETag of the record as the borrower reads it."""
    notices, number = consents.transaction.notices, record.present.notice
    key = RecordKey("", record.subject.pseudonym, record.subject.lender, record.sensitivity)
    moment = consents.transaction.moment
    return consent_record(
        key,
        record.present,
        notices.notices[number],
        notices.is_stale(number, key.recipient),
        moment,
    ).etag


def _withdrawal(
    consents: BorrowersConsents, record: _Record, accepted: Sequence[str], login_sha256: str
) -> Stated:
    notice = consents.transaction.notices.notices[record.present.notice]
    language = ReadLanguages(consents.shown, accepted).language(record.key, notice)
    choice = Choice(
        purpose=record.purpose,
        recipient=record.subject.lender,
        sensitivity=record.sensitivity,
        action=Action.WITHDRAW,
    )
    decision = ConsentDecision(
        pii_principal_id=record.subject.pseudonym,
        notice_id=notice.id,
        notice_version=notice.version,
        notice_language=language,
        notice_sha256=notice.text_sha256(language),
        choices=(choice,),
        event_time=consents.transaction.moment,
        channel="web",
        nonce=secrets.token_urlsafe(16),
    )
    return Stated(decision, login_sha256=login_sha256)
