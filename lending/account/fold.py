"""The fold: what each event does to a loan, and what time does. Pure.

Whatever cannot have happened raises AccountError, and nothing changes: a day that goes back, an
event out of order (book it by ``Corrected``), one id for two events, a refund of more than is held,
a waiver of more than is owed, a step that the loan's status does not allow. An overpayment is held
for its owner.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from lending.account.allocation import BUCKETS, COMPONENTS, THIRD_PARTIES, Head, OpenClaim, allocate
from lending.account.balances import DIFFICULTY_DPD, Account, Mark, Spell
from lending.account.events import (
    ChargedOff,
    Concession,
    Corrected,
    Disbursed,
    Extended,
    FeeCharged,
    GraceGranted,
    LoanContract,
    LoanEvent,
    Payer,
    Recovered,
    Refunded,
    Repaid,
    Restructured,
    SettledEarly,
    Waived,
    head_of,
)
from lending.account.restructuring import extended, restructured
from lending.account.rows import Claim, DueRow, accrued, rows_of
from lending.account.states import LoanStatus, next_loan_status
from lending.errors import AccountError


def opened(contract: LoanContract) -> Account:
    """A loan to which nothing has happened."""
    return Account(contract, date.min)


def state(contract: LoanContract, events: Iterable[LoanEvent], day: date) -> Account:
    """The loan at the end of ``day``, of the events up to that day; later ones are not known yet.

    Raises:
        AccountError: the events cannot have happened so.
    """
    return resume(opened(contract), events, day)


def resume(account: Account, events: Iterable[LoanEvent], day: date) -> Account:
    """The account with more events: what :func:`state` says of all of them.

    Raises:
        AccountError: as :func:`state` does; or the account is known as of a later day.
    """
    if day < account.day:
        raise AccountError(
            f"loan {account.contract.id} is known as of {account.day}; it cannot go back to {day}: "
            "fold its events again"
        )
    seen = tuple(one for one in _distinct((*account.events, *events)) if one.day <= day)
    fresh = list(seen[len(account.events) :])
    if any(isinstance(one, Corrected) or one.day < account.day for one in fresh):
        account, fresh = opened(account.contract), happened(seen)
    for event in fresh:
        account = _applied(account, event)
    return replace(_advanced(account, day), events=seen)


def _distinct(events: Sequence[LoanEvent]) -> list[LoanEvent]:
    """Each event once, in the order in which they were booked."""
    named: dict[str, LoanEvent] = {}
    found: list[LoanEvent] = []
    for event in events:
        if event.id in named:
            if named[event.id] != event:
                raise AccountError(f"two events are called {event.id}: give the second its own id")
            continue
        if found and event.day < found[-1].day:
            raise AccountError(
                f"event {event.id} of {event.day} comes after one of {found[-1].day}: book it as a "
                "correction"
            )
        found.append(event)
        for one in (event, *(event.instead if isinstance(event, Corrected) else ())):
            if named.setdefault(one.id, one) is not one:
                raise AccountError(f"two events are called {one.id}: give the second its own id")
    return found


def happened(events: Iterable[LoanEvent]) -> list[LoanEvent]:
    """What happened as far as is known now: without what was corrected, with what was put there.

    Raises:
        AccountError: a correction names what cannot be corrected.
    """
    found: list[LoanEvent] = []
    for event in events:
        if not isinstance(event, Corrected):
            found.append(event)
            continue
        gone = {one.id: one for one in found if one.id in event.corrects}
        if len(gone) < len(event.corrects) or any(isinstance(o, Disbursed) for o in gone.values()):
            raise AccountError(
                f"correction {event.id} names an event that is not booked, is corrected already, "
                "or is the disbursement: it can name any other"
            )
        found = [one for one in found if one.id not in gone] + list(event.instead)
        found.sort(key=lambda one: one.day)
    return found


def _advanced(account: Account, day: date) -> Account:
    """The account at the end of ``day``, if nothing happens until then but time."""
    if account.status in {LoanStatus.ACTIVE, LoanStatus.EXTENDED, LoanStatus.RESTRUCTURED}:
        stops = {stop for row in account.rows for stop in (row.asks_on, row.due)}
        for stop in sorted(one for one in stops if account.day < one <= day):
            account = _passed(account, stop)
            account = _settled(_clocked(_met(_charged(account))))
    return _clocked(_passed(account, day))


def _passed(account: Account, day: date) -> Account:
    """Interest and penalties up to ``day``; none on what is charged off."""
    rows = account.rows
    if day > account.day and account.status not in {LoanStatus.CHARGED_OFF, LoanStatus.SETTLED}:
        rows = accrued(rows, account.contract, account.day, day)
    return replace(account, rows=rows, day=day)


def _charged(account: Account) -> Account:
    """What the contract asks for today, fees among it."""
    alive = any(row.principal.open for row in account.rows if row.due >= account.day)
    rows = (row.reached(alive) if row.asks_on == account.day else row for row in account.rows)
    return replace(account, rows=tuple(rows))


def _met(account: Account, ahead: bool = False, payer: Payer = "borrower") -> Account:
    """What is held meets what is due, or all there is if it may go ahead. Only the borrower's own
    money counts for the clock; a guarantor or an insurer answers for the lender's claims alone."""
    if not account.held:
        return account
    rows, paid = list(account.rows), account.paid
    claims = _claims(account, ahead)
    if payer in {"guarantor", "insurer"}:
        claims = [one for one in claims if one.payee == "lender"]
    used, left = allocate(account.held, claims, account.contract.order)
    for claim, amount in used:
        counts = payer == "borrower"
        rows[claim.place] = rows[claim.place].settle(claim.head, amount, counts)
        paid = paid.plus(claim.head, amount)
    return replace(account, rows=tuple(rows), held=left, paid=paid)


