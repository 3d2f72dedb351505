"""Pay out what was accepted, exactly once.

The loan is found by its application and by the lender's own id of the transfer, so that a retry
finds the loan that is there, in whichever process it arrives. Consent is checked again with the
registry, the cost against the cap of the day, what the person owes by now against what the
decision knew, and all that is lent below the cut-off against what the policy allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Row, insert, select

from crypto.documents import canonical_json
from desk.accounts import (
    book,
    contract_bytes,
    explored_outstanding,
    held_loan,
    outstanding,
)
from desk.commands.accept import still_agreed
from desk.commands.repay import BackReason, require_not_long_ago
from desk.disclosing import disclosed, require_effect
from desk.errors import AboveCap
from desk.lapsing import lapsed_at, record_lapses, refusal
from desk.office import Desk, InHand, new_id
from desk.records import Held, StoredDecision, held, move
from desk.rule_documents import RuleDocument
from desk.rulebook import write_rules
from desk.states import ApplicationEvent, following
from desk.storage.idempotency import ActsOnce, made_before, remember
from desk.storage.tables import acceptances, loans
from lending.account.events import Disbursed, FeeCharged
from protocol.errors import Conflict, Malformed


@dataclass(frozen=True)
class Payment:
    """``id``: the lender's own, of the transfer. ``amount``: what the borrower received, fen: the
    principal, whatever was agreed (Civil Code 670)."""

    id: str
    amount: int
    on: date
    reason: BackReason | None = None
    """Why it was longer ago than what is booked may be."""


def disburse(
    desk: Desk,
    application: str,
    payment: Payment,
    by: str,
    once: ActsOnce | None = None,
) -> tuple[str, bool]:
    """Returns the loan's id, and whether it was there before.

    Raises:
        NotFound, NotLoggedYet, OfferLapsed, ConsentMissing, AboveCap, Conflict, Malformed: as they
            say; nothing was booked, and nothing may be paid. ConsentsUnavailable: it cannot be told
            now.
    """
    with desk.reading() as hand:
        if (earlier := _paid(hand, application, payment, once)) is not None:
            return earlier, True
        found = held(hand.connection, application)
        require_effect(found)
        until = lapsed_at(hand.connection, found, hand.moment)
        if until is None:
            following(found.status, ApplicationEvent.DISBURSE)
    if until is not None:
        desk.write(record_lapses)
        raise refusal(desk, until)
    still_agreed(desk, found)

    def record(hand: InHand) -> tuple[str, bool]:
        if (earlier := _paid(hand, application, payment, once)) is not None:
            return earlier, True
        loan = _record(desk, hand, held(hand.connection, application), (payment, by))
        remember(hand.connection, once, loan, hand.moment)
        return loan, False

    return desk.write(record)


def _paid(hand: InHand, application: str, payment: Payment, once: ActsOnce | None) -> str | None:
    """The loan of this application, if it was paid out by this payment. Raises Conflict, Malformed
    where anything else was."""
    earlier = made_before(hand.connection, once, hand.moment)
    row = hand.connection.execute(
        select(loans).where((loans.c.application == application) | (loans.c.payment == payment.id))
    ).all()
    if not row:
        return earlier
    same = len(row) == 1 and (
        row[0].application,
        row[0].payment,
        row[0].principal,
        row[0].disbursed_on,
    ) == (application, payment.id, payment.amount, payment.on)
    if not same:
        raise Conflict(
            "this application was paid out before, or this payment pays another loan; nothing may "
            "be paid a second time"
        )
    return str(row[0].id)


def _record(desk: Desk, hand: InHand, found: Held, paid: tuple[Payment, str]) -> str:
    payment, by = paid
    require_effect(found)
    if (until := lapsed_at(hand.connection, found, hand.moment)) is not None:
        raise refusal(desk, until)
    move(hand, found, ApplicationEvent.DISBURSE)
    _check_accepted(desk, hand, found, payment)
    made = found.made(desk)
    offer = made.decision.offer
    if offer is None:
        raise Conflict("the decision offers nothing")
    if payment.amount > offer.amount:
        raise Malformed(f"at most {offer.amount} fen were offered; {payment.amount} cannot be paid")
    owed = outstanding(hand.connection, found.application.pseudonym, desk.day(hand.moment))
    if owed > made.outstanding:
        raise Conflict(
            "the person owes more by now than the decision knew: apply again, and decide on that"
        )
    if found.decision.explored:
        _check_explored(desk, hand, made, payment)
    loan = new_id()
    agreed = desk.lending.agreed(offer, loan, payment.amount, payment.on)
    cost = agreed.cost
    if not cost.within:
        raise AboveCap(
            f"on {payment.on} the law caps the cost of a loan at {cost.cap} a year "
            f"({cost.cap_source}); this one would cost {max(cost.compound, cost.simple)}"
        )
    product = RuleDocument("product", canonical_json(agreed.product.payload()))
    write_rules(hand, desk.at_rest, [product])
    hand.connection.execute(
        insert(loans).values(
            id=loan,
            application=found.application.id,
            decision=found.decision.id,
            pseudonym=found.application.pseudonym,
            payment=payment.id,
            principal=payment.amount,
            disbursed_on=payment.on,
            product_hash=product.sha256,
            contract=contract_bytes(agreed.contract),
        )
    )
    event = Disbursed(id=payment.id, day=payment.on, amount=payment.amount)
    row = held_loan(hand.connection, loan)
    book(hand, row, event, by, payment.reason)
    if agreed.upfront:  # beside the principal, never out of it
        fee = FeeCharged(id=f"{payment.id}/start", day=payment.on, amount=agreed.upfront)
        book(hand, row, fee, by, payment.reason)
    return loan


def _check_explored(desk: Desk, hand: InHand, made: StoredDecision, payment: Payment) -> None:
    """Raises Conflict where all that is lent below the cut-off would be more than the policy
    allows: the decision knew what was owed on its day, and not what else was accepted since."""
    owed = explored_outstanding(hand.connection, desk.day(hand.moment))
    most = desk.lending.most_explored(made.case)
    if owed + payment.amount > most:
        raise Conflict(
            f"{owed} fen are owed on loans below the cut-off, and the policy allows {most}: this "
            "one may not be paid out now; pay when others were repaid, or have a person decide"
        )


def _check_accepted(desk: Desk, hand: InHand, found: Held, payment: Payment) -> None:
    """Raises Malformed where money moved before it was agreed to, will move, or moved long ago;
    Conflict where the loan is by now another than the one that was confirmed."""
    accepted: Row[Any] = hand.connection.execute(
        select(acceptances).where(acceptances.c.application == found.application.id)
    ).one()
    today = desk.day(hand.moment)
    if not desk.day(accepted.accepted_at) <= payment.on <= today:
        raise Malformed(
            f"the money was received on {payment.on}: that is before the offer was accepted, or "
            "still to come"
        )
    require_not_long_ago(payment.on, today, payment.reason)
    if disclosed(desk, found).hash != accepted.disclosure_sha256:
        raise Conflict(
            "the product has changed since the borrower confirmed what it costs: pay under the "
            "product that was confirmed, or apply again"
        )
