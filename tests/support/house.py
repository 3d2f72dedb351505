"""A small consortium for tests: real homes, keys, loan books and a real registry over HTTP on loopback.

Only the transport between coordinator and nodes is a stand-in (``InMemoryFleet``); its twin is the real Flower run in
``tests/test_demo.py``.
"""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import uvicorn
from support.plans import small_plan

from clients import home as nodes
from clients.data.book import import_book
from clients.errors import GateClosed
from clients.home import Node, approve
from clients.releases import join, release
from clients.witness import WITNESS_KEY_FILE, LenderWitness, witness_app
from consent.api.app import create_app
from consent.home import open_registry
from consent.registry import Registry
from credit.features import FeatureSchema, schema_from
from credit.questions import Packed
from crypto.cosignatures import CosigningKey
from crypto.keys import SigningKey, write_secret
from crypto.masks import Words
from crypto.notes import Checkpoint, sign_checkpoint
from crypto.pseudonyms import SEED_SIZE
from demo.borrowers import DemoBorrower, make_notice
from demo.consortium import Founded, found
from fleet.code import installed_code
from naming.client import Names
from naming.keys import SEEDS, NamingHome
from naming.service import Namer
from naming.service import create_app as naming_app
from ops.processes import free_port
from privacy.charges import Budget
from protocol.campaigns import Campaign
from protocol.client.base import RegistryClient
from protocol.client.borrowers import BorrowerClient
from protocol.client.lenders import LenderClient
from protocol.consents import Notice
from protocol.errors import ConsentError
from protocol.schema import now
from protocol.snapshots import Places, packed
from protocol.terms import TRAINING_PURPOSE
from server import home as server_home
from server.run import Answers

LENDERS = ("aspen", "birch", "cedar")
PEOPLE = 60
REGISTRY = {
    "name": "test-loans",
    "target": "bad",
    "features": [
        {"name": "late", "kind": "integer", "category": "repayment"},
        {"name": "income", "kind": "number", "category": "income", "sensitivity": "sensitive"},
        {"name": "grade", "kind": "category", "category": "bureau", "values": ["a", "b", "c"]},
    ],
}


def features() -> FeatureSchema:
    return schema_from(REGISTRY, "tests")


