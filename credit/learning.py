"""How a model comes out of a campaign's releases. A fold: nothing but the released sums and the
campaign goes in.

So the coordinator can stop after any release and go on from the sums it kept, and whoever has the
sums can compute the model again. The order is: bins (*histogram*), coordinates (*gram*), some steps
of descent (*gradient*, or *train* when lenders train by themselves), what features say together
(*pairs*, for a GAM), honest probabilities (*calibration*), and how good it is (*evaluation*).

A *warm start* takes bins, coordinates and first weights from an earlier campaign's model
(:class:`Beginning`): its histogram tells people and base rate only, and no moments are asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from credit.binning import Binning
from credit.boosting import boosted, candidates
from credit.calibrating import calibrated
from credit.contributions import Task
from credit.cutting import make_binning
from credit.descent import Descent, averaged, step_size
from credit.embedding import Embedding
from credit.errors import ModelError
from credit.evaluation import GROUP_WEIGHT
from credit.features import FeatureSchema
from credit.grid import Grid
from credit.groups import FineCounts, Shape, Spread, cut, finer, groups_for
from credit.influence import Descended, influence_of, spectrum
from credit.kinds import Kind
from credit.left_out import Influence
from credit.models import KNOTS, UNCALIBRATED, CreditModel, fold, start
from credit.monotone import monotone
from credit.pairs import Pairs
from credit.quality import Counts, Figure, Measured, ModelEvaluation, TrainedOn, evaluate
from credit.questions import Question
from credit.remarks import RiskLevel, remarks
from credit.tasks import DESCENT, task_of
from credit.whitening import Coordinates, coordinates, leading
from privacy.mechanism import Mechanism, PlannedRelease, ReleaseKind
from privacy.moments import OFF_DIAGONAL, second_moments

Floats = NDArray[np.float64]

PREDICTED = 1.0
"""Standard deviation of the log-odds of a model whose inputs' moments do not tell it."""


@dataclass(frozen=True)
class Beginning:
    """Where a warm start begins: what an earlier campaign released, which costs nobody anything."""

    schema: FeatureSchema
    kind: Kind
    binning: Binning
    coordinates: Coordinates
    weights: Floats
    """In these coordinates: the mean of the last iterates."""

    @classmethod
    def of(cls, learner: Learner) -> Beginning:
        """Of a campaign's learning that has ended; raises ModelError if it has not."""
        if not learner.done or learner.binning is None or learner.chosen is None:
            raise ModelError("a warm start is from a released model, in its coordinates")
        place = (learner.binning, learner.chosen, learner.weights)
        return cls(learner.schema, learner.kind, *place)


