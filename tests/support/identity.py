"""A registry with lenders, borrowers and trusted issuers, called in this process: no server, no witnesses."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from fastapi.testclient import TestClient
from support.house import Clock

from consent.api.app import create_app
from consent.commands.enrol_subjects import enrol_subjects
from consent.home import KEY_FILE, open_registry
from consent.identity.devissuer import Authorize, issue_id_token, public_jwks
from consent.identity.exchange import ASSERTION_TYPE, CLIENT_CREDENTIALS, JWT_BEARER, client_assertion
from consent.identity.links import link_ticket
from consent.provisioning import REGISTRY_HOME, found_log
from consent.registry import Registry
from crypto.keys import SigningKey, b64, load_signing_key
from protocol.enrolment import Enrolment
from protocol.requests import sign_request

GENERAL, ASPENS = "https://login.example", "https://login.aspen.example"
PORTAL = "portal"
TOKEN_ENDPOINT = "https://registry.example/v1/token"
PARTIES = ("registry", "coordinator", "auditor", "aspen", "birch")


@dataclass(frozen=True)
class Person:
    lender: str
    pseudonym: str
    key: SigningKey


@dataclass
class Site:
    home: Path
    registry: Registry
    clock: Clock
    keys: dict[str, SigningKey]
    people: dict[str, list[Person]]
    general_key: SigningKey = field(default_factory=SigningKey.generate)
    aspens_key: SigningKey = field(default_factory=SigningKey.generate)
    app: FastAPI = field(init=False)
    http: TestClient = field(init=False)

    def start(self, **limits: Any) -> None:
        """A (new) worker over the registry."""
        general = {"issuer": GENERAL, "audience": PORTAL, "jwks": public_jwks(self.general_key)}
        aspens = {"issuer": ASPENS, "audience": PORTAL, "jwks": public_jwks(self.aspens_key)}
        issuers = [
            {**general, "algorithms": ["Ed25519", "EdDSA"]},
            {**aspens, "algorithms": ["Ed25519"], "lenders": ["aspen"], "subject_is_pseudonym": True},
        ]
        settings = {"token_endpoint": TOKEN_ENDPOINT, "issuers": issuers}
        (self.home / "issuers.json").write_text(json.dumps(settings), encoding="utf-8")
        if limits:
            (self.home / "limits.json").write_text(json.dumps(limits), encoding="utf-8")
        self.app = create_app(self.registry)
        self.http = TestClient(self.app, raise_server_exceptions=False)

    # --- borrowers

    def nonce(self) -> str:
        return str(self.http.post("/v1/challenges").json()["nonce"])

    def id_token(self, who: str, issuer: str = GENERAL, **changes: Any) -> str:
        key = self.general_key if issuer == GENERAL else self.aspens_key
        nonce = changes.pop("nonce", None) or self.nonce()
        return issue_id_token(key, issuer, Authorize(subject=who, nonce=nonce, client_id=PORTAL), **changes)

    def exchange(self, assertion: str) -> httpx.Response:
        return self.http.post("/v1/token", data={"grant_type": JWT_BEARER, "assertion": assertion})

    def log_in(self, who: str, issuer: str = GENERAL) -> dict[str, str]:
        return bearer(self.exchange(self.id_token(who, issuer)))

    def ticket(
        self, person: Person, lender: str | None = None, minutes: int = 10, key: SigningKey | None = None
    ) -> str:
        lender = lender or person.lender
        ends = self.clock() + timedelta(minutes=minutes)
        return link_ticket(lender, person.pseudonym, key or self.keys[lender], ends)

    # --- institutions

    def assertion(self, party: str, key: SigningKey | None = None, audience: str = "registry") -> str:
        jti = secrets.token_urlsafe(16)
        return client_assertion(key or self.keys[party], party, audience, self.clock(), jti)

    def authenticate(self, assertion: str, **fields: str) -> httpx.Response:
        form = {"grant_type": CLIENT_CREDENTIALS, "client_assertion_type": ASSERTION_TYPE} | fields
        return self.http.post("/v1/token", data={**form, "client_assertion": assertion})

    def token_of(self, party: str, key: SigningKey | None = None) -> dict[str, str]:
        return bearer(self.authenticate(self.assertion(party, key)))

    def signed(
        self, caller: str, method: str, target: str, json_body: Any = None, key: SigningKey | None = None
    ) -> httpx.Response:
        """A request that is signed with the caller's own key."""
        body = b"" if json_body is None else json.dumps(json_body).encode()
        token = sign_request(key or self.key_of(caller), caller, "registry", method, target, body)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        return self.http.request(method, target, content=body, headers=headers)

    def key_of(self, caller: str) -> SigningKey:
        everybody = {person.pseudonym: person.key for people in self.people.values() for person in people}
        return (self.keys | everybody)[caller]


def bearer(response: httpx.Response) -> dict[str, str]:
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    return {"Authorization": f"Bearer {response.json()['access_token']}"}


def pseudonym() -> str:
    return f"v1.{b64(secrets.token_bytes(32))}"


def person(lender: str) -> Person:
    return Person(lender, pseudonym(), SigningKey.generate())


@contextmanager
def open_site(home: Path, url: str | None = None) -> Iterator[Site]:
    found_log(home, "registry.test/identity", ["aspen", "birch"], url)
    keys = {name: load_signing_key(home / name / f"{name}.key") for name in PARTIES if name != "registry"}
    keys["registry"] = load_signing_key(home / REGISTRY_HOME / KEY_FILE)
    clock = Clock()
    registry = open_registry(home / REGISTRY_HOME).at(clock)
    people = {lender: [person(lender) for _ in range(3)] for lender in ("aspen", "birch")}
    for lender, some in people.items():
        enrol_subjects(
            registry,
            registry.consortium.party(lender),
            [
                Enrolment(pseudonym=one.pseudonym, ledger_pseudonym=pseudonym(), public_key=one.key.public.text)
                for one in some
            ],
        )
    site = Site(home / REGISTRY_HOME, registry, clock, keys, people)
    site.start()
    try:
        yield site
    finally:
        registry.close()
