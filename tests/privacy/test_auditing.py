"""From right guesses to a bound on epsilon, against what the paper and common sense say."""

import math

import numpy as np
import pytest
from support.floats import never_falls, never_rises

from privacy.auditing import check_noise, coins, epsilon_bound, guess, p_value
from privacy.errors import PrivacyError


def test_guessing_like_a_coin_proves_nothing():
    assert epsilon_bound(100, 50, 25, 1e-5, 0.95) == 0.0


def test_all_right_proves_what_a_binomial_says_when_delta_is_nothing():
    # (e^eps / (1 + e^eps))^r = 5%, solved for eps.
    for right in (20, 50, 100):
        rate = 0.05 ** (1 / right)
        assert epsilon_bound(right, right, right, 0.0, 0.95) == pytest.approx(math.log(rate / (1 - rate)), abs=1e-3)


def test_a_larger_delta_proves_less():
    bounds = [epsilon_bound(1000, 100, 95, delta, 0.95) for delta in (0.0, 1e-6, 1e-4, 1e-3)]
    assert never_rises(bounds) and bounds[0] > bounds[-1]


def test_more_right_guesses_never_prove_less():
    bounds = [epsilon_bound(200, 100, right, 1e-5, 0.95) for right in range(0, 101, 5)]
    assert never_falls(bounds)


def test_the_bound_holds_for_randomised_response():
    """Answering truthfully with e/(1+e) is exactly 1-private: in 95% of runs no more than 1 may be proved."""
    rng = np.random.default_rng(0)
    runs, success = 300, math.e / (1 + math.e)
    above = sum(epsilon_bound(200, 200, int(rng.binomial(200, success)), 0.0, 0.95) > 1.0 for _ in range(runs))
    assert above <= 0.05 * runs + 6 * math.sqrt(0.05 * 0.95 * runs)


def test_the_p_value_of_nothing_right_is_one():
    assert p_value(10, 5, 0, 1.0, 1e-5) == 1.0


@pytest.mark.parametrize("bad", [(10, 20, 5, 0.95), (10, 5, 6, 0.95), (10, 5, 5, 1.0)])
def test_impossible_counts_are_refused(bad):
    canaries, guesses, right, confidence = bad
    with pytest.raises(PrivacyError):
        epsilon_bound(canaries, guesses, right, 1e-5, confidence)


def test_guesses_are_the_highest_and_the_lowest_half_each():
    answer = guess(np.array([0.1, -3.0, 2.0, 0.0, 9.0, -0.5]), 4)
    assert answer.tolist() == [0, -1, 1, 0, 1, -1]


def test_coins_are_fair_and_fresh():
    tossed = coins(20_000)
    assert abs(tossed.mean() - 0.5) < 6 * 0.5 / math.sqrt(20_000)
    assert (tossed != coins(20_000)).any()


@pytest.mark.parametrize(("scale", "small"), [(1.0, False), (0.9, True), (1.2, False)])
def test_noise_is_measured_against_what_was_promised(scale, small):
    residual = np.random.default_rng(1).normal(0, 3.0 * scale, 20_000)
    check = check_noise(3, "gram", residual, 3.0, 0.999)
    assert check.too_small is small and check.low < check.ratio < check.high
