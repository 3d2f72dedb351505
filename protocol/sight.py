"""Who can see what of a campaign, and how many must collude before they see more: a statement for
the file. Pure.

It follows from the campaign as it was approved and from who belongs to the consortium; the
coordinator signs it (PBOC 数据安全办法 21, 23, 36). What was found by attacking the installed build
can stand in it. No node imports this. Engineering, not legal advice: docs/privacy.md has the
arguments, docs/threat-model.md what remains.
"""

from __future__ import annotations

import math
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from protocol.campaigns import Campaign
from protocol.errors import AuditFailed
from protocol.parties import Consortium, Party, Role
from protocol.schema import Document, Instant, Sha256, Slug

Line = Annotated[str, Field(min_length=2, max_length=400)]
_EVERYBODY = "the released model, its card, and the public skeletons of the log"
_SEES: dict[Role, tuple[str, ...]] = {
    Role.LENDER: (
        "its own borrowers' rows, and who of them was in",
        "the parameters of each release, and what its own contribution to it was",
    ),
    Role.COORDINATOR: ("sums over all lenders of a roster, with the whole noise",),
    Role.REGISTRY: (
        "answers, places and consent states under codes",
        "the sizes of rolls, and when an authorisation was asked for",
    ),
    Role.AUDITOR: (
        "signed documents, sizes and roots of rosters",
        "people whom a sample draws, once lender and registry have opened them",
    ),
    Role.NAMING: ("how many names a lender has made, and when",),
}
_NEVER: dict[Role, tuple[str, ...]] = {
    Role.LENDER: ("another lender's rows, borrowers or contribution",),
    Role.COORDINATOR: ("a row, a person, or the contribution of one lender",),
    Role.REGISTRY: ("a row, an identity number, or a lender's contribution",),
    Role.AUDITOR: ("a row",),
    Role.NAMING: ("whom it names, a row, or an answer",),
}
UNVERIFIED = (
    "where security cannot be verified (signatures, code hash, an attack that succeeds, a log that "
    "does not verify) no release is made and no model is used"
)
UNACCEPTABLE = (
    "where the model is not good enough by the card's figures it is not used, or recalled; a new "
    "campaign needs every lender's approval and every person's remaining budget"
)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class View(_Part):
    """One party's."""

    party: Slug
    role: Role
    sees: tuple[Line, ...]
    never: tuple[Line, ...]


class Collusion(_Part):
    """So many lenders pool what they know with the coordinator."""

    lenders: int = Field(ge=0)
    noise_left: float = Field(ge=0)
    """Standard deviation of the noise that they cannot take off, over what was promised: 1 or more
    up to the bound."""


class AttackOnBuild(_Part):
    """What ``tahini privacy audit`` found of the build."""

    code_sha256: Sha256
    passed: bool
    epsilon_promised: float
    epsilon_proved: float
    """A lower bound: nothing was disproved while it is below what was promised."""
    confidence: float


class SightStatement(Document):
    """Who sees what of one campaign."""

    typ = "tahini-sight-statement"

    campaign_sha256: Sha256
    consortium_sha256: Sha256
    epsilon: float
    delta: float
    threshold: int
    collusion_bound: int
    collusion: tuple[Collusion, ...]
    """With the fewest lenders that a release is made with."""
    everybody: Line = _EVERYBODY
    views: tuple[View, ...]
    attack: AttackOnBuild | None = None
    unverified: Line = UNVERIFIED
    unacceptable: Line = UNACCEPTABLE
    made_at: Instant

    @classmethod
    def of(
        cls,
        campaign: Campaign,
        consortium: Consortium,
        made_at: Instant,
        attack: AttackOnBuild | None = None,
    ) -> Self:
        """What follows from the campaign."""
        plan = campaign.mechanism
        return cls(
            campaign_sha256=campaign.sha256,
            consortium_sha256=consortium.sha256,
            epsilon=plan.epsilon,
            delta=plan.delta,
            threshold=plan.threshold,
            collusion_bound=plan.collusion_bound,
            collusion=tuple(
                Collusion(lenders=count, noise_left=noise_left(campaign, count))
                for count in range(plan.threshold)
            ),
            views=tuple(_view(party) for party in consortium.parties if _has_part(campaign, party)),
            attack=attack,
            made_at=made_at,
        )

    def require_true(self, campaign: Campaign, consortium: Consortium) -> None:
        """Raises AuditFailed where it says something else than follows from the campaign, or the
        attack on the build succeeded."""
        if self != self.of(campaign, consortium, self.made_at, self.attack):
            raise AuditFailed("the statement says something else than follows from the campaign")
        if self.attack is not None and not self.attack.passed:
            raise AuditFailed("an attack on the build succeeded; its models are not to be used")


def noise_left(campaign: Campaign, colluding: int) -> float:
    """Of a sum of the fewest contributors, each with variance ``sigma² / (m - c)``: what ``m - k``
    of them leave. A local contribution carries the whole noise by itself."""
    plan = campaign.mechanism
    if plan.kind == "local":
        return 1.0
    return math.sqrt((plan.threshold - colluding) / plan.honest(plan.threshold))


def _has_part(campaign: Campaign, party: Party) -> bool:
    return party.role is not Role.LENDER or party.id in campaign.lenders


def _view(party: Party) -> View:
    return View(party=party.id, role=party.role, sees=_SEES[party.role], never=_NEVER[party.role])
