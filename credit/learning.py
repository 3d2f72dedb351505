"""How a model comes out of a campaign's releases. A fold: nothing but the released sums and the
campaign goes in.

So the coordinator can stop after any release and go on from the sums it kept, and whoever has the
sums can compute the model again. The order is: bins (*histogram*), coordinates (*gram*), some steps
of descent (*gradient*, or *train* when lenders train by themselves), what features say together
(*pairs*, for a GAM), honest probabilities (*calibration*), and how good it is (*evaluation*).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from credit.binning import Binning
from credit.boosting import boosted, candidates
from credit.contributions import Task
from credit.cutting import make_binning
from credit.descent import Descent, averaged, step_size
from credit.embedding import Embedding
from credit.errors import ModelError
from credit.evaluation import ScoreCells
from credit.features import FeatureSchema
from credit.grid import Grid
from credit.kinds import Kind
from credit.models import KNOTS, UNCALIBRATED, CreditModel, fold, start
from credit.monotone import monotone
from credit.pairs import Pairs
from credit.quality import Figure, ModelEvaluation, evaluate
from credit.questions import Question
from credit.remarks import RiskLevel, remarks
from credit.tasks import DESCENT, task_of
from credit.whitening import Coordinates, coordinates, leading
from privacy.mechanism import Mechanism, PlannedRelease, ReleaseKind
from privacy.moments import OFF_DIAGONAL, second_moments

Floats = NDArray[np.float64]

PRIOR_PEOPLE = 5.0
"""Weight of the belief that probabilities are right as they are."""
NEWTON_STEPS, LARGEST_COEFFICIENT, SMALLEST_STEP = 50, 10.0, 1e-9
CELL_DEVIATIONS, LEAST_SLOPE = 3.0, 0.05


@dataclass
class Learner:
    """One campaign's learning: ask :meth:`question`, sum the answers, :meth:`absorb` the sum; in
    the plan's order."""

    schema: FeatureSchema
    kind: Kind
    mechanism: Mechanism
    seed: int
    binning: Binning | None = field(default=None, init=False)
    level: RiskLevel | None = field(default=None, init=False)
    evaluation: ModelEvaluation | None = field(default=None, init=False)
    released: int = field(default=0, init=False)
    """Releases taken in so far."""
    chosen: Coordinates | None = field(default=None, init=False)
    """Coordinates of the descent, once moments were released."""
    _contributors: int = field(default=1, init=False)
    _iterates: list[Floats] = field(default_factory=list, init=False)
    _pairs: Pairs = field(default=(), init=False)
    _calibration: tuple[float, ...] = field(default=UNCALIBRATED, init=False)
    _scores: Floats | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Raises ModelError if there is no such model of these features."""
        if self.kind == "gam" and len(self.schema.features) < 2:
            raise ModelError("a gam needs two features to pair")

    @property
    def done(self) -> bool:
        return self.released == len(self.mechanism.releases)

    @property
    def embedding(self) -> Embedding:
        return Embedding(self._grid, self._bins)

    def question(self) -> Question:
        """What the next release asks of every lender."""
        if self.done:
            raise ModelError("every release of the plan has been made")
        planned = self.mechanism.releases[self.released]
        if planned.kind is ReleaseKind.HISTOGRAM:
            return Question(planned.kind)
        if planned.kind is ReleaseKind.GRAM:
            return Question(planned.kind, self._bins)
        if planned.kind in DESCENT:
            rate = self._local_rate(planned) if planned.kind is ReleaseKind.TRAIN else 0.0
            return Question(planned.kind, self._bins, self._coordinates, self._latest, rate)
        model = self.model()
        pairs = model.pairs
        if planned.kind is ReleaseKind.PAIRS and not pairs:
            pairs = candidates(model.embedding, model.parameters, planned.noise_multiplier)
        return Question(
            planned.kind,
            self._bins,
            weights=model.parameters,
            calibration=model.calibration,
            pairs=pairs,
        )

    def task(self, population: float = 1.0) -> Task:
        """The next release; whose ``population`` it is matters to a lender who trains by itself,
        not to a total."""
        return task_of(
            self.schema, self.kind, self.mechanism, self.released, self.question(), population
        )

    def absorb(self, total: NDArray[np.int64], contributors: int) -> None:
        """Take in the sum of this many lenders' contributions to the next release, in grid
        steps."""
        task = self.task()
        kind = self.mechanism.releases[self.released].kind
        vector = task.decode(total, contributors)
        noise = task.noise_std(contributors)
        if kind is ReleaseKind.HISTOGRAM:
            self.binning = make_binning(self._grid, vector, noise, self.mechanism.bins)
            self._contributors = contributors
            totals = self._grid.totals(vector)
            self.level = RiskLevel(
                *(Figure(total, noise / self._grid.totals_weight) for total in totals)
            )
        elif kind is ReleaseKind.GRAM:
            self.chosen = self._chosen(vector, noise * OFF_DIAGONAL, contributors)
        elif kind is ReleaseKind.GRADIENT:
            rate = self._rate(
                noise, sum(release.kind is kind for release in self.mechanism.releases)
            )
            self._iterates.append(self._latest - rate * vector / self._bins.population)
        elif kind is ReleaseKind.TRAIN:
            self._iterates.append(vector)
        elif kind is ReleaseKind.PAIRS:
            self._pairs = boosted(self.question().pairs, vector, noise)
        elif kind is ReleaseKind.CALIBRATION:
            self._scores = vector.reshape(2, ScoreCells.WIDTH)
            self._calibration = calibrated(self._scores, noise)
        else:
            self.evaluation = evaluate(vector, noise, self.schema, self._bins, self._trained_on)
        self.released += 1

    def model(self) -> CreditModel:
        """The model as it stands: before the descent has begun, one that says the base rate of
        everybody."""
        embedding = self.embedding
        half = averaged(len(self._iterates))
        mean = np.mean(self._iterates[-half:], axis=0) if self._iterates else self._latest
        plain = fold(self.kind, mean, self._coordinates, self._offset)
        if self.kind != "mlp":
            plain = monotone(embedding, plain)
        return CreditModel(self.kind, embedding, plain, self._calibration, self._pairs)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What should be said of the model, from released figures."""
        return remarks(self.schema, self.binning, self.level) if self.binning and self.level else ()

    @cached_property
    def _grid(self) -> Grid:
        return Grid(self.schema)

    @property
    def _bins(self) -> Binning:
        if self.binning is None:
            raise ModelError("there are no bins before the histogram")
        return self.binning

    @property
    def _coordinates(self) -> Floats:
        return np.eye(self.embedding.width) if self.chosen is None else self.chosen.matrix

    def _chosen(self, upper: Floats, noise_std: float, contributors: int) -> Coordinates:
        """Coordinates from a released triangle of second moments. Only gradients of a linear model
        are fitted to the clip: their noise is one sum's, and rows' norms tell theirs."""
        moments = second_moments(upper, self.embedding.width)
        population, base = self._bins.population, self._bins.base_rate
        if self.kind == "mlp":
            return leading(moments, noise_std, population)
        gradients = [r for r in self.mechanism.releases if r.kind is ReleaseKind.GRADIENT]
        descent = None
        if gradients:
            shared = math.sqrt(contributors / self.mechanism.honest(contributors))
            noise = gradients[0].noise_multiplier * shared
            planned = Descent(len(gradients), noise, population, base)
            descent = planned, self.mechanism.clip_norm
        own = self.embedding.own_moments
        return coordinates(moments, own, noise_std, population, descent)

    @property
    def _latest(self) -> Floats:
        return (
            self._iterates[-1]
            if self._iterates
            else start(self.kind, self._coordinates.shape[1], self.seed)
        )

    @property
    def _offset(self) -> float:
        base = self._bins.base_rate
        return math.log(base / (1 - base))

    @property
    def _trained_on(self) -> Floats | None:
        """Score counts of the training population under the model as it was calibrated."""
        if self._scores is None:
            return None
        moved = np.interp(ScoreCells.EDGES, KNOTS, self._calibration)
        below = np.cumsum(self._scores, axis=1)
        at_edges = np.stack([np.interp(ScoreCells.EDGES, moved, counts[:-1]) for counts in below])
        return np.diff(at_edges, axis=1, prepend=0.0, append=below[:, -1:])

    def _rate(self, noise_std: float, steps: int) -> float:
        """Step size from public and released figures only: no longer than curvature or noise
        allow."""
        scale = 1.0 if self.chosen is None else self.chosen.scale
        population, base = self._bins.population, self._bins.base_rate
        return step_size(noise_std / scale, population, base, steps) / scale**2

    def _local_rate(self, planned: PlannedRelease) -> float:
        """The same for one local step among several, after which the lenders' models are
        averaged."""
        rounds = sum(release.kind is planned.kind for release in self.mechanism.releases)
        one = self.mechanism.clip_norm * planned.noise_multiplier / planned.sampling_rate
        noise = one * math.sqrt(self._contributors / planned.steps)
        return self._rate(noise, rounds) / planned.steps


