"""What one server holds of one person, and what each operation makes of it. Pure.

Both servers run this, on the same operations in the same order, each with its own shares: what does
not depend on a share comes out the same at both. A book is a value; nothing here changes one.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from crypto.documents import canonical_json
from crypto.errors import SignatureError
from crypto.keys import PublicKey
from crypto.shares import AdditiveShare
from exposure.errors import ExposureRefused
from protocol.exposure import (
    LENGTH,
    ExposureAuthorisation,
    ExposureOrder,
    ExposurePart,
    ExposureQuestion,
    ExposureStatement,
    ExposureTerms,
)
from protocol.rules import first_broken


@dataclass(frozen=True)
class HeldAccount:
    """What a lender stated last: its share, and what the receipt says."""

    version: int
    share: AdditiveShare
    operation: str
    in_time: bool
    at: datetime


@dataclass(frozen=True)
class HeldReservation:
    """What stays reserved for a lender that asked, until then or until it releases it."""

    lender: str
    share: AdditiveShare
    until: datetime


@dataclass(frozen=True)
class GivenAnswer:
    """The one answer that an authorisation has; given again to the same question."""

    operation: str
    share: AdditiveShare
    view: str
    at: datetime
    expires: datetime


Outcome = HeldAccount | GivenAnswer


@dataclass(frozen=True)
class PersonBook:
    """One person at one server. Every mapping is replaced, never changed."""

    key: str = ""
    """Whose authorisations count: that of the first statement."""
    accounts: Mapping[str, HeldAccount] = field(default_factory=dict)
    reservations: Mapping[str, HeldReservation] = field(default_factory=dict)
    """By question."""
    given: Mapping[str, GivenAnswer] = field(default_factory=dict)
    """By authorisation."""
    answered: tuple[tuple[str, datetime], ...] = ()
    """To which lender, when."""
    number: int = 0
    """How many operations there were."""
    chain: bytes = bytes(32)
    """Over their orders. Each has a seed that no lender knows, so nobody can tell from a view how
    many there were."""
    at: datetime | None = None
    pending: PendingOperation | None = None
    """At the first server: sent to the second one, whose word is awaited."""

    def repeated(self, part: ExposurePart) -> Outcome | None:
        """What came of this very operation, where it was the lender's last or an answer still
        stands."""
        account = self.accounts.get(part.lender)
        found: list[Outcome] = [*self.given.values(), *([account] if account else [])]
        return next((one for one in found if one.operation == part.operation), None)

    def apply(
        self, part: ExposurePart, order: ExposureOrder, terms: ExposureTerms, sign: int
    ) -> tuple[PersonBook, Outcome]:
        """The book after this operation, and what its lender is told.

        Args:
            sign: 1 at the first server, -1 at the second: who adds the mask of an answer, and who
                takes it off.

        Raises:
            ExposureRefused: it may not be; for a reason of this lender's own, never another's.
        """
        then = self._as_of(order.at, terms)
        after, outcome = then._done(part, order, terms, sign)
        chained = replace(after, number=order.number, chain=_chained(self, order), at=order.at)
        return chained, outcome

    def _done(
        self, part: ExposurePart, order: ExposureOrder, terms: ExposureTerms, sign: int
    ) -> tuple[PersonBook, Outcome]:
        if isinstance(part, ExposureStatement):
            return self._stated(part, order)
        if isinstance(part, ExposureQuestion):
            return self._asked(part, order, terms, sign)
        raise TypeError(f"{part.typ} is no operation")

    def _as_of(self, at: datetime, terms: ExposureTerms) -> PersonBook:
        """Without what ended before ``at``."""
        return replace(
            self,
            reservations={k: one for k, one in self.reservations.items() if one.until > at},
            given={k: one for k, one in self.given.items() if one.expires > at},
            answered=tuple(one for one in self.answered if one[1] + terms.window > at),
        )

    def _stated(
        self, part: ExposureStatement, order: ExposureOrder
    ) -> tuple[PersonBook, HeldAccount]:
        held = self.accounts.get(part.lender)
        expected = held.version + 1 if held else 1
        if part.version != expected:
            raise _refused("NextVersion", f"statement {expected} of this lender comes next")
        own = {k for k in part.releases if k in self.reservations}
        own = {k for k in own if self.reservations[k].lender == part.lender}
        in_time = own == set(part.releases)
        share = AdditiveShare.of_text(part.share, LENGTH)
        account = HeldAccount(part.version, share, part.operation, in_time, order.at)
        after = replace(
            self,
            key=self.key or part.person_key,
            accounts={**self.accounts, part.lender: account},
            reservations={k: one for k, one in self.reservations.items() if k not in own},
        )
        return after, account

    def _asked(
        self, part: ExposureQuestion, order: ExposureOrder, terms: ExposureTerms, sign: int
    ) -> tuple[PersonBook, GivenAnswer]:
        asked = _Asked(self, part, _authorised(self, part), order.at, terms)
        broken = first_broken(RULES, asked)
        if broken is not None:
            raise _refused(*broken)
        mask = AdditiveShare.mask(bytes.fromhex(order.seed), LENGTH)
        answer = GivenAnswer(
            part.operation,
            self._owed_elsewhere(part.lender) + (mask if sign > 0 else -mask),
            hmac.digest(_chained(self, order), part.operation.encode(), "sha256").hex(),
            order.at,
            asked.authorisation.expires_at,
        )
        share = AdditiveShare.of_text(part.share, LENGTH)
        reserved = HeldReservation(part.lender, share, part.reserved_until)
        after = replace(
            self,
            reservations={**self.reservations, part.operation: reserved},
            given={**self.given, asked.authorisation.sha256: answer},
            answered=(*self.answered, (part.lender, order.at)),
        )
        return after, answer

    def _owed_elsewhere(self, asker: str) -> AdditiveShare:
        """This server's share of the sum over everybody but the asker."""
        total = AdditiveShare.zero(LENGTH)
        for lender, account in self.accounts.items():
            if lender != asker:
                total += account.share
        for reservation in self.reservations.values():
            if reservation.lender != asker:
                total += reservation.share
        return total


