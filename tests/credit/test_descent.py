"""What follows for step, ridge and clip from released figures: against a descent that is simulated."""

import math

import numpy as np
import pytest

from credit.descent import CLIP_REACH, FLOORS, PRIOR_VARIANCE, Descent, averaged, step_size

SPECTRUM = np.concatenate([[4.0, 2.0, 1.0], np.geomspace(1.0, 0.01, 30)])


def simulated(descent, floor, draws=3000):
    """Mean squared error of the log-odds after a descent on the quadratic that the rule assumes."""
    generator = np.random.default_rng(0)
    curvature = descent.base_rate * (1 - descent.base_rate)
    length = SPECTRUM / (SPECTRUM + floor)
    prior = PRIOR_VARIANCE / SPECTRUM.sum() * (SPECTRUM + floor)
    truth = generator.normal(0, np.sqrt(prior), (draws, len(SPECTRUM)))
    chance = generator.normal(0, np.sqrt(curvature * length * descent.population), truth.shape)
    optimum = truth + chance / (curvature * length * descent.population)
    noise = descent.noise_multiplier * descent.clip(SPECTRUM, floor)
    rate = step_size(noise, descent.population, descent.base_rate, descent.steps)
    weights, iterates = np.zeros_like(truth), []
    for _ in range(descent.steps):
        gradient = curvature * length * (weights - optimum)
        weights = weights - rate * (gradient + generator.normal(0, noise, truth.shape) / descent.population)
        iterates.append(weights)
    wrong = np.mean(iterates[-averaged(descent.steps) :], axis=0) - truth
    return float((length * wrong**2).sum(axis=1).mean())


@pytest.mark.parametrize("floor", [FLOORS[0], FLOORS[4]])
@pytest.mark.parametrize(
    "descent", [Descent(10, 15.0, 8000.0, 0.5), Descent(10, 50.0, 20_000.0, 0.07), Descent(3, 5.0, 2000.0, 0.2)]
)
def test_the_expected_error_is_that_of_a_descent(descent, floor):
    assert descent.expected_error(SPECTRUM, floor) == pytest.approx(simulated(descent, floor), rel=0.05)


def test_the_ridge_has_the_least_expected_error_and_grows_with_the_noise():
    floors = []
    for noise in (0.1, 10.0, 40.0, 150.0, 1000.0):
        descent = Descent(10, noise, 10_000.0, 0.3)
        floors.append(descent.floor(SPECTRUM))
        errors = [descent.expected_error(SPECTRUM, floor) for floor in FLOORS]
        assert min(errors) == descent.expected_error(SPECTRUM, floors[-1])
    assert floors == sorted(floors)
    assert floors[0] < floors[3]


def test_the_clip_is_a_multiple_of_the_root_mean_square_norm_of_a_gradient():
    generator = np.random.default_rng(1)
    for base in (0.02, 0.5):
        rows = generator.normal(0, np.sqrt(SPECTRUM / (SPECTRUM + 0.5)), (200_000, len(SPECTRUM)))
        residuals = base - (generator.random(len(rows)) < base)
        norms = np.linalg.norm(rows * residuals[:, None], axis=1)
        expected = CLIP_REACH * math.sqrt((norms**2).mean())
        assert Descent(10, 1.0, 100.0, base).clip(SPECTRUM, 0.5) == pytest.approx(expected, rel=0.02)


def test_a_step_is_no_longer_than_curvature_and_noise_allow():
    assert step_size(1e-9, 1000.0, 0.5, 10) == 4.0
    short = step_size(100.0, 1000.0, 0.5, 10)
    assert short < 4.0
    assert short * 0.1 * math.sqrt(10) == pytest.approx(0.1)  # the walk of ten steps
    assert step_size(100.0, 2000.0, 0.5, 10) == pytest.approx(2 * short)
