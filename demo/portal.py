"""A borrower in a portal: logs in at the development issuer, is vouched for by their lender,
withdraws everything."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from clients.home import Node
from demo.borrowers import DemoBorrower
from demo.errors import DemoError
from protocol.schema import now
from protocol.tickets import link_ticket

CLIENT_ID = "demo-portal"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@contextmanager
def trusted_issuer(registry_home: Path, issuer_url: str) -> Iterator[None]:
    """While the demo runs, its registry believes the development issuer about every lender's
    customers."""
    issuer = {
        "issuer": issuer_url,
        "audience": CLIENT_ID,
        "jwks_uri": f"{issuer_url}/jwks.json",
        "algorithms": ["Ed25519"],
    }
    settings = registry_home / "issuers.json"
    settings.write_text(json.dumps({"issuers": [issuer]}), encoding="utf-8")
    try:
        yield
    finally:
        settings.unlink()


@dataclass(frozen=True)
class Portal:
    """What a browser would do, step by step."""

    registry_url: str
    issuer_url: str

    def withdraw_all(self, person: DemoBorrower, node: Node) -> int:
        """Log in, hand in the lender's ticket, withdraw everything twice under one key; returns how
        many decisions.

        Raises:
            DemoError: the registry did not do what it says it does.
        """
        with httpx.Client(base_url=self.registry_url, timeout=30) as http:
            headers = {"Authorization": f"Bearer {self._login(http)}"}
            ticket = link_ticket(
                node.lender, person.pseudonym, node.key, now() + timedelta(minutes=10)
            )
            _answer(http.post("/v1/me/links", json={"ticket": ticket}, headers=headers))
            once = {**headers, "Idempotency-Key": secrets.token_urlsafe(16)}
            first = _answer(http.post("/v1/me/withdrawals", headers=once))
            again = _answer(http.post("/v1/me/withdrawals", headers=once))
            records = _answer(http.get("/v1/me/consents", headers=headers))["items"]
        still_given = [record for record in records if record["event"]["event_state"] == "given"]
        if first != again or still_given or not first["recorded"]:
            raise DemoError("the registry acknowledged a withdrawal that it did not record")
        return len(first["recorded"])

    def _login(self, http: httpx.Client) -> str:
        """An access token of the registry's, for an ID token with its nonce."""
        nonce = _answer(http.post("/v1/challenges"))["nonce"]
        asked = {
            "subject": f"person-{secrets.token_hex(4)}",
            "nonce": nonce,
            "client_id": CLIENT_ID,
        }
        id_token = _answer(httpx.post(f"{self.issuer_url}/authorize", json=asked, timeout=30))[
            "id_token"
        ]
        form = {"grant_type": JWT_BEARER, "assertion": id_token}
        return str(_answer(http.post("/v1/token", data=form))["access_token"])


def _answer(response: httpx.Response) -> Any:
    if not response.is_success:
        raise DemoError(f"the portal was refused: {response.status_code} {response.text[:200]}")
    return response.json()
