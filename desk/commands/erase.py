"""Erase whom the registry orders the lender to erase (PIPL 47; GDPR 17, 19).

What a case rested on, its score, its letter, its reviews and the statements about it go: the data
key is destroyed, in every backup too, the name is replaced by nobody's, and what is still open of
it ends. A loan is serviced by its contract (PIPL 13(1)(2); GDPR 6(1)(b)): contract and events stay,
and so does the name that they are about, until the loan was settled for as long as such records are
kept (``desk.commands.retain``). Where the law of the place has records of an application
kept, they go on the day on which it has not any more (:func:`erase_due`), and are used for nothing.
An order is about what was applied for before it: whoever comes back is somebody new.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Row, delete, exists, insert, or_, select, update

from crypto.keys import replace_file
from desk.office import Desk, InHand
from desk.states import ApplicationEvent, ApplicationStatus, following
from desk.storage.tables import (
    NOBODY,
    applications,
    decisions,
    erasures,
    loans,
    memberships,
    outbox,
    portrait_objections,
    reviews,
    verifications,
)
from protocol.errors import BadSettings
from protocol.revocations import Revocation

KEEP_AT_LEAST = "records.days"
"""The row of the law tables: for how long records of an application are kept."""
_OPEN = {ApplicationStatus.OFFERED, ApplicationStatus.IN_REVIEW, ApplicationStatus.ACCEPTED}
logger = logging.getLogger("tahini.desk")


@dataclass(frozen=True)
class ErasedHere:
    """What came of orders: people, their applications that were forgotten, those that the law still
    has kept, and loans that stay."""

    people: int
    applications: int
    kept: int
    loans: int


def erase_ordered(desk: Desk, orders: Path) -> ErasedHere:
    """Obey the orders in a folder, and empty each once that is durable.

    Raises:
        BadSettings: a file there is no order; nobody was erased.
    """
    files = [path for path in sorted(orders.iterdir()) if path.stat().st_size]
    asked = [_order(path) for path in files]
    found = desk.write(lambda hand: _erase(desk, hand, asked))
    for path in files:
        replace_file(path, b"")
    return found


def _order(path: Path) -> Revocation:
    try:
        return Revocation.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BadSettings(f"{path} is no order to erase somebody; nobody was erased") from error


def _erase(desk: Desk, hand: InHand, asked: Sequence[Revocation]) -> ErasedHere:
    names = {one.pii_principal_id for one in asked}
    for one in asked:
        mine = erasures.c.pseudonym == one.pii_principal_id
        before = hand.connection.scalar(select(erasures.c.ordered_at).where(mine))
        latest = one.event_time if before is None else max(before, one.event_time)
        hand.connection.execute(delete(erasures).where(mine))
        row = {"pseudonym": one.pii_principal_id, "ordered_at": latest}
        hand.connection.execute(insert(erasures).values(row))
    for table in (memberships, portrait_objections):
        hand.connection.execute(delete(table).where(table.c.pseudonym.in_(names)))
    lent = hand.connection.execute(select(loans.c.id).where(loans.c.pseudonym.in_(names))).all()
    forgotten, kept = erase_due(desk, hand)
    return ErasedHere(len(names), forgotten, kept, len(lent))


def erase_due(desk: Desk, hand: InHand) -> tuple[int, int]:
    """Forget what no law has kept any more of people who were ordered to be erased, and end what is
    open; returns how many applications were forgotten, and how many still wait."""
    laws, today = desk.wording.laws, desk.day(hand.moment)
    least = laws.find(desk.wording.jurisdiction, KEEP_AT_LEAST, today)
    before = None if least is None else today - timedelta(days=int(least.number))
    forgotten = kept = 0
    for order in hand.connection.execute(select(erasures)).all():
        of_them = (
            applications.c.pseudonym == order.pseudonym,
            applications.c.received_at <= order.ordered_at,
        )
        waits = 0
        for row in hand.connection.execute(select(applications).where(*of_them)).all():
            if row.wrapped_key is not None and not _kept_no_more(desk, hand, row, before):
                waits += 1
                _end(hand, row)
                continue
            forgotten += row.wrapped_key is not None
            forget(hand, row, nameless=not _has_loan(hand, row.id))
        kept += waits
        # for a day, so that whoever was being decided about at that moment goes too
        if not waits and order.ordered_at < hand.moment - timedelta(days=1):
            hand.connection.execute(delete(erasures).where(erasures.c.pseudonym == order.pseudonym))
    return forgotten, kept


def end_portraits_of_nobody(hand: InHand) -> None:
    """Whoever was forgotten is in no portrait, and what they objected to goes with them."""
    for table in (memberships, portrait_objections):
        named = (
            exists().where(one.c.pseudonym == table.c.pseudonym) for one in (applications, loans)
        )
        hand.connection.execute(delete(table).where(~or_(*named)))


def _kept_no_more(desk: Desk, hand: InHand, row: Row[Any], before: Any) -> bool:
    if before is None:
        return True
    decided = select(decisions.c.decided_at).where(decisions.c.application == row.id)
    return all(desk.day(moment) < before for (moment,) in hand.connection.execute(decided))


def _end(hand: InHand, row: Row[Any], **more: Any) -> None:
    """An application that is open is wanted no more."""
    status = ApplicationStatus(row.status)
    values: dict[str, Any] = dict(more)
    if status in _OPEN:
        values["status"] = following(status, ApplicationEvent.WITHDRAW).value
        values["version"] = row.version + 1
    if values:
        hand.connection.execute(
            update(applications).where(applications.c.id == row.id).values(values)
        )


def _has_loan(hand: InHand, application: str) -> bool:
    query = select(loans.c.id).where(loans.c.application == application)
    return hand.connection.scalar(query) is not None


def forget(hand: InHand, row: Row[Any], nameless: bool) -> None:
    """Destroy the key of an application and empty what was stated of it.

    Args:
        nameless: nobody's name stands under it, and under its loan, from now on.
    """
    name = NOBODY + secrets.token_urlsafe(32) if nameless else row.pseudonym
    _end(hand, row, wrapped_key=None, pseudonym=name)
    if nameless:
        mine = update(loans).where(loans.c.application == row.id)
        hand.connection.execute(mine.values(pseudonym=name))
    about = outbox.c.application.in_(_names(hand.connection, row.id))
    undone = outbox.c.entry_index.is_(None), outbox.c.refused.is_(None)
    hand.connection.execute(update(outbox).where(about, *undone).values(refused="erased"))
    hand.connection.execute(update(outbox).where(about).values(token=""))


def _names(connection: Connection, application: str) -> list[str]:
    """Under which statements about an application were made: its own, those of its reviews and of
    what was verified."""
    found = [application]
    for table in (reviews, verifications):
        query = select(table.c.id).where(table.c.application == application)
        found += list(connection.scalars(query))
    return found
