"""What a borrower can see of their own: present states, and a receipt for each decision."""

from __future__ import annotations

import json

from sqlalchemy import select

from consent.commands.record_decisions import Recorded, find_subjects
from consent.documents import Receipt
from consent.entries import body_context, unpad
from consent.errors import NotFound
from consent.registry import Registry
from consent.states import State, state_at
from consent.storage.tables import ConsentRow, DecisionRow, SubjectRow
from crypto.keys import PublicKey, b64, unb64
from crypto.sealing import SealedBody, unseal


def subject_key(registry: Registry, pseudonym: str) -> PublicKey:
    """The key a subject's requests are signed with; raises NotFound."""
    with registry.database.read() as session:
        text = session.scalar(select(SubjectRow.public_key).where(SubjectRow.pseudonym == pseudonym))
    if text is None:
        raise NotFound("no such subject")
    return PublicKey.from_text(text)


def read_consents(registry: Registry, pseudonym: str) -> list[dict[str, str | None]]:
    """The subject's consent records, each with its state at this moment."""
    moment = registry.clock()
    with registry.database.read() as session:
        rows = session.scalars(
            select(ConsentRow)
            .join(SubjectRow, SubjectRow.id == ConsentRow.subject_id)
            .where(SubjectRow.pseudonym == pseudonym)
        ).all()
    return [
        {
            "purpose": row.purpose,
            "recipient": row.recipient,
            "sensitivity": row.sensitivity,
            "state": state_at(State(row.state), row.expiry_time, moment).value,
            "expiry_time": row.expiry_time.isoformat() if row.expiry_time else None,
        }
        for row in rows
    ]


def reissue_receipt(registry: Registry, pseudonym: str, decision_sha256: str) -> str:
    """The receipt of a decision of this borrower's, again, with a proof under the newest checkpoint.

    Raises:
        NotFound: no such decision of this borrower's.
    """
    with registry.database.read() as session:
        subject = find_subjects(registry, session, [pseudonym]).get(pseudonym)
        row = session.get(DecisionRow, decision_sha256)
        if subject is None or row is None or row.subject_id != subject.id:
            raise NotFound("no such decision")
        entry = registry.log.entry(session, row.entry_index)
        index = row.entry_index
    sealed = SealedBody(entry.body, unb64(json.loads(entry.leaf)["body"]["key_commitment"]))
    held = json.loads(unpad(unseal(subject.data_key, sealed, body_context("consent.decided"))))
    return issue_receipt(registry, Recorded(pseudonym, decision_sha256, index, held["states"], held["salt"]))


def issue_receipt(registry: Registry, recorded: Recorded) -> str:
    """A signed receipt with an offline inclusion proof."""
    leaf, proof = registry.proved(recorded.entry_index)
    receipt = Receipt(
        record_id=f"{registry.consortium.log_origin}#{recorded.entry_index}",
        pii_principal_id=recorded.subject,
        decision_sha256=recorded.decision_sha256,
        states=recorded.states,
        salt=recorded.salt,
        entry=b64(leaf),
        proof=proof.text,
        issued_at=registry.clock(),
    )
    return receipt.sign(registry.signing_key)
