"""Erase what the registry holds of one subject, and leave a tombstone in their place on the roll.

States speak of people by number, so the place stays. Its names become random, or hashes that nobody
can make without the key store (``consent.storage.tombstones``); key, former names, consents and
their history go. The database lets them go for no other reason (migration 0010). What must outlive
them goes first: the evidence for a court (``hold_evidence``), the signed order to the lender, and
for a week the hash of each decision, so that none of them acts again.
"""

from __future__ import annotations

from sqlalchemy import delete, func, select, update

from consent.commands.check_decisions import MAX_AGE
from consent.commands.hold_evidence import hold_evidence
from consent.identity.single_use import use_once
from consent.keys.enclosures import enclose
from consent.storage.consents import load_presents, newest_acknowledged, newest_revocation
from consent.storage.enrolment import mark_erased
from consent.storage.erasure_tables import ErasureOrderRow
from consent.storage.own_keys import OwnKeyRow, SignedOnlyRow
from consent.storage.subjects import day_of, find_subjects
from consent.storage.tables import (
    ConsentEventRow,
    ConsentRow,
    DecisionRow,
    FormerNameRow,
    ImportRow,
    RevocationRow,
    ScopeRow,
    SubjectEntryRow,
    SubjectRow,
)
from consent.storage.tombstones import Tombstones, move_place, write_names
from consent.transaction import Transaction
from crypto.bodies import new_data_key
from crypto.keys import b64
from crypto.merkle import HASH_SIZE
from crypto.pseudonyms import version_of
from protocol.changes import CLOCK_SKEW
from protocol.states import TRANSITIONS, Event

_NAMES_AND_KEYS = (FormerNameRow, OwnKeyRow, SignedOnlyRow)
DECISION_USED = "decision"
"""Kind under which a decision of an erased person stands among what acts once."""


def order_context(recipient: str, number: int) -> bytes:
    """What the sealed name of an order is bound to."""
    return f"tahini/erasure-order/v1/{recipient}/{number}".encode()


def erase_history(transaction: Transaction, row: SubjectRow) -> int:
    """Make this subject a tombstone; returns how many consents it ended. The data key is the
    caller's to destroy, afterwards.

    Raises:
        NotFound: the auditor has no recipient key. KeysUnavailable.
    """
    session = transaction.session
    ended = _live(transaction, row.id)
    readable = find_subjects(transaction, [row.pseudonym]).get(row.pseudonym)
    if readable is not None:  # else an older copy of the database has lost what was signed
        hold_evidence(transaction, readable)
    for sha256 in session.scalars(
        select(DecisionRow.sha256).where(DecisionRow.subject_id == row.id)
    ):
        ends = transaction.moment + MAX_AGE + CLOCK_SKEW
        use_once(session, DECISION_USED, sha256, ends, transaction.moment)
    _order(transaction, row)
    _bury(transaction, row)
    _blank_evidence(transaction, row.id)
    for table in (ConsentRow, ConsentEventRow, DecisionRow, SubjectEntryRow, *_NAMES_AND_KEYS):
        session.execute(delete(table).where(table.subject_id == row.id))
    mine = RevocationRow.subject_id == row.id
    reached = newest_acknowledged(session, row.lender)
    session.execute(delete(RevocationRow).where(mine, RevocationRow.number <= reached))
    return ended


def _live(transaction: Transaction, subject_id: int) -> int:
    """How many consents of this subject an erasure ends."""
    presents = load_presents(
        transaction.session, [subject_id], list(transaction.notices.recipients)
    )
    moment = transaction.moment
    return sum((one.at(moment), Event.WITHDRAW) in TRANSITIONS for one in presents.values())


def _order(transaction: Transaction, row: SubjectRow) -> None:
    """A numbered order to the lender, as a withdrawal is; none where no notice ever asked a
    borrower of this lender, for then nothing of theirs was ever used."""
    session, registry = transaction.session, transaction.registry
    scope = session.scalar(select(func.min(ScopeRow.id)).where(ScopeRow.recipient == row.lender))
    if scope is None:
        return
    number = newest_revocation(session, row.lender) + 1
    sealed = enclose(
        registry.keys, session, row.pseudonym.encode(), order_context(row.lender, number)
    )
    session.add(
        ErasureOrderRow(
            recipient=row.lender, number=number, wrapped=sealed.wrapped, sealed=sealed.sealed
        )
    )
    moment = transaction.moment
    session.add(
        RevocationRow(
            recipient=row.lender,
            number=number,
            scope_id=scope,
            subject_id=row.id,
            sensitivity="ordinary",
            event=Event.WITHDRAW,
            revoked_at=moment,
            recorded_at=moment,
        )
    )
    session.flush()


def _bury(transaction: Transaction, row: SubjectRow) -> None:
    """Nobody's names in the place of the person's; states from before are told anew, as a
    whole."""
    session = transaction.session
    by = Tombstones.of(transaction, make=True)
    assert by is not None  # noqa: S101 - it was made
    former = session.scalars(
        select(FormerNameRow.pseudonym).where(FormerNameRow.subject_id == row.id)
    )
    write_names(session, [row.pseudonym, *former], row.id, by)
    lender, subject_id = row.lender, row.id
    ledger_names = (row.ledger_pseudonym, by.ledger_name(row.ledger_pseudonym))
    row.pseudonym = f"v{version_of(row.pseudonym)}.{b64(new_data_key())}"
    row.ledger_pseudonym, row.public_key, row.returned_at = ledger_names[1], "", None
    row.erased_at, row.child, row.enrolled_at = day_of(transaction.moment), False, None
    session.flush()
    move_place(session, subject_id, ledger_names)
    counted = ScopeRow.events + 1
    session.execute(
        update(ScopeRow)
        .where(ScopeRow.recipient == lender)
        .values(events=counted, whole_from=counted)
    )
    mark_erased(session, lender)


def _blank_evidence(transaction: Transaction, subject_id: int) -> None:
    """Zeros for the hash of the evidence in every record that was handed in about the person: the
    leaf stays, for the proofs of others, and cannot be guessed without what the lender keeps."""
    session = transaction.session
    mine = select(ConsentEventRow.import_id, ConsentEventRow.position).where(
        ConsentEventRow.subject_id == subject_id, ConsentEventRow.position.is_not(None)
    )
    for import_id, at in session.execute(mine.distinct()).all():
        held = session.scalar(select(ImportRow.evidence).where(ImportRow.id == import_id)) or b""
        start = HASH_SIZE * (at or 0)
        blank = held[:start] + bytes(HASH_SIZE) + held[start + HASH_SIZE :]
        if blank != held:
            session.execute(
                update(ImportRow).where(ImportRow.id == import_id).values(evidence=blank)
            )


def let_revocations_go(transaction: Transaction, recipient: str, since: int, until: int) -> None:
    """Of what the recipient has acknowledged just now, numbers above ``since`` up to ``until``:
    the orders that name erased people go, and whatever else of theirs had to be delivered first."""
    session = transaction.session
    order, told = ErasureOrderRow, RevocationRow
    session.execute(
        delete(order).where(
            order.recipient == recipient, order.number > since, order.number <= until
        )
    )
    erased = select(SubjectRow.id).where(
        SubjectRow.lender == recipient, SubjectRow.erased_at.is_not(None)
    )
    session.execute(
        delete(told).where(
            told.recipient == recipient,
            told.number > since,
            told.number <= until,
            told.subject_id.in_(erased),
        )
    )
