"""Tombstones: what the registry knows of people whom it erased.

Only this: under a key that is wrapped like the borrowers' (``consent.keys.datakeys``), so that no
copy of the database holds it, the hash of each name that somebody had, and of what a lender keeps
of it. With the first the registry knows a person again who is enrolled anew: their earlier yes does
not count, but the budget that they spent does, and so does the place that was drawn for them. With
the second it tells an auditor that somebody in a roster was erased, and not invented. Whoever has
not the key store can read nothing from the hashes.

All functions run inside the caller's transaction.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import count

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from auditlog.database import upsert
from consent.budgets import People
from consent.storage.erasure_tables import TombstoneRow
from consent.storage.subjects import IN_CHUNK
from consent.storage.tables import AssignmentRow, SubjectRow
from consent.transaction import Transaction
from crypto.errors import KeyFileError, KeyStoreUnavailable, SealError
from crypto.keys import b64
from crypto.pseudonyms import version_of
from crypto.rosters import tombstone
from protocol.errors import KeysUnavailable
from protocol.samples import is_tombstone

TOMBSTONES = -1
"""Number of the key (``DataKeys.reserved``)."""


@dataclass(frozen=True)
class Tombstones:
    """The names of tombstones."""

    _key: bytes = field(repr=False)

    @classmethod
    def of(cls, transaction: Transaction, *, make: bool = False) -> Tombstones | None:
        """None while nobody was ever erased. Raises KeysUnavailable."""
        keys, session = transaction.registry.keys, transaction.session
        try:
            key = keys.reserved(session, TOMBSTONES, make=make)
        except (SealError, KeyStoreUnavailable, KeyFileError) as error:
            raise KeysUnavailable(
                f"who was erased before cannot be told now ({error}); restore the key backup"
            ) from error
        return None if key is None else cls(key)

    def mac(self, name: str) -> str:
        """HMAC-SHA256 of a name, base64url: 43 characters."""
        return b64(hmac.digest(self._key, b"tahini/tombstone/1\n" + name.encode(), "sha256"))

    def ledger_name(self, sealed: str) -> str:
        """What stands on a tombstone instead of a sealed ledger name, in the same form."""
        return f"v{version_of(sealed)}.{self.mac(sealed)}"

    def stone(self, kept: str, time: int) -> str:
        """HMAC of what a lender keeps of a name (``crypto.rosters.tombstone``), erased for the
        first, second, … time. No name has a space in it."""
        return self.mac(f"{time} {kept}")


def write_names(session: Session, names: Iterable[str], subject_id: int, by: Tombstones) -> None:
    """Keep that these names, present and former, are a tombstone's. Who was erased once before
    under the same name, has it there already; what a lender keeps of it stands there once more."""
    macs = []
    for name in names:
        kept = tombstone(name)
        times = (time for time in count(1) if not _present_one(session, by.stone(kept, time)))
        macs += [by.mac(name), by.stone(kept, next(times))]
    rows = [{"name_mac": mac, "subject_id": subject_id} for mac in macs]
    upsert(session, TombstoneRow, ("name_mac",), (), rows)


def _present_one(session: Session, mac: str) -> bool:
    return session.get(TombstoneRow, mac) is not None


def erased_on(
    session: Session, names: Iterable[str], by: Tombstones, lender: str
) -> dict[str, date]:
    """The day on which each of these people, by a name that they had or by what a lender keeps of
    it, was erased at this lender last; nobody else is in it."""
    kept = {name: name if is_tombstone(name) else tombstone(name) for name in names}
    days: dict[str, date] = {}
    asked, time = set(kept.values()), 1
    while asked:
        macs = {by.stone(one, time): one for one in asked}
        found = {macs[mac]: day for mac, day in _erased_here(session, list(macs), lender).items()}
        days.update(found)
        asked, time = set(found), time + 1
    return {name: days[one] for name, one in kept.items() if one in days}


def _erased_here(session: Session, macs: Sequence[str], lender: str) -> dict[str, date]:
    days: dict[str, date] = {}
    here = select(TombstoneRow.name_mac, SubjectRow.erased_at).join(
        SubjectRow, SubjectRow.id == TombstoneRow.subject_id
    )
    for start in range(0, len(macs), IN_CHUNK):
        some = TombstoneRow.name_mac.in_(macs[start : start + IN_CHUNK])
        rows = session.execute(here.where(some, SubjectRow.lender == lender))
        days.update((mac, at.date()) for mac, at in rows if at is not None)
    return days


def known_again(
    session: Session, names: Sequence[str], ledger_names: Sequence[str], by: Tombstones, lender: str
) -> tuple[set[int], set[int]]:
    """Which of these people, by their place in the lists, were erased at this lender before; and
    which of them anywhere, which their places and budgets must know and the lender must not."""
    macs = {by.mac(name): at for at, name in enumerate(names)}
    ledgers = {by.ledger_name(name): at for at, name in enumerate(ledger_names)}
    found = {macs[mac] for mac in _present(session, TombstoneRow.name_mac, list(macs))}
    anywhere, here = set[int](), set[int]()
    for start in range(0, len(ledgers), IN_CHUNK):
        stones = SubjectRow.ledger_pseudonym.in_(list(ledgers)[start : start + IN_CHUNK])
        asked = select(SubjectRow.ledger_pseudonym, SubjectRow.lender).where(stones)
        for stone, of in session.execute(asked):
            anywhere.add(ledgers[stone])
            if of == lender:
                here.add(ledgers[stone])
    return found | here, found | anywhere


def _present(session: Session, column: object, values: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(values), IN_CHUNK):
        some = select(column).where(column.in_(values[start : start + IN_CHUNK]))  # type: ignore[attr-defined,call-overload]
        found.update(session.scalars(some))
    return found


# --- places


def move_place(session: Session, subject_id: int, names: tuple[str, str]) -> None:
    """The place that was drawn for an erased person goes from their ledger name (first of
    ``names``) to the tombstone's (second). A place at another lender stays whose it was."""
    before, after = names
    held = AssignmentRow.subject_id == subject_id
    here = session.scalars(select(AssignmentRow.ledger_pseudonym).where(held)).all()
    nowhere = session.scalar(
        select(AssignmentRow.ledger_pseudonym).where(
            AssignmentRow.ledger_pseudonym == before, AssignmentRow.subject_id.is_(None)
        )
    )
    gone = [name for name in here if name != after]
    alone = (
        session.scalar(select(SubjectRow.id).where(SubjectRow.ledger_pseudonym == before)) is None
    )
    if nowhere is not None and alone:
        gone.append(nowhere)
    if not gone:
        return
    row = {"ledger_pseudonym": after, "subject_id": subject_id if here else None}
    upsert(session, AssignmentRow, ("ledger_pseudonym",), (), [row])
    table = AssignmentRow.__table__
    session.connection().execute(table.delete().where(table.c.ledger_pseudonym.in_(gone)))  # type: ignore[attr-defined]


