"""What every small world of the tests is made of: parties with keys, people, a clock, and a registry in this process.

``support.market`` and ``support.identity`` add what one asks of a registry, ``support.house`` everybody's homes.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
import numpy as np
import pandas as pd
from fastapi import FastAPI
from fastapi.testclient import TestClient

from consent.api.app import create_app
from consent.home import create_home, found, open_registry
from consent.identity.devissuer import public_jwks
from consent.registry import Registry
from credit.features import FeatureSchema, schema_from
from crypto.keys import RecipientKey, SigningKey, b64
from crypto.notes import Verifier
from crypto.policies import Log, unwitnessed
from protocol.enrolment import Enrolment
from protocol.parties import Consortium, Party, Role
from protocol.requests import SignedRequest
from protocol.schema import now

LENDERS = ("aspen", "birch", "cedar")
GENERAL, ASPENS = "https://login.example", "https://login.aspen.example"
PORTAL = "portal"
TOKEN_ENDPOINT = "https://registry.example/v1/token"
OUTCOMES_SINCE = f"{now().year - 1}-01-01"


def feature_of(**fields: Any) -> dict[str, Any]:
    """A feature, with its source and its reason where it does not matter which."""
    return {"source": f"book.{fields['name']}", "relevance": "Tests learn from it."} | fields


REGISTRY = {
    "name": "test-loans",
    "target": "bad",
    "outcomes_since": OUTCOMES_SINCE,
    "features": [
        feature_of(name="late", kind="integer", category="repayment"),
        feature_of(name="income", kind="number", category="income", sensitivity="sensitive"),
        feature_of(name="grade", kind="category", category="bureau", values=["a", "b", "c"]),
    ],
}
_LIMITLESS = {kind: {"per_second": 1e6, "burst": 10**9} for kind in ("reading", "changing", "login")}


def schema_of(*features: Mapping[str, Any], **more: Any) -> FeatureSchema:
    """These features of loans that are bad or not, as :func:`feature_of` completes them."""
    ended = {} if "outcome_ended_by" in more else {"outcomes_since": OUTCOMES_SINCE}
    complete = [feature_of(**one) for one in features]
    return schema_from({"name": "test", "target": "bad", "features": complete, **ended, **more}, "here")


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


def pseudonym(version: int = 1) -> str:
    return f"v{version}.{b64(secrets.token_bytes(32))}"


def without_limits(home: Path) -> None:
    """A registry that lets everybody ask as often as they like."""
    limits = dict.fromkeys(("party", "borrower", "anonymous"), _LIMITLESS)
    (home / "limits.json").write_text(json.dumps(limits), encoding="utf-8")


def trusted_issuer(url: str, key: SigningKey, **settings: Any) -> dict[str, Any]:
    """An entry of ``issuers.json``."""
    return {"issuer": url, "audience": PORTAL, "jwks": public_jwks(key), "algorithms": ["Ed25519"], **settings}


def trust(home: Path, *issuers: Mapping[str, Any]) -> None:
    settings = {"token_endpoint": TOKEN_ENDPOINT, "issuers": issuers}
    (home / "issuers.json").write_text(json.dumps(settings), encoding="utf-8")


@dataclass
class Clock:
    """A registry's clock that a test moves: ahead of the real one, or of a moment at which it stands."""

    origin: Callable[[], datetime] = now
    offset: timedelta = timedelta()

    @classmethod
    def standing(cls) -> Self:
        moment = now()
        return cls(lambda: moment)

    def __call__(self) -> datetime:
        return self.origin() + self.offset

    def move(self, **by: float) -> datetime:
        self.offset += timedelta(**by)
        return self()


@dataclass
class Person:
    """Somebody at one lender; ``ledger`` is the same wherever they borrow, ``number`` their place on the roll."""

    lender: str
    ledger: str = field(default_factory=pseudonym)
    pseudonym: str = field(default_factory=pseudonym)
    key: SigningKey = field(default_factory=SigningKey.generate)
    number: int = 0

    @property
    def enrolment(self) -> Enrolment:
        return Enrolment(pseudonym=self.pseudonym, ledger_pseudonym=self.ledger, public_key=self.key.public.text)


