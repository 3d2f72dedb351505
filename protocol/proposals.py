"""A campaign as its parties see it at the registry, before it runs and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crypto.errors import SignatureError
from protocol.campaigns import Campaign, Rejection
from protocol.parties import Consortium, Role


@dataclass(frozen=True)
class Proposed:
    """A campaign as the registry has it: its coordinator's token, and lenders' answers so far."""

    campaign: Campaign
    token: str
    active: bool
    approved_by: tuple[str, ...]
    rejected_by: tuple[str, ...]
    rejections: tuple[Rejection, ...] = ()
    """Each signed by its lender; none of them for a lender, who is told who rejected and not
    why."""

    @classmethod
    def of(cls, said: Mapping[str, Any], consortium: Consortium) -> Proposed:
        """From the registry's answer; raises SignatureError, KeyError, TypeError."""
        token = str(said["token"])
        campaign = Campaign.verify(token, consortium.one(Role.COORDINATOR).key)
        yes, no = (tuple(map(str, said[name])) for name in ("approved_by", "rejected_by"))
        noes = tuple(
            Rejection.verify(str(one), consortium.party(Rejection.claimed(str(one)).lender).key)
            for one in said["rejections"]
        )
        if any(one.campaign_sha256 != campaign.sha256 for one in noes):
            raise SignatureError("a rejection is of another campaign")
        return cls(campaign, token, bool(said["active"]), yes, no, noes)
