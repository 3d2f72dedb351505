"""A sum over lenders to which each adds a share of the noise: exact integers from a person's row to
the total.

Every contribution is whole numbers of some unit, summed without rounding whatever the order, so
that a person's bound holds for the sum as computed and not only on paper (Casacuberta et al. 2022,
https://arxiv.org/abs/2207.10635). Each lender adds discrete Gaussian noise of variance 1/h of the
target, where h contributors do not collude. A sum of discrete Gaussians is not one, but within tau
of it: Kairouz, Liu & Steinke 2021 (https://arxiv.org/abs/2102.06387), proposition 14, with tau = 10
sum_k exp(-2 pi^2 s^2 k/(k+1)). The grid is made so fine that a share's standard deviation is at
least ``FINEST_SHARE`` steps, where tau is below 1e-300. What colluders add or leave out changes
nothing for the
others: the honest shares alone reach the target.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from privacy.errors import PrivacyError
from privacy.noise import LARGEST_SCALE, discrete_gaussian
from privacy.onehot import Exact

STEPS_PER_STD = 1 << 20
FINEST_SHARE = 16.0
HEADROOM = 1 << 56  # grid steps of one share: 64 of these, and their noise, never wrap
LARGEST_SHIFT = 61

Steps = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class NoisySum:
    """The form of one release: everybody computes it from public figures.

    Args:
        size: coordinates.
        sensitivity: the most that one person contributes, in L2 norm. It is the clip, not a guess.
        noise_multiplier: target standard deviation per unit of sensitivity.
        honest: contributors whose shares must reach the target alone.
        unit: what a 1 in an exact contribution stands for; a power of two.
    """

    size: int
    sensitivity: float
    noise_multiplier: float
    honest: int
    unit: float = 1.0

    def __post_init__(self) -> None:
        positive = (
            self.sensitivity > 0
            and self.noise_multiplier > 0
            and self.honest >= 1
            and self.size >= 1
        )
        finite = 0 < self.sensitivity * self.noise_multiplier < math.inf
        if not (positive and finite and self.unit > 0 and math.frexp(self.unit)[0] == 0.5):
            raise PrivacyError(f"not a sum that can be protected: {self}")
        if self.scale < FINEST_SHARE:
            raise PrivacyError(
                "a noise share must be many grid steps wide; there are too many lenders or no noise"
            )
        if self.scale > LARGEST_SCALE:
            raise PrivacyError(
                f"a noise share of {self.scale:g} grid steps is more than can be drawn exactly"
            )

    @property
    def _shift(self) -> int:
        """log2 of the grid step over the unit; positive when the grid is coarser than the
        contributions."""
        target = self.sensitivity * self.noise_multiplier / STEPS_PER_STD
        return min(math.floor(math.log2(target / self.unit)), LARGEST_SHIFT)

    @property
    def step(self) -> float:
        """The grid on which the sum travels."""
        return math.ldexp(self.unit, self._shift)

    @property
    def scale(self) -> float:
        """Parameter of one share's discrete Gaussian, in grid steps. Coarsening moves a coordinate
        by less than one."""
        coarsened = math.sqrt(self.size) if self._shift > 0 else 0.0
        return (
            self.noise_multiplier
            * (self.sensitivity / self.step + coarsened)
            / math.sqrt(self.honest)
        )

    def noise_std(self, contributors: int) -> float:
        """Standard deviation of the noise in each coordinate of a total over this many
        contributors."""
        return self.scale * self.step * math.sqrt(contributors)

    def on_grid(self, exact: Exact) -> Steps:
        """An exact contribution in grid steps, half steps rounded up.

        Args:
            exact: a machine's whole numbers, or Python's where the unit is too fine for those.
        """
        if exact.shape != (self.size,) or exact.dtype not in (np.int64, np.object_):
            raise PrivacyError(
                f"a contribution of shape {exact.shape} does not fit a sum of {self.size}"
            )
        shift = self._shift
        if exact.dtype == np.object_ and shift > 0:  # which can be added to without a wrap
            exact, shift = (exact + (1 << (shift - 1))) >> shift, 0
        room = min(HEADROOM << shift, 1 << 62) if shift > 0 else HEADROOM >> -shift
        if ((exact > room) | (exact < -room)).any():
            raise PrivacyError(
                "a contribution is too large for its grid; the sensitivity is not what was said"
            )
        steps = (exact + (1 << (shift - 1))) >> shift if shift > 0 else exact << -shift
        return np.asarray(steps.astype(np.int64))

    def share(self, exact: Exact) -> Steps:
        """One lender's contribution with its share of the noise, in grid steps."""
        return self.on_grid(exact) + discrete_gaussian(self.size, self.scale)

    def decode(self, total: Steps) -> Floats:
        """The noisy sum itself, from the total in grid steps."""
        if total.shape != (self.size,):
            raise PrivacyError(
                f"a total of {total.size} coordinates does not belong to a sum of {self.size}"
            )
        return total.astype(np.float64) * self.step


FRACTION_BITS = 24


def fixed_point(values: Floats, parties: int) -> Steps:
    """Values that are private already, as whole multiples of 2^-24.

    A value so large that the sum over ``parties`` could wrap is cut to the largest that cannot, and
    one that is not a number becomes zero: refusing would tell the coordinator something about this
    lender alone.
    """
    limit = 2.0**62 / max(parties, 1)
    scaled = np.rint(np.nan_to_num(values, nan=0.0) * (1 << FRACTION_BITS))
    return np.asarray(np.clip(scaled, -limit, limit).astype(np.int64))


def from_fixed_point(total: Steps) -> Floats:
    """Inverse of :func:`fixed_point`, for a sum."""
    return total.astype(np.float64) / (1 << FRACTION_BITS)
