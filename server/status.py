"""A campaign's status: what it waits for, what it cost so far, whether it can go on, and what to do
if not. Pure.

Everything is a function of what is kept in its folder and of what the registry says of lenders'
answers.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from credit.planning import spent
from protocol.campaigns import Campaign
from protocol.hashes import SHOWN
from server.desired_state import CampaignState, Stage
from server.home import MODEL_FILE, Progressed

MIN_LENDERS = 2


@dataclass(frozen=True)
class Answers:
    """What lenders answered, as the registry has it."""

    active: bool
    approved_by: tuple[str, ...] = ()
    rejected: tuple[tuple[str, str], ...] = ()
    """Lenders that said no, and why."""


@dataclass(frozen=True)
class CampaignStatus:
    """One campaign at one moment: its state, and what follows from it."""

    campaign: Campaign
    home: Path
    """The coordinator's."""
    state: CampaignState
    progress: Progressed
    kept: int
    """Releases that are kept."""
    wanted: bool
    serving: bool
    """Whether the coordinator's service listens."""
    answers: Answers | None
    """None where the registry was not reached."""
    moment: datetime

    @property
    def short(self) -> str:
        return self.campaign.sha256[:SHOWN]

    @property
    def epsilon_spent(self) -> float:
        """What it cost a borrower so far at most: every attempt, retries included."""
        return spent(self.campaign.mechanism, self.progress.attempts)

    @property
    def spare_left(self) -> int:
        made = sum(max(0, times - 1) for times in self.progress.attempts)
        return max(0, self.campaign.mechanism.spare_attempts - made)

    @property
    def rejected(self) -> dict[str, str]:
        return dict(self.answers.rejected) if self.answers else {}

    @property
    def gone(self) -> tuple[str, ...]:
        """Lenders that this campaign is without, for good."""
        return tuple(sorted({*self.progress.lost, *self.rejected}))

    @property
    def asked_in_vain(self) -> bool:
        """Whether the next release was asked for already, so that asking again takes a spare
        attempt."""
        return len(self.progress.attempts) > self.kept

    @property
    def ended(self) -> str:
        """Why it can never go on, whatever its nodes got to see; empty where it can, or has
        released its model."""
        if self.state.stage is Stage.RELEASED:
            return ""
        if self.answers and not self.answers.active and self.rejected:
            return f"{self._said_no()} before every lender had approved"
        left = len(self.campaign.lenders) - len(self.gone)
        if left < self.campaign.mechanism.threshold:
            because = self._said_no() if self.rejected else f"{_and(self.gone)} dropped out"
            return (
                f"{because}, and {left} lenders are fewer than the "
                f"{self.campaign.mechanism.threshold} without whom no release is made"
            )
        if self.moment >= self.campaign.expires_at:
            return f"its approvals ended at {self.campaign.expires_at:%Y-%m-%d %H:%M} UTC"
        return ""

    @property
    def over(self) -> str:
        """Why it cannot go on, as far as is known here: an attempt that no node got to see was
        charged to nobody."""
        if self.ended:
            return self.ended
        if self.state.stage is Stage.STOPPED and self.asked_in_vain and not self.spare_left:
            many = self.campaign.mechanism.spare_attempts
            return (
                f"{self.state.reason}; "
                f"{f'its {many} spare attempts are used up' if many else 'no attempt was spare'}"
            )
        return ""

    def _said_no(self) -> str:
        return " and ".join(
            f"{lender} rejected it" + (f" ({reason!r})" if reason else "")
            for lender, reason in self.rejected.items()
        )

    @property
    def next_one(self) -> str:
        """The command that proposes a campaign like this one among those who are left; empty where
        none can be."""
        if len(self.campaign.lenders) - len(self.gone) < MIN_LENDERS:
            return ""
        without = f" --without {','.join(self.gone)}" if self.gone else ""
        return f"{self._command('propose', f'--like {self.short}')}{without}"

    def _command(self, name: str, what: str) -> str:
        return f"tahini campaign {name} {what} --home {shlex.quote(str(self.home))}"

    @property
    def waits_for(self) -> str:
        """What has to happen next, and by whom; empty where nothing is missing or it has ended."""
        if self.over or self.state.stage in (Stage.RELEASED, Stage.STOPPED):
            return ""
        if self.answers and not self.answers.active:
            missing = sorted({*self.campaign.lenders} - {*self.answers.approved_by})
            return (
                f"the approval of {_and(missing)}; each runs: tahini campaign approve "
                f"{self.short} --home …"
            )
        if not self.wanted:
            known = (
                "every lender has approved" if self.answers else "once every lender has approved"
            )
            return f"its launch ({known}): {self._command('launch', self.short)}"
        if not self.serving:
            return (
                "the coordinator's service: tahini coordinator serve --home "
                f"{shlex.quote(str(self.home))}"
            )
        return (
            ""
            if self.state.stage is Stage.RUNNING
            else "the coordinator's service to start its run"
        )

    @property
    def cost(self) -> str:
        """What it cost, in words."""
        mechanism = self.campaign.mechanism
        if not any(self.progress.attempts):
            return f"nothing of epsilon {mechanism.epsilon:g} was spent"
        return (
            f"epsilon {self.epsilon_spent:.3f} of {mechanism.epsilon:g} was spent per borrower, "
            "every attempt counted"
        )

    @property
    def sentences(self) -> list[str]:
        """How it stands, a line a thought."""
        name = f"campaign {self.short} ({self.campaign.id})"
        if self.state.stage is Stage.RELEASED:
            return [
                f"released: {self.home / 'campaigns' / self.campaign.sha256 / MODEL_FILE}",
                f"  {self.cost}",
            ]
        if self.over:
            further = (
                self.next_one or f"with fewer than {MIN_LENDERS} lenders there is no other campaign"
            )
            return [
                f"{name} cannot go on: {self.over}",
                f"  {self.cost}",
                f"  propose the next one: {further}",
            ]
        if self.state.stage is Stage.STOPPED:
            again = (
                f"; that takes one of {self.spare_left} spare attempts"
                if self.asked_in_vain
                else ""
            )
            resume = f"  go on with: {self._command('resume', self.short)}{again}"
            return [f"stopped: {self.state.reason}", f"  {self.cost}", resume]
        waits = [f"  waits for {self.waits_for}"] if self.waits_for else []
        without = [f"  {self._said_no()}; it goes on without"] if self.rejected else []
        return [f"{name} is {self.state.stage}", *waits, *without]


def _and(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)
