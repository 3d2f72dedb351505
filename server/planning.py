"""From a budget to a mechanism: how many releases, and noise multipliers that together spend what was asked for."""

from __future__ import annotations

from consent.documents import Mechanism
from credit.features import FeatureRegistry
from credit.models import Kind, clip_norm
from privacy.accounting import calibrate, epsilon_of, gaussian_multiplier
from privacy.charges import Budget, Charge

ROUNDS, LOCAL_STEPS, BINS = 10, 4, 14
HISTOGRAM_SHARE = 0.10
"""Share of the budget (of squared mu) that the bin edges cost."""
AVERAGED_SHARE = 0.5
"""The released model is the mean of the shared models of the last half of the rounds (Polyak & Juditsky 1992)."""


def plan_mechanism(
    budget: Budget,
    registry: FeatureRegistry,
    model: Kind,
    lenders: int,
    rounds: int = ROUNDS,
    sampling_rate: float = 1.0,
) -> Mechanism:
    """A campaign's mechanism. With full batches (``sampling_rate`` 1) no amplification has to be believed."""
    histogram = gaussian_multiplier(budget, HISTOGRAM_SHARE)
    noise = calibrate(budget, sampling_rate, rounds * LOCAL_STEPS, [Charge(histogram)])
    return Mechanism(
        epsilon=budget.epsilon,
        delta=budget.delta,
        rounds=rounds,
        local_steps=LOCAL_STEPS,
        sampling_rate=sampling_rate,
        clip_norm=clip_norm(model, len(registry.features)),
        noise_multiplier=noise,
        bins=BINS,
        histogram_noise_multiplier=histogram,
        collusion_bound=lenders - 1,
    )


def spent_after(mechanism: Mechanism, rounds: int) -> float:
    """Epsilon of a person who is in the histogram and in the first ``rounds`` rounds."""
    charges = [Charge(mechanism.histogram_noise_multiplier)]
    if rounds:
        steps = rounds * mechanism.local_steps
        charges.append(Charge(mechanism.noise_multiplier, mechanism.sampling_rate, steps))
    return epsilon_of(charges, mechanism.delta)
