"""An attack on a whole campaign: canaries among the people, and everything that a coordinator sees
as evidence.

The attacker knows every ordinary person's row, every canary's row and all that was released, and
lacks only the coins that decided which canaries took part: the adversary of the definition of
differential privacy. From each released sum it takes off what it knows and has left the canaries
who took part, plus noise. The best linear guess of the coins from all releases together ranks the
canaries; :mod:`privacy.auditing` turns right guesses into a bound on epsilon.

The attacker also compares the noise it sees with the noise that was promised, release by release,
which finds missing noise long before epsilon is proved wrong; and it measures the canaries' largest
share against the sensitivity, which finds a clip that does not clip.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from credit.contributions import SumTask
from credit.features import FeatureSchema
from credit.learning import Learner
from privacy.accounting import epsilon_of
from privacy.auditing import NoiseCheck, check_noise, coins, epsilon_bound, guess
from privacy.mechanism import Audience

Floats = NDArray[np.float64]

GUESS_SHARE = 0.7
"""Guesses per canary; the others are too close to call."""
NOISE_CONFIDENCE = 0.99999
SHARE_SLACK = 1e-6


@dataclass(frozen=True)
class AuditReport:
    """What the attack found. ``passed`` unless something promised was disproved."""

    epsilon_promised: float
    epsilon_proved: float
    """Lower bound: with ``confidence`` the build is not better than this."""
    delta: float
    confidence: float
    canaries: int
    guesses: int
    right: int
    largest_share: float
    """Largest contribution of a canary to any release, per unit of sensitivity."""
    stray: float
    """What reading the attacked lender's rows together adds to reading them one by one, per unit of
    sensitivity: 0."""
    noise: tuple[NoiseCheck, ...]

    @property
    def findings(self) -> tuple[str, ...]:
        found = []
        if self.epsilon_proved > self.epsilon_promised:
            found.append(
                f"epsilon is at least {self.epsilon_proved:.2f}, {self.epsilon_promised:.2f} was "
                "promised"
            )
        if self.largest_share > 1 + SHARE_SLACK:
            found.append(
                f"one person contributed {self.largest_share:.2f} times the sensitivity: the clip "
                "does not clip"
            )
        if self.stray > SHARE_SLACK:
            found.append(
                f"rows that are read together change one another by {self.stray:.2f} times the "
                "sensitivity"
            )
        found += [
            (
                f"release {check.release} ({check.kind}) carries {check.ratio:.3f} of the noise "
                "that was promised"
            )
            for check in self.noise
            if check.too_small
        ]
        return tuple(found)

    @property
    def passed(self) -> bool:
        return not self.findings


def canary_people(schema: FeatureSchema, count: int, seed: int) -> pd.DataFrame:
    """People as unlike everybody, and each other, as the schema lets them be: random extremes,
    random outcomes."""
    rng = np.random.default_rng(seed)
    columns: dict[str, object] = {schema.target: rng.integers(0, 2, count)}
    for feature in schema.features:
        if feature.kind == "category":
            columns[feature.name] = rng.choice(feature.values, count)
            continue
        low = -1e6 if feature.low is None else feature.low
        high = 1e6 if feature.high is None else feature.high
        spread = np.sign(rng.normal(size=count)) * 10 ** rng.uniform(-1, 7, count)
        values = np.clip(
            np.where(rng.random(count) < 0.5, spread, rng.integers(0, 20, count)), low, high
        )
        values = np.rint(values) if feature.kind == "integer" else values
        columns[feature.name] = np.where(rng.random(count) < 0.1, np.nan, values)
    return pd.DataFrame(columns)


@dataclass(frozen=True)
class Attack:
    """How a campaign is attacked."""

    canaries: int = 100
    confidence: float = 0.95
    """Of the lower bound on epsilon."""
    dropped: int = 0
    """Lenders who drop out before the first release, within what the threshold allows; the rest
    must carry the whole noise."""
    through: Callable[[pd.DataFrame], pd.DataFrame] = lambda table: table
    """What becomes of a lender's rows on their way to the sum: written where a lender keeps them
    and read as its node does. The attacker knows each person's row by itself; if one changed
    another there, what is left after it has taken off what it knows would not be noise."""


def audit(
    learner: Learner,
    tables: Sequence[pd.DataFrame],
    attack: Attack,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> AuditReport:
    """Run the learner's campaign with canaries in the first lender's table, attack it, report.

    Args:
        learner: of a distributed campaign, before its first release; its seed fixes the canaries,
            never coins or noise.
        tables: one per lender.
    """
    mechanism, canaries = learner.mechanism, attack.canaries
    inside = coins(canaries)
    people = canary_people(learner.schema, canaries, learner.seed)
    used = list(tables[: len(tables) - attack.dropped])
    directions: list[Floats] = []
    evidence: list[Floats] = []
    checks: list[NoiseCheck] = []
    largest = stray = 0.0
    planned = [r for r in mechanism.releases if r.audience is Audience.TRAINING]
    for number, release in enumerate(planned):
        task = learner.task()
        if not isinstance(task, SumTask):
            raise TypeError("only sums over all lenders can be attacked this way")
        by_themselves = pd.concat([used[0], people[inside]], ignore_index=True)
        with_canaries = attack.through(by_themselves)
        parts = [task.contribution(table, len(used)) for table in (with_canaries, *used[1:])]
        total = np.asarray(np.sum(parts, axis=0), dtype=np.int64)
        form = task.form(len(used))
        known = np.sum([task.exact(table).astype(float) for table in used], axis=0)
        alone = [task.exact(people.iloc[[i]]).astype(float) for i in range(canaries)]
        shares = np.stack(alone) * form.unit
        largest = max(largest, float(np.linalg.norm(shares, axis=1).max()) / form.sensitivity)
        strayed = (task.exact(with_canaries) - task.exact(by_themselves)).astype(float) * form.unit
        stray = max(stray, float(np.linalg.norm(strayed)) / form.sensitivity)
        std = form.noise_multiplier * form.sensitivity
        left = form.decode(total) - known * form.unit
        checks.append(
            check_noise(
                number, release.kind, left - shares[inside].sum(axis=0), std, NOISE_CONFIDENCE
            )
        )
        measured = std * checks[-1].ratio
        directions.append(np.asarray(shares / measured, dtype=np.float64))
        evidence.append(np.asarray((left - shares.sum(axis=0) / 2) / measured, dtype=np.float64))
        learner.absorb(total, len(used))
        progress(number + 1, len(planned))
    scores = _scores(directions, evidence)
    guesses = guess(scores, 2 * math.floor(GUESS_SHARE * canaries / 2))
    right = int(((guesses == 1) & inside).sum() + ((guesses == -1) & ~inside).sum())
    made = int(np.abs(guesses).sum())
    return AuditReport(
        epsilon_promised=epsilon_of([release.charge for release in planned], mechanism.delta),
        epsilon_proved=epsilon_bound(canaries, made, right, mechanism.delta, attack.confidence),
        delta=mechanism.delta,
        confidence=attack.confidence,
        canaries=canaries,
        guesses=made,
        right=right,
        largest_share=largest,
        stray=stray,
        noise=tuple(checks),
    )


def _scores(directions: Sequence[Floats], evidence: Sequence[Floats]) -> Floats:
    """Best linear estimate of each canary's coin (minus a half) from all releases, other canaries'
    coins unknown."""
    products = np.sum([part @ part.T for part in directions], axis=0)
    seen = np.sum([part @ found for part, found in zip(directions, evidence, strict=True)], axis=0)
    return np.asarray(np.linalg.solve(products / 4 + np.eye(len(seen)), seen))
