"""Consents as they are stored: the present of each, its events, and what recipients must be told.

All functions run inside the caller's transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from auditlog.database import among, bulk_insert, bulk_upsert, utc
from consent.storage.tables import (
    EVENTS,
    STATES,
    AcknowledgementRow,
    ConsentEventRow,
    ConsentRow,
    DecisionRow,
    RevocationRow,
)
from law.categories import SENSITIVITIES
from protocol.changes import LASTING, REVOKING, Answer, CurrentConsent, apply_answer
from protocol.states import Event

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
    "record": "text",
}

_REVOCATION_COLUMNS = {
    "recipient": "text",
    "number": "int8",
    "scope_id": "int4",
    "subject_id": "int8",
    "sensitivity": "int2",
    "event": "int2",
    "revoked_at": "timestamp",
    "recorded_at": "timestamp",
}
_SENSITIVITY, _STATE, _EVENT = (
    {str(word): place for place, word in enumerate(words)}
    for words in (SENSITIVITIES, STATES, EVENTS)
)
"""How words are stored: by their place in the list."""
_DECISION_COLUMNS = {"sha256": "text", "subject_id": "int8", "entry_index": "int8"}
_NEWEST_REVOCATION = text(
    "SELECT max(number) FROM (SELECT max(number) AS number FROM revocations WHERE recipient = "
    ":recipient UNION ALL SELECT max(number) FROM acknowledgements WHERE recipient = :recipient) n"
)
"""Rows of erased people go once they are acknowledged; their numbers are never given again."""
_CHILD = text("UPDATE subjects SET child = :child WHERE id = :subject")
_WHOLE = text(
    "UPDATE scopes SET events = events + 1, whole_from = events + 1 WHERE recipient = (SELECT "
    "lender FROM subjects WHERE id = :subject)"
)
_CHILDREN = text("SELECT number FROM subjects WHERE lender = :lender AND child")
MAX_IDS = 20_000
"""Numbers in one question to the database."""
ConsentKey = tuple[int, int, str]
"""Scope, subject, sensitivity."""


class RecordedEvent(NamedTuple):
    """One event of one consent."""

    key: ConsentKey
    event: Event
    notice: int
    at: datetime
    decision: str | None = None
    """Hash of the decision it stems from."""
    position: int | None = None
    """Else the record of the import."""
    record: str | None = None
    """What of that record the event does not say itself, as JSON."""


def load_presents(
    session: Session, ids: Sequence[int], scopes: Sequence[int]
) -> dict[ConsentKey, CurrentConsent]:
    """Where the consents of these subjects stand."""
    if not ids or not scopes:
        return {}
    connection = session.connection()
    found = dict[ConsentKey, CurrentConsent]()
    within = ", ".join(str(int(scope)) for scope in scopes)
    for start in range(0, len(ids), MAX_IDS):
        part = ids[start : start + MAX_IDS]
        rows = connection.exec_driver_sql(
            f"SELECT {', '.join(_PRESENT_COLUMNS)} FROM consents"  # noqa: S608 - numbers of our own
            f" WHERE scope_id IN ({within}) AND {among('subject_id', part)}"
        )
        for scope, subject, sensitivity, state, version, notice, event_time, expiry_time in rows:
            found[scope, subject, SENSITIVITIES[sensitivity]] = CurrentConsent(
                STATES[state], version, notice, utc(event_time), utc(expiry_time)
            )
    return found


def _count_events(session: Session, events: Sequence[ConsentKey]) -> list[int]:
    """The sequence number of each event, counted on from what its scope held."""
    if not events:
        return []
    counts = Counter(scope for scope, _, _ in events)
    added = " ".join(f"WHEN {scope} THEN {count}" for scope, count in counts.items())
    rows = session.connection().exec_driver_sql(
        f"UPDATE scopes SET events = events + CASE id {added} END"  # noqa: S608 - numbers of our own
        f" WHERE {among('id', list(counts))} RETURNING id, events"
    )
    held = {scope: now - counts[scope] for scope, now in rows}
    numbers = []
    for scope, _, _ in events:
        held[scope] += 1
        numbers.append(held[scope])
    return numbers


def write_presents(
    session: Session,
    presents: Mapping[ConsentKey, CurrentConsent],
    touched: Iterable[ConsentKey],
    stored: Container[ConsentKey],
) -> None:
    """Write the consents that were ``touched``; ``stored``: of which there is a row already."""
    new, changed = list[tuple[Any, ...]](), list[tuple[Any, ...]]()
    for key in touched:
        present = presents[key]
        row = (
            key[0],
            key[1],
            _SENSITIVITY[key[2]],
            _STATE[present.state],
            present.version,
            present.notice,
            present.event_time,
            present.expiry_time,
        )
        (changed if key in stored else new).append(row)
    table, columns = ConsentRow.__tablename__, _PRESENT_COLUMNS
    bulk_insert(session, table, columns, new)
    bulk_upsert(session, table, columns, _KEY_COLUMNS, tuple(columns)[len(_KEY_COLUMNS) :], changed)


def write_decisions(session: Session, decisions: Sequence[tuple[str, int, int]]) -> None:
    """Keep which decisions have acted: hash, subject, index of the log entry."""
    bulk_insert(session, DecisionRow.__tablename__, _DECISION_COLUMNS, decisions)


def young_of(session: Session, subjects: Sequence[int]) -> set[int]:
    """Who of these subjects is under 14, as was said."""
    found: set[int] = set()
    for start in range(0, len(subjects), MAX_IDS):
        some = among("id", subjects[start : start + MAX_IDS])
        question = f"SELECT id FROM subjects WHERE child AND {some}"  # noqa: S608 - numbers of our own
        found.update(session.connection().exec_driver_sql(question).scalars())
    return found


def write_children(session: Session, children: Mapping[int, bool]) -> None:
    """Keep whether these subjects are under 14. Where one is no longer, the lender's states are
    told anew as a whole: a change names who is under 14, not who was."""
    for subject, child in sorted(children.items()):
        session.connection().execute(_CHILD, {"child": child, "subject": subject})
        if not child:
            session.connection().execute(_WHOLE, {"subject": subject})


def unguarded(
    presents: Mapping[ConsentKey, CurrentConsent],
    subject: int,
    moment: datetime,
    said_at: datetime | None = None,
) -> Iterator[tuple[ConsentKey, CurrentConsent, list[RecordedEvent]]]:
    """What becomes of a person's yeses when it turns out that they are under 14: no guardian gave
    them, so they end, those that are suspended among them (PIPL article 31).

    Args:
        said_at: when that was said; ``moment`` if None. What a guardian gives then is later.
    """
    for key, present in list(presents.items()):
        if key[1] == subject and present.at(moment) in LASTING:
            when = max(said_at or moment, present.event_time or moment)
            ended, happened = apply_answer(
                present, Answer(Event.WITHDRAW, present.notice, when), moment
            )
            yield (
                key,
                ended,
                [RecordedEvent(key, event, present.notice, at) for event, at in happened],
            )


def children_of(session: Session, lender: str) -> list[int]:
    """Numbers on the lender's roll of whoever is under 14."""
    found = session.connection().execute(_CHILDREN, {"lender": lender}).scalars()
    return sorted(found)


