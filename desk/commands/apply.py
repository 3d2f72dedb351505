"""Decide an application, in this order and no other (invariant 12):

1. the person's consent to *this* purpose is looked up; without it nothing else happens
2. ``use.read`` stands in the log
3. the sources are asked, each with its own deadline, none that the person refused
4. score, policy: pure
5. application, decision and its statement (``use.scored``) are one transaction
6. the log gives the statement an index; only then is there anything to be shown

A process that is killed before 5 has decided nothing, and the retry begins anew; one that is killed
after 5 has decided, and whoever comes next takes the statement to the log.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import date
from functools import partial

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from crypto.errors import TahiniError
from desk.accounts import explored_outstanding, explored_reserved, outstanding_of
from desk.challenging import beside, challenger_of
from desk.consents import ConsentsUnavailable, Permission
from desk.courses import Course, StepQuestion, alone
from desk.errors import AssessmentMissing, ConsentMissing, RulesMissing
from desk.lending_rules import NO_MODEL
from desk.office import LOG_PATIENCE_S, Desk, InHand, Job, new_id
from desk.records import StoredDecision, explored, write_decision
from desk.reviewing import open_review
from desk.rulebook import keep_rules
from desk.sources import Inquiry, Readable, named
from desk.statements import Decided
from desk.states import FIRST
from desk.storage.idempotency import ActsOnce, made_before, remember
from desk.storage.tables import applications
from desk.trail import AboutToRead, LoggedUse
from law.categories import DataCategory
from lending.cases import Application, Case, Fact
from protocol.errors import Conflict, ConsentError, Malformed, StorageFailed
from protocol.uses import Blinding

logger = logging.getLogger("tahini.desk")
EXPLORED = "exploration_outstanding"
"""The one fact about an applicant that is about the lender's own books."""


@dataclass(frozen=True)
class LoanWanted:
    """What somebody asks for, as the lender's system hands it in. ``pseudonym``: the person's name
    at this lender."""

    pseudonym: str
    product: str
    amount: int
    term_days: int
    purpose: str
    wants_person: bool = False


@dataclass(frozen=True)
class DecidedApplication:
    """What came of an application. ``made``, ``index``: what was decided just now and where the log
    has it; None of what an earlier request made, and while the log has no index."""

    application: str
    made: StoredDecision | None = None
    index: int | None = None


def apply(desk: Desk, wanted: LoanWanted, once: ActsOnce | None = None) -> DecidedApplication:
    """Decide an application, or say what the same request made before; waits for the log.

    Raises:
        ConsentMissing: the person has not agreed to be scored; nothing was read.
        RulesMissing: no policy for the product is in force; nothing was read.
        AssessmentMissing: the lender has not assessed this use; nothing was read.
        Conflict: the last that may be lent below the cut-off went to somebody else meanwhile.
        ConsentsUnavailable, RegistryUnavailable: nothing can be told or logged; nothing was read.
        Malformed: the Idempotency-Key was used for another request.
    """
    found = alone(Applying(desk).course(wanted, once))
    return replace(found, index=await_log(desk, found.application))


