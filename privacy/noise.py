"""Noise and sampling on which the guarantee rests: exact, and from the operating system's
generator.

The discrete Gaussian of Canonne, Kamath & Steinke 2020 (https://arxiv.org/abs/2004.00010) is drawn
by OpenDP's exact sampler, so no floating-point artefact of a sampler can leak (Mironov 2012).
"""

from __future__ import annotations

import os
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from opendp.domains import atom_domain, vector_domain
from opendp.measurements import make_gaussian, make_laplace
from opendp.metrics import l1_distance, l2_distance
from opendp.mod import Measurement, enable_features

from privacy.errors import PrivacyError

enable_features("contrib")


@lru_cache(maxsize=16)
def _sampler(scale: float) -> Measurement:
    return make_gaussian(vector_domain(atom_domain(T="i64")), l2_distance(T="f64"), scale)


@lru_cache(maxsize=16)
def _laplace_sampler(scale: float) -> Measurement:
    return make_laplace(vector_domain(atom_domain(T="i64")), l1_distance(T="i64"), scale)


def discrete_laplace(size: int, scale: float) -> NDArray[np.int64]:
    """``size`` independent draws of the discrete Laplace distribution (Ghosh, Roughgarden &
    Sundararajan 2009)."""
    return np.asarray(_laplace_sampler(scale)([0] * size), dtype=np.int64)


def discrete_gaussian(size: int, scale: float) -> NDArray[np.int64]:
    """``size`` independent draws of the discrete Gaussian with parameter ``scale`` (in integer
    units)."""
    return np.asarray(_sampler(scale)([0] * size), dtype=np.int64)


def poisson_sample(size: int, rate: float) -> NDArray[np.bool_]:
    """Include each of ``size`` records independently with probability ``rate`` (to within
    2^-64)."""
    if not 0 < rate <= 1:
        raise PrivacyError(f"a sampling rate lies in (0, 1], not {rate}")
    if rate == 1:
        return np.ones(size, dtype=np.bool_)
    words = np.frombuffer(os.urandom(8 * size), dtype=np.uint64)
    return words < np.uint64(int(rate * 2.0**64))
