"""A consortium made up for ``benchmarks.watching``: four lenders, applicants, decisions, loans and
their events, with known truth, and what is released of them month by month through the real sums.

Risk is one hidden factor that every feature shows a part of. The score is the features' mean, its
bands are fifths of the reference. Loans run for two years; a loan's first delay comes at a hazard
of its age and its score. Two years of loans are on book before the first month that is watched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from privacy.sums import NoisySum
from watching.alarms import Movement, of_approval, of_events, of_feature
from watching.bands import at_equal_band, by_band
from watching.cells import IntakeForm, IntakeQuestion, crossed, members
from watching.intake import IntakeReference, people_in, shift
from watching.shares import Noisy
from watching.vintages import events_beside_expected

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
LENDERS, FEATURES, BINS, BANDS, TERM = 4, 12, 10, 5, 24
BAND_NAMES = ("A", "B", "C", "D", "E")
MISSING = 0.02
SEEN = np.linspace(0.35, 0.75, FEATURES)
"""How much of the hidden factor each feature shows."""
AGES = np.arange(1, TERM + 1)
BASE_HAZARD = 0.012 * np.minimum(AGES / 6, 1) ** 2 * np.exp(-np.maximum(AGES - 6, 0) / 20)
STEEPNESS = 0.8
OVERRIDE = 0.05
MU = {"intake": 0.05, "decisions": 0.05, "booked": 0.03, "events": 0.05}
FORM = IntakeForm(
    (
        *(IntakeQuestion(f"feature {one}", BINS + 1) for one in range(FEATURES)),
        IntakeQuestion("score", BANDS + 1),
    )
)
SCORE_STD = float(np.sqrt(SEEN.mean() ** 2 + (1 - SEEN**2).sum() / FEATURES**2))
CUTS = norm.ppf(np.arange(1, BANDS) / BANDS) * SCORE_STD
EDGES = norm.ppf(np.arange(1, BINS) / BINS)


@dataclass(frozen=True)
class Planted:
    """What changes, from which month on, and at which lenders; nothing by default."""

    kind: str = "quiet"
    since: int = 0
    lenders: tuple[int, ...] = tuple(range(LENDERS))


@dataclass(frozen=True)
class Applicants:
    """Everybody who applied: one row each."""

    month: Whole
    lender: Whole
    cells: Whole
    band: Whole
    approved: NDArray[np.bool_]
    event_age: Whole
    """Of the first delay; 0 if there is none."""


def applicants(months: Sequence[int], a_month: int, planted: Planted, seed: int) -> Applicants:
    """People of these months, as a change that is planted leaves them."""
    chance = np.random.default_rng(seed)
    grown = 4.0 if planted.kind == "growth" else 1.0
    sizes = [int(a_month * (grown if one >= planted.since else 1.0)) for one in months]
    month = np.repeat(np.array(months), sizes)
    lender = chance.integers(0, LENDERS, len(month))
    touched = (month >= planted.since) & np.isin(lender, planted.lenders)
    risk = chance.normal(size=len(month)) + 0.5 * (touched & (planted.kind == "population"))
    rest = chance.normal(size=(len(month), FEATURES))
    values = SEEN * risk[:, None] + np.sqrt(1 - SEEN**2) * rest
    missing = chance.random(values.shape) < MISSING
    if planted.kind == "broken":
        missing[:, 3] |= touched
    cells = np.where(missing, BINS, np.searchsorted(EDGES, values)).astype(np.int64)
    score = np.where(missing, 0.0, values).mean(axis=1)
    true_score = values.mean(axis=1)
    band = np.searchsorted(CUTS, score).astype(np.int64)
    limit = np.where(touched & (planted.kind == "policy"), BANDS, BANDS - 1)
    approved = (band < limit) ^ (chance.random(len(band)) < OVERRIDE)
    relative = np.exp(STEEPNESS * true_score / SCORE_STD)
    shock = planted.since if planted.kind == "shock" else max(months) + TERM + 1
    event_age = _first_delay(month, relative, shock, chance)
    return Applicants(month, lender, cells, band, approved, np.where(approved, event_age, 0))


def _first_delay(month: Whole, relative: Floats, shock: int, chance: np.random.Generator) -> Whole:
    """The age at which the summed hazard passes an exponential deviate."""
    until, summed = chance.exponential(size=len(month)), np.zeros(len(month))
    age_of = np.zeros(len(month), np.int64)
    for age, base in zip(AGES, BASE_HAZARD, strict=True):
        summed += base * relative * np.where(month + age >= shock, 1.8, 1.0)
        age_of[(age_of == 0) & (summed >= until)] = age
    return age_of


@dataclass(frozen=True)
class Expectation:
    """What everybody knows from when the model was made, before anything changed."""

    references: dict[str, IntakeReference]
    weights: Floats
    """Of the bands, among applicants."""
    approval: Floats
    """By band."""
    survival: Floats
    """(ages, bands) of those lent to, who had no delay before that age."""
    hazards: Floats
    """(ages, bands) of those, who have it at that age."""


def expectation(people: int = 400_000) -> Expectation:
    them = applicants([0], people, Planted(), seed=987)
    counts = FORM.counted(_answers(them, np.full(people, True))).astype(np.float64)
    shares = {
        name: IntakeReference(tuple(one / people), people)
        for name, one in FORM.split(counts).items()
    }
    band = np.where(them.approved, them.band, -1)
    lent = members(BANDS, band).astype(np.float64)
    at = np.array([members(BANDS, np.where(them.event_age == age, band, -1)) for age in AGES])
    before = lent - np.cumsum(at, axis=0) + at
    weights = members(BANDS, them.band) / people
    return Expectation(shares, weights, lent / (weights * people), before / lent, at / before)


def _answers(them: Applicants, chosen: NDArray[np.bool_]) -> Whole:
    return np.column_stack([them.cells[chosen], them.band[chosen]])


@dataclass(frozen=True)
class Counts:
    """What one month says, of one lender exactly or of several with noise."""

    intake: Floats
    decisions: Floats
    """(bands, 2) approved and not."""
    booked: Floats
    """(bands,)"""
    events: Floats
    """(bands,)"""

    def less(self, other: Counts) -> Counts:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Counts(*(one - theirs for one, theirs in pairs))


def _form(size: int, sensitivity: float, mu: float) -> NoisySum:
    return NoisySum(size, sensitivity, 1 / mu, LENDERS)


FORMS = {
    "intake": _form(FORM.size, FORM.sensitivity, MU["intake"]),
    "decisions": _form(2 * BANDS, 1.0, MU["decisions"]),
    "booked": _form(BANDS, 1.0, MU["booked"]),
    "events": _form(BANDS, 1.0, MU["events"]),
}
STD = {name: form.noise_std(LENDERS) for name, form in FORMS.items()}
EXACT = dict.fromkeys(STD, 0.0)


def own_counts(them: Applicants, month: int, lender: int) -> Counts:
    """What a lender's node would count."""
    mine = them.lender == lender
    now = mine & (them.month == month)
    lent = np.where(them.approved & now, them.band, -1)
    decided = crossed(them.band[now], np.where(them.approved[now], 0, 1), 2)
    late = mine & (them.event_age > 0) & (them.month + them.event_age == month)
    parts = (
        FORM.counted(_answers(them, now)),
        members(2 * BANDS, decided).reshape(BANDS, 2),
        members(BANDS, lent),
        members(BANDS, them.band[late]),
    )
    return Counts(*(one.astype(np.float64) for one in parts))


