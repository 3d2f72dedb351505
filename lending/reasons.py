"""Why a score is not higher, and what would have to be different.

*Reasons* (Reg B 1002.9 and comment 9(b)(2); the first of its two methods): the families of features
whose points lie furthest below the mean of those just above the cut-off, at most four, the largest
first and none passed over. They follow from a :class:`lending.cases.Scored` alone, so a decision's
reasons can be told again years later without its model.

A *counterfactual* (CJEU C-203/22: the effect of different data) is the smallest change of what a
person can change that reaches a score: fewest features, then fewest bins moved, then the best
score; of equal ones the first in the model's order.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from lending.cases import FeaturePoints, PrincipalReason, Scored, Value
from lending.compiled import NEUTRAL, FeatureTable, LookUp, ScoreError

MOST_REASONS = 4
MOST_MOVES = 3
JUST_ABOVE = 20
"""Points above a cut-off that are just above it, where nothing else is said."""
Families = Mapping[str, str]
"""Feature to family; a feature that is not named is a family of its own."""
Direction = Literal["up", "down", "any"]
"""In which direction somebody can change a number; codes change in any."""


@dataclass(frozen=True, slots=True)
class MeanPoints:
    """What reasons compare with: mean points of each feature, over the ``people`` whose scores lie
    from ``cut_off`` to less than ``below``."""

    cut_off: int
    below: int
    people: int
    points: Mapping[str, float]


def just_above(sample: Iterable[Scored], cut_off: int, width: int = JUST_ABOVE) -> MeanPoints:
    """Of those in a sample who scored at the cut-off or less than ``width`` points above it. Raises
    ScoreError if there is nobody: no mean is ever taken to be zero."""
    sums: dict[str, int] = {}
    people = 0
    for scored in sample:
        if cut_off <= scored.score < cut_off + width:
            people += 1
            for one in scored.points:
                sums[one.feature] = sums.get(one.feature, 0) + one.points
    if not people:
        raise ScoreError(
            f"nobody in the sample scored {cut_off} to {cut_off + width - 1}, so reasons have "
            "nothing to compare with; take a larger sample, or a wider range"
        )
    means = {name: total / people for name, total in sums.items()}
    return MeanPoints(cut_off, cut_off + width, people, means)


def shortfalls(
    scored: Scored, reference: MeanPoints, families: Families
) -> list[tuple[str, float]]:
    """Every family below the reference and how far, the furthest first; of equal ones the first in
    the model's order. Raises ScoreError: the reference is of another model."""
    means = reference.points
    below: dict[str, float] = {}
    try:
        for one in scored.points:
            family = families.get(one.feature, one.feature)
            below[family] = below.get(family, 0.0) + means[one.feature] - one.points
    except KeyError as error:
        raise ScoreError(
            f"the mean points of those above the cut-off say nothing of {error.args[0]!r}; "
            "compute them with this model"
        ) from error
    return sorted((one for one in below.items() if one[1] > 0), key=lambda one: -one[1])


def reasons(
    scored: Scored, reference: MeanPoints, families: Families
) -> tuple[PrincipalReason, ...]:
    """At most four. ``detail`` names the family's feature that is furthest below, and whether that
    was left out. Where a rule declined, the reason is the rule's, not these."""

    def furthest(family: str) -> FeaturePoints:
        members = [one for one in scored.points if families.get(one.feature, one.feature) == family]
        return max(members, key=lambda one: reference.points[one.feature] - one.points)

    found = []
    for family, below in shortfalls(scored, reference, families)[:MOST_REASONS]:
        member = furthest(family)
        detail: dict[str, Value] = {"feature": member.feature, "neutral": member.neutral}
        found.append(PrincipalReason(family, "score", max(round(below), 1), detail))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Move:
    """One feature in another bin than it is."""

    feature: str
    from_bin: int
    to_bin: int


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """With these instead, the score would be ``score``."""

    moves: tuple[Move, ...]
    score: int


@dataclass(frozen=True, slots=True)
class _Way:
    """Somewhere that one feature can go: how many bins away, and by how much log-odds fall at
    most."""

    to_bin: int
    steps: int
    gain: float


