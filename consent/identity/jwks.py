"""An issuer's key set (RFC 7517): fetched over https, kept for a while, fetched again for a key
that is not known.

Fails closed: when the set cannot be had, nobody of that issuer is let in. A stranger who invents
key ids makes the registry fetch at most once a minute.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from consent.identity.errors import IssuerUnavailable
from consent.identity.jwts import TrustedKey, read_object
from crypto.errors import SignatureError
from protocol.bounded import Bounds, Unending, ask

FRESH_S = 3600.0
REFETCH_S = 60.0
RETRY_S = 10.0
"""After a fetch that failed, how long nothing is tried."""
ANSWER = Bounds(256 * 1024, 5.0)
MAX_KEYS = 64
WAIT_S = 1.0

Fetch = Callable[[str], bytes]


def fetch(url: str) -> bytes:
    """The body at ``url``: no redirects, within :data:`ANSWER`; raises IssuerUnavailable."""
    try:
        with httpx.Client(trust_env=False) as http:
            response = ask(http, "GET", url, ANSWER)
    except Unending as error:
        raise IssuerUnavailable("an issuer's key set is too large or comes too slowly") from error
    except httpx.HTTPError as error:
        raise IssuerUnavailable(
            f"an issuer's key set cannot be had ({type(error).__name__}); try again"
        ) from error
    if response.status_code != 200:
        raise IssuerUnavailable(
            f"an issuer's key set is answered with status {response.status_code}"
        )
    return response.content


def usable_keys(jwks: Mapping[str, Any]) -> tuple[TrustedKey, ...]:
    """The keys of a set that signatures can be checked with; raises SignatureError."""
    keys = jwks.get("keys")
    if (
        not isinstance(keys, list)
        or len(keys) > MAX_KEYS
        or not all(isinstance(key, dict) for key in keys)
    ):
        raise SignatureError(f"a key set is a list of at most {MAX_KEYS} keys")
    return tuple(key for jwk in keys if (key := TrustedKey.from_jwk(jwk)) is not None)


def choose(keys: Iterable[TrustedKey], kid: str | None) -> TrustedKey | None:
    """The key with this id; without an id the only key there is."""
    found = [key for key in keys if kid is None or key.kid == kid]
    return found[0] if len(found) == 1 else None


@dataclass
class FixedKeys:
    """A key set that stands in the settings."""

    keys: tuple[TrustedKey, ...]

    def find(self, kid: str | None) -> TrustedKey | None:
        return choose(self.keys, kid)


@dataclass
class FetchedKeys:
    """A key set at a URL. Times are of a monotonic clock, in seconds."""

    url: str
    fetch: Fetch = fetch
    clock: Callable[[], float] = time.monotonic
    _keys: tuple[TrustedKey, ...] = ()
    _fetched: float | None = None
    _tried: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def find(self, kid: str | None) -> TrustedKey | None:
        """The key with this id, or None; raises IssuerUnavailable."""
        if self._fresh() and (found := choose(self._keys, kid)) is not None:
            return found
        # a slow issuer must not hold up every thread of this worker
        if not self._lock.acquire(timeout=WAIT_S):
            raise IssuerUnavailable("an issuer's key set is being fetched; try again")
        try:
            if not self._fresh():
                self._load(RETRY_S)
            elif choose(self._keys, kid) is None and not self._tried_within(REFETCH_S):
                self._load(0.0)
            return choose(self._keys, kid)
        finally:
            self._lock.release()

    def _fresh(self) -> bool:
        return self._fetched is not None and self.clock() - self._fetched < FRESH_S

    def _tried_within(self, seconds: float) -> bool:
        return self._tried is not None and self.clock() - self._tried < seconds

    def _load(self, pause: float) -> None:
        if self._tried_within(pause):
            raise IssuerUnavailable("an issuer's key set could not be had a moment ago; try again")
        self._tried = self.clock()
        try:
            keys = usable_keys(read_object(self.fetch(self.url)))
        except (SignatureError, ValueError) as error:
            raise IssuerUnavailable("what an issuer serves is not a key set") from error
        self._keys = keys
        self._fetched = self.clock()
