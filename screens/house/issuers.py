"""Issuers of log-ins over HTTP. What one says of itself (OpenID Connect Discovery 1.0) is asked
once in ten minutes, not at every log-in: whoever only knocks costs an issuer nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from screens.house.errors import LoginFailed, ServiceAway

KNOWN_FOR = timedelta(minutes=10)
MAX_ANSWER_BYTES = 65_536


class LoginIssuer(BaseModel):
    """An issuer at which one can log in. ``client_id`` is this app's there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = Field(pattern=r"^https?://[^\s?#]+$")
    client_id: str = Field(min_length=1, max_length=255)
    title: dict[str, str] = Field(default_factory=dict)
    """What it is called, by language; its host's name where it is not said."""

    def called(self, language: str) -> str:
        return self.title.get(language) or (urlsplit(self.issuer).hostname or self.issuer)


class Discovered(BaseModel):
    """What is needed of an issuer's own description."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    issuer: str
    authorization_endpoint: str = Field(pattern=r"^https?://")
    token_endpoint: str = Field(pattern=r"^https?://")
    jwks_uri: str = Field(pattern=r"^https?://")
    authorization_response_iss_parameter_supported: bool = False
    """Whether it names itself on the way back (RFC 9207 section 3)."""


class LoginIssuers:
    """Issuers, as they answer.

    Raises, from every call:
        ServiceAway: it does not answer. LoginFailed: not as an issuer does.
    """

    def __init__(self, http: httpx.AsyncClient, clock: Callable[[], datetime]) -> None:
        self._http, self._clock = http, clock
        self._known: dict[str, tuple[Discovered, datetime]] = {}

    async def known(self, issuer: LoginIssuer) -> Discovered:
        """What it says of itself."""
        kept, until = self._known.get(issuer.issuer, (None, self._clock()))
        if kept is not None and self._clock() < until:
            return kept
        said = await self.ask("GET", f"{issuer.issuer}/.well-known/openid-configuration")
        try:
            found = Discovered.model_validate(said)
        except ValidationError as error:
            raise LoginFailed from error
        if found.issuer != issuer.issuer:
            raise LoginFailed
        self._known[issuer.issuer] = found, self._clock() + KNOWN_FOR
        return found

    async def keys(self, issuer: LoginIssuer) -> Any:
        """Its keys of this moment (RFC 7517): one that it has ended counts no longer."""
        return await self.ask("GET", (await self.known(issuer)).jwks_uri)

    async def ask(self, method: str, url: str, form: dict[str, str] | None = None) -> Any:
        """One request, and the object that answers it."""
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
