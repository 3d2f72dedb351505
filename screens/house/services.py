"""Services over HTTP, as a person's own token sees them: the consent registry, and whatever else an
app of a person's shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from screens.house.errors import NotLoggedIn, PageError, ServiceAway

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass(frozen=True)
class ServiceAnswer:
    """What a service said."""

    body: Any
    etag: str | None = None
    language: str | None = None


@dataclass(frozen=True)
class HttpService:
    """One service over HTTP.

    Raises, from every call:
        ServiceAway: it does not answer. NotLoggedIn: the token has ended. PageError: it refuses,
        by the code of its problem document.
    """

    http: httpx.AsyncClient
    away: str = "service-away"
    """What its absence is called."""

    async def send(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One request, and its answer if it was not refused."""
        data = dict(form) if form else None
        try:
            got = await self.http.request(method, path, json=json, data=data, headers=headers)
        except httpx.TransportError as error:
            raise ServiceAway(self.away) from error
        if not got.is_success:
            raise _refusal(got, self.away)
        return got

    async def ask(self, method: str, path: str, **sent: Any) -> ServiceAnswer:
        """The same, read."""
        got = await self.send(method, path, **sent)
        kind = got.headers.get("content-type", "").partition(";")[0]
        body = got.json() if kind.endswith("json") and got.content else got.text
        return ServiceAnswer(body, got.headers.get("etag"), got.headers.get("content-language"))


def _refusal(got: httpx.Response, away: str) -> PageError:
    """What a problem document says, as an error of ours; its words are in English and stay here."""
    try:
        problem = got.json()
        code = str(problem.get("reason") or problem["type"].rpartition(":")[2])
        parameters = {str(name): str(one) for name, one in problem.get("parameters", {}).items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return ServiceAway(away) if got.status_code >= 500 else PageError()
    if got.status_code == 401 and code != "ticket-refused":
        return NotLoggedIn()
    return PageError(code, got.status_code, parameters)


@dataclass(frozen=True)
class PersonAtService:
    """One person at a service, by their token."""

    service: HttpService
    token: str = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def read(self, path: str, **headers: str) -> ServiceAnswer:
        return await self.service.ask("GET", path, headers={**self.headers, **headers})

    async def whole(self, path: str, cursor: str | None = None) -> list[Any]:
        """Every item of a list that comes in pages, from ``cursor`` on."""
        items: list[Any] = []
        while True:
            after = "" if cursor is None else f"&cursor={cursor}"
            body = (await self.read(f"{path}?limit=1000{after}")).body
            items += body["items"]
            cursor = body.get("next")
            if not cursor:
                return items

    async def download(self, path: str, language: str) -> bytes:
        """A file as it is, in a language."""
        headers = {**self.headers, "Accept-Language": language}
        return (await self.service.send("GET", path, headers=headers)).content

    async def act(
        self, method: str, path: str, once: str, json: Any = None, **more: str
    ) -> ServiceAnswer:
        """Have something done, once: sent again under the same ``once`` it is answered as before.
        So where no answer came back, which says nothing of what was done, it is sent again."""
        headers = {**self.headers, "Idempotency-Key": once, **more}
        try:
            return await self.service.ask(method, path, json=json, headers=headers)
        except ServiceAway:
            return await self.service.ask(method, path, json=json, headers=headers)


@dataclass(frozen=True)
class ConsentRegistry(HttpService):
    """The consent registry."""

    async def nonce(self) -> str:
        """For one log-in."""
        return str((await self.ask("POST", "/v1/challenges")).body["nonce"])

    async def access(self, id_token: str) -> tuple[str, int]:
        """An access token for an ID token, and for how many seconds."""
        form = {"grant_type": JWT_BEARER, "assertion": id_token}
        granted = (await self.ask("POST", "/v1/token", form=form)).body
        return str(granted["access_token"]), int(granted["expires_in"])
