"""What the console shows of figures: curves of an evaluation, and what campaigns cost together. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from support.house import House

from credit.groups import GRID, Shape, Spread, cut
from credit.models import KNOTS
from credit.quality import Counts, Measured
from privacy.accounting import epsilon_of
from privacy.mechanism import Audience
from protocol.schema import now
from screens.console.pictures import evaluation_pictures
from screens.house.words import PageWords
from server.budgets import overview
from server.curves import RATES, curves_of
from server.desired_state import CampaignState, Stage
from server.home import Progressed
from server.status import Answers, CampaignStatus


def measured(people: float = 1e6, noise: float = 0.0) -> Measured:
    """Good and bad by group of scores, of a model whose probabilities are right."""
    spread = Spread(-2.0, 1.0)
    scores, weights = spread.at(GRID), np.exp(-(GRID**2) / 2)
    edges = cut(spread, 0.15, 12)
    group = np.searchsorted(edges, scores, side="right")
    chance = 1 / (1 + np.exp(-scores))
    counts = np.stack([np.bincount(group, weights * one, 12) for one in (1 - chance, chance)])
    counts *= people / counts.sum()
    shape = Shape.of(counts.sum(axis=0), edges)
    return Measured(Counts(counts, noise, 1e-12), shape.probability((KNOTS, KNOTS)))


def test_the_curves_are_those_of_the_counts_and_noise_widens_their_bands():
    exact, noisy = curves_of(measured()), curves_of(measured(noise=2_000.0))
    rates, found = np.array([point[:2] for point in exact.roc.points]).T
    assert rates.tolist() == RATES.tolist() and found[0] == 0 and found[-1] == 1
    assert np.trapezoid(found, rates) == pytest.approx(measured().auc().value, abs=0.01)
    for predicted, seen, lower, upper in exact.calibration.points:
        assert seen == pytest.approx(predicted, rel=0.02) and lower == pytest.approx(upper)
    assert sum(point[1] for point in exact.scores.points) == pytest.approx(1)

    def width(curve):
        return sum(upper - lower for _, _, lower, upper in curve.points)

    for name in ("roc", "calibration", "scores"):
        assert width(getattr(exact, name)) < 1e-5 < width(getattr(noisy, name))
        for _, value, lower, upper in getattr(noisy, name).points:
            assert 0 <= lower <= value <= upper <= 1


def test_every_picture_has_its_table_in_both_languages():
    for language in ("en", "zh"):
        for chart in evaluation_pictures(curves_of(measured(noise=500.0)), PageWords(language)):
            assert chart.rows and chart.marks and chart.title


@pytest.fixture
def status(house: House) -> CampaignStatus:
    campaign = house.make_campaign(plan={"spare_attempts": 1, "hold_out": 0.2})
    return CampaignStatus(
        campaign, Path(), CampaignState(stage=Stage.RUNNING, at=now()), Progressed((1, 2)), 2, True, True,
        Answers(True, campaign.lenders), now(),
    )  # fmt: skip


def test_what_is_spent_is_every_attempt_and_what_is_reserved_ends_with_the_campaign(house, status):
    consortium = house.founded.consortium
    plan = status.campaign.mechanism
    first, second = (plan.releases[at].charge for at in (0, 1))
    made = epsilon_of([first, second, second], consortium.max_delta)
    whole = max(epsilon_of(plan.charges(side), consortium.max_delta) for side in Audience)
    running = overview([status], consortium, now())
    assert running.ever.spent == pytest.approx(made) and running.ever.planned == pytest.approx(whole)
    assert running.ever.cap == running.year.cap == consortium.max_epsilon
    ended = replace(status, moment=status.campaign.expires_at + timedelta(seconds=1))
    over = overview([ended], consortium, now())
    assert over.ever.planned == over.ever.spent == pytest.approx(made)
    twice = overview([status, status], consortium, now())
    assert whole < twice.ever.planned < 2 * whole and twice.ever.left == 0


def test_only_campaigns_of_a_year_count_for_the_year(house, status):
    later = status.campaign.expires_at + timedelta(days=366)
    found = overview([status], house.founded.consortium, later)
    assert found.year.planned == 0 < found.ever.planned
