"""How good a model is, from noisy counts of people by group of scores; no row is read.

**Where counts come from.** Held-out people are counted by the evaluation. People who were trained
on, ten times as many, are counted by the calibration, each scored as if left out
(:mod:`credit.left_out`), where that can be told; the two are pooled, unless they contradict each
other. Held-out counts weigh w = (n' / (noise'^2 + b')) / (n / (noise^2 + b)), where n and b are the
people and the bad per group that are expected: the ratio that makes the sum's relative variance
least. It follows from released figures, so that pooled counts stay unbiased.

**Errors.** Each coordinate c_i of the pooled counts is a sum of independent things: noise of known
variance s^2 = noise^2 + w^2 noise'^2, and people, who come by chance (Poisson) with the variance
k c_i, k = (n + w^2 n') / (n + w n'). A figure f that does not depend on how many people there are
has, by the delta method, the variance ``sum_i (df/dc_i)^2 (s^2 + k c_i)``. For AUC the second part
is the variance of DeLong, DeLong & Clarke-Pearson 1988 for grouped scores, of which Hanley & McNeil
1982 is the special case of two exponentials. So errors are those of noise and sampling together.

**AUC.** With B bad and G good in all, F_i the share of good people below group i plus u_i of those
in it, ``AUC = sum_i b_i F_i / B``, u_i being the chance that a bad person in the group ranks above
a good one: what people's place within the group makes of it (:class:`credit.groups.Shape`).
Derivatives: (F_i - AUC) / B by b_i, and (R_i - AUC) / G by g_j, R_i being the same share of the bad
above. As noises are independent and have mean 0, the numerator is unbiased.

**KS** is measured at the cut next to the predicted rate, where it is largest if probabilities are
right, instead of where noise makes it largest. **Observed over expected** is bad people over the
sum of their probabilities. **ECE** is a sum of absolute values, which noise of the standard
deviation s carries from d to the mean of a folded normal, ``s sqrt(2/pi) exp(-d^2/2s^2) + d (1 - 2
Phi(-d/s))`` (Leone, Nelson & Nottingham 1961); the distance from |d| to it is taken off, and is in
the error. **PSI** is quadratic near 0, so what noise and chance add to it on average is known, and
taken off.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from scipy.special import ndtr

from credit.binning import Binning
from credit.evaluation import EVERYBODY, Floats, Segments, broad
from credit.features import FeatureSchema
from credit.groups import Shape

PSI_FLOOR = 1e-4
LARGEST_AUC_ERROR = 0.08
"""Three of them lie between a usual scorecard and chance; with more, figures of a group say
nothing."""
LARGEST_PSI_ERROR = 0.05
"""PSI is read against 0.1 and 0.25; one that is three errors above 0 is told whatever they are."""
WITHIN_DOUBT = 0.4
"""How far the part of AUC that lies within groups may be off: the scatter that simulations show."""
CONTRADICTION = 3.0
"""Standard errors between two AUCs that are not pooled any more."""


@dataclass(frozen=True)
class Figure:
    """A figure and its standard error."""

    value: float
    error: float


@dataclass(frozen=True)
class SegmentQuality:
    """One segment's figures, errors from noise and sampling; of ``people`` from noise alone."""

    name: str
    people: Figure
    bad_rate: Figure
    auc: Figure
    ks: Figure
    ece: Figure
    observed_to_expected: Figure
    """Bad people over the sum of predicted probabilities: 1 if the level of risk is right, however
    rare the bad."""


