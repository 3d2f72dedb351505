"""A challenger beside the policy or the model in use: where they part, on which terms, and which of
the two the loans that mature speak for. Pure.

Who was declined has no loan, so that a challenger who approves more is judged by the slice below
the cut-off alone, and by what people approved (reject inference is what this is not); one who
declines more is judged by the loans that were made.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, mean, stdev
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lending.account.default import Performance
from lending.cases import Decision
from lending.errors import PortfolioError
from lending.intervals import CONFIDENCE, Estimate, Share, wilson

Verdict = Literal["approve", "review", "decline"]
LEAST_OF_EACH = 10
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@dataclass(frozen=True, slots=True)
class Tried:
    """One application that both looked at.

    Args:
        explored: the champion approved below its cut-off, to learn: of itself it declines.
        performance: of the loan that was made, if one was.
    """

    champion: Decision
    challenger: Decision
    explored: bool = False
    performance: Performance | None = None

    @property
    def verdicts(self) -> tuple[Verdict, Verdict]:
        """Of champion and challenger; another offer is an approval."""
        mine = "decline" if self.explored else _verdict(self.champion)
        return mine, _verdict(self.challenger)


def _verdict(decision: Decision) -> Verdict:
    return "approve" if decision.outcome == "counter" else decision.outcome


@dataclass(frozen=True, slots=True)
class TriedCell:
    """Those of whom the two said this."""

    champion: Verdict
    challenger: Verdict
    applications: int
    mature: int
    """Loans that are clearly good or bad."""
    bad: Estimate | None
    """Of those; None while there are none."""


@dataclass(frozen=True, slots=True)
class TermsApart:
    """Challenger's terms less champion's, where both offer the same product."""

    offers: int
    higher: int
    lower: int
    mean: Estimate
    """Fen, or parts per million a day; by the central limit theorem."""


@dataclass(frozen=True, slots=True)
class RankedTwice:
    """Two models on the same mature loans: of those alone that the champion let be made.

    Args:
        apart: the challenger's area under the curve less the champion's, with what chance makes of
            it in the same loans (DeLong, DeLong and Clarke-Pearson 1988); None below
            ``LEAST_OF_EACH`` good or bad, of whom the spread cannot be told.
        expected: how many bad each had let expect, the champion first.
    """

    loans: int
    bad: int
    champion: float
    challenger: float
    apart: Estimate | None
    expected: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Challenged:
    """A challenger beside its champion.

    Args:
        declined_alone: bad among the mature loans that the challenger would have declined and the
            champion did not; ``others`` among the rest of them.
        ranked: how both scored the mature loans; None where their scores are the same, or one has
            none, or both kinds of loans are not there.
    """

    applications: int
    both: int
    only_champion: int
    only_challenger: int
    neither: int
    champion_approves: Estimate
    challenger_approves: Estimate
    cells: tuple[TriedCell, ...]
    limit: TermsApart | None
    rate: TermsApart | None
    declined_alone: Estimate | None
    others: Estimate | None
    ranked: RankedTwice | None


def compared(tried: Iterable[Tried]) -> Challenged:
    """What came of a challenger. Raises PortfolioError: nobody was looked at by both."""
    them = list(tried)
    if not them:
        raise PortfolioError("no application was looked at by both: wait until some were")
    count = Counter(tuple(one == "approve" for one in case.verdicts) for case in them)
    approves = [count[True, True] + count[True, False], count[True, True] + count[False, True]]
    mine, other = (wilson(Share(part, len(them))) for part in approves)
    lent = [one for one in them if one.verdicts[0] != "decline"]
    return Challenged(
        applications=len(them),
        both=count[True, True],
        only_champion=count[True, False],
        only_challenger=count[False, True],
        neither=count[False, False],
        champion_approves=mine,
        challenger_approves=other,
        cells=tuple(_cells(them)),
        limit=_apart(them, "limit"),
        rate=_apart(them, "rate_ppm_day"),
        declined_alone=_bad([one for one in lent if one.verdicts[1] == "decline"]),
        others=_bad([one for one in lent if one.verdicts[1] != "decline"]),
        ranked=_ranked(them),
    )


def _cells(them: Sequence[Tried]) -> Iterable[TriedCell]:
    for mine in VERDICTS:
        for other in VERDICTS:
            inside = [one for one in them if one.verdicts == (mine, other)]
            if inside:
                yield TriedCell(mine, other, len(inside), len(_mature(inside)), _bad(inside))


def _mature(them: Sequence[Tried]) -> list[bool]:
    """Of those whose loan is clearly good or bad, whether it is bad."""
    known = (one.performance for one in them)
    return [one == "bad" for one in known if one in {"good", "bad"}]


def _bad(them: Sequence[Tried]) -> Estimate | None:
    mature = _mature(them)
    return wilson(Share(sum(mature), len(mature))) if mature else None


def _apart(them: Sequence[Tried], name: str) -> TermsApart | None:
    """None where fewer than two were offered something by both."""
    pairs = [(one.champion.offer, one.challenger.offer) for one in them if not one.explored]
    apart = [getattr(b, name) - getattr(a, name) for a, b in pairs if a is not None and b]
    if len(apart) < 2:
        return None
    middle = mean(apart)
    half = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * stdev(apart) / math.sqrt(len(apart))
    return TermsApart(
        len(apart),
        sum(one > 0 for one in apart),
        sum(one < 0 for one in apart),
        Estimate(middle, middle - half, middle + half),
    )


def _ranked(them: Sequence[Tried]) -> RankedTwice | None:
    outcome = {"good": False, "bad": True}
    told = [
        (mine.probability, other.probability, outcome[one.performance])
        for one in them
        if one.performance in outcome
        and (mine := one.champion.scored) is not None
        and (other := one.challenger.scored) is not None
    ]
    if not told or all(mine == other for mine, other, _ in told):
        return None
    both, bad = np.array([row[:2] for row in told]).T, np.array([row[2] for row in told])
    if not 0 < bad.sum() < len(bad):
        return None
    of_bad = [_below(one[~bad], one[bad]) for one in both]
    of_good = [1 - _below(one[bad], one[~bad]) for one in both]
    champion, challenger = (float(part.mean()) for part in of_bad)
    return RankedTwice(
        loans=len(bad),
        bad=int(bad.sum()),
        champion=champion,
        challenger=challenger,
        apart=_areas_apart(of_bad[1] - of_bad[0], of_good[1] - of_good[0]),
        expected=(float(both[0].sum()), float(both[1].sum())),
    )


def _below(some: NDArray[np.float64], of: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of some that is below each of others, half of what is equal counted."""
    ranked = np.sort(some)
    less, up_to = (np.searchsorted(ranked, of, side=side) for side in ("left", "right"))
    return np.asarray((less + up_to) / (2 * len(ranked)))


def _areas_apart(bad: NDArray[np.float64], good: NDArray[np.float64]) -> Estimate | None:
    """The mean of what each loan makes of the difference between two areas."""
    if min(len(bad), len(good)) < LEAST_OF_EACH:
        return None
    spread = sum(float(one.var(ddof=1)) / len(one) for one in (bad, good))
    apart, half = float(bad.mean()), NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * math.sqrt(spread)
    return Estimate(apart, max(apart - half, -1.0), min(apart + half, 1.0))