@dataclass(frozen=True)
class PendingOperation:
    """What comes of an operation once the second server has done it too. Until then nobody is told,
    and the book is as it was."""

    order: ExposureOrder
    after: PersonBook
    outcome: Outcome


# --- whether a question is answered


@dataclass(frozen=True)
class _Asked:
    book: PersonBook
    part: ExposureQuestion
    authorisation: ExposureAuthorisation
    at: datetime
    terms: ExposureTerms


def _authorised(book: PersonBook, part: ExposureQuestion) -> ExposureAuthorisation:
    """What the person signed, with the key that stands for them. Raises ExposureRefused."""
    if part.lender not in book.accounts:
        raise _refused("StatesBeforeAsking", "who asks about a person states its own part first")
    try:
        return ExposureAuthorisation.verify(part.authorisation, PublicKey.from_text(book.key))
    except SignatureError as error:
        told = "the authorisation is not signed with the key that stands for this person"
        raise _refused("SignedByThePerson", told) from error


def for_this_question(asked: _Asked) -> str | None:
    """It lets this lender ask about this person, and nobody else about anybody else."""
    stated = asked.authorisation.lender, asked.authorisation.handle
    if stated != (asked.part.lender, asked.part.handle):
        return "the authorisation is for another lender or another person"
    return None


def not_over(asked: _Asked) -> str | None:
    """Now, not before and not after."""
    if not asked.authorisation.issued_at <= asked.at < asked.authorisation.expires_at:
        return "the authorisation is not in force now"
    return None


def used_once(asked: _Asked) -> str | None:
    """One authorisation is one answer."""
    if asked.authorisation.sha256 in asked.book.given:
        return "the authorisation was used for another question"
    return None


def within_quota(asked: _Asked) -> str | None:
    """However many authorisations a lender has a person sign."""
    had = sum(lender == asked.part.lender for lender, _ in asked.book.answered)
    if had >= asked.terms.answers_per_person:
        return (
            f"this lender had {had} answers about this person within {asked.terms.window_days} days"
        )
    return None


def reserved_for_minutes(asked: _Asked) -> str | None:
    """A reservation ends by itself, and nobody blocks a person for longer."""
    if not asked.at < asked.part.reserved_until <= asked.at + asked.terms.reservation:
        return f"a reservation lasts {asked.terms.reservation_minutes} minutes at most"
    return None


RULES = (for_this_question, not_over, used_once, within_quota, reserved_for_minutes)


def _refused(rule: str, reason: str) -> ExposureRefused:
    error = ExposureRefused(reason)
    error.rule = rule
    return error


def _chained(book: PersonBook, order: ExposureOrder) -> bytes:
    return hashlib.sha256(book.chain + canonical_json(order.payload())).digest()
