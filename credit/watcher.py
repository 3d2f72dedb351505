"""How the figures that watch a released model come out of one release. A fold, as learning is
(:mod:`credit.learning`): nothing but the released sum, the campaign and what the model's own
campaign had released goes in.

What is compared later is put beside what was counted: the shares of the people who were trained on,
by bin and by group of scores, and the probabilities that the model gives each group.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from credit.contributions import Task
from credit.errors import ModelError
from credit.evaluation import Segments
from credit.features import FeatureSchema
from credit.learning import Learner
from credit.models import CreditModel
from credit.quality import ModelEvaluation, TrainedOn, evaluate
from credit.questions import Question
from credit.tasks import task_of
from credit.watched import IntakeLayout
from privacy.mechanism import Mechanism, ReleaseKind

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Yardstick:
    """A released model, the groups in which its scores are counted, and how they were when it was
    made."""

    model: CreditModel
    edges: Floats
    trained: TrainedOn
    base_rate: float

    @classmethod
    def of(cls, learner: Learner) -> Yardstick:
        """Of a campaign's learning that has ended; raises ModelError if it has not."""
        if not learner.done:
            raise ModelError("a model is watched once it was released")
        trained = replace(learner.trained_on, left_out=False)
        return cls(learner.model(), learner.edges, trained, learner.embedding.binning.base_rate)

    @property
    def scores(self) -> Floats:
        """(groups,) shares of the people who were trained on."""
        people = np.maximum(self.trained.counts.people.sum(axis=0), 0.0)
        return np.asarray(people / max(float(people.sum()), 1.0))


@dataclass
class Watcher:
    """One watching campaign, used as a :class:`credit.learning.Learner` is."""

    schema: FeatureSchema
    mechanism: Mechanism
    yardstick: Yardstick
    released: int = field(default=0, init=False)
    _vector: Floats = field(default_factory=lambda: np.zeros(0), init=False)
    _noise: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        """Raises ModelError if the model is on other features."""
        known = self.yardstick.model.embedding.grid.schema
        if self.schema.features != known.features:
            raise ModelError("the campaign's features are not those of the model that it watches")

    @property
    def done(self) -> bool:
        return self.released == len(self.mechanism.releases)

    @property
    def kind(self) -> ReleaseKind:
        return self.mechanism.releases[0].kind

    def question(self) -> Question:
        """What is asked of every lender."""
        if self.done:
            raise ModelError("every release of the plan has been made")
        model = self.yardstick.model
        return Question(
            self.kind,
            model.embedding.binning,
            weights=model.parameters,
            calibration=model.calibration,
            pairs=model.pairs,
            edges=self.yardstick.edges,
        )

    def task(self) -> Task:
        asked, kind = self.question(), self.yardstick.model.kind
        return task_of(self.schema, kind, self.mechanism, self.released, asked)

    def absorb(self, total: NDArray[np.int64], contributors: int) -> None:
        """Take in the sum of this many lenders' contributions, in grid steps."""
        task = self.task()
        self._vector, self._noise = task.decode(total, contributors), task.noise_std(contributors)
        self.released += 1

    @cached_property
    def layout(self) -> IntakeLayout:
        """Of an intake."""
        return IntakeLayout.of(self.yardstick.model, self.yardstick.edges, self.schema)

    @property
    def evaluation(self) -> ModelEvaluation | None:
        """Of outcomes: how good the model was of these people."""
        if self.kind is not ReleaseKind.OUTCOMES or not self.done:
            return None
        binning = self.yardstick.model.embedding.binning
        found, _ = evaluate(self._vector, self._noise, self.schema, binning, self.yardstick.trained)
        return found

    @property
    def by_group(self) -> Floats:
        """(2, groups) everybody counted: declined and approved, or good and bad."""
        groups = len(self.yardstick.edges) + 1
        weight = self._weight
        return np.asarray(self._vector[: 2 * groups].reshape(2, groups) / weight)

    @property
    def _weight(self) -> int:
        """How many times a person is counted in :attr:`by_group`."""
        return 1 if self.kind is ReleaseKind.INTAKE else Segments.of(self.schema).weights[0]

    @property
    def people(self) -> float:
        return float(self.by_group.sum())

    @property
    def rate(self) -> float:
        """The share of those approved, or bad."""
        rate = float(self.by_group[1].sum()) / max(self.people, 1.0)
        return float(np.clip(rate, 0.0, 1.0))

    def figures(self) -> dict[str, Any]:
        """What was released, with the noise in each count, and what it is compared with.

        Returns:
            JSON data. ``groups`` has ``edges`` (log-odds), ``counts`` (2, groups), ``noise`` of
            each count, ``expected`` shares and ``probability`` of bad of each group; an intake has
            ``segments`` and ``features`` (counts, with ``noise``), each with what is expected.
        """
        yardstick, trained = self.yardstick, self.yardstick.trained
        found: dict[str, Any] = {
            "kind": self.kind.value,
            "groups": {
                "edges": yardstick.edges.tolist(),
                "counts": self.by_group.tolist(),
                "noise": self._noise / self._weight,
                "expected": yardstick.scores.tolist(),
                "probability": trained.probability.mean(axis=1).tolist(),
            },
            "reference": {
                "people": yardstick.model.embedding.binning.population,
                "bad_rate": yardstick.base_rate,
            },
        }
        if self.kind is ReleaseKind.OUTCOMES:
            evaluation = self.evaluation
            return found | {"evaluation": None if evaluation is None else asdict(evaluation)}
        _, by_segment, features = self.layout.split(self._vector)
        binning = yardstick.model.embedding.binning
        named = zip(self.schema.names, features, binning.features, strict=True)
        return found | {
            "noise": self._noise,
            "segments": {
                name: counts.tolist()
                for name, counts in zip(self.layout.segments, by_segment, strict=True)
            },
            "features": {
                name: {"counts": counts.tolist(), "expected": list(bins.frequency)}
                for name, counts, bins in named
            },
        }
