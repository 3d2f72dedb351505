"""What the registry published, an auditor reads too: a notice that says nothing is named, whatever it was told."""

from __future__ import annotations

import json

from support.commands import done, tahini

from consent.auditing import unfit
from law.categories import DataCategory


def test_an_auditor_names_a_notice_that_could_not_be_published(house, monkeypatch):
    """Traced: a registry that published "ok?" had a log in order, a clean sample, and a pack on its own word."""
    known = ("--registry-key", house.founded.registry_key.public.text, "--url", house.url)
    verify = ("log", "verify", *known, "--auditor", house.founded.coordinator_home.parent / "auditor", "--json")
    house.anyone().inclusion(0, wait=True)
    assert json.loads(done(*verify))["unfit_notices"] == []
    monkeypatch.setattr("consent.commands.publish_notice.lint", lambda _: [])
    terms = house.notice.terms.model_copy(update={"categories": tuple(DataCategory)})
    short = house.notice.model_copy(update={"version": 2, "texts": {"en": "ok?"}, "terms": terms})
    operator = house.founded.operator(house.url)
    operator.publish_notice(short, house.founded.registry_key)
    operator.close()
    house.registry.ledger.catch_up()
    result = tahini(*verify)
    assert result.exit_code == 0 and "could not be published today" in result.stderr
    (found,) = json.loads(result.stdout)["unfit_notices"]
    assert (found["notice"], found["version"]) == (short.id, 2)


def test_a_version_to_which_no_yes_counts_any_more_is_not_named(house):
    """What a later version reaches further than is asked again."""
    before = house.notice.model_copy(update={"texts": {"en": "ok?"}})
    longer = before.terms.model_copy(update={"retention_period_days": before.terms.retention_period_days + 1})
    after = house.notice.model_copy(update={"version": 2, "terms": longer})
    named = [one.version for one, _ in unfit([before, after], house.registry.consortium)]
    assert named == [2], "its text says other terms"
    assert [one.version for one, _ in unfit([before], house.registry.consortium)] == [1]
