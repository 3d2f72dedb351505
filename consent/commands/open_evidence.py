"""What shows that drawn people consented, opened to the auditor alone; each opening is logged.

A lender opened these people, signed, in answer to a sample that the log announced. For each, the
registry opens every answer for the campaign's purpose to that lender: the decision as it is in the
log, or the record of an import with its proof; and the notices. The answer is sealed to the
auditor.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import select

from auditlog.log import Logged
from consent.commands.propose_campaign import load_campaign
from consent.commands.read_evidence import opened, prove_imports
from consent.registry import Registry
from consent.storage.subjects import Subject, find_subjects
from consent.storage.tables import ConsentEventRow, DecisionRow, ImportRow, NoticeRow
from consent.transaction import Transaction, writing
from crypto.documents import canonical_json
from crypto.keys import RecipientPublicKey
from crypto.sealing import pad, seal_to
from protocol.errors import Conflict, Malformed, NotAllowed, NotFound
from protocol.parties import Party
from protocol.samples import EVIDENCE_CONTEXT, OpenedSample, SampleRequest


def announce_sample(registry: Registry, auditor: Party, token: str) -> int:
    """Log an auditor's request for a sample; returns the index of the entry, which seeds the draw.

    Raises:
        SignatureError: not this auditor's. NotFound: no such campaign. Conflict: it is not active.
    """
    asked = SampleRequest.verify(token, auditor.key)
    if asked.auditor != auditor.id:
        raise NotAllowed("the request names another auditor")
    with writing(registry) as transaction:
        campaign, row = load_campaign(transaction, asked.campaign_sha256)
        if row.activated_at is None:
            raise Conflict(f"campaign {campaign.id!r} is not active: nobody was used for it")
        public = {
            "campaign": campaign.sha256,
            "nonce": asked.nonce_sha256,
            "people": asked.people,
        }
        return transaction.log_sealed("evidence.sampled", auditor.id, public, {"token": token})


def open_evidence(registry: Registry, auditor: Party, index: int, token: str) -> bytes:
    """What the registry holds of the consents of the people in a lender's opened sample, sealed to
    the auditor. That it was opened is logged first.

    Args:
        index: of the entry that announced the sample. token: the lender's opened sample.

    Raises:
        NotFound: no sample was announced there. SignatureError: the sample is not its lender's.
        Malformed: it is of another request, or opens more cells than were asked for, or more people
            than can stand in so many.
    """
    sample = OpenedSample.verify(
        token, registry.consortium.party(OpenedSample.claimed(token).lender).key
    )
    with writing(registry) as transaction:
        announced = _announced(transaction, auditor, index)
        if (sample.entry_index, sample.campaign_sha256) != (index, announced["campaign"]):
            raise Malformed("the opened sample is of another request")
        campaign, _ = load_campaign(transaction, sample.campaign_sha256)
        if sample.lender not in campaign.lenders:
            raise NotAllowed(f"{sample.lender!r} is no lender of campaign {campaign.id!r}")
        if not sample.plausible(announced["people"]):
            raise Malformed("the opened sample has more cells or people than the request asked for")
        names = sample.pseudonyms
        scope = transaction.notices.scopes.get((campaign.purpose, sample.lender))
        subjects = find_subjects(transaction, names)
        mine = {name: one for name, one in subjects.items() if one.lender == sample.lender}
        told = {
            "people": {
                name: _person(transaction, scope, mine[name]) if name in mine else None
                for name in names
            },
            "notices": list(transaction.session.scalars(select(NoticeRow.token))),
        }
        public = {"campaign": campaign.sha256, "lender": sample.lender, "sample": index}
        transaction.log_sealed("evidence.opened", auditor.id, public, {"token": token})
    recipient = RecipientPublicKey.from_text(auditor.recipient_key or "")
    return seal_to(recipient, pad(canonical_json(told)), EVIDENCE_CONTEXT)


def _announced(transaction: Transaction, auditor: Party, index: int) -> dict[str, Any]:
    entry = transaction.registry.ledger.log.entry(transaction.session, index)
    leaf: dict[str, Any] = json.loads(entry.leaf)
    if (leaf["type"], leaf["actor"]) != ("evidence.sampled", auditor.id):
        raise NotFound(f"entry {index} of the log announces no sample of this auditor's")
    return leaf


def _person(transaction: Transaction, scope: int | None, subject: Subject) -> dict[str, Any]:
    """Every event of this person's consents for one purpose, in order, with what shows it."""
    session = transaction.session
    rows = session.execute(
        select(ConsentEventRow, DecisionRow.entry_index, ImportRow.entry_index)
        .outerjoin(DecisionRow, DecisionRow.sha256 == ConsentEventRow.decision_sha256)
        .outerjoin(ImportRow, ImportRow.id == ConsentEventRow.import_id)
        .where(ConsentEventRow.subject_id == subject.id, ConsentEventRow.scope_id == scope)
        .order_by(ConsentEventRow.sequence)
    ).all()
    indexes = [index for _, index, _ in rows if index is not None]
    entries = transaction.registry.ledger.log.entries_at(session, indexes)
    imports = {
        (proof["entry_index"], proof["position"]): proof
        for proof in prove_imports(session, {subject.id: subject})
    }
    notices = transaction.notices.notices
    return {
        "public_key": subject.public_key,
        "number": subject.number,
        "events": [
            {
                "sequence": row.sequence,
                "event": row.event.value,
                "sensitivity": row.sensitivity,
                "notice": [notices[row.notice].id, notices[row.notice].version],
                "time": row.event_time.isoformat(),
                **_shown(
                    subject,
                    index,
                    entries.get(-1 if index is None else index),
                    imports.get((-1 if at is None else at, row.position or 0)),
                ),
            }
            for row, index, at in rows
        ],
    }


def _shown(
    subject: Subject, index: int | None, entry: Logged | None, proof: dict[str, Any] | None
) -> dict[str, Any]:
    """Where the log holds what led to an event, and what it says; nothing of what the registry
    itself brought about, as an expiry."""
    if entry is not None:
        return {"entry_index": index, "decided": opened(subject, entry, "consent.decided")}
    return {"entry_index": proof["entry_index"], "imported": proof} if proof is not None else {}