def calibrated(counts: Floats, noise_std: float) -> tuple[float, ...]:
    """Honest log-odds at each of ``KNOTS``, from (2, cells) noisy counts of scores among good and
    bad.

    A parabola in the logit, where Platt 1999 has a line: clipping bends probabilities more than it
    shifts them. It is fitted by Newton's method on the binomial likelihood of the cells that stand
    out of the noise, with a prior for no change, and made to rise where it would fall, so that the
    order of people stays as it is. A cell counts by the share of chance in the variance of its bad
    people, chance and noise: few bad in much noise say nothing.
    """
    people = counts.sum(axis=0)
    seen = people > CELL_DEVIATIONS * math.sqrt(2) * noise_std
    scores = ScoreCells.CENTRES[seen]
    people = people[seen]
    bad = counts[1][seen]
    believed = expit(scores)
    chance = people * believed * (1 - believed)
    weight = chance / (chance + noise_std**2 * (believed**2 + (1 - believed) ** 2))
    people, bad = weight * people, weight * bad
    if not people.sum() > 0:
        return UNCALIBRATED
    centre = float(np.average(scores, weights=people))

    def powers(at: Floats) -> Floats:
        return np.stack([np.ones_like(at), at - centre, (at - centre) ** 2])

    inputs = powers(scores)
    unchanged = np.array([centre, 1.0, 0.0])

    def loss(at: Floats) -> float:
        logit = at @ inputs
        prior = PRIOR_PEOPLE / 2 * float(((at - unchanged) ** 2).sum())
        return float((people * np.logaddexp(0, logit) - bad * logit).sum()) + prior

    found = unchanged
    for _ in range(NEWTON_STEPS):
        rate = expit(found @ inputs)
        gradient = inputs @ (people * rate - bad) + PRIOR_PEOPLE * (found - unchanged)
        curvature = (inputs * (people * rate * (1 - rate))) @ inputs.T + PRIOR_PEOPLE * np.eye(3)
        step = np.linalg.solve(curvature, gradient)
        while loss(found - step) > loss(found) and np.abs(step).max() > SMALLEST_STEP:
            step = step / 2
        found = found - step
    if (
        seen.sum() < len(found)
        or not np.isfinite(found).all()
        or np.abs(found).max() > LARGEST_COEFFICIENT
    ):
        return UNCALIBRATED
    parabola = powers(KNOTS).T @ found
    first, last = np.searchsorted(KNOTS, [scores.min(), scores.max()])
    rises = np.maximum(np.diff(parabola), LEAST_SLOPE * np.diff(KNOTS))
    # nobody was seen there
    rises[: max(first - 1, 0)], rises[last:] = (
        np.diff(KNOTS)[0],
        np.diff(KNOTS)[0],
    )
    middle = int(np.argmin(np.abs(KNOTS - centre)))
    values = parabola[middle] + np.concatenate([[0.0], np.cumsum(rises)]) - np.sum(rises[:middle])
    return tuple(values.tolist())
