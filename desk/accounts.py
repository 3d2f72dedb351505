"""Loans as they are stored: a contract and events, of which every figure is a fold."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date, datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import (
    Connection,
    Row,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
)
from sqlalchemy.exc import SQLAlchemyError

from crypto.documents import canonical_json
from crypto.errors import SealError
from desk.office import Desk, InHand
from desk.records import opened_case, usable_key
from desk.states import ApplicationStatus
from desk.storage.tables import (
    acceptances,
    account_events,
    applications,
    decisions,
    loans,
    offers,
    outbox,
    settled_loans,
)
from lending.account.balances import Account
from lending.account.events import Corrected, LoanContract, LoanEvent
from lending.account.fold import state
from lending.account.records import contract_from, contract_record, event_from, record_of
from lending.cases import Case
from protocol.errors import Conflict, NotFound

_OF_PEOPLE = select(loans).where(loans.c.pseudonym.in_(bindparam("people", expanding=True)))
_EXPLORED = (
    select(loans)
    .join(decisions, decisions.c.id == loans.c.decision)
    .where(decisions.c.explored.is_(True), ~exists().where(settled_loans.c.loan == loans.c.id))
)
_LATER = decisions.alias("later")
_STATUS = applications.c.status
_OPEN = and_(_STATUS == ApplicationStatus.OFFERED, offers.c.valid_until >= bindparam("moment"))
_WAITS = and_(_STATUS == ApplicationStatus.ACCEPTED, acceptances.c.pay_by >= bindparam("moment"))
_RESERVED = (
    select(func.coalesce(func.sum(offers.c.amount), 0))
    .select_from(decisions)
    .join(offers, offers.c.decision == decisions.c.id)
    .join(applications, applications.c.id == decisions.c.application)
    .outerjoin(acceptances, acceptances.c.application == applications.c.id)
    .where(
        decisions.c.explored.is_(True),
        or_(_WAITS, _OPEN),
        ~exists().where(
            _LATER.c.application == decisions.c.application, _LATER.c.number > decisions.c.number
        ),
        ~exists().where(outbox.c.application == decisions.c.id, outbox.c.refused.is_not(None)),
    )
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
    owed = outstanding_of(connection, [pseudonym], day)[pseudonym]
    if isinstance(owed, Exception):
        raise owed
    return owed


def outstanding_of(
    connection: Connection, people: Collection[str], day: date
) -> dict[str, int | Exception]:
    """As :func:`outstanding`, of each of these: what they owe, or why their own accounts cannot be
    read, which is nobody else's."""
    mine: dict[str, list[Row[Any]]] = {one: [] for one in people}
    for row in connection.execute(_OF_PEOPLE, {"people": list(mine)}).all():
        mine[row.pseudonym].append(row)
    found: dict[str, int | Exception] = {}
    for name, rows in mine.items():
        try:
            found[name] = sum(
                account_of(connection, row, day).outstanding.principal for row in rows
            )
        except SQLAlchemyError:
            raise
        except Exception as error:
            found[name] = error
    return found


def explored_outstanding(connection: Connection, day: date) -> int:
    """Principal that is owed on loans below the cut-off (policy: ``Exploration``), fen. Those that
    are settled are not looked at: what is lent there is little, and of all years much."""
    rows = connection.execute(_EXPLORED).all()
    return sum(account_of(connection, row, day).outstanding.principal for row in rows)


def explored_reserved(connection: Connection, moment: datetime) -> int:
    """Principal that is offered below the cut-off, fen: until the offer expires, is withdrawn or
    contested; once it is accepted, until it is paid out or has lapsed."""
    return int(connection.scalar(_RESERVED, {"moment": moment}) or 0)


class LentCase(NamedTuple):
    """A loan as it stood on a day, and what the machine's decision of its application rested on:
    None where that is forgotten."""

    loan: Row[Any]
    account: Account
    case: Case | None


def lent_by(desk: Desk, day: date, model: str | None = None) -> Iterator[LentCase]:
    """All loans that were paid out by a day, the oldest first.

    Args:
        model: only those that were decided by this one, by its hash.
    """
    statement = (
        select(loans, usable_key(), decisions.c.sealed)
        .join(applications, applications.c.id == loans.c.application)
        .join(decisions, decisions.c.id == loans.c.application)
        .where(loans.c.disbursed_on <= day, *([decisions.c.model_hash == model] if model else []))
        .order_by(loans.c.number)
    )
    with desk.reading() as hand:
        for row in hand.connection.execute(statement).all():
            try:
                key = desk.at_rest.of(row.application, row.wrapped_key)
                case = opened_case(row.sealed, key)
            except SealError:
                case = None
            yield LentCase(row, account_of(hand.connection, row, day), case)


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
    account = state(_contract(loan), [*before, event], event.day)
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
    _note_settled(hand.connection, account, event)
    return True


def _note_settled(connection: Connection, account: Account, event: LoanEvent) -> None:
    """Only a correction lets a loan be owed again that was settled."""
    mine = settled_loans.c.loan == account.contract.id
    if isinstance(event, Corrected):
        connection.execute(delete(settled_loans).where(mine))
    if account.settled_on is not None and connection.scalar(select(exists().where(mine))) is False:
        row = {"loan": account.contract.id, "settled_on": account.settled_on}
        connection.execute(insert(settled_loans).values(row))
