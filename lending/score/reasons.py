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
from dataclasses import dataclass
from typing import Literal

from lending.cases import FeaturePoints, PrincipalReason, Scored, Value
from lending.score.compiled import NEUTRAL, FeatureTable, LookUp, PairTable, ScoreError

MOST_REASONS = 4
"""Regulation B, comment 9(b)(2)-1: more than four are not likely to be helpful."""
MOST_MOVES = 3
ROUNDING = 1e-9
"""Of log-odds: what is compared before it is added up exactly may be off by less."""
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
    principal = dict(shortfalls(scored, reference, families)[:MOST_REASONS])
    means = reference.points
    furthest: dict[str, tuple[float, FeaturePoints]] = {}
    for one in scored.points:
        family = families.get(one.feature, one.feature)
        if family in principal:
            below = means[one.feature] - one.points
            if family not in furthest or below > furthest[family][0]:
                furthest[family] = below, one
    found = []
    for family, short in principal.items():
        member = furthest[family][1]
        detail: dict[str, Value] = {"feature": member.feature, "neutral": member.neutral}
        found.append(PrincipalReason(family, "score", max(round(short), 1), detail))
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
    """Somewhere that one feature can go: how many bins away, and by how much log-odds fall if
    nothing else changes."""

    to_bin: int
    steps: int
    gain: float


def nearest(
    look_up: LookUp, bins: Sequence[int], changeable: Mapping[str, Direction], target: int
) -> Counterfactual | None:
    """The smallest change of at most three ``changeable`` features with which somebody in ``bins``
    scores ``target`` or more; None if there is none, or nothing need change."""
    raw = look_up.raw(bins)
    if look_up.score(raw) >= target or target > look_up.highest:
        return None
    ways = {}
    for at, table in enumerate(look_up.tables):
        if (direction := changeable.get(table.name)) and bins[at] != NEUTRAL:
            ways[at] = [
                _Way(to, steps, raw - look_up.raw([*bins[:at], to, *bins[at + 1 :]]))
                for to, steps in _reachable(table, bins[at], direction)
            ]
    search = _Search(look_up, list(bins), target, {at: some for at, some in ways.items() if some})
    for count in range(1, MOST_MOVES + 1):
        if found := search.among(count):
            _, lower, places, chosen = found
            moves = tuple(
                Move(look_up.tables[at].name, bins[at], to)
                for at, to in zip(places, chosen, strict=True)
            )
            return Counterfactual(moves, look_up.score(lower))
    return None


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


_Found = tuple[int, float, tuple[int, ...], tuple[int, ...]]
"""Bins moved and log-odds, which are to be few and low; which features, and to which bins."""


class _Search:
    """Branch and bound over all ways. What features gain apart adds up, but for pairs that both
    change; what those may gain beyond it is bounded once (``beyond``)."""

    def __init__(
        self, look_up: LookUp, bins: list[int], target: int, ways: dict[int, list[_Way]]
    ) -> None:
        self._look_up, self._bins, self._target, self._ways = look_up, bins, target, ways
        self._few = {at: _undominated(some) for at, some in ways.items()}
        self._most = {at: max(way.gain for way in some) for at, some in ways.items()}
        self._beyond: dict[tuple[int, int], float] = {}
        for pair in look_up.pairs:
            if pair.first in ways and pair.second in ways:
                key = (min(pair.first, pair.second), max(pair.first, pair.second))
                self._beyond[key] = self._beyond.get(key, 0.0) + self._gain_of(pair)
        needed = look_up.raw(bins) - look_up.bounds[look_up.highest - target]
        self._needed = needed - ROUNDING
        self._best: _Found | None = None

    def _gain_of(self, pair: PairTable) -> float:
        """What both of a pair may gain together beyond what each gains apart, at most."""
        row, column = pair.place(self._bins)
        rows = {row, *(pair.first_levels[way.to_bin] for way in self._ways[pair.first])}
        columns = {column, *(pair.second_levels[way.to_bin] for way in self._ways[pair.second])}
        effects = pair.effects
        return max(
            effects[one][column] + effects[row][two] - effects[one][two] - effects[row][column]
            for one in rows
            for two in columns
        )

    def among(self, count: int) -> _Found | None:
        """The best with exactly ``count`` moves."""
        for places in itertools.combinations(self._ways, count):
            pairs = [pair for pair in itertools.combinations(places, 2) if pair in self._beyond]
            needed = self._needed - math.fsum(self._beyond[pair] for pair in pairs)
            if math.fsum(self._most[at] for at in places) >= needed:
                together = {at for pair in pairs for at in pair}
                ways = [(self._ways if at in together else self._few)[at] for at in places]
                self._down(places, ways, needed)
        return self._best

    def _down(self, places: tuple[int, ...], ways: Sequence[Sequence[_Way]], needed: float) -> None:
        """Depth first, as long as a way can still reach the target and be better than the best."""
        count = len(places)
        rests = [math.fsum(self._most[at] for at in places[done:]) for done in range(1, count + 1)]
        left: list[tuple[tuple[int, ...], int, float]] = [((), 0, needed)]
        while left:
            chosen, steps, lacking = left.pop()
            depth = len(chosen)
            if self._best is not None and steps + count - depth > self._best[0]:
                continue
            if depth == count:
                self._reached(places, chosen, steps)
                continue
            left += [
                ((*chosen, way.to_bin), steps + way.steps, lacking - way.gain)
                for way in reversed(ways[depth])
                if way.gain + rests[depth] >= lacking
            ]

    def _reached(self, places: tuple[int, ...], chosen: tuple[int, ...], steps: int) -> None:
        moved = list(self._bins)
        for at, to in zip(places, chosen, strict=True):
            moved[at] = to
        raw = self._look_up.raw(moved)
        found = (steps, raw, places, chosen)
        if self._look_up.score(raw) >= self._target and (self._best is None or found < self._best):
            self._best = found


def _undominated(ways: Sequence[_Way]) -> list[_Way]:
    """Without those that are no nearer and no better than another: nearest first."""
    found: list[_Way] = []
    for way in sorted(ways, key=lambda way: (way.steps, -way.gain, way.to_bin)):
        if way.gain > (found[-1].gain if found else 0.0):
            found.append(way)
    return found
