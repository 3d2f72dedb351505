"""Logging in: OpenID Connect's authorization code flow (Core 1.0 section 3.1) with PKCE (RFC 7636,
S256), as the browser's back end (OAuth 2.0 for Browser-Based Apps).

``state`` ties the way back to the browser that left, ``nonce`` is whatever the service that is
logged in to demands, ``iss`` on the way back (RFC 9207) is the issuer that was asked. What comes of
it is an ID token, which stays on the server, and who it is about.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlencode, urlsplit

from screens.house.errors import LoginFailed
from screens.house.id_tokens import Identity, identity_in
from screens.house.issuers import LoginIssuer, LoginIssuers

BACK_WITHIN = timedelta(minutes=10)
MAX_PATH = 2_000
MAX_LEAVING = 5_000
"""Who may be on the way to issuers at a time; the one who has been longest is forgotten."""


@dataclass(frozen=True)
class Leaving:
    """Somebody on the way to an issuer, and what must come back with them."""

    issuer: LoginIssuer
    token_endpoint: str
    nonce: str = field(repr=False)
    names_itself: bool
    """Whether the issuer must say on the way back who it is."""
    state: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48), repr=False)
    back_to: str = "/"
    """A path of ours to go on at."""


class LogIn:
    """The way to an issuer and back. ``redirect_uri`` is this app's, and registered there."""

    def __init__(self, issuers: LoginIssuers, redirect_uri: str, several: bool = False) -> None:
        """
        Args:
            several: one can log in at more than one issuer. Then each must name itself on the way
                back, or the code of one could be handed to another (RFC 9207).
        """
        self._issuers, self._redirect_uri, self._several = issuers, redirect_uri, several

    async def leave(
        self,
        issuer: LoginIssuer,
        nonce: str,
        back_to: str = "/",
        more: Mapping[str, str] | None = None,
    ) -> tuple[str, Leaving]:
        """Where to send the browser, and what to keep until it is back.

        Args:
            more: parameters of the request besides, such as ``prompt``.

        Raises:
            ServiceAway, LoginFailed: the issuer does not answer, or not as one.
        """
        known = await self._issuers.known(issuer)
        names_itself = self._several or known.authorization_response_iss_parameter_supported
        leaving = Leaving(
            issuer, known.token_endpoint, nonce, names_itself, back_to=own_path(back_to)
        )
        challenge = urlsafe_b64encode(hashlib.sha256(leaving.verifier.encode()).digest())
        asked = {
            "response_type": "code",
            "client_id": issuer.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": "openid",
            "state": leaving.state,
            "nonce": nonce,
            "code_challenge": challenge.rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return f"{known.authorization_endpoint}?{urlencode({**asked, **(more or {})})}", leaving

    async def arrive(
        self, leaving: Leaving, query: Mapping[str, str], now: datetime
    ) -> tuple[str, Identity]:
        """The ID token of who is back, and who that is.

        Raises:
            ServiceAway, LoginFailed: it is not the way back from there, another issuer answers, it
                gave no token, or one that is not its word about this log-in.
        """
        token = await self._token(leaving, query)
        keys = await self._issuers.keys(leaving.issuer)
        return token, identity_in(token, keys, leaving.issuer, leaving.nonce, now)

    async def _token(self, leaving: Leaving, query: Mapping[str, str]) -> str:
        if not hmac.compare_digest(query.get("state", "").encode(), leaving.state.encode()):
            raise LoginFailed
        unnamed = None if leaving.names_itself else leaving.issuer.issuer
        if query.get("iss", unnamed) != leaving.issuer.issuer or "code" not in query:
            raise LoginFailed
        form = {
            "grant_type": "authorization_code",
            "code": query["code"],
            "redirect_uri": self._redirect_uri,
            "client_id": leaving.issuer.client_id,
            "code_verifier": leaving.verifier,
        }
        token = (await self._issuers.ask("POST", leaving.token_endpoint, form)).get("id_token")
        if not isinstance(token, str):
            raise LoginFailed
        return token


def own_path(path: str) -> str:
    """``path`` if it is one of this origin's, else the start: never a way to another site."""
    if len(path) > MAX_PATH:
        return "/"
    try:
        parts = urlsplit(path)
    except ValueError:
        return "/"
    own = path.startswith("/") and not path.startswith(("//", "/\\")) and not parts.netloc
    return path if own and path.isprintable() else "/"
