"""``tahini desk``: made, filled, looked after; every refusal is one sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from click.testing import CliRunner
from support.house import Ground
from support.lending_house import PROFILES, write_home

from clients.models import MODELS_FOLDER, RECALLS_FILE, KeptModel, check
from crypto.keys import SigningKey
from desk.consents import ScoringConsents
from desk.home import DeskSettings, open_desk
from desk.lending_rules import ReleasedRules
from desk.released import REFERENCE_FILE, read_scorer
from law.categories import DataCategory
from protocol.recalls import ModelRecall
from protocol.schema import now
from tahini import main


@pytest.fixture(scope="module")
def made(
    after_release: Ground, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, Path, SigningKey, str]]:
    """A node with a released model, beside which desks are made."""
    root = tmp_path_factory.mktemp("made")
    with after_release.copy(root / "house").opened() as house:
        assert house.campaign is not None
        node = house.node()
        KeptModel.fetch(house.client(), house.campaign.sha256).write(node.home / MODELS_FOLDER / house.campaign.sha256)
        yield root, node.home, SigningKey.generate(), house.campaign.sha256


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(main, ["desk", *map(str, arguments)])


def told(*arguments: Any) -> Any:
    found = run(*arguments, "--json")
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


def test_a_desk_is_made_and_looked_after(made, tmp_path: Path):
    _, node, risk, sha256 = made
    home = tmp_path / "desk"
    found = run("init", "--home", home, "--node", node, "--risk-key", risk.public.text, "--model", sha256)
    assert found.exit_code == 0, found.output
    assert {path.name: oct(path.stat().st_mode)[-3:] for path in home.glob("*.key")} == {
        "desk.key": "600", "exploration.key": "600",
    }  # fmt: skip
    missing = run("status", "--home", home)
    assert missing.exit_code == 1 and len(missing.stderr.strip().splitlines()) == 1
    from clients.home import Node

    scorer, _ = read_scorer(Node.open(node), sha256, now().date())
    write_home(home, risk, scorer)
    (home / REFERENCE_FILE).unlink()
    nothing = run("status", "--home", home)
    assert nothing.exit_code == 1 and "tahini desk reference" in nothing.stderr
    pd.DataFrame(PROFILES).to_parquet(tmp_path / "sample.parquet")
    score = scorer.score(PROFILES[0]).score
    made_it = run("reference", "--home", home, "--data", tmp_path / "sample.parquet", "--cut-off", score)
    assert made_it.exit_code == 0, made_it.output
    found = told("status", "--home", home)
    assert found["applications"] == {} and len(found["policies"]["daily-30"]) == 64
    assert told("replay", "--home", home)["same"] == 0
    assert told("reviews", "--home", home) == {"reviews": []}
    watched = told("monitor", "--home", home)
    assert (watched["months"], watched["alarm"], watched["refusing"]) == ({}, False, None)
    assert watched["portfolio"].pop("book")["lent"] == 0
    assert watched["portfolio"] == {"rolls": [], "first_payments": [], "late_turned_bad": None, "expected": None}
    assert (watched["challengers"], told("replay", "--home", home)["silent"]["differs"]) == ([], [])
    assert told("monitor", "--home", home, "--loss-given-default", "0.6")["portfolio"]["expected"]["loss"] == 0
    for share in ("1.1", "-1", "half"):
        assert run("monitor", "--home", home, "--loss-given-default", share).exit_code == 1
    assert "no alarm" in run("monitor", "--home", home).output
    public = told("principles", "--home", home)
    there = now().astimezone(ZoneInfo(DeskSettings.model_fields["timezone"].default)).date()  # tomorrow, at times
    assert (public["model"]["kind"], public["model"]["reviewed_as_of"]) == ("scorecard", there.isoformat())
    assert public["model"]["released_on"] == now().date().isoformat() and public["model"]["families"]
    assert "目的" in run("principles", "--home", home, "--language", "zh").output
    assert told("retain", "--home", home, "--days", 30) == {"forgotten": 0, "kept": 0}
    nobody = run("person", "--home", home, "--pseudonym", "v1.nobody", "--out", tmp_path / "them.json")
    assert nobody.exit_code == 1 and "keeps nothing" in nobody.stderr and not (tmp_path / "them.json").exists()


def test_a_recalled_model_scores_nobody(made, tmp_path: Path):
    _, node, risk, sha256 = made
    from clients.home import Node

    home, kept = tmp_path / "desk", node / MODELS_FOLDER / sha256
    run("init", "--home", home, "--node", node, "--risk-key", risk.public.text, "--model", sha256)
    opened = Node.open(node)
    scorer, _ = read_scorer(opened, sha256, now().date())
    write_home(home, risk, scorer)
    assert run("status", "--home", home).exit_code == 0
    found = check(KeptModel.read(kept), sha256, opened.consortium)
    recall = ModelRecall(
        campaign_sha256=sha256, card_sha256=found.card.sha256, party=opened.lender,
        reason="it declines whoever lives by the river", recalled_at=now(),
    )  # fmt: skip
    before = (kept / RECALLS_FILE).read_bytes()
    (kept / RECALLS_FILE).write_text(json.dumps([recall.sign(opened.key)]), encoding="utf-8")
    try:
        by_hand = run("status", "--home", home)
        assert by_hand.exit_code == 0 and "lives by the river" in by_hand.stdout
        refused = run("reference", "--home", home, "--data", home / "desk.json", "--cut-off", 500)
        assert refused.exit_code == 1 and "lives by the river" in refused.stderr
    finally:
        (kept / RECALLS_FILE).write_bytes(before)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet", b"PAR1" + b"\x00" * 40 + b"PAR1"])
def test_a_sample_that_cannot_be_read_makes_no_reference(made, tmp_path: Path, content: bytes):
    _, node, risk, sha256 = made
    home, sample = tmp_path / "desk", tmp_path / "sample.parquet"
    run("init", "--home", home, "--node", node, "--risk-key", risk.public.text, "--model", sha256)
    sample.write_bytes(content)
    found = run("reference", "--home", home, "--data", sample, "--cut-off", "600")
    assert found.exit_code == 1 and str(sample) in found.stderr and len(found.stderr.strip().splitlines()) == 1
    assert not (home / REFERENCE_FILE).exists()


def test_callers_are_added_once_and_revoked(made, tmp_path: Path):
    _, node, risk, _ = made
    home = tmp_path / "desk"
    run("init", "--home", home, "--node", node, "--risk-key", risk.public.text)
    token = told("add-caller", "--home", home, "--name", "li", "--role", "reviewer")["token"]
    assert len(token) == 43 and token.encode() not in (home / "desk.db").read_bytes()
    assert run("add-caller", "--home", home, "--name", "li", "--role", "reader").exit_code == 1
    assert run("revoke-caller", "--home", home, "--name", "li").exit_code == 0
    assert run("revoke-caller", "--home", home, "--name", "wu").exit_code == 1
    (one,) = told("callers", "--home", home)["callers"]
    assert (one["name"], one["role"], one["revoked"]) == ("li", "reviewer", True)


def test_a_policy_of_somebody_elses_is_not_used(made, tmp_path: Path):
    _, node, risk, sha256 = made
    from clients.home import Node

    home = tmp_path / "desk"
    run("init", "--home", home, "--node", node, "--risk-key", SigningKey.generate().public.text, "--model", sha256)
    scorer, _ = read_scorer(Node.open(node), sha256, now().date())
    write_home(home, risk, scorer)
    refused = run("status", "--home", home)
    assert refused.exit_code == 1 and "does not verify" in refused.stderr


def test_reasons_without_words_stop_the_desk(made, tmp_path: Path):
    _, node, risk, sha256 = made
    from clients.home import Node

    home = tmp_path / "desk"
    run("init", "--home", home, "--node", node, "--risk-key", risk.public.text, "--model", sha256)
    scorer, _ = read_scorer(Node.open(node), sha256, now().date())
    write_home(home, risk, scorer)
    (home / "reasons.toml").unlink()
    refused = run("status", "--home", home)
    assert refused.exit_code == 1 and "has no words" in refused.stderr


def test_what_the_consortium_declares_sensitive_reaches_the_consents(made, tmp_path: Path, monkeypatch):
    from clients.home import Node

    _, node, risk, sha256 = made
    home = tmp_path / "desk"
    run("init", "--home", home, "--node", node, "--risk-key", risk.public.text, "--model", sha256)
    scorer, _ = read_scorer(Node.open(node), sha256, now().date())
    write_home(home, risk, scorer)
    monkeypatch.setattr(ReleasedRules, "declared_sensitive", frozenset({DataCategory.REPAYMENT}))
    desk = open_desk(home)
    try:
        assert isinstance(desk.permits, ScoringConsents)
        assert desk.permits._declared == {DataCategory.REPAYMENT}
    finally:
        desk.close()
