"""Who is held out of training: drawn by lots that every lender of the campaign contributed to, so
that nobody chooses.

Each approval carries 32 random bytes of its lender's (``Approval.lot``). Approvals are sealed in
the log, and the registry hands them out only when the last has come: whoever states a lot has not
seen the others'. A coordinator that tries other titles or seeds therefore learns nothing about who
will be held out, and neither does one lender. Every node checks all signatures and draws by itself;
what it drew by is bound into its roster commitments, where the auditor compares it with the
approvals in the log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from crypto.documents import document_hash
from crypto.errors import SignatureError
from privacy.mechanism import Audience
from protocol.campaigns import Approval, Campaign
from protocol.parties import Consortium


def verified_approvals(tokens: Iterable[str], consortium: Consortium) -> list[Approval]:
    """Approvals, each signed by the lender that it names; raises SignatureError."""
    return [
        Approval.verify(token, consortium.party(Approval.claimed(token).lender).key)
        for token in tokens
    ]


@dataclass(frozen=True)
class Draw:
    """What decides in one campaign who is trained on and who is held out."""

    sha256: str
    share: float

    @classmethod
    def of(cls, campaign: Campaign, approvals: Iterable[Approval]) -> Draw:
        """From verified approvals; raises SignatureError unless there is one of each lender, for
        this campaign."""
        lots = {
            one.lender: one.lot
            for one in approvals
            if one.lot and one.campaign_sha256 == campaign.sha256
        }
        if missing := sorted(set(campaign.lenders) - set(lots)):
            raise SignatureError(
                f"who is held out cannot be drawn without the lot of {', '.join(missing)}"
            )
        contributed = {lender: lots[lender] for lender in campaign.lenders}
        drawn = document_hash(
            {"about": "tahini/hold-out/v2", "campaign": campaign.sha256, "lots": contributed}
        )
        return cls(drawn, campaign.mechanism.hold_out)

    def audience_of(self, pseudonym: str) -> Audience:
        """Whether somebody is trained on or held out: the same in every release."""
        drawn = hashlib.sha256(f"tahini/hold-out/v2 {self.sha256} {pseudonym}".encode()).digest()[
            :8
        ]
        return (
            Audience.HOLD_OUT
            if int.from_bytes(drawn, "big") < self.share * 2.0**64
            else Audience.TRAINING
        )
