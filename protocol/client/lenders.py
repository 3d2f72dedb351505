"""A lender at the registry: its borrowers, their notices, its word on campaigns, and all that its
node may."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from crypto.keys import SigningKey
from protocol.campaigns import Approval, Rejection
from protocol.client.base import items_of
from protocol.client.institutions import InstitutionClient
from protocol.client.nodes import NodeClient
from protocol.cursors import cursor_of
from protocol.enrolment import Enrolment
from protocol.notices import Notice
from protocol.revocations import Revocation
from protocol.snapshots import MOST_PEOPLE


class LenderClient(NodeClient, InstitutionClient):
    """A lender at the registry."""

    def enrol(self, subjects: Sequence[Enrolment]) -> int:
        answer = self._send(
            "POST", "/v1/subjects", {"subjects": [s.model_dump() for s in subjects]}
        )
        return self._checked(lambda: int(answer.json()["enrolled"]))

    def whole_roll(self) -> list[str]:
        """All of the caller's own borrowers, in order."""
        return self.roll(0, MOST_PEOPLE)

    def rename(self, renamings: Sequence[tuple[str, str, str]]) -> int:
        """Give borrowers (old name, new name, new ledger name), all or none; returns how many."""
        fields = ("pseudonym", "new_pseudonym", "new_ledger_pseudonym")
        body = {"renamings": [dict(zip(fields, renaming, strict=True)) for renaming in renamings]}
        answer = self._send("POST", "/v1/subjects/renamings", body)
        return int(self._checked(lambda: answer.json()["renamed"]))

    def notice(self, notice_id: str, version: int) -> Notice:
        token = self._send("GET", f"/v1/notices/{notice_id}/{version}").text
        return self._checked(lambda: Notice.verify(token, self._registry_key))

    def approve(self, approval: Approval, key: SigningKey) -> bool:
        answer = self._send(
            "POST",
            f"/v1/campaigns/{approval.campaign_sha256}/approvals",
            {"token": approval.sign(key)},
        )
        return self._checked(lambda: answer.json()["active"] is True)

    def reject(self, rejection: Rejection, key: SigningKey) -> None:
        self._send(
            "POST",
            f"/v1/campaigns/{rejection.campaign_sha256}/rejections",
            {"token": rejection.sign(key)},
        )

    def revocations_after(self, number: int) -> list[Revocation]:
        """Every revocation above a number, acknowledged or not, verified and in order. Of people
        who were erased since there is none any more."""
        found: list[Revocation] = []
        cursor: str | None = cursor_of(number)
        while cursor is not None:
            answer = self._send("GET", f"/v1/revocations?cursor={cursor}")
            page = self._checked(partial(items_of, answer))
            found += [
                self._checked(partial(Revocation.verify, token, self._registry_key))
                for token in page
            ]
            cursor = answer.json().get("next") if page else None
        return found
