"""A small consortium for tests: real homes, keys, loan books and a real registry, in this process.

Its services are asked at addresses that this process alone answers (``support.wire``). Only the transport between
coordinator and nodes is a stand-in (``InMemoryFleet``); its twin is the real Flower run in ``tests/test_demo.py``.
"""

from __future__ import annotations

import itertools
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import numpy as np
from support.plans import small_plan
from support.waiting import until
from support.wire import serve, within
from support.world import LENDERS, Clock, features, loans

from clients import home as nodes
from clients.data.importing import import_book
from clients.errors import GateClosed
from clients.gate import Batch, Gate
from clients.home import Node, approve
from clients.naming import naming_client
from clients.releases import join, release
from clients.witness import WITNESS_KEY_FILE, LenderWitness, witness_app
from consent.api.app import create_app
from consent.home import open_registry
from consent.registry import Registry
from credit.questions import Packed
from crypto.cosignatures import CosigningKey
from crypto.keys import SigningKey, write_secret
from crypto.masks import Words
from crypto.notes import Checkpoint, sign_checkpoint
from crypto.pseudonyms import SEED_SIZE
from demo.assessing import make_assessment
from demo.borrowers import DemoBorrower, make_notice
from demo.consortium import Founded, found
from fleet.code import installed_code
from law.categories import SENSITIVITIES
from naming.client import Names
from naming.keys import SEEDS, NamingHome
from naming.service import Namer
from naming.service import create_app as naming_app
from privacy.charges import Budget
from protocol.assessments import ImpactAssessment, campaign_categories
from protocol.campaigns import Campaign, ReleaseRequest
from protocol.client.base import RegistryClient
from protocol.client.borrowers import BorrowerClient
from protocol.client.lenders import LenderClient
from protocol.errors import ConsentError
from protocol.log_client import trusted_authorities
from protocol.notices import Notice
from protocol.schema import now
from protocol.snapshots import Places, packed
from protocol.terms import TRAINING_PURPOSE
from server import home as server_home
from server.assessments import record
from server.run import Answers, CampaignRun

PEOPLE = 60


@dataclass
class House:
    founded: Founded
    registry: Registry
    url: str
    notice: Notice
    borrowers: dict[str, list[DemoBorrower]]
    clock: Clock
    domain: str
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
        client = self.node(lender).connected(LenderClient)
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
        with naming_client(self.node(lender), workers=1) as naming:
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
            tokens = [p.first_answer(self.notice) for p in people if p.answer != "silent"]
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
            "consortium_sha256": self.founded.consortium.sha256,
            "purpose": TRAINING_PURPOSE,
            "model": "scorecard",
            "features": features().model_dump(mode="json"),
            "mechanism": small_plan(epsilon, len(self.borrowers), **plan),
            "code_sha256": installed_code(),
            "seed": 0,
            "assessment_sha256": self.assessment.sha256,
            "created_at": moment,
            "expires_at": moment + timedelta(hours=1),
        }
        return Campaign.model_validate(fields | changes)

    @cached_property
    def assessment(self) -> ImpactAssessment:
        """What its campaigns name: recorded when it is first asked for."""
        made = make_assessment("coordinator", campaign_categories(features().model_dump(mode="json")), now())
        record(self.coordinator(), made)
        return made

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

    def asked(self, release: int = 0, attempt: int = 1, **changes: object) -> ReleaseRequest:
        """What the campaign's coordinator asks a node for."""
        fields: dict[str, object] = {
            "campaign_sha256": self.campaign.sha256,
            "release": release,
            "attempt": attempt,
            "kind": self.campaign.planned(release).kind,
            "parameters_sha256": "0" * 64,
            "mask_keys": {},
        }
        return ReleaseRequest.model_validate(fields | changes)

    def gate(self, lender: str = "aspen", client: LenderClient | None = None, **options: Any) -> Gate:
        node = self.node(lender)
        campaign, approval = node.campaign(self.campaign.sha256)
        return Gate(node, campaign, approval, client or self.client(lender), **options)

    def open_gate(self, release: int = 0, lender: str = "aspen", attempt: int = 1, **options: Any) -> Batch:
        charge = self.campaign.planned(release).charge
        return self.gate(lender, **options).open(self.asked(release, attempt), charge)

    def members(self, release: int, lender: str = "aspen") -> set[str]:
        """Who was used for the first attempt of a release."""
        store = self.node(lender).store
        number = next(r.number for r in store.releases(self.campaign.sha256) if r.release == release)
        return set(store.members(number))

    def withdraw(self, person: DemoBorrower) -> None:
        self.anyone().decide([person.withdrawal(self.notice)])

    def consenting(self, lender: str = "aspen") -> list[DemoBorrower]:
        return [p for p in self.borrowers[lender] if p.answer == "gives"]


