"""The attack on a whole campaign, through what a lender keeps its rows in and not in behind it."""

import pytest
from support.credit_tables import PLAN, REGISTRY, TABLES

import clients.data.columns
from credit.auditing import Attack, audit
from credit.learning import Learner
from credit.values import numbers
from demo.sources import reading_through
from demo.through import Through


def attack(through):
    attack = Attack(canaries=60, through=reading_through(through, REGISTRY))
    return audit(Learner(REGISTRY, "scorecard", PLAN, 0), TABLES, attack)


@pytest.mark.parametrize("through", Through)
def test_an_honest_build_passes_through_every_source(through):
    report = attack(through)
    assert report.passed, report.findings


def test_a_source_that_looks_at_a_whole_column_is_caught(monkeypatch):
    def by_its_largest(column):
        found = numbers(column)
        return found._replace(values=found.values * (1 + (found.values > 1e5).any()))

    monkeypatch.setattr(clients.data.columns, "numbers", by_its_largest)
    assert any("change one another" in finding for finding in attack(Through.CSV).findings)
