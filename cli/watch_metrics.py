"""Figures of a watched model for Prometheus, as a file for node_exporter's textfile collector.

Of the latest period of each kind, which is named; a figure that cannot be told is left out, so that
nobody takes silence for zero. Every figure has its error beside it.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from watching.readings import Light, WatchReport
from watching.released import ReleasedFigure
from watching.shares import Noisy


class _Gauges:
    """Gauges of one campaign's model, made as they are first set."""

    def __init__(self, campaign: str) -> None:
        self.collected = CollectorRegistry()
        self._campaign = campaign
        self._made: dict[str, Gauge] = {}

    def set(self, name: str, told: str, value: float, **labels: str) -> None:
        if name not in self._made:
            names = ("campaign", *labels)
            self._made[name] = Gauge(f"tahini_watch_{name}", told, names, registry=self.collected)
        self._made[name].labels(self._campaign, *labels.values()).set(value)

    def figure(self, name: str, told: str, value: float, error: float, **labels: str) -> None:
        self.set(name, told, value, **labels)
        self.set(f"{name}_error", f"{told}: its standard error", error, **labels)


def metrics(found: WatchReport, campaign: str) -> bytes:
    """In the text format of Prometheus.

    Args:
        campaign: by whose model; the beginning of its hash.
    """
    gauges = _Gauges(campaign)
    for light in Light:
        lit = float(found.light is light)
        gauges.set("light", "1 for the light that the report shows", lit, light=light.value)
    for one in (*found.alarms, *found.own):
        told = "1 for each cause of an alarm"
        gauges.set("alarm", told, 1.0, cause=one.cause.value, where=one.where.value)
    _intake(gauges, found)
    _outcomes(gauges, found)
    return generate_latest(gauges.collected)


def _intake(gauges: _Gauges, found: WatchReport) -> None:
    for latest in found.intake[-1:]:
        gauges.set(
            "period", "which period figures are of", 1.0, kind="intake", period=latest.period
        )
        _people(gauges, latest.people, "intake")
        for name, shift in {"score": latest.score, **latest.features}.items():
            if shift is not None and shift.speaks:
                told = "population stability index since the model was trained"
                gauges.figure("stability_index", told, shift.psi, shift.error, figure=name)


def _outcomes(gauges: _Gauges, found: WatchReport) -> None:
    for latest in found.outcomes[-1:]:
        period = latest.period
        gauges.set("period", "which period figures are of", 1.0, kind="outcomes", period=period)
        _people(gauges, latest.people, "outcomes")
        if (whole := latest.whole) is not None:
            for name, told in (
                ("auc", "area under the ROC curve"),
                ("ks", "Kolmogorov and Smirnov's distance"),
                ("bad_rate", "share of bad people"),
                ("observed_to_expected", "bad people over those that the model expected"),
            ):
                one: ReleasedFigure = getattr(whole, name)
                gauges.figure(name, told, one.value, one.error)


def _people(gauges: _Gauges, counted: Noisy, kind: str) -> None:
    gauges.figure("people", "people counted", counted.value, counted.std, kind=kind)
