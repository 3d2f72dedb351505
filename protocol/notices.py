"""Notices: what a borrower is asked, word for word, and the terms that the words state.

Field names are those of ISO/IEC TS 27560:2023 and ISO/IEC 29184; purposes and legal bases are terms
of the W3C Data Privacy Vocabulary (https://w3id.org/dpv). The terms are what is enforced: nothing
is used that they do not name (:mod:`protocol.coverage`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from operator import not_
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from law.bases import LegalBasis
from law.categories import DataCategory, Sensitivity, consent_for
from law.processing import Processing, SupportingBasis
from protocol.parties import Role
from protocol.schema import Document, Instant, Language, Slug
from protocol.terms import BROADER_PURPOSE, Iri, Limits

Words = dict[Language, Annotated[str, Field(min_length=1, max_length=600)]]
"""The same in each language."""
Capacity = Literal["handler", "joint-handler", "processor"]
"""In law: who decides about the processing, alone or with others (PIPL articles 20 and 73; GDPR
articles 4 and 26), or works for who does (PIPL article 21; GDPR article 28)."""
Right = Literal[
    "access",
    "portability",
    "correction",
    "erasure",
    "withdrawal",
    "restriction",
    "objection",
    "explanation",
    "review",
    "complaint",
]
RIGHTS: tuple[Right, ...] = get_args(Right)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Recipient(_Part):
    """Somebody who gets something of a borrower's data, if only an answer under a code."""

    id: Slug
    name: str = Field(min_length=1, max_length=200)
    role: Role
    capacity: Capacity
    contact: str = Field(min_length=3, max_length=300)
    """Where a person reaches them: telephone, mail or address."""
    officer: str | None = Field(default=None, min_length=3, max_length=400, exclude_if=not_)
    """Their officer for personal information, with a contact (PIPL 52; GDPR 13(1)(b))."""


class Terms(_Part):
    """What a notice says about the processing it asks consent for."""

    purpose_type: Iri = BROADER_PURPOSE
    """The wider purpose that this one belongs to."""
    lawful_basis: LegalBasis = LegalBasis.PIPL_CONSENT
    bases: dict[Processing, SupportingBasis] = Field(default_factory=dict, exclude_if=not_)
    """By what right everything is done that no consent is asked for (PIPL 13; GDPR 6,
    13(1)(c))."""
    categories: tuple[DataCategory, ...] = ()
    """What may be used. Before version 0.7.0 notices named none, and a yes to them covers none."""
    automated_decision: bool = False
    """Whether the outcome may be a decision made by a machine alone (GDPR Art. 22; PIPL Art.
    24)."""
    recipients: tuple[Recipient, ...] = Field(default=(), max_length=64)
    """Everybody who gets something (PIPL articles 17 and 23)."""
    logic: Words = Field(default_factory=dict, exclude_if=not_)
    """How a decision comes about, by what main facts, and what follows from it (GDPR 13(2)(f);
    PIPL 24)."""
    children: Words = Field(default_factory=dict, exclude_if=not_)
    """Rules of their own for people under 14 (PIPL article 31(2)). Without them no yes for a child
    is taken."""
    necessity: Words = Field(default_factory=dict)
    """Why sensitive data are needed (PIPL article 30)."""
    effect: Words = Field(default_factory=dict)
    """What their use does to the person's rights (PIPL article 30)."""
    adverse_consequences: Words = Field(default_factory=dict)
    """What may follow from giving income, deposits and the like (征信业管理条例 article 14)."""
    complaint: Words = Field(default_factory=dict)
    """To which authority one can complain, and how."""
    written_form: bool = False
    """Whether a yes must be in writing: on paper, or electronically with what was shown; never by
    telephone."""
    collection_method: str = Field(
        default="from the borrower's own accounts and contracts", max_length=300
    )
    processing_method: Iri = "https://w3id.org/dpv#Analyse"
    storage_locations: tuple[str, ...] = Field(default=(), max_length=32)
    """Countries, ISO 3166."""
    retention_period_days: int = Field(default=5 * 365 + 1, ge=1, le=36_500)
    jurisdiction: tuple[Annotated[str, Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")], ...] = Field(
        default=(), max_length=32
    )
    """ISO 3166 codes."""
    reading_seconds: int | None = Field(default=None, ge=1, le=600, exclude_if=not_)
    """A yes on a screen counts only where the notice was shown so long, to its end, with a control
    for each choice (征信业管理条例 19: to draw attention)."""
    withdrawal_method: Words = Field(default_factory=dict)
    privacy_rights: tuple[Right, ...] = RIGHTS
    validity_days: int | None = Field(default=None, ge=1, le=36_500)
    """A consent is asked for again after so many days at the latest."""
    limits: Limits = Limits()
    material_change: bool = False
    """That an earlier consent must be asked for again, whatever the terms say. Where the terms
    themselves reach further it must be in any case (``consent.notice_changes``)."""

    @model_validator(mode="before")
    @classmethod
    def _earlier(cls, said: Any) -> Any:
        """Notices of before version 0.7.0 named categories that nothing was compared with."""
        if isinstance(said, dict) and "pii_type" in said:
            said = {name: value for name, value in said.items() if name != "pii_type"}
            if "withdrawal_method" in said:
                said["withdrawal_method"] = {"en": said["withdrawal_method"]}
        return said

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for what, names in (
            ("a category", [one.value for one in self.categories]),
            ("a recipient", [one.id for one in self.recipients]),
            ("a right", list(self.privacy_rights)),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"{what} is named twice")
        return self

    @property
    def named(self) -> tuple[tuple[str, Role], ...]:
        """Who gets something, and as what."""
        return tuple((one.id, one.role) for one in self.recipients)

    def asked(self) -> Mapping[Sensitivity, tuple[DataCategory, ...]]:
        """The categories that each consent is about, where all are what law says they are. A
        category that some lender declares sensitive is asked for as ``sensitive`` besides."""
        found: dict[Sensitivity, tuple[DataCategory, ...]] = {}
        for category in self.categories:
            kind = consent_for(category)
            found[kind] = (*found.get(kind, ()), category)
        return found


class Notice(Document):
    """What a borrower is shown, in each language, word for word."""

    typ = "tahini-notice"

    id: Slug
    version: int = Field(ge=1)
    purpose: Iri
    recipients: tuple[Slug, ...]
    """The lenders that each ask for consent of their own."""
    texts: dict[Language, str]
    terms: Terms = Terms()
    published_at: Instant

    def text_sha256(self, language: str) -> str:
        return self._texts_sha256[language]

    @cached_property
    def _texts_sha256(self) -> dict[str, str]:
        return {
            language: hashlib.sha256(text.encode()).hexdigest()
            for language, text in self.texts.items()
        }
