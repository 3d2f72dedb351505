"""What a consent is about, in the words of the standards.

Field names are those of ISO/IEC TS 27560:2023 (consent records and receipts); purposes, legal bases
and data categories are terms of the W3C Data Privacy Vocabulary (https://w3id.org/dpv) and its
personal-data extension. The limits on use are those of the consent artefact of India's account
aggregators (ReBIT AA API: DataLife, Frequency, FIDataRange, fetchType).
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from protocol.schema import Sha256

TRAINING_PURPOSE = "https://w3id.org/dpv#CreditChecking"
"""DPV's term for assessing whether somebody can repay; training the model that does so is part of
it."""
CONSENT_BASIS = "https://w3id.org/dpv/legal/eu/gdpr#A6-1-a"
EXPLICIT_CONSENT_BASIS = "https://w3id.org/dpv/legal/eu/gdpr#A9-2-a"

Iri = Annotated[str, Field(pattern=r"^https://[!-~]{1,190}$")]
Sensitivity = Literal["ordinary", "sensitive"]
AgeBand = Literal["under-14", "14-17", "adult"]
Channel = Literal["app", "web", "branch", "phone", "paper", "api"]
_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Frequency(_Part):
    """At most ``times`` uses in any period of the given length (a month has 30 days, a year
    365)."""

    times: int = Field(ge=1, le=10_000)
    per: Literal["day", "week", "month", "year"]

    @property
    def period(self) -> timedelta:
        return timedelta(days=_DAYS[self.per])


class Limits(_Part):
    """How far a consent reaches. One use is one campaign."""

    fetch_type: Literal["one-time", "periodic"] = "periodic"
    frequency: Frequency | None = None
    data_from: date | None = None
    """Facts recorded before this day are not used (the start of FIDataRange)."""
    data_to: date | None = None
    """Facts recorded after this day are not used (its end)."""
    data_life_days: int | None = Field(default=None, ge=1, le=36_500)
    """Facts are used for so many days after they were recorded (DataLife)."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.data_from and self.data_to and self.data_from > self.data_to:
            raise ValueError("data_from comes after data_to")
        return self

    @property
    def counts_uses(self) -> bool:
        return self.fetch_type == "one-time" or self.frequency is not None


class Terms(_Part):
    """What a notice says about the processing it asks consent for."""

    purpose_type: Iri = "https://w3id.org/dpv#CustomerSolvencyMonitoring"
    """The wider purpose that this one belongs to."""
    lawful_basis: Iri = CONSENT_BASIS
    pii_type: dict[Sensitivity, tuple[Iri, ...]] = Field(default_factory=dict)
    """Categories of data by sensitivity."""
    collection_method: str = Field(
        default="from the borrower's own accounts and contracts", max_length=300
    )
    processing_method: Iri = "https://w3id.org/dpv#Analyse"
    storage_locations: tuple[str, ...] = Field(default=(), max_length=32)
    retention_period_days: int = Field(default=5 * 365, ge=1, le=36_500)
    jurisdiction: tuple[Annotated[str, Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")], ...] = Field(
        default=(), max_length=32
    )
    """ISO 3166 codes."""
    automated_decision: bool = False
    """Whether the outcome may be a decision made by a machine alone (GDPR Art. 22; PIPL Art.
    24)."""
    withdrawal_method: str = Field(
        default="in the portal, or by any signed request, at any time", max_length=300
    )
    privacy_rights: tuple[str, ...] = Field(
        default=("access", "portability", "withdrawal", "erasure"), max_length=32
    )
    validity_days: int | None = Field(default=None, ge=1, le=36_500)
    """A consent is asked for again after so many days at the latest."""
    limits: Limits = Limits()
    material_change: bool = False
    """Whether this version changes what an earlier consent was given to, so that it must be asked
    for again."""


class Authority(_Part):
    """By what right somebody decides who is not an adult deciding alone. Entities are named by
    opaque identifiers."""

    age_band: AgeBand = "adult"
    guardian_entity_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._:-]{1,100}$")
    """Who decided in the person's place: a guardian or delegate."""
    authority_evidence_hash: Sha256 | None = None
    """SHA-256 of the document that shows the guardian's or delegate's authority; whoever collected
    it keeps it."""

    @model_validator(mode="after")
    def _shown(self) -> Self:
        if self.age_band != "adult" and self.guardian_entity_id is None:
            raise ValueError("for a minor a guardian decides: guardian_entity_id is missing")
        if self.guardian_entity_id is not None and self.authority_evidence_hash is None:
            raise ValueError(
                "a guardian's authority is shown by a document: authority_evidence_hash is missing"
            )
        return self
