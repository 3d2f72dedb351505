"""What is sent about campaigns, and what comes back. No storage: nodes and coordinators load it too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from consent.documents import Campaign, Consortium, Rejection, Role
from consent.schema import Sha256
from crypto.errors import SignatureError
from crypto.keys import unb64
from privacy.charges import MAX_NOISE_MULTIPLIER, MIN_NOISE_MULTIPLIER
from privacy.mechanism import ReleaseKind

MAX_BODY_TEXT = 16_384


def _base64url(text: str) -> str:
    unb64(text)
    return text


class CommitmentRequest(BaseModel):
    """The clear part of a roster commitment, and its body sealed to the auditor (base64url)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    authorisation_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    release: int = Field(ge=0, le=100_000)
    attempt: int = Field(ge=1, le=100)
    kind: ReleaseKind
    root: Sha256
    noise_multiplier: float = Field(ge=MIN_NOISE_MULTIPLIER, le=MAX_NOISE_MULTIPLIER)
    sampling_rate: float = Field(gt=0, le=1)
    steps: int = Field(ge=1, le=100_000)
    sealed_body: Annotated[str, Field(max_length=MAX_BODY_TEXT), AfterValidator(_base64url)]


def commitment_fields(request: CommitmentRequest, campaign_sha256: str) -> dict[str, object]:
    """What stands in clear in the leaf; the node checks the leaf it gets back against the same function."""
    return {"campaign": campaign_sha256, **request.model_dump(mode="json", exclude={"sealed_body"})}


@dataclass(frozen=True)
class Proposed:
    """A campaign as the registry has it: its coordinator's token, and lenders' answers so far."""

    campaign: Campaign
    token: str
    active: bool
    approved_by: tuple[str, ...]
    rejected_by: tuple[str, ...]
    rejections: tuple[Rejection, ...] = ()
    """Each signed by its lender; none of them for a lender, who is told who rejected and not why."""

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
