"""Legal holds: what an erased person had signed, kept for a court, readable by registry and auditor
together only.

Who processes on consent must be able to prove it (PIPL Art. 69; GDPR Art. 7(1)), and may keep what
a claim needs although everything else is erased (GDPR Art. 17(3)(e); PIPL Art. 47 with 69). So the
signed decisions and what lenders handed in go, before they are erased, into one envelope: sealed to
the auditor (HPKE), and that under a key of the registry's. Neither opens it alone. It is destroyed
when its time is over (``consent.retention``).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import select

from consent.commands.read_evidence import opened, prove_imports
from consent.keys.enclosures import disclose, enclose
from consent.notice_text import HELD_DAYS
from consent.registry import Registry
from consent.storage.erasure_tables import LegalHoldRow, TombstoneRow
from consent.storage.own_keys import all_keys
from consent.storage.subjects import Subject
from consent.storage.tables import DecisionRow, SubjectRow
from consent.storage.tombstones import Tombstones
from consent.transaction import Transaction, writing
from crypto.documents import canonical_json
from crypto.errors import SealError
from crypto.keys import RecipientKey, RecipientPublicKey, b64, unb64
from crypto.sealing import pad, seal_to, unpad, unseal_from
from protocol.errors import Malformed, NotFound
from protocol.parties import Role

KEPT = timedelta(days=HELD_DAYS)
"""As every notice says."""
MAX_REASON = 500


def _context(hold_id: str) -> bytes:
    return f"tahini/legal-hold/v1/{hold_id}".encode()


def hold_evidence(transaction: Transaction, subject: Subject) -> None:
    """Put what this person signed, and what was handed in about them, into a legal hold; nothing
    where there is nothing.

    Raises:
        NotFound: the auditor has no recipient key. KeysUnavailable.
    """
    registry, session = transaction.registry, transaction.session
    decisions = _decisions(transaction, subject)
    imports = prove_imports(session, {subject.id: subject})
    if not decisions and not imports:
        return
    auditor = registry.consortium.one(Role.AUDITOR)
    if auditor.recipient_key is None:
        raise NotFound("the auditor has no recipient key; nothing can be sealed to it")
    hold_id = secrets.token_hex(16)
    body = {
        "pii_principal_id": subject.pseudonym,
        "lender": subject.lender,
        "public_keys": all_keys(session, subject),
        "decisions": decisions,
        "imports": imports,
        "held_from": transaction.moment.isoformat(),
    }
    recipient = RecipientPublicKey.from_text(auditor.recipient_key)
    inner = seal_to(recipient, pad(canonical_json(body)), _context(hold_id))
    outer = enclose(registry.keys, session, inner, _context(hold_id))
    session.add(
        LegalHoldRow(
            id=hold_id,
            subject_id=subject.id,
            wrapped=outer.wrapped,
            sealed=outer.sealed,
            expires_at=transaction.moment + KEPT,
        )
    )


def _decisions(transaction: Transaction, subject: Subject) -> list[dict[str, Any]]:
    """Each decision as it was logged: with the signed token, or what was stated in a login."""
    session, log = transaction.session, transaction.registry.ledger.log
    mine = select(DecisionRow.entry_index).where(DecisionRow.subject_id == subject.id)
    indexes = list(session.scalars(mine.order_by(DecisionRow.entry_index)))
    found = []
    for index, entry in log.entries_at(session, indexes).items():
        try:
            held: Mapping[str, Any] = opened(subject, entry, "consent.decided")
        except SealError:
            continue  # sealed under a key that an older copy of the database had lost already
        found.append({"entry_index": index, "leaf": b64(entry.leaf), **held})
    return sorted(found, key=lambda one: int(one["entry_index"]))


class OpenedHold(BaseModel):
    """A hold whose outer layer the registry has taken off: for the auditor to open."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hold: str
    sealed: str
    """HPKE to the auditor, base64url."""


def release_holds(registry: Registry, pseudonym: str, reason: str) -> list[OpenedHold]:
    """The registry's half of opening what is held about this name: takes the outer layer off, and
    logs for what reason, sealed to the auditor.

    Args:
        reason: the order of a court or an authority, by its number; never a name.

    Raises:
        NotFound: nothing is held about the name. Malformed: no reason. KeysUnavailable.
    """
    if not reason.strip() or len(reason) > MAX_REASON:
        raise Malformed(f"say by whose order a hold is opened, in up to {MAX_REASON} characters")
    with writing(registry) as transaction:
        session = transaction.session
        registry.ledger.log.lease.hold(session)
        rows = _held_about(transaction, pseudonym)
        if not rows:
            raise NotFound("nothing is held about this name, or not any more")
        found = [
            OpenedHold(
                hold=row.id, sealed=b64(disclose(registry.keys, session, row, _context(row.id)))
            )
            for row in rows
        ]
        body = {"reason": reason.strip(), "holds": [one.hold for one in found]}
        transaction.log_sealed("hold.opened", registry.me.id, {}, body)
    return found


def _held_about(transaction: Transaction, pseudonym: str) -> list[LegalHoldRow]:
    """The live holds of every life that this name, or former name, had at its lender."""
    by = Tombstones.of(transaction)
    session = transaction.session
    stone = None if by is None else session.get(TombstoneRow, by.mac(pseudonym))
    if stone is None:
        return []
    erased = session.get_one(SubjectRow, stone.subject_id)
    mine = (
        select(LegalHoldRow)
        .join(SubjectRow, SubjectRow.id == LegalHoldRow.subject_id)
        .where(
            SubjectRow.lender == erased.lender,
            SubjectRow.ledger_pseudonym == erased.ledger_pseudonym,
            LegalHoldRow.expires_at > transaction.moment,
        )
    )
    return list(session.scalars(mine.order_by(LegalHoldRow.expires_at, LegalHoldRow.id)))


def open_hold(text: str, auditor: RecipientKey) -> dict[str, Any]:
    """The auditor's half: what the person had signed, from what :func:`release_holds` gave.

    Raises:
        Malformed: not a released hold. SealError: not sealed to this key.
    """
    try:
        released = OpenedHold.model_validate_json(text)
        sealed = unb64(released.sealed)
    except (ValidationError, ValueError) as error:
        raise Malformed("this is no hold that a registry has released") from error
    body: dict[str, Any] = json.loads(unpad(unseal_from(auditor, sealed, _context(released.hold))))
    return body
