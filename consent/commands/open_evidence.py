"""What shows that drawn people consented, opened to the auditor alone; each opening is logged.

A lender opened cells of its rosters, signed, in answer to a sample that the log announced. For each
person in them, the registry opens every answer for the campaign's purpose to that lender that the
log held when the sample was announced: the decision, or the record of an import with its proof; and
the notices that were answered. Of whom it erased it says when; of whom it never knew, nothing. The
answer is sealed to the auditor.

A sample is opened once: with a second answer, of other people or of the same ones after some were
erased, somebody could choose. Whoever asks again gets the same answer, or none.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sqlalchemy import and_, or_, select

from auditlog.log import Logged
from auditlog.sample_answers import Unproved
from auditlog.sampling import root_shown
from consent.commands.propose_campaign import load_campaign
from consent.commands.prove_names import prove_names
from consent.commands.read_evidence import opened, prove_imports
from consent.commands.request_marks import objections
from consent.registry import Registry
from consent.storage.filing_tables import SampleOpeningRow
from consent.storage.own_keys import all_keys
from consent.storage.subjects import Subject, find_subjects
from consent.storage.tables import (
    CommitmentRow,
    ConsentEventRow,
    DecisionRow,
    ImportRow,
    SubjectRow,
)
from consent.storage.tombstones import Tombstones, erased_on
from consent.transaction import Transaction, writing
from crypto.documents import canonical_json
from crypto.keys import RecipientPublicKey
from crypto.sealing import pad, seal_to
from protocol.errors import Conflict, Malformed, NotAllowed, NotFound
from protocol.parties import Party
from protocol.samples import (
    EVIDENCE_CONTEXT,
    OpenedRoster,
    OpenedSample,
    SampleRequest,
    is_tombstone,
)
from protocol.states import Event


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
        Malformed: it is of another request, opens more cells than were asked for, or more people
            than can stand in so many, or a cell of no roster that was committed before.
        Conflict: another one was opened already, or its answer is not what it was.
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
        for roster in sample.rosters:
            _require_committed(transaction, sample, roster)
        told = _told(transaction, sample, campaign.purpose)
        _once(transaction, auditor, sample, told)
    recipient = RecipientPublicKey.from_text(auditor.recipient_key or "")
    return seal_to(recipient, pad(told), EVIDENCE_CONTEXT)


def _once(transaction: Transaction, auditor: Party, sample: OpenedSample, told: bytes) -> None:
    """Log that this is opened, or find that it was, and is the same. Raises Conflict."""
    answer, session = hashlib.sha256(told).hexdigest(), transaction.session
    before = session.get(SampleOpeningRow, (sample.entry_index, sample.lender))
    if before is None:
        session.add(
            SampleOpeningRow(
                entry_index=sample.entry_index,
                lender=sample.lender,
                sample_sha256=sample.sha256,
                answer_sha256=answer,
            )
        )
        public = {
            "campaign": sample.campaign_sha256,
            "lender": sample.lender,
            "sample": sample.entry_index,
        }
        # hashes alone: a name in the log could never be forgotten
        body = {"opened": sample.sha256, "answer": answer}
        transaction.log_sealed("evidence.opened", auditor.id, public, body)
        return
    if before.sample_sha256 != sample.sha256:
        raise Conflict(
            f"what {sample.lender!r} drew for the sample at entry {sample.entry_index} was opened "
            "already, as another file shows it: use that one"
        )
    if before.answer_sha256 != answer:
        raise Conflict(
            f"what {sample.lender!r} drew for the sample at entry {sample.entry_index} was opened "
            "already, and people were erased since: use the answer that you got, or announce "
            "another sample"
        )


def _require_committed(
    transaction: Transaction, sample: OpenedSample, roster: OpenedRoster
) -> None:
    """Each of these cells is one of a roster that the lender had committed before the sample was
    announced: nobody else is opened. Raises Malformed."""
    row = transaction.session.scalar(
        select(CommitmentRow).where(
            CommitmentRow.campaign_sha256 == sample.campaign_sha256,
            CommitmentRow.lender == sample.lender,
            CommitmentRow.release == roster.release,
            CommitmentRow.attempt == roster.attempt,
            CommitmentRow.entry_index < sample.entry_index,
        )
    )
    root = None
    if row is not None:
        entry = transaction.registry.ledger.log.entry(transaction.session, row.entry_index)
        root = json.loads(entry.leaf)["root"]
    for cell in roster.cells:
        try:
            shown = root_shown(cell)
        except Unproved as error:
            raise Malformed(f"the opened sample: {error}") from error
        if shown != root:
            raise Malformed(
                f"the opened sample has a cell of no roster that {sample.lender!r} had committed "
                f"for release {roster.release} attempt {roster.attempt}"
            )


def _told(transaction: Transaction, sample: OpenedSample, purpose: str) -> bytes:
    """Everybody in the sample, as canonical JSON; the notices that they answered are in the log."""
    names, session = sample.names, transaction.session
    scope = transaction.notices.scopes.get((purpose, sample.lender))
    subjects = find_subjects(transaction, [name for name in names if not is_tombstone(name)])
    mine = {name: one for name, one in subjects.items() if one.lender == sample.lender}
    by = Tombstones.of(transaction)
    erased = {} if by is None else erased_on(session, names, by, sample.lender)
    people: dict[str, dict[str, Any] | None] = {}
    for name in names:
        found: dict[str, Any] = {}
        if name in mine:
            found = _person(transaction, scope, mine[name], sample.entry_index)
        if name in erased:
            found["erased_on"] = erased[name].isoformat()
        people[name] = found or None
    return canonical_json({"people": people})


def _announced(transaction: Transaction, auditor: Party, index: int) -> dict[str, Any]:
    entry = transaction.registry.ledger.log.entry(transaction.session, index)
    leaf: dict[str, Any] = json.loads(entry.leaf)
    if (leaf["type"], leaf["actor"]) != ("evidence.sampled", auditor.id):
        raise NotFound(f"entry {index} of the log announces no sample of this auditor's")
    return leaf


def _person(
    transaction: Transaction, scope: int | None, subject: Subject, before: int
) -> dict[str, Any]:
    """Every answer of this person's about one purpose that the log held before an entry, in order,
    with what shows it; nothing of what an answer found or brought about, as an expiry."""
    session = transaction.session
    rows = session.execute(
        select(ConsentEventRow, DecisionRow.entry_index, ImportRow.entry_index)
        .outerjoin(DecisionRow, DecisionRow.sha256 == ConsentEventRow.decision_sha256)
        .outerjoin(
            ImportRow,
            and_(ImportRow.id == ConsentEventRow.import_id, ConsentEventRow.position.is_not(None)),
        )
        .where(ConsentEventRow.subject_id == subject.id, ConsentEventRow.scope_id == scope)
        .where(or_(DecisionRow.entry_index < before, ImportRow.entry_index < before))
        .where(ConsentEventRow.event.not_in([Event.EXPIRE, Event.SUPERSEDE]))
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
        "public_keys": all_keys(session, subject),
        "number": subject.number,
        "renamed": prove_names(session, subject),
        "objections": objections(session, subject, before),
        "child": bool(session.get_one(SubjectRow, subject.id).child),
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
                    imports.get((at, row.position)),
                ),
            }
            for row, index, at in rows
        ],
    }


def _shown(
    subject: Subject, index: int | None, entry: Logged | None, proof: dict[str, Any] | None
) -> dict[str, Any]:
    """Where the log holds what led to an event, and what it says."""
    if entry is not None:
        return {"entry_index": index, "decided": opened(subject, entry, "consent.decided")}
    return {"entry_index": proof["entry_index"], "imported": proof} if proof is not None else {}
