"""Charts of the report, as inline SVG. One look: thin lines, direct labels, no decoration."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from credit.metrics import reliability, roc_curve
from credit.scaling import HIGHEST, LOWEST, score

INK, CONSORTIUM, POOLED, ALONE, BAD = "#2b2b2b", "#b4530a", "#2b2b2b", "#9aa5b1", "#a3223a"

mpl.rcParams.update(
    {
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"],
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#b8bec5",
        "axes.labelcolor": INK,
        "text.color": INK,
        "xtick.color": "#5b6670",
        "ytick.color": "#5b6670",
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
    }
)


def figure_of(title: str, x: str, y: str, width: float = 5.6) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, 3.9), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def svg_of(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = re.sub(r"<metadata>.*?</metadata>", "", buffer.getvalue(), flags=re.DOTALL)
    return text[text.index("<svg") :]


def roc(labels: np.ndarray, probabilities: dict[str, np.ndarray]) -> str:
    figure, axes = figure_of(
        "ROC on the hold-out", "good borrowers refused", "bad borrowers caught"
    )
    axes.plot([0, 1], [0, 1], color="#d9dde1", lw=1)
    for name, probability in probabilities.items():
        x, y = roc_curve(labels, probability)
        if name == "consortium":
            axes.plot(x, y, color=CONSORTIUM, lw=2, label="consortium", zorder=3)
        elif name == "pooled_reference":
            axes.plot(x, y, color=POOLED, lw=1, ls="--", label="pooled, no privacy", zorder=2)
        else:
            axes.plot(x, y, color=ALONE, lw=0.9, zorder=1)
    axes.plot([], [], color=ALONE, lw=0.9, label="each lender alone")
    axes.legend(frameon=False, loc="lower right")
    return svg_of(figure)


def calibration(labels: np.ndarray, probabilities: dict[str, np.ndarray]) -> str:
    figure, axes = figure_of(
        "Calibration on the hold-out", "predicted probability of bad", "observed share of bad"
    )
    top = 0.0
    for name, color, label in (
        ("consortium", CONSORTIUM, "consortium"),
        ("pooled_reference", POOLED, "pooled, no privacy"),
    ):
        groups = reliability(labels, probabilities[name])
        x, y = [g[0] for g in groups], [g[1] for g in groups]
        top = max(top, *x, *y)
        axes.plot(
            x,
            y,
            "o-",
            color=color,
            lw=1.4,
            ms=4,
            label=label,
            alpha=1 if name == "consortium" else 0.6,
        )
    axes.plot([0, top], [0, top], color="#d9dde1", lw=1, zorder=0)
    axes.legend(frameon=False, loc="upper left")
    return svg_of(figure)


def rounds(
    numbers: Sequence[int], aucs: Sequence[float], epsilons: Sequence[float], held_after: int
) -> str:
    figure, axes = figure_of("AUC and epsilon per step", "release", "AUC of the shared model")
    axes.plot(numbers, aucs, "o-", color=CONSORTIUM, lw=1.8, ms=4)
    axes.set_xticks(list(numbers))
    axes.axvline(held_after + 0.5, color=BAD, lw=0.9, ls=":")
    axes.annotate(
        "withdrawals",
        (held_after + 0.5, min(aucs)),
        (4, 2),
        textcoords="offset points",
        color=BAD,
        fontsize=9,
    )
    right = axes.twinx()
    right.plot(numbers, epsilons, color=ALONE, lw=1.4)
    right.set_ylabel("epsilon spent", color="#5b6670")
    right.set_ylim(0, max(epsilons) * 1.15)
    right.spines["right"].set_visible(True)
    return svg_of(figure)


def scores(labels: np.ndarray, probability: np.ndarray) -> str:
    figure, axes = figure_of(
        "Score distribution on the hold-out", "score", "share of borrowers in each group"
    )
    points = score(probability)
    edges = np.linspace(LOWEST, HIGHEST, 41)
    for group, color, name in ((0, "#5f7f73", "good"), (1, BAD, "bad")):
        chosen = points[labels == group]
        axes.hist(
            chosen,
            edges.tolist(),
            weights=np.full(len(chosen), 1 / max(len(chosen), 1)),
            color=color,
            alpha=0.55,
            label=name,
        )
    axes.set_xlim(LOWEST, HIGHEST)
    axes.legend(frameon=False)
    return svg_of(figure)


def funnel(steps: Sequence[tuple[str, int]]) -> str:
    figure, axes = figure_of("From accounts to rows used", "accounts", "", width=5.6)
    names, counts = [name for name, _ in steps][::-1], [count for _, count in steps][::-1]
    bars = axes.barh(names, counts, color=CONSORTIUM, height=0.62)
    for bar, alpha in zip(bars, np.linspace(1, 0.35, len(steps)), strict=True):
        bar.set_alpha(float(alpha))
    axes.bar_label(bars, [f"{count:,}" for count in counts], padding=4, fontsize=9)
    axes.set_xlim(0, max(counts) * 1.15)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    return svg_of(figure)