class Applying:
    """Applications that are decided side by side, each as :func:`apply` does but for waiting for
    the log: what they ask together of the desk's own."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._under_way: dict[tuple[str, str], deque[Future[None]]] = {}
        self._entering = threading.Lock()

    def course(self, wanted: LoanWanted, once: ActsOnce | None) -> Course[DecidedApplication]:
        """Decide one. A retry that comes while its first request is under way waits for that one,
        whose answer it is given: nobody is read twice for one request."""
        yield StepQuestion(self.turns, once)
        try:
            return (yield from _course(self, wanted, once))
        finally:
            self._leave(once)

    def turns(self, asked: Sequence[ActsOnce | None]) -> list[Future[None] | None]:
        """None to whoever may begin; to the others, when they may."""
        with self._entering:
            return [self._enter(once) for once in asked]

    def _enter(self, once: ActsOnce | None) -> Future[None] | None:
        if once is None:
            return None
        ahead = self._under_way.setdefault((once.caller, once.key), deque())
        mine: Future[None] = Future()
        ahead.append(mine)
        return mine if len(ahead) > 1 else None

    def _leave(self, once: ActsOnce | None) -> None:
        if once is None:
            return
        named = once.caller, once.key
        with self._entering:
            ahead = self._under_way[named]
            ahead.popleft()
            following = ahead[0] if ahead else None
            if following is None:
                del self._under_way[named]
        if following is not None:
            following.set_result(None)

    def made_before(self, asked: Sequence[ActsOnce | None]) -> Sequence[str | Malformed | None]:
        """What these commands made before."""
        if not any(asked):
            return [None] * len(asked)
        with self.desk.reading() as hand:
            return [_made_before(hand, once) for once in asked]

    def permissions(self, people: Sequence[str]) -> Sequence[Permission | ConsentsUnavailable]:
        """How each stands to being scored now."""
        return self.desk.permits.check_together(people, self.desk.sources.categories)

    def owed(self, asked: Sequence[tuple[str, date]]) -> list[tuple[int, int] | Exception]:
        """What each person owes on a day, and what is owed or offered below the cut-off; fen."""
        found: dict[tuple[str, date], tuple[int, int] | Exception] = {}
        with self.desk.reading() as hand:
            for day in dict.fromkeys(day for _, day in asked):
                people = {name for name, on in asked if on == day}
                explored = explored_outstanding(hand.connection, day)
                explored += explored_reserved(hand.connection, hand.moment)
                for name, owed in outstanding_of(hand.connection, people, day).items():
                    found[name, day] = owed if isinstance(owed, Exception) else (owed, explored)
        return [found[one] for one in asked]

    def recorded(self, asked: Sequence[str]) -> list[bool]:
        """Whether applications are there, by their ids."""
        with self.desk.reading() as hand:
            there = applications.c.id.in_(asked)
            found = set(hand.connection.scalars(select(applications.c.id).where(there)))
        return [one in found for one in asked]


def _made_before(hand: InHand, once: ActsOnce | None) -> str | Malformed | None:
    try:
        return made_before(hand.connection, once, hand.moment)
    except Malformed as error:
        return error


def _course(
    shared: Applying, wanted: LoanWanted, once: ActsOnce | None
) -> Course[DecidedApplication]:
    desk = shared.desk
    if (earlier := (yield StepQuestion(shared.made_before, once))) is not None:
        return DecidedApplication(earlier)
    if why := desk.unassessed():
        raise AssessmentMissing(why)
    permission: Permission = yield StepQuestion(shared.permissions, wanted.pseudonym)
    if not permission.consents:
        raise ConsentMissing(
            "this person has not agreed to be scored for an application; nothing was read"
        )
    desk.heed_standing()
    # where nothing can be decided, nobody is read, and no consent to one use is used up
    desk.lending.versions(wanted.product, desk.now().date())
    blinding = Blinding.of(new_id())
    use = AboutToRead(blinding, permission, _asked(desk, permission))
    read: LoggedUse = yield StepQuestion(desk.trail.read_together, use)
    inquiry = Inquiry(blinding.application, wanted.pseudonym, desk.now())
    about = inquiry, Readable(permission.granted)
    gathered: dict[str, Fact] = yield StepQuestion(desk.sources.gather_together, about)
    moment = desk.now()
    day = moment.date()
    allowed = within_notices(gathered, desk.sources.kinds, permission, day)
    desk.heed_standing()
    rules = desk.lending
    facts = rules.kept(allowed, wanted.product, day)
    owed, explored = yield StepQuestion(shared.owed, (wanted.pseudonym, day))
    facts[EXPLORED] = Fact(EXPLORED, "present", explored, "desk", day)
    versions = rules.versions(wanted.product, day)
    case = Case(
        application=Application(
            id=blinding.application,
            product=wanted.product,
            amount=wanted.amount,
            term_days=wanted.term_days,
            purpose=wanted.purpose,
            received_at=inquiry.moment,
            # whoever was not told that a machine decides has not agreed to it; the registry knows
            # of those who refused it
            wants_person=wanted.wants_person or read.wants_person or not permission.automated,
        ),
        facts=facts,
        scored=rules.score(facts),
        outstanding=owed,
        now=moment,
        model_hash=versions.model,
        policy_hash=versions.policy,
        law_hash=versions.law,
        release_hash=versions.release,
    )
    keep_rules(desk, case)
    decided = rules.decide(case)
    silent = beside(desk.tried_by(rules), case)
    described = desk.sources.described
    made = StoredDecision(case, decided, permission, blinding, described, silent=silent)
    record = partial(_record, desk, made, read, once)
    application = yield from _written(shared, blinding.application, record)
    return DecidedApplication(application, made if application == blinding.application else None)


def _written(shared: Applying, application: str, record: Job) -> Course[str]:
    """The application that was recorded, or that the same request had made. Whoever is told that
    nothing was recorded may apply again: so if the database fails, it is asked."""
    try:
        found: str = yield StepQuestion(shared.desk.transactions.write_together, record)
        return found
    except (StorageFailed, SQLAlchemyError):
        if not (yield StepQuestion(shared.recorded, application)):
            raise
        return application


def _asked(desk: Desk, permission: Permission) -> dict[str, DataCategory]:
    """Who is asked for what: only for what is granted."""
    return {
        name: kind
        for source in desk.sources.sources
        if source.about.categories <= permission.granted.keys()
        for name, kind in source.about.named.items()
    }


def within_notices(
    facts: Mapping[str, Fact],
    kinds: Mapping[str, frozenset[DataCategory]],
    permission: Permission,
    today: date,
) -> dict[str, Fact]:
    """These facts, but ``refused`` what is of a day that a notice leaves out: the person did not
    let us use it."""
    return {
        name: replace(fact, status="refused", value=None)
        if fact.status == "present"
        and not all(permission.covers(one, fact.observed_on, today) for one in kinds[name])
        else fact
        for name, fact in facts.items()
    }


def rested_on(desk: Desk, made: StoredDecision, permission: Permission) -> dict[str, DataCategory]:
    """Who answered what a case holds, as a statement names them: by what they were asked for, even
    if they are asked no more.

    Raises:
        ConsentMissing: one of them needs, as it was described or is now, what is not granted.
    """
    answered = {fact.source for fact in made.case.facts.values() if fact.status == "present"}
    found: dict[str, DataCategory] = {}
    for source, kinds in made.described(desk.sources).items():
        if source in answered:
            if not set(kinds) <= permission.granted.keys():
                raise ConsentMissing(
                    f"the case rests on source {source!r}, to whose kinds of data this person has "
                    "not agreed"
                )
            found |= named(source, kinds)
    return found


def _record(
    desk: Desk, made: StoredDecision, read: LoggedUse, once: ActsOnce | None, hand: InHand
) -> str | Malformed | Conflict:
    """What it refuses it says, and does not raise: nothing is written by then, and the others of
    its transaction are not to be written anew for it."""
    if once is not None and (earlier := _made_before(hand, once)) is not None:
        return earlier
    try:
        require_room(desk, hand, made)
        _require_standing(desk, made)
    except Conflict as error:
        return error
    made = _tried_still(desk, made)
    asked, decision = made.case.application, made.decision
    key, wrapped = desk.at_rest.new(asked.id)
    hand.add(
        applications,
        id=asked.id,
        pseudonym=made.permission.pseudonym,
        product=asked.product,
        amount=asked.amount,
        term_days=asked.term_days,
        received_at=asked.received_at,
        status=FIRST[decision.outcome].value,
        version=1,
        wrapped_key=wrapped,
    )
    write_decision(hand, made, 1, key)
    desk.trail.keep(hand, read)
    state(desk, hand, made)
    if decision.outcome == "review":
        open_review(hand, asked.id)
    if once is not None:
        remember(hand.connection, once, asked.id, hand.moment)
    return asked.id


def _require_standing(desk: Desk, made: StoredDecision) -> None:
    """Raises Conflict where the model that scored may not be used any more: what is acknowledged
    before this transaction is heeded in it."""
    if made.case.model_hash == NO_MODEL:
        return
    try:
        why = desk.heed_standing()
    except RulesMissing as error:
        raise Conflict(str(error)) from error
    if why is not None:
        raise Conflict(f"{why}; nothing was recorded, apply again")


def _tried_still(desk: Desk, made: StoredDecision) -> StoredDecision:
    """The decision, without what is tried no more: a model in shadow that was recalled meanwhile
    scored nobody."""
    if made.silent is None:
        return made
    tried = challenger_of(desk.tried_by(desk.lending), made.case)
    return made if tried == made.silent.challenger else replace(made, silent=None)


def require_room(desk: Desk, hand: InHand, made: StoredDecision) -> None:
    """Raises Conflict where an offer below the cut-off has no room beside what was offered there
    since its case was made: two that were decided at one moment knew nothing of each other."""
    offer = made.decision.offer
    if offer is None or not explored(made.decision):
        return
    lent = explored_outstanding(hand.connection, desk.day(hand.moment))
    lent += explored_reserved(hand.connection, hand.moment)
    if lent + offer.amount > desk.lending.most_explored(made.case):
        raise Conflict(
            "others were offered meanwhile what may be lent below the cut-off; nothing was "
            "decided, apply again"
        )


def state(desk: Desk, hand: InHand, made: StoredDecision) -> None:
    """Put what was decided into the outbox, within the transaction that stores it."""
    model, policy, law = made.versions
    decided = Decided(
        case=replace(made.case, model_hash=model, policy_hash=policy, law_hash=law),
        payload=made.payload(),
        sources=rested_on(desk, made, made.permission),
        automated=made.by == "machine" and made.decision.outcome != "review",
    )
    said = desk.trail.scored(made.blinding, made.permission, decided)
    desk.trail.state(hand, made.blinding, said)


def await_log(desk: Desk, decision: str) -> int | None:
    """The log's index of a decision's statement. If there is none in time, or the registry refuses
    it, that is told by how the application stands, and not here."""
    try:
        return desk.sender.wait(decision, "use.scored", LOG_PATIENCE_S)
    except ConsentError as error:
        logger.warning("a decision waits for the log, or is void: %s", error.code)
    except TahiniError as error:
        logger.warning("a decision waits for the log: %s", type(error).__name__)
    return None
