"""Noise and sampling on which the guarantee rests: exact, and from the operating system's generator.

Sums are rounded to a grid and the discrete Gaussian of Canonne, Kamath & Steinke 2020
(https://arxiv.org/abs/2004.00010) is added by OpenDP's exact sampler, so no floating-point artefact of a sampler
can leak (Mironov 2012). The grid is so fine (a standard deviation is 2^20 steps) that the discrete Gaussian and the
continuous one that the accountant composes are the same to about 1e-12; what rounding adds to the sensitivity
is added to the noise.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from opendp.domains import atom_domain, vector_domain
from opendp.measurements import make_gaussian, make_laplace
from opendp.metrics import l1_distance, l2_distance
from opendp.mod import Measurement, enable_features

from privacy.errors import PrivacyError

GRID_STEPS_PER_STD = 1 << 20
LARGEST_STEPS = 1 << 61

enable_features("contrib")


@lru_cache(maxsize=16)
def _sampler(scale: float) -> Measurement:
    return make_gaussian(vector_domain(atom_domain(T="i64")), l2_distance(T="f64"), scale)


@lru_cache(maxsize=16)
def _laplace_sampler(scale: float) -> Measurement:
    return make_laplace(vector_domain(atom_domain(T="i64")), l1_distance(T="i64"), scale)


def discrete_laplace(size: int, scale: float) -> NDArray[np.int64]:
    """``size`` independent draws of the discrete Laplace distribution (Ghosh, Roughgarden & Sundararajan 2009)."""
    return np.asarray(_laplace_sampler(scale)([0] * size), dtype=np.int64)


def discrete_gaussian(size: int, scale: float) -> NDArray[np.int64]:
    """``size`` independent draws of the discrete Gaussian with parameter ``scale`` (in integer units)."""
    return np.asarray(_sampler(scale)([0] * size), dtype=np.int64)


@dataclass(frozen=True)
class Grid:
    """The integer grid on which one noisy sum is formed, so that the sum is exact whatever its order.

    Floating-point summation would break the sensitivity bound: adding one record can change the rounding of all others
    (Casacuberta et al. 2022, https://arxiv.org/abs/2207.10635).
    """

    sensitivity: float
    noise_multiplier: float

    def __post_init__(self) -> None:
        if not (0 < self.sensitivity < np.inf and 0 < self.noise_multiplier < np.inf and self.step > 0):
            raise PrivacyError("a noisy sum needs a positive sensitivity and a positive noise multiplier")

    @property
    def step(self) -> float:
        return self.sensitivity * self.noise_multiplier / GRID_STEPS_PER_STD

    def round(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """Nearest grid points, as whole numbers of steps. Each coordinate moves by at most half a step."""
        return np.rint(np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0) / self.step).astype(np.int64)

    def release(self, total: NDArray[np.int64]) -> NDArray[np.float64]:
        """Noise the exact sum of rounded contributions; rounding adds at most sqrt(size) steps to a person's norm."""
        if total.ndim != 1 or (np.abs(total) > LARGEST_STEPS).any():
            raise PrivacyError("a sum is too large for its grid; the sensitivity is not what it was said to be")
        scale = self.noise_multiplier * (self.sensitivity / self.step + np.sqrt(total.size))
        noisy = total + discrete_gaussian(total.size, float(scale))
        return noisy.astype(np.float64) * self.step


def noisy_sum(total: NDArray[np.float64], sensitivity: float, noise_multiplier: float) -> NDArray[np.float64]:
    """Release a vector of *counts* with Gaussian noise of standard deviation ``noise_multiplier * sensitivity``.

    Args:
        total: whole numbers, or whole multiples of a constant, so that forming it rounded nothing; one person
            contributes at most ``sensitivity`` to it in L2 norm.
        sensitivity: that bound, > 0. It is the clip, not a guess.
        noise_multiplier: standard deviation of the noise per unit of sensitivity, > 0.

    Raises:
        PrivacyError: parameters that give no guarantee, or a total that is not whole.
    """
    if not np.isfinite(total).all() or (total != np.rint(total)).any():
        raise PrivacyError("a noisy sum needs whole numbers; sums of real vectors go through Grid")
    grid = Grid(sensitivity, noise_multiplier)
    return grid.release(np.clip(np.rint(total / grid.step), -(2.0**62), 2.0**62).astype(np.int64))


def poisson_sample(size: int, rate: float) -> NDArray[np.bool_]:
    """Include each of ``size`` records independently with probability ``rate`` (to within 2^-64)."""
    if not 0 < rate <= 1:
        raise PrivacyError(f"a sampling rate lies in (0, 1], not {rate}")
    if rate == 1:
        return np.ones(size, dtype=np.bool_)
    words = np.frombuffer(os.urandom(8 * size), dtype=np.uint64)
    return words < np.uint64(int(rate * 2.0**64))
