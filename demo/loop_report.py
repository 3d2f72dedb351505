"""What the report says of the two years, and of the model that they taught: figures and pictures
that a lender would show to a colleague."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from credit.metrics import roc_curve
from demo.charts import ALONE, BAD, CONSORTIUM, figure_of, svg_of
from demo.result import Comparison, Loop
from desk.commands.book import BookStanding
from lending.portfolio.book import ArrearsBucket

LATE: tuple[ArrearsBucket, ...] = ("1-30", "31-60", "61-89", "90+")
COLORS = ("#e9c46a", "#e08b3e", "#b4530a", BAD)
COMPARED_AT = 6
"""Months on book at which vintages are compared."""
DARKEST = 0.15
"""Share of bad loans that is drawn darkest."""


def loop_figures(loop: Loop, comparison: Comparison) -> dict[str, Any]:
    """Ready for JSON; of people there are counts only."""
    years, again = loop.years, loop.retrained
    return {
        "lender": years.lender,
        "first": years.first.isoformat(),
        "last": years.last.isoformat(),
        "applications": years.applications,
        "decided": dict(years.decided),
        "beside": dict(years.beside),
        "book": {"rows": years.written.rows, "left_out": years.written.left_out},
        "standing": years.standing.figures(COMPARED_AT),
        "own": again.own,
        "before": again.before,
        "epsilon_spent": round(again.epsilon_spent, 6),
        "cap": again.cap,
        "campaign": again.campaign.sha256,
        "auc": {
            "first": round(comparison.qualities["consortium"].auc, 6),
            "again": round(again.quality.auc, 6),
            "own_loans_alone": again.own_alone and round(again.own_alone.auc, 6),
        },
        "quality": asdict(again.quality),
    }


def loop_pictures(
    loop: Loop, labels: NDArray[np.int64], probabilities: Mapping[str, NDArray[np.float64]]
) -> dict[str, str]:
    """By name, as SVG."""
    standing = loop.years.standing
    return {
        "vintages": vintage_triangle(standing),
        "arrears": arrears(standing),
        "again": before_and_after(labels, probabilities["consortium"], loop.retrained.probability),
    }


def vintage_triangle(standing: BookStanding) -> str:
    """Months of disbursement downwards, months on book to the right: bad loans so far. Where a
    month has not come so far there is nothing."""
    figure, axes = figure_of(
        "Bad loans by month of payout and months on book", "months on book", ""
    )
    figure.set_size_inches(5.6, 5.2)
    rows = standing.vintages
    most = max((len(one.curve) for one in rows), default=1)
    shares = np.full((len(rows), most), np.nan)
    for at, one in enumerate(rows):
        shares[at, : len(one.curve)] = [point.rate.value for point in one.curve]
    if shares.size:
        axes.imshow(shares, cmap="Oranges", vmin=0, vmax=DARKEST, aspect="auto")
    for at, one in enumerate(rows):
        if one.curve:
            last = one.curve[-1]
            axes.text(
                len(one.curve) - 0.4, at, f"{last.bad} of {one.loans}", va="center", fontsize=7
            )
    axes.set_yticks(range(len(rows)), [f"{one.month:%Y-%m}" for one in rows], fontsize=7)
    axes.set_xlim(-0.5, most + 3)
    _bare(axes)
    return svg_of(figure)


def arrears(standing: BookStanding) -> str:
    """Of the loans that were owed at the end of each month, the share in each bucket."""
    figure, axes = figure_of("Loans in arrears, end of month", "", "share of loans that are owed")
    days = list(standing.arrears)
    owed = [sum(standing.arrears[day][b] for b in ("0", *LATE)) or 1 for day in days]
    shares = [
        [standing.arrears[day][bucket] / all_of for day, all_of in zip(days, owed, strict=True)]
        for bucket in LATE
    ]
    at = np.arange(len(days))
    axes.stackplot(at, shares, labels=[f"{one} days" for one in LATE], colors=COLORS)
    axes.set_ylim(0, 1.25 * max((sum(one) for one in zip(*shares, strict=True)), default=1.0) or 1)
    axes.set_xticks(at[::3], [f"{day:%Y-%m}" for day in days[::3]], fontsize=8)
    axes.legend(frameon=False, loc="upper left", ncols=len(LATE), fontsize=8)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    return svg_of(figure)


def before_and_after(
    labels: NDArray[np.int64], first: NDArray[np.float64], again: NDArray[np.float64]
) -> str:
    figure, axes = figure_of(
        "ROC on the hold-out, before and after", "good borrowers refused", "bad borrowers caught"
    )
    axes.plot([0, 1], [0, 1], color="#d9dde1", lw=1)
    for probability, color, label in (
        (first, ALONE, "the first model"),
        (again, CONSORTIUM, "trained again"),
    ):
        axes.plot(*roc_curve(labels, probability), color=color, lw=1.6, label=label)
    axes.legend(frameon=False, loc="lower right")
    return svg_of(figure)


def _bare(axes: Axes) -> None:
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
