"""Metrics, against scikit-learn and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from sklearn import metrics as sklearn

from credit.metrics import auc, ece, ks, observed_to_expected, quality, reliability, roc_curve

# Coarse probabilities, so that ties are common.
people = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 12)), min_size=2, max_size=80).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


def columns(rows):
    return np.array([r[0] for r in rows]), np.array([r[1] for r in rows]) / 12


@settings(deadline=None)
@given(people)
def test_all_figures_agree_with_the_standard_libraries_ties_included(rows):
    labels, probability = columns(rows)
    good = quality(labels, probability)
    assert good.auc == pytest.approx(sklearn.roc_auc_score(labels, probability))
    assert good.gini == pytest.approx(2 * good.auc - 1)
    assert good.brier == pytest.approx(sklearn.brier_score_loss(labels, probability))
    false_positive, true_positive, _ = sklearn.roc_curve(labels, probability, drop_intermediate=False)
    ours = roc_curve(labels, probability)
    assert ours[0] == pytest.approx(false_positive)
    assert ours[1] == pytest.approx(true_positive)
    two_sided = np.abs(true_positive - false_positive).max()
    assert ks_2samp(probability[labels == 1], probability[labels == 0]).statistic == pytest.approx(two_sided)
    assert good.ks == pytest.approx((true_positive - false_positive).max())


@pytest.mark.parametrize(
    ("labels", "probability", "expected"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], 1.0),
        ([1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9], 0.0),
        ([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5], 0.5),
        ([0, 1, 1], [0.5, 0.5, 0.9], 0.75),
    ],
)
def test_auc_on_rows_counted_by_hand(labels, probability, expected):
    assert auc(np.array(labels), np.array(probability)) == expected


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1]])
def test_auc_of_one_class_is_refused(labels):
    with pytest.raises(ValueError, match="both good and bad"):
        auc(np.array(labels), np.array([0.1, 0.2, 0.3]))


def test_ks_on_rows_counted_by_hand():
    labels = np.array([1, 1, 0, 1, 0, 0, 0, 0])
    probability = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    assert ks(labels, probability) == pytest.approx(1 - 1 / 5)


def test_ks_of_a_model_that_says_the_same_of_everybody_is_zero():
    assert ks(np.array([0, 1, 0, 1]), np.full(4, 0.3)) == 0


def test_ece_on_rows_counted_by_hand():
    # Two groups of four: predicted 0.1 observed 0.25, predicted 0.8 observed 0.5.
    probability = np.array([0.1] * 4 + [0.8] * 4)
    labels = np.array([0, 0, 0, 1, 1, 1, 0, 0])
    assert reliability(labels, probability, bins=2) == [(pytest.approx(0.1), 0.25, 4), (pytest.approx(0.8), 0.5, 4)]
    assert ece(labels, probability, bins=2) == pytest.approx((0.15 + 0.3) / 2)


def test_a_calibrated_model_has_no_calibration_error():
    probability = np.repeat([0.0, 0.5, 1.0], 4)
    assert ece(np.array([0] * 4 + [0, 1, 0, 1] + [1] * 4), probability, bins=3) == 0


def test_fewer_people_than_groups_are_each_a_group():
    rows = reliability(np.array([0, 1]), np.array([0.9, 0.2]))
    assert rows == [(0.2, 1.0, 1), (0.9, 0.0, 1)]


def test_a_level_that_is_forty_times_too_low_shows_beside_an_ece_that_looks_excellent():
    labels = np.zeros(20_000, dtype=np.int64)
    labels[:70] = 1
    honest, low = np.full(20_000, 0.0035), np.full(20_000, 0.0035 / 43)
    assert ece(labels, low) < 0.02
    assert observed_to_expected(labels, honest) == pytest.approx((1.0, np.sqrt(70 * (1 - 70 / 20_000)) / 70))
    ratio, error = observed_to_expected(labels, low)
    assert ratio == pytest.approx(43) and (ratio - 1) / error > 5
    found = quality(labels, honest)
    assert (found.observed_to_expected, found.observed_to_expected_error) == observed_to_expected(labels, honest)
