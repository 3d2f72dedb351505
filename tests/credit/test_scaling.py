"""The 350-950 score."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credit.scaling import HIGHEST, LOWEST, score


def at_odds(good_to_bad):
    return int(score(np.array([1 / (1 + good_to_bad)]))[0])


def test_fifteen_to_one_is_650():
    assert at_odds(15) == 650


@pytest.mark.parametrize(("odds", "points"), [(30, 710), (60, 770), (120, 830), (7.5, 590), (15 / 8, 470)])
def test_sixty_points_double_the_odds(odds, points):
    assert at_odds(odds) == points


def test_the_scale_ends_at_350_and_950():
    assert (LOWEST, HIGHEST) == (350, 950)
    assert score(np.array([0.0, 1e-12, 1 - 1e-12, 1.0])).tolist() == [950, 950, 350, 350]


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1))
def test_a_higher_risk_never_scores_higher(probabilities):
    points = score(np.sort(np.array(probabilities)))
    assert (np.diff(points) <= 0).all()
    assert points.min() >= 350
    assert points.max() <= 950
