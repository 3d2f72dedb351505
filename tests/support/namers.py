"""A consortium's naming service on loopback, over a log that is played."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from fastapi.testclient import TestClient
from support.world import LENDERS

from crypto.keys import SigningKey, b64
from crypto.pseudonyms import blind
from demo.consortium import found
from naming.client import Effort, KeyListChecks, NamingClient
from naming.keys import NamingHome, join
from naming.service import Namer, create_app
from privacy.charges import Budget
from protocol.errors import RegistryUnavailable
from protocol.requests import sign_request

PEOPLE = ["110101199003071230", "11010119900307123X", "330106198512120011"]
PER_DAY = 20
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Log:
    """A registry's client that acknowledges, until it is told not to; what it was sent stays readable."""

    def __init__(self):
        self.entries, self.down = [], False

    def append(self, entries):
        if self.down:
            raise RegistryUnavailable("the consent registry does not answer")
        self.entries += entries
        return list(range(len(self.entries) - len(entries), len(self.entries)))

    def close(self):
        """Nothing to close."""


class Site:
    """A consortium's naming service on loopback, over a log that is played."""

    def __init__(self, root):
        self.founded = found(root / "sesame", list(LENDERS), Budget(1.0, 1e-5))
        self.founded.connect("http://127.0.0.1:9", "http://127.0.0.1:9")
        home = self.founded.naming_home
        settings = NamingHome.open(home).settings.model_copy(update={"people_per_day": PER_DAY})
        join(home, settings, self.founded.token)
        self.home, self.log = NamingHome.open(home), Log()
        self.namer = Namer(self.home, self.log)
        self.app = create_app(self.namer)
        self.http = TestClient(self.app, raise_server_exceptions=False)
        self.url = ""

    def key(self, lender="aspen"):
        return SigningKey((self.founded.node_home(lender) / "node.key").read_bytes())

    def post(self, body, caller="aspen", key=None, target="/v1/evaluations", audience="naming"):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        token = sign_request(key or self.key(caller), caller, audience, "POST", target, content)
        return self.http.post("/v1/evaluations", content=content, headers={"Authorization": f"Bearer {token}"})

    def client(self, lender="aspen", pin=None, **effort):
        consortium, checks = self.founded.consortium, KeyListChecks(pin)
        effort = Effort(**{"workers": 1, "patience_s": 0.0, **effort})
        return NamingClient(self.url, consortium, lender, self.key(lender), checks, effort)


def asked(kind="pairwise", version=1, people=PEOPLE):
    return {"wanted": [{"kind": kind, "version": version}], "elements": b64(blind(people).elements)}
