"""From a budget to a plan: which releases, and noise multipliers that together spend what was asked
for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from credit.kinds import Kind
from privacy.accounting import calibrate, epsilon_of, gaussian_multiplier
from privacy.charges import Budget
from privacy.errors import PrivacyError
from privacy.mechanism import (
    LEAST_HONEST,
    Audience,
    Mechanism,
    MechanismKind,
    PlannedRelease,
    ReleaseKind,
)

STEPS: dict[Kind, int] = {"scorecard": 10, "gam": 10, "mlp": 24}
BINS = 14
CLIP_NORM = 2.0
SHARES = {ReleaseKind.HISTOGRAM: 0.10, ReleaseKind.GRAM: 0.10, ReleaseKind.CALIBRATION: 0.11}
"""Shares of the budget (of squared mu); the descent has the rest."""
WARM_STEPS: dict[Kind, int] = {"scorecard": 3, "gam": 3, "mlp": 8}
WARM_SHARES = {ReleaseKind.HISTOGRAM: 0.03, ReleaseKind.CALIBRATION: 0.11}
"""Of a warm start: its histogram tells people and base rate only, and there are no moments."""
PAIRS_SHARE = 0.15
LOCAL_STEPS, LOCAL_RATE = 4, 0.25
COLLUDING_SHARE = 3
"""One lender in so many is assumed to collude unless the campaign says otherwise."""


@dataclass(frozen=True)
class Training:
    """What is to be trained among how many lenders, and what it must withstand; None where the
    default is good."""

    model: Kind
    lenders: int
    kind: MechanismKind = "distributed"
    """Whose noise: shares of every lender under secure aggregation, or each lender's own."""
    steps: int | None = None
    """Releases of the descent; by default as many as the model needs."""
    collusion_bound: int | None = None
    """Lenders who may collude; by default a third."""
    spare_attempts: int | None = None
    """How often a release may be attempted again because a lender dropped out, among the rest where
    enough are left, else when that lender is back. By default one."""
    hold_out: float = 0.0
    """Share of people kept for the evaluation, who are trained on by nobody."""
    warm: bool = False
    """Whether it begins with an earlier model's bins, coordinates and weights."""


def plan_mechanism(budget: Budget, training: Training) -> Mechanism:
    """A campaign's mechanism, whose releases and spare attempts cost a person ``budget`` together.

    Raises:
        PrivacyError: the budget is too small, fewer than two lenders would not collude, or there is
            nothing to plan.
    """
    model, lenders, kind, hold_out = (
        training.model,
        training.lenders,
        training.kind,
        training.hold_out,
    )
    usual, shares = (WARM_STEPS, WARM_SHARES) if training.warm else (STEPS, SHARES)
    descent = usual[model] if training.steps is None else training.steps
    bound = (
        lenders // COLLUDING_SHARE if training.collusion_bound is None else training.collusion_bound
    )
    spare = 1 if training.spare_attempts is None else training.spare_attempts
    honest = lenders - bound if kind == "distributed" else lenders
    if bound < 0 or honest < LEAST_HONEST:
        raise PrivacyError(
            f"no plan for {lenders} lenders of whom {bound} collude: at least {LEAST_HONEST} must "
            "not collude"
        )
    if descent < 1 or spare < 0:
        raise PrivacyError(f"no plan with {descent} steps and {spare} spare attempts")
    fixed_shares = shares | ({ReleaseKind.PAIRS: PAIRS_SHARE} if model == "gam" else {})
    of_each = fixed_shares | {ReleaseKind.GRADIENT: (1 - sum(fixed_shares.values())) / descent}
    reserve = 1 + spare * max(of_each.values())

    def planned(release: ReleaseKind) -> PlannedRelease:
        return PlannedRelease(
            kind=release, noise_multiplier=gaussian_multiplier(budget, of_each[release] / reserve)
        )

    *first, last = (planned(release) for release in shares)
    pairs = (planned(ReleaseKind.PAIRS),) if model == "gam" else ()
    middle = planned(ReleaseKind.GRADIENT)
    if kind == "local":
        fixed = [release.charge for release in (*first, last, *pairs)]
        dearest = min(fixed, key=lambda charge: charge.noise_multiplier)
        noise = max(
            calibrate(budget, LOCAL_RATE, (descent + spare) * LOCAL_STEPS, fixed),
            calibrate(budget, LOCAL_RATE, descent * LOCAL_STEPS, [*fixed, *[dearest] * spare]),
        )
        middle = PlannedRelease(
            kind=ReleaseKind.TRAIN,
            noise_multiplier=noise,
            sampling_rate=LOCAL_RATE,
            steps=LOCAL_STEPS,
        )
    alone = gaussian_multiplier(budget, 1 / (1 + spare))
    held = (
        (PlannedRelease(kind=ReleaseKind.EVALUATION, noise_multiplier=alone),) if hold_out else ()
    )
    return Mechanism(
        kind=kind,
        epsilon=budget.epsilon,
        delta=budget.delta,
        releases=(*first, *[middle] * descent, *pairs, last, *held),
        clip_norm=CLIP_NORM,
        bins=BINS,
        collusion_bound=bound,
        threshold=max(lenders - spare, LEAST_HONEST + (bound if kind == "distributed" else 0)),
        spare_attempts=spare,
        hold_out=hold_out,
    )


def spent(mechanism: Mechanism, attempts: Sequence[int]) -> float:
    """Epsilon of a person who was in every attempt of this campaign so far, on the side that paid
    most.

    Args:
        attempts: how often each release was asked for, the first release first. Each was charged:
            retries are releases.

    Returns:
        what the nodes' ledgers reserved, and never more than ``mechanism.epsilon``: an attempt that
        no node got to see is counted here and charged to nobody, and nodes refuse what goes beyond
        the plan (``Campaign.why_not``).
    """
    asked = [
        release
        for release, times in zip(mechanism.releases, attempts, strict=False)
        for _ in range(times)
    ]
    sides = (
        [release.charge for release in asked if release.audience is audience]
        for audience in Audience
    )
    return min(mechanism.epsilon, max(epsilon_of(charges, mechanism.delta) for charges in sides))
