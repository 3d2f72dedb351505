"""A lender's side of joint exposure: parts of statements and questions, receipts, answers. Pure.

Who lends keeps to three steps, and then two lenders in the same second cannot both lend what only
one may:

1. the question reserves the amount, so that whoever asks later sees it;
2. the statement after it holds the loan and releases the reservation, both at once;
3. the money leaves only when both servers' receipts say that the reservation still stood.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from pydantic import ValidationError

from crypto.errors import CryptoError
from crypto.keys import RecipientPublicKey, SigningKey
from crypto.sentences import one_sentence
from crypto.shares import AdditiveShare, CheckKey, combine, split
from exposure.amounts import Exposure
from exposure.envelopes import disclosed, sealed
from exposure.errors import AnswersDisagree
from protocol.errors import Conflict, Malformed
from protocol.exposure import (
    LENGTH,
    ExposureAnswer,
    ExposurePart,
    ExposureQuestion,
    ExposureReceipt,
    ExposureStatement,
)
from protocol.parties import Consortium, Role

Reply = TypeVar("Reply", ExposureReceipt, ExposureAnswer)


@dataclass(frozen=True, repr=False)
class SentParts:
    """One operation on its way: what the registry gets, with the other part sealed in it, and what
    opens the answer."""

    handle: str
    operation: str
    registry: str
    naming: str
    """Sealed to the naming service."""
    answer_key: str | None = None


@dataclass(frozen=True)
class ExposureLender:
    """One lender. ``check`` is the key that the lenders have in common and no server has."""

    consortium: Consortium
    lender: str
    key: SigningKey
    check: CheckKey = field(repr=False)

    def state(
        self,
        handle: str,
        version: int,
        has: Exposure,
        person_key: str,
        releases: tuple[str, ...] = (),
    ) -> SentParts:
        """Both parts of what this lender has with a person."""
        common = {"version": version, "person_key": person_key, "releases": releases}
        return self._parts(ExposureStatement, handle, has, common)

    def ask(self, handle: str, authorisation: str, reserve_fen: int, until: datetime) -> SentParts:
        """Both parts of a question; ``reserve_fen`` stays reserved until then."""
        common = {"authorisation": authorisation, "reserved_until": until}
        has = Exposure(reserved_fen=reserve_fen)
        return self._parts(ExposureQuestion, handle, has, common, secrets.token_hex(32))

    def _parts(
        self,
        kind: type[ExposurePart],
        handle: str,
        has: Exposure,
        common: dict[str, object],
        answer_key: str | None = None,
    ) -> SentParts:
        common |= {"lender": self.lender, "handle": handle, "nonce": secrets.token_hex(32)}
        one, other = split(has.values, self.check.coefficient(handle))
        registry = self._part(kind, common, Role.REGISTRY, one)
        naming = self._part(kind, {**common, **_own(answer_key)}, Role.NAMING, other)
        second = self.consortium.one(Role.NAMING).recipient_key
        if second is None:
            raise Conflict("the naming service has no recipient key: its part cannot be sealed")
        recipient = RecipientPublicKey.from_text(second)
        closed = sealed(naming.sign(self.key), recipient, naming.operation)
        return SentParts(handle, registry.operation, registry.sign(self.key), closed, answer_key)

    def _part(
        self, kind: type[ExposurePart], common: dict[str, object], role: Role, share: AdditiveShare
    ) -> ExposurePart:
        server = self.consortium.one(role).id
        try:
            return kind.model_validate({**common, "server": server, "share": share.text()})
        except ValidationError as error:
            raise Malformed(one_sentence(error)) from error

    def stated(self, sent: SentParts, registry: str, naming: str) -> bool:
        """Whether both servers hold the statement, and what it releases still stood: only then may
        the loan be paid out.

        Raises:
            AnswersDisagree: one of them does not say that it holds it.
        """
        said = self._said(ExposureReceipt, sent, registry, naming)
        return all(receipt.in_time for receipt in said)

    def answered(self, sent: SentParts, registry: str, naming: str) -> Exposure:
        """What the person owes to all the others together.

        Raises:
            AnswersDisagree: a server left out, repeated or altered something, or a lender's parts
                never belonged together. Nothing is known then, and nothing is lent.
        """
        if sent.answer_key is None:
            raise Malformed("nothing was asked")
        token = _opened(naming, sent.answer_key, sent.operation)
        one, other = self._said(ExposureAnswer, sent, registry, token)
        if (one.view, one.at) != (other.view, other.at):
            raise AnswersDisagree("the two servers were told different things about this person")
        shares = (
            AdditiveShare.of_text(one.share, LENGTH),
            AdditiveShare.of_text(other.share, LENGTH),
        )
        try:
            return Exposure.of(combine(*shares, self.check.coefficient(sent.handle)))
        except (CryptoError, Malformed) as error:
            raise AnswersDisagree(f"this answer is not believed: {error}") from error

    def _said(
        self, kind: type[Reply], sent: SentParts, registry: str, naming: str
    ) -> tuple[Reply, Reply]:
        return (
            self._one(kind, sent, registry, Role.REGISTRY),
            self._one(kind, sent, naming, Role.NAMING),
        )

    def _one(self, kind: type[Reply], sent: SentParts, token: str, role: Role) -> Reply:
        party = self.consortium.one(role)
        try:
            said = kind.verify(token, party.key)
        except CryptoError as error:
            raise AnswersDisagree(f"{party.id!r} did not sign this reply") from error
        about = said.server, said.lender, said.handle, said.operation
        if about != (party.id, self.lender, sent.handle, sent.operation):
            raise AnswersDisagree(f"{party.id!r} replied to something else")
        return said


def _own(answer_key: str | None) -> dict[str, object]:
    """What a question's part for the naming service has besides."""
    return {} if answer_key is None else {"answer_key": answer_key}


def _opened(naming: str, key: str, operation: str) -> str:
    try:
        return disclosed(naming, key, operation)
    except (CryptoError, Malformed) as error:
        raise AnswersDisagree("the naming service's answer cannot be opened") from error


def open_statement(one: ExposurePart, other: ExposurePart, check: CheckKey) -> Exposure:
    """What a lender stated, from both of its signed parts: how an arbiter to whom both servers hand
    them finds a lie, or parts that do not belong together.

    Raises:
        AnswersDisagree: they do not.
    """
    if one.operation != other.operation or one.server == other.server:
        raise AnswersDisagree("these are not the two parts of one statement")
    shares = AdditiveShare.of_text(one.share, LENGTH), AdditiveShare.of_text(other.share, LENGTH)
    try:
        return Exposure.of(combine(*shares, check.coefficient(one.handle)))
    except (CryptoError, Malformed) as error:
        raise AnswersDisagree("the lender's two parts do not belong together") from error
