"""A consortium of real processes with TLS, brought up by ``tahini up``'s own code, used by the commands people use."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import tomli_w
from click.testing import CliRunner
from support.waiting import until

from clients.budget_ledger import Reservation
from clients.home import Node
from credit.models import CreditModel
from demo.deployment import Local, Place, up
from demo.loans import default_loans
from demo.processes import down as down_again
from demo.processes import is_running, keep, processes, start
from protocol.cards import ModelCard
from protocol.parties import Role
from server.desired import Stage, State, events, read_state
from tahini import main

LENDERS = ("aspen", "birch", "cedar")
PLAN = ("--steps", "2", "--hold-out", "0", "--collusion-bound", "0")
ROWS = 1500


class Silent:
    def begin(self, step): ...
    def advance(self, done, total): ...
    def end(self, result): ...
    def round(self, number, total, auc, epsilon): ...
    def lost(self, lenders, reason): ...


class Consortium:
    """What its people can do with it, and what a test may look at and destroy."""

    def __init__(self, local: Local) -> None:
        self.local, self.root, self.campaigns = local, local.founded.root, 0
        self.home = self.root / "coordinator"

    def tahini(self, *arguments: str, code: int | None = 0) -> str:
        """Run a command; ``code`` is the exit status it must have, whatever it is if None."""
        done = CliRunner().invoke(main, list(arguments))
        assert code is None or done.exit_code == code, done.output
        return done.stdout

    def node(self, lender: str) -> Path:
        return self.root / "lenders" / lender

    def propose(self, *options: str, epsilon: float = 0.5, spare: int = 2) -> str:
        self.campaigns += 1
        told = self.tahini(
            "campaign", "propose", "--home", str(self.home), "--id", f"c{self.campaigns}", "--title", "T", "--json",
            "--features", str(self.root / "features.toml"), *PLAN, "--epsilon", str(epsilon),
            "--spare-attempts", str(spare), *options,
        )  # fmt: skip
        return str(json.loads(told)["campaign"])

    def approve(self, campaign: str, lenders: Sequence[str] = LENDERS) -> None:
        for lender in lenders:
            self.tahini("campaign", "approve", campaign[:12], "--home", str(self.node(lender)), "--yes", "--json")

    def launch(self, campaign: str, code: int = 0) -> str:
        return self.tahini("campaign", "launch", campaign[:12], "--home", str(self.home), code=code)

    def watch(self, campaign: str, code: int | None = 0, timeout: float = 150) -> str:
        return self.tahini(
            "campaign", "watch", campaign[:12], "--home", str(self.home), "--timeout", str(timeout), code=code
        )

    def folder(self, campaign: str) -> Path:
        return self.home / "campaigns" / campaign

    def state(self, campaign: str) -> State:
        return read_state(self.folder(campaign))

    def wait_for_release(self, campaign: str, number: int, timeout: float = 120) -> None:
        folder = self.folder(campaign)
        until(
            lambda: any(e["event"] == "release" and e["release"] >= number for e in events(folder)),
            f"release {number} was made", timeout,
        )  # fmt: skip

    def wait_until_ended(self, campaign: str, timeout: float = 150) -> Stage:
        """The stage in which it ended."""
        ended = (Stage.RELEASED, Stage.STOPPED)
        until(lambda: self.state(campaign).stage in ended, "the campaign ended", timeout)
        return self.state(campaign).stage

    def kill(self, name: str, again: bool = True) -> None:
        """Signal 9 to a process of the consortium; starting it again is what its operator's init system does."""
        for process in processes(self.root):
            if process.name == name and is_running(process):
                os.kill(process.pid, signal.SIGKILL)
                os.waitpid(process.pid, 0)
        if again:
            self.start(name)

    def start(self, name: str) -> None:
        """Start a process that does not run, as it was started first."""
        found = processes(self.root)
        keep(self.root, [start(self.root, p) if p.name == name and not is_running(p) else p for p in found])

    def ledger(self, lender: str) -> list[Reservation]:
        return Node.open(self.node(lender)).store.ledger()

    def attempts(self, campaign: str, lender: str) -> list[tuple[int, int]]:
        return [(line.release, line.attempt) for line in self.ledger(lender) if line.campaign == campaign]

    def verified(self, campaign: str) -> ModelCard:
        """The model and its card, checked as somebody from outside would."""
        node, folder = Node.open(self.node("aspen")), self.folder(campaign)
        card = ModelCard.verify(
            (folder / "model-card.jws").read_text(encoding="utf-8"), node.consortium.one(Role.COORDINATOR).key
        )
        assert card.campaign_sha256 == campaign
        assert CreditModel.load(folder / "model.safetensors").parameters.size
        return card

    def log(self, name: str) -> str:
        return (self.root / "logs" / f"{name}.log").read_text(errors="replace", encoding="utf-8")


@contextmanager
def brought_up(root: Path, place: Place | None = None) -> Iterator[Consortium]:
    loans = default_loans()
    before = os.environ.get("SSL_CERT_FILE")
    local = up(root, replace(loans, table=loans.table.head(ROWS)), len(LENDERS), 8, Silent(), place)
    try:
        (root / "features.toml").write_text(
            tomli_w.dumps(loans.schema.model_dump(mode="json", exclude_none=True)), encoding="utf-8"
        )
        settings = root / "coordinator" / "coordinator.json"  # read anew by every run
        settings.write_text(
            json.dumps(json.loads(settings.read_text(encoding="utf-8")) | {"answer_s": 15.0}), encoding="utf-8"
        )
        yield Consortium(local)
    finally:
        down_again(root)
        if before is None:
            os.environ.pop("SSL_CERT_FILE", None)
        else:
            os.environ["SSL_CERT_FILE"] = before
