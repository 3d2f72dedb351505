"""What shows that a borrower decided as a record says: the notice as it was served, and the proof
of an import."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from auditlog.log import Logged
from consent.commands.import_decisions import record_salt
from consent.storage.consents import ConsentKey
from consent.storage.subjects import Subject
from consent.storage.tables import ConsentEventRow, DecisionRow, ImportRow
from consent.transaction import Transaction
from crypto.errors import SealError
from crypto.keys import unb64
from crypto.merkle import inclusion_proof, leaves_reader
from crypto.sealing import SealedBody, body_context, unpad, unseal
from crypto.tiles import tile_hashes
from protocol.consents import ConsentDecision
from protocol.records import Served


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
    """For each consent of these subjects, what was served when it was decided last."""
    rows = view.session.scalars(
        select(ConsentEventRow)
        .where(ConsentEventRow.subject_id.in_(subjects))
        .order_by(ConsentEventRow.scope_id, ConsentEventRow.sequence)
    )
    last = {
        (row.scope_id, row.subject_id, row.sensitivity): row
        for row in rows
        if row.decision_sha256 is not None or row.import_id is not None
    }
    return {
        key: found
        for key, row in last.items()
        if (found := _served(view, subjects, row)) is not None
    }


def _served(
    view: Transaction, subjects: Mapping[int, Subject], row: ConsentEventRow
) -> Served | None:
    session = view.session
    if row.import_id is not None:
        made = session.get_one(ImportRow, row.import_id)
        about = json.loads(made.about)
        return Served(
            language=about["language"],
            text_sha256=about["notice_sha256"],
            time=row.event_time,
            channel=about["channel"],
            stated_by="import",
            evidence_sha256=_hash_at(made.evidence, row.position or 0).hex(),
        )
    index = session.scalar(
        select(DecisionRow.entry_index).where(DecisionRow.sha256 == row.decision_sha256)
    )
    if index is None:
        return None
    try:
        held = opened(
            subjects[row.subject_id],
            view.registry.ledger.log.entry(session, index),
            "consent.decided",
        )
    except SealError:  # the key was destroyed, and with it what the body said
        return None
    decision = decision_in(held)
    return Served(
        language=decision.notice_language,
        text_sha256=decision.notice_sha256,
        time=decision.event_time,
        channel=decision.channel,
        stated_by="signature" if "token" in held else "login",
        authority=decision.authority,
    )


def _hash_at(hashes: bytes, position: int) -> bytes:
    return hashes[32 * position : 32 * position + 32]


def prove_imports(session: Session, subjects: Mapping[int, Subject]) -> list[dict[str, Any]]:
    """Every record about these subjects that a lender handed in, with its path to the root in the
    log entry.

    ``record`` is what is hashed (``import_decisions.record_leaf``); ``path`` is an RFC 6962
    inclusion proof for leaf ``position`` of ``size``.
    """
    found = []
    rows = session.scalars(
        select(ConsentEventRow)
        .where(ConsentEventRow.subject_id.in_(subjects), ConsentEventRow.import_id.is_not(None))
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
                },
            }
        )
    return found
