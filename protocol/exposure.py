"""Joint exposure (多头借贷): what a person owes over all lenders, for the one whom that person lets
ask.

The registry and the naming service each hold one additive share of what each lender states
(``crypto.shares``), and neither learns an amount. A lender that holds the person's signed
authorisation is answered by both, and adds up. What the two servers do is in :mod:`exposure`;
docs/exposure.md says what each party sees.

In China supplying this is credit reporting, which needs a licence (征信业管理条例 2, 7, 36):
nothing here works unless the consortium document names who operates it and by which licence. No
module that a lender's node runs imports this one.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from crypto.documents import document_hash
from crypto.sentences import one_sentence, shaped
from protocol.errors import Malformed, NotAllowed
from protocol.legal import LegalIdentity, Licence, LicenceKind
from protocol.parties import Consortium, Role
from protocol.rules import first_broken
from protocol.schema import Document, Instant, KeyText, Sha256, Slug, left_out

EXPOSURE_PURPOSE = "https://w3id.org/tahini/purposes#JointExposure"
"""Asking what a person owes elsewhere, for one application. A yes to being scored is none to
this."""
MAX_AUTHORISATION = timedelta(hours=24)
MAX_RELEASES = 32
LENGTH = 3
"""Numbers in a share: open loans, outstanding fen, reserved fen."""
ShareText = Annotated[
    str, shaped(r"^[A-Za-z0-9_-]{128}$", "a share of three numbers: 128 characters of base64url")
]
Random = Annotated[
    str, shaped(r"^[a-f0-9]{64}$", "32 random bytes: 64 lower-case hexadecimal digits")
]


# --- who may run it


class ExposureTerms(BaseModel):
    """Under whose licence joint exposure is run, and how often a lender may ask."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operator: Slug
    """The party that answers for it; no lender."""
    licence: Licence
    answers_per_person: int = Field(default=3, ge=1, le=20)
    """That one lender may have about one person in ``window_days``."""
    window_days: int = Field(default=30, ge=1, le=366)
    reservation_minutes: int = Field(default=30, ge=1, le=7 * 24 * 60)
    """The longest that an amount stays reserved for whoever asked."""

    @classmethod
    def of(cls, consortium: Consortium, day: date) -> Self:
        """The terms that are in force on this day.

        Raises:
            NotAllowed: there are none. Malformed: what the document says is none.
        """
        if consortium.exposure is None:
            raise NotAllowed(
                f"the consortium {consortium.name!r} names no licensed operator of joint exposure, "
                "so nothing of it works here"
            )
        try:
            terms = cls.model_validate(consortium.exposure)
        except ValidationError as error:
            told = one_sentence(error)
            raise Malformed(f"consortium {consortium.name!r}: exposure: {told}") from error
        broken = first_broken(_RULES, (terms, consortium, day))
        if broken is not None:
            raise NotAllowed(f"joint exposure may not be run: {broken[1]}")
        return terms

    @property
    def window(self) -> timedelta:
        return timedelta(days=self.window_days)

    @property
    def reservation(self) -> timedelta:
        return timedelta(minutes=self.reservation_minutes)


_Stated = tuple[ExposureTerms, Consortium, date]


def operator_belongs(stated: _Stated) -> str | None:
    """A party answers for it, and it is none that lends by the answers."""
    terms, consortium, _ = stated
    if terms.operator not in {party.id for party in consortium.parties}:
        return f"its operator {terms.operator!r} is not a party"
    if _institution(consortium, terms.operator) & {one.id for one in consortium.lenders}:
        return f"its operator {terms.operator!r} is a lender"
    return None


def _institution(consortium: Consortium, party_id: str) -> frozenset[str]:
    """Everybody who is one institution with this party, it included: by the word of either, and of
    whoever is one with both."""
    found = {party_id}
    pairs = [{one.id, LegalIdentity.of(one).institution or one.id} for one in consortium.parties]
    for _ in pairs:
        found.update(*(pair for pair in pairs if pair & found))
    return frozenset(found)


