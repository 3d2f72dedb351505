"""A running sum that is published at every step of a series, for the price of one release.

A series has T steps. At step t (from 1) lenders know the increment x_t, a vector of whole numbers,
and everybody is to know the running sums S_t = x_1 + … + x_t. What is released is y_t = (R x)_t +
z_t, where R is the square root of the lower triangle of ones (Fichtenberger, Henzinger & Upadhyay
2023, https://arxiv.org/abs/2202.11205), a Toeplitz matrix of the coefficients 1, 1/2, 3/8, 5/16, …
of (1 - x)^(-1/2), and z_t is fresh noise of one deviation. Running sums are A R^-1 y, where A is
the lower triangle of ones: arithmetic on what is public already.

**Whole numbers.** The coefficients are rounded to 256ths and R is what they are then, so that a
lender's part of (R x)_t is whole 256ths, and a secure sum with shares of noise
(:mod:`privacy.sums`) carries it as it carries any other. What rounding does to accuracy is in A
R^-1, which is of the rounded ones; to privacy it does nothing.

**Sensitivity.** One person changes at most one cell of one step by at most 1, and once. Where that
is step s, they change (R x)_t by w_(t-s)/256 in that one cell, for each t of s and later, and
nothing else. Over the whole series that has the squared norm sum_k (w_k/256)^2, k of 0 to T - s: at
most that of s = 1, which is :attr:`Series.sensitivity` squared. So the whole series is one Gaussian
release of that sensitivity, and is charged once, whatever happens at which step.

**Adaptivity.** A step is of a world that has seen the steps before. Given those, step t is a
Gaussian release of sensitivity w_(t-s)/256, and the squares of these add up to the squared norm
above at most, wherever s is. That is what a chain of Gaussian releases needs, each chosen after
seeing the ones before (Smith & Thakurta 2022, as in :mod:`privacy.filter`; for matrices Denisov et
al. 2022, https://arxiv.org/abs/2202.08312, theorem 2.1).

**Each step once.** A step that is released a second time, with fresh noise, is another release: who
repeats one charges the whole series again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from privacy.charges import Charge
from privacy.errors import PrivacyError
from privacy.sums import Floats, NoisySum, Steps

WEIGHT_BITS = 8
MAX_SERIES = 120
"""Steps: ten years of months, whose last coefficient is still 13/256."""
MAX_SERIES_NOISE = 2048.0
"""Up to here a sum's grid is finer than a 256th, and nothing is coarsened: what coarsening would
add is counted for one release, not for a series."""
MAX_COUNT = 1 << 40
"""Of one cell of one step: more than there are people."""


@dataclass(frozen=True)
class Series:
    """The form of one series: everybody computes it from public figures.

    Args:
        steps: how many releases it has, T.
        size: cells of one step.
        noise_multiplier: standard deviation of z over the sensitivity.
        honest: contributors whose shares of the noise must reach the target alone.

    Raises:
        PrivacyError: too many steps, or noise beyond what a series can be given.
    """

    steps: int
    size: int
    noise_multiplier: float
    honest: int

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= MAX_SERIES:
            raise PrivacyError(f"a series has 1 to {MAX_SERIES} steps, not {self.steps}")
        if not 0 < self.noise_multiplier <= MAX_SERIES_NOISE:
            raise PrivacyError(
                f"a series has noise of up to {MAX_SERIES_NOISE:g} times its sensitivity, not "
                f"{self.noise_multiplier:g}"
            )
        _ = self.release

    @cached_property
    def weights(self) -> Steps:
        """w_0, w_1, …: the first column of R, in 256ths."""
        exact = [1.0]
        for k in range(1, self.steps):
            exact.append(exact[-1] * (1 - 1 / (2 * k)))
        return np.asarray(np.rint(np.array(exact) * (1 << WEIGHT_BITS)).astype(np.int64))

    @property
    def sensitivity(self) -> float:
        """The most that one person changes the whole series, in L2 norm; rounded up."""
        squared = sum(int(one) ** 2 for one in self.weights)
        return math.nextafter(math.sqrt(squared), math.inf) / (1 << WEIGHT_BITS)

    @property
    def charge(self) -> Charge:
        """What the whole series costs a person, once."""
        return Charge(self.noise_multiplier)

    @property
    def release(self) -> NoisySum:
        """The noisy sum that carries each step."""
        unit = 2.0**-WEIGHT_BITS
        return NoisySum(self.size, self.sensitivity, self.noise_multiplier, self.honest, unit)

    def contribution(self, increments: Steps) -> Steps:
        """One lender's part of (R x)_t in 256ths, not yet private.

        Args:
            increments: (t, size) its own counts of the steps up to this one, each cell of each
                person once.

        Raises:
            PrivacyError: not so many steps or cells, or no counts. Depends on no person's row: a
                count within 0 to ``MAX_COUNT`` is what its caller makes.
        """
        if not self._fits(increments) or increments.dtype != np.int64:
            raise PrivacyError(
                f"counts of shape {increments.shape} are no steps of a series of {self.steps} "
                f"steps of {self.size} cells"
            )
        if ((increments < 0) | (increments > MAX_COUNT)).any():
            raise PrivacyError("an increment counts people: it is neither negative nor so large")
        return np.asarray(self.weights[: len(increments)][::-1] @ increments)

    def share(self, increments: Steps) -> Steps:
        """One lender's part of step t with its share of the noise, in grid steps."""
        return self.release.share(self.contribution(increments))

    def running(self, released: Floats) -> Floats:
        """(t, size) estimates of the running sums S_1 to S_t, unbiased.

        Args:
            released: (t, size) decoded totals of the steps so far.
        """
        return np.asarray(np.cumsum(self.increments(released), axis=0))

    def increments(self, released: Floats) -> Floats:
        """(t, size) estimates of x_1 to x_t, unbiased: R^-1 y."""
        if not self._fits(released):
            raise PrivacyError(
                f"releases of shape {released.shape} are no steps of a series of {self.steps} "
                f"steps of {self.size} cells"
            )
        return np.asarray(_solved(self.weights[: len(released)], released))

    def running_std(self, contributors: int) -> NDArray[np.float64]:
        """(steps,) standard deviation of the noise in each running sum, if so many contributed."""
        return np.sqrt(np.diagonal(self.running_covariance(contributors)))

    def running_covariance(self, contributors: int) -> Floats:
        """(steps, steps) of the noise in the running sums of one cell."""
        noise = self.release.noise_std(contributors)
        rows = self.running_of_noise() * noise
        return np.asarray(rows @ rows.T)

    def running_of_noise(self) -> Floats:
        """(steps, steps) A R^-1: what running sums make of the noise of each step."""
        return np.asarray(np.cumsum(_solved(self.weights, np.eye(self.steps)), axis=0))

    def _fits(self, rows: NDArray[np.float64] | Steps) -> bool:
        shaped = rows.ndim == 2 and rows.shape[1] == self.size
        return shaped and 1 <= len(rows) <= self.steps


def _solved(weights: Steps, right: Floats) -> Floats:
    """R^-1 times ``right``, by substitution, which is exact but for rounding: w_0 is 1."""
    column = weights / (1 << WEIGHT_BITS)
    solved = np.zeros_like(right)
    for at in range(len(right)):
        solved[at] = right[at] - column[1 : at + 1] @ solved[:at][::-1]
    return solved
