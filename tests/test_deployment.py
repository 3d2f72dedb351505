"""The real thing: registry, witnesses, SuperLink with TLS and node authentication, nodes, each a process of its own.

One consortium, brought up once; every test uses the commands that people use.
"""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from support.effort import slow

from clients.node import Node
from consent.documents import Campaign, Role
from credit.models import CreditModel
from demo.loans import default_loans
from demo.local import _keep, down, is_running, processes, start, up
from server.card import ModelCard
from server.desired import Stage, events, read_state
from tahini import main

pytestmark = slow
LENDERS = ("aspen", "birch", "cedar")
PLAN = ["--steps", "2", "--hold-out", "0", "--epsilon", "0.5", "--collusion-bound", "0", "--spare-attempts", "2"]


class Silent:
    def begin(self, step): ...
    def advance(self, done, total): ...
    def end(self, result): ...
    def round(self, number, total, auc, epsilon): ...
    def lost(self, lenders, reason): ...


class Consortium:
    def __init__(self, root: Path) -> None:
        self.root, self.home, self.campaigns = root, root / "coordinator", 0

    def tahini(self, *arguments: str, code: int = 0) -> str:
        done = CliRunner().invoke(main, list(arguments))
        assert done.exit_code == code, done.output
        return done.stdout

    def node(self, lender: str) -> Path:
        return self.root / "lenders" / lender

    def propose(self, *options: str) -> str:
        self.campaigns += 1
        told = self.tahini(
            "campaign", "propose", "--home", str(self.home), "--id", f"c{self.campaigns}", "--title", "T", "--json",
            "--features", str(self.root / "features.toml"), *PLAN,
            *options,
        )  # fmt: skip
        return str(json.loads(told)["campaign"])

    def approve(self, campaign: str, lenders=LENDERS) -> None:
        for lender in lenders:
            self.tahini("campaign", "approve", campaign[:12], "--home", str(self.node(lender)), "--yes", "--json")

    def launch(self, campaign: str) -> None:
        self.tahini("campaign", "launch", campaign[:12], "--home", str(self.home))

    def watch(self, campaign: str, code: int = 0) -> str:
        return self.tahini(
            "campaign", "watch", campaign[:12], "--home", str(self.home), "--timeout", "150", code=code
        )  # fmt: skip

    def folder(self, campaign: str) -> Path:
        return self.home / "campaigns" / campaign

    def wait_for_release(self, campaign: str, number: int) -> None:
        deadline = time.monotonic() + 120
        while not any(e["event"] == "release" and e["release"] >= number for e in events(self.folder(campaign))):
            assert time.monotonic() < deadline, list(events(self.folder(campaign)))
            time.sleep(0.05)

    def kill(self, name: str, again: bool = True) -> None:
        """Signal 9 to a process of the consortium; starting it again is what its operator's init system does."""
        kept = []
        for process in processes(self.root):
            if process.name == name and is_running(process):
                os.kill(process.pid, signal.SIGKILL)
                os.waitpid(process.pid, 0)
            kept.append(start(self.root, process) if again and process.name == name else process)
        _keep(self.root, kept)

    def attempts(self, campaign: str, lender: str) -> list[tuple[int, int]]:
        return [(line.release, line.attempt) for line in Node.open(self.node(lender)).store.ledger()
                if line.campaign == campaign]  # fmt: skip


@contextmanager
def brought_up(root: Path):
    loans = default_loans()
    before = os.environ.get("SSL_CERT_FILE")
    up(root, replace(loans, table=loans.table.head(1500)), len(LENDERS), 8, Silent())
    try:
        import tomli_w

        (root / "features.toml").write_text(tomli_w.dumps(loans.registry.model_dump(mode="json", exclude_none=True)))
        settings = root / "coordinator" / "coordinator.json"  # read anew by every run
        settings.write_text(json.dumps(json.loads(settings.read_text()) | {"answer_s": 15.0}))
        yield Consortium(root)
    finally:
        down(root)
        if before is None:
            os.environ.pop("SSL_CERT_FILE", None)
        else:
            os.environ["SSL_CERT_FILE"] = before


@pytest.fixture(scope="module")
def consortium(tmp_path_factory):
    with brought_up(tmp_path_factory.mktemp("up") / "root") as opened:
        yield opened


def verified(consortium: Consortium, campaign: str) -> ModelCard:
    """The model and its card, checked as somebody from outside would."""
    node = Node.open(consortium.node("aspen"))
    folder = consortium.folder(campaign)
    card = ModelCard.verify((folder / "model-card.jws").read_text(), node.consortium.one(Role.COORDINATOR).key)
    assert card.campaign_sha256 == campaign
    assert CreditModel.load(folder / "model.safetensors").parameters.size
    return card


