"""What an attack proves about a mechanism: a lower bound on epsilon from guesses about canaries, in
one run.

Half of the canaries, by fair coins, take part in one run; an attacker who sees everything released
guesses for some of them whether they did. Under (epsilon, delta)-differential privacy the number of
right guesses is stochastically dominated by a binomial with success rate e^eps / (1 + e^eps), up to
a term in delta; more right guesses than that reject the claim (Steinke, Nasr & Jagielski 2023,
https://arxiv.org/abs/2305.08846, theorem 5.2 and appendix D).
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, chi2

from privacy.errors import PrivacyError

Floats = NDArray[np.float64]

LARGEST_EPSILON = 50.0


def coins(count: int) -> NDArray[np.bool_]:
    """Fair coins from the operating system."""
    bits = np.unpackbits(np.frombuffer(os.urandom(count // 8 + 1), dtype=np.uint8))
    return np.asarray(bits[:count].astype(np.bool_))


def p_value(canaries: int, guesses: int, right: int, epsilon: float, delta: float) -> float:
    """How likely at most so many right guesses are under (epsilon, delta); small rejects it."""
    success = 1 / (1 + math.exp(-epsilon))
    beta = float(binom.sf(right - 1, guesses, success))
    masses = binom.pmf(right - np.arange(1, right + 1), guesses, success)
    alpha = float((np.cumsum(masses) / np.arange(1, right + 1)).max()) if right else 0.0
    return min(beta + alpha * delta * 2 * canaries, 1.0)


def epsilon_bound(
    canaries: int, guesses: int, right: int, delta: float, confidence: float
) -> float:
    """The largest epsilon that the guesses reject, with this confidence; 0 if they reject none."""
    if not 0 <= right <= guesses <= canaries or not 0 < confidence < 1:
        raise PrivacyError(
            "right guesses are among the guesses, guesses among the canaries, confidence in (0, 1)"
        )
    if p_value(canaries, guesses, right, 0.0, delta) > 1 - confidence:
        return 0.0
    low = 0.0
    high = LARGEST_EPSILON
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (
            (middle, high)
            if p_value(canaries, guesses, right, middle, delta) <= 1 - confidence
            else (low, middle)
        )
    return low


def guess(scores: Floats, guesses: int) -> NDArray[np.int8]:
    """1 for the highest scores, -1 for the lowest, 0 (no guess) between; half the guesses each,
    fixed in advance."""
    order = np.argsort(scores, kind="stable")
    half = guesses // 2
    answer = np.zeros(len(scores), dtype=np.int8)
    answer[order[:half]], answer[order[len(order) - half :]] = -1, 1
    return answer


@dataclass(frozen=True)
class NoiseCheck:
    """The noise in one release beside what was promised: the ratio of standard deviations and its
    interval."""

    release: int
    kind: str
    ratio: float
    low: float
    high: float

    @property
    def too_small(self) -> bool:
        """The whole interval lies below what was promised."""
        return self.high < 1.0


def check_noise(
    release: int, kind: str, residual: Floats, promised_std: float, confidence: float
) -> NoiseCheck:
    """From the released vector minus what is known to be in it; independent coordinates of equal
    variance."""
    total = float((residual**2).sum())
    count = residual.size
    tail = (1 - confidence) / 2
    low, high = (
        math.sqrt(total / float(chi2.ppf(q, count))) / promised_std for q in (1 - tail, tail)
    )
    return NoiseCheck(release, kind, math.sqrt(total / count) / promised_std, low, high)
