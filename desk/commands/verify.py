"""Have a third party verify something that an applicant stated.

It needs the person's consent to that kind of data, and that it is read is stated in the log before
anybody is asked. What was said is kept for whoever reviews; it changes no decision by itself.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from sqlalchemy import insert

from desk.disclosing import require_effect
from desk.errors import ConsentMissing
from desk.lapsing import lapsed_at
from desk.office import Desk, InHand, new_id
from desk.records import held
from desk.sources import Inquiry
from desk.states import ApplicationStatus
from desk.storage.idempotency import ActsOnce, made_before, remember
from desk.storage.tables import verifications
from desk.verifying import Verification, Verifying
from law.categories import DataCategory
from protocol.errors import Conflict
from protocol.uses import Blinding

WANTED = {ApplicationStatus.IN_REVIEW, ApplicationStatus.OFFERED, ApplicationStatus.ACCEPTED}
"""As what an application stands on which something is decided still."""
logger = logging.getLogger("tahini.desk")


@dataclass(frozen=True)
class VerificationWanted:
    """``kind``: what is to be verified, in the words that lender and verifier agreed on."""

    application: str
    kind: str
    asked_by: str


def verify(
    desk: Desk, verifier: Verifying, wanted: VerificationWanted, once: ActsOnce | None = None
) -> str:
    """Ask, and keep what was said; returns the verification's id.

    Raises:
        NotFound; ConsentMissing: the person has not agreed to this kind of data. Conflict,
            NotLoggedYet: nothing is decided any more, or yet, on what would be said.
        ConsentsUnavailable, RegistryUnavailable: nothing can be told or logged; nobody was asked.
    """
    with desk.reading() as hand:
        earlier = made_before(hand.connection, once, hand.moment)
        if earlier is not None:
            return earlier
        found = held(hand.connection, wanted.application, wanted.application)
        require_effect(found)
        if found.status not in WANTED or lapsed_at(hand.connection, found, hand.moment):
            raise Conflict(
                f"an application that is {found.status} waits for nobody's word; nobody was asked"
            )
        pseudonym = found.application.pseudonym
    category = verifier.about.category
    # what is ordinary comes with every use of somebody's data
    permission = desk.permits.check(pseudonym, sorted({category, DataCategory.REPAYMENT}))
    if category not in permission.granted:
        raise ConsentMissing(
            f"this person has not agreed to anybody being asked about {category}; nobody was"
        )
    made = new_id()
    # part of the use that the application is: no further consent to one use is used up
    blinding = Blinding.of(made, found.made(desk).blinding)
    read = desk.trail.read(blinding, permission, {verifier.about.name: category})
    said = _said(verifier, wanted.kind, Inquiry(wanted.application, pseudonym, desk.now()))

    def record(hand: InHand) -> str:
        earlier = made_before(hand.connection, once, hand.moment)
        if earlier is not None:
            return earlier
        desk.trail.keep(hand, read)
        hand.connection.execute(
            insert(verifications).values(
                id=made,
                application=wanted.application,
                kind=wanted.kind,
                provider=verifier.about.name,
                result=said.result,
                evidence_sha256=said.evidence_sha256,
                asked_by=wanted.asked_by,
                asked_at=hand.moment,
            )
        )
        remember(hand.connection, once, made, hand.moment)
        return made

    return desk.write(record)


def _said(verifier: Verifying, kind: str, inquiry: Inquiry) -> Verification:
    try:
        return verifier.verify(kind, inquiry)
    except Exception as error:  # whatever an adapter raises: its words may hold a person's data
        logger.warning("verifier %s gives no answer: %s", verifier.about.name, type(error).__name__)
        return Verification("late")