def write_events(
    session: Session,
    recipients: Mapping[int, str],
    events: Sequence[RecordedEvent],
    moment: datetime,
    import_id: int | None = None,
) -> None:
    """Append events recorded at ``moment``, and for what revokes a numbered revocation to the
    recipient."""
    numbers = _count_events(session, [happened.key for happened in events])
    bulk_insert(
        session,
        ConsentEventRow.__tablename__,
        _EVENT_COLUMNS,
        [
            (
                event.key[0],
                number,
                event.key[1],
                _SENSITIVITY[event.key[2]],
                _EVENT[event.event],
                event.notice,
                event.at,
                event.decision,
                # what the registry ended by itself is no record of the import that made it do so
                None if event.position is None else import_id,
                event.position,
                event.record,
            )
            for number, event in zip(numbers, events, strict=True)
        ],
    )
    _write_revocations(
        session, recipients, [event for event in events if event.event in REVOKING], moment
    )


def newest_revocation(session: Session, recipient: str) -> int:
    """Number of the newest revocation that ``recipient`` was ever given; 0 for none."""
    found = session.connection().execute(_NEWEST_REVOCATION, {"recipient": recipient}).scalar()
    return found or 0


def newest_acknowledged(session: Session, recipient: str) -> int:
    """The newest revocation that ``recipient`` has acknowledged; 0 for none."""
    newest = select(func.max(AcknowledgementRow.number)).where(
        AcknowledgementRow.recipient == recipient
    )
    return session.scalar(newest) or 0


def _write_revocations(
    session: Session,
    recipients: Mapping[int, str],
    revoked: Sequence[RecordedEvent],
    moment: datetime,
) -> None:
    if not revoked:
        return
    names = sorted({recipients[event.key[0]] for event in revoked})
    newest = {name: newest_revocation(session, name) for name in names}
    rows = []
    for event in revoked:
        scope, subject, sensitivity = event.key
        name = recipients[scope]
        newest[name] += 1
        row = (
            newest[name],
            scope,
            subject,
            _SENSITIVITY[sensitivity],
            _EVENT[event.event],
            event.at,
            moment,
        )
        rows.append((name, *row))
    bulk_insert(session, RevocationRow.__tablename__, _REVOCATION_COLUMNS, rows)
