"""Who can see what of a campaign: said as it follows from what was approved, and from nothing else."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from support.notices import some_consortium
from support.world import features

from privacy.mechanism import Mechanism, PlannedRelease, ReleaseKind
from protocol.campaigns import Campaign
from protocol.errors import AuditFailed
from protocol.parties import Role
from protocol.schema import now
from protocol.sight import AttackOnBuild, SightStatement, noise_left
from protocol.terms import TRAINING_PURPOSE

LENDERS = ("aspen", "birch", "cedar", "dogwood", "elm")
CONSORTIUM = some_consortium(*LENDERS, "oak")
MOMENT = now()
PASSED = AttackOnBuild(code_sha256="0" * 64, passed=True, epsilon_promised=1, epsilon_proved=0.1, confidence=0.95)


def campaign(threshold: int = 4, bound: int = 1, kind: str = "distributed") -> Campaign:
    planned = [PlannedRelease(kind=ReleaseKind.HISTOGRAM, noise_multiplier=5)]
    planned += [PlannedRelease(kind=ReleaseKind.TRAIN, noise_multiplier=5)] if kind == "local" else []
    plan = Mechanism(
        kind=kind, epsilon=8, delta=1e-5, releases=tuple(planned), clip_norm=1, bins=8, collusion_bound=bound,
        threshold=threshold,
    )  # fmt: skip
    return Campaign.model_validate({
        "id": "one", "title": "Test", "coordinator": "coordinator", "lenders": LENDERS, "purpose": TRAINING_PURPOSE,
        "model": "scorecard", "consortium_sha256": CONSORTIUM.sha256, "features": features().model_dump(mode="json"),
        "mechanism": plan.model_dump(mode="json"), "code_sha256": "0" * 64, "seed": 0, "created_at": MOMENT,
        "expires_at": MOMENT + timedelta(hours=1),
    })  # fmt: skip


@pytest.mark.parametrize(("threshold", "bound"), [(2, 0), (3, 1), (4, 1), (5, 2), (5, 3)])
def test_up_to_the_bound_colluders_leave_the_whole_noise_and_beyond_it_less(threshold, bound):
    """Against noise that is drawn: each of m contributors adds a variance of sigma²/(m - c)."""
    rng, of = np.random.default_rng(0), campaign(threshold, bound)
    shares = rng.normal(0, np.sqrt(1 / (threshold - bound)), (40_000, threshold))
    for one in SightStatement.of(of, CONSORTIUM, MOMENT).collusion:
        drawn = shares[:, one.lenders :].sum(axis=1).std()
        assert one.noise_left == pytest.approx(drawn, rel=0.02)
        assert (one.noise_left >= 1 - 1e-12) is (one.lenders <= bound)
    assert noise_left(campaign(threshold, bound, "local"), threshold - 1) == 1


def test_everybody_who_has_a_part_is_told_of_and_nobody_else():
    made = SightStatement.of(campaign(), CONSORTIUM, MOMENT)
    assert {one.party for one in made.views} == {party.id for party in CONSORTIUM.parties} - {"oak"}
    assert {one.role for one in made.views} == set(Role)
    assert all(one.sees and one.never for one in made.views)
    assert (made.epsilon, made.threshold, made.collusion_bound) == (8, 4, 1)
    assert made == SightStatement.of(campaign(), CONSORTIUM, MOMENT), "same campaign, same statement"
    made.require_true(campaign(), CONSORTIUM)


def test_a_statement_that_says_less_than_follows_is_refused():
    made = SightStatement.of(campaign(), CONSORTIUM, MOMENT, PASSED)
    made.require_true(campaign(), CONSORTIUM)
    untrue = (
        {"views": made.views[:-1]}, {"collusion_bound": 3}, {"epsilon": 0.1}, {"collusion": made.collusion[:2]},
        {"everybody": "nothing at all"},
    )  # fmt: skip
    for changes in untrue:
        with pytest.raises(AuditFailed, match="something else"):
            made.model_copy(update=changes).require_true(campaign(), CONSORTIUM)
    with pytest.raises(AuditFailed, match="something else"):
        made.require_true(campaign(5, 2), CONSORTIUM)


def test_after_an_attack_that_succeeded_there_is_no_statement():
    broken = PASSED.model_copy(update={"passed": False, "epsilon_proved": 3.0})
    with pytest.raises(AuditFailed, match="attack on the build succeeded"):
        SightStatement.of(campaign(), CONSORTIUM, MOMENT, broken).require_true(campaign(), CONSORTIUM)
