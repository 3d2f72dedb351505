"""The attack must find nothing in an honest build and must catch broken ones."""

import math
from dataclasses import replace

import pytest
from support.credit_tables import PLAN, REGISTRY, TABLES

from credit.auditing import Attack, audit, canary_people
from credit.learning import Learner
from privacy.gradients import ClippedGradients
from privacy.mechanism import Mechanism
from privacy.sums import NoisySum


def attack(**kwargs):
    return audit(Learner(REGISTRY, "scorecard", PLAN, 0), TABLES, Attack(canaries=60, **kwargs))


@pytest.mark.parametrize("dropped", [0, 2])
def test_an_honest_build_passes_whoever_drops_out(dropped):
    report = attack(dropped=dropped)
    assert report.passed, report.findings
    assert report.largest_share <= 1 + 1e-9 and report.epsilon_proved <= report.epsilon_promised <= 1


def test_noise_divided_by_ten_is_caught_by_its_size_and_by_the_canaries(monkeypatch):
    scale = NoisySum.scale.fget
    monkeypatch.setattr(NoisySum, "scale", property(lambda self: scale(self) / 10))
    report = attack()
    assert not report.passed and sum("of the noise" in finding for finding in report.findings) == len(report.noise)
    assert report.right > 0.65 * report.guesses


def test_a_share_that_nobody_took_over_is_caught(monkeypatch):
    monkeypatch.setattr(Mechanism, "honest", lambda self, contributors: 4)
    report = attack(dropped=2)
    # Of the histogram the schema fixes the size; how large second moments are is decided by the noise, and in a few
    # dozen numbers a missing half does not always show.
    histogram = next(check for check in report.noise if check.kind == "histogram")
    assert histogram.too_small and histogram.low < math.sqrt(0.5) < histogram.high


def test_a_clip_that_is_skipped_is_caught(monkeypatch):
    scales = ClippedGradients._scales
    monkeypatch.setattr(
        ClippedGradients, "_scales", lambda self, *who: 25 * scales(replace(self, clip_norm=50.0), *who)
    )
    report = attack()
    assert any("the clip does not clip" in finding for finding in report.findings)


def test_canaries_are_people_that_the_registry_allows():
    table = canary_people(REGISTRY, 50, 1)
    assert set(table.columns) == {"bad", *REGISTRY.names}
    assert set(table["grade"].dropna()) <= {"a", "b", "c"} and set(table["bad"]) == {0, 1}
    assert not table.duplicated().any()
