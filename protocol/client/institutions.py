"""What every institution of the consortium may do: keep its keys, log entries of its own, read
campaigns."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import httpx

from protocol.campaigns import Campaign
from protocol.client.base import RegistryClient
from protocol.errors import RegistryUnavailable
from protocol.proposals import Proposed


class InstitutionClient(RegistryClient):
    """An institution at the registry: a naming service, or whoever else needs no more than this."""

    def append(self, entries: Sequence[dict[str, Any]]) -> list[int]:
        """Log entries; returns their indexes, durable. See ``consent.commands.append_entries`` for
        the fields."""
        answer = self._send("POST", "/v1/log/entries", {"entries": list(entries)})
        first, count = self._checked(
            lambda: (int(answer.json()["first"]), int(answer.json()["count"]))
        )
        if count != len(entries):
            raise RegistryUnavailable(
                "the log acknowledged another number of entries than were sent"
            )
        return list(range(first, first + count))

    def party_keys(self) -> list[dict[str, Any]]:
        answer = self._send("GET", f"/v1/parties/{self._caller}/keys")
        return self._checked(lambda: [dict(key) for key in answer.json()["keys"]])

    def add_party_key(self, new_key: dict[str, Any]) -> dict[str, Any]:
        """``new_key`` is a ``consent.identity.keys.NewKey``."""
        answer = self._send("POST", f"/v1/parties/{self._caller}/keys", new_key)
        return self._checked(lambda: dict(answer.json()))

    def revoke_party_key(self, party: str, thumbprint: str) -> None:
        self._send("DELETE", f"/v1/parties/{party}/keys/{thumbprint}")

    def campaigns(self) -> dict[str, str]:
        """Hash and id of the campaigns that the caller may see, in the order in which they were
        proposed."""
        found: dict[str, str] = {}
        following: str | None = ""
        while following is not None:
            answer = self._send("GET", f"/v1/campaigns{following and f'?cursor={following}'}")
            page, following = self._checked(partial(_page, answer))
            found |= page
        return found

    def proposed(self, sha256: str) -> Proposed:
        """The campaign with this hash, verified against the coordinator's key, and how lenders
        answered."""
        said = self._checked(self._send("GET", f"/v1/campaigns/{sha256}").json)
        found = self._checked(lambda: Proposed.of(said, self.consortium))
        if found.campaign.sha256 != sha256:
            raise RegistryUnavailable(
                "the consent registry answered with another campaign than was asked for"
            )
        return found

    def campaign(self, sha256: str) -> tuple[Campaign, bool]:
        """The campaign, and whether it is active."""
        return (found := self.proposed(sha256)).campaign, found.active


def _page(answer: httpx.Response) -> tuple[dict[str, str], str | None]:
    """Campaigns of one page, and the cursor of the next."""
    said = answer.json()
    page = {str(item["sha256"]): str(item["id"]) for item in said["items"]}
    return page, None if said["next"] is None else str(said["next"])
