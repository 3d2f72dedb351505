"""``tahini audit``: from the form to the remedy."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from support.commands import done, refused, tahini, told

from cli.audit import TEMPLATE
from crypto.keys import save_recipient_key, save_signing_key
from protocol.schema import now


@pytest.fixture
def auditing(listening, tmp_path):
    """A served consortium, and what its auditor says each time."""
    house, home = listening, tmp_path / "auditor"
    home.mkdir()
    save_signing_key(home / "auditor.key", house.founded.auditor_key)
    save_recipient_key(home / "auditor.recipient.key", house.founded.auditor_recipient)
    (home / "consortium.jws").write_text(house.founded.token, encoding="utf-8")
    known = ("--url", house.url, "--registry-key", house.founded.registry_key.public.text)
    return house, ("--auditor", home, *known)


def test_from_the_form_to_the_remedy(auditing, tmp_path):
    house, known = auditing
    form = tmp_path / "audit.toml"
    assert done("audit", "template") == TEMPLATE
    yesterday = (now() - timedelta(days=1)).date().isoformat()
    form.write_text(TEMPLATE.replace("last = 2026-10-31", f"last = {yesterday}"), encoding="utf-8")
    found = json.loads(done("audit", "report", form, *known, "--json"))
    size = house.client().head().size
    home, birch = house.founded.node_home("aspen"), house.founded.node_home("birch")
    shown = told("audit", "show", found["sha256"][:10], "--home", home)
    assert 0 < shown["report"]["log_size"] <= size and shown["remedies"] == []
    listed = done("audit", "list", "--home", home)
    assert f"due by {found['remedy_by']}" in listed and "birch: audited again by now: it never was" in listed
    refused("audit", "remedy", found["sha256"], "late-answers", "--home", birch, "--done", "It was remedied.")
    done("audit", "remedy", found["sha256"], "late-answers", "--home", home, "--done", "Two more people answer them.")
    assert "Two more people" in done("audit", "show", found["sha256"], "--home", home)
    (report,) = told("audit", "list", "--home", home)["reports"]
    assert [one["remedied"] for one in report["findings"]] == [True]


def test_what_the_form_may_not_say_is_refused(auditing, tmp_path):
    _, known = auditing
    form = tmp_path / "audit.toml"
    form.write_text(TEMPLATE + '\n[[findings]]\nid = "x"\n', encoding="utf-8")
    assert "findings" in refused("audit", "report", form, *known)
    form.write_text("log_size = 3\n" + TEMPLATE, encoding="utf-8")
    assert "filled in by the command" in refused("audit", "report", form, *known)
    assert tahini("audit", "report", tmp_path / "none.toml", *known).exit_code != 0
