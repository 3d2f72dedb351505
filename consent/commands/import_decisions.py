"""Decisions that a lender collected from its own borrowers, on paper or in its app, handed in by
the thousand.

One log entry holds the Merkle root of a request's records; each borrower can have their own
record's inclusion proved. A lender attests, the borrower did not sign here. So a lender can say for
its borrowers only

- what they answered first, as long as they have not decided about it themselves (give, refuse),
  each record with the hash of the evidence that the lender keeps;
- that they withdraw or suspend, at any time. What a borrower has withdrawn, only the borrower gives
  again.

It can also say that somebody who was held to be under 14 is older, with the hash of what it has
seen. What is shown on a screen for a time, it cannot hand in: how it was shown, whoever answers
says.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from consent.commands.check_decisions import (
    OFF_SCREEN,
    check_form,
    check_notice,
    check_published,
    check_shown,
    check_yes,
    is_shown_older,
    refuse_alone,
)
from consent.registry import Registry
from consent.storage.consents import (
    ConsentKey,
    RecordedEvent,
    load_presents,
    unguarded,
    write_children,
    write_events,
    write_presents,
    young_of,
)
from consent.storage.own_keys import signed_only
from consent.storage.subjects import IN_CHUNK
from consent.storage.tables import DataKeyRow, ImportRow, SubjectRow
from consent.transaction import writing
from crypto.merkle import leaf_hash, leaves_reader, tree_root
from law.categories import Sensitivity
from protocol.changes import (
    CLOCK_SKEW,
    Answer,
    CurrentConsent,
    apply_answer,
    heard_at,
    latest_expiry,
)
from protocol.consents import Authority, Channel
from protocol.errors import Conflict
from protocol.parties import Party
from protocol.schema import Instant, Language, Sha256, Slug
from protocol.states import ConsentStatus, Event

MAX_BATCH = 20_000
SALT_SIZE = 32
_ACTIONS = {
    "give": Event.GIVE,
    "refuse": Event.REFUSE,
    "withdraw": Event.WITHDRAW,
    "suspend": Event.SUSPEND,
}
_FIRST = frozenset({Event.GIVE, Event.REFUSE})


class ImportedRecord(BaseModel):
    """One answer of the borrower with this number on the lender's roll."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int = Field(ge=0, lt=1 << 31)
    sensitivity: Sensitivity
    action: Literal["give", "refuse", "withdraw", "suspend"]
    event_time: Instant
    evidence_sha256: Sha256
    """Of what the lender keeps to show that the borrower decided so."""
    authority: Authority = Authority()
    """Age band, and the guardian or delegate who decided, with the hash of what shows it."""

    @property
    def by_right(self) -> dict[str, Any]:
        """What the record's leaf says of who decided, unless an adult did, alone."""
        alone = self.authority == Authority()
        return {} if alone else {"authority": self.authority.model_dump(mode="json")}

    def beyond(self, said_at: datetime) -> str | None:
        """As JSON, what the leaf says and an event at this time does not."""
        time = {} if said_at == self.event_time else {"event_time": self.event_time.isoformat()}
        return json.dumps(time | self.by_right) if time or self.by_right else None


class Import(BaseModel):
    """Answers to one notice in one language over one channel."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    notice_id: Slug
    notice_version: int = Field(ge=1, le=1_000_000)
    notice_language: Language
    notice_sha256: Sha256
    channel: Channel
    records: Annotated[list[ImportedRecord], Field(min_length=1, max_length=MAX_BATCH)]


def record_salt(salt: bytes, position: int) -> bytes:
    """Salt of one record, so that a leaf hash cannot be guessed from what it might say."""
    return hashlib.sha256(salt + position.to_bytes(8, "big")).digest()


def record_leaf(
    salt: bytes, position: int, asked: Mapping[str, str | int], record: ImportedRecord
) -> bytes:
    """What is hashed for one record (RFC 8785 bytes: every value is text, null or a small integer,
    names are sorted)."""
    return orjson.dumps(
        {
            **asked,
            **record.by_right,
            "action": record.action,
            "event_time": record.event_time.isoformat(),
            "evidence": record.evidence_sha256,
            "number": record.number,
            "salt": record_salt(salt, position).hex(),
            "sensitivity": record.sensitivity,
        },
        option=orjson.OPT_SORT_KEYS,
    )


def _ids(session: Session, lender: str, numbers: Sequence[int]) -> dict[int, int]:
    """Id by number on the lender's roll; raises Conflict when one is not on it, or forgotten."""
    low, high = min(numbers), max(numbers)
    found: dict[int, int] = {}
    if high - low <= 8 * len(numbers):
        rows = session.execute(
            text(
                "SELECT s.number, s.id FROM subjects s JOIN data_keys k ON k.subject_id = s.id"
                " WHERE s.lender = :lender AND s.number BETWEEN :low AND :high"
            ),
            {"lender": lender, "low": low, "high": high},
        )
        found.update((row[0], row[1]) for row in rows)
    else:
        for start in range(0, len(numbers), IN_CHUNK):
            part = list(numbers[start : start + IN_CHUNK])
            some = select(SubjectRow.number, SubjectRow.id).join(
                DataKeyRow, DataKeyRow.subject_id == SubjectRow.id
            )
            rows = session.execute(
                some.where(SubjectRow.lender == lender, SubjectRow.number.in_(part))
            )
            found.update((row[0], row[1]) for row in rows)
    for position, number in enumerate(numbers):
        if number not in found:
            raise Conflict("this number is not on the lender's roll, or was forgotten").at(
                "records", position
            )
    return {number: found[number] for number in numbers}


