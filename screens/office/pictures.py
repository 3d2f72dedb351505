"""The office's charts: numbers that others found, with names in the page's language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clients.budgets import AttemptCost
from clients.syncing import CountedThen
from desk.commands.watch import SeenAtWork
from lending.portfolio.book import EVERYBODY
from screens.common.terms import band_of, kind_of
from screens.house.charts import (
    COLOURS,
    Chart,
    ChartAxis,
    ChartBar,
    ChartLine,
    bar_chart,
    line_chart,
)
from screens.house.problems import N_
from screens.house.words import PageWords
from screens.office.shown import GROUPS, share, small


def given_over_time(counted: Sequence[CountedThen], words: PageWords) -> Chart | None:
    """How many may be used, each time somebody synced; None before the second time."""
    if len(counted) < 2:
        return None
    first = counted[0].at
    kinds = sorted({kind for one in counted for kind in one.counts})
    lines = [
        ChartLine(
            kind_of(kind, words.language),
            [
                (
                    (one.at - first).total_seconds() / 86_400,
                    one.counts.get(kind, {}).get("given", 0),
                )
                for one in counted
            ],
        )
        for kind in kinds[:COLOURS]
    ]
    days = ChartAxis(words.say(N_("days since the first count")), low=0, written="{:.3g}".format)
    people = ChartAxis(words.say(N_("people")), low=0)
    return line_chart(words.say(N_("How many may be used")), days, people, lines)


def _percent(name: str) -> ChartAxis:
    return ChartAxis(name, low=0, written=share)


def vintage_curves(seen: SeenAtWork, words: PageWords) -> Chart | None:
    """The newest vintages: share of loans that went bad, by age."""
    shown = [one for one in seen.portfolio.book.vintages if one.curve][-COLOURS:]
    if not shown:
        return None
    lines = [
        ChartLine(
            f"{one.month:%Y-%m}",
            [(point.age, point.rate.value) for point in one.curve],
            [(point.age, point.rate.low, point.rate.high) for point in one.curve]
            if len(shown) == 1
            else (),
        )
        for one in shown
    ]
    return line_chart(
        words.say(N_("Loans that went bad, by the month they were paid out in")),
        ChartAxis(words.say(N_("age in months"))),
        _percent(words.say(N_("share of the loans"))),
        lines,
    )


def stability_bars(seen: SeenAtWork, words: PageWords) -> Chart | None:
    """PSI of the score and CSI of each feature: the newest whole month beside the first."""
    latest = seen.watched.latest
    if not latest:
        return None
    bars = [
        ChartBar(words.say(N_("score")) if name == "score" else name, one.psi)
        for name, one in latest.items()
    ]
    axis = ChartAxis("PSI", low=0, written=small)
    title = words.say(N_("How far the newest month is from the first"))
    return bar_chart(title, words.say(N_("what is compared")), axis, bars)


def calibration_lines(seen: SeenAtWork, words: PageWords) -> Chart | None:
    """Observed against expected, by band from the best on."""
    bands = seen.watched.bands.get(EVERYBODY, ())
    if not bands:
        return None
    observed = ChartLine(
        words.say(N_("observed, with its interval")),
        [(at, one.observed.value) for at, one in enumerate(bands)],
        [(at, one.observed.low, one.observed.high) for at, one in enumerate(bands)],
    )
    expected = ChartLine(
        words.say(N_("expected")), [(at, one.expected) for at, one in enumerate(bands)], dashed=True
    )
    names = {at: band_of(one.band, words.language) for at, one in enumerate(bands)}
    axis = ChartAxis(
        words.say(N_("band")),
        low=0,
        written=lambda at: names.get(round(at), "") if at == round(at) else "",
    )
    title = words.say(N_("Loans that went bad: observed and expected"))
    return line_chart(
        title, axis, _percent(words.say(N_("share of the loans"))), [observed, expected]
    )


def approval_bars(seen: SeenAtWork, words: PageWords) -> Chart | None:
    """Who was approved, thin and thick files apart."""
    rates = seen.watched.rates
    if not rates:
        return None
    bars = [
        ChartBar(
            words.say(GROUPS.get(name, name)),
            one.approved.value,
            (one.approved.low, one.approved.high),
        )
        for name, one in rates.items()
    ]
    axis = _percent(words.say(N_("approved")))
    return bar_chart(words.say(N_("Applications approved")), words.say(N_("who")), axis, bars)


def cost_bars(campaigns: Sequence[Mapping[str, Any]], words: PageWords) -> Chart | None:
    """What each campaign cost somebody who was in every attempt."""
    if not campaigns:
        return None
    bars = [ChartBar(one["campaign"][:6], one["epsilon"]) for one in campaigns]
    axis = ChartAxis("epsilon", low=0, written=small)
    title = words.say(N_("What each campaign cost a borrower at most"))
    return bar_chart(title, words.say(N_("campaign")), axis, bars)


def spent_line(attempts: Sequence[AttemptCost], words: PageWords) -> Chart | None:
    """Epsilon as it adds up over a campaign's attempts, training and evaluation apart."""
    if not attempts:
        return None
    sides = list(dict.fromkeys(one.audience for one in attempts))
    lines = [
        ChartLine(
            words.say(_SIDES.get(side, side)),
            [
                (number + 1, one.epsilon_so_far)
                for number, one in enumerate(attempts)
                if one.audience == side
            ],
        )
        for side in sides
    ]
    return line_chart(
        words.say(N_("How the cost adds up")),
        ChartAxis(words.say(N_("attempt")), low=0),
        ChartAxis("epsilon", low=0, written=small),
        lines,
    )


_SIDES = {"training": N_("those who were trained on"), "hold-out": N_("those who were held out")}
