"""Export of everything the registry holds about one person (GDPR Art. 15 and 20, PIPL Art. 45)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from auditlog.entries import opened_counts
from consent.commands.read_consents import _subjects, read_consents, read_uses
from consent.commands.read_evidence import prove_imports
from consent.registry import Registry
from consent.storage.subjects import Subject
from consent.storage.tables import (
    ConsentEventRow,
    SubjectEntryRow,
)
from consent.transaction import reading
from crypto.errors import SealError
from crypto.keys import b64, unb64
from crypto.sealing import SealedBody, body_context, unpad, unseal


def export_all(registry: Registry, pseudonyms: Sequence[str]) -> dict[str, Any]:
    """Everything the registry holds about this person, for them to take away (GDPR Art. 15 and 20;
    PIPL Art. 45)."""
    records, _ = read_consents(registry, pseudonyms)
    with reading(registry) as view:
        session = view.session
        subjects = _subjects(view, pseudonyms)
        scope_of = view.notices.scope_of
        events = [
            {
                "purpose": scope_of[row.scope_id][0],
                "recipient": scope_of[row.scope_id][1],
                "sensitivity": row.sensitivity,
                "event_type": row.event.value,
                "event_time": row.event_time.isoformat(),
                "decision_sha256": row.decision_sha256,
            }
            for row in session.scalars(
                select(ConsentEventRow)
                .where(ConsentEventRow.subject_id.in_(subjects))
                .order_by(
                    ConsentEventRow.event_time, ConsentEventRow.scope_id, ConsentEventRow.sequence
                )
            )
        ]
        imports = prove_imports(session, subjects)
        entries = []
        for index, subject_id in session.execute(
            select(SubjectEntryRow.entry_index, SubjectEntryRow.subject_id)
            .where(SubjectEntryRow.subject_id.in_(subjects))
            .order_by(SubjectEntryRow.entry_index)
        ):
            entry = registry.ledger.log.entry(session, index)
            leaf = json.loads(entry.leaf)
            entries.append(
                {
                    "entry_index": index,
                    "entry": leaf,
                    "body": _readable(subjects[subject_id], entry, leaf),
                }
            )
    return {
        "exported_at": registry.clock().isoformat(),
        "accounts": [
            {"pii_principal_id": s.pseudonym, "lender": s.lender} for s in subjects.values()
        ],
        "consents": [record.model_dump(mode="json") for record in records],
        "events": events,
        "log_entries": entries,
        "imports": imports,
        "uses": read_uses(registry, pseudonyms),
    }


def _readable(subject: Subject, entry: Any, leaf: dict[str, Any]) -> Any:
    """An entry's body as JSON, or as base64url where a lender sealed something else; None where no
    key opens it."""
    sealed = SealedBody(entry.body, unb64(leaf["body"]["key_commitment"]))
    try:
        opened = unpad(unseal(subject.data_key, sealed, body_context(leaf["type"])))
    except SealError:
        return None
    try:
        counts, body = opened_counts(leaf, opened)
    except ValueError:
        counts = {}
        body = opened
    try:
        readable = json.loads(body)
    except ValueError:
        readable = {"base64url": b64(body)}
    return {"counts": counts, "body": readable} if counts else readable
