"""The registry as a borrower's token sees it: every call of the portal, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from crypto.errors import CryptoError
from crypto.keys import PublicKey
from protocol.languages import chosen
from protocol.notices import Notice
from screens.house.errors import NotLoggedIn, PageError
from screens.house.services import ConsentRegistry, PersonAtService


@dataclass(frozen=True)
class NoticeText:
    """What somebody is shown of a notice: one of its texts, whole, and in which language."""

    text: str
    language: str
    sha256: str


@dataclass(frozen=True)
class PortalRegistry(ConsentRegistry):
    """The consent registry, and its log. ``key`` is pinned: what it signed is believed, and what it
    merely says is not."""

    key: PublicKey = field(kw_only=True)

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
        return Borrower(self, token)


@dataclass(frozen=True)
class Borrower(PersonAtService):
    """One borrower at the registry."""

    service: PortalRegistry

    async def tag(self) -> str:
        """The ETag of all their consents: of what they have seen before they change one."""
        return (await self.read("/v1/me/consents?limit=1")).etag or ""

    async def overview(self) -> dict[str, list[Any]]:
        """What they are asked, what they gave, what lenders were told and incidents, by these
        names: one call, but for lists that are longer than one answer."""
        found = (await self.read("/v1/me/overview?limit=1000")).body
        return {
            what: part["items"]
            + (await self.whole(f"/v1/me/{what}", part["next"]) if part["next"] else [])
            for what, part in found.items()
        }

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

    async def notice(self, notice_id: str, version: int, language: str) -> NoticeText:
        """A notice as it is to be shown, out of what the registry has signed. Raises PageError: it
        is not this notice, or not signed."""
        signed = (await self.read(f"/v1/notices/{notice_id}/{version}")).body
        try:
            found = Notice.verify(str(signed).strip(), self.service.key)
        except CryptoError as error:
            raise PageError("notice-unsigned", 502) from error
        if (found.id, found.version) != (notice_id, version):
            raise PageError("notice-unsigned", 502)
        said = chosen(language, list(found.texts))
        return NoticeText(found.texts[said], said, found.text_sha256(said))
