"""A person decides what a machine should not decide alone.

Whoever takes a case is shown what it rested on (``show_case``) and what the machine said of it;
they write their own reasons. With four eyes a second person has to agree, who is not the first and
has seen the case too. A review's decision is stated in the log as a machine's is, under the
review's own id, and before a person reads the case, that is stated too: it is part of the same use
of the person's consents. It is decided under the policy, the law and the product of its own day, by
whom is kept, and both are stated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal

from sqlalchemy import Row, func, select

from desk.accounts import outstanding
from desk.commands.apply import await_log, rested_on, state
from desk.commands.show_case import case_shown
from desk.consents import Permission
from desk.disclosing import require_effect
from desk.errors import ConsentMissing, RulesMissing
from desk.lending_rules import Versions
from desk.office import Desk, InHand
from desk.records import (
    Held,
    Reviewed,
    StoredDecision,
    blinding_from,
    blinding_json,
    held,
    move,
    write_decision,
)
from desk.reviewing import (
    STEP,
    HeldReview,
    held_review,
    open_review,
    readers,
    steps,
    write_step,
)
from desk.rulebook import keep
from desk.states import ApplicationEvent, ReviewEvent, ReviewStatus, review_following
from desk.storage.idempotency import ActsOnce, made_before, remember
from desk.storage.tables import decisions
from lending.cases import Case, Decision, PrincipalReason
from protocol.errors import Conflict, Malformed, NotAllowed
from protocol.uses import Blinding

MOST_REASONS = 4
PERSON = "applicant"
"""Who wrote a step that is no reviewer's."""


@dataclass(frozen=True)
class Verdict:
    """What a reviewer decides."""

    outcome: Literal["approve", "decline"]
    reasons: tuple[str, ...]
    """The reviewer's own, one to four. "The score was too low" is none (Reg B comment
    9(b)(2)-3)."""
    amount: int | None = None
    """Of an approval; what was asked for, if nothing is said."""
    term_days: int | None = None


def take(desk: Desk, review: str, staff: str, if_match: str | None = None) -> dict[str, Any]:
    """Take a case out of the queue, or as the second pair of eyes read what is proposed; see what
    it rested on.

    Raises:
        NotFound, PreconditionFailed; Conflict: somebody else has it, or the decision is void.
        ConsentMissing, UseRefused: the person has taken back a consent that the case rests on, in
            whole or in part; nobody reads it, not even who has read it before.
    """
    with desk.reading() as hand:
        found = held_review(hand.connection, review)
        found.require(if_match)
        application = held(hand.connection, found.row.application)
        require_effect(application)
        again = found.row.taken_by == staff or staff in readers(hand.connection, review)
        again = again and found.status in {ReviewStatus.TAKEN, ReviewStatus.PROPOSED}
        proposed = found.status is ReviewStatus.PROPOSED
        if not again:  # before it is stated that somebody reads
            review_following(found.status, ReviewEvent.READ if proposed else ReviewEvent.TAKE)
        taken = _taken(hand, review)
    made = application.made(desk)
    permission = still_permitted(desk, made.permission)
    if again:
        return case_shown(desk, application, review, permission)
    key = application.key(desk)
    if taken is None:
        blinding = Blinding.of(review, made.blinding)
        read = desk.trail.read(blinding, permission, rested_on(desk, made, permission))
    else:  # somebody took it before: that it is read was stated then
        blinding, read = blinding_from(review, key.open(STEP, taken.sealed)), None

    def record(hand: InHand) -> None:
        now = held_review(hand.connection, review)
        now.require(if_match)
        if proposed:
            write_step(hand, now, ReviewEvent.READ, staff, (key, {}))
            return
        write_step(hand, now, ReviewEvent.TAKE, staff, (key, blinding_json(blinding)))
        if read is not None:
            desk.trail.keep(hand, read)

    desk.write(record)
    return case_shown(desk, application, review, permission)


def still_permitted(desk: Desk, before: Permission) -> Permission:
    """How the person stands now to all that a case rests on. The registry is asked, however young
    the copy is.

    Raises:
        ConsentMissing: something of it may not be used any more. ConsentsUnavailable.
    """
    lost = desk.permits.check_again(before)
    found = desk.permits.check(before.pseudonym, sorted(before.granted))
    if lost or found.refused or not found.consents:
        kinds = ", ".join(sorted({one.category for one in lost} | set(found.refused)))
        raise ConsentMissing(
            f"what this case rests on may not be used any more ({kinds}); nobody reads it, and "
            "nothing is decided on it"
        )
    return found


