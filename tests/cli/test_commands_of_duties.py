"""Commands that a duty of law points to, and that nothing else runs: what they say to whoever asks."""

from __future__ import annotations

import json

from support.commands import done, tahini, told

from server.desired_state import run_requested

SHORT = """
id = "{id}"
version = {version}
recipients = ["aspen"]
[texts]
en = "May we?"
[terms]
categories = ["repayment", "location"]
retention_period_days = 9000
"""


def test_a_notice_is_checked_and_compared_before_it_is_published(house, tmp_path):
    file, home = tmp_path / "notice.toml", house.founded.registry_home
    file.write_text(SHORT.format(id=house.notice.id, version=2), encoding="utf-8")
    checked = tahini("notice", "check", file, "--home", home, "--json")
    broken = json.loads(checked.stdout)["broken"]
    assert checked.exit_code == 1 and len(broken) > 3 and all(one["article"] for one in broken)
    more = told("notice", "changes", file, "--home", home)["reaches_further"]["1"]
    assert "category location is new" in more and "data are kept 9000 days" in more


def test_every_attempt_is_told_with_what_it_cost(active):
    active.open_gate(0)
    home = active.founded.node_home("aspen")
    (row,) = told("budget", "explain", active.campaign.sha256[:12], "--home", home)["attempts"]
    assert (row["release"], row["attempt"]) == (0, 1) and 0 < row["epsilon_so_far"] < 1


def test_a_campaign_is_stopped_before_its_next_release(active):
    coordinator = active.coordinator()
    folder = coordinator.folder(active.campaign.sha256)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "campaign.jws").write_text(active.campaign.sign(coordinator.key), encoding="utf-8")
    home = active.founded.coordinator_home
    assert "stops before its next release" in done("campaign", "stop", active.campaign.sha256[:12], "--home", home)
    assert not run_requested(folder)


def test_an_attack_on_the_build_says_what_it_found(monkeypatch):
    monkeypatch.setattr("cli.privacy.MOST_PEOPLE", 600)
    found = tahini("privacy", "audit", "--canaries", "20", "--json")
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)
