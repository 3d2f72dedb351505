"""The catalogue of data: every column, file and feature, how sensitive, whence; looked through every year."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from support.commands import told

from auditlog.column_types import Base
from consent.catalogue import REVIEWED_AGAIN, items, review_due
from consent.commands.read_campaigns import open_campaigns
from consent.retention import reviewed_on, rules


def test_every_column_of_every_table_is_an_item_with_level_source_and_system():
    """PBOC 数据安全办法 8, 10: each item, whether personal, source, system, sensitivity."""
    found = {one.item: one for one in items()}
    columns = {f"registry.{table.name}.{one.name}" for table in Base.metadata.sorted_tables for one in table.columns}
    assert columns == {name for name in found if name.startswith("registry.")}
    assert {rule.of for rule in rules() if not rule.of.startswith("registry.")} <= set(found)
    for one in found.values():
        assert one.source and one.what and one.law and one.system in {"registry", "coordinator", "lender", "auditor"}
        assert one.personal is (one.level != "none")
    assert {one.level for name, one in found.items() if name.startswith("registry.data_keys.")} == {"high"}
    assert found["node:book.parquet"].level == "high"


def test_what_says_that_it_is_about_nobody_is_not_called_personal():
    for rule in rules():
        if "no person" in rule.what and rule.of != "registry.key_groups":
            assert rule.level == "none", rule.of
        if rule.level == "none" and rule.of.startswith("registry."):
            assert not {"subject_id", "pseudonym"} & {one.name for one in rule.table.columns}, rule.of


def test_features_of_campaigns_stand_in_it_at_the_level_of_their_category(market):
    market.consenting("aspen", 1)
    market.campaign()
    found = {one.item: one for one in items(open_campaigns(market.registry)) if one.item.startswith("feature:")}
    assert found["feature:late"].level == "personal" and found["feature:income"].level == "high"
    assert all(one.source.startswith("lender: ") and one.what for one in found.values())
    market.clock.move(hours=2)
    assert open_campaigns(market.registry) == []


def test_the_rules_were_looked_through_within_a_year():
    assert reviewed_on() <= date.today()
    assert review_due(date.today()) is None, "look through consent/retention.toml, then set reviewed_on"


@pytest.mark.parametrize(("after", "due"), [(0, False), (365, False), (366, True), (1000, True)])
def test_the_review_is_due_after_a_year(after, due):
    found = review_due(reviewed_on() + timedelta(days=after))
    assert (found == reviewed_on() + REVIEWED_AGAIN) if due else found is None


def test_the_operator_prints_it(house):
    house.stop_registry()
    found = told("registry", "catalogue", "--home", house.founded.registry_home)
    assert found["due"] is None and found["reviewed_on"] == reviewed_on().isoformat()
    assert {"item", "system", "personal", "level", "source", "law", "what"} == set(found["items"][0])
