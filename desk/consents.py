"""Whether an applicant may be scored, on which kinds of data, before anybody is asked for anything;
and whether a customer may be placed in portraits, which is asked in the same way.

A yes counts for the one purpose that is asked about (:data:`protocol.uses.USE_PURPOSES`; never one
to training, and one to scoring is none to portraits), this lender as its recipient, and the
categories that the version of the notice named which this person answered (invariant 11). The
lender's copy of its borrowers' consents says so while it is young enough; else the registry is
asked, and if it does not answer, nothing is allowed: that is *unavailable*, and never taken for a
no.

An objection or restriction that is not closed suspends everything of a person's, in the copy too
(``consent.commands.request_marks``).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import numpy as np

from clients.consents import Consents, HeldSnapshot
from clients.rules import CLOCK_SKEW, STATE_AGE
from crypto.errors import TahiniError
from law.categories import DataCategory, Sensitivity, consent_for
from protocol.client.lenders import LenderClient
from protocol.errors import ConsentError
from protocol.notices import Notice
from protocol.records import record_id
from protocol.schema import now
from protocol.snapshots import (
    CHILD,
    REASONS,
    AnsweredNotice,
    Reason,
    StatusCodes,
    reasons_of,
)
from protocol.terms import Limits
from protocol.uses import PORTRAIT_PURPOSE, SCORING_PURPOSE, ConsentNamed

_TO = {SCORING_PURPOSE: "being scored", PORTRAIT_PURPOSE: "portraits"}


class ConsentsUnavailable(ConsentError):
    """How somebody's consents stand cannot be told now; nothing may be read, and nobody has
    refused."""

    status = 503
    code = "consents-unavailable"


@dataclass(frozen=True)
class Permission:
    """How one person stood at one moment, for the categories that were asked about."""

    pseudonym: str
    granted: Mapping[DataCategory, ConsentNamed]
    """What may be used, and by which consent, with the hash of the notice that it answers."""
    refused: Mapping[DataCategory, Reason]
    """What may not, and why. Costs neutral points, and is never held against anybody."""
    consents: tuple[ConsentNamed, ...]
    """Those that are used, the one to ordinary data among them, without which nothing is; empty
    where nothing may be used."""
    automated: bool
    """Each of them was asked for with a decision by a machine alone in view."""
    told_at: datetime
    """When the registry said so."""
    state_sha256: str
    """Of the registry's signed word."""
    limits: Mapping[DataCategory, tuple[Limits, ...]] = field(default_factory=dict)
    """How far the consents to what is granted reach, where their notices set limits."""

    def covers(self, category: DataCategory, observed_on: date | None, today: date) -> bool:
        """Whether a fact may be used: its category is granted, and the day on which it was observed
        is one that every notice allows. Of a fact without a day that cannot be shown."""
        return category in self.granted and all(
            _within(limits, observed_on, today) for limits in self.limits.get(category, ())
        )


def _within(limits: Limits, observed_on: date | None, today: date) -> bool:
    first, last = limits.data_from, limits.data_to
    if limits.data_life_days is not None:
        oldest = today - timedelta(days=limits.data_life_days)
        first = oldest if first is None else max(first, oldest)
    if first is None and last is None:
        return True
    if observed_on is None:
        return False
    return (first or observed_on) <= observed_on <= (last or observed_on)


@dataclass(frozen=True)
class ConsentLost:
    """What a decision rested on and may not be used any more."""

    category: DataCategory
    reason: Reason


@dataclass(frozen=True)
class _Standing:
    """How everybody stands who answered alike, for the categories that were asked about."""

    kinds: Mapping[DataCategory, Sensitivity]
    """Which consent each category needs that is granted."""
    refused: Mapping[DataCategory, Reason]
    notices: Mapping[Sensitivity, Notice]
    """What was answered, by the consents that are used."""
    limits: Mapping[DataCategory, tuple[Limits, ...]]

    @property
    def automated(self) -> bool:
        answered = self.notices.values()
        return bool(answered) and all(one.terms.automated_decision for one in answered)


