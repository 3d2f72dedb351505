"""The page of ``tahini watch report --html``: one file without a script, in English or Chinese."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import jinja2

from screens.house.charts import Chart, ChartAxis, ChartLine, line_chart
from watching.intake import Shift
from watching.readings import IntakeReading, Light, WatchReport

FOLDER = Path(__file__).parent
VIEWS = FOLDER.parent / "screens" / "house" / "views"
STYLE = FOLDER.parent / "screens" / "house" / "assets" / "house.css"
NORMAL_95 = 1.96
MOST_FEATURES = 5
Say = Callable[..., str]

CHINESE: Mapping[str, str] = {
    "Watching a model": "模型监测",
    "Nothing that matters has moved, and these figures would show it.": (
        "没有发生重要变化；若有变化，这些数据能够反映出来。"
    ),
    "Something moved in the latest period alone: wait for the next before anything is done.": (
        "仅在最近一期出现变化：请等下一期数据再采取措施。"
    ),
    "Something moved in two periods together: there is an alarm.": "连续两期出现变化：已触发预警。",
    "Too few people, or too much noise, to say anything.": "人数太少或噪声太大，无法判断。",
    "All good": "正常",
    "Wait": "观察",
    "Alarm": "预警",
    "Cannot be said": "无法判断",
    "Who comes through the door": "申请人群",
    "Period": "期间",
    "People": "人数",
    "Stability of the score": "分数稳定性（PSI）",
    "What moved": "发生变化的指标",
    "nothing": "无",
    "too few to say": "人数太少，无法判断",
    "Stability index, with 95 in 100": "稳定性指数（含 95% 区间）",
    "score": "分数",
    "no change": "无变化线",
    "matters": "需要关注",
    "Share approved, by what the model says of them": "获批比例（按模型预测的违约率分组）",
    "Before": "以前",
    "Now": "现在",
    "What became of loans": "贷款结果",
    "Bad, by what the model expected": "实际违约与模型预测",
    "expected": "预测",
    "observed": "实际",
    "below 0.1 nothing needs to be done; an index is larger than it by noise once in a hundred "
    "months at most": "低于 0.1 无需处理；仅因噪声而超过该值的情况，一百期中至多一次",
    "The same as a table": "以表格显示",
    "Every figure is of a sum over all lenders with noise that protects each person; its error is "
    "beside it.": "所有数字均为各机构合计数，并加入了保护每个人的噪声；误差列于其后。",
}
LIGHTS: Mapping[Light, tuple[str, str]] = {
    Light.GREEN: ("All good", "Nothing that matters has moved, and these figures would show it."),
    Light.AMBER: (
        "Wait",
        "Something moved in the latest period alone: wait for the next before anything is done.",
    ),
    Light.RED: ("Alarm", "Something moved in two periods together: there is an alarm."),
    Light.GREY: ("Cannot be said", "Too few people, or too much noise, to say anything."),
}


def page(found: WatchReport, title: str, language: str) -> str:
    """One HTML file. Raises nothing: what cannot be said is said to be so."""

    def say(text: str, **named: object) -> str:
        return (CHINESE[text] if language == "zh" else text).format(**named)

    loader = jinja2.ChoiceLoader([jinja2.FileSystemLoader(FOLDER), jinja2.FileSystemLoader(VIEWS)])
    pages = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.i18n"],
    )
    pages.install_gettext_callables(  # type: ignore[attr-defined]
        say, lambda one, many, count: say(one if count == 1 else many), newstyle=False
    )
    return pages.get_template("watch_report.html").render(
        language=language,
        title=title,
        say=say,
        range=lambda text: _range(text, language),
        found=found,
        light=LIGHTS[found.light],
        style=STYLE.read_text(encoding="utf-8"),
        charts=[one for one in (_stability(found, say), _calibration(found, say, language)) if one],
    )


def _range(text: str, language: str) -> str:
    """``below 5%``, ``5% to 12%``, ``2026-04-01 to 2026-06-30``; a month stays as it is."""
    if language != "zh":
        return text
    for english, chinese in (("below ", "低于 "), ("above ", "高于 "), (" to ", " 至 ")):
        text = text.replace(english, chinese)
    return text


def _stability(found: WatchReport, say: Say) -> Chart | None:
    """The score's index, and those of the features that moved most, by period."""
    if not found.intake:
        return None
    places = range(1, len(found.intake) + 1)

    def line(label: str, of: Callable[[IntakeReading], Shift | None]) -> ChartLine:
        points, band = [], []
        for at, reading in zip(places, found.intake, strict=True):
            shift = of(reading)
            if shift is None or not shift.speaks:
                continue
            value, error = shift.psi, shift.error
            points.append((float(at), max(value, 0.0)))
            half = NORMAL_95 * error
            band.append((float(at), max(value - half, 0.0), max(value + half, 0.0)))
        return ChartLine(label, points, band)

    latest = found.intake[-1].features
    told = {name: one.psi for name, one in latest.items() if one is not None and one.speaks}
    names = sorted(told, key=lambda name: -told[name])[: MOST_FEATURES - 1]
    lines = [line(say("score"), lambda reading: reading.score)]
    lines += [line(name, partial(_of_feature, name)) for name in names]
    periods = [one.period for one in found.intake]

    def written(at: float) -> str:
        whole = round(at)
        return periods[whole - 1] if whole == at and 1 <= whole <= len(periods) else ""

    return line_chart(
        say("Stability index, with 95 in 100"),
        ChartAxis(say("Period"), 0.5, len(periods) + 0.5, written),
        ChartAxis(say("Stability of the score"), 0.0, None, "{:.2f}".format),
        lines,
    )


def _of_feature(name: str, reading: IntakeReading) -> Shift | None:
    return reading.features[name]


def _calibration(found: WatchReport, say: Say, language: str) -> Chart | None:
    """Bad beside expected in the latest outcomes, by group."""
    if not found.outcomes:
        return None
    latest = found.outcomes[-1]
    told = [(one.expected, one.share) for one in latest.bad if one.share is not None and one.speaks]
    observed = ChartLine(
        f"{say('observed')} {_range(latest.period, language)}",
        [(expected, share.rate.value) for expected, share in told],
        [(expected, share.rate.low, share.rate.high) for expected, share in told],
    )
    right = ChartLine(say("expected"), [(one, one) for one, _ in told], dashed=True)
    percent = "{:.0%}".format
    return line_chart(
        say("Bad, by what the model expected"),
        ChartAxis(say("expected"), None, None, percent),
        ChartAxis(say("observed"), 0.0, None, percent),
        [observed, right],
    )
