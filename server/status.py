"""A campaign's status: what it waits for, what it cost so far, whether it can go on, and what to do
if not. Pure.

Everything is a function of what is kept in its folder and of what the registry says of lenders'
answers.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from credit.planning import spent
from protocol.campaigns import Campaign
from protocol.hashes import SHOWN
from server.desired_state import CampaignState, Stage
from server.home import FIGURES_FILE, MODEL_FILE, Progressed

MIN_LENDERS = 2


@dataclass(frozen=True)
class Answers:
    """What lenders answered, as the registry has it."""

    active: bool
    approved_by: tuple[str, ...] = ()
    rejected: tuple[tuple[str, str], ...] = ()
    """Lenders that said no, and why."""


class EndReason(StrEnum):
    """Why a campaign cannot go on."""

    REJECTED = "rejected"
    """By a lender, before every lender had approved."""
    TOO_FEW = "too-few"
    """Fewer lenders are left than a release needs."""
    EXPIRED = "expired"
    NO_ATTEMPTS = "no-attempts"
    """It stopped during a release, and no attempt is spare; as far as is known here."""


class Next(StrEnum):
    """What has to happen next."""

    APPROVALS = "approvals"
    LAUNCH = "launch"
    SERVICE = "service"
    """The coordinator's service must be started."""
    START = "start"
    """The service is about to start its run."""


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
    def left(self) -> int:
        """How many lenders it still has."""
        return len(self.campaign.lenders) - len(self.gone)

    @property
    def end(self) -> EndReason | None:
        """Why it cannot go on, as far as is known here: an attempt that no node got to see was
        charged to nobody. None where it can, or has released its model."""
        if self.state.stage is Stage.RELEASED:
            return None
        if self.answers and not self.answers.active and self.rejected:
            return EndReason.REJECTED
        if self.left < self.campaign.mechanism.threshold:
            return EndReason.TOO_FEW
        if self.moment >= self.campaign.expires_at:
            return EndReason.EXPIRED
        if self.state.stage is Stage.STOPPED and self.asked_in_vain and not self.spare_left:
            return EndReason.NO_ATTEMPTS
        return None

    @property
    def ended(self) -> str:
        """Why it can never go on, whatever its nodes got to see; empty where that is not sure."""
        return "" if self.end is EndReason.NO_ATTEMPTS else self.over

    @property
    def over(self) -> str:
        """:attr:`end` in words."""
        plan = self.campaign.mechanism
        match self.end:
            case EndReason.REJECTED:
                return f"{self._said_no()} before every lender had approved"
            case EndReason.TOO_FEW:
                because = self._said_no() if self.rejected else f"{_and(self.gone)} dropped out"
                return (
                    f"{because}, and {self.left} lenders are fewer than the "
                    f"{plan.threshold} without whom no release is made"
                )
            case EndReason.EXPIRED:
                return f"its approvals ended at {self.campaign.expires_at:%Y-%m-%d %H:%M} UTC"
            case EndReason.NO_ATTEMPTS:
                many = plan.spare_attempts
                used = f"its {many} spare attempts are used up" if many else "no attempt was spare"
                return f"{self.state.reason}; {used}"
            case None:
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
        if self.left < MIN_LENDERS:
            return ""
        if (watched := self.campaign.watched) is not None:
            kind = self.campaign.mechanism.releases[0].kind
            what = f"--kind {kind} --since {watched.since} --until {watched.until}"
            home = shlex.quote(str(self.home))
            return f"tahini watch propose {watched.campaign_sha256[:12]} {what} --home {home}"
        without = f" --without {','.join(self.gone)}" if self.gone else ""
        return f"{self._command('propose', f'--like {self.short}')}{without}"

    def _command(self, name: str, what: str) -> str:
        return f"tahini campaign {name} {what} --home {shlex.quote(str(self.home))}"

    @property
    def unanswered(self) -> list[str]:
        """Lenders that have not approved, as far as the registry was reached."""
        said_yes = self.answers.approved_by if self.answers else ()
        return sorted({*self.campaign.lenders} - {*said_yes})

    @property
    def next(self) -> Next | None:
        """What has to happen next; None where nothing is missing or it has ended."""
        if self.end or self.state.stage in (Stage.RELEASED, Stage.STOPPED):
            return None
        if self.answers and not self.answers.active:
            return Next.APPROVALS
        if not self.wanted:
            return Next.LAUNCH
        if not self.serving:
            return Next.SERVICE
        return None if self.state.stage is Stage.RUNNING else Next.START

    @property
    def waits_for(self) -> str:
        """:attr:`next` in words, and by whom."""
        match self.next:
            case Next.APPROVALS:
                return (
                    f"the approval of {_and(self.unanswered)}; each runs: tahini campaign approve "
                    f"{self.short} --home …"
                )
            case Next.LAUNCH:
                known = f"{'' if self.answers else 'once '}every lender has approved"
                return f"its launch ({known}): {self._command('launch', self.short)}"
            case Next.SERVICE:
                return (
                    "the coordinator's service: tahini coordinator serve --home "
                    f"{shlex.quote(str(self.home))}"
                )
            case Next.START:
                return "the coordinator's service to start its run"
            case None:
                return ""

    @property
    def _file(self) -> str:
        return MODEL_FILE if self.campaign.watched is None else FIGURES_FILE

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
                f"released: {self.home / 'campaigns' / self.campaign.sha256 / self._file}",
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