def put_back(desk: Desk, review: str, staff: str) -> None:
    """Let somebody else do it. Raises NotFound, NotAllowed, Conflict."""

    def record(hand: InHand) -> None:
        found = held_review(hand.connection, review)
        _holds(found, staff)
        application = held(hand.connection, found.row.application)
        write_step(hand, found, ReviewEvent.PUT_BACK, staff, (application.key(desk), {}))

    desk.write(record)


def decide_review(
    desk: Desk, review: str, staff: str, said: Verdict, once: ActsOnce | None = None
) -> None:
    """Decide, or with four eyes propose, with reasons of one's own.

    Raises:
        NotAllowed: somebody else has taken it. Malformed: no reasons, or too many. Conflict: what
            is approved cannot be offered under the cap, or the review is not open.
    """
    if not 1 <= len(said.reasons) <= MOST_REASONS or not all(map(str.strip, said.reasons)):
        raise Malformed(f"a person decides with one to {MOST_REASONS} reasons of their own")
    event = ReviewEvent.PROPOSE if desk.ways.four_eyes else ReviewEvent.DECIDE
    _settle(desk, review, (staff, event), said, once)


def second(desk: Desk, review: str, staff: str, agrees: bool, once: ActsOnce | None = None) -> None:
    """The second pair of eyes: agree to what was proposed, or put the case back.

    Raises:
        NotAllowed: it is the same person. Conflict: nothing is proposed, or they have not read the
            case since it was.
    """
    event = ReviewEvent.AGREE if agrees else ReviewEvent.DISAGREE
    _settle(desk, review, (staff, event), None, once)


def contest(
    desk: Desk, application: str, view: str | None = None, once: ActsOnce | None = None
) -> str:
    """The applicant wants a person to look at a machine's decision (PIPL 24, GDPR 22(3)); returns
    the review's id.

    Args:
        view: what they say of it, in their own words, for whoever reviews.

    Raises:
        NotFound, Conflict. SealError: forgotten.
    """

    def record(hand: InHand) -> str:
        earlier = made_before(hand.connection, once, hand.moment)
        if earlier is not None:
            return earlier
        found = held(hand.connection, application)
        require_effect(found)
        if found.decision.by != "machine":
            raise Conflict("a person has decided this already; complain to the lender")
        move(hand, found, ApplicationEvent.CONTEST)
        review = open_review(hand, application)
        if view is not None:
            told = (found.key(desk), {"view": view})
            write_step(hand, held_review(hand.connection, review), ReviewEvent.SAY, PERSON, told)
        remember(hand.connection, once, review, hand.moment)
        return review

    return desk.write(record)


# --- what a decision of a person is made of


def _settle(
    desk: Desk,
    review: str,
    step: tuple[str, ReviewEvent],
    said: Verdict | None,
    once: ActsOnce | None,
) -> None:
    staff, event = step
    with desk.reading() as hand:
        if made_before(hand.connection, once, hand.moment) is not None:
            return
        found = held_review(hand.connection, review)
        _may(hand, found, staff, event)
        application = held(hand.connection, found.row.application)
        proposal = _proposal(hand, review)
    final = event in {ReviewEvent.DECIDE, ReviewEvent.AGREE}
    made = None
    if final or said is not None:
        permission = still_permitted(desk, application.made(desk).permission)
        made = _made(desk, found, application, (staff, said), permission)

    def record(hand: InHand) -> None:
        if made_before(hand.connection, once, hand.moment) is not None:
            return
        now = held_review(hand.connection, review)
        _may(hand, now, staff, event)
        if _proposal(hand, review) != proposal:
            raise Conflict("something else is proposed by now: read that first")
        current = held(hand.connection, now.row.application)
        key = current.key(desk)
        content = (
            {}
            if said is None
            else {
                "outcome": said.outcome,
                "reasons": list(said.reasons),
                "amount": said.amount,
                "term_days": said.term_days,
            }
        )
        write_step(hand, now, event, staff, (key, content))
        if final and made is not None:
            approved = made.decision.outcome == "approve"
            happened = ApplicationEvent.OFFER if approved else ApplicationEvent.REFUSE
            move(hand, current, happened)
            number = hand.connection.scalar(
                select(func.max(decisions.c.number)).where(
                    decisions.c.application == current.application.id
                )
            )
            write_decision(hand, made, (number or 0) + 1, key)
            state(desk, hand, made)
        remember(hand.connection, once, review, hand.moment)

    desk.write(record)
    if final:
        await_log(desk, review)