def take_places_again(
    session: Session, lender: str, returned: Sequence[tuple[int, str]], by: Tombstones
) -> None:
    """Whoever comes back (subject id, sealed ledger name) to the lender where their place was drawn
    has it again; a place nowhere, too."""
    rows: list[tuple[str, int | None]] = []
    for subject_id, name in returned:
        found = session.execute(
            select(AssignmentRow.subject_id, SubjectRow.lender)
            .outerjoin(SubjectRow, SubjectRow.id == AssignmentRow.subject_id)
            .where(AssignmentRow.ledger_pseudonym == by.ledger_name(name))
        ).one_or_none()
        if found is not None and found[0] is None:
            rows.append((name, None))
        elif found is not None and found[1] == lender:
            rows.append((name, subject_id))
    if rows:
        columns = ("ledger_pseudonym", "subject_id")
        named = [dict(zip(columns, row, strict=True)) for row in rows]
        upsert(session, AssignmentRow, ("ledger_pseudonym",), (), named)


def drawn_before(transaction: Transaction, ledger_names: Iterable[str]) -> set[str]:
    """Who of these has a place already, drawn before they were erased: none is drawn anew."""
    by = Tombstones.of(transaction)
    if by is None:
        return set()
    kept = {by.ledger_name(name): name for name in ledger_names}
    return {
        kept[name]
        for name in _present(transaction.session, AssignmentRow.ledger_pseudonym, list(kept))
    }


# --- budgets


def count_as_one(
    transaction: Transaction, lenders: Collection[str], people: dict[str, People]
) -> None:
    """Where somebody who was erased is there again, or elsewhere still: what the tombstone spent is
    theirs.

    Args:
        people: by lender, for each number the smallest id of the person at these lenders; changed
            in place.
    """
    by = Tombstones.of(transaction)
    if by is None:
        return
    session = transaction.session
    first = select(SubjectRow.ledger_pseudonym, func.min(SubjectRow.id)).where(
        SubjectRow.lender.in_(lenders)
    )
    by_name = first.group_by(SubjectRow.ledger_pseudonym)
    erased = session.execute(by_name.where(SubjectRow.erased_at.is_not(None)))
    gone: dict[str, int] = {}
    gone.update((row[0], row[1]) for row in erased)
    pairs = [
        (gone[tombstone], living)
        for name, living in session.execute(by_name.where(SubjectRow.erased_at.is_(None)))
        if (tombstone := by.ledger_name(name)) in gone
    ]
    if not pairs:
        return
    old, new = np.array(sorted(pairs), dtype=np.int64).T
    for lender, numbers in people.items():
        at = np.minimum(np.searchsorted(old, numbers), len(old) - 1)
        people[lender] = np.where(old[at] == numbers, new[at], numbers)
