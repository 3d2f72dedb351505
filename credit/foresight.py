"""How well a model's quality will be known, before anybody's data is touched.

From the plan's noise, the number of people, the share held out and the base rate, for a model of a
usual AUC whose probabilities are right: the expected counts in each group, and the errors that
:mod:`credit.quality` computes of such counts. What will be measured is not assumed to be good: an
AUC a tenth lower or higher has nearly the same error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

from credit.evaluation import GROUP_WEIGHT, Floats, Segments
from credit.features import FeatureSchema
from credit.groups import GRID, Shape, Spread, cut, groups_for
from credit.kinds import Kind
from credit.models import KNOTS
from credit.quality import Counts, Measured, SegmentQuality, pooled
from privacy.mechanism import Mechanism, ReleaseKind

USUAL_AUC = 0.75
PEOPLE = (5_000, 15_000, 50_000)
"""Of whom it is said where nobody knows how many there are."""
BAD = 0.07
"""The base rate where none is known."""
USUAL_SEGMENTS = {"thin file": 0.15, "thick file": 0.85}
AGE_SHARE = 0.25
"""Shares of people in segments; of each age band a quarter."""
SPREADS = (0.05, 6.0)


@dataclass(frozen=True)
class Foreseen:
    """What would be known of so many people."""

    people: float
    base_rate: float
    held_out: float
    everybody: SegmentQuality | None
    """None where nothing could be told."""
    untold: tuple[str, ...]
    """Segments that could not be."""

    def said(self) -> str:
        about = (
            f"with about {self.held_out:,.0f} held out of {self.people:,.0f} people, "
            f"{self.base_rate:.1%} of them bad, "
        )
        if self.everybody is None:
            return about + "nothing will be known of how good the model is"
        one = self.everybody
        return about + (
            f"AUC will be known to ± {one.auc.error:.3f}, KS to ± {one.ks.error:.3f}, the base "
            f"rate to ± {one.bad_rate.error:.2%}"
        )


def foreseen(
    model: tuple[Kind, FeatureSchema],
    plan: Mechanism,
    lenders: int,
    people: float,
    base_rate: float,
) -> Foreseen | None:
    """For so many people at so many lenders; None where nobody is held out. Errors are one standard
    error each, of a model of ``USUAL_AUC``."""
    if not plan.hold_out:
        return None
    (kind, schema), spread = model, usual_spread(base_rate)
    trained, held = people * (1 - plan.hold_out), people * plan.hold_out
    counted, evaluated = (
        next(release for release in plan.releases if release.kind is wanted)
        for wanted in (ReleaseKind.CALIBRATION, ReleaseKind.EVALUATION)
    )
    shared = math.sqrt(lenders / plan.honest(lenders))
    noise = shared * counted.noise_multiplier
    edges = cut(spread, base_rate, groups_for(base_rate * trained, noise))
    shares = _expected(spread, edges)
    probability = Shape.of(shares.sum(axis=0), edges).probability((KNOTS, KNOTS))
    segments = Segments.of(schema)
    weight, other = segments.weights
    one = shared * evaluated.noise_multiplier * segments.sensitivity
    whole = Counts(shares * held, one / weight)
    if plan.kind == "distributed" and kind == "scorecard":
        whole = pooled(
            Counts(shares * trained, noise * math.hypot(GROUP_WEIGHT, 1) / GROUP_WEIGHT),
            whole,
            plan.hold_out,
            base_rate,
        )
    untold = []
    for name in segments.names:
        counts = Counts(shares * held * USUAL_SEGMENTS.get(name, AGE_SHARE), one / other)
        if Measured(counts, probability).quality(name) is None:
            untold.append(name)
    found = Measured(whole, probability).quality("everybody")
    return Foreseen(people, base_rate, held, found, tuple(untold))


def usual_spread(base_rate: float) -> Spread:
    """Of the log-odds of a model with ``USUAL_AUC`` whose probabilities are right."""

    def placed(deviation: float) -> Spread:
        def off(mean: float) -> float:
            bad, people = _densities(Spread(mean, deviation))
            return float(bad.sum() / people.sum()) - base_rate

        return Spread(float(brentq(off, logit(base_rate) - 20, logit(base_rate) + 20)), deviation)

    def apart(deviation: float) -> float:
        bad, people = _densities(placed(deviation))
        good = people - bad
        return float(bad @ (np.cumsum(good) - good / 2)) / float(bad.sum() * good.sum())

    return placed(float(brentq(lambda deviation: apart(deviation) - USUAL_AUC, *SPREADS)))


def _densities(spread: Spread) -> tuple[Floats, Floats]:
    """Bad people, and all people, on :data:`credit.groups.GRID`."""
    people = np.exp(-(GRID**2) / 2)
    return people * expit(spread.at(GRID)), people


def _expected(spread: Spread, edges: Floats) -> Floats:
    """(2, groups) shares of people, good and then bad."""
    bad, people = _densities(spread)
    group = np.searchsorted(edges, spread.at(GRID), side="right")
    found = [np.bincount(group, one, len(edges) + 1) for one in (people - bad, bad)]
    return np.asarray(np.stack(found) / people.sum())
