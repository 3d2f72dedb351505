"""Charts as SVG from numbers: shapes that a template draws with classes only, a table beside them.

No library: matplotlib's SVG carries ``style`` attributes, which our Content Security Policy drops.
Lengths are in units of the view box, :data:`WIDTH` by :data:`HEIGHT`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

WIDTH, HEIGHT = 400, 240
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 12, 36
"""Margins: ticks stand in the left and the lower one."""
COLOURS = 6
"""How many series one chart may tell apart."""
Format = Callable[[float], str]


@dataclass(frozen=True)
class ChartLine:
    """One series. ``band`` holds (x, lower, upper): an interval around it, none where it is
    empty."""

    label: str
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float, float]] = ()
    dashed: bool = False


@dataclass(frozen=True)
class ChartBar:
    """One category's value, with an interval where one is known."""

    label: str
    value: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class ChartAxis:
    """A named axis. ``low`` and ``high`` where the data shall not say what is shown."""

    name: str
    low: float | None = None
    high: float | None = None
    written: Format = "{:g}".format


@dataclass(frozen=True)
class Tick:
    at: float
    text: str


@dataclass(frozen=True)
class Mark:
    """A shape: ``kind`` and ``colour`` are its classes, ``path`` its outline."""

    kind: str
    colour: int
    path: str


@dataclass(frozen=True)
class Chart:
    """What a template draws."""

    title: str
    x: str
    y: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    marks: tuple[Mark, ...]
    legend: tuple[str, ...]
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    width: int = field(default=WIDTH, init=False)
    height: int = field(default=HEIGHT, init=False)
    left: int = field(default=LEFT, init=False)
    right: int = field(default=WIDTH - RIGHT, init=False)
    top: int = field(default=TOP, init=False)
    bottom: int = field(default=HEIGHT - BOTTOM, init=False)


def ticks(low: float, high: float, about: int = 5) -> tuple[float, ...]:
    """Round numbers from at or below ``low`` to at or above ``high``, a step of 1, 2 or 5 times a
    power of ten apart."""
    if not high > low:
        low, high = low - 0.5, high + 0.5
    power = 10.0 ** math.floor(math.log10((high - low) / about))
    step = next(power * one for one in (1, 2, 5, 10) if (high - low) / (power * one) <= about)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(one * step for one in range(first, last + 1))


def line_chart(title: str, x: ChartAxis, y: ChartAxis, lines: Sequence[ChartLine]) -> Chart:
    """Lines over one another; points that are no finite numbers are left out of the picture and
    stand in the table as a dash.

    Raises:
        ValueError: more lines than can be told apart.
    """
    if len(lines) > COLOURS:
        raise ValueError(f"{len(lines)} lines; {COLOURS} can be told apart")
    shown = [point for line in lines for point in line.points if _finite(*point)]
    bands = [one for line in lines for one in line.band if _finite(*one)]
    heights = [one for _, one in shown] + [one for _, *ends in bands for one in ends]
    across, up = _Scale.across(x, [one for one, _ in shown]), _Scale.up(y, heights)
    marks: list[Mark] = []
    for colour, line in enumerate(lines):
        band = [one for one in line.band if _finite(*one)]
        if band:
            there = [(across(at), up(upper)) for at, _, upper in band]
            back = [(across(at), up(lower)) for at, lower, _ in reversed(band)]
            marks.append(Mark("band", colour, _path([*there, *back]) + "Z"))
    for colour, line in enumerate(lines):
        points = [(across(at), up(value)) for at, value in line.points if _finite(at, value)]
        if points:
            marks.append(Mark("dashed" if line.dashed else "line", colour, _path(points)))
            marks += [Mark("dot", colour, _dot(one)) for one in points if len(points) <= 24]
    places = sorted({at for line in lines for at, _ in line.points})
    values = [dict(line.points) for line in lines]
    rows = tuple(
        (x.written(at), *(_cell(one.get(at), y.written) for one in values)) for at in places
    )
    names = tuple(line.label for line in lines)
    return Chart(
        title,
        x.name,
        y.name,
        across.named(x.written),
        up.named(y.written),
        tuple(marks),
        names,
        (x.name, *names),
        rows,
    )


def bar_chart(title: str, x: str, y: ChartAxis, bars: Sequence[ChartBar]) -> Chart:
    """A bar for each category, from zero."""
    ends = [one.value for one in bars if math.isfinite(one.value)]
    ends += [end for one in bars for end in one.interval or ()]
    up = _Scale.up(y, [0.0, *ends])
    slot = (WIDTH - LEFT - RIGHT) / max(len(bars), 1)
    marks: list[Mark] = []
    for at, bar in enumerate(bars):
        left, middle = LEFT + slot * (at + 0.15), LEFT + slot * (at + 0.5)
        if math.isfinite(bar.value):
            top = up(bar.value)
            marks.append(
                Mark("bar", 0, f"M{left:.1f} {up(0):.1f}V{top:.1f}h{slot * 0.7:.1f}V{up(0):.1f}Z")
            )
        if bar.interval is not None:
            lower, upper = map(up, bar.interval)
            marks.append(Mark("whisker", 0, f"M{middle:.1f} {lower:.1f}V{upper:.1f}"))
    every = max(1, math.ceil(len(bars) / 8))
    named = tuple(
        Tick(LEFT + slot * (at + 0.5), bar.label) for at, bar in enumerate(bars) if at % every == 0
    )
    rows = tuple((bar.label, _cell(bar.value, y.written)) for bar in bars)
    return Chart(title, x, y.name, named, up.named(y.written), tuple(marks), (), (x, y.name), rows)


@dataclass(frozen=True)
class _Scale:
    """From values to lengths, and the round values that are named."""

    low: float
    high: float
    begin: float
    end: float
    at: tuple[float, ...]

    @classmethod
    def across(cls, axis: ChartAxis, values: Sequence[float]) -> _Scale:
        return cls._of(axis, values, LEFT, WIDTH - RIGHT)

    @classmethod
    def up(cls, axis: ChartAxis, values: Sequence[float]) -> _Scale:
        return cls._of(axis, values, HEIGHT - BOTTOM, TOP)

    @classmethod
    def _of(cls, axis: ChartAxis, values: Sequence[float], begin: float, end: float) -> _Scale:
        low = axis.low if axis.low is not None else min(values, default=0.0)
        high = axis.high if axis.high is not None else max(values, default=1.0)
        at = ticks(low, high)
        low = low if axis.low is not None else at[0]
        high = high if axis.high is not None else at[-1]
        if not high > low:
            high = low + 1.0
        within = tuple(one for one in at if low - 1e-9 <= one <= high + 1e-9)
        return cls(low, high, begin, end, within)

    def __call__(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.begin + share * (self.end - self.begin)

    def named(self, written: Format) -> tuple[Tick, ...]:
        return tuple(Tick(self(one), written(one)) for one in self.at)


def _finite(*numbers: float) -> bool:
    return all(math.isfinite(one) for one in numbers)


def _cell(value: float | None, written: Format) -> str:
    return "–" if value is None or not math.isfinite(value) else written(value)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _dot(point: tuple[float, float]) -> str:
    x, y = point
    return f"M{x - 2.5:.1f} {y:.1f}a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0 -5 0Z"
