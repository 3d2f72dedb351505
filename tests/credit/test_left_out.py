"""Scores without oneself, against models that were really made without somebody."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit

from credit import metrics
from credit.descent import averaged
from credit.errors import ModelError
from credit.groups import Spread
from credit.influence import Descended, curvature, influence_of, spectrum
from credit.left_out import Influence
from credit.whitening import Coordinates

PEOPLE, INPUTS, STEPS, RATE_OF_BAD = 1200, 40, 10, 0.15


class Crowd:
    """People, and descents as the consortium makes them, without its noise."""

    def __init__(self, clip_norm: float, signal: float = 1.0) -> None:
        rng = np.random.default_rng(3)
        self.rows = rng.normal(size=(PEOPLE, INPUTS)) * np.linspace(0.3, 1.6, INPUTS)
        self.rows[:, -1] = 1.0
        truth = rng.normal(size=INPUTS - 1)
        logit = self.rows[:, :-1] @ truth
        logit *= signal / logit.std()
        self.offset = math.log(RATE_OF_BAD / (1 - RATE_OF_BAD))
        self.labels = (rng.random(PEOPLE) < expit(logit + self.offset)).astype(int)
        values, vectors = np.linalg.eigh(self.rows.T @ self.rows / PEOPLE)
        white = (vectors / np.sqrt(values + 0.5)) @ vectors.T
        self.chosen = Coordinates(2 * white, 2.0, 0.5, float((values / (values + 0.5)).sum()), 0, 0.0)
        self.clip_norm = clip_norm
        self.rate = 1 / (RATE_OF_BAD * (1 - RATE_OF_BAD)) / 4

    def scores(self, without: int | None = None) -> np.ndarray:
        inputs = self.rows @ self.chosen.matrix
        counted = np.arange(PEOPLE) != (-1 if without is None else without)
        norms = np.linalg.norm(inputs, axis=1)
        weights, iterates = np.zeros(INPUTS), []
        for _ in range(STEPS):
            residual = expit(inputs @ weights + self.offset) - self.labels
            scale = counted * np.minimum(1, self.clip_norm / np.maximum(np.abs(residual) * norms, 1e-12))
            weights = weights - self.rate * inputs.T @ (scale * residual) / PEOPLE
            iterates.append(weights)
        return inputs @ np.mean(iterates[-averaged(STEPS) :], axis=0) + self.offset

    def without_themselves(self) -> np.ndarray:
        scores = self.scores()
        made = Descended(self.rate, STEPS, PEOPLE, self.clip_norm)
        found = influence_of(self.chosen, made, Spread(scores.mean(), scores.std()))
        return found.without(self.rows @ found.matrix, scores, self.labels)


@pytest.mark.parametrize("clip_norm", [3.0, 12.0, 100.0])
def test_a_score_without_oneself_is_that_of_the_model_made_without_one(clip_norm):
    """Whether nearly everybody is clipped, the bad alone, or nobody."""
    crowd = Crowd(clip_norm)
    scores, found = crowd.scores(), crowd.without_themselves()
    some = np.concatenate([np.flatnonzero(crowd.labels == label)[:40] for label in (0, 1)])
    truth = np.array([crowd.scores(without=i)[i] for i in some]) - scores[some]
    said = found[some] - scores[some]
    assert np.corrcoef(truth, said)[0, 1] > 0.95
    assert float(truth @ said) / float(said @ said) == pytest.approx(1.0, abs=0.2)


def test_where_nothing_can_be_learnt_a_score_without_oneself_says_so():
    """Outcomes by chance: the model ranks those it was made of all the same."""
    crowd = Crowd(12.0)
    crowd.labels = (np.random.default_rng(8).random(PEOPLE) < RATE_OF_BAD).astype(int)
    assert metrics.auc(crowd.labels, crowd.scores()) > 0.6
    assert metrics.auc(crowd.labels, crowd.without_themselves()) == pytest.approx(0.5, abs=0.04)


def test_the_moments_come_back_out_of_the_coordinates():
    crowd = Crowd(1.0)
    vectors, values = spectrum(crowd.chosen)
    assert (vectors * values) @ vectors.T == pytest.approx(crowd.rows.T @ crowd.rows / PEOPLE, abs=1e-9)


def test_who_is_clipped_does_not_curve():
    spread = Spread(-2.0, 1.0)
    whole, half, none = (curvature(spread, reach) for reach in (1.0, 0.5, 0.0))
    assert none == 0 < half < whole == pytest.approx(0.1, abs=0.02)


def test_whole_numbers_make_a_person_alone_the_same_as_among_others():
    crowd = Crowd(12.0)
    scores = crowd.scores()
    found = influence_of(crowd.chosen, Descended(crowd.rate, STEPS, PEOPLE, 12.0), Spread(-2.0, 1.0))
    rows = crowd.rows @ found.matrix
    together = found.without(rows, scores, crowd.labels)
    for i in range(0, PEOPLE, 97):
        part = slice(i, i + 1)
        assert found.without(rows[part], scores[part], crowd.labels[part])[0] == together[i]
    crooked = rows.copy()
    crooked[0] = 1e300
    assert np.isfinite(found.without(crooked, scores, crowd.labels)).all()


@pytest.mark.parametrize(
    ("shape", "directions"), [((3, 2), 3), ((2, 3), 3), ((0, 0), 3), ((4, 5), 5), ((4, 0), 0), ((4, 1), ())]
)
def test_an_influence_of_another_shape_is_refused(shape, directions):
    """More directions than inputs, too: they would only take a node's memory."""
    with pytest.raises(ModelError, match="influence"):
        Influence(np.zeros(shape), np.zeros(directions), 1.0).check(4)