@dataclass
class _Search:
    look_up: LookUp
    bins: list[int]
    target: int
    best: tuple[int, float, tuple[int, ...], tuple[int, ...]] | None = None
    """Bins moved and log-odds, which are to be few and low; which features, and to which bins."""
    ways: dict[int, list[_Way]] = field(default_factory=dict)

    def among(self, count: int) -> None:
        """The best with exactly ``count`` moves."""
        most = {at: max(way.gain for way in ways) for at, ways in self.ways.items()}
        needed = self.look_up.raw(self.bins) - _largest_raw(self.look_up, self.target)
        slack = abs(needed) * 1e-9 + 1e-9  # sums of doubles are compared; pruning must not cut ties
        for places in itertools.combinations(self.ways, count):
            if math.fsum(most[at] for at in places) >= needed - slack:
                self._down(places, (), 0, needed - slack, most)

    def _down(
        self,
        places: tuple[int, ...],
        chosen: tuple[int, ...],
        steps: int,
        needed: float,
        most: Mapping[int, float],
    ) -> None:
        left = places[len(chosen) :]
        if self.best is not None and steps + len(left) > self.best[0]:
            return
        if not left:
            self._reached(places, chosen, steps)
            return
        rest = math.fsum(most[at] for at in left[1:])
        for way in self.ways[left[0]]:
            if way.gain + rest >= needed:
                self._down(
                    places, (*chosen, way.to_bin), steps + way.steps, needed - way.gain, most
                )

    def _reached(self, places: tuple[int, ...], chosen: tuple[int, ...], steps: int) -> None:
        before = [self.bins[at] for at in places]
        for at, one in zip(places, chosen, strict=True):
            self.bins[at] = one
        raw = self.look_up.raw(self.bins)
        for at, one in zip(places, before, strict=True):
            self.bins[at] = one
        key = (steps, raw, places, chosen)
        if self.look_up.score(raw) >= self.target and (self.best is None or key < self.best):
            self.best = key


def _largest_raw(look_up: LookUp, target: int) -> float:
    """Below it a score of at least ``target`` is given."""
    at = look_up.highest - target
    if at < 0:
        return -math.inf
    return look_up.bounds[at] if at < len(look_up.bounds) else math.inf


def nearest(
    look_up: LookUp, bins: Sequence[int], changeable: Mapping[str, Direction], target: int
) -> Counterfactual | None:
    """The smallest change of at most three ``changeable`` features with which somebody in ``bins``
    scores ``target`` or more; None if there is none, or nothing need change."""
    search = _Search(look_up, list(bins), target)
    if look_up.score(look_up.raw(bins)) >= target or _largest_raw(look_up, target) == -math.inf:
        return None
    for at, table in enumerate(look_up.tables):
        if (direction := changeable.get(table.name)) and bins[at] != NEUTRAL:
            ways = list(_ways(look_up, at, bins[at], direction))
            if ways:
                search.ways[at] = ways
    for count in range(1, MOST_MOVES + 1):
        search.among(count)
        if search.best is not None:
            _, raw, places, chosen = search.best
            moves = tuple(
                Move(look_up.tables[at].name, bins[at], one)
                for at, one in zip(places, chosen, strict=True)
            )
            return Counterfactual(moves, look_up.score(raw))
    return None


def _ways(look_up: LookUp, at: int, now: int, direction: Direction) -> Iterator[_Way]:
    """Those that may help, by bins away. What is no nearer and no better than another is useless,
    unless pairs make it depend on where others go."""
    table = look_up.tables[at]
    touching = [pair for pair in look_up.pairs if at in {pair.first, pair.second}]
    spread = math.fsum(
        max(map(max, pair.effects)) - min(map(min, pair.effects)) for pair in touching
    )
    best = -math.inf
    reachable = sorted(_reachable(table, now, direction), key=lambda one: (one[1], one[0]))
    for _, group in itertools.groupby(reachable, key=lambda one: one[1]):
        found = [
            _Way(to, steps, table.deviations[now] - table.deviations[to] + spread)
            for to, steps in group
        ]
        if not touching:
            found = [max(found, key=lambda way: way.gain)]
            found = [way for way in found if way.gain > max(best, 0.0)]
        best = max([best, *(way.gain for way in found)])
        yield from found


def _reachable(table: FeatureTable, now: int, direction: Direction) -> Iterator[tuple[int, int]]:
    """Bins with a meaning that one can name, and how far each is; whoever has no value is furthest
    from all."""
    if table.is_code:
        named = {one for known, one in table.bin_of_code.items() if known is not None}
        yield from ((to, 1) for to in sorted(named - {now}))
        return
    for to in range(table.missing):
        if now == table.missing:
            yield to, table.missing
        elif (to > now and direction != "down") or (to < now and direction != "up"):
            yield to, abs(to - now)
