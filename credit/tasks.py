"""What one release asks of a lender's rows, kind by kind. Everything but the rows is public and
checked beforehand.

Each task knows the form of its sum (size, sensitivity, unit), which the coordinator computes too,
and how to form the exact contribution of a table of people. Noise shares are added by
:class:`privacy.sums.NoisySum`, masks by the caller.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch

from credit.contributions import Floats, Steps, SumTask, Tables, Task, each
from credit.embedding import Embedding
from credit.errors import ModelError
from credit.evaluation import GROUP_WEIGHT, Segments, broad, check_edges, count_cells, count_scores
from credit.features import FeatureSchema
from credit.grid import Grid
from credit.kinds import Kind
from credit.left_out import Influence
from credit.models import CreditModel, check_calibration, check_network, flat, layers, network, size
from credit.pairs import PAIR_UNIT, check_pairs, residual_sums, sensitivity, sums_size
from credit.questions import Question
from credit.watched import IntakeTask
from credit.whitening import row_clip
from privacy.clipping import UNIT, Records, clipped_gradient_sum, device
from privacy.errors import PrivacyError
from privacy.gradients import GRADIENT_UNIT, ClippedGradients
from privacy.mechanism import WATCHING, Mechanism, PlannedRelease, ReleaseKind
from privacy.moments import MOMENT_UNIT, ClippedMoments
from privacy.onehot import Exact
from privacy.sums import fixed_point, from_fixed_point

LARGEST_ENTRY = 1e4
"""Of a whitening, and the largest learning rate: beyond this no honest coordinator goes."""
WEIGHT_POWER = 1.5
"""Lenders who train by themselves count by the noisy number of their people to this power: local
noise falls with the square of the count, so larger lenders deserve slightly more than their
share."""
TYPICAL_POPULATION = 1000.0
DESCENT = (ReleaseKind.GRADIENT, ReleaseKind.TRAIN)


@contextmanager
def _asked_too_much() -> Iterator[None]:
    """What cannot be summed exactly, whoever is there, is a question that does not fit."""
    try:
        yield
    except PrivacyError as error:
        raise ModelError(f"the question cannot be answered: {error}") from error


@dataclass(frozen=True)
class HistogramTask(SumTask):
    @cached_property
    def grid(self) -> Grid:
        return Grid(self.schema)

    @property
    def shape(self) -> tuple[int, float, float]:
        return self.grid.size, self.grid.sensitivity, 1.0

    def count(self, table: pd.DataFrame) -> Steps:
        return self.grid.histogram(table, self.labels(table))


@dataclass(frozen=True)
class GramTask(SumTask):
    embedding: Embedding

    @property
    def clip(self) -> float:
        return row_clip(self.embedding.mean_square)

    @cached_property
    def moments(self) -> ClippedMoments:
        return ClippedMoments.of(self.embedding.tables, self.clip)

    @property
    def shape(self) -> tuple[int, float, float]:
        width = self.embedding.width
        return width * (width + 1) // 2, self.clip**2, MOMENT_UNIT

    def check(self) -> None:
        """As of :class:`LinearGradientTask`."""
        with _asked_too_much():
            _ = self.moments

    def prepare(self) -> None:
        self.moments.prepare()

    @property
    def counters(self) -> int:
        return self.moments.counters

    def count(self, table: pd.DataFrame) -> Steps:
        return self.moments.counts(self.embedding.bins(table))

    def coordinates(self, counts: Steps) -> Exact:
        return self.moments.total(counts)


@dataclass(frozen=True)
class GradientTask(SumTask):
    """One step of descent; subclasses know how the model reads people."""

    embedding: Embedding
    model: Kind
    whitening: Floats
    weights: Floats
    offset: float

    def decode(self, total: Steps, contributors: int) -> Floats:
        return super().decode(total, contributors) * self.mechanism.clip_norm

    def noise_std(self, contributors: int) -> float:
        return super().noise_std(contributors) * self.mechanism.clip_norm


@dataclass(frozen=True)
class LinearGradientTask(GradientTask):
    """Of a model that is linear on bins: look-ups instead of products."""

    @cached_property
    def gradients(self) -> ClippedGradients:
        parts, constant = self.embedding.parts(self.whitening)
        return ClippedGradients.of(
            parts, constant, self.weights, self.offset, self.mechanism.clip_norm
        )

    def check(self) -> None:
        """Raises ModelError where the whitening and the weights are too large to be summed
        exactly."""
        with _asked_too_much():
            _ = self.gradients

    def prepare(self) -> None:
        self.gradients.prepare()

    @property
    def shape(self) -> tuple[int, float, float]:
        return size(self.model, self.whitening.shape[1]), 1.0, GRADIENT_UNIT

    @property
    def counters(self) -> int:
        return self.gradients.counters

    def count(self, table: pd.DataFrame) -> Steps:
        return self.gradients.counts(self.embedding.bins(table), self.labels(table))

    def coordinates(self, counts: Steps) -> Exact:
        return self.gradients.total(counts)


@dataclass(frozen=True)
class NetworkGradientTask(GradientTask):
    """Of a network with hidden layers, in closed form."""

    @property
    def shape(self) -> tuple[int, float, float]:
        return size(self.model, self.whitening.shape[1]), 1.0, UNIT

    def count(self, table: pd.DataFrame) -> Steps:
        where = device()
        rows = self.embedding.projected(self.embedding.bins(table), self.whitening)
        records = Records.of(
            torch.from_numpy(rows).to(where), torch.tensor(self.labels(table), device=where)
        )
        net = layers(self.model, self.whitening.shape[1], self.weights, where)
        return clipped_gradient_sum(net, records, self.mechanism.clip_norm, self.offset)


@dataclass(frozen=True)
class PairsTask(SumTask):
    scored: CreditModel

    @property
    def shape(self) -> tuple[int, float, float]:
        return sums_size(self.scored.pairs), sensitivity(self.scored.pairs), PAIR_UNIT

    def count(self, table: pd.DataFrame) -> Steps:
        bins = self.scored.embedding.bins(table)
        return residual_sums(
            self.scored.pairs, bins, self.scored.raw_logit(table), self.labels(table)
        )


@dataclass(frozen=True)
class CalibrationTask(SumTask):
    scored: CreditModel
    edges: Floats
    finer: Floats
    influence: Influence | None

    @property
    def shape(self) -> tuple[int, float, float]:
        size = 2 * (len(self.edges) + 1) + len(self.finer) + 1
        return size, math.hypot(GROUP_WEIGHT, 1), 1.0

    def count(self, table: pd.DataFrame) -> Steps:
        logits, labels = self.scored.raw_logit(table), self.labels(table)
        if self.influence is not None:
            embedding = self.scored.embedding
            rows = embedding.projected(embedding.bins(table), self.influence.matrix)
            logits = self.influence.without(rows, logits, labels)
        groups = GROUP_WEIGHT * count_scores(logits, labels, self.edges)
        return np.concatenate([groups, count_cells(logits, self.finer)])


@dataclass(frozen=True)
class EvaluationTask(SumTask):
    scored: CreditModel
    edges: Floats

    @cached_property
    def segments(self) -> Segments:
        return Segments.of(self.schema)

    @cached_property
    def broad(self) -> list[Steps]:
        return [broad(bins) for bins in self.scored.embedding.binning.features]

    @property
    def shape(self) -> tuple[int, float, float]:
        scores = 2 * (len(self.edges) + 1) * (1 + self.segments.count)
        bins = sum(int(found.max()) + 1 for found in self.broad)
        return scores + bins, self.segments.sensitivity, 1.0

    def count(self, table: pd.DataFrame) -> Steps:
        logits, labels = self.scored.raw_logit(table), self.labels(table)
        everybody, segment = self.segments.weights
        counted = [everybody * count_scores(logits, labels, self.edges)]
        for rows in self.segments.rows(table):
            counted.append(segment * count_scores(logits[rows], labels[rows], self.edges))
        bins = self.scored.embedding.bins(table)
        for j, found in enumerate(self.broad):
            counted.append(np.bincount(found[bins[:, j]], minlength=int(found.max()) + 1))
        return np.concatenate(counted).astype(np.int64)


@dataclass(frozen=True)
class TrainTask:
    """DP-SGD inside one lender, from the shared model. What leaves is private before it is added to
    anything.

    Unlike a sum it needs everybody again and again in random order, so all people's inputs are in
    memory at once: eight bytes for each of the whitening's directions and each person. Tables are
    still read one at a time.
    """

    planned: PlannedRelease
    mechanism: Mechanism
    schema: FeatureSchema
    embedding: Embedding
    model: Kind
    whitening: Floats
    weights: Floats
    offset: float
    learning_rate: float
    population: float
    """This lender's, as it released it with noise."""

    @property
    def size(self) -> int:
        return len(self.weights) + 1

    def contribution(self, tables: Tables, contributors: int) -> Steps:
        """The locally trained model times this lender's weight, and the weight."""
        # Opacus takes seconds; a node has it loaded at its start
        from privacy.dpsgd import DpSgd, train

        inputs = [np.zeros((0, self.whitening.shape[1]))]
        outcomes = [np.zeros(0, dtype=np.float32)]
        for table in each(tables):
            inputs.append(self.embedding.projected(self.embedding.bins(table), self.whitening))
            outcomes.append(table[self.schema.target].to_numpy(dtype=np.float32))
        rows, labels = (
            torch.from_numpy(np.concatenate(inputs)),
            torch.from_numpy(np.concatenate(outcomes)),
        )
        del inputs, outcomes
        net = network(self.model, self.whitening.shape[1], self.weights, self.offset)
        settings = DpSgd(
            clip_norm=self.mechanism.clip_norm,
            noise_multiplier=self.planned.noise_multiplier,
            sampling_rate=self.planned.sampling_rate,
            steps=self.planned.steps,
            learning_rate=self.learning_rate,
        )
        train(net, rows, labels, settings, self.population)
        weight = (self.population / TYPICAL_POPULATION) ** WEIGHT_POWER
        return fixed_point(np.append(weight * flat(net), weight), contributors)

    def decode(self, total: Steps, contributors: int) -> Floats:
        """The weighted mean of the lenders' models."""
        sums = from_fixed_point(total)
        if not sums[-1] > 0:
            raise ModelError("the lenders' weights do not add up to anything")
        return np.asarray(sums[:-1] / sums[-1])

    def noise_std(self, contributors: int) -> float:
        return 0.0


