"""Who comes through the door: stability indices of noisy counts, without the bias of the noise.
Pure.

The index of reference shares p and shares q now is f(q) = sum_i (q_i - p_i) ln(q_i / p_i). What is
released are counts with independent noise of deviation s in each cell, so q_i is seen with variance
v = (s/n)^2, where n people are in the histogram. Noise adds v/2 times the second derivative in the
mean, and f - v/2 f2 + v^2/8 f4, of the second and fourth derivatives at what was seen, has the mean
f(q) up to v^3: noise is a heat kernel, and this is its inverse. What stays is the index of these
applicants. It needs cells of several s, so cells that expect fewer than 6 s are joined with their
neighbours, by what is public alone (p, n, s).

*Noise* makes the variance sum_i (v g_i^2 + v^2/2 h_i^2), with slopes g = ln(q/p) + 1 - p/q and
curvatures h = 1/q + p/q^2. Slopes that are seen are themselves noisy, and their squares too large
by v h^2, which is taken off, down to the variance without any change. *Chance* adds g' (diag q - q
q') g / n, and that of the reference likewise.

*Without any change* the index is, but for the same constant, a sum of squares of normal deviates
with weights lambda, the eigenvalues of (I - root p root p')(1/n + 1/m) + v diag(1/p), where m
people made the reference. Its tail is taken from the first three moments (Imhof 1961, Biometrika
48, equation 4.2; Pearson 1959), which is exact without noise: chi-square with B - 1 degrees of
freedom times 1/n + 1/m, as :func:`lending.portfolio.monitoring.stability` has it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, chdtri

from lending.portfolio.monitoring import EFFECT, EMPTY
from watching.cells import IntakeForm
from watching.errors import WatchError
from watching.shares import FEWEST_DEVIATIONS, Noisy

Floats = NDArray[np.float64]
EXPECTED_DEVIATIONS = 6.0
"""A cell expects at least so many deviations of the noise, or joins its neighbour."""
EXPECTED_PEOPLE = 5.0
"""And so many people: the usual bound for chi-square."""
LEAST_DEVIATIONS = 3.0
"""A share below so many deviations is counted as that: the index is at least what is told."""


@dataclass(frozen=True)
class IntakeReference:
    """What everybody expects of one question: the shares when the model was made.

    Raises:
        WatchError: shares that are none.
    """

    shares: tuple[float, ...]
    people: float = math.inf
    """Who made them; infinitely many where they are simply public."""

    def __post_init__(self) -> None:
        fair = all(0 <= one <= 1 for one in self.shares) and self.people > 0
        if len(self.shares) < 2 or not fair or abs(sum(self.shares) - 1) > 1e-6:
            raise WatchError("reference shares are two or more that sum to 1: take the model's")


@dataclass(frozen=True, slots=True)
class ShareChange:
    """A share now less the share expected, and its error."""

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class Shift:
    """A stability index of one question in one period, beside what no change at all makes of it."""

    psi: float
    """Of these applicants, the bias of the noise taken out: below zero where noise has the say."""
    noise: float
    """Standard deviation from noise alone."""
    error: float
    """With chance."""
    null_mean: float
    null_99: float
    """99 of 100 periods without any change are below."""
    p_value: float
    cells: int
    """After joining."""
    at_least: bool
    """A cell is all but empty: the index is this or more."""
    largest: int
    """The cell, of those that were asked, whose share changed most."""
    change: ShareChange
    """Of its share."""
    apart: float
    """The index of all other cells among themselves: near zero where nothing else changed."""

    @property
    def speaks(self) -> bool:
        """Whether noise and chance leave room to see an effect; else there are too few to say."""
        return self.cells >= 2 and self.null_99 < EFFECT


def people_in(form: IntakeForm, counts: Floats, std: float) -> Noisy:
    """How many people a histogram is of: each question counts everybody once, so each says so, the
    coarse ones best (weights by inverse variance)."""
    weights = np.array([1 / one.cells for one in form.questions])
    totals = np.array([one.sum() for one in form.split(counts).values()])
    return Noisy(float(weights @ totals / weights.sum()), std / math.sqrt(weights.sum()))


def joined(expected: Floats, least: float) -> list[list[int]]:
    """Neighbouring cells put together until each group expects ``least``; what is left at the end
    joins the last group."""
    groups: list[list[int]] = []
    open_group: list[int] = []
    for cell in range(len(expected)):
        open_group.append(cell)
        if expected[open_group].sum() >= least:
            groups.append(open_group)
            open_group = []
    if open_group and groups:
        groups[-1] += open_group
    return groups or [open_group]


def shift(reference: IntakeReference, counts: Floats, people: Noisy, std: float) -> Shift | None:
    """One question of one period; None where noise hides whether anybody came.

    Args:
        counts: released, with noise of deviation ``std`` in each; 0 for a lender's own.
        people: from :func:`people_in`.

    Raises:
        WatchError: other cells than the reference has.
    """
    if len(counts) != len(reference.shares):
        raise WatchError(
            f"{len(counts)} cells cannot be compared with {len(reference.shares)}: count over the "
            "model's own bins"
        )
    n = people.value
    if n <= max(FEWEST_DEVIATIONS * people.std, EXPECTED_PEOPLE):
        return None
    shares = np.array(reference.shares)
    groups = joined(shares * n, max(EXPECTED_DEVIATIONS * std, EXPECTED_PEOPLE))
    p, q = (np.array([row[one].sum() for one in groups]) for row in (shares, counts / n))
    v = np.array([len(one) for one in groups]) * (std / n) ** 2
    seen = _Seen(p, q, v, np.maximum(LEAST_DEVIATIONS * np.sqrt(v), EMPTY / n))
    psi, by_noise, by_chance, constant = _told(reference, seen, n)
    chance = 1 / n + 1 / reference.people
    mean, tail_99, p_value = null_of(p, v, chance, psi + constant)
    moved = counts / n - shares
    cell = int(np.argmax(np.abs(moved)))
    own = math.sqrt((std / n) ** 2 + shares[cell] * (1 - shares[cell]) * chance)
    group = next(at for at, one in enumerate(groups) if cell in one)
    return Shift(
        psi,
        math.sqrt(by_noise),
        math.sqrt(by_noise + by_chance),
        mean - constant,
        tail_99 - constant,
        p_value,
        len(p),
        bool((q < seen.floor).any()),
        cell,
        ShareChange(float(moved[cell]), own),
        seen.without(group).index if len(groups) > 2 else psi,
    )


@dataclass(frozen=True)
class _Seen:
    """Joined cells: shares expected and seen, and the variance of noise in each."""

    p: Floats
    q: Floats
    v: Floats
    floor: Floats

    @property
    def index(self) -> float:
        """Without the bias of the noise."""
        p, q = self.p, np.maximum(self.q, self.floor)
        raw = float(((q - p) * np.log(q / p)).sum())
        second, fourth = 1 / q + p / q**2, 2 / q**3 + 6 * p / q**4
        return raw - float(second @ self.v) / 2 + float(fourth @ self.v**2) / 8

    def without(self, group: int) -> _Seen:
        """The other cells, as shares of those who are in them."""
        p, q, v, floor = (np.delete(one, group) for one in (self.p, self.q, self.v, self.floor))
        left = max(float(q.sum()), float(floor.sum()))
        return _Seen(p / p.sum(), q / left, v / left**2, floor / left)


def _told(reference: IntakeReference, seen: _Seen, n: float) -> tuple[float, float, float, float]:
    """The index, its variance by noise and by chance, and what its bias would be without any
    change."""
    p, v, q = seen.p, seen.v, np.maximum(seen.q, seen.floor)
    slope, curve = np.log(q / p) + 1 - p / q, 1 / q + p / q**2
    flat = float(curve**2 @ v**2) / 2
    by_noise = max(float(slope**2 @ v) - flat, flat)
    back = -(np.log(q / p) + q / p - 1)
    by_chance = (q @ slope**2 - (q @ slope) ** 2) / n + (p @ back**2 - (p @ back) ** 2) / (
        reference.people
    )
    return seen.index, by_noise, max(float(by_chance), 0.0), float((v / p).sum())


def null_of(p: Floats, v: Floats, chance: float, seen: float) -> tuple[float, float, float]:
    """Without any change: the index's mean, its 99th percentile, and the probability of ``seen``
    or more; the bias of the noise is in all three."""
    root = np.sqrt(p)
    spread = (np.eye(len(p)) - np.outer(root, root)) * chance + np.diag(v / p)
    weights = np.linalg.eigvalsh(spread)
    first, second, third = (float((weights**k).sum()) for k in (1, 2, 3))
    if second <= 0:
        return first, first, float(seen <= first)
    freedom = second**3 / third**2
    scale = math.sqrt(second / freedom)
    tail = first + scale * (float(chdtri(freedom, 0.01)) - freedom)
    beyond = max((seen - first) / scale + freedom, 0.0)
    return first, tail, float(chdtrc(freedom, beyond))