def released(own: Sequence[Sequence[Counts]]) -> list[Counts]:
    """The sums of all lenders, each with its share of the noise, month by month.

    The noise of all months is drawn at once: in so small portions it takes ten times as long.

    Args:
        own: of each lender, its months.
    """
    found = {}
    for name, form in FORMS.items():
        parts = [np.array([getattr(one, name) for one in months]) for months in own]
        whole = replace(form, size=parts[0].size)
        total = sum(whole.share(part.ravel().astype(np.int64)) for part in parts)
        found[name] = whole.decode(np.asarray(total)).reshape(parts[0].shape)
    return [Counts(*month) for month in zip(*found.values(), strict=True)]


def figures(
    expected: Expectation, past: Sequence[Counts], std: dict[str, float]
) -> tuple[Movement, ...]:
    """The movements of the last month of ``past``, which has the ``TERM`` months before it."""
    now = past[-1]
    people = people_in(FORM, now.intake, std["intake"])
    shifts = {
        name: shift(expected.references[name], counts, people, std["intake"])
        for name, counts in FORM.split(now.intake).items()
    }
    rates = by_band(BAND_NAMES, list(expected.approval), now.decisions, std["decisions"])
    lent = np.array([one.booked for one in past[-1 - TERM : -1]][::-1])
    at_risk = lent * expected.survival
    late = Noisy(float(now.events.sum()), std["events"] * np.sqrt(BANDS))
    mixed = np.full(at_risk.shape, _usual_rate(expected))
    return (
        *(of_feature(name, one, score=name == "score") for name, one in shifts.items()),
        of_approval(at_equal_band(rates, list(expected.weights))),
        of_events(events_beside_expected(late, at_risk, expected.hazards, std["booked"])),
        of_events(events_beside_expected(late, at_risk, mixed, std["booked"]), equal_age=False),
    )


def _usual_rate(expected: Expectation) -> float:
    """Events of a month over all loans on book, where as many were made each month."""
    lent = expected.weights * expected.approval * expected.survival
    return float((lent * expected.hazards).sum() / lent.sum())