SCORING = (ReleaseKind.PAIRS, ReleaseKind.CALIBRATION, ReleaseKind.EVALUATION, *WATCHING)
"""What asks for the scores of a model."""


def task_of(
    schema: FeatureSchema,
    model: Kind,
    mechanism: Mechanism,
    release: int,
    asked: Question,
    population: float | None = None,
) -> Task:
    """The task of a release, its parameters found sound before any row is read.

    Raises:
        ModelError, FeatureError: the question does not fit the campaign; neither depends on data.
    """
    planned = mechanism.releases[release]
    if asked.kind is not planned.kind:
        raise ModelError(f"release {release} is a {planned.kind}, not a {asked.kind}")
    if planned.kind is ReleaseKind.HISTOGRAM:
        return HistogramTask(planned, mechanism, schema)
    if asked.binning is None:
        raise ModelError(f"release {release} comes without a binning")
    embedding = Embedding(Grid(schema), asked.binning)
    width = embedding.width
    base = asked.binning.base_rate
    if planned.kind is ReleaseKind.GRAM:
        gram = GramTask(planned, mechanism, schema, embedding)
        gram.check()
        return gram
    if planned.kind in DESCENT:
        shaped = (
            asked.whitening.ndim == 2
            and len(asked.whitening) == width
            and 1 <= asked.whitening.shape[1] <= width
        )
        if not shaped or not (np.abs(asked.whitening) <= LARGEST_ENTRY).all():
            raise ModelError(
                f"the whitening is not a matrix of {width} rows within {LARGEST_ENTRY:g}"
            )
    inputs = asked.whitening.shape[1] if planned.kind in DESCENT else width
    check_network(model, inputs, asked.weights)
    if planned.kind in SCORING:
        check_calibration(asked.calibration)
        check_pairs(asked.pairs, embedding)
        if (planned.kind is ReleaseKind.PAIRS) > bool(asked.pairs) or bool(asked.pairs) > (
            model == "gam"
        ):
            raise ModelError(
                f"release {release} of a {model} does not come with {len(asked.pairs)} pairs of "
                "features"
            )
        scored = CreditModel(model, embedding, asked.weights, asked.calibration, asked.pairs)
        if planned.kind is ReleaseKind.PAIRS:
            return PairsTask(planned, mechanism, schema, scored)
        check_edges(asked.edges)
        if planned.kind is ReleaseKind.INTAKE:
            return IntakeTask(planned, mechanism, schema, scored, asked.edges)
        if planned.kind in (ReleaseKind.EVALUATION, ReleaseKind.OUTCOMES):
            return EvaluationTask(planned, mechanism, schema, scored, asked.edges)
        influence = None
        if asked.influence.size or asked.whitening.size:
            influence = Influence(asked.whitening, asked.influence, mechanism.clip_norm)
            influence.check(width)
        check_edges(asked.finer)
        return CalibrationTask(
            planned, mechanism, schema, scored, asked.edges, asked.finer, influence
        )
    offset = math.log(base / (1 - base))
    place = (embedding, model, asked.whitening, asked.weights, offset)
    if planned.kind is ReleaseKind.GRADIENT and model == "mlp":
        return NetworkGradientTask(planned, mechanism, schema, *place)
    if planned.kind is ReleaseKind.GRADIENT:
        linear = LinearGradientTask(planned, mechanism, schema, *place)
        linear.check()
        return linear
    if not 0 < asked.learning_rate <= LARGEST_ENTRY or population is None:
        raise ModelError(
            "a lender trains at a positive learning rate, after it took part in the histogram"
        )
    return TrainTask(planned, mechanism, schema, *place, asked.learning_rate, population)
