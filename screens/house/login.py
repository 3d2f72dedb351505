"""Logging in: OpenID Connect's authorization code flow (Core 1.0 section 3.1) with PKCE (RFC 7636,
S256), as the browser's back end (OAuth 2.0 for Browser-Based Apps).

``state`` ties the way back to the browser that left, ``nonce`` is whatever the service that is
logged in to demands, ``iss`` on the way back (RFC 9207) is the issuer that was asked. What comes of
it is an ID token, which stays on the server.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from screens.house.errors import LoginFailed, ServiceAway

BACK_WITHIN = timedelta(minutes=10)
MAX_ANSWER_BYTES = 65_536
MAX_PATH = 2_000
MAX_LEAVING = 5_000
"""Who may be on the way to issuers at a time; the one who has been longest is forgotten."""


class LoginIssuer(BaseModel):
    """An issuer at which one can log in. ``client_id`` is this app's there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = Field(pattern=r"^https?://[^\s?#]+$")
    client_id: str = Field(min_length=1, max_length=255)
    title: dict[str, str] = Field(default_factory=dict)
    """What it is called, by language; its host's name where it is not said."""

    def called(self, language: str) -> str:
        return self.title.get(language) or (urlsplit(self.issuer).hostname or self.issuer)


class _Discovered(BaseModel):
    """What is needed of OpenID Connect Discovery 1.0."""

    model_config = ConfigDict(extra="ignore")

    issuer: str
    authorization_endpoint: str = Field(pattern=r"^https?://")
    token_endpoint: str = Field(pattern=r"^https?://")


@dataclass(frozen=True)
class Leaving:
    """Somebody on the way to an issuer, and what must come back with them."""

    issuer: LoginIssuer
    token_endpoint: str
    state: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48), repr=False)
    back_to: str = "/"
    """A path of ours to go on at."""


class LogIn:
    """The way to an issuer and back. ``redirect_uri`` is this app's, and registered there."""

    def __init__(self, http: httpx.AsyncClient, redirect_uri: str) -> None:
        self._http, self._redirect_uri = http, redirect_uri

    async def leave(
        self, issuer: LoginIssuer, nonce: str, back_to: str = "/"
    ) -> tuple[str, Leaving]:
        """Where to send the browser, and what to keep until it is back.

        Raises:
            ServiceAway, LoginFailed: the issuer does not answer, or not as one.
        """
        found = await self._answer("GET", f"{issuer.issuer}/.well-known/openid-configuration")
        try:
            known = _Discovered.model_validate(found)
        except ValidationError as error:
            raise LoginFailed from error
        if known.issuer != issuer.issuer:
            raise LoginFailed
        leaving = Leaving(issuer, known.token_endpoint, back_to=own_path(back_to))
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
        return f"{known.authorization_endpoint}?{urlencode(asked)}", leaving

    async def arrive(self, leaving: Leaving, query: dict[str, str]) -> str:
        """The ID token of who is back. What stands in it is for the service to verify.

        Raises:
            ServiceAway, LoginFailed: it is not the way back from there, another issuer answers, or
                it gave no token.
        """
        if not hmac.compare_digest(query.get("state", ""), leaving.state):
            raise LoginFailed
        if query.get("iss", leaving.issuer.issuer) != leaving.issuer.issuer or "code" not in query:
            raise LoginFailed
        form = {
            "grant_type": "authorization_code",
            "code": query["code"],
            "redirect_uri": self._redirect_uri,
            "client_id": leaving.issuer.client_id,
            "code_verifier": leaving.verifier,
        }
        token = (await self._answer("POST", leaving.token_endpoint, form)).get("id_token")
        if not isinstance(token, str):
            raise LoginFailed
        return token

    async def _answer(self, method: str, url: str, form: dict[str, str] | None = None) -> Any:
        try:
            answer = await self._http.request(method, url, data=form)
            if not answer.is_success or len(answer.content) > MAX_ANSWER_BYTES:
                raise LoginFailed
            found = answer.json()
        except httpx.TransportError as error:
            raise ServiceAway from error
        except ValueError as error:
            raise LoginFailed from error
        if not isinstance(found, dict):
            raise LoginFailed
        return found


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