def test_a_campaign_runs_from_proposal_to_signed_model_and_every_ledger_agrees(consortium):
    campaign = consortium.propose()
    consortium.approve(campaign)
    consortium.launch(campaign)
    assert "released" in consortium.watch(campaign)
    card = verified(consortium, campaign)
    assert set(card.lenders) == set(LENDERS)
    for lender in LENDERS:
        assert consortium.attempts(campaign, lender) == [(release, 1) for release in range(card.releases)]
        status = json.loads(consortium.tahini("node", "status", "--home", str(consortium.node(lender)), "--json"))
        assert (status["running"], status["unsettled"]) == (True, 0)
    told = json.loads(consortium.tahini("campaign", "show", campaign[:12], "--home", str(consortium.home), "--json"))
    assert (told["stage"], told["releases"], told["lost"]) == ("released", card.releases, [])


def test_a_campaign_that_not_everybody_signed_does_not_run(consortium):
    campaign = consortium.propose()
    consortium.approve(campaign, ("aspen", "birch"))
    consortium.tahini("campaign", "launch", campaign[:12], "--home", str(consortium.home), code=1)
    assert read_state(consortium.folder(campaign)).stage is Stage.PROPOSED
    assert consortium.attempts(campaign, "aspen") == []


@pytest.mark.parametrize("victim", ["coordinator", "registry", "birch"])
def test_kill_9_of_any_process_lets_the_campaign_go_on_and_charges_nothing_twice_that_was_charged_once(
    consortium, victim
):
    campaign = consortium.propose()
    consortium.approve(campaign)
    consortium.launch(campaign)
    consortium.wait_for_release(campaign, 1)
    kept = {f.name: f.read_bytes() for f in consortium.folder(campaign).glob("release-*.npz")}
    consortium.kill(victim)
    state = Stage.RUNNING
    deadline = time.monotonic() + 150
    while state not in (Stage.RELEASED, Stage.STOPPED) and time.monotonic() < deadline:
        state = read_state(consortium.folder(campaign)).stage
        time.sleep(0.2)
    if state is Stage.STOPPED:  # clear, and resumable: the registry did not answer, or an answer was lost
        time.sleep(5)
        consortium.tahini("campaign", "resume", campaign[:12], "--home", str(consortium.home))
        said = CliRunner().invoke(
            main, ["campaign", "watch", campaign[:12], "--home", str(consortium.home), "--timeout", "100"]
        )
        assert said.exit_code in (0, 3), said.output
        state = read_state(consortium.folder(campaign)).stage
    for name, content in kept.items():
        assert (consortium.folder(campaign) / name).read_bytes() == content, "what was released is not released anew"
    planned = Campaign.claimed((consortium.folder(campaign) / "campaign.jws").read_text()).mechanism
    for lender in LENDERS:
        attempts = consortium.attempts(campaign, lender)
        assert len(set(attempts)) == len(attempts)
        assert len(attempts) - len({release for release, _ in attempts}) <= planned.spare_attempts
    if state is Stage.RELEASED:
        verified(consortium, campaign)
    else:
        assert read_state(consortium.folder(campaign)).reason


def test_a_lender_that_rejects_a_running_campaign_is_not_used_any_more(consortium):
    campaign = consortium.propose()
    consortium.approve(campaign)
    consortium.launch(campaign)
    consortium.wait_for_release(campaign, 1)
    consortium.tahini("campaign", "reject", campaign[:12], "--home", str(consortium.node("cedar")), "--reason", "no")
    before = consortium.attempts(campaign, "cedar")
    consortium.watch(campaign)
    assert set(verified(consortium, campaign).lenders) == {"aspen", "birch"}
    (lost,) = [event for event in events(consortium.folder(campaign)) if event["event"] == "lost"]
    assert lost["lenders"] == ["cedar"]
    assert len(consortium.attempts(campaign, "cedar")) <= len(before) + 1, "at most the one that was under way"


def test_from_outside_only_the_fleet_interface_answers(consortium):
    settings = json.loads((consortium.home / "coordinator.json").read_text())
    with httpx.Client(base_url=f"https://127.0.0.1:{settings['port']}") as client:
        for path in ("/v1/control/list-runs", "/v1/control/start-run", "/v1/runtime/acquire-task", "/docs"):
            assert client.post(path, content=b"").status_code == 404


def test_no_log_names_anybody(consortium):
    people = [name for lender in LENDERS for name in Node.open(consortium.node(lender)).store.everybody()]
    assert people
    for log in (consortium.root / "logs").glob("*.log"):
        text = log.read_text(errors="replace")
        assert not any(name in text for name in people), log.name


def test_down_stops_everything_and_status_says_so(consortium):
    running = processes(consortium.root)
    assert all(is_running(process) for process in running)
    consortium.tahini("down", "--workspace", str(consortium.root))
    assert not any(is_running(process) for process in running)
    time.sleep(0.1)
    path = consortium.node("aspen") / "run" / "status.json"
    path.write_text(json.dumps({"at": time.time() - 60}))
    consortium.tahini("node", "status", "--home", str(consortium.node("aspen")), code=3)
