"""Loans as they are stored: a contract and events, of which every figure is a fold."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import Any

import orjson
from sqlalchemy import Connection, Row, bindparam, insert, select

from crypto.documents import canonical_json
from desk.office import InHand
from desk.storage.tables import account_events, decisions, loans
from lending.account.balances import Account
from lending.account.events import LoanContract, LoanEvent
from lending.account.fold import state
from lending.account.records import contract_from, contract_record, event_from, record_of
from protocol.errors import Conflict, NotFound

_OF_PEOPLE = select(loans).where(loans.c.pseudonym.in_(bindparam("people", expanding=True)))
_EXPLORED = (
    select(loans)
    .join(decisions, decisions.c.id == loans.c.decision)
    .where(decisions.c.explored.is_(True))
)


def held_loan(connection: Connection, loan: str) -> Row[Any]:
    """Raises NotFound."""
    row = connection.execute(select(loans).where(loans.c.id == loan)).one_or_none()
    if row is None:
        raise NotFound("there is no such loan")
    return row


def events_of(connection: Connection, loan: str) -> list[LoanEvent]:
    """In the order in which they were booked."""
    rows = connection.execute(
        select(account_events.c.body)
        .where(account_events.c.loan == loan)
        .order_by(account_events.c.number)
    )
    return [event_from(orjson.loads(body)) for (body,) in rows]


def account_of(connection: Connection, loan: Row[Any], day: date) -> Account:
    """The loan at the end of ``day``, as it was known then."""
    return state(_contract(loan), events_of(connection, loan.id), day)


def contract_bytes(contract: LoanContract) -> bytes:
    """What is kept of a contract: canonical JSON."""
    return canonical_json(contract_record(contract))


def _contract(loan: Row[Any]) -> LoanContract:
    return contract_from(orjson.loads(loan.contract))


def outstanding(connection: Connection, pseudonym: str, day: date) -> int:
    """Principal that a person owes on all loans of this desk, fen."""
    return outstanding_of(connection, [pseudonym], day)[pseudonym]


def outstanding_of(connection: Connection, people: Collection[str], day: date) -> dict[str, int]:
    """As :func:`outstanding`, of each of these."""
    found = dict.fromkeys(people, 0)
    for row in connection.execute(_OF_PEOPLE, {"people": list(found)}).all():
        found[row.pseudonym] += account_of(connection, row, day).outstanding.principal
    return found


def explored_outstanding(connection: Connection, day: date) -> int:
    """Principal that is owed on loans below the cut-off (policy: ``Exploration``), fen."""
    rows = connection.execute(_EXPLORED).all()
    return sum(account_of(connection, row, day).outstanding.principal for row in rows)


def etag_of(connection: Connection, loan: str) -> str:
    """Changes with every event."""
    return f'"{len(events_of(connection, loan))}"'


def book(
    hand: InHand, loan: Row[Any], event: LoanEvent, by: str, reason: str | None = None
) -> bool:
    """Add an event to a loan, durable with the transaction; returns whether it is new.

    The same event again, by its id, changes nothing: banks deliver twice.

    Args:
        reason: why it is booked so long after its day.

    Raises:
        Conflict: its id belongs to another event. AccountError: it cannot have happened.
    """
    record = record_of(event)
    body = canonical_json(record)
    known = hand.connection.execute(
        select(account_events).where(account_events.c.event_id == event.id)
    ).one_or_none()
    if known is not None:
        if known.loan != loan.id or known.body != body:
            raise Conflict(f"event {event.id} was booked before, as something else")
        return False
    before = events_of(hand.connection, loan.id)
    state(_contract(loan), [*before, event], event.day)
    hand.connection.execute(
        insert(account_events).values(
            loan=loan.id,
            number=len(before) + 1,
            event_id=event.id,
            kind=record["kind"],
            happened_on=event.day,
            recorded_at=hand.moment,
            by=by,
            reason=reason,
            body=body,
        )
    )
    return True