def import_decisions(registry: Registry, lender: Party, asked: Import) -> int:
    """Record all or none of the records; returns the index of their log entry.

    Raises:
        NotFound: unknown notice. Conflict: somebody who is not enrolled, another text than was
            published, an answer that only the borrower can give, a yes in another form than the
            notice asks for, an illegal transition, the wrong time. ``place`` names the record.
    """
    about = _about(lender, asked)
    salt = secrets.token_bytes(SALT_SIZE)
    leaves = [
        leaf_hash(record_leaf(salt, position, about, record))
        for position, record in enumerate(asked.records)
    ]
    root = tree_root(len(leaves), leaves_reader(leaves)).hex()
    with writing(registry) as transaction:
        session, moment, known = transaction.session, transaction.moment, transaction.notices
        notice_number, notice = known.notice(asked.notice_id, asked.notice_version)
        check_notice(notice, asked.notice_language, asked.notice_sha256)
        scope = known.scope(notice.purpose, lender.id)
        if lender.id not in notice.recipients:
            raise Conflict("the notice does not name this lender as a recipient")
        ids = _ids(session, lender.id, [record.number for record in asked.records])
        returned = _returned(session, lender.id)
        presents = load_presents(session, sorted(ids.values()), [scope])
        stored = set(presents)
        validity = notice.terms.validity_days
        young = young_of(session, sorted(ids.values()))
        sign = signed_only(session, sorted(ids.values()))
        said = _said_to_be_young(ids, asked.records)
        children = dict.fromkeys(said - young, True)
        grown = (_shown_to_be_older(ids, asked.records) & young) - said
        young = (young | said) - grown
        events: list[RecordedEvent] = []
        touched: dict[ConsentKey, None] = {}
        latest = moment + CLOCK_SKEW
        for position, record in enumerate(asked.records):
            if record.event_time > latest:
                raise Conflict("event_time is in the future").at("records", position)
            if record.number in returned and record.event_time <= returned[record.number]:
                raise Conflict("the borrower was erased and has come back since; ask them anew").at(
                    "records", position
                )
            subject = ids[record.number]
            key = (scope, subject, record.sensitivity)
            present = presents.get(key, _UNASKED)
            event = _ACTIONS[record.action]
            if event is Event.GIVE:
                if subject in sign:
                    said_so = "only a key of the borrower's says yes here"
                    raise Conflict(said_so).because("key-needed").at("records", position)
                try:
                    check_yes(record.sensitivity, notice)
                    check_form(notice, asked.channel)
                    check_published(notice, record.event_time)
                    check_shown(notice, None, on_screen=asked.channel not in OFF_SCREEN)
                    refuse_alone(record.action, subject in young, record.authority, notice)
                except Conflict as refused:
                    raise refused.at("records", position) from None
            if event in _FIRST and present.state is not ConsentStatus.NONE:
                raise Conflict("the borrower has decided already; only they can decide anew").at(
                    "records", position
                )
            said_at = heard_at(record.event_time, moment)
            ends = latest_expiry(said_at, validity, None)
            try:
                presents[key], happened = apply_answer(
                    present, Answer(event, notice_number, said_at, ends), moment
                )
            except Conflict as refused:
                raise refused.at("records", position) from None
            touched[key] = None
            *found, (kind, when) = happened  # what it found, as an expiry, is nobody's record
            events += [RecordedEvent(key, one, notice_number, at) for one, at in found]
            answered = RecordedEvent(key, kind, notice_number, when)
            events.append(answered._replace(position=position, record=record.beyond(when)))
        mine = [number for number, name in known.recipients.items() if name == lender.id]
        held = load_presents(session, sorted(children), mine)
        before = {key: kept for key, kept in held.items() if key not in touched}
        for subject in children:
            for ended_key, ended, ends_now in unguarded(before, subject, moment):
                presents[ended_key], touched[ended_key] = ended, None
                stored.add(ended_key)
                events += ends_now
        body = {**about, "count": len(leaves), "salt": salt.hex()}
        index = transaction.log_sealed("consents.imported", lender.id, {"root": root}, body)
        number = session.execute(
            insert(ImportRow)
            .values(
                lender=lender.id,
                entry_index=index,
                salt=salt,
                leaves=b"".join(leaves),
                evidence=b"".join(bytes.fromhex(one.evidence_sha256) for one in asked.records),
                about=json.dumps({**about, "language": asked.notice_language}),
            )
            .returning(ImportRow.id)
        ).scalar_one()
        write_presents(session, presents, touched, stored)
        write_children(session, children | dict.fromkeys(grown, False))
        write_events(session, known.recipients, events, moment, import_id=number)
    return index


def _said_to_be_young(ids: Mapping[int, int], records: Sequence[ImportedRecord]) -> set[int]:
    """Who is under 14 as one of these records says; in which order they stand says nothing."""
    young = (record for record in records if record.authority.age_band == "under-14")
    return {ids[record.number] for record in young}


def _shown_to_be_older(ids: Mapping[int, int], records: Sequence[ImportedRecord]) -> set[int]:
    """Who is not under 14 by what the lender has seen, as one of these records says."""
    return {ids[record.number] for record in records if is_shown_older(record.authority)}


def _returned(session: Session, lender: str) -> dict[int, datetime]:
    """When those came back who had been erased, by number on the lender's roll."""
    mine = select(SubjectRow.number, SubjectRow.returned_at).where(
        SubjectRow.lender == lender, SubjectRow.returned_at.is_not(None)
    )
    return {number: at for number, at in session.execute(mine) if at is not None}


def _about(lender: Party, asked: Import) -> dict[str, str | int]:
    """What all records of a request have in common."""
    return {
        "channel": asked.channel,
        "lender": lender.id,
        "notice": asked.notice_id,
        "notice_sha256": asked.notice_sha256,
        "notice_version": asked.notice_version,
    }


_UNASKED = CurrentConsent()