def loans(count: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    late = rng.poisson(0.7, count)
    income = rng.lognormal(8, 0.6, count)
    bad = rng.random(count) < 1 / (1 + np.exp(1.5 - late + (income > 3000)))
    bad[:2] = (False, True)
    return pd.DataFrame(
        {"late": late, "income": income, "grade": rng.choice(["a", "b", "c"], count), "bad": bad.astype(int)}
    )


@contextmanager
def serve(app: Any, port: int, servers: list[uvicorn.Server] | None = None) -> Iterator[str]:
    """An application's real HTTP face in a thread. Those who share ``servers`` can be told together to end."""
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    if servers is not None:
        servers.append(server)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


@dataclass
class Clock:
    """A registry's clock that a test can move."""

    offset: timedelta = timedelta()

    def __call__(self) -> datetime:
        return now() + self.offset


@dataclass
class House:
    founded: Founded
    registry: Registry
    url: str
    notice: Notice
    borrowers: dict[str, list[DemoBorrower]]
    clock: Clock
    campaign: Campaign | None = None
    campaign_token: str = ""
    clients: list[RegistryClient] = field(default_factory=list)
    serving: ExitStack = field(default_factory=ExitStack)

    def stop_registry(self) -> None:
        """The registry's server ends; the witnesses go on."""
        self.serving.close()
        self.registry.close()

    def node(self, lender: str = "aspen") -> Node:
        return Node.open(self.founded.node_home(lender))

    def client(self, lender: str = "aspen") -> LenderClient:
        client = self.node(lender).registry()
        self.clients.append(client)
        return client

    def anyone(self) -> BorrowerClient:
        client = BorrowerClient(self.url, self.founded.consortium)
        self.clients.append(client)
        return client

    def coordinator(self) -> server_home.Coordinator:
        return server_home.Coordinator.open(self.founded.coordinator_home)

    def borrower_client(self, person: DemoBorrower) -> BorrowerClient:
        client = BorrowerClient(self.url, self.founded.consortium, person.pseudonym, person.key)
        self.clients.append(client)
        return client

    def colluding(self, checkpoint: Checkpoint) -> str:
        """A note over any checkpoint whatever, by a log whose every witness colludes."""
        homes = [self.founded.node_home(lender) for lender in self.borrowers]
        keys = [CosigningKey.from_secret((home / WITNESS_KEY_FILE).read_bytes()) for home in homes]
        note = sign_checkpoint(checkpoint, self.registry.ledger.log.key)
        return note + "".join(key.cosign(checkpoint.text, 1_800_000_000) for key in keys)

    def person(self, lender: str, identity: str) -> DemoBorrower:
        """A person by their names at this lender, who gives, but is not enrolled yet."""
        with self.node(lender).naming(workers=1) as naming:
            (names,) = naming.names([identity])
        return _borrower(lender, names, "gives", False)

    def late(self, lender: str) -> str:
        """Somebody who enrols now; returns the pseudonym."""
        person = self.person(lender, f"{lender}-late")
        self.client(lender).enrol([person.enrolment])
        return person.pseudonym

    def decide_first(self) -> None:
        client = self.anyone()
        for people in self.borrowers.values():
            tokens = [p.first_answer(self.notice, True) for p in people if p.answer != "silent"]
            client.decide(tokens)

    def make_campaign(
        self, epsilon: float = 1.0, plan: Mapping[str, object] = MappingProxyType({}), **changes: object
    ) -> Campaign:
        moment = now()
        fields: dict[str, object] = {
            "id": "test-campaign",
            "title": "Test",
            "coordinator": "coordinator",
            "lenders": tuple(self.borrowers),
            "purpose": TRAINING_PURPOSE,
            "model": "scorecard",
            "features": features().model_dump(mode="json"),
            "mechanism": small_plan(epsilon, len(self.borrowers), **plan),
            "code_sha256": installed_code(),
            "seed": 0,
            "created_at": moment,
            "expires_at": moment + timedelta(hours=1),
        }
        return Campaign.model_validate(fields | changes)

    def propose(self, campaign: Campaign) -> str:
        coordinator = self.coordinator()
        token = campaign.sign(coordinator.key)
        with coordinator.registry() as registry:
            registry.propose(token)
        self.campaign, self.campaign_token = campaign, token
        return token

    def approve_all(self) -> bool:
        active = False
        for lender in self.borrowers:
            node = self.node(lender)
            approval = approve(node, self.campaign_token)
            client = self.client(lender)
            active = client.approve(approval, node.key)
        return active

    def activate(self, **changes: object) -> Campaign:
        campaign = self.make_campaign(**changes)
        self.propose(campaign)
        assert self.approve_all()
        return campaign

    def withdraw(self, person: DemoBorrower) -> None:
        self.anyone().decide([person.withdrawal(self.notice, True)])

    def consenting(self, lender: str = "aspen") -> list[DemoBorrower]:
        return [p for p in self.borrowers[lender] if p.answer == "gives"]


def everybody(people: int) -> Places:
    """A campaign in which everybody on the roll has a place."""
    bitmap = packed(np.packbits(np.ones(people, dtype=bool), bitorder="little"))
    return Places(
        campaign_sha256="0" * 64, lender="aspen", people=people, bitmap=bitmap, sensitive=bitmap, issued_at=now()
    )


@dataclass
class InMemoryFleet:
    """Carries messages to nodes by calling them. ``tamper`` may change what a node sends; ``absent`` do not answer."""

    house: House
    absent: set[str] = field(default_factory=set)
    seen: list[Mapping[str, Words]] = field(default_factory=list)
    leaving: dict[int, set[str]] = field(default_factory=dict)
    """Who drops out after so many attempts."""
    mask_keys: Callable[[dict[str, str]], dict[str, str]] = lambda keys: keys

    def join(self, campaign_sha256: str) -> Mapping[str, str]:
        present = [name for name in self.house.borrowers if name not in self.absent]
        tokens = {name: join(self.house.node(name), campaign_sha256) for name in present}
        return self.mask_keys(tokens)

    def release(self, token: str, packed: Packed, roster: frozenset[str]) -> Answers:
        answers: dict[str, Words] = {}
        refusals: dict[str, str] = {}
        for name in sorted(roster - self.absent):
            try:
                answers[name] = release(self.house.node(name), token, packed)
            except (GateClosed, ConsentError) as error:
                refusals[name] = str(error)
        self.seen.append(answers)
        self.absent |= self.leaving.pop(len(self.seen), set())
        return Answers(answers, refusals)


def _borrower(lender: str, names: Names, answer: str, sensitive: bool) -> DemoBorrower:
    return DemoBorrower(
        lender=lender,
        pseudonym=names.pairwise,
        ledger_pseudonym=names.ledger,
        key=SigningKey.generate(),
        answer=answer,  # type: ignore[arg-type]
        sensitive=sensitive,
        language="en",
    )


_KNOWN: dict[tuple[str, str], Names] = {}
_SEED = os.urandom(SEED_SIZE)
"""Of every house of this process, so that naming the same people again costs nothing."""


def _named(node: Node, founded: Founded, identities: list[str]) -> list[Names]:
    """What the house's own naming service answers; asked once for each person at each lender."""
    new = [identity for identity in identities if (node.lender, identity) not in _KNOWN]
    if new:
        with node.naming(workers=1) as naming:
            _KNOWN.update(zip(((node.lender, identity) for identity in new), naming.names(new), strict=True))
    return [_KNOWN[node.lender, identity] for identity in identities]


@dataclass(frozen=True)
class Ground:
    """Everybody's homes at rest, everybody enrolled. It can be copied, as long as nobody listens where it is served."""

    founded: Founded
    notice: Notice
    borrowers: dict[str, list[DemoBorrower]]
    ports: tuple[int, int, int]
    """Of registry, witnesses and naming service: the signed policy holds the witnesses' addresses."""

    @classmethod
    def decided(cls, root: Path) -> Ground:
        """A house of the usual size in which everybody decided; its ports are not given to anybody else."""
        ports = _kept_ports()
        with build(root, ports=ports) as built:
            built.decide_first()
        return cls(built.founded, built.notice, built.borrowers, ports)

    @property
    def free(self) -> bool:
        return all(_is_free(port) for port in self.ports)

    def copy(self, root: Path) -> Ground:
        shutil.copytree(self.founded.root, root)
        return replace(self, founded=replace(self.founded, root=root))

    @contextmanager
    def opened(self) -> Iterator[House]:
        """Registry, witnesses and naming service at work."""
        port, witness_port, naming_port = self.ports
        clock, founded = Clock(), self.founded
        log = founded.consortium.log.verifier
        witnesses = {name: LenderWitness.open(founded.node_home(name), log) for name in LENDERS}
        registry = open_registry(founded.registry_home).at(clock)
        servers: list[uvicorn.Server] = []
        with serve(witness_app(witnesses), witness_port, servers), ExitStack() as serving:
            url = serving.enter_context(serve(create_app(registry), port, servers))
            namer = Namer(NamingHome.open(founded.naming_home))
            serving.callback(namer.close)
            serving.enter_context(serve(naming_app(namer), naming_port, servers))
            house = House(founded, registry, url, self.notice, self.borrowers, clock, serving=serving)
            try:
                yield house
            finally:
                for client in house.clients:
                    client.close()
                for server in servers:
                    server.should_exit = True
                registry.close()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _kept_ports() -> tuple[int, int, int]:
    """Three below those that the system hands out by itself, so that nobody gets them while no house listens."""
    first = next(
        at for at in range(20_000 + os.getpid() % 1000 * 10, 32_000, 10) if all(map(_is_free, range(at, at + 3)))
    )
    return first, first + 1, first + 2


@contextmanager
def build(
    root: Path, people: int = PEOPLE, shared: int = 5, cover_rate: float = 0.0,
    ports: tuple[int, int, int] | None = None,
) -> Iterator[House]:  # fmt: skip
    """Everything up to and including enrolment. Of every ten people one refuses and one is silent; every fifth keeps
    income to herself. The first ``shared`` people of aspen also borrow at birch, under the same identity number."""
    port, witness_port, naming_port = ports = ports or (free_port(), free_port(), free_port())
    urls = {name: f"http://127.0.0.1:{witness_port}/{name}" for name in LENDERS}
    founded = found(root, list(LENDERS), Budget(1.0, 1e-5), urls, cover_rate)
    founded.connect(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{naming_port}")
    (founded.naming_home / SEEDS / "v1.seed").unlink()
    write_secret(founded.naming_home / SEEDS / "v1.seed", _SEED)
    with Ground(founded, make_notice(list(LENDERS), 1.0), {}, ports).opened() as house:
        operator = founded.operator(house.url)
        operator.publish_notice(house.notice, founded.registry_key)
        operator.close()
        for number, lender in enumerate(LENDERS):
            identities = [f"{lender}-{i}" for i in range(people)]
            if lender == "birch":
                identities[:shared] = [f"aspen-{i}" for i in range(shared)]
            node = Node.open(founded.node_home(lender))
            named = _named(node, founded, identities)
            book = node.home / nodes.BOOK_FILE
            import_book(book, loans(people, number), [names.pairwise for names in named], features(), lender)
            house.borrowers[lender] = [
                _borrower(lender, names, "refuses" if i % 10 == 8 else "silent" if i % 10 == 9 else "gives", i % 5 != 0)
                for i, names in enumerate(named)
            ]
            with Node.open(founded.node_home(lender)).registry() as client:
                client.enrol([person.enrolment for person in house.borrowers[lender]])
        yield house
