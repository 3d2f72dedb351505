"""Consent snapshots: one status code per borrower and consent, and the reason it gives for a use or
against.

A code says which notice was answered last and how the consent stands: ``notice << 8 | state``, as
32-bit unsigned integers in the order of the lender's roll. Zero: the person was never asked. Of a
child the ordinary code has :data:`CHILD` set besides. A million borrowers are an array of 4 MB for
each consent that anybody answered, and compress to a fraction of that.
"""

from __future__ import annotations

import hashlib
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from crypto.documents import document_hash
from law.bases import LegalBasis
from law.categories import SENSITIVITIES, DataCategory, Sensitivity
from protocol.errors import Malformed
from protocol.parties import Role
from protocol.schema import Document, Instant, Sha256, Slug
from protocol.states import ConsentStatus
from protocol.terms import Iri, Limits

StatusCodes = NDArray[np.uint32]
Flags = NDArray[np.bool_]
STATES = tuple(ConsentStatus)
GIVEN = STATES.index(ConsentStatus.GIVEN)
CHILD = 0x80
"""Bit of an ordinary code: the person is under 14, so that all of their data are sensitive (PIPL
article 28) and the sensitive consent, which a guardian gives, is needed for every use."""
NEVER = np.iinfo(np.int64).max
"""Expiry, in seconds since 1970, of what does not expire."""
MOST_PEOPLE = 50_000_000


class Reason(StrEnum):
    """Why a borrower may be used or not. Only ``given`` allows."""

    GIVEN = "given"
    NOT_ENROLLED = "not-enrolled"
    NEVER_ASKED = "never-asked"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    SUSPENDED = "suspended"
    SUPERSEDED = "superseded"
    NOTICE_CHANGED = "notice-changed"
    USED_UP = "used-up"
    CHILD = "child"
    """Under 14, and the consent to sensitive data that a guardian gives is missing."""


REASONS = tuple(Reason)
_BY_STATE = {
    ConsentStatus.NONE: Reason.NEVER_ASKED,
    ConsentStatus.GIVEN: Reason.GIVEN,
    ConsentStatus.REFUSED: Reason.REFUSED,
    ConsentStatus.WITHDRAWN: Reason.WITHDRAWN,
    ConsentStatus.EXPIRED: Reason.EXPIRED,
    ConsentStatus.SUSPENDED: Reason.SUSPENDED,
    ConsentStatus.SUPERSEDED: Reason.SUPERSEDED,
}
_REASON_OF_STATE = np.array([REASONS.index(_BY_STATE[state]) for state in STATES], dtype=np.uint8)


def code_of(state: ConsentStatus, notice: int) -> int:
    return notice << 8 | STATES.index(state)


def at_moment(state: NDArray[Any], expiry: NDArray[Any], moment: datetime) -> NDArray[np.uint32]:
    """Stored states as they stand at ``moment``: expiry is true without anybody doing anything.

    Args:
        state: indexes into the states. expiry: seconds since 1970, :data:`NEVER` for none.
    """
    lasting = (state == GIVEN) | (state == STATES.index(ConsentStatus.SUSPENDED))
    expired = lasting & (expiry <= int(moment.timestamp()))
    return np.where(expired, STATES.index(ConsentStatus.EXPIRED), state).astype(np.uint32)


