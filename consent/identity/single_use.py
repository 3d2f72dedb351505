"""What acts once: nonces, assertions, tickets. The table is shared, so once means once across all
workers.

A nonce needs no row until it is used: it carries its own end and a MAC under a key that only the
registry has. Using one inserts its hash; a second insert fails. Rows go when what they guard has
ended anyway.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from consent.identity.errors import ActedBefore
from consent.storage.tables import UsedOnceRow
from crypto.errors import SignatureError
from crypto.keys import SigningKey, b64, unb64

LIFETIME = timedelta(minutes=10)
GRACE = timedelta(hours=1)
"""Rows outlive what they guard by this much, so that a clock that is set back a little lets nothing
act twice."""
_TIME, _RANDOM, _MAC = 8, 16, 16
_IN_CHUNK = 500


def derived_key(key: SigningKey, purpose: str) -> bytes:
    """A 32-byte secret of the registry's for one purpose: HKDF-SHA256 (RFC 5869) of its signing
    key's seed."""
    return HKDF(SHA256(), 32, None, f"tahini/{purpose}/v1".encode()).derive(key.seed)


def use_once(session: Session, kind: str, value: str, ends: datetime, moment: datetime) -> None:
    """Mark ``value`` as used, in the caller's write transaction; raises ActedBefore when it was."""
    digest = _digest(kind, value)
    session.execute(delete(UsedOnceRow).where(UsedOnceRow.expires_at < moment))
    try:
        session.execute(insert(UsedOnceRow), {"sha256": digest, "expires_at": ends + GRACE})
    except IntegrityError as error:
        said = f"this {kind} was used before; each acts once"
        raise ActedBefore(said).because("acted-before") from error


def acted(session: Session, kind: str, values: Sequence[str]) -> bool:
    """Whether one of ``values`` was used before, as far as that is still remembered."""
    digests = [_digest(kind, value) for value in values]
    for start in range(0, len(digests), _IN_CHUNK):
        used = select(UsedOnceRow.sha256).where(
            UsedOnceRow.sha256.in_(digests[start : start + _IN_CHUNK])
        )
        if session.scalar(used.limit(1)) is not None:
            return True
    return False


def _digest(kind: str, value: str) -> str:
    return hashlib.sha256(f"{kind}\n{value}".encode()).hexdigest()


@dataclass(frozen=True)
class Challenges:
    """Hands out nonces and knows them again: end (8 bytes, POSIX seconds), 16 random bytes, 16
    bytes of HMAC-SHA256."""

    _key: bytes = field(repr=False)

    @classmethod
    def of(cls, key: SigningKey) -> Challenges:
        return cls(derived_key(key, "challenge"))

    def issue(self, moment: datetime) -> tuple[str, datetime]:
        """A new nonce and when it ends."""
        ends = moment + LIFETIME
        body = int(ends.timestamp()).to_bytes(_TIME, "big") + os.urandom(_RANDOM)
        return b64(body + self._mac(body)), ends

    def check(self, nonce: str, moment: datetime) -> datetime:
        """When this nonce of ours ends; raises SignatureError for another's, or one that has
        ended."""
        try:
            raw = unb64(nonce)
        except ValueError:
            raw = b""
        body = raw[: _TIME + _RANDOM]
        mac = raw[_TIME + _RANDOM :]
        if len(raw) != _TIME + _RANDOM + _MAC or not hmac.compare_digest(mac, self._mac(body)):
            raise SignatureError("the nonce is not one that this registry handed out")
        ends = int.from_bytes(body[:_TIME], "big")
        if moment.timestamp() >= ends:
            raise SignatureError("the nonce has expired; ask for a new one and log in again")
        return datetime.fromtimestamp(ends, moment.tzinfo)

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")[:_MAC]
