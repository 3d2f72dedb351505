"""Who a party is in law: contact, officer, licence, country, its role in each processing, its
agreements, its successor; and under whose law a consortium is.

It stands in the consortium document as plain data (``Party.legal``, ``Consortium.legal``), so that
nodes, which need none of it, load none of this. Engineering, not legal advice: what is stated here
is the party's word, under its signature.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from crypto.sentences import one_sentence, shaped
from protocol.errors import Malformed
from protocol.parties import Consortium, Party
from protocol.schema import Language, Sha256, Slug
from protocol.terms import Iri

Line = Annotated[str, Field(min_length=2, max_length=300)]
Country = Annotated[str, shaped(r"^[A-Z]{2}$", "a country by ISO 3166-1: two capital letters")]
Email = Annotated[
    str,
    shaped(r"^[^@\s]{1,64}@[^@\s]{1,250}$", "an address as name@host"),
]
Phone = Annotated[str, shaped(r"^\+?[0-9][0-9 ()-]{4,30}$", "a telephone number")]
Jurisdiction = Literal["CN", "EU"]
Model = TypeVar("Model", bound=BaseModel)


class _Stated(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Contact(_Stated):
    """How people reach somebody; one way at least (PIPL 17(1); GDPR 13(1)(a))."""

    email: Email | None = None
    phone: Phone | None = None
    postal: Line | None = None

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if not (self.email or self.phone or self.postal):
            raise ValueError("one of email, phone and postal must be there")
        return self


class Officer(_Stated):
    """Who answers for personal information (PIPL 52; GDPR 37). A function is enough."""

    name: Line
    contact: Contact
    reported_on: date | None = None
    """When the institution told the authority who it is (PIPL 52)."""


class LicenceKind(StrEnum):
    """What an institution is licensed for."""

    PERSONAL_CREDIT_REPORTING = "personal-credit-reporting"
    """个人征信业务 (征信业管理条例 6, 7)."""
    BANK = "bank"
    CONSUMER_FINANCE = "consumer-finance"
    MICROLOAN = "microloan"
    OTHER = "other"


class Licence(_Stated):
    """By whose leave it does business."""

    kind: LicenceKind
    number: Line
    authority: Line
    until: date | None = None


class LawRole(StrEnum):
    """What a party is in one processing (PIPL 20, 21, 23; GDPR 4, 26, 28)."""

    HANDLER = "handler"
    """Decides on purpose and means: 个人信息处理者, controller."""
    JOINT_HANDLER = "joint-handler"
    PROCESSOR = "processor"
    """On behalf of a handler: 受托人, processor."""
    RECIPIENT = "recipient"
    NONE = "none"
    """Touches no personal information in it."""


class PurposeRole(_Stated):
    """A party's role in law for one purpose."""

    purpose: Iri
    role: LawRole


class AgreementKind(StrEnum):
    JOINT = "joint-handling"
    """PIPL 20; GDPR 26."""
    PROCESSING = "processing"
    """PIPL 21; GDPR 28."""
    TRANSFER = "transfer"
    """Out of the country (PIPL 38; GDPR 44 to 46)."""


class Agreement(_Stated):
    """An agreement, by the hash of its text: whoever has the text can show that it is the one."""

    kind: AgreementKind
    sha256: Sha256
    parties: tuple[Slug, ...] = Field(min_length=1)
    """With whom."""
    mechanism: Line | None = None
    """Of a transfer: assessment, certification, standard contract, adequacy…"""
    number: Line | None = None
    """Under which it was filed or decided."""
    until: date | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.kind is AgreementKind.TRANSFER and not (self.mechanism and self.until):
            raise ValueError("a transfer document states its mechanism, and until when it is good")
        return self

    def in_force(self, day: date) -> bool:
        """Through its last day."""
        return self.until is None or day <= self.until


class LegalIdentity(_Stated):
    """What a party states of itself. Everything may be left out; what a jurisdiction asks for is in
    :mod:`protocol.lawfulness`."""

    names: dict[Language, Line] = Field(default_factory=dict, max_length=16)
    """What it is called in other languages than that of ``Party.name``."""
    contact: Contact | None = None
    complaints: Contact | None = None
    """Who looks into complaints, where others do than ``contact``."""
    officer: Officer | None = None
    country: Country | None = None
    licence: Licence | None = None
    institution: Slug | None = None
    """Another party that is the same institution: where a lender runs the coordinator. Both say
    so."""
    opinion_sha256: Sha256 | None = None
    """Counsel's opinion that it needs no licence for what it does here, by hash."""
    roles: tuple[PurposeRole, ...] = ()
    agreements: tuple[Agreement, ...] = ()
    succeeded_by: Slug | None = None
    """The party that took over (PIPL 22): people are told, and asked anew where purposes change."""
    former_ids: tuple[Slug, ...] = ()
    """Under which it was a party before."""

    @model_validator(mode="after")
    def _one_role_each(self) -> Self:
        if len({stated.purpose for stated in self.roles}) != len(self.roles):
            raise ValueError("roles name a purpose twice")
        return self

    @classmethod
    def of(cls, party: Party) -> Self:
        """Raises Malformed."""
        return _read(cls, party.legal, f"party {party.id!r}")

    def role_for(self, purpose: str) -> LawRole | None:
        """None where nothing is stated."""
        return next((one.role for one in self.roles if one.purpose == purpose), None)

    @property
    def handles(self) -> bool:
        """Whether it is a handler of anything, alone or jointly."""
        return any(one.role in (LawRole.HANDLER, LawRole.JOINT_HANDLER) for one in self.roles)

    def stated(self) -> dict[str, Any]:
        """As it stands in the consortium document."""
        return self.model_dump(mode="json", exclude_defaults=True)


class LegalTerms(_Stated):
    """What holds for the whole consortium."""

    jurisdiction: Jurisdiction | None = None
    """Whose law it claims to keep: its rules are then enforced (:mod:`protocol.lawfulness`)."""
    staff_ids: bool = False
    """Whether operator commands must say which member of staff runs them (征信业管理条例 22)."""

    @classmethod
    def of(cls, consortium: Consortium) -> Self:
        """Raises Malformed."""
        return _read(cls, consortium.legal, f"consortium {consortium.name!r}")


def _read(model: type[Model], told: Mapping[str, Any] | None, where: str) -> Model:
    try:
        return model.model_validate(told or {})
    except ValidationError as error:
        raise Malformed(f"{where}: legal: {one_sentence(error)}") from error
