"""Noise and sampling on which the guarantee rests: exact, and from the operating system's generator.

Sums are rounded to a grid and the discrete Gaussian of Canonne, Kamath & Steinke 2020
(https://arxiv.org/abs/2004.00010) is added by OpenDP's exact sampler, so no floating-point artefact of a sampler
can leak (Mironov 2012). The grid is so fine (a standard deviation is 2^20 steps) that the discrete Gaussian and the
continuous one that the accountant composes are the same to about 1e-12; what rounding adds to the sensitivity,
one step per coordinate, is added to the noise.
"""

from __future__ import annotations

import os
from functools import lru_cache

import numpy as np
import opendp.prelude as dp
from numpy.typing import NDArray

from privacy.errors import PrivacyError

GRID_STEPS_PER_STD = 1 << 20

dp.enable_features("contrib")


@lru_cache(maxsize=16)
def _sampler(scale: float) -> dp.Measurement:
    return dp.m.make_gaussian(dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="f64"), scale)


def discrete_gaussian(size: int, scale: float) -> NDArray[np.int64]:
    """``size`` independent draws of the discrete Gaussian with parameter ``scale`` (in integer units)."""
    return np.asarray(_sampler(scale)([0] * size), dtype=np.int64)


def noisy_sum(total: NDArray[np.float64], sensitivity: float, noise_multiplier: float) -> NDArray[np.float64]:
    """Release ``total`` with Gaussian noise of standard deviation ``noise_multiplier * sensitivity``.

    Args:
        total: a vector to which one person contributes at most ``sensitivity`` in L2 norm.
        sensitivity: that bound, > 0. It is the clip, not a guess.
        noise_multiplier: standard deviation of the noise per unit of sensitivity, > 0.

    Raises:
        PrivacyError: parameters that give no guarantee, or a total that is not finite.
    """
    if not (np.isfinite(total).all() and 0 < sensitivity < np.inf and 0 < noise_multiplier < np.inf):
        raise PrivacyError("a noisy sum needs finite values and a positive sensitivity and noise multiplier")
    grid = sensitivity * noise_multiplier / GRID_STEPS_PER_STD
    scale = noise_multiplier * (sensitivity / grid + np.sqrt(total.size))
    steps = np.rint(total / grid).astype(np.int64) + discrete_gaussian(total.size, float(scale))
    return steps.astype(np.float64) * grid


def poisson_sample(size: int, rate: float) -> NDArray[np.bool_]:
    """Include each of ``size`` records independently with probability ``rate`` (to within 2^-64)."""
    if not 0 < rate <= 1:
        raise PrivacyError(f"a sampling rate lies in (0, 1], not {rate}")
    if rate == 1:
        return np.ones(size, dtype=np.bool_)
    words = np.frombuffer(os.urandom(8 * size), dtype=np.uint64)
    return words < np.uint64(int(rate * 2.0**64))