def everybody(people: int) -> Places:
    """A campaign in which everybody on the roll has a place."""
    bitmap = packed(np.packbits(np.ones(people, dtype=bool), bitorder="little"))
    return Places(
        campaign_sha256="0" * 64,
        lender="aspen",
        people=people,
        bitmap=bitmap,
        further=dict.fromkeys(SENSITIVITIES[1:], bitmap),
        issued_at=now(),
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
        with naming_client(node, workers=1) as naming:
            _KNOWN.update(zip(((node.lender, identity) for identity in new), naming.names(new), strict=True))
    return [_KNOWN[node.lender, identity] for identity in identities]


def _asking_witnesses(registry: Registry) -> list[threading.Thread]:
    """The threads with which its log and its nodes ask; those of a log end once it is closed."""
    pool = registry.ledger.sequencer.witnesses._pool
    log = pool._threads if pool is not None else set()
    return [one for one in threading.enumerate() if one in log or one.name.startswith("gossip_")]


_houses = itertools.count()


@dataclass(frozen=True)
class Ground:
    """Everybody's homes at rest, everybody enrolled. Of its copies one can be open at a time."""

    founded: Founded
    notice: Notice
    borrowers: dict[str, list[DemoBorrower]]
    domain: str
    """Where its services answer: the signed policy holds the witnesses' addresses."""
    campaign: Campaign | None = None
    """The newest one, if there is any."""
    campaign_token: str = ""
    assessment: ImpactAssessment | None = None

    @classmethod
    def decided(cls, root: Path, people: int = PEOPLE) -> Ground:
        """A house in which everybody decided."""
        with build(root, people) as built:
            built.decide_first()
        return cls(built.founded, built.notice, built.borrowers, built.domain)

    def copy(self, root: Path) -> Ground:
        shutil.copytree(self.founded.root, root)
        return replace(self, founded=replace(self.founded, root=root))

    def after(self, root: Path, happens: Callable[[House], object]) -> Ground:
        """A copy in which this happened."""
        copy = self.copy(root)
        with copy.opened() as house:
            happens(house)
            house.registry.ledger.catch_up()  # or every copy would begin with entries that are still integrated
            made = house.__dict__.get("assessment")
            return replace(copy, campaign=house.campaign, campaign_token=house.campaign_token, assessment=made)

    def released(self, root: Path) -> Ground:
        """A copy in which the usual campaign has ended and released its model with its card."""
        from server.fleet_app import release_card  # imports what only servers need

        def happens(house: House) -> None:
            coordinator, campaign = house.coordinator(), house.activate()
            run = CampaignRun(coordinator, campaign, InMemoryFleet(house), lambda _: None, lambda _: None)
            release_card(coordinator, campaign, run.execute())

        return self.after(root, happens)

    @contextmanager
    def opened(self, http: bool = False) -> Iterator[House]:
        """Registry, witnesses and naming service at work in this process; ``http``: the registry at a real socket."""
        clock, founded = Clock(), self.founded
        log = founded.consortium.log.verifier
        witnesses = {name: LenderWitness.open(founded.node_home(name), log) for name in LENDERS}
        registry = open_registry(founded.registry_home).at(clock)
        app = create_app(registry)
        namer = Namer(NamingHome.open(founded.naming_home))
        with ExitStack() as stack:
            stack.callback(registry.close)
            stack.callback(namer.close)
            stack.enter_context(within(witness_app(witnesses), f"witnesses.{self.domain}"))
            stack.enter_context(within(naming_app(namer), f"naming.{self.domain}"))
            # who still asks would be answered by the witnesses of the next copy, at the same address
            stack.callback(until, lambda: not _asking_witnesses(registry), "nobody asked a witness any more")
            serving = stack.enter_context(ExitStack())
            url = serving.enter_context(serve(app) if http else within(app, f"registry.{self.domain}"))
            if http:
                founded.connect(url, f"http://naming.{self.domain}")
            until(lambda: httpx.get(f"{url}/readyz", verify=trusted_authorities()).is_success, "the registry was ready")
            house = House(founded, registry, url, self.notice, self.borrowers, clock, self.domain, self.campaign)
            house.campaign_token = self.campaign_token
            if self.assessment is not None:
                house.__dict__["assessment"] = self.assessment
            house.serving = serving
            try:
                yield house
            finally:
                for client in house.clients:
                    client.close()


@contextmanager
def build(
    root: Path, people: int = PEOPLE, shared: int = 5, cover_rate: float = 0.0, http: bool = False
) -> Iterator[House]:
    """Everything up to and including enrolment. Of every ten people one refuses and one is silent; every fifth keeps
    income to herself. The first ``shared`` people of aspen also borrow at birch, under the same identity number."""
    domain = f"house-{next(_houses)}.test"
    urls = {name: f"http://witnesses.{domain}/{name}" for name in LENDERS}
    founded = found(root, list(LENDERS), Budget(1.0, 1e-5), urls, cover_rate)
    founded.connect(f"http://registry.{domain}", f"http://naming.{domain}")
    (founded.naming_home / SEEDS / "v1.seed").unlink()
    write_secret(founded.naming_home / SEEDS / "v1.seed", _SEED)
    with Ground(founded, make_notice(founded.consortium, list(LENDERS), 1.0), {}, domain).opened(http) as house:
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
            with Node.open(founded.node_home(lender)).connected(LenderClient) as client:
                client.enrol([person.enrolment for person in house.borrowers[lender]])
        yield house