@dataclass(frozen=True)
class ModelEvaluation:
    """What a campaign may say about its model: the whole, the segments, the stability of scores and
    features; and what it cannot tell, by name."""

    segments: tuple[SegmentQuality, ...]
    untold: tuple[str, ...]
    """Segments of whom too few were held out."""
    psi_score: Figure | None
    psi_features: dict[str, Figure]
    untold_features: tuple[str, ...]
    held_out: Figure
    left_out: float | None
    """People who were trained on and are counted as if left out; None where there are none."""
    contradicted: bool
    """Those held out rank otherwise than those trained on: figures are of the former alone."""

    def as_dict(self) -> dict[str, object]:
        return asdict(self)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What should be said before a figure is read."""
        return (CONTRADICTED,) if self.contradicted else ()


CONTRADICTED = (
    "people who were held out rank otherwise than those who were trained on: figures are of the "
    "former alone"
)


@dataclass(frozen=True)
class Counts:
    """Noisy counts of people by group of scores.

    Args:
        people: (2, groups), good and then bad.
        noise: standard deviation in each coordinate.
        by_chance: variance by chance per person counted.
        known: how many people these are, where some are counted more than once.
    """

    people: Floats
    noise: float
    by_chance: float = 1.0
    known: Figure | None = None

    @property
    def number(self) -> Figure:
        return self.known or Figure(
            float(self.people.sum()), self.noise * math.sqrt(self.people.size)
        )

    @property
    def variance(self) -> Floats:
        return self.noise**2 + self.by_chance * np.maximum(self.people, 0.0)

    def figure(self, value: float, slope: Floats) -> Figure:
        """By the delta method; ``slope`` is (2, groups)."""
        return Figure(value, math.sqrt(float((slope**2 * self.variance).sum())))


def pooled(trained: Counts, held: Counts, share: float, base_rate: float) -> Counts:
    """Both together; ``share`` of all people are held out."""
    number, groups = max(float(trained.people.sum()), 1.0), trained.people.shape[1]
    fewer = number * share / (1 - share)
    bad = base_rate / groups
    weight = (fewer / (held.noise**2 + fewer * bad)) / (number / (trained.noise**2 + number * bad))
    return Counts(
        trained.people + weight * held.people,
        math.hypot(trained.noise, weight * held.noise),
        (number + weight**2 * fewer) / (number + weight * fewer),
        Figure(
            trained.number.value + held.number.value,
            math.hypot(trained.number.error, held.number.error),
        ),
    )


def bad_rate_of(counts: Counts) -> Figure:
    number = max(float(counts.people.sum()), 1.0)
    rate = float(counts.people[1].sum()) / number
    slope = np.array([[-rate], [1 - rate]]) / number
    return counts.figure(rate, np.broadcast_to(slope, counts.people.shape))


def auc_of(counts: Counts, wins: Floats) -> Figure:
    """``wins``: for each group how often its bad rank above its good."""
    good, bad = counts.people
    all_good, all_bad = max(float(good.sum()), 1.0), max(float(bad.sum()), 1.0)
    below = (np.cumsum(good) - good + wins * good) / all_good
    above = (np.cumsum(bad[::-1])[::-1] - bad + wins * bad) / all_bad
    value = float(bad @ below) / all_bad
    slope = np.stack([(above - value) / all_good, (below - value) / all_bad])
    within = float(bad @ ((wins - 0.5) * good)) / (all_bad * all_good)
    found = counts.figure(value, slope)
    return Figure(value, math.hypot(found.error, WITHIN_DOUBT * within))


def ks_of(counts: Counts, first: int) -> Figure:
    """The share of the bad less that of the good from group ``first`` on."""
    all_of = np.maximum(counts.people.sum(axis=1, keepdims=True), 1.0)
    high = (np.arange(counts.people.shape[1]) >= first).astype(np.float64)
    shares = (counts.people @ high)[:, None] / all_of
    slope = np.array([[-1.0], [1.0]]) * (high - shares) / all_of
    return counts.figure(float(shares[1, 0] - shares[0, 0]), slope)


def observed_to_expected_of(counts: Counts, probability: Floats) -> Figure:
    """``probability``: predicted, mean of each group."""
    expected = max(float(counts.people.sum(axis=0) @ probability), 1.0)
    ratio = float(counts.people[1].sum()) / expected
    slope = np.stack([-ratio * probability, 1 - ratio * probability]) / expected
    return counts.figure(ratio, slope)


def ece_of(counts: Counts, probability: Floats) -> Figure:
    """Expected calibration error over the groups."""
    people = counts.people.sum(axis=0)
    missed = counts.people[1] - people * probability
    good, bad = counts.variance
    deviation = np.sqrt((1 - probability) ** 2 * bad + probability**2 * good)
    size = np.abs(missed)
    folded = deviation * math.sqrt(2 / math.pi) * np.exp(-((missed / deviation) ** 2) / 2)
    folded += size * (1 - 2 * ndtr(-size / deviation))
    carried = float((folded - size).sum())
    scatter = float(np.sqrt((size**2 + deviation**2 - folded**2).sum()))
    number = max(float(people.sum()), 1.0)
    value = max(float(size.sum()) - carried, 0.0)
    return Figure(value / number, math.hypot(scatter, carried) / number)


@dataclass(frozen=True)
class Measured:
    """Counts, and the probabilities of people within their groups.

    Args:
        probability: (groups, nodes), as many people at each node of a group.
    """

    counts: Counts
    probability: Floats

    @property
    def mean(self) -> Floats:
        """(groups,) predicted."""
        return np.asarray(self.probability.mean(axis=1))

    @property
    def wins(self) -> Floats:
        """How often a bad person of a group ranks above a good one of it; people alike count
        half."""
        bad, good = self.probability, 1 - self.probability
        below = np.cumsum(good, axis=1) - good / 2
        return np.asarray((bad * below).sum(axis=1) / (bad.sum(axis=1) * good.sum(axis=1)))

    @property
    def first(self) -> int:
        """The lowest group above the cut at the rate predicted of these people; never all."""
        people = np.maximum(self.counts.people.sum(axis=0), 0.0)
        above = self.mean > float(people @ self.mean) / max(float(people.sum()), 1.0)
        return int(np.clip(np.argmax(above), 1, len(above) - 1))

    def auc(self) -> Figure:
        return auc_of(self.counts, self.wins)

    def quality(self, name: str) -> SegmentQuality | None:
        """None where the noise or chance leaves nothing to say."""
        people, auc, counts = self.counts.number, self.auc(), self.counts
        rate = bad_rate_of(counts)
        if auc.error > LARGEST_AUC_ERROR or rate.value < 2 * rate.error:
            return None
        return SegmentQuality(
            name,
            people,
            rate,
            _share(auc),
            _share(ks_of(counts, self.first)),
            ece_of(counts, self.mean),
            observed_to_expected_of(counts, self.mean),
        )


def _share(figure: Figure) -> Figure:
    return Figure(min(max(figure.value, 0.0), 1.0), figure.error)


@dataclass(frozen=True)
class TrainedOn:
    """What the calibration told of people who were trained on, and what became of it.

    Args:
        shape: where people are within the groups, before calibration.
        calibration: knots and values.
        left_out: whether each was scored as if left out.
        share: of all people, who are held out.
    """

    counts: Counts
    shape: Shape
    calibration: tuple[Floats, Floats]
    left_out: bool
    share: float

    @property
    def probability(self) -> Floats:
        """(groups, nodes), calibrated."""
        return self.shape.probability(self.calibration)


def everybody(trained: TrainedOn, held: Counts, base_rate: float) -> tuple[Measured, bool]:
    """Those held out, with those trained on if they count as if left out; and whether they would,
    but contradict each other."""
    alone = Measured(held, trained.probability)
    if not trained.left_out:
        return alone, False
    others = Measured(trained.counts, trained.probability).auc()
    mine = alone.auc()
    apart = abs(mine.value - others.value)
    if apart > CONTRADICTION * math.hypot(mine.error, others.error):
        return alone, True
    both = pooled(trained.counts, held, trained.share, base_rate)
    return Measured(both, trained.probability), False


def evaluate(
    total: Floats, noise_std: float, schema: FeatureSchema, binning: Binning, trained: TrainedOn
) -> tuple[ModelEvaluation, Measured]:
    """Figures of a released evaluation, and the counts that those of everybody are of.

    Args:
        total: the noisy sum, weights as :class:`credit.tasks.EvaluationTask` lays it out.
        noise_std: of each of its coordinates.
        binning: whose frequencies are those of the training population.
    """
    segments = Segments.of(schema)
    (weight, other), groups = segments.weights, trained.counts.people.shape[1]
    first, others, rest = np.split(total, np.cumsum([2 * groups, 2 * groups * segments.count]))
    held = Counts(first.reshape(2, -1) / weight, noise_std / weight)
    whole, contradicted = everybody(trained, held, binning.base_rate)
    found = {EVERYBODY: whole.quality(EVERYBODY)}
    for name, part in zip(segments.names, others.reshape(segments.count, 2, groups), strict=True):
        counts = Counts(part / other, noise_std / other)
        found[name] = Measured(counts, trained.probability).quality(name)
    used = trained.left_out and not contradicted
    before = trained.counts.people.sum(axis=0), trained.counts.noise * math.sqrt(2)
    psi = psi_of(before[0], held.people.sum(axis=0), (before[1], held.noise * math.sqrt(2)))
    features = _stability(rest, noise_std, schema, binning)
    return ModelEvaluation(
        segments=tuple(one for one in found.values() if one is not None),
        untold=tuple(name for name, one in found.items() if one is None),
        psi_score=psi if _telling(psi) else None,
        psi_features={name: one for name, one in features.items() if _telling(one)},
        untold_features=tuple(name for name, one in features.items() if not _telling(one)),
        held_out=held.number,
        left_out=float(trained.counts.people.sum()) if used else None,
        contradicted=contradicted,
    ), whole


def _telling(psi: Figure) -> bool:
    return psi.error <= LARGEST_PSI_ERROR or psi.value > 3 * psi.error


def _stability(
    rest: Floats, noise_std: float, schema: FeatureSchema, binning: Binning
) -> dict[str, Figure]:
    """PSI of each feature, over its broad bins."""
    found, start = {}, 0
    for name, bins in zip(schema.names, binning.features, strict=True):
        at = broad(bins)
        usual = np.bincount(at, bins.frequency).astype(np.float64) * binning.population
        seen = rest[start : start + len(usual)]
        found[name] = psi_of(usual, seen, (0.0, noise_std))
        start += len(usual)
    return found


def psi_of(expected: Floats, actual: Floats, noises: tuple[float, float]) -> Figure:
    """Population stability index of two noisy counts (Siddiqi 2006, chapter 8); ``noises`` are of
    each coordinate."""
    numbers = [max(float(one.sum()), 1.0) for one in (expected, actual)]
    shares = [
        np.maximum(one / number, PSI_FLOOR)
        for one, number in zip((expected, actual), numbers, strict=True)
    ]
    before, after = shares
    variance = sum(
        (noise**2 + number * share) / number**2
        for noise, number, share in zip(noises, numbers, shares, strict=True)
    )
    ratio = variance / before
    apart = after - before
    value = float((apart * np.log(after / before)).sum() - ratio.sum())
    spread = 2 * ratio**2 + 4 * variance * (apart / before) ** 2
    return Figure(max(value, 0.0), math.sqrt(float(spread.sum())))
