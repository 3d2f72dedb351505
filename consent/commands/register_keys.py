"""A borrower registers a key of their own device, or ends one, the lender's choice among them; and
says that only a key of theirs may say yes.

The key proves that its holder has it; the registration is logged, sealed to the person, in the same
transaction. Ending needs no proof: who lost a device must be able to, and a no is always heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select, update

from auditlog.entries import entry_for_subject
from consent.identity.callers import CallingBorrower, at_the_portal
from consent.registry import Registry
from consent.storage.own_keys import OwnKeyRow, SignedOnlyRow
from consent.storage.subjects import Subject, find_subjects
from consent.storage.tables import SubjectRow
from consent.transaction import Transaction, reading, writing
from crypto.documents import canonical_json
from crypto.errors import SignatureError
from crypto.keys import PublicKey
from protocol.errors import Conflict, NotAllowed, NotAuthenticated, NotFound
from protocol.schema import Document, Instant, KeyText, Pseudonym, Slug

MAX_LIVE = 8
MAX_AGE = timedelta(minutes=5)
SKEW = timedelta(seconds=30)
FRESH = timedelta(minutes=2)
"""How old a login may be to add a key: whoever finds a device unlocked does not become its owner
for good."""


class BorrowerKey(Document):
    """A borrower's statement that a key is theirs, signed with that key."""

    typ = "tahini-borrower-key"

    pseudonym: Pseudonym
    log_origin: str = Field(max_length=300)
    """The registry it is meant for, by the name of its log."""
    public_key: KeyText
    issued_at: Instant


def list_keys(registry: Registry, pseudonyms: Sequence[str]) -> list[dict[str, Any]]:
    """This person's keys at every lender, those that have ended among them. Raises
    KeysUnavailable."""
    with reading(registry) as view:
        subjects = find_subjects(view, list(pseudonyms)).values()
        return [one for subject in subjects for one in keys_of(view, subject)]


def keys_of(view: Transaction, subject: Subject) -> list[dict[str, Any]]:
    """The keys of one subject, the enrolment's first."""
    about = {"pii_principal_id": subject.pseudonym, "recipient": subject.lender}
    found: list[dict[str, Any]] = []
    if subject.public_key:
        row = view.session.get_one(SubjectRow, subject.id)
        found.append(_told(_of_enrolment(row, row.enrolled_at)) | {"entry_index": None})
    rows = view.session.scalars(
        select(OwnKeyRow)
        .where(OwnKeyRow.subject_id == subject.id)
        .order_by(OwnKeyRow.added_at, OwnKeyRow.thumbprint)
    )
    return [about | one for one in (*found, *map(_told, rows))]


def _of_enrolment(row: SubjectRow, added_at: datetime | None) -> OwnKeyRow:
    return OwnKeyRow(
        subject_id=row.id,
        thumbprint=PublicKey.from_text(row.public_key).thumbprint,
        public_key=row.public_key,
        by_lender=True,
        added_at=added_at,
        entry_index=0,
    )


def _told(row: OwnKeyRow) -> dict[str, Any]:
    return {
        "thumbprint": row.thumbprint,
        "public_key": row.public_key,
        "named_by": "lender" if row.by_lender else "borrower",
        "added_at": None if row.added_at is None else row.added_at.isoformat(),
        "ended_at": None if row.ended_at is None else row.ended_at.isoformat(),
        "entry_index": row.entry_index,
    }


def add_key(registry: Registry, caller: CallingBorrower, token: str) -> dict[str, Any]:
    """Register the key that signed this document.

    Raises:
        NotAllowed: the login is older than two minutes, or the call was not made in one.
        NotAuthenticated: not a fresh statement of this caller's, signed with the key that it names.
        Conflict: the key was registered before, or there are too many.
    """
    moment = registry.clock()
    _fresh(caller, moment)
    stated = _verified(registry, token, moment)
    with writing(registry) as transaction:
        session = transaction.session
        subject = find_subjects(transaction, [stated.pseudonym]).get(stated.pseudonym)
        if subject is None or subject.pseudonym not in caller.subjects:
            raise NotAuthenticated("the key is stated for somebody else than the caller")
        known = keys_of(transaction, subject)
        key = PublicKey.from_text(stated.public_key)
        if any(one["thumbprint"] == key.thumbprint for one in known):
            raise Conflict("this key was registered before; make a new one").because("key-known")
        if sum(one["ended_at"] is None for one in known) >= MAX_LIVE:
            said = f"a borrower has at most {MAX_LIVE} keys at a lender; end one first"
            raise Conflict(said).because("too-many-keys", most=MAX_LIVE)
        evidence = {"token": token, "login_sha256": caller.evidence}
        row = OwnKeyRow(
            subject_id=subject.id,
            thumbprint=key.thumbprint,
            public_key=key.text,
            by_lender=False,
            added_at=moment,
            entry_index=_log(transaction, "key.added", subject, evidence),
        )
        session.add(row)
        session.flush()
        return _told(row) | {"pii_principal_id": subject.pseudonym, "recipient": subject.lender}


