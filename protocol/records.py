"""The consent record that a borrower, a lender and a regulator read: ISO/IEC TS 27560:2023 field
names. Pure.

One record per (purpose, recipient, sensitivity).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from law.categories import DataCategory, Sensitivity
from law.vocabulary import iri
from protocol.changes import CurrentConsent
from protocol.consents import Authority, Channel, Presentation
from protocol.notices import Notice, Terms, Words
from protocol.schema import Instant
from protocol.snapshots import Reason
from protocol.states import ConsentStatus
from protocol.terms import Limits

SCHEMA_VERSION = "https://w3id.org/dpv/schema/dpv-27560#consent-record"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class NoticeShown(_Part):
    """Which notice the borrower answered."""

    id: str
    version: int
    stale: bool
    """It has changed materially since: consent to it does not count for new uses until it is given
    again."""


class Served(_Part):
    """What was shown and said when the consent was decided last."""

    language: str
    text_sha256: str
    """Of the exact text, UTF-8."""
    time: Instant
    channel: Channel
    stated_by: Literal["signature", "login", "import"]
    """By the borrower's own key, in their login, or by the lender that collected it."""
    evidence_sha256: str | None = None
    """Of what the lender keeps about an imported decision."""
    authority: Authority = Authority()
    """Age band, and the guardian or delegate who decided."""
    presentation: Presentation | None = None
    """How the notice was shown, where that was said."""


class PiiProcessing(_Part):
    """What was consented to."""

    privacy_notice: NoticeShown
    purpose: str
    purpose_type: str
    lawful_basis: str
    pii_type: tuple[str, ...]
    sensitivity: Sensitivity
    pii_controllers: tuple[str, ...]
    collection_method: str
    processing_method: str
    storage_locations: tuple[str, ...]
    retention_period: str
    """ISO 8601 duration."""
    jurisdiction: tuple[str, ...]
    recipient_third_parties: tuple[str, ...] = ()
    withdrawal_method: Words
    privacy_rights: tuple[str, ...]
    automated_decision: bool
    limits: Limits


class ConsentEvent(_Part):
    """How it stands."""

    event_state: ConsentStatus
    event_time: Instant
    validity_duration: Instant | None
    """When it ends."""
    version: int
    usable: Reason
    """Whether it counts for a new use now, and which rule says so."""


class ConsentRecord(_Part):
    """One consent of one borrower."""

    schema_version: str = SCHEMA_VERSION
    record_id: str
    pii_principal_id: str
    pii_processing: PiiProcessing
    event: ConsentEvent
    served: Served | None = None
    """None where the body that says it cannot be read any more."""

    @property
    def etag(self) -> str:
        """Changes with every change, expiry and new notice included."""
        return f'"{self.event.version}-{self.event.event_state}-{self.event.usable}"'


def _about(terms: Terms, kind: Sensitivity) -> tuple[DataCategory, ...]:
    """What a consent of this kind is about. ``sensitive`` reaches whatever a lender declares so,
    and everything of a child's."""
    return terms.categories if kind == "sensitive" else terms.asked().get(kind, ())


def record_id(origin: str, pseudonym: str, purpose: str, recipient: str, sensitivity: str) -> str:
    """Opaque name of a record: SHA-256 over what identifies it, 128 bits in hex."""
    text = "\n".join(("tahini-consent-record", origin, pseudonym, purpose, recipient, sensitivity))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class RecordKey:
    """Which consent a record is of, in the registry whose log has this origin; its notice names the
    purpose."""

    origin: str
    pseudonym: str
    recipient: str
    sensitivity: Sensitivity


def consent_record(
    key: RecordKey,
    present: CurrentConsent,
    notice: Notice,
    stale: bool,
    moment: datetime,
    served: Served | None = None,
) -> ConsentRecord:
    """The record of one consent as it stands at ``moment``."""
    terms = notice.terms
    state = present.at(moment)
    rule = Reason.NOTICE_CHANGED if state is ConsentStatus.GIVEN and stale else Reason(state.value)
    return ConsentRecord(
        record_id=record_id(
            key.origin, key.pseudonym, notice.purpose, key.recipient, key.sensitivity
        ),
        pii_principal_id=key.pseudonym,
        pii_processing=PiiProcessing(
            privacy_notice=NoticeShown(id=notice.id, version=notice.version, stale=stale),
            purpose=notice.purpose,
            purpose_type=terms.purpose_type,
            lawful_basis=terms.lawful_basis,
            pii_type=tuple(iri(one) for one in _about(terms, key.sensitivity)),
            sensitivity=key.sensitivity,
            pii_controllers=(key.recipient,),
            collection_method=terms.collection_method,
            processing_method=terms.processing_method,
            storage_locations=terms.storage_locations,
            retention_period=f"P{terms.retention_period_days}D",
            jurisdiction=terms.jurisdiction,
            recipient_third_parties=tuple(one.id for one in terms.recipients),
            withdrawal_method=terms.withdrawal_method,
            privacy_rights=terms.privacy_rights,
            automated_decision=terms.automated_decision,
            limits=terms.limits,
        ),
        served=served,
        event=ConsentEvent(
            event_state=state,
            event_time=present.event_time or moment,
            validity_duration=present.expiry_time,
            version=present.version,
            usable=rule,
        ),
    )