def _claims(account: Account, ahead: bool) -> list[OpenClaim]:
    """What a payment may meet. What the contract asked for by today is due, even where the present
    plan gives more time: who pays it shall have paid it."""
    found, day = [], account.day
    for place, row in enumerate(account.rows):
        if row.asks_on > day and not ahead:
            continue
        bucket = BUCKETS[0 if row.due < day else 1 if row.asks_on <= day else 2]
        for what in COMPONENTS:
            if amount := getattr(row, what).open:
                found.append(OpenClaim(place, bucket, what, amount))
        for who in THIRD_PARTIES:
            if amount := getattr(row, who).open:
                found.append(OpenClaim(place, bucket, "fees", amount, who))
    return found


def _clocked(account: Account) -> Account:
    """The contractual clock after whatever happened."""
    late = None
    if account.status is not LoanStatus.SETTLED:
        past = (row for row in account.rows if row.origin and row.origin < account.day)
        late = min((row.origin for row in past if row.origin and row.unmet), default=None)
    spells = account.arrears
    running = spells[-1] if spells and spells[-1].until is None else None
    if (running and running.since) == late:
        return account
    if running:
        spells = (*spells[:-1], replace(running, until=account.day))
    return replace(account, arrears=(*spells, Spell(late)) if late else spells)


def _settled(account: Account) -> Account:
    """Settled, if nothing is owed to the lender any more."""
    over = account.status not in {LoanStatus.AGREED, LoanStatus.SETTLED}
    if not over or any(row.lenders for row in account.rows):
        return account
    status = next_loan_status(account.status, "settle")
    return _clocked(replace(account, status=status, settled_on=account.day))


# --- one event


def _applied(account: Account, event: LoanEvent) -> Account:
    account = _advanced(account, event.day)
    try:
        status = next_loan_status(account.status, event.step)
    except AccountError as error:
        raise AccountError(f"event {event.id} of loan {account.contract.id}: {error}") from None
    account = _changed(replace(account, status=status), event)
    return _settled(_clocked(account))


def _changed(account: Account, event: LoanEvent) -> Account:
    match event:
        case Disbursed():
            return _disbursed(account, event)
        case Repaid() | Recovered():
            return _paid(account, event)
        case SettledEarly():
            return _settled_early(account, event)
        case FeeCharged():
            return _met(_with_fees(account, {head_of(event.payee): event.amount}))
        case GraceGranted():
            return _concession(_with_grace(account, event), event)
        case Extended():
            return _extended(_concession(account, event), event)
        case Restructured():
            account = _concession(account, event)
            rows = restructured(account.rows, event, account.contract)
            return replace(account, rows=rows, restructured_on=event.day)
        case Waived():
            debt = event.component in {"interest", "principal"}
            return _waived(_concession(account, event) if debt else account, event)
        case ChargedOff():
            account = _met(account, ahead=True)  # what is held is set off first
            lost = account.outstanding.lender
            return _marked(replace(account, written_off=lost), "charged-off")
        case Refunded():
            return _refunded(account, event)
        case _:
            raise AccountError(f"event {event.id} is a {type(event).__name__}, which is no event")


def _marked(account: Account, mark: Mark) -> Account:
    return replace(account, marks=(*account.marks, (account.day, mark)))


def _concession(account: Account, event: Concession) -> Account:
    """Forbearance, if the borrower is in difficulty: as the lender says, or late when the plan was
    changed, or long late when something was let go; principal is let go in no other case."""
    match event:
        case Extended() | Restructured():
            late = account.past_due_ungraced > 0
        case Waived(component="principal"):
            late = event.amount > 0
        case _:
            late = account.dpd >= DIFFICULTY_DPD
    if event.in_difficulty or late:
        return _marked(account, "forborne")
    return account