@dataclass(frozen=True)
class _Copy:
    """The lender's copy, and where everybody stands in it."""

    snapshot: HeldSnapshot
    places: Mapping[str, int]
    asked_at: float
    """On this process's own clock, before the registry was asked."""
    sha256: str
    codes: Mapping[Sensitivity, StatusCodes]
    known: dict[tuple[object, ...], _Standing] = field(default_factory=dict)
    """By what was answered and the categories that were asked about; there are few."""

    @classmethod
    def of(cls, snapshot: HeldSnapshot, places: Mapping[str, int], asked_at: float) -> _Copy:
        kinds: tuple[Sensitivity, ...] = ("ordinary", *sorted(snapshot.codes.keys() - {"ordinary"}))
        codes = {kind: snapshot.answered(kind) for kind in kinds}
        return cls(snapshot, places, asked_at, snapshot.token_sha256, codes)

    def answers(self, pseudonym: str) -> _Answers:
        place = self.places.get(pseudonym)
        if place is None:
            return _Answers(self.snapshot.state.notices, None)
        codes = {kind: int(codes[place]) for kind, codes in self.codes.items()}
        return _Answers(self.snapshot.state.notices, codes)


class ScoringConsents:
    """The consents of one lender's borrowers to being scored. For any number of threads.

    Args:
        copy: in the lender's home (``Node.consents``).
        client: the registry, as this lender (``Node.connected(DeskClient)``).
        declared: categories that this lender declares sensitive, beyond what law says.
        age: how old the copy may be when somebody is scored.
        purpose: what the consents are to.
    """

    def __init__(
        self,
        copy: Consents,
        client: LenderClient,
        declared: Collection[DataCategory] = (),
        age: timedelta = STATE_AGE,
        clock: Callable[[], datetime] = now,
        purpose: str = SCORING_PURPOSE,
    ) -> None:
        self._purpose = purpose
        self._on_disk, self._client = copy, client
        self._declared, self._age, self._clock = frozenset(declared), age, clock
        self._notices: dict[tuple[str, int], Notice] = {}
        self._held: _Copy | None = None
        self._asking = threading.Lock()

    def check(self, pseudonym: str, categories: Iterable[DataCategory]) -> Permission:
        """Before scoring. Whoever has refused everything, or was never asked, has nothing granted.

        Raises:
            ConsentsUnavailable: the copy is too old, and the registry does not answer, or not with
                something that can be believed.
        """
        (found,) = self.check_together([pseudonym], categories)
        if isinstance(found, ConsentsUnavailable):
            raise found
        return found

    def check_together(
        self, people: Sequence[str], categories: Iterable[DataCategory]
    ) -> list[Permission | ConsentsUnavailable]:
        """As :meth:`check`, of several: the registry is asked once, and one that does not answer is
        waited for once."""
        held = self._held
        try:
            if held is None or not self._young(held):
                held = self._ask()
        except ConsentsUnavailable as error:
            return [error] * len(people)
        wanted = tuple(dict.fromkeys(categories))
        untold: dict[tuple[object, ...], ConsentsUnavailable] = {}
        found: list[Permission | ConsentsUnavailable] = []
        for one in people:
            alike = tuple((held.answers(one).codes or {}).items())
            try:
                found.append(untold.get(alike) or self._permission(held, one, wanted))
            except ConsentsUnavailable as error:  # a notice of theirs that cannot be read
                untold[alike] = error
                found.append(error)
        return found

    def check_again(self, before: Permission) -> tuple[ConsentLost, ...]:
        """At disbursement: the registry is asked, however young the copy is. What was granted then
        and is not now; empty if it all stands.

        Raises:
            ConsentsUnavailable: as :meth:`check`.
        """
        after = self._permission(self._ask(), before.pseudonym, tuple(before.granted))
        return tuple(ConsentLost(one, reason) for one, reason in after.refused.items())

    def _young(self, held: _Copy) -> bool:
        return -CLOCK_SKEW <= self._clock() - held.snapshot.state.issued_at <= self._age

    def _ask(self) -> _Copy:
        """A copy that was asked for after this was called; whoever waited for another to ask takes
        that one's."""
        called_at = time.monotonic()
        with self._asking:
            held = self._held
            if held is None or held.asked_at < called_at:
                held = self._held = self._synced(held)
        if not self._young(held):
            raise ConsentsUnavailable(
                "the registry's clock and this machine's differ too much to tell how old a consent "
                "is; set the clock, nothing was read"
            )
        return held

    def _synced(self, before: _Copy | None) -> _Copy:
        asked_at = time.monotonic()
        try:
            snapshot = self._on_disk.sync(self._client, self._purpose)
        except (TahiniError, OSError) as error:
            raise ConsentsUnavailable(
                f"how borrowers consent to {_TO[self._purpose]} cannot be told now: {error}"
            ) from error
        if before is not None and before.snapshot.state.names_sha256 == snapshot.state.names_sha256:
            return _Copy.of(snapshot, before.places, asked_at)
        places = {name: place for place, name in enumerate(snapshot.names)}
        return _Copy.of(snapshot, places, asked_at)

    def _permission(
        self, held: _Copy, pseudonym: str, categories: tuple[DataCategory, ...]
    ) -> Permission:
        answers = held.answers(pseudonym)
        about = (categories, *(answers.codes or {}).items())
        standing = held.known.get(about)
        if standing is None:
            standing = held.known[about] = self._standing(held, answers, categories)
        state = held.snapshot.state
        mine = self._client.consortium.log_origin, pseudonym, self._purpose, state.lender
        consents = {
            kind: ConsentNamed(
                record_id=record_id(*mine, kind),
                sensitivity=kind,
                categories=tuple(one for one, needed in standing.kinds.items() if needed == kind),
                notice_id=notice.id,
                notice_version=notice.version,
                notice_sha256=notice.sha256,
            )
            for kind, notice in standing.notices.items()
        }
        return Permission(
            pseudonym,
            {one: consents[kind] for one, kind in standing.kinds.items()},
            standing.refused,
            tuple(consents.values()),
            standing.automated,
            state.issued_at,
            held.sha256,
            standing.limits,
        )

    def _standing(
        self, held: _Copy, answers: _Answers, categories: tuple[DataCategory, ...]
    ) -> _Standing:
        needed = {one: consent_for(one, one in self._declared) for one in categories}
        found = {one: answers.against(one, kind) for one, kind in needed.items()}
        kinds = {one: kind for one, kind in needed.items() if found[one] is None}
        used = dict.fromkeys(("ordinary", *kinds.values())) if kinds else {}
        lender = held.snapshot.state.lender
        return _Standing(
            kinds,
            {one: reason for one, reason in found.items() if reason is not None},
            {kind: self._answered(answers.notice(kind), lender) for kind in used},
            {one: answers.limits("ordinary", kind) for one, kind in kinds.items()},
        )

    def _answered(self, answered: AnsweredNotice, lender: str) -> Notice:
        """The notice itself. Raises ConsentsUnavailable: it says something else than the registry
        tells of it."""
        notice = self._notice(answered.id, answered.version)
        terms = notice.terms
        said = terms.categories, terms.automated_decision, terms.limits, notice.purpose
        told = answered.categories, answered.automated_decision, answered.limits, self._purpose
        if said != told or lender not in notice.recipients:
            raise ConsentsUnavailable(
                f"the registry tells of notice {notice.id!r} version {notice.version} what the "
                "notice itself does not say; nothing was read"
            )
        return notice

    def _notice(self, notice_id: str, version: int) -> Notice:
        """As the registry signed it; asked for once."""
        about = notice_id, version
        if about not in self._notices:
            try:
                self._notices[about] = self._client.notice(notice_id, version)
            except TahiniError as error:
                raise ConsentsUnavailable(
                    f"the notice {notice_id!r} version {version}, which was answered, cannot be "
                    f"read: {error}"
                ) from error
        return self._notices[about]


