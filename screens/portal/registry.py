"""The registry as a borrower's token sees it: every call of the portal, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from screens.house.errors import NotLoggedIn, PageError, ServiceAway

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass(frozen=True)
class RegistryAnswer:
    """What the registry said."""

    body: Any
    etag: str | None = None
    language: str | None = None


@dataclass(frozen=True)
class PortalRegistry:
    """The consent registry over HTTP.

    Raises, from every call:
        ServiceAway: it does not answer. NotLoggedIn: the token has ended. PageError: it refuses,
        by the code of its problem document.
    """

    http: httpx.AsyncClient

    async def nonce(self) -> str:
        """For one log-in."""
        return str((await self.ask("POST", "/v1/challenges")).body["nonce"])

    async def token(self, id_token: str) -> tuple[str, int]:
        """An access token for an ID token, and for how many seconds."""
        form = {"grant_type": JWT_BEARER, "assertion": id_token}
        granted = (await self.ask("POST", "/v1/token", form=form)).body
        return str(granted["access_token"]), int(granted["expires_in"])

    async def head(self, since: int) -> tuple[str, list[str] | None]:
        """The log's newest checkpoint, and the proof that it is another state of the log of
        ``since`` entries; None if the log has none."""
        note = str((await self.ask("GET", "/checkpoint")).body)
        lines = note.split("\n")
        size = int(lines[1]) if len(lines) > 1 and lines[1].isdecimal() else 0
        if since in (0, size):
            return note, []
        path = f"/v1/log/consistency?old={min(since, size)}&new={max(since, size)}"
        try:
            return note, list((await self.ask("GET", path)).body["proof"])
        except PageError as error:
            if error.status >= 500 or error.status == 429:
                raise
            return note, None

    def as_borrower(self, token: str) -> Borrower:
        return Borrower(self, {"Authorization": f"Bearer {token}"})

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
            raise ServiceAway from error
        if not got.is_success:
            raise _refusal(got)
        return got

    async def ask(self, method: str, path: str, **sent: Any) -> RegistryAnswer:
        """The same, read."""
        got = await self.send(method, path, **sent)
        kind = got.headers.get("content-type", "").partition(";")[0]
        body = got.json() if kind.endswith("json") and got.content else got.text
        return RegistryAnswer(body, got.headers.get("etag"), got.headers.get("content-language"))


def _refusal(got: httpx.Response) -> PageError:
    """What a problem document says, as an error of ours; its words are in English and stay here."""
    try:
        problem = got.json()
        code = str(problem.get("reason") or problem["type"].rpartition(":")[2])
        parameters = {str(name): str(one) for name, one in problem.get("parameters", {}).items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return ServiceAway() if got.status_code >= 500 else PageError()
    if got.status_code == 401 and code != "ticket-refused":
        return NotLoggedIn()
    return PageError(code, got.status_code, parameters)


@dataclass(frozen=True)
class Borrower:
    """One borrower at the registry."""

    registry: PortalRegistry
    headers: Mapping[str, str]

    async def read(self, path: str, **headers: str) -> RegistryAnswer:
        return await self.registry.ask("GET", path, headers={**self.headers, **headers})

    async def whole(self, path: str) -> list[Any]:
        """Every item of a list that comes in pages."""
        items: list[Any] = []
        cursor: str | None = None
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
        return (await self.registry.send("GET", path, headers=headers)).content

    async def act(
        self, method: str, path: str, once: str, json: Any = None, **more: str
    ) -> RegistryAnswer:
        """Have something done, once: sent again under the same ``once`` it is answered as
        before."""
        headers = {**self.headers, "Idempotency-Key": once, **more}
        return await self.registry.ask(method, path, json=json, headers=headers)

    async def tag(self) -> str:
        """The ETag of all their consents: of what they have seen before they change one."""
        return (await self.read("/v1/me/consents?limit=1")).etag or ""

    async def called(self) -> dict[str, str]:
        """What the person is called at each lender that knows them."""
        linked = (await self.read("/v1/me/links")).body["links"]
        found = {str(one["lender"]): str(one["pseudonym"]) for one in linked}
        for record in await self.whole("/v1/me/consents"):
            lender = record["pii_processing"]["pii_controllers"][0]
            found.setdefault(lender, record["pii_principal_id"])
        return dict(sorted(found.items()))

    async def lenders(self) -> list[str]:
        return list(await self.called())

    async def hand_in(self, tokens: list[str], once: str) -> None:
        """Answers that a key of theirs has signed. A signed answer acts once, so one that was
        recorded before is recorded. Raises PageError: the key does not count."""
        try:
            await self.act("POST", "/v1/decisions", once, {"tokens": tokens})
        except NotLoggedIn as error:
            raise PageError("key-refused", 409) from error
        except PageError as error:
            if error.code != "recorded-before":
                raise

    async def notice(self, notice_id: str, version: int, language: str) -> RegistryAnswer:
        """The text of a notice as it is to be shown, and the language that it is in."""
        headers = {"Accept": "text/plain", "Accept-Language": language}
        return await self.registry.ask("GET", f"/v1/notices/{notice_id}/{version}", headers=headers)