def _fresh(caller: CallingBorrower, moment: datetime) -> None:
    """Raises NotAllowed: the login is older than two minutes, or the call was not made in one."""
    at_the_portal(caller)
    if caller.logged_in_at is None or moment - caller.logged_in_at > FRESH:
        raise NotAllowed("log in again, and do it within two minutes").because(
            "fresh-login-needed", seconds=int(FRESH.total_seconds())
        )


def _verified(registry: Registry, token: str, moment: datetime) -> BorrowerKey:
    try:
        key = PublicKey.from_text(BorrowerKey.claimed(token).public_key)
        stated = BorrowerKey.verify(token, key)
    except SignatureError as error:
        raise NotAuthenticated("the statement is not signed with the key that it names") from error
    here = stated.log_origin == registry.consortium.log_origin
    if not here or not moment - MAX_AGE <= stated.issued_at <= moment + SKEW:
        raise NotAuthenticated(
            "the statement is for another registry, or not of now; make it again"
        )
    return stated


def end_key(registry: Registry, caller: CallingBorrower, thumbprint: str) -> None:
    """End a key of this caller's, at whichever lender: nothing that it signs counts from now on.

    Raises:
        NotFound: no live key of theirs has this thumbprint; others' have none either.
    """
    with writing(registry) as transaction:
        session = transaction.session
        ended = False
        for subject in find_subjects(transaction, list(caller.subjects)).values():
            mine = session.get(OwnKeyRow, (subject.id, thumbprint))
            if mine is None and subject.public_key:
                row = session.get_one(SubjectRow, subject.id)
                named = _of_enrolment(row, row.enrolled_at)
                if named.thumbprint == thumbprint:
                    mine = named
                    session.add(mine)
                    cleared = update(SubjectRow).where(SubjectRow.id == subject.id)
                    session.execute(cleared.values(public_key=""))
            if mine is None or mine.ended_at is not None:
                continue
            mine.ended_at = transaction.moment
            evidence = {"thumbprint": thumbprint, "login_sha256": caller.evidence}
            mine.entry_index = _log(transaction, "key.ended", subject, evidence)
            ended = True
        if not ended:
            raise NotFound("there is no such key")


# --- only my key


class OnlyKeys(BaseModel):
    """Whether only a key of mine says yes to what concerns a lender."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipient: Slug = Field(examples=["aspen"])
    only_keys: bool = Field(examples=[True])


def list_only_keys(registry: Registry, pseudonyms: Sequence[str]) -> list[dict[str, Any]]:
    """At which of their lenders only a key of this person's says yes. Raises KeysUnavailable."""
    with reading(registry) as view:
        subjects = find_subjects(view, list(pseudonyms)).values()
        return [
            {"pii_principal_id": one.pseudonym, "recipient": one.lender} | only_keys_of(view, one)
            for one in subjects
        ]


def only_keys_of(view: Transaction, subject: Subject) -> dict[str, Any]:
    """Since when only a key of theirs says yes, if it does."""
    row = view.session.get(SignedOnlyRow, subject.id)
    return {
        "only_keys": row is not None,
        "since": None if row is None else row.since.isoformat(),
        "entry_index": None if row is None else row.entry_index,
    }


def demand_keys(registry: Registry, caller: CallingBorrower, wanted: OnlyKeys) -> None:
    """Let only keys say yes at a lender, or logins too. What was said before stands; a no never
    needs a key. To end it takes what it takes to add a key: a fresh login.

    Raises:
        NotAllowed: to end it, the login is too old; or the call was not made at the portal.
        NotFound: the caller is nobody's customer there.
        Conflict: there is no live key to say yes with.
    """
    at_the_portal(caller)
    if not wanted.only_keys:
        _fresh(caller, registry.clock())
    with writing(registry) as transaction:
        subjects = find_subjects(transaction, list(caller.subjects)).values()
        mine = [one for one in subjects if one.lender == wanted.recipient]
        if not mine:
            raise NotFound("the caller is not enrolled there")
        for subject in mine:
            _demand(transaction, subject, wanted.only_keys, caller.evidence)


def _demand(transaction: Transaction, subject: Subject, wanted: bool, evidence: str) -> None:
    session, row = transaction.session, transaction.session.get(SignedOnlyRow, subject.id)
    if wanted is (row is not None):
        return
    body = {"login_sha256": evidence}
    if row is not None:
        session.delete(row)
        _log(transaction, "key.waived", subject, body)
        return
    if all(one["ended_at"] is not None for one in keys_of(transaction, subject)):
        raise Conflict("add a key there first, or nothing could say yes").because("no-key-there")
    index = _log(transaction, "key.demanded", subject, body)
    session.add(SignedOnlyRow(subject_id=subject.id, since=transaction.moment, entry_index=index))


def _log(transaction: Transaction, kind: str, subject: Subject, body: dict[str, str]) -> int:
    """The skeleton says only what happened to somebody's keys."""
    author, sealed = transaction.registry.me.id, canonical_json(body)
    entry = entry_for_subject(kind, author, {}, subject.id, subject.data_key, sealed)
    return transaction.log(entry)
