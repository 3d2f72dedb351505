"""Accept an offer, or walk away from it.

Consent is checked again: whoever took it back between offer and acceptance is not lent to on a
decision that rested on it. What the borrower confirmed is the disclosure table, by its hash.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Row, insert, select

from desk.disclosing import disclosed, require_effect
from desk.errors import ConsentMissing, NotReadYet, OfferExpired
from desk.office import Desk, InHand
from desk.records import Held, held, move
from desk.states import ApplicationEvent, following
from desk.storage.idempotency import ActsOnce, made_before, remember
from desk.storage.tables import acceptances, disclosures, offers
from protocol.errors import Conflict


@dataclass(frozen=True)
class Acceptance:
    """What the borrower says yes to."""

    decision: str
    """The id of the decision whose offer it is: not of another that came later."""
    disclosure_sha256: str


def accept(
    desk: Desk,
    application: str,
    said: Acceptance,
    if_match: str | None = None,
    once: ActsOnce | None = None,
) -> None:
    """Take the offer.

    Raises:
        NotFound, PreconditionFailed, NotLoggedYet, NotReadYet, OfferExpired, ConsentMissing,
            Conflict: as they say; nothing was changed.
        ConsentsUnavailable: whether the person still agrees cannot be told now.
    """
    with desk.reading() as hand:
        if made_before(hand.connection, once, hand.moment) is not None:
            return
        found = held(hand.connection, application)
        found.require(if_match)
        _offered(desk, hand, found, said)
    table = disclosed(desk, found)
    if not hmac.compare_digest(table.hash, said.disclosure_sha256):
        raise Conflict(
            "what was confirmed is not the table of what this offer costs; show that one, and have "
            "it confirmed"
        )
    still_agreed(desk, found)

    def record(hand: InHand) -> None:
        if made_before(hand.connection, once, hand.moment) is not None:
            return
        found = held(hand.connection, application)
        found.require(if_match)
        if _offered(desk, hand, found, said) != said.disclosure_sha256:
            raise Conflict(
                "the product has changed since the table of what this loan costs was shown: apply "
                "again"
            )
        move(hand, found, ApplicationEvent.ACCEPT)
        hand.connection.execute(
            insert(acceptances).values(
                application=application,
                decision=said.decision,
                disclosure_sha256=said.disclosure_sha256,
                accepted_at=hand.moment,
                pay_by=hand.moment + timedelta(days=table.payout_days),
            )
        )
        remember(hand.connection, once, application, hand.moment)

    desk.write(record)


def withdraw(
    desk: Desk, application: str, if_match: str | None = None, once: ActsOnce | None = None
) -> None:
    """The applicant does not want the loan any more. Raises NotFound, PreconditionFailed,
    Conflict."""

    def record(hand: InHand) -> None:
        if made_before(hand.connection, once, hand.moment) is not None:
            return
        found = held(hand.connection, application)
        found.require(if_match)
        move(hand, found, ApplicationEvent.WITHDRAW)
        remember(hand.connection, once, application, hand.moment)

    desk.write(record)


def offer_of(hand: InHand, decision: str) -> Row[object]:
    """Raises Conflict where the decision offers nothing."""
    row = hand.connection.execute(select(offers).where(offers.c.decision == decision)).one_or_none()
    if row is None:
        raise Conflict("the decision offers nothing")
    return row


def still_agreed(desk: Desk, found: Held) -> None:
    """Raises ConsentMissing, ConsentsUnavailable."""
    lost = desk.permits.check_again(found.made(desk).permission)
    if lost:
        kinds = ", ".join(sorted(one.category for one in lost))
        raise ConsentMissing(
            f"the person has taken back a consent that the decision rested on ({kinds}); the offer "
            "stands on nothing now"
        )


def _offered(desk: Desk, hand: InHand, found: Held, said: Acceptance) -> str:
    """The hash of the table that was shown. Raises what :func:`accept` raises, but for consents."""
    require_effect(found)
    following(found.status, ApplicationEvent.ACCEPT)
    if found.decision.id != said.decision:
        raise Conflict("there is a later decision than the one that is accepted; read it first")
    offer = offer_of(hand, said.decision)
    if hand.moment > offer.valid_until:
        raise OfferExpired(
            f"the offer was good until {offer.valid_until:%Y-%m-%d %H:%M} UTC; apply again"
        )
    of_it = disclosures.c.decision == said.decision
    shown = hand.connection.execute(select(disclosures).where(of_it)).one_or_none()
    if shown is None or hand.moment - shown.shown_at < desk.ways.reading:
        raise NotReadYet(
            "the table of what this loan costs is shown first, for "
            f"{desk.ways.reading.total_seconds():.0f} seconds at least; then it can be accepted"
        )
    return str(shown.disclosure_sha256)
