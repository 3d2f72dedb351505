"""Consents as they are stored: the present of each, its events, and what recipients must be told.

All functions run inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from consent.changes import REVOKING, Present
from consent.states import Event
from consent.storage.database import bulk_insert, bulk_upsert
from consent.storage.tables import (
    EVENTS,
    SENSITIVITIES,
    STATES,
    ConsentEventRow,
    ConsentRow,
    RevocationRow,
    ScopeRow,
)
from consent.subjects import IN_CHUNK

_KEY_COLUMNS = ("scope_id", "subject_id", "sensitivity")
_PRESENT_COLUMNS = {
    "scope_id": "int4",
    "subject_id": "int8",
    "sensitivity": "int2",
    "state": "int2",
    "version": "int4",
    "notice": "int4",
    "event_time": "timestamp",
    "expiry_time": "timestamp",
}
_EVENT_COLUMNS = {
    "scope_id": "int4",
    "sequence": "int8",
    "subject_id": "int8",
    "sensitivity": "int2",
    "event": "int2",
    "notice": "int4",
    "event_time": "timestamp",
    "decision_sha256": "text",
    "import_id": "int4",
    "position": "int4",
}

_SENSITIVITY, _STATE, _EVENT = (
    {word: place for place, word in enumerate(words)} for words in (SENSITIVITIES, STATES, EVENTS)
)
"""How words are stored: by their place in the list."""

ConsentKey = tuple[int, int, str]
"""Scope, subject, sensitivity."""


class Happened(NamedTuple):
    """One event of one consent."""

    key: ConsentKey
    event: Event
    notice: int
    at: datetime
    decision: str | None = None
    """Hash of the decision it stems from."""
    position: int | None = None
    """Else the record of the import."""


def load_presents(session: Session, ids: Sequence[int], scopes: Sequence[int]) -> dict[ConsentKey, Present]:
    """Where the consents of these subjects stand."""
    found: dict[ConsentKey, Present] = {}
    for start in range(0, len(ids), IN_CHUNK):
        rows = session.execute(
            select(
                ConsentRow.scope_id, ConsentRow.subject_id, ConsentRow.sensitivity, ConsentRow.state,
                ConsentRow.version, ConsentRow.notice, ConsentRow.event_time, ConsentRow.expiry_time,
            ).where(ConsentRow.scope_id.in_(scopes), ConsentRow.subject_id.in_(ids[start : start + IN_CHUNK]))
        )  # fmt: skip
        for scope, subject, sensitivity, state, version, notice, event_time, expiry_time in rows:
            found[scope, subject, sensitivity] = Present(state, version, notice, event_time, expiry_time)
    return found


def _count_events(session: Session, events: Sequence[ConsentKey]) -> list[int]:
    """The sequence number of each event, counted on from what its scope held."""
    counts = {row.id: row for row in session.scalars(select(ScopeRow).where(ScopeRow.id.in_({k[0] for k in events})))}
    numbers = []
    for scope, _, _ in events:
        counts[scope].events += 1
        numbers.append(counts[scope].events)
    session.flush()
    return numbers


def write_presents(session: Session, presents: Mapping[ConsentKey, Present], touched: Iterable[ConsentKey]) -> None:
    bulk_upsert(
        session,
        ConsentRow.__tablename__,
        _PRESENT_COLUMNS,
        _KEY_COLUMNS,
        tuple(_PRESENT_COLUMNS)[len(_KEY_COLUMNS) :],
        [
            (
                key[0], key[1], _SENSITIVITY[key[2]], _STATE[present.state], present.version, present.notice,
                present.event_time, present.expiry_time,
            )
            for key in touched
            for present in (presents[key],)
        ],
    )  # fmt: skip


def write_events(
    session: Session, recipients: Mapping[int, str], events: Sequence[Happened], import_id: int | None = None
) -> None:
    """Append events, and for what revokes a numbered revocation to the recipient."""
    numbers = _count_events(session, [happened.key for happened in events])
    bulk_insert(
        session,
        ConsentEventRow.__tablename__,
        _EVENT_COLUMNS,
        [
            (
                event.key[0], number, event.key[1], _SENSITIVITY[event.key[2]], _EVENT[event.event],
                event.notice, event.at, event.decision, import_id, event.position,
            )
            for number, event in zip(numbers, events, strict=True)
        ],
    )  # fmt: skip
    write_revocations(session, recipients, [event for event in events if event.event in REVOKING])


def write_revocations(session: Session, recipients: Mapping[int, str], revoked: Sequence[Happened]) -> None:
    if not revoked:
        return
    names = {recipients[event.key[0]] for event in revoked}
    newest = dict(
        session.execute(
            select(RevocationRow.recipient, func.max(RevocationRow.number))
            .where(RevocationRow.recipient.in_(names))
            .group_by(RevocationRow.recipient)
        ).all()
    )
    rows = []
    for event in revoked:
        scope, subject, sensitivity = event.key
        name = recipients[scope]
        newest[name] = newest.get(name, 0) + 1
        rows.append(
            {
                "recipient": name, "number": newest[name], "scope_id": scope, "subject_id": subject,
                "sensitivity": sensitivity, "event": event.event, "revoked_at": event.at,
            }
        )  # fmt: skip
    session.execute(insert(RevocationRow), rows)
