"""Forget a borrower: erase what the registry holds of them and destroy the data key, at once and on
the record.

The rows become a tombstone (``erase_history``). Every sealed body about the borrower becomes
unreadable, here and in every backup of the database: the key's row is gone, its group is re-keyed,
and the root version that older copies need is destroyed (``consent.keys.datakeys``). Every proof
over the log stays as it was, because leaves hash ciphertext only. The key's random name goes into
the log, so that no restored copy brings it back.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from consent.commands.erase_history import erase_history
from consent.commands.request_steps import forget_requests
from consent.keys.backup import forgetting
from consent.registry import Registry
from consent.storage.idempotency import Answered, Once, recall
from consent.storage.subjects import find_subjects
from consent.storage.tables import (
    DataKeyRow,
    FormerNameRow,
    IdempotencyRow,
    LoginLinkRow,
    SubjectRow,
)
from consent.transaction import act_once, reading, writing
from crypto.errors import KeyFileError, KeyStoreUnavailable, SealError
from protocol.errors import KeysUnavailable, NotFound


def forget_subject(registry: Registry, pseudonym: str) -> int:
    """Erase everything of this subject and destroy the key; returns how many consents were ended.

    Raises:
        NotFound: no such subject, or forgotten already. KeysUnavailable: the old root key is not
            destroyed yet; it will be at the next forgetting or start.
    """
    try:
        with forgetting(registry):
            return _forget(registry, pseudonym)
    except (SealError, KeyStoreUnavailable, KeyFileError) as error:
        raise KeysUnavailable(
            f"the key store does not do what it should ({error}); what was recorded stays, ask "
            "again"
        ) from error


def forget_person(registry: Registry, pseudonyms: Sequence[str]) -> int:
    """Forget everybody that one person is; returns how many consents were ended.

    Who was forgotten already, perhaps by a call that was cut off, is passed over.

    Raises:
        NotFound: nobody is left to be forgotten. KeysUnavailable.
    """
    ended = 0
    left = NotFound("no such subject, or forgotten already")
    forgotten = False
    for pseudonym in pseudonyms:
        try:
            ended += forget_subject(registry, pseudonym)
            forgotten = True
        except NotFound as gone:
            left = gone
    if not forgotten:
        raise left
    return ended


def forget_once(registry: Registry, once: Once | None, pseudonyms: Sequence[str]) -> Answered:
    """:func:`forget_person`, answered as before where the command was done before; raises NotFound,
    KeysUnavailable.

    An erasure is a transaction of its own for each pseudonym: the keys are destroyed in between.
    So the answer is looked up first and kept afterwards: for a login. Under a pseudonym nothing is
    kept, because it means nobody any more, and whoever asks again is a stranger.
    """
    if once is not None and once.caller in pseudonyms:
        once = None
    with reading(registry) as view:
        earlier = recall(view.session, [once] if once else [], view.moment)
    for answer in earlier.values():
        if isinstance(answer, Answered):
            return answer
    ended = forget_person(registry, pseudonyms)
    return act_once(registry, once, lambda: (200, {"ended": ended}))


def erase_again(registry: Registry) -> int:
    """Erase whom a restored copy of the database has brought back: their data key opens no more
    although its group's does. Returns how many.

    Call it when the key backup was restored. What they had signed is lost with their key, and is
    not held again. Raises KeysUnavailable.
    """
    with reading(registry) as view:
        rows = view.session.execute(
            select(SubjectRow.pseudonym).join(DataKeyRow, DataKeyRow.subject_id == SubjectRow.id)
        )
        names = list(rows.scalars())
        readable = find_subjects(view, names)
    gone = [name for name in names if name not in readable]
    for name in gone:
        forget_subject(registry, name)
    return len(gone)


def _forget(registry: Registry, pseudonym: str) -> int:
    with writing(registry) as transaction:
        session = transaction.session
        registry.ledger.log.lease.hold(session)
        subject = session.scalar(
            select(SubjectRow).join(DataKeyRow).where(SubjectRow.pseudonym == pseudonym)
        )
        if subject is None:
            raise NotFound("no such subject")
        forget_requests(session, subject.id)
        _forget_answers(session, subject.id, pseudonym)
        ended = erase_history(transaction, subject)
        key_id = registry.keys.destroy(session, subject.id)
        transaction.log_sealed(
            "subject.forgotten", registry.me.id, {"key": key_id}, {"ended": ended}
        )
    return ended


def _forget_answers(session: Session, subject: int, pseudonym: str) -> None:
    """Kept answers of commands: all that were given to one of the subject's names, and those to a
    login that speak of one. The row itself would tie the login to the name."""
    former = select(FormerNameRow.pseudonym).where(FormerNameRow.subject_id == subject)
    names = [pseudonym, *session.scalars(former)]
    logins = select(LoginLinkRow.subject_hash).where(LoginLinkRow.subject_id == subject)
    speaks = or_(*(IdempotencyRow.body.contains(name, autoescape=True) for name in names))
    to_a_login = IdempotencyRow.caller.in_(logins) & speaks
    session.execute(delete(IdempotencyRow).where(or_(IdempotencyRow.caller.in_(names), to_a_login)))
