"""A registry whose borrowers log in at trusted issuers and whose institutions authenticate themselves."""

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
from support.world import ASPENS, GENERAL, PORTAL, Person, World, founded, trust, trusted_issuer

from consent.identity.devissuer import Authorize, issue_id_token
from consent.identity.exchange import ASSERTION_TYPE, CLIENT_CREDENTIALS, JWT_BEARER, client_assertion
from crypto.keys import SigningKey
from protocol.tickets import link_ticket


@dataclass
class Site(World):
    general_key: SigningKey = field(default_factory=SigningKey.generate)
    aspens_key: SigningKey = field(default_factory=SigningKey.generate)
    signed = World.call

    def start(self, **limits: Any) -> None:
        general = trusted_issuer(GENERAL, self.general_key, algorithms=["Ed25519", "EdDSA"])
        aspens = trusted_issuer(ASPENS, self.aspens_key, lenders=["aspen"], subject_is_pseudonym=True)
        trust(self.home, general, aspens)
        if limits:
            (self.home / "limits.json").write_text(json.dumps(limits), encoding="utf-8")
        super().start()

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

    def link(self, login: dict[str, str], ticket: Person | str) -> httpx.Response:
        """A login hands in a ticket, or the one that the lender of this person made out."""
        ticket = self.ticket(ticket) if isinstance(ticket, Person) else ticket
        return self.http.post("/v1/me/links", json={"ticket": ticket}, headers=login)

    # --- institutions

    def assertion(self, party: str, key: SigningKey | None = None, audience: str = "registry") -> str:
        jti = secrets.token_urlsafe(16)
        return client_assertion(key or self.keys[party], party, audience, self.clock(), jti)

    def authenticate(self, assertion: str, **fields: str) -> httpx.Response:
        form = {"grant_type": CLIENT_CREDENTIALS, "client_assertion_type": ASSERTION_TYPE} | fields
        return self.http.post("/v1/token", data={**form, "client_assertion": assertion})

    def token_of(self, party: str, key: SigningKey | None = None) -> dict[str, str]:
        return bearer(self.authenticate(self.assertion(party, key)))


def bearer(response: httpx.Response) -> dict[str, str]:
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    return {"Authorization": f"Bearer {response.json()['access_token']}"}


@contextmanager
def open_site(home: Path, url: str | None = None) -> Iterator[Site]:
    with founded(Site, home, url, ("aspen", "birch")) as site:
        site.start()
        for lender in ("aspen", "birch"):
            site.enrol(lender, 3)
        yield site