@dataclass(frozen=True)
class _Answers:
    """What one person answered, by the consents that a snapshot tells of."""

    notices: Mapping[int, AnsweredNotice]
    codes: Mapping[Sensitivity, int] | None
    """None of whoever is not on the roll."""

    def _code(self, kind: Sensitivity) -> int:
        return (self.codes or {}).get(kind, 0)

    def stands(self, kind: Sensitivity) -> Reason:
        codes = np.array([self._code(kind)], dtype=np.uint32)
        return REASONS[int(reasons_of(codes, self.notices)[0])]

    def notice(self, kind: Sensitivity) -> AnsweredNotice:
        """The one that was answered last."""
        return self.notices[self._code(kind) >> 8]

    def limits(self, *kinds: Sensitivity) -> tuple[Limits, ...]:
        """Those that the notices of these consents set."""
        found = dict.fromkeys(self.notice(kind).limits for kind in kinds)
        return tuple(one for one in found if one != Limits())

    def against(self, category: DataCategory, kind: Sensitivity) -> Reason | None:
        """Why facts of this category may not be used, which need this consent; None if they may."""
        if self.codes is None:
            return Reason.NOT_ENROLLED
        if (base := self.stands("ordinary")) is not Reason.GIVEN:
            return base
        if self._code("ordinary") & CHILD and (
            self.stands("sensitive") is not Reason.GIVEN
            or category not in self.notice("sensitive").categories
        ):
            return Reason.CHILD
        if (own := self.stands(kind)) is not Reason.GIVEN:
            return own
        named = category in self.notice(kind).categories
        return None if named else Reason.NEVER_ASKED
