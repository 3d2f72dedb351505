"""What happened to a borrower's consents: the history of one, and whether their lender has said
that it acted on what they took back."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from auditlog.entries import day_of
from auditlog.log import Logged
from consent.commands.read_consents import own_consents
from consent.commands.read_evidence import served_by
from consent.registry import Registry
from consent.storage.consents import ConsentKey
from consent.storage.subjects import Subject, find_subjects
from consent.storage.tables import (
    AcknowledgementRow,
    ConsentEventRow,
    DecisionRow,
    ImportRow,
    RevocationRow,
)
from consent.transaction import Transaction, reading
from crypto.errors import TahiniError
from protocol.errors import NotFound
from protocol.records import record_id
from protocol.states import ConsentStatus, Event

logger = logging.getLogger("tahini.registry")


def read_history(registry: Registry, pseudonyms: Sequence[str], named: str) -> list[dict[str, Any]]:
    """Every event of the consent with this record, oldest first; raises NotFound, for other
    people's as for those that do not exist.

    ``stated_by`` is whose word it is: the person's own key, their login, an import by the lender;
    ``registry`` where the registry ended it by itself, for its time was over or for who said yes
    could not.
    """
    with reading(registry) as view:
        people, presents = own_consents(view, pseudonyms)
        key = _named(view, people, presents, named)
        name, present = people[key[1]][0], presents[key]
        person = find_subjects(view, [name]).get(name)
        if person is None:
            raise NotFound("no such consent record")
        found = _events(view, person, key)
        ended = present.at(view.moment) is ConsentStatus.EXPIRED and present.expiry_time
        if ended and found[-1]["event_type"] != Event.EXPIRE:
            found.append(_Happened(Event.EXPIRE, ended, present.notice).told(view))
    return found


def _named(
    view: Transaction,
    people: Mapping[int, tuple[str, str]],
    keys: Iterable[ConsentKey],
    named: str,
) -> ConsentKey:
    """Which of these consents has this record; raises NotFound."""
    origin, scope_of = view.registry.consortium.log_origin, view.notices.scope_of
    for scope, subject, kind in keys:
        if record_id(origin, people[subject][0], *scope_of[scope], kind) == named:
            return scope, subject, kind
    raise NotFound("no such consent record")


@dataclass(frozen=True)
class _Happened:
    """One event of a consent."""

    event: Event
    at: datetime
    notice: int
    served: Mapping[str, Any] | None = None
    decision_sha256: str | None = None
    entry_index: int | None = None
    acknowledged: Mapping[str, Any] | None = None

    def told(self, view: Transaction) -> dict[str, Any]:
        answered, decision = view.notices.notices[self.notice], self.decision_sha256
        receipt = f"/v1/me/receipts/{decision}" if decision else None
        nobody = {"stated_by": "registry", "channel": None, "language": None, "text_sha256": None}
        return {
            "event_type": self.event.value,
            "event_time": self.at.isoformat(),
            "notice": {"id": answered.id, "version": answered.version},
            **(self.served or nobody),
            "entry_index": self.entry_index,
            "decision_sha256": decision,
            "receipt": receipt,
            "revocation": self.acknowledged,
        }


def _events(view: Transaction, person: Subject, key: ConsentKey) -> list[dict[str, Any]]:
    session = view.session
    event, (scope, _, kind) = ConsentEventRow, key
    rows = session.execute(
        select(event, DecisionRow.entry_index, ImportRow.entry_index, ImportRow.about)
        .outerjoin(DecisionRow, DecisionRow.sha256 == event.decision_sha256)
        .outerjoin(ImportRow, ImportRow.id == event.import_id)
        .where(event.scope_id == scope, event.subject_id == person.id, event.sensitivity == kind)
        .order_by(event.sequence)
    ).all()
    indexes = [decided for _, decided, _, _ in rows if decided is not None]
    entries = view.registry.ledger.log.entries_at(session, indexes)
    told = {
        (one["event_type"], one["said_at"]): one
        for one in revocations_of(view, {person.id: person})
        if (one["purpose"], one["sensitivity"]) == (view.notices.scope_of[scope][0], kind)
    }
    found = []
    for row, decided, imported, about in rows:
        served, index, decision = None, None, None
        if row.event is Event.EXPIRE:  # whatever brought it to light, nobody said so
            pass
        elif decided is not None:
            served, index = _said(person, entries.get(decided)), decided
            decision = row.decision_sha256
        elif imported is not None:
            said = json.loads(about)
            index, served = (
                imported,
                {
                    "stated_by": "import",
                    "channel": said["channel"],
                    "language": said["language"],
                    "text_sha256": said["notice_sha256"],
                },
            )
        revoked = told.get((row.event.value, row.event_time.isoformat()))
        happened = _Happened(
            row.event, row.event_time, row.notice, served, decision, index, revoked
        )
        found.append(happened.told(view))
    return found


def _said(person: Subject, entry: Logged | None) -> dict[str, Any]:
    """By which way a decision was made, in answer to which text; ``unreadable`` where its body is
    damaged, which hides no other event."""
    try:
        if entry is None:
            raise NotFound("the log has lost the entry of a decision")
        served = served_by(person, entry)
    except (TahiniError, ValueError, LookupError) as error:
        name = type(error).__name__
        logger.warning("a decision cannot be read (%s); run: tahini log fsck", name)
        return {"stated_by": "unreadable", "channel": None, "language": None, "text_sha256": None}
    return served.model_dump(
        mode="json", include={"stated_by", "channel", "language", "text_sha256"}
    )


# --- what lenders had to be told


def read_revocations_of(registry: Registry, pseudonyms: Sequence[str]) -> list[dict[str, Any]]:
    """What this person's lenders had to be told, newest first, and whether they have acknowledged
    it."""
    with reading(registry) as view:
        own_consents(view, pseudonyms)
        mine = {one.id: one for one in find_subjects(view, list(pseudonyms)).values()}
        found = revocations_of(view, mine)
    return sorted(found, key=lambda one: one["recorded_at"], reverse=True)


def revocations_of(view: Transaction, subjects: Mapping[int, Subject]) -> list[dict[str, Any]]:
    """What lenders had to be told of these subjects, in the order in which they were, and the log
    entry under which each acknowledged it. Of that entry's time the log tells the day."""
    session, scope_of = view.session, view.notices.scope_of
    origin, told, done = view.registry.consortium.log_origin, RevocationRow, AcknowledgementRow
    first = (
        select(func.min(done.number))
        .where(done.recipient == told.recipient, done.number >= told.number)
        .correlate(told)
        .scalar_subquery()
    )
    rows = session.execute(
        select(told, done.entry_index)
        .outerjoin(done, (done.recipient == told.recipient) & (done.number == first))
        .where(told.subject_id.in_(subjects))
        .order_by(told.recipient, told.number)
    ).all()
    indexes = sorted({index for _, index in rows if index is not None})
    entries = view.registry.ledger.log.entries_at(session, indexes)
    patience = timedelta(minutes=view.registry.consortium.revocation_minutes)
    found = []
    for row, index in rows:
        purpose, _ = scope_of[row.scope_id]
        name = subjects[row.subject_id].pseudonym
        due_at = row.recorded_at + patience
        entry = None if index is None else entries.get(index)
        found.append(
            {
                "recipient": row.recipient,
                "number": row.number,
                "record_id": record_id(origin, name, purpose, row.recipient, row.sensitivity),
                "purpose": purpose,
                "sensitivity": row.sensitivity,
                "event_type": row.event.value,
                "said_at": row.revoked_at.isoformat(),
                "recorded_at": row.recorded_at.isoformat(),
                "due_at": due_at.isoformat(),
                "acknowledged_by_entry": index,
                "acknowledged_on": None if entry is None else day_of(json.loads(entry.leaf)),
                "overdue": index is None and due_at <= view.moment,
            }
        )
    return found
