"""A server of joint exposure, but for its storage and its network. Pure: the moment is handed in.

The same for both: the registry is first, the naming service second (:mod:`exposure.ordering`). Each
keeps a book per person and hands it in with every call; what comes back is to be stored, with its
log entry, before the reply leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property, lru_cache, partial
from typing import TypeVar

from crypto.keys import SigningKey
from exposure import ordering
from exposure.book import GivenAnswer, HeldAccount, Outcome, PersonBook
from exposure.envelopes import enclosed
from protocol.errors import Malformed, NotAllowed
from protocol.exposure import (
    ExposureAnswer,
    ExposureOrder,
    ExposurePart,
    ExposureQuestion,
    ExposureReceipt,
    ExposureTerms,
)
from protocol.parties import Consortium, Role

P = TypeVar("P", bound=ExposurePart)
SIGNS = {Role.REGISTRY: 1, Role.NAMING: -1}


@dataclass(frozen=True)
class ExposureServer:
    """The registry or the naming service."""

    consortium: Consortium
    role: Role
    key: SigningKey

    @property
    def id(self) -> str:
        return self.consortium.one(self.role).id

    def terms(self, now: datetime) -> ExposureTerms:
        """Raises NotAllowed where nobody is licensed: every call begins here."""
        return self._terms(now.date())

    @cached_property
    def _terms(self) -> Callable[[date], ExposureTerms]:
        """Worked out once a day: the document does not change while a server has it."""
        return lru_cache(maxsize=2)(partial(ExposureTerms.of, self.consortium))

    def read(self, token: str, kind: type[P], now: datetime) -> P:
        """A lender's part that is meant for this server.

        Raises:
            NotAllowed, Malformed, SignatureError: it is not, or nobody is licensed.
        """
        self.terms(now)
        party = self.consortium.party(kind.claimed(token).lender)
        if party.role is not Role.LENDER:
            raise NotAllowed(f"{party.id!r} is no lender")
        part = kind.verify(token, party.key)
        if part.server != self.id:
            raise Malformed("this part is for the other server: nobody else may see it")
        return part

    def repeated(self, book: PersonBook, part: ExposurePart, now: datetime) -> str | None:
        """The reply as it was given before, where this is a repetition; None where it is not.

        An answer is given again until its authorisation ends, whether or not the book still has it
        then: the next operation takes it out, and nobody is to learn whether there was one.
        """
        self.terms(now)
        outcome = book.repeated(part)
        if outcome is None or _over(outcome, book, now):
            return None
        return self._reply(part, outcome)

    # --- the first server

    def propose(
        self, book: PersonBook, part: ExposurePart, now: datetime
    ) -> tuple[PersonBook, str]:
        """The book to keep, and the order to send on with the part that is sealed to the second.

        What would be refused here is refused before it is sent.

        Raises:
            ExposureRefused, ExposureBusy: see there.
        """
        sign = SIGNS[self.role]
        proposed, order = ordering.propose(book, part, now, self.terms(now), sign)
        return proposed, order.sign(self.key)

    def settle(self, book: PersonBook, part: ExposurePart, now: datetime) -> tuple[PersonBook, str]:
        """Once the second server has done what is pending: the book after it, and the reply.

        Raises:
            ExposureRefused: it is not pending.
        """
        self.terms(now)
        after, outcome = ordering.settled(book, part)
        return after, self._reply(part, outcome)

    # --- the second server

    def follow(
        self, book: PersonBook, part: ExposurePart, order: str, now: datetime
    ) -> tuple[PersonBook, str]:
        """Do what the first server orders; the reply is for the lender.

        Raises:
            ExposureRefused, CryptoError, Malformed: nothing was changed, and the first server is
                to withdraw what is pending.
        """
        terms = self.terms(now)
        again = book.repeated(part)
        if again is not None:  # however late: the first server waits for it
            return book, self._reply(part, again)
        said = ExposureOrder.verify(order, self.consortium.one(Role.REGISTRY).key)
        ordering.follow(book, part, said, now)
        after, outcome = book.apply(part, said, terms, SIGNS[self.role])
        return after, self._reply(part, outcome)

    def _reply(self, part: ExposurePart, outcome: Outcome) -> str:
        """Signed; the second server's answer to a question sealed besides, for the first one sees
        it pass."""
        if isinstance(outcome, HeldAccount):
            return self._receipt(part, outcome).sign(self.key)
        answer = ExposureAnswer(
            server=self.id,
            lender=part.lender,
            handle=part.handle,
            operation=outcome.operation,
            share=outcome.share.text(),
            view=outcome.view,
            at=outcome.at,
        ).sign(self.key)
        if self.role is Role.REGISTRY or not isinstance(part, ExposureQuestion):
            return answer
        if part.answer_key is None:
            raise Malformed("a question to the naming service brings the key to seal its answer")
        return enclosed(answer, part.answer_key, part.operation)

    def _receipt(self, part: ExposurePart, held: HeldAccount) -> ExposureReceipt:
        return ExposureReceipt(
            server=self.id,
            lender=part.lender,
            handle=part.handle,
            operation=held.operation,
            in_time=held.in_time,
            at=held.at,
        )


def _over(outcome: Outcome, book: PersonBook, now: datetime) -> bool:
    """Whether the next operation would take it out of the book."""
    then = now if book.at is None else max(now, book.at)
    return isinstance(outcome, GivenAnswer) and outcome.expires <= then
