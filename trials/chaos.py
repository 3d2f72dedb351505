"""Kill random processes of a consortium through whole campaigns, and see what is left. Not
collected by pytest:

    python -m trials.chaos                                  # 30 campaigns, an hour
    python -m trials.chaos --campaigns 2 --every 5 --seed 7

A real consortium (``tahini up``) runs one campaign after the other. Every few seconds one process
is killed with signal 9, at random: coordinator, its executor or run, registry, naming service,
witnesses, node, its SuperNode, a task. Whole services are started again a moment later, as an init
system would; a campaign that stopped is resumed. In each campaign somebody withdraws, and beside
each stands one that a lender has not signed but the coordinator's operator has launched by hand.
Exit code 1 if anything is not as it must be:

- every campaign ends in a verified model, or stopped with a reason, and goes on when it is resumed
  until its attempts are used up;
- every lender's ledger holds every release that was released, each attempt once, never more than
  were planned;
- the log, verified from outside, holds every attempt that was answered, and none that a ledger
  lacks;
- nobody who withdrew is in a roster that was reserved later;
- no lender has a line of a campaign that its operator did not sign.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from support.deployment import LENDERS, Consortium, brought_up

from auditlog.audit import verify_log
from clients.budget_ledger import BudgetLedger
from clients.home import Node
from demo.borrowers import DemoBorrower
from demo.processes import processes
from protocol.campaigns import Campaign
from protocol.client.borrowers import BorrowerClient
from protocol.errors import ConsentError
from protocol.log_client import http_client
from protocol.schema import now
from server.desired_state import Stage, request_run
from server.home import load_releases

SERVICES = ("coordinator", "registry", "naming", "witnesses", *LENDERS)
EPSILON, SPARE = 0.15, 6
KILLING_S, CALM_S, PAUSE_S = 90.0, 240.0, 2.0


def children(pid: int) -> list[int]:
    """Of a process, with theirs."""
    try:
        found = [
            int(child)
            for child in Path(f"/proc/{pid}/task/{pid}/children")
            .read_text(encoding="utf-8")
            .split()
        ]
    except OSError:
        return []
    return [*found, *(grandchild for child in found for grandchild in children(child))]


@dataclass
class Killer(threading.Thread):
    """Kills something every ``every`` seconds, more or less, until it is told to stop."""

    consortium: Consortium
    every: float
    chance: random.Random
    killed: Counter[str] = field(default_factory=Counter)
    _end: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        while not self._end.wait(self.every * self.chance.uniform(0.5, 1.5)):
            name = self.chance.choice(SERVICES)
            (process,) = [p for p in processes(self.consortium.root) if p.name == name]
            below = children(process.pid)
            if below and self.chance.random() < 0.5:
                self.killed[f"child of {name}"] += 1
                try:
                    os.kill(self.chance.choice(below), signal.SIGKILL)
                except ProcessLookupError:
                    continue
            else:
                self.killed[name] += 1
                self.consortium.kill(name, again=False)
                time.sleep(self.chance.uniform(0, PAUSE_S))
                self.consortium.start(name)

    def stop(self) -> None:
        self._end.set()
        self.join()


@dataclass
class Trial:
    """One consortium and everything that went wrong in it."""

    consortium: Consortium
    chance: random.Random
    every: float
    first: str
    """The oldest checkpoint that anybody kept."""
    withdrawn: dict[DemoBorrower, datetime] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    killed: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    resumed: int = 0

    def campaign(self) -> str:
        """One campaign under fire; returns how it ended."""
        sha256 = self._signed(LENDERS)
        unsigned = self._signed(LENDERS[:2])
        self.consortium.launch(sha256)
        request_run(self.consortium.folder(unsigned), True)  # what `launch` would refuse to write
        killer = Killer(self.consortium, self.every, self.chance)
        killer.start()
        try:
            self._withdraw()
            self._go_on(sha256, KILLING_S)
        finally:
            killer.stop()
        self.killed += killer.killed
        self._go_on(sha256, CALM_S)
        state = self.consortium.state(sha256)
        outcome = str(state.stage)
        if state.stage is Stage.RELEASED:
            self.consortium.verified(sha256)
        elif state.stage is Stage.STOPPED and "attempt" in state.reason:
            outcome = "attempts used up"
        else:
            self.wrong.append(
                f"campaign {sha256[:12]} is {state.stage}: {state.reason or 'without a reason'}"
            )
        request_run(self.consortium.folder(unsigned), False)
        self._check_ledgers(sha256, unsigned)
        self.ended[outcome] += 1
        return outcome

    def _signed(self, lenders: tuple[str, ...]) -> str:
        sha256 = self.consortium.propose(epsilon=EPSILON, spare=SPARE)
        self.consortium.approve(sha256, lenders)
        return sha256

    def _withdraw(self) -> None:
        """Somebody takes back what they gave; asks again until the registry has it."""
        givers = [
            p
            for p in self.consortium.local.borrowers
            if p.answer == "gives" and p not in self.withdrawn
        ]
        person = self.chance.choice(givers)
        token = person.withdrawal(self.consortium.local.notice)
        url = Node.open(self.consortium.node(person.lender)).settings.registry_url
        for _ in range(60):
            client = BorrowerClient(
                url, self.consortium.local.founded.consortium, http=http_client(url, None)
            )
            try:
                client.decide([token])
                self.withdrawn[person] = now()
                return
            except ConsentError as error:
                logging.info("a withdrawal is sent again: %s", error)
                if error.status == 409:  # it had arrived, and its answer was lost
                    self.withdrawn[person] = now()
                    return
                time.sleep(1)
            finally:
                client.close()
        self.wrong.append("a withdrawal was not taken for a minute")

    def _go_on(self, sha256: str, seconds: float) -> None:
        """Until it is released or cannot be; resumes it whenever it stops."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            stage = self.consortium.wait_until_ended(sha256, left)
            if stage is Stage.RELEASED:
                return
            if stage is Stage.STOPPED:
                state = self.consortium.state(sha256)
                if not state.reason:
                    self.wrong.append(f"campaign {sha256[:12]} stopped without a reason")
                logging.info("stopped: %s", state.reason)
                if "attempts" in state.reason:
                    return
                time.sleep(PAUSE_S)
                self.resumed += 1
                self.consortium.tahini(
                    "campaign", "resume", sha256[:12], "--home", str(self.consortium.home)
                )
                time.sleep(1)

    def _check_ledgers(self, sha256: str, unsigned: str) -> None:
        folder = self.consortium.folder(sha256)
        plan = Campaign.claimed((folder / "campaign.jws").read_text(encoding="utf-8")).mechanism
        kept = load_releases(folder).releases
        for lender in LENDERS:
            attempts = self.consortium.attempts(sha256, lender)
            charged = {release for release, _ in attempts}
            for number, one in enumerate(kept):
                if lender in one.lenders and number not in charged:
                    self.wrong.append(
                        f"{lender} was in release {number} of {sha256[:12]} and its ledger has no "
                        "line"
                    )
            if (
                len(set(attempts)) != len(attempts)
                or len(attempts) > len(plan.releases) + plan.spare_attempts
            ):
                self.wrong.append(
                    f"{lender}'s ledger has {len(attempts)} attempts of {sha256[:12]}"
                )
            if self.consortium.attempts(unsigned, lender):
                self.wrong.append(
                    f"{lender} took part in {unsigned[:12]}, which cedar's operator did not sign"
                )

    def audit(self) -> None:
        """The whole log from outside, beside what every lender's ledger says."""
        founded = self.consortium.local.founded
        url = Node.open(self.consortium.node("aspen")).settings.registry_url
        auditor = founded.auditor(url)
        audit = verify_log(auditor, self.first, founded.auditor_recipient)
        auditor.close()
        logged = {
            (c.opened.campaign_sha256, c.opened.lender, c.opened.release, c.opened.attempt)
            for c in audit.commitments
            if c.opened is not None
        }
        for lender in LENDERS:
            store = Node.open(self.consortium.node(lender)).store
            lines = {(x.campaign, lender, x.release, x.attempt) for x in store.ledger()}
            settled = {
                (x.campaign, lender, x.release, x.attempt) for x in store.ledger() if x.settled_at
            }
            mine = {entry for entry in logged if entry[1] == lender}
            if settled - mine:
                self.wrong.append(
                    f"{lender} answered {len(settled - mine)} times without an entry in the log"
                )
            if mine - lines:
                self.wrong.append(
                    f"the log holds {len(mine - lines)} commitments of {lender} that its ledger "
                    "lacks"
                )
            self._check_withdrawn(lender, store)

    def _check_withdrawn(self, lender: str, store: BudgetLedger) -> None:
        for number, line in enumerate(store.ledger(), 1):
            members = set(store.members(number))
            for person, moment in self.withdrawn.items():
                later = datetime.fromisoformat(line.reserved_at) > moment + timedelta(seconds=1)
                if later and person.lender == lender and person.pseudonym in members:
                    self.wrong.append(f"somebody who withdrew is in {lender}'s roster {number}")


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--campaigns", type=int, default=30)
    options.add_argument(
        "--every", type=float, default=4.0, help="seconds between two kills, on average"
    )
    options.add_argument("--seed", type=int, default=None)
    options.add_argument("--json", action="store_true", help="print the result as JSON")
    asked = options.parse_args()
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(10**6)
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO, force=True)
    for noisy in ("httpx", "tahini"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    with (
        tempfile.TemporaryDirectory(prefix="tahini-chaos-") as folder,
        brought_up(Path(folder) / "root") as consortium,
    ):
        first = (consortium.node("aspen") / "log.head").read_text(encoding="utf-8")
        trial = Trial(consortium, random.Random(seed), asked.every, first)
        for number in range(1, asked.campaigns + 1):
            began = time.monotonic()
            outcome = trial.campaign()
            logging.info(
                "campaign %d of %d: %s in %.0f s; %d kills so far, %d resumed, wrong: %d",
                number,
                asked.campaigns,
                outcome,
                time.monotonic() - began,
                sum(trial.killed.values()),
                trial.resumed,
                len(trial.wrong),
            )
            for said in trial.wrong:
                logging.info("WRONG %s", said)
        trial.audit()
    found = {
        "seed": seed,
        "campaigns": asked.campaigns,
        "ended": trial.ended,
        "resumed": trial.resumed,
        "killed": trial.killed,
        "withdrawn": len(trial.withdrawn),
        "wrong": trial.wrong,
    }
    print(
        json.dumps(found, indent=2)
        if asked.json
        else "\n".join(f"{key:10} {value}" for key, value in found.items())
    )
    return 1 if trial.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
