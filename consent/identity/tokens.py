"""The registry's own access tokens: ``at+jwt`` (RFC 9068), signed with the registry's key, for ten
minutes.

A token says who was authenticated and how; what that is worth is asked at each use: whether the key
it was minted from is still live, whether the login is still linked. Verified tokens are remembered
by hash until they expire.

A token is a bearer token: whoever sees it can use it until it ends. Signed requests and sessions
are bound to each call and remain the better way where the caller can hold a key.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import Field

from consent.identity.callers import Caller, Login
from consent.registry import Registry
from crypto.errors import SignatureError
from protocol.errors import NotAuthenticated
from protocol.schema import Document, Pseudonym

LIFETIME = timedelta(minutes=10)
MAX_CHARACTERS = 4096
MAX_REMEMBERED = 20_000


class AccessToken(Document):
    """The claims, RFC 9068 section 2.2; times in POSIX seconds. The last five are ours."""

    typ = "at+jwt"

    iss: str = Field(max_length=100)
    aud: str = Field(max_length=100)
    sub: str = Field(max_length=100)
    client_id: str = Field(max_length=255)
    iat: int
    exp: int
    jti: str = Field(min_length=16, max_length=64)
    roles: tuple[Caller] = Field()
    key: str | None = None
    """Of an institution: thumbprint of the key that its assertion was signed with."""
    login_issuer: str | None = None
    pseudonym: Pseudonym | None = None
    """Of a lender's own login: the pseudonym that the login is."""
    counter_of: str | None = Field(default=None, max_length=63)
    """Of a login at a lender's own front: the lender, as whose customer it speaks."""
    evidence: str = ""
    """Of a borrower: SHA-256 of the ID token, hex."""
    auth_time: int | None = None
    """Of a borrower: when they showed the issuer who they are, where it says so."""

    def payload(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_none=True)

    @property
    def logged_in_at(self) -> datetime | None:
        """When the person showed who they are, if their issuer says so."""
        if self.auth_time is None:
            return None
        return datetime.fromtimestamp(min(self.iat, self.auth_time), UTC)

    @property
    def login(self) -> Login | None:
        return None if self.login_issuer is None else Login(self.login_issuer, self.sub)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


class AccessTokens:
    """Mints and verifies."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._verified: OrderedDict[bytes, AccessToken] = OrderedDict()
        self._lock = threading.Lock()

    def mint(self, sub: str, client_id: str, role: Caller, **ours: Any) -> str:
        me = self._registry.me.id
        moment = self._registry.clock()
        token = AccessToken(
            iss=me,
            aud=me,
            sub=sub,
            client_id=client_id,
            iat=int(moment.timestamp()),
            exp=int((moment + LIFETIME).timestamp()),
            jti=secrets.token_urlsafe(16),
            roles=(role,),
            **ours,
        )
        return token.sign(self._registry.signing_key)

    def __contains__(self, token: str) -> bool:
        """Whether it was verified before."""
        return _digest(token) in self._verified

    def verify(self, token: str, moment: datetime) -> AccessToken:
        """What a token of ours says, while it is in force; raises NotAuthenticated."""
        if len(token) > MAX_CHARACTERS:
            raise NotAuthenticated("this is not an access token of this registry; get a new one")
        digest = _digest(token)
        found = self._verified.get(digest)
        if found is None:
            found = self._verified_anew(token)
            with self._lock:
                while len(self._verified) >= MAX_REMEMBERED:
                    self._verified.popitem(last=False)
                self._verified[digest] = found
        if not found.iat - 30 <= moment.timestamp() < found.exp:
            with self._lock:
                self._verified.pop(digest, None)
            said = "the access token has expired; get a new one"
            raise NotAuthenticated(said).because("session-over")
        return found

    def _verified_anew(self, token: str) -> AccessToken:
        me = self._registry.me.id
        try:
            found = AccessToken.verify(token, self._registry.signing_key.public)
        except SignatureError as error:
            raise NotAuthenticated(
                "this is not an access token of this registry; get a new one"
            ) from error
        if not hmac.compare_digest(f"{found.iss}\n{found.aud}".encode(), f"{me}\n{me}".encode()):
            raise NotAuthenticated("this is not an access token of this registry; get a new one")
        return found
