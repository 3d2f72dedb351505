"""What shows that a borrower decided as a record says: the notice as it was served, and the proof
of an import."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from sqlalchemy import LargeBinary, Row, Select, bindparam, func, or_, select
from sqlalchemy.orm import Session

from auditlog.log import Logged
from consent.commands.import_decisions import record_salt
from consent.storage.consents import ConsentKey
from consent.storage.subjects import IN_CHUNK, Subject
from consent.storage.tables import ConsentEventRow, DecisionRow, ImportRow
from consent.transaction import Transaction
from crypto.errors import SealError, TahiniError
from crypto.keys import unb64
from crypto.merkle import HASH_SIZE, inclusion_proof, leaves_reader
from crypto.sealing import SealedBody, body_context, unpad, unseal
from crypto.tiles import tile_hashes
from protocol.consents import Authority, ConsentDecision
from protocol.errors import NotFound
from protocol.records import Served
from protocol.states import Event

logger = logging.getLogger("tahini.registry")


def opened(subject: Subject, entry: Logged, kind: str) -> dict[str, Any]:
    """The JSON in an entry's body that is sealed under this subject's data key; raises
    SealError."""
    sealed = SealedBody(entry.body, unb64(json.loads(entry.leaf)["body"]["key_commitment"]))
    found: dict[str, Any] = json.loads(unpad(unseal(subject.data_key, sealed, body_context(kind))))
    return found


def decision_in(held: Mapping[str, Any]) -> ConsentDecision:
    """The decision in an opened body: signed by the borrower, or stated in a login."""
    if "token" in held:
        return ConsentDecision.claimed(held["token"])
    return ConsentDecision.model_validate(held["decision"])


def read_served(view: Transaction, subjects: Mapping[int, Subject]) -> dict[ConsentKey, Served]:
    """For each consent of these subjects, what was served when it was decided last.

    Raises:
        NotFound: an entry of the log is lost.
    """
    rows, entries = _decided_last(view, subjects)
    found = {key: _served(row, subjects, entries) for key, row in rows.items()}
    return {key: served for key, served in found.items() if served is not None}


def languages_shown(view: Transaction, subjects: Mapping[int, Subject]) -> dict[ConsentKey, str]:
    """In which language the notice was shown when each consent of these subjects was decided last,
    where it can be read: one record that is damaged is nothing to the others, nor to a
    withdrawal."""
    found: dict[ConsentKey, str] = {}
    rows, entries = _decided_last(view, subjects)
    for key, row in rows.items():
        try:
            served = _served(row, subjects, entries)
        except (TahiniError, ValueError, LookupError) as error:
            name = type(error).__name__
            logger.warning("a decision cannot be read (%s); run: tahini log fsck", name)
            continue
        if served is not None:
            found[key] = served.language
    return found


def _served(
    row: Row[Any], subjects: Mapping[int, Subject], entries: Mapping[int, Logged]
) -> Served | None:
    """None where the key was destroyed, and with it what the body said."""
    if row.import_id is not None:
        return _imported(row)
    if row.entry_index is None:
        return None
    if row.entry_index not in entries:
        raise NotFound(f"the log has no entry {row.entry_index}")
    try:
        return served_by(subjects[row.subject_id], entries[row.entry_index])
    except SealError:
        return None


def _newest_events() -> Select[Any]:
    event = ConsentEventRow
    consent = (event.scope_id, event.subject_id, event.sensitivity)
    age = func.row_number().over(partition_by=consent, order_by=event.sequence.desc())
    about_them = event.subject_id.in_(bindparam("ids", expanding=True))
    decided = or_(event.decision_sha256.is_not(None), event.position.is_not(None))
    said = select(event, age.label("age")).where(about_them, decided).subquery()
    start = HASH_SIZE * said.c.position + 1
    evidence = func.substr(ImportRow.evidence, start, HASH_SIZE, type_=LargeBinary)
    return (
        select(
            said.c.scope_id,
            said.c.subject_id,
            said.c.sensitivity,
            said.c.event_time,
            said.c.import_id,
            said.c.record,
            DecisionRow.entry_index,
            ImportRow.about,
            evidence.label("evidence"),
        )
        .outerjoin(DecisionRow, DecisionRow.sha256 == said.c.decision_sha256)
        .outerjoin(ImportRow, ImportRow.id == said.c.import_id)
        .where(said.c.age == 1)
    )


_NEWEST_EVENTS = _newest_events()
"""The newest event of each consent that stems from a decision or an import, with what is kept of
that."""


def _decided_last(
    view: Transaction, subjects: Mapping[int, Subject]
) -> tuple[dict[ConsentKey, Row[Any]], dict[int, Logged]]:
    """What :data:`_NEWEST_EVENTS` says of these subjects, and the entries of the log that it
    names."""
    ids = sorted(subjects)
    rows: dict[ConsentKey, Row[Any]] = {}
    for start in range(0, len(ids), IN_CHUNK):
        some = {"ids": ids[start : start + IN_CHUNK]}
        for row in view.session.connection().execute(_NEWEST_EVENTS, some):
            rows[row.scope_id, row.subject_id, row.sensitivity] = row
    indexes = [row.entry_index for row in rows.values() if row.entry_index is not None]
    return rows, view.registry.ledger.log.entries_at(view.session, indexes)


def _beyond(record: str | None) -> dict[str, Any]:
    """What a record said that its event does not."""
    said: dict[str, Any] = json.loads(record or "{}")
    return said


def _imported(row: Row[Any]) -> Served:
    about = json.loads(row.about)
    return Served(
        language=about["language"],
        text_sha256=about["notice_sha256"],
        time=row.event_time,
        channel=about["channel"],
        stated_by="import",
        authority=Authority.model_validate(_beyond(row.record).get("authority", {})),
        evidence_sha256=row.evidence.hex(),
    )


def served_by(subject: Subject, entry: Logged) -> Served:
    """What was shown and said, by the entry of the decision itself. Raises SealError."""
    held = opened(subject, entry, "consent.decided")
    decision = decision_in(held)
    return Served(
        language=decision.notice_language,
        text_sha256=decision.notice_sha256,
        time=decision.event_time,
        channel=decision.channel,
        stated_by="signature" if "token" in held else "login",
        authority=decision.authority,
        presentation=decision.presentation,
    )


def _hash_at(hashes: bytes, position: int) -> bytes:
    return hashes[HASH_SIZE * position : HASH_SIZE * (position + 1)]


def prove_imports(session: Session, subjects: Mapping[int, Subject]) -> list[dict[str, Any]]:
    """Every record about these subjects that a lender handed in, with its path to the root in the
    log entry.

    ``record`` is what is hashed (``import_decisions.record_leaf``); ``path`` is an RFC 6962
    inclusion proof for leaf ``position`` of ``size``.
    """
    found = []
    # an earlier version gave a record's place to what the record had found to be over, too
    rows = session.scalars(
        select(ConsentEventRow)
        .where(ConsentEventRow.subject_id.in_(subjects), ConsentEventRow.position.is_not(None))
        .where(ConsentEventRow.event != Event.EXPIRE)
        .order_by(ConsentEventRow.scope_id, ConsentEventRow.sequence)
    ).all()
    for row in rows:
        made = session.get_one(ImportRow, row.import_id)
        position = row.position or 0
        leaves = tile_hashes(made.leaves)
        about = {
            name: value for name, value in json.loads(made.about).items() if name != "language"
        }
        found.append(
            {
                "entry_index": made.entry_index,
                "position": position,
                "size": len(leaves),
                "path": [
                    step.hex()
                    for step in inclusion_proof(position, len(leaves), leaves_reader(leaves))
                ],
                "leaf_sha256": leaves[position].hex(),
                "record": {
                    **about,
                    "action": row.event.value,
                    "event_time": row.event_time.isoformat(),
                    "evidence": _hash_at(made.evidence, position).hex(),
                    "number": subjects[row.subject_id].number,
                    "salt": record_salt(made.salt, position).hex(),
                    "sensitivity": row.sensitivity,
                    **_beyond(row.record),
                },
            }
        )
    return found
