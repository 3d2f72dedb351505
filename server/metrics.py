"""The coordinator's figures for Prometheus, read from its folders when asked for: they survive
every restart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.desired_state import Stage, events, read_state
from server.errors import CoordinatorError


class CampaignCollector(Collector):
    """Campaigns by stage; releases, and losses of lenders, by campaign."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "campaigns"

    def collect(self) -> Iterator[Metric]:
        stages: Counter[str] = Counter()
        releases = CounterMetricFamily("tahini_releases", "Releases made.", labels=["campaign"])
        lost = CounterMetricFamily(
            "tahini_lost", "Times that a lender was lost on the way.", labels=["campaign"]
        )
        for folder in sorted(self._folder.iterdir()):
            try:
                stages[read_state(folder).stage] += 1
            except CoordinatorError:
                stages["damaged"] += 1
            told = Counter(str(event["event"]) for event in events(folder))
            releases.add_metric([folder.name[:12]], told["release"])
            lost.add_metric([folder.name[:12]], told["lost"])
        standing = GaugeMetricFamily("tahini_campaigns", "Campaigns by stage.", labels=["stage"])
        for stage in (*Stage, "damaged"):
            standing.add_metric([str(stage)], stages[stage])
        yield from (standing, releases, lost)