@dataclass
class World:
    """A founded registry and everybody's keys. Nobody witnesses its log."""

    home: Path
    registry: Registry
    clock: Clock
    keys: dict[str, SigningKey]
    people: dict[str, list[Person]] = field(default_factory=dict)
    app: FastAPI = field(init=False)
    http: TestClient = field(init=False)

    def start(self) -> None:
        """A (new) worker over the registry."""
        self.app = create_app(self.registry)
        self.http = TestClient(self.app, raise_server_exceptions=False)

    def party(self, name: str) -> Party:
        return self.registry.consortium.party(name)

    def key_of(self, caller: str) -> SigningKey:
        if caller in self.keys:
            return self.keys[caller]
        return next(p.key for people in self.people.values() for p in people if p.pseudonym == caller)

    def signature(
        self, caller: str, method: str, target: str, body: bytes, key: SigningKey | None = None
    ) -> dict[str, str]:
        token = SignedRequest(
            iss=caller, aud="registry", htm=method, htu=target, body_sha256=hashlib.sha256(body).hexdigest(),
            iat=self.clock(), jti=secrets.token_urlsafe(16),
        ).sign(key or self.key_of(caller))  # fmt: skip
        return {"Authorization": f"Bearer {token}"}

    def call(
        self, caller: str | Mapping[str, str] | None, method: str, target: str, body: Any = None,
        key: SigningKey | None = None, **headers: str,
    ) -> httpx.Response:  # fmt: skip
        """A request: signed by a party or a pseudonym, with the headers of a login, or by nobody."""
        content = b"" if body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
        if isinstance(caller, str):
            sent |= self.signature(caller, method, target, content, key)
        elif caller is not None:
            sent |= caller
        return self.http.request(method, target, content=content, headers=sent)

    def enrol(self, lender: str, count: int = 1, ledgers: Sequence[str] | None = None) -> list[Person]:
        mine = self.people.setdefault(lender, [])
        names = list(ledgers) if ledgers is not None else [pseudonym() for _ in range(count)]
        fresh = [Person(lender, ledger=ledger) for ledger in names]
        subjects = [person.enrolment.model_dump(mode="json") for person in fresh]
        answer = self.call(lender, "POST", "/v1/subjects", {"subjects": subjects})
        assert answer.status_code == 201, answer.text
        for at, person in enumerate(fresh):
            person.number = answer.json()["first"] + at
        mine += fresh
        return fresh


W = TypeVar("W", bound=World)


@contextmanager
def founded(
    world: type[W], home: Path, url: str | None = None, lenders: Sequence[str] = LENDERS, clock: Clock | None = None,
    **policy: Any,
) -> Iterator[W]:  # fmt: skip
    """A registry with its lenders, a coordinator and an auditor; nothing is published, nobody enrolled.

    Args:
        url: of a PostgreSQL database; SQLite without one.
        policy: fields of the consortium.
    """
    registry_key, log_key = create_home(home)
    roles = {"coordinator": Role.COORDINATOR, "auditor": Role.AUDITOR, **dict.fromkeys(lenders, Role.LENDER)}
    keys = {name: SigningKey.generate() for name in roles} | {"registry": registry_key}
    parties = [Party(id="registry", name="R", role=Role.REGISTRY, signing_key=registry_key.public.text)]
    for name, role in roles.items():
        recipient = RecipientKey.generate().public.text
        stated = Party(id=name, name=name, role=role, signing_key=keys[name].public.text, recipient_key=recipient)
        parties.append(stated)
    log = unwitnessed(Log(Verifier("registry.test/log", log_key.public)))
    about = {"name": "world", "max_epsilon": 1.0, "max_delta": 1e-5, **policy}
    found(home, Consortium(parties=tuple(parties), log_policy=log.text, unwitnessed=True, **about), url)
    clock = clock or Clock()
    registry = open_registry(home).at(clock)
    try:
        yield world(home, registry, clock, keys)
    finally:
        registry.close()