@dataclass
class Learner:
    """One campaign's learning: ask :meth:`question`, sum the answers, :meth:`absorb` the sum; in
    the plan's order."""

    schema: FeatureSchema
    kind: Kind
    mechanism: Mechanism
    seed: int
    begins: Beginning | None = None
    """None where it starts from nothing."""
    binning: Binning | None = field(default=None, init=False)
    level: RiskLevel | None = field(default=None, init=False)
    evaluation: ModelEvaluation | None = field(default=None, init=False)
    measured: Measured | None = field(default=None, init=False)
    """The counts that the evaluation's figures of everybody are of."""
    released: int = field(default=0, init=False)
    """Releases taken in so far."""
    chosen: Coordinates | None = field(default=None, init=False)
    """Coordinates of the descent, once moments were released."""
    _contributors: int = field(default=1, init=False)
    _iterates: list[Floats] = field(default_factory=list, init=False)
    _pairs: Pairs = field(default=(), init=False)
    _calibration: tuple[float, ...] = field(default=UNCALIBRATED, init=False)
    _step: float = field(default=0.0, init=False)
    _scores: tuple[Counts, Shape] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Raises ModelError if there is no such model of these features."""
        if self.kind == "gam" and len(self.schema.features) < 2:
            raise ModelError("a gam needs two features to pair")
        if self.begins is None:
            return
        if (self.begins.kind, self.begins.schema.features) != (self.kind, self.schema.features):
            raise ModelError("a warm start is from a model of the same kind on the same features")
        if any(planned.kind is ReleaseKind.GRAM for planned in self.mechanism.releases):
            raise ModelError("a warm start has its coordinates already: its plan asks for none")

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
        asked = Question(
            planned.kind,
            self._bins,
            weights=model.parameters,
            calibration=model.calibration,
            pairs=pairs,
        )
        if planned.kind is ReleaseKind.PAIRS:
            return asked
        asked = replace(asked, edges=self.edges)
        if planned.kind is ReleaseKind.EVALUATION:
            return asked
        asked = replace(asked, finer=finer(self._spread, self.edges))
        influence = self._influence
        if influence is None:
            return asked
        return replace(asked, whitening=influence.matrix, influence=influence.diagonal)

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
            if self.begins is not None:
                now = self.binning
                self.binning = replace(
                    self.begins.binning, population=now.population, base_rate=now.base_rate
                )
                self.chosen = self.begins.coordinates
            self._contributors = contributors
            totals = self._grid.totals(vector)
            self.level = RiskLevel(
                *(Figure(total, noise / self._grid.totals_weight) for total in totals)
            )
        elif kind is ReleaseKind.GRAM:
            self.chosen = self._chosen(vector, noise * OFF_DIAGONAL, contributors)
        elif kind is ReleaseKind.GRADIENT:
            self._step = self._rate(
                noise, sum(release.kind is kind for release in self.mechanism.releases)
            )
            self._iterates.append(self._latest - self._step * vector / self._bins.population)
        elif kind is ReleaseKind.TRAIN:
            self._iterates.append(vector)
        elif kind is ReleaseKind.PAIRS:
            self._pairs = boosted(self.question().pairs, vector, noise)
        elif kind is ReleaseKind.CALIBRATION:
            self._take_scores(vector, noise)
        else:
            self.evaluation, self.measured = evaluate(
                vector, noise, self.schema, self._bins, self.trained_on
            )
        self.released += 1

    def _take_scores(self, vector: Floats, noise: float) -> None:
        """Counts of scores of people who were trained on, and what they are worth."""
        edges = self.edges
        groups, cells = np.split(vector, [2 * (len(edges) + 1)])
        counts = Counts(groups.reshape(2, -1) / GROUP_WEIGHT, noise / GROUP_WEIGHT)
        fine = FineCounts(cells, finer(self._spread, edges), noise)
        shape = Shape.of(counts.people.sum(axis=0), edges, fine)
        self._scores = counts, shape
        self._calibration = calibrated(counts, shape)

    def model(self) -> CreditModel:
        """The model as it stands: before the descent has begun, one that says the base rate of
        everybody."""
        embedding = self.embedding
        plain = fold(self.kind, self.weights, self._coordinates, self._offset)
        if self.kind != "mlp":
            plain = monotone(embedding, plain)
        return CreditModel(self.kind, embedding, plain, self._calibration, self._pairs)

    @property
    def weights(self) -> Floats:
        """(parameters,) in the coordinates of the descent: the mean of the last iterates."""
        if not self._iterates:
            return self._latest
        last = averaged(len(self._iterates))
        return np.asarray(np.mean(self._iterates[-last:], axis=0))

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
        if self._iterates:
            return self._iterates[-1]
        if self.begins is not None:
            return self.begins.weights
        return start(self.kind, self._coordinates.shape[1], self.seed)

    @property
    def _offset(self) -> float:
        base = self._bins.base_rate
        return math.log(base / (1 - base))

    @property
    def _spread(self) -> Spread:
        """Of the log-odds among people, as second moments tell it of a linear model."""
        if self.kind == "mlp" or self.chosen is None:
            return Spread(self._offset, PREDICTED)
        plain = replace(self.model(), pairs=()).parameters
        vectors, values = spectrum(self.chosen)
        along = vectors[:-1].T @ plain[:-1]
        return Spread(float(plain[-1]), math.sqrt(float(values @ along**2)))

    @property
    def edges(self) -> Floats:
        """Between the groups in which scores are counted, from the end of the descent on."""
        counted = next(r for r in self.mechanism.releases if r.kind is ReleaseKind.CALIBRATION)
        honest = self.mechanism.honest(self._contributors)
        noise = counted.noise_multiplier * math.sqrt(self._contributors / honest)
        base = self._bins.base_rate
        groups = groups_for(base * self._bins.population, noise)
        return cut(self._spread, base, groups)

    @property
    def _influence(self) -> Influence | None:
        """Of one person on a scorecard that came of gradients; other models tell none."""
        if self.kind != "scorecard" or self.chosen is None or not self._step:
            return None
        made = Descended(
            self._step, len(self._iterates), self._bins.population, self.mechanism.clip_norm
        )
        return influence_of(self.chosen, made, self._spread)

    @property
    def trained_on(self) -> TrainedOn:
        """What the calibration told; raises ModelError before it."""
        if self._scores is None:
            raise ModelError("an evaluation comes after the calibration of what it evaluates")
        return TrainedOn(
            *self._scores,
            (KNOTS, np.array(self._calibration)),
            self._influence is not None,
            self.mechanism.hold_out,
        )

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