def _may(hand: InHand, found: HeldReview, staff: str, event: ReviewEvent) -> None:
    """Raises NotAllowed, Conflict."""
    if event in {ReviewEvent.AGREE, ReviewEvent.DISAGREE}:
        if found.status is ReviewStatus.PROPOSED and found.row.taken_by == staff:
            raise NotAllowed("the second pair of eyes is another person's than the first")
        review_following(found.status, event)
        if staff not in readers(hand.connection, found.row.id):
            raise Conflict("the second pair of eyes reads the case and what is proposed first")
        return
    _holds(found, staff)


def _holds(found: HeldReview, staff: str) -> None:
    if found.status is ReviewStatus.TAKEN and found.row.taken_by != staff:
        raise NotAllowed("somebody else has taken this review")


def _verdict(
    desk: Desk, found: HeldReview, application: Held, who: tuple[str, Verdict | None]
) -> tuple[Verdict, list[str]]:
    """What is decided and by whom: what was just said, or what was proposed and is agreed to."""
    staff, said = who
    if said is not None:
        return said, [staff]
    with desk.reading() as hand:
        proposed = _proposal(hand, found.row.id)
    if proposed is None:
        raise Conflict("nothing is proposed that could be agreed to")
    content = application.key(desk).open(STEP, proposed.sealed)
    verdict = Verdict(
        content["outcome"], tuple(content["reasons"]), content["amount"], content["term_days"]
    )
    return verdict, [proposed.by, staff]


def _made(
    desk: Desk,
    found: HeldReview,
    application: Held,
    who: tuple[str, Verdict | None],
    permission: Permission,
) -> StoredDecision:
    """The decision of a person, of the same case as the machine's, under what is in force now."""
    verdict, staff = _verdict(desk, found, application, who)
    before = application.made(desk)
    moment = desk.now()
    case = before.case
    with desk.reading() as hand:
        owed = outstanding(hand.connection, application.application.pseudonym, moment.date())
    under = _under(desk, case, verdict, moment.date())
    offer = None
    if verdict.outcome == "approve":
        asked = case.application
        amount = asked.amount if verdict.amount is None else verdict.amount
        if amount > asked.amount:
            raise Malformed(f"{asked.amount} fen were asked for; nobody is offered more")
        offer = desk.lending.offer(
            replace(case, now=moment, outstanding=owed),
            amount,
            asked.term_days if verdict.term_days is None else verdict.term_days,
        )
        if offer is None:
            raise Conflict("what is approved cannot be offered: no price fits under the cap")
    decision = Decision(
        application=case.application.id,
        outcome=verdict.outcome,
        scored=case.scored,
        offer=offer,
        reasons=_reasons(verdict.reasons),
        trace=(),
        case_hash=before.decision.case_hash,
        decided_at=moment,
    )
    return StoredDecision(
        case,
        decision,
        permission,
        _blinding(desk, found, application),
        before.sources,
        by="+".join(staff),
        reviewed=Reviewed(
            staff=[desk.at_rest.alias(one) for one in staff],
            model_hash=case.model_hash,
            policy_hash=under.policy,
            law_hash=under.law,
            product_hash=under.product,
            outstanding=owed,
        ),
    )


def _under(desk: Desk, case: Case, verdict: Verdict, day: date) -> Versions:
    """What is in force on the day of the review. A person may decline where nothing is: by what the
    machine's case says. Raises RulesMissing."""
    try:
        found = desk.lending.versions(case.application.product, day)
    except RulesMissing:
        if verdict.outcome == "approve":
            raise
        return Versions(
            case.model_hash, case.policy_hash, case.law_hash, case.release_hash, product=""
        )
    keep(desk, {found.policy, found.law, found.release})
    return found


def _reasons(own: Sequence[str]) -> tuple[PrincipalReason, ...]:
    return tuple(PrincipalReason("reviewer", "rule", detail={"text": text}) for text in own)


def _blinding(desk: Desk, found: HeldReview, application: Held) -> Blinding:
    """The one under which it was stated that the case was read: that of the newest taking."""
    with desk.reading() as hand:
        taken = _taken(hand, found.row.id)
    if taken is None:
        raise Conflict("a review is taken before it is decided")
    return blinding_from(found.row.id, application.key(desk).open(STEP, taken.sealed))


def _taken(hand: InHand, review: str) -> Row[Any] | None:
    """The newest time that somebody took it."""
    taken = [step for step in steps(hand.connection, review) if step.event == ReviewEvent.TAKE]
    return taken[-1] if taken else None


def _proposal(hand: InHand, review: str) -> Row[Any] | None:
    """The newest."""
    made = [one for one in steps(hand.connection, review) if one.event == ReviewEvent.PROPOSE]
    return made[-1] if made else None
