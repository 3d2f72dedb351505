"""Charts of a campaign and of its evaluation. Pure."""

from __future__ import annotations

from screens.console.sight import SeenCampaign
from screens.house.charts import Chart, ChartAxis, ChartBar, ChartLine, bar_chart, line_chart
from screens.house.problems import N_
from screens.house.words import PageWords
from server.curves import Curve, EvaluationCurves


def epsilon_picture(seen: SeenCampaign, words: PageWords) -> Chart | None:
    """Epsilon that was spent up to each release, attempts that failed included, under what was
    approved; None before the first."""
    known = {
        float(event["release"] + 1): float(event["epsilon"])
        for event in seen.events
        if event["event"] in ("release", "lost")
    }
    if not known:
        return None
    plan = seen.status.campaign.mechanism
    spent = sorted(known.items())
    cap = [(1.0, plan.epsilon), (float(len(plan.releases)), plan.epsilon)]
    return line_chart(
        words.say(N_("Epsilon spent per borrower")),
        ChartAxis(words.say(N_("Release")), 1.0, float(max(len(plan.releases), 2)), _whole),
        ChartAxis(words.say(N_("Epsilon")), 0.0, written=_short),
        [
            ChartLine(words.say(N_("Spent")), spent),
            ChartLine(words.say(N_("At most")), cap, dashed=True),
        ],
    )


def evaluation_pictures(curves: EvaluationCurves, words: PageWords) -> list[Chart]:
    """ROC, calibration, and how scores are spread; bands are the 95% interval."""
    share = _percent
    diagonal = [(0.0, 0.0), (1.0, 1.0)]
    top = max(max(x, upper) for x, _, _, upper in curves.calibration.points)
    even = [(0.0, 0.0), (top, top)]
    return [
        line_chart(
            words.say(N_("ROC: who is found, against who is suspected wrongly")),
            ChartAxis(words.say(N_("Repaid, but suspected")), 0.0, 1.0, share),
            ChartAxis(words.say(N_("Did not repay, and found")), 0.0, 1.0, share),
            [
                _line(words.say(N_("The model")), curves.roc),
                ChartLine(words.say(N_("By chance")), diagonal, dashed=True),
            ],
        ),
        line_chart(
            words.say(N_("Calibration: what was predicted, and what happened")),
            ChartAxis(words.say(N_("Predicted not to repay")), 0.0, written=share),
            ChartAxis(words.say(N_("Did not repay")), 0.0, written=share),
            [
                _line(words.say(N_("The model")), curves.calibration),
                ChartLine(words.say(N_("As predicted")), even, dashed=True),
            ],
        ),
        bar_chart(
            words.say(N_("How people are spread over the predicted probability")),
            words.say(N_("Predicted not to repay")),
            ChartAxis(words.say(N_("Share of people")), 0.0, written=share),
            [
                ChartBar(_percent(x), y, (lower, upper))
                for x, y, lower, upper in curves.scores.points
            ],
        ),
    ]


def _line(label: str, curve: Curve) -> ChartLine:
    points = [(x, y) for x, y, _, _ in curve.points]
    return ChartLine(label, points, [(x, lower, upper) for x, _, lower, upper in curve.points])


def _whole(value: float) -> str:
    return f"{value:.0f}"


def _short(value: float) -> str:
    return f"{value:.3g}"


def _percent(value: float) -> str:
    return f"{100 * value:.2g}%" if value < 0.995 else "100%"
