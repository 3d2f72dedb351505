"""A challenger beside the policy in use: where they part, on which terms, and which of the two the
loans that mature speak for. Pure.

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

from lending.account.default import Performance
from lending.cases import Decision
from lending.errors import PortfolioError
from lending.intervals import CONFIDENCE, Estimate, Share, wilson

Verdict = Literal["approve", "review", "decline"]
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
class Challenged:
    """A challenger beside its champion.

    Args:
        declined_alone: bad among the mature loans that the challenger would have declined and the
            champion did not; ``others`` among the rest of them.
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
