"""How far a descent gets and how much noise it gathers, in closed form: what step size, ridge and
clip follow from.

All from figures that are public or released already: the noise multiplier, the number of steps, the
population, the base rate and the spectrum of the cleaned second moments.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STEP_PER_CURVATURE = 1.0
NOISE_WALK = 0.1
"""How far the noise may carry each weight over the whole descent: early stopping chosen without
data."""
AVERAGED_SHARE = 0.5
"""The model is the mean of the iterates of the last half of the descent (Polyak & Juditsky
1992)."""
CLIP_REACH = 1.5
"""The clip is this many times the root mean square norm of a gradient where the descent begins."""
PRIOR_VARIANCE = 0.35
"""Of the log-odds among people, as the ridge expects it before any gradient: evenly over inputs."""
FLOORS = tuple(0.5 * 2 ** (half / 2) for half in range(9))
"""Ridges that are compared, relative to the unit mean square of a feature."""


def averaged(steps: int) -> int:
    """How many of so many iterates the model is the mean of: the last."""
    return max(1, round(AVERAGED_SHARE * steps))


def step_size(noise_std: float, population: float, base_rate: float, steps: int) -> float:
    """No longer than curvature or noise allow. ``noise_std`` is of a sum, in coordinates in which
    directions that carry signal have unit length."""
    walk = noise_std / population * math.sqrt(steps)
    return min(STEP_PER_CURVATURE / (base_rate * (1 - base_rate)), NOISE_WALK / walk)


@dataclass(frozen=True)
class Descent:
    """Gradients of a linear model that a plan will ask for.

    Args:
        noise_multiplier: of each, with what the shares of those who may collude add to it.
    """

    steps: int
    noise_multiplier: float
    population: float
    base_rate: float

    def clip(self, spectrum: Floats, floor: float) -> float:
        """``CLIP_REACH`` times the root mean square of a gradient's norm where the descent begins,
        in whitened coordinates.

        There everybody's probability is the base rate b, so residuals have the mean square
        b (1 - b), and a whitened row has the mean squared norm ``sum of l / (l + floor)`` over the
        eigenvalues l.
        """
        directions = float((spectrum / (spectrum + floor)).sum())
        return CLIP_REACH * math.sqrt(self.base_rate * (1 - self.base_rate) * directions)

    def expected_error(self, spectrum: Floats, floor: float) -> float:
        """Mean squared error of the log-odds with this ridge, to first order around the start.

        A direction with eigenvalue l is a = l / (l + floor) long, and each step takes the share r
        a of what is left, r being the step size times b (1 - b). Of a signal of variance
        ``PRIOR_VARIANCE``, even over the inputs, what the mean of the last iterates has not reached
        is lost; chance in ``population`` outcomes is learnt as far as the signal is; and the noise
        of a step decays as the signal's rest does. Clipping is not in it.
        """
        curvature = self.base_rate * (1 - self.base_rate)
        length = spectrum / (spectrum + floor)
        noise = self.noise_multiplier * self.clip(spectrum, floor)
        rate = step_size(noise, self.population, self.base_rate, self.steps)
        left = 1 - rate * curvature * length
        taken = np.arange(self.steps - averaged(self.steps) + 1, self.steps + 1)
        rest = (left ** taken[:, None]).mean(axis=0)
        ages = taken[None, :] - np.arange(1, self.steps + 1)[:, None]
        kept = np.where(ages[..., None] >= 0, left ** np.maximum(ages, 0)[..., None], 0.0)
        gathered = (kept.mean(axis=1) ** 2).sum(axis=0)
        lost = PRIOR_VARIANCE * float((spectrum * rest**2).sum()) / float(spectrum.sum())
        chance = float(((1 - rest) ** 2).sum()) / (curvature * self.population)
        return lost + chance + (rate * noise / self.population) ** 2 * float(length @ gathered)

    def floor(self, spectrum: Floats) -> float:
        """The ridge of ``FLOORS`` with the least expected error."""
        return min(FLOORS, key=lambda floor: self.expected_error(spectrum, floor))