def _disbursed(account: Account, event: Disbursed) -> Account:
    contract = account.contract
    if (event.day, event.amount) != (contract.starts, contract.principal):
        raise AccountError(
            f"loan {contract.id} is of {contract.principal} fen from {contract.starts}, but "
            f"{event.id} pays out {event.amount} on {event.day}: make the contract for what is paid"
        )
    return replace(account, rows=rows_of(contract))


def _paid(account: Account, event: Repaid | Recovered) -> Account:
    """A prepayment leaves what is held to the due that it waits for, unless both settle the
    loan."""
    ahead = isinstance(event, Recovered) or event.prepays or event.payer != "borrower"
    if event.payer != "borrower":
        outstanding = account.outstanding
        owed = outstanding.total if event.payer == "lender" else outstanding.lender
        if event.amount > owed:
            raise AccountError(
                f"the {event.payer} pays {event.amount} fen, but {owed} fen are owed: a third "
                "party cannot overpay"
            )
        late = account.past_due_ungraced > 0 or account.dpd >= DIFFICULTY_DPD
        if event.payer == "lender":
            account = _marked(account, "refinanced")
        if late:
            account = _marked(account, "forborne" if event.payer == "lender" else "claimed")
    own, held = event.payer == "borrower", account.held
    part = isinstance(event, Repaid) and ahead and held + event.amount < account.outstanding.total
    kept = held if part or not own else 0
    received = account.received + event.amount
    now = replace(account, held=held - kept + event.amount, received=received)
    met = _met(now, ahead, event.payer)
    return replace(met, held=met.held + kept)


def _settled_early(account: Account, event: SettledEarly) -> Account:
    """All of it is met, with what is charged for it; more than that is held for its owner."""
    if not account.not_due.principal:
        raise AccountError(
            f"after {account.day} nothing of loan {account.contract.id} falls due: book what came "
            "as a repayment"
        )
    fees: dict[Head, int] = {"fees": event.fees, **dict(event.others)}
    charged = _with_fees(account, fees) if any(fees.values()) else account
    asked = charged.outstanding.total - charged.held - event.rebate
    if event.amount < asked:
        raise AccountError(
            f"{event.id} brings {event.amount} fen, but {asked} settle loan {account.contract.id} "
            f"on {account.day}: book it as a repayment, or settle when the rest is there"
        )
    held, received = charged.held + event.amount + event.rebate, charged.received + event.amount
    given_back = charged.paid.plus("fees", -event.rebate)
    met = _met(replace(charged, held=held, received=received, paid=given_back), ahead=True)
    if met.paid.fees < 0:
        raise AccountError(f"{event.id} gives back {event.rebate} fen of fees: less was charged")
    return met


def _with_fees(account: Account, fees: Mapping[Head, int]) -> Account:
    today = account.day
    charged: dict[str, Any] = {head: Claim(amount) for head, amount in fees.items()}
    row = DueRow(None, today, today, today, **charged)
    at = sum(one.due <= today for one in account.rows)
    return replace(account, rows=(*account.rows[:at], row, *account.rows[at:]))


def _with_grace(account: Account, event: GraceGranted) -> Account:
    rows = (
        replace(row, grace_until=max(row.grace_until, event.until))
        if row.due <= event.until
        else row
        for row in account.rows
    )
    return replace(account, rows=tuple(rows))


def _extended(account: Account, event: Extended) -> Account:
    rows = extended(account.rows, event)
    later = replace(account, rows=rows)
    fees: dict[Head, int] = {"fees": event.amount, **dict(event.others)}
    return _met(_with_fees(later, fees)) if any(fees.values()) else later


def _waived(account: Account, event: Waived) -> Account:
    left, rows = event.amount, []
    for row in account.rows:
        part = min(left, getattr(row, event.head).open)
        early = row.origin is None or row.origin >= account.day
        rows.append(row.settle(event.head, part, counts=early) if part else row)
        left -= part
    if left:
        raise AccountError(
            f"{event.id} waives {event.amount} fen of {event.component} of the {event.payee}, but "
            f"only {event.amount - left} are owed: waive those"
        )
    waived = account.waived.plus(event.head, event.amount)
    return replace(account, rows=tuple(rows), waived=waived)


def _refunded(account: Account, event: Refunded) -> Account:
    if event.amount > account.held:
        raise AccountError(
            f"{event.id} refunds {event.amount} fen, but only {account.held} are held for the "
            "borrower"
        )
    held, refunded = account.held - event.amount, account.refunded + event.amount
    return replace(account, held=held, refunded=refunded)
