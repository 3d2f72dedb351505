"""What an alarm is about, told apart by which figure moved and which did not. Pure.

The rules, in this order:

1. *A lender's data fault*: few features moved, and each into one answer ('missing', a zero). People
   change in many ways together; a broken delivery changes one. Whatever else moved follows from it.
2. *Population*: the score moved, or features did: others come through the door.
3. *Policy*: applicants of the same band are decided otherwise than they were.
4. *Calibration*: loans of the same age and band go bad more often, or less: the model is no longer
   right, or the economy is another. The public series stand beside it.
5. *Label maturity*: bad loans of all ages together are more, or fewer, but at equal age they are
   not, and none of the above explains it: the book has become younger or older, nobody worse.

A lender knows its own figures exactly, and those of the others together, from the sum less its own.
What it finds in both is everywhere. What it finds only in its own is here, if the same figures of
the others speak and stand still: that nothing was found is no proof that nothing is there. If they
do not, it is here at least; likewise elsewhere. The consortium's figures say no more than that
something is somewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from lending.portfolio.monitoring import PERIODS
from watching.alarms import Movement, lasting

FEW_FEATURES = 4
"""One in so many of those watched, or one."""


class Cause(StrEnum):
    DATA_FAULT = "data-fault"
    POPULATION = "population"
    POLICY = "policy"
    CALIBRATION = "calibration"
    MATURITY = "label-maturity"


class Where(StrEnum):
    CONSORTIUM = "consortium"
    EVERYWHERE = "everywhere"
    HERE = "here"
    HERE_AT_LEAST = "here-at-least"
    ELSEWHERE = "elsewhere"
    ELSEWHERE_AT_LEAST = "elsewhere-at-least"


@dataclass(frozen=True, slots=True)
class Alarm:
    """A cause, where it is, and the figures that say so."""

    cause: Cause
    where: Where
    evidence: tuple[Movement, ...]
    sentences: Mapping[str, str]
    """In 'en' and 'zh'."""


Periods = Sequence[Sequence[Movement]]
"""The figures of each period, the latest last."""


def causes(
    found: Sequence[Movement], watched: Sequence[Movement]
) -> dict[Cause, tuple[Movement, ...]]:
    """Each cause that the rules name, with its evidence.

    Args:
        found: what has moved lastingly.
        watched: all figures of the last period.
    """
    by_kind = {kind: tuple(one for one in found if one.kind == kind) for kind in _KINDS}
    features = by_kind["feature"]
    few = max(1, sum(one.kind == "feature" for one in watched) // FEW_FEATURES)
    if features and len(features) <= few and all(one.one_cell for one in features):
        return {Cause.DATA_FAULT: features + tuple(one for one in found if one not in features)}
    named = {
        Cause.POPULATION: by_kind["score"] + features,
        Cause.POLICY: by_kind["approval"],
        Cause.CALIBRATION: by_kind["events"],
    }
    named = {cause: evidence for cause, evidence in named.items() if evidence}
    if not named and by_kind["mixed-ages"]:
        return {Cause.MATURITY: by_kind["mixed-ages"]}
    return named


_KINDS = ("feature", "score", "approval", "events", "mixed-ages")


def of_consortium(whole: Periods) -> tuple[Alarm, ...]:
    """What the sums of all lenders say."""
    found = causes(lasting(whole), whole[-1] if whole else ())
    return tuple(_alarm(cause, Where.CONSORTIUM, evidence) for cause, evidence in found.items())


def of_lender(own: Periods, others: Periods) -> tuple[Alarm, ...]:
    """What a lender can say, of its own exact figures and those of the others together."""
    mine = causes(lasting(own), own[-1] if own else ())
    theirs = causes(lasting(others), others[-1] if others else ())
    alarms = []
    for cause in Cause:
        if cause in mine and cause in theirs:
            alarms.append(_alarm(cause, Where.EVERYWHERE, mine[cause]))
        elif cause in mine:
            sure = still(others, mine[cause])
            alarms.append(_alarm(cause, Where.HERE if sure else Where.HERE_AT_LEAST, mine[cause]))
        elif cause in theirs:
            sure = still(own, theirs[cause])
            where = Where.ELSEWHERE if sure else Where.ELSEWHERE_AT_LEAST
            alarms.append(_alarm(cause, where, theirs[cause]))
    return tuple(alarms)


def still(periods: Periods, evidence: Sequence[Movement]) -> bool:
    """Whether the same figures speak in each of the last periods, and have no effect that
    matters."""
    asked = {(one.kind, one.name) for one in evidence}
    return all(
        asked <= {(one.kind, one.name) for one in period if one.speaks and not one.matters}
        for period in periods[-PERIODS:]
    )


def _alarm(cause: Cause, where: Where, evidence: tuple[Movement, ...]) -> Alarm:
    names = ", ".join(one.name for one in evidence if one.kind in {"feature", "score"})
    more = evidence[0].effect > 0
    return Alarm(
        cause,
        where,
        evidence,
        {
            "en": _EN_WHERE[where]
            + _EN[cause].format(names=names, more="more" if more else "fewer"),
            "zh": _ZH_WHERE[where]
            + _ZH[cause].format(names=names, more="更多" if more else "更少"),
        },
    )


_EN_WHERE = {
    Where.CONSORTIUM: "Among all lenders together, ",
    Where.EVERYWHERE: "Here and among the other lenders, ",
    Where.HERE: "Here, and not among the other lenders, ",
    Where.HERE_AT_LEAST: "Here, and perhaps among the other lenders, ",
    Where.ELSEWHERE: "Among the other lenders, and not here, ",
    Where.ELSEWHERE_AT_LEAST: "Among the other lenders, and perhaps here, ",
}
_ZH_WHERE = {
    Where.CONSORTIUM: "各机构合计：",
    Where.EVERYWHERE: "本机构和其他机构都有：",
    Where.HERE: "只在本机构：",
    Where.HERE_AT_LEAST: "本机构有，其他机构是否也有尚看不出：",
    Where.ELSEWHERE: "只在其他机构：",
    Where.ELSEWHERE_AT_LEAST: "其他机构有，本机构是否也有尚看不出：",
}
_EN = {
    Cause.DATA_FAULT: (
        "{names} has moved into one answer while little else has: check how it is delivered "
        "before anything is concluded from it."
    ),
    Cause.POPULATION: (
        "other people apply than when the model was made ({names}): see whether the model is "
        "still right for them before changing a cut-off."
    ),
    Cause.POLICY: (
        "{more} applicants of the same score band are approved than before: the policy has "
        "changed, not who applies."
    ),
    Cause.CALIBRATION: (
        "{more} loans of the same age and band go bad than did before: recalibrate or train "
        "again, and look at the economy beside it."
    ),
    Cause.MATURITY: (
        "{more} loans are bad in all, but at equal age they are not: the book has another age, "
        "and nobody pays worse or better."
    ),
}
_ZH = {
    Cause.DATA_FAULT: (
        "{names} 集中到了同一个取值，而其他指标基本未变：请先检查该数据的来源和传输，再作任何判断。"
    ),
    Cause.POPULATION: (
        "申请人群与建模时不同（{names}）：调整准入线之前，请先看模型对这些人是否仍然准确。"
    ),
    Cause.POLICY: "同一分数段中获批的申请人比以前{more}：变的是政策，不是申请人。",
    Cause.CALIBRATION: (
        "同样账龄、同一分数段的贷款中变坏的比以前{more}：请重新校准或重新训练，并对照经济指标。"
    ),
    Cause.MATURITY: (
        "坏账总数比以前{more}，但同账龄比较没有变化："
        "只是贷款的账龄结构变了，还款情况并未变差或变好。"
    ),
}
