"""From what a coordinator asks for to a campaign that watches a released model, which lenders
approve, run and pay for like any other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal, Self

from credit.planning import COLLUDING_SHARE
from privacy.accounting import epsilon_of
from privacy.charges import MAX_NOISE_MULTIPLIER, MIN_NOISE_MULTIPLIER
from privacy.mechanism import LEAST_HONEST, Mechanism, PlannedRelease, ReleaseKind
from protocol.campaigns import Campaign
from protocol.periods import period_name
from protocol.watched import APPLIED, APPROVED, LONGEST_PERIOD, WATCHING_PURPOSE, WatchedPeriod
from server.errors import BadOption
from server.folders import released_by
from server.home import Coordinator
from server.proposing import MAX_HOURS, MIN_HOURS, SLUG

WatchedKind = Literal["intake", "outcomes"]
DEFAULT_MU = 0.05
DEFAULT_HOURS, DEFAULT_SPARE = 72.0, 1


@dataclass(frozen=True)
class WatchAsked:
    """What a watching campaign is to be.

    Args:
        mu: of one attempt: one over the noise multiplier. What a person is charged follows from it
            and from the spare attempts.
    """

    trained: Campaign
    model_sha256: str
    consortium_sha256: str
    kind: WatchedKind
    since: date
    until: date
    mu: float = DEFAULT_MU
    name: str | None = None
    title: str | None = None
    collusion_bound: int | None = None
    spare_attempts: int = DEFAULT_SPARE
    hours: float = DEFAULT_HOURS

    @classmethod
    def of(
        cls, coordinator: Coordinator, trained_sha256: str, kind: WatchedKind, **chosen: Any
    ) -> Self:
        """Of a campaign of this coordinator's that released a model.

        Raises:
            CoordinatorError: it released none, or what is kept of it is damaged. BadOption: a
                choice that is none.
        """
        trained, model = released_by(coordinator, trained_sha256)
        asked = cls(trained, model.model_sha256, coordinator.consortium.sha256, kind, **chosen)
        asked._check()
        return asked

    def _check(self) -> None:
        if not timedelta() < self.until - self.since <= LONGEST_PERIOD:
            raise BadOption(
                "until", "no-period", "comes after --since, and a year after it at the latest"
            )
        if not 1 / MAX_NOISE_MULTIPLIER <= self.mu <= 1 / MIN_NOISE_MULTIPLIER:
            raise BadOption("mu", "no-mu", f"{self.mu:g} is no mu that can be charged")
        if not MIN_HOURS <= self.hours <= MAX_HOURS:
            raise BadOption("hours", "no-hours", f"is {MIN_HOURS:g} to {MAX_HOURS:g}")
        if self.name is not None and not SLUG.fullmatch(self.name):
            raise BadOption("id", "not-an-id", "is lower-case letters, digits and hyphens")
        lenders, bound = len(self.trained.lenders), self._colluding
        if bound < 0 or lenders - bound < LEAST_HONEST:
            raise BadOption(
                "collusion-bound",
                "too-few-honest",
                f"{bound} leaves {lenders - bound} of {lenders} lenders who do not collude; a sum "
                f"needs {LEAST_HONEST} of them",
            )

    @property
    def _colluding(self) -> int:
        if self.collusion_bound is not None:
            return self.collusion_bound
        return len(self.trained.lenders) // COLLUDING_SHARE

    @property
    def period(self) -> WatchedPeriod:
        return WatchedPeriod(
            campaign_sha256=self.trained.sha256,
            model_sha256=self.model_sha256,
            since=self.since,
            until=self.until,
        )

    def features(self) -> Mapping[str, Any]:
        """The schema of the model; of an intake with the decision as the outcome, which nobody's
        record keeps."""
        stated = dict(self.trained.features)
        if self.kind == "outcomes":
            return stated
        changed = {"target": APPROVED, "outcomes_since": self.since.isoformat()}
        return {**stated, **changed, "outcome_dated_by": APPLIED, "outcome_ended_by": None}

    def mechanism(self) -> Mechanism:
        """One sum over all lenders, and as many attempts at it as are spare."""
        trained, lenders, spare = (
            self.trained.mechanism,
            len(self.trained.lenders),
            (self.spare_attempts),
        )
        planned = PlannedRelease(kind=ReleaseKind(self.kind), noise_multiplier=1 / self.mu)
        return Mechanism(
            epsilon=epsilon_of([planned.charge] * (1 + spare), trained.delta),
            delta=trained.delta,
            releases=(planned,),
            clip_norm=trained.clip_norm,
            bins=trained.bins,
            collusion_bound=self._colluding,
            threshold=max(lenders - spare, LEAST_HONEST + self._colluding),
            spare_attempts=spare,
        )

    def campaign(
        self, coordinator: str, code_sha256: str, bundle_sha256: str, moment: datetime
    ) -> Campaign:
        """The campaign itself."""
        trained, period = self.trained, self.period
        return Campaign(
            id=self.name or f"{self.kind}-{self.since:%Y-%m-%d}-{trained.id}"[:63].rstrip("-"),
            title=self.title or f"{trained.title}: {self.kind} of {period_name(period)}",
            coordinator=coordinator,
            lenders=trained.lenders,
            consortium_sha256=self.consortium_sha256,
            purpose=WATCHING_PURPOSE,
            legal_basis=trained.legal_basis,
            model=trained.model,
            features=dict(self.features()),
            mechanism=self.mechanism(),
            watched=period,
            code_sha256=code_sha256,
            bundle_sha256=bundle_sha256,
            seed=trained.seed,
            created_at=moment,
            expires_at=moment + timedelta(hours=self.hours),
        )