def licence_is_for_it(stated: _Stated) -> str | None:
    """Through its last day (征信业管理条例 7)."""
    terms, _, day = stated
    if terms.licence.kind is not LicenceKind.PERSONAL_CREDIT_REPORTING:
        return "the licence is not one to report on persons (personal-credit-reporting)"
    if terms.licence.until is not None and day > terms.licence.until:
        return f"the licence ended on {terms.licence.until}"
    return None


def two_institutions(stated: _Stated) -> str | None:
    """The two servers together could read everything: they must not be one institution."""
    _, consortium, _ = stated
    servers = [p for p in consortium.parties if p.role in {Role.REGISTRY, Role.NAMING}]
    if len(servers) != 2:
        return "it needs a naming service beside the registry"
    if servers[1].id in _institution(consortium, servers[0].id):
        return "registry and naming service are one institution"
    return None


_RULES = (operator_belongs, licence_is_for_it, two_institutions)


# --- what the borrower signs


class ExposureAuthorisation(Document):
    """Lets one lender ask once, for one application. Signed with the borrower's own key."""

    typ = "tahini-exposure-authorisation"

    purpose: Literal["https://w3id.org/tahini/purposes#JointExposure"]
    lender: Slug
    """Who may ask."""
    handle: Sha256
    """About whom: what the servers call the person."""
    application: Sha256
    """For what: as the log calls it (``uses.Blinding.name``)."""
    issued_at: Instant
    expires_at: Instant
    nonce: Random

    @model_validator(mode="after")
    def _short(self) -> Self:
        if not timedelta(0) < self.expires_at - self.issued_at <= MAX_AUTHORISATION:
            raise ValueError("an authorisation to ask ends after it begins, within 24 hours")
        return self


# --- what lenders hand in: one part for each server


class ExposurePart(Document):
    """One server's part of what a lender hands in. Each has its own ``server`` and ``share``, a
    question for the naming service its ``answer_key``; everything else is the same in both."""

    server: Slug
    lender: Slug
    handle: Sha256
    share: ShareText
    nonce: Random

    @cached_property
    def operation(self) -> str:
        """A name for both parts, by all that they have in common: where it is the same the servers
        were told the same."""
        own = {"server", "share", "answer_key"}
        common = {name: value for name, value in self.payload().items() if name not in own}
        return document_hash({"typ": self.typ, **common})


class ExposureStatement(ExposurePart):
    """What a lender has with a person, in place of what it stated before."""

    typ = "tahini-exposure-statement"

    version: int = Field(ge=1, le=2**31)
    """Counts the lender's statements about this person, without a gap: one that is dropped or
    comes again is noticed."""
    person_key: KeyText
    """Whose authorisations count; the first that anybody states of a person stands."""
    releases: tuple[Sha256, ...] = Field(default=(), max_length=MAX_RELEASES)
    """Questions whose reservations end with this: lent and now in the share, or not lent."""


class ExposureQuestion(ExposurePart):
    """What does this person owe elsewhere? ``share`` is of what stays reserved for the asker."""

    typ = "tahini-exposure-question"

    authorisation: str = Field(max_length=4096)
    """An :class:`ExposureAuthorisation`, signed."""
    reserved_until: Instant
    answer_key: Random | None = Field(default=None, exclude_if=left_out)
    """In the naming service's part alone: its answer passes through the registry sealed with it.
    Used once."""


# --- what the servers say


class ExposureOrder(Document):
    """From the registry to the naming service: what comes next about a person. No lender sees
    it."""

    typ = "tahini-exposure-order"

    handle: Sha256
    operation: Sha256
    number: int = Field(ge=1)
    """Counts what was done about this person, without a gap."""
    at: Instant
    seed: Random
    """Of the mask between the two answers; used once."""


class ExposureReceipt(Document):
    """A server holds its part of a statement."""

    typ = "tahini-exposure-receipt"

    server: Slug
    lender: Slug
    handle: Sha256
    operation: Sha256
    in_time: bool
    """Whether everything that it releases was still reserved. Where one server says no, the loan
    is not made."""
    at: Instant


class ExposureAnswer(Document):
    """One server's part of an answer."""

    typ = "tahini-exposure-answer"

    server: Slug
    lender: Slug
    handle: Sha256
    operation: Sha256
    share: ShareText
    view: Sha256
    """Of everything that this server was told about the person, blinded: the same at both, or they
    have been told different things."""
    at: Instant