class AnsweredNotice(BaseModel):
    """What a code's notice number means, and whether consent to it still counts for new uses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Slug
    version: int
    stale: bool
    """A later version changed what was consented to."""
    limits: Limits
    categories: tuple[DataCategory, ...] = ()
    automated_decision: bool = False
    lawful_basis: LegalBasis = LegalBasis.PIPL_CONSENT
    retention_period_days: int = 0
    named: tuple[tuple[Slug, Role], ...] = ()


def reasons_of(
    codes: StatusCodes, notices: Mapping[int, AnsweredNotice], used_up: Flags | None = None
) -> NDArray[np.uint8]:
    """Index into :data:`REASONS` for every code.

    Args:
        used_up: whose limits on use are reached.
    """
    states = codes & 0x7F
    numbers = codes >> 8
    if codes.size and int(states.max()) >= len(STATES):
        raise Malformed("a code speaks of a state that does not exist")
    reasons: NDArray[np.uint8] = _REASON_OF_STATE[states]
    given = states == GIVEN
    current = [number for number, notice in notices.items() if not notice.stale]
    reasons[given & ~np.isin(numbers, current)] = REASONS.index(Reason.NOTICE_CHANGED)
    if used_up is not None:
        reasons[(reasons == REASONS.index(Reason.GIVEN)) & used_up] = REASONS.index(Reason.USED_UP)
    return reasons


def packed(array: NDArray[Any]) -> str:
    """An array as base64 of its zlib-compressed little-endian bytes."""
    return b64encode(
        zlib.compress(array.astype(array.dtype.newbyteorder("<")).tobytes(), 1)
    ).decode()


def unpacked(text: str, dtype: str, most: int = MOST_PEOPLE) -> NDArray[Any]:
    """Inverse of :func:`packed`; raises Malformed, also for more than ``most`` values."""
    kind = np.dtype(dtype)
    try:
        engine = zlib.decompressobj()
        data = engine.decompress(b64decode(text, validate=True), most * kind.itemsize)
    except (ValueError, zlib.error) as error:
        raise Malformed("the packed values cannot be read") from error
    if not engine.eof or engine.unused_data or len(data) % kind.itemsize:
        raise Malformed("the packed values are cut short or too many")
    return np.frombuffer(data, dtype=kind.newbyteorder("<")).astype(kind)


def codes_sha256(
    numbers: NDArray[np.uint32] | None, codes: Mapping[Sensitivity, StatusCodes]
) -> str:
    """SHA-256 over the little-endian bytes of whom a state is about (if not all) and of the codes
    of each consent in :data:`SENSITIVITIES`' order, with lengths; one that nobody answered has
    none."""
    digest = hashlib.sha256()
    nobody = np.zeros(0, np.uint32)
    every = (codes.get(kind, nobody) for kind in SENSITIVITIES)
    for array in (nobody if numbers is None else numbers, *every):
        digest.update(len(array).to_bytes(8, "big"))
        digest.update(np.ascontiguousarray(array, dtype="<u4").tobytes())
    return digest.hexdigest()


class ConsentSnapshot(Document):
    """How a lender's borrowers stand for one purpose, as of one checkpoint of the log: a whole, or
    what changed.

    ``since`` is the sequence number of the state that this one changes; none for a whole. The codes
    travel beside the signature; ``codes_sha256`` binds them to it.
    """

    typ = "tahini-consent-state"

    lender: Slug
    purpose: Iri
    people: int = Field(ge=0, le=MOST_PEOPLE)
    names_sha256: Sha256
    since: int | None = Field(default=None, ge=0)
    since_moment: Instant | None = None
    sequence: int = Field(ge=0)
    """Events of this purpose and lender that are in it."""
    notices: dict[int, AnsweredNotice]
    codes_sha256: Sha256
    checkpoint: str
    """The newest published head of the log."""
    challenge: str = Field(min_length=16, max_length=64)
    """What the caller sent, so that an earlier answer cannot be this one."""
    issued_at: Instant


@dataclass(frozen=True)
class ReceivedSnapshot:
    """A consent snapshot as it came, verified. Codes are of everybody on the roll, or of those in
    ``numbers``."""

    state: ConsentSnapshot
    token: str
    numbers: NDArray[np.uint32] | None
    codes: Mapping[Sensitivity, StatusCodes]
    """By consent; none for one that nobody answered."""


def places_sha256(campaign: str, lender: str, bitmaps: Mapping[Sensitivity, bytes]) -> str:
    """What the activation of a campaign binds: who had a place at a lender then."""
    hashes = {name: hashlib.sha256(bitmap).hexdigest() for name, bitmap in bitmaps.items()}
    return document_hash({"campaign": campaign, "lender": lender, "bitmaps": hashes})


class Places(Document):
    """Who of a lender's borrowers has a place in a campaign: a bitmap over their numbers, lowest
    bit first."""

    typ = "tahini-places"

    campaign_sha256: Sha256
    lender: Slug
    people: int = Field(ge=0, le=MOST_PEOPLE)
    bitmap: str
    """Packed bytes, one bit per borrower."""
    further: dict[Sensitivity, str] = Field(default_factory=dict)
    """The same of these, for each further consent that the campaign needs: who has not used it
    up."""
    approvals: tuple[str, ...] = ()
    """Every lender's signed approval: what is drawn by who is held out (``protocol.holdout``)."""
    issued_at: Instant

    @property
    def content_sha256(self) -> str:
        """Of whom it names, whenever it was asked for. Raises Malformed."""
        packs = {"ordinary": self.bitmap, **self.further}
        bitmaps = {name: unpacked(text, "uint8").tobytes() for name, text in packs.items()}
        return places_sha256(self.campaign_sha256, self.lender, bitmaps)

    def flags(self, sensitivity: Sensitivity = "ordinary") -> Flags:
        """One flag per borrower on the roll when the campaign became active. Raises Malformed."""
        text = self.bitmap if sensitivity == "ordinary" else self.further.get(sensitivity)
        if text is None:
            return np.zeros(self.people, dtype=bool)
        bits = np.unpackbits(unpacked(text, "uint8"), bitorder="little")
        if len(bits) < self.people:
            raise Malformed("the bitmap is shorter than the roll")
        return bits[: self.people].astype(bool)
