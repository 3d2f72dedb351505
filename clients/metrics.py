"""A node's figures for Prometheus: attempts and kinds. How many people a release used is for
nobody's dashboard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from clients.budget_ledger import BudgetLedger


class LedgerCollector(Collector):
    """Release attempts in the ledger by kind, and how many of them were not settled."""

    def __init__(self, store: BudgetLedger) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        lines = self._store.ledger()
        attempts = CounterMetricFamily(
            "tahini_node_attempts", "Release attempts reserved.", labels=["kind"]
        )
        for kind, count in sorted(Counter(line.kind for line in lines).items()):
            attempts.add_metric([kind], count)
        open_ones = GaugeMetricFamily(
            "tahini_node_unsettled", "Attempts that were reserved and not settled."
        )
        open_ones.add_metric([], sum(line.settled_at is None for line in lines))
        yield from (attempts, open_ones)
