"""Signed requests: how a caller proves who it is, for one request, for a minute.

The bearer token is a signed document bound to method, path and body hash, so it cannot be replayed
on anything else; its ``jti`` is remembered until it expires, and what was made before the registry
started is refused. One process keeps them in memory (:class:`ReplayGuard`); the workers of one
service share them (``consent.identity.replays``).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import Field

from crypto.errors import SignatureError
from crypto.keys import PublicKey, SigningKey
from protocol.errors import NotAuthenticated
from protocol.schema import Document, Instant, Sha256, now

LIFETIME = timedelta(seconds=60)
CLOCK_SKEW = timedelta(seconds=30)
SEEN_BEFORE = "this request was made before; a signed request acts once"


class SignedRequest(Document):
    typ = "tahini-request"

    iss: str = Field(max_length=100)
    aud: str = Field(max_length=100)
    htm: str = Field(max_length=8)
    htu: str = Field(max_length=2000)
    body_sha256: Sha256
    iat: Instant
    jti: str = Field(min_length=16, max_length=64)


@dataclass(frozen=True)
class Call:
    """What the signature of a request is bound to; ``target`` is path and query, as sent."""

    method: str
    target: str
    body: bytes


def sign_request(
    key: SigningKey, caller: str, audience: str, method: str, target: str, body: bytes
) -> str:
    """The bearer token for one request. ``target`` is path and query, as sent."""
    return SignedRequest(
        iss=caller,
        aud=audience,
        htm=method,
        htu=target,
        body_sha256=hashlib.sha256(body).hexdigest(),
        iat=now(),
        jti=secrets.token_urlsafe(16),
    ).sign(key)


class ReplayGuard:
    """Remembers each ``jti`` for as long as its token could be accepted.

    Two generations, each as long as a token can live: a ``jti`` is known while it is in either, and
    forgetting a whole generation costs nothing per request.
    """

    GENERATION = LIFETIME + 2 * CLOCK_SKEW

    def __init__(self, started: datetime) -> None:
        self.started = started
        self._turned = started
        self._seen: set[str] = set()
        self._before: set[str] = set()
        self._lock = threading.Lock()

    def admit(self, jti: str, moment: datetime) -> None:
        with self._lock:
            if moment - self._turned >= self.GENERATION:
                self._before = self._seen
                self._seen = set()
                self._turned = moment
            if jti in self._seen or jti in self._before:
                raise NotAuthenticated(SEEN_BEFORE)
            self._seen.add(jti)


def check_request(
    token: str, key: PublicKey, audience: str, call: Call, moment: datetime, started: datetime
) -> SignedRequest:
    """The request is the key holder's, for exactly this call, and now. Whether for the first time
    is a guard's to say.

    Args:
        started: since when requests are remembered; what was made before is refused.

    Raises:
        NotAuthenticated: anything else.
    """
    try:
        request = SignedRequest.verify(token, key)
    except SignatureError as error:
        raise NotAuthenticated("the request's signature does not verify") from error
    digest = hashlib.sha256(call.body).hexdigest()
    bound = (request.aud, request.htm, request.htu) == (audience, call.method, call.target)
    if not bound or not hmac.compare_digest(request.body_sha256, digest):
        raise NotAuthenticated("the request's signature was made for another call")
    if not request.iat - CLOCK_SKEW <= moment <= request.iat + LIFETIME + CLOCK_SKEW:
        raise NotAuthenticated(
            "the request is older than a minute or from the future; check the clock of this machine"
        )
    if request.iat < started:
        raise NotAuthenticated("the request was made before this registry started; make it again")
    return request


def verify_request(
    token: str, key: PublicKey, audience: str, call: Call, moment: datetime, guard: ReplayGuard
) -> SignedRequest:
    """:func:`check_request`, and for the first time as far as this process knows; raises
    NotAuthenticated."""
    request = check_request(token, key, audience, call, moment, guard.started)
    guard.admit(request.jti, moment)
    return request
