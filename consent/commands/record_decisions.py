"""Record borrowers' decisions: give, refuse or withdraw, each signed by the borrower it concerns.

Who relays a decision does not matter; whose key signed it does. A batch is accepted whole or not at all.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from consent.datakeys import StoredKey
from consent.documents import Action, Choice, Decision, Notice, decision_commitment
from consent.entries import Entry, entry_for_subject
from consent.errors import Conflict, KeysUnavailable, NotAuthenticated, NotFound
from consent.keystore import Wrapped
from consent.registry import Registry
from consent.states import Event, State, state_at, step
from consent.storage.database import upsert
from consent.storage.tables import (
    ConsentEventRow,
    ConsentRow,
    DataKeyRow,
    DecisionRow,
    KeyGroupRow,
    NoticeRow,
    SubjectRow,
)
from crypto.documents import canonical_json, unverified_payload
from crypto.errors import KeyFileError, KeyStoreUnavailable, SealError, SignatureError
from crypto.keys import PublicKey

MAX_BATCH = 2_000
CLOCK_SKEW = timedelta(minutes=5)
MAX_AGE = timedelta(days=7)
_IN_CHUNK = 500

_PSEUDONYM = re.compile(r"v[0-9]{1,3}\.[A-Za-z0-9_-]{43}")

ConsentKey = tuple[int, str, str, str]


@dataclass(frozen=True)
class Subject:
    id: int
    lender: str
    pseudonym: str
    key: PublicKey
    data_key: bytes = field(repr=False)


@dataclass(frozen=True)
class Present:
    """Where a consent stands: state, expiry, and when the borrower last decided about it."""

    state: State = State.NONE
    expiry_time: datetime | None = None
    event_time: datetime | None = None


@dataclass
class _Batch:
    """What one request adds, gathered before anything is written."""

    states: dict[ConsentKey, Present]
    touched: dict[ConsentKey, None] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)


def find_subjects(registry: Registry, session: Session, names: Sequence[str]) -> dict[str, Subject]:
    """The enrolled subjects among ``names`` whose keys have not been destroyed."""
    found: dict[str, Subject] = {}
    for start in range(0, len(names), _IN_CHUNK):
        rows = session.execute(
            select(SubjectRow, DataKeyRow.wrapped, KeyGroupRow)
            .join(DataKeyRow, DataKeyRow.subject_id == SubjectRow.id)
            .join(KeyGroupRow, KeyGroupRow.id == DataKeyRow.group_id)
            .where(SubjectRow.pseudonym.in_(names[start : start + _IN_CHUNK]))
        ).all()
        stored = [
            StoredKey(row.pseudonym, wrapped, group.id, Wrapped(group.root_version, group.wrapped))
            for row, wrapped, group in rows
        ]
        try:
            data_keys = registry.keys.unwrap(stored)
        except (SealError, KeyStoreUnavailable, KeyFileError) as error:
            raise KeysUnavailable(f"a borrower's data key cannot be used now ({error}); try again") from error
        for (row, _, _), data_key in zip(rows, data_keys, strict=True):
            if data_key is None:
                continue
            key = PublicKey.from_text(row.public_key)
            found[row.pseudonym] = Subject(row.id, row.lender, row.pseudonym, key, data_key)
    return found


def _present_states(session: Session, ids: Sequence[int]) -> dict[ConsentKey, Present]:
    states: dict[ConsentKey, Present] = {}
    for start in range(0, len(ids), _IN_CHUNK):
        rows = session.scalars(select(ConsentRow).where(ConsentRow.subject_id.in_(ids[start : start + _IN_CHUNK])))
        for row in rows:
            key = (row.subject_id, row.purpose, row.recipient, row.sensitivity)
            states[key] = Present(State(row.state), row.expiry_time, row.event_time)
    return states


def _check_notice(decision: Decision, notices: dict[tuple[str, int], Notice]) -> Notice:
    notice = notices.get((decision.notice_id, decision.notice_version))
    if notice is None:
        raise NotFound(f"there is no notice {decision.notice_id!r} version {decision.notice_version}")
    if decision.notice_language not in notice.texts:
        raise Conflict(f"notice {notice.id!r} has no text in {decision.notice_language!r}")
    if notice.text_sha256(decision.notice_language) != decision.notice_sha256:
        raise Conflict("the decision answers another text than the one that was published")
    return notice


def _check_choice(choice: Choice, notice: Notice, subject: Subject) -> None:
    if choice.purpose != notice.purpose or choice.recipient not in notice.recipients:
        raise Conflict("the decision speaks of a purpose or recipient that the notice does not name")
    if choice.recipient != subject.lender:
        raise Conflict("a pseudonym can only decide about the lender that enrolled it")


def _check_time(decision: Decision, moment: datetime) -> None:
    if not moment - MAX_AGE <= decision.event_time <= moment + CLOCK_SKEW:
        raise Conflict("the decision is dated in the future or is more than seven days old; ask the borrower again")
    if decision.expiry_time is not None and decision.expiry_time <= moment:
        raise Conflict("the decision has expired already")


def _event(key: ConsentKey, event: Event, event_time: datetime, decision_sha256: str) -> dict[str, Any]:
    columns = ("subject_id", "purpose", "recipient", "sensitivity")
    about = dict(zip(columns, key, strict=True))
    return {**about, "event": event.value, "event_time": event_time, "decision_sha256": decision_sha256}


def _check_order(decision: Decision, choice: Choice, last: datetime | None) -> None:
    """A decision that was held back and turns up after a later one must not undo it; on a tie only a no counts."""
    if last is None or decision.event_time > last:
        return
    if decision.event_time < last or choice.action is Action.GIVE:
        raise Conflict("the borrower has decided since; a decision that is older changes nothing")


def _apply(batch: _Batch, decision: Decision, subject: Subject, moment: datetime) -> dict[str, str]:
    """Fold the choices into the batch; returns the state of each record by its sensitivity."""
    states: dict[str, str] = {}
    for choice in decision.choices:
        key = (subject.id, choice.purpose, choice.recipient, choice.sensitivity)
        present = batch.states.get(key, Present())
        _check_order(decision, choice, present.event_time)
        now_in = state_at(present.state, present.expiry_time, moment)
        if now_in is not present.state and present.expiry_time is not None:
            batch.events.append(_event(key, Event.EXPIRE, present.expiry_time, decision.sha256))
        after = step(now_in, Event(choice.action))
        expiry = decision.expiry_time if after is State.GIVEN else None
        batch.states[key] = Present(after, expiry, decision.event_time)
        batch.touched[key] = None
        batch.events.append(_event(key, Event(choice.action), decision.event_time, decision.sha256))
        states[f"{choice.recipient}/{choice.sensitivity}"] = after
    return states


def _write(session: Session, batch: _Batch) -> None:
    columns = ("subject_id", "purpose", "recipient", "sensitivity")
    rows = [{**dict(zip(columns, key, strict=True)), **vars(batch.states[key])} for key in batch.touched]
    upsert(session, ConsentRow, columns, ("state", "expiry_time", "event_time"), rows)
    session.execute(insert(ConsentEventRow), batch.events)
    session.execute(insert(DecisionRow), batch.decisions)


@dataclass(frozen=True)
class Recorded:
    """One accepted decision: where it stands in the log, and the states it led to."""

    subject: str
    decision_sha256: str
    entry_index: int
    states: dict[str, str]
    salt: str


def record_decisions(registry: Registry, tokens: Sequence[str]) -> list[Recorded]:
    """Verify and record signed decisions, all or none.

    Raises:
        NotAuthenticated: not signed by the subject it names (or the subject is unknown: no difference is shown).
        Conflict: illegal transition, replay, wrong notice, wrong time. NotFound: unknown notice.
    """
    moment = registry.clock()
    names = [_claimed_subject(token) for token in tokens]
    with registry.database.read() as session:
        subjects = find_subjects(registry, session, sorted(set(names)))
    signed = [
        _verified(token, subjects.get(name), f"decision {number} of {len(tokens)}")
        for number, (token, name) in enumerate(zip(tokens, names, strict=True), 1)
    ]
    with registry.write() as session:
        _refuse_forgotten(session, [subject.id for subject in subjects.values()])
        notices = {
            (row.id, row.version): Notice.verify(row.token, registry.me.key)
            for row in session.scalars(select(NoticeRow))
        }
        _refuse_replays(session, [decision.sha256 for decision, _ in signed])
        batch = _Batch(_present_states(session, [s.id for s in subjects.values()]))
        first = registry.log.size(session)
        recorded = []
        for index, (token, (decision, subject)) in enumerate(zip(tokens, signed, strict=True), first):
            _check_time(decision, moment)
            notice = _check_notice(decision, notices)
            for choice in decision.choices:
                _check_choice(choice, notice, subject)
            states = _apply(batch, decision, subject, moment)
            batch.decisions.append({"sha256": decision.sha256, "subject_id": subject.id, "entry_index": index})
            salt = secrets.token_urlsafe(32)
            public = {"decision": decision_commitment(salt, decision.sha256, states)}
            body = canonical_json({"token": token, "states": states, "salt": salt})
            batch.entries.append(entry_for_subject("consent.decided", registry.me.id, public, subject.data_key, body))
            recorded.append(Recorded(subject.pseudonym, decision.sha256, index, states, salt))
        _write(session, batch)
        registry.log.append(session, batch.entries)
    return recorded


def _refuse_replays(session: Session, hashes: Sequence[str]) -> None:
    if len(set(hashes)) != len(hashes):
        raise Conflict("the same decision stands twice in one request")
    for start in range(0, len(hashes), _IN_CHUNK):
        part = hashes[start : start + _IN_CHUNK]
        if session.scalar(select(DecisionRow.sha256).where(DecisionRow.sha256.in_(part)).limit(1)):
            raise Conflict("a decision of this request was recorded before; a signed decision acts once")


def _refuse_forgotten(session: Session, ids: Sequence[int]) -> None:
    """Between reading the keys and writing, somebody may have been forgotten."""
    known = 0
    for start in range(0, len(ids), _IN_CHUNK):
        part = ids[start : start + _IN_CHUNK]
        known += session.scalar(select(func.count()).where(DataKeyRow.subject_id.in_(part))) or 0
    if known != len(ids):
        raise NotAuthenticated("a borrower of this request has been forgotten")


def _claimed_subject(token: str) -> str:
    """Whose key to look for: a well-formed pseudonym, or nobody's."""
    try:
        claimed = str(unverified_payload(token).get("pii_principal_id"))
    except SignatureError as error:
        raise NotAuthenticated("not a signed decision") from error
    return claimed if _PSEUDONYM.fullmatch(claimed) else ""


def _verified(token: str, subject: Subject | None, where: str) -> tuple[Decision, Subject]:
    """The decision and who made it. Whether the subject is unknown or the signature wrong is not told apart."""
    try:
        if subject is not None:
            return Decision.verify(token, subject.key), subject
    except SignatureError as error:
        raise NotAuthenticated(f"{where} is not signed by an enrolled borrower") from error
    raise NotAuthenticated(f"{where} is not signed by an enrolled borrower")
