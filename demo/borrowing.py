"""Playing a borrower in a workspace of ``tahini up``, through the doors that a portal would use.

The workspace has a development issuer: a key whose logins its registry believes, and nobody else's.
Whoever plays is a person of one lender, who vouches for the login with a ticket; what they were
given to keep is in ``borrowers/NAME``.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from clients.home import Node
from consent.identity.devissuer import Authorize, issue_id_token, public_jwks
from consent.identity.settings import ISSUERS_FILE
from crypto.keys import PublicKey, SigningKey, load_signing_key, replace_file, save_signing_key
from demo.errors import DemoError
from demo.workspaces import DEVELOPMENT_KEY, PEOPLE_FOLDER
from fleet.tls import CA_CERT
from protocol.client.lenders import LenderClient
from protocol.log_client import http_client
from protocol.schema import now
from protocol.snapshots import REASONS, Reason, reasons_of
from protocol.terms import TRAINING_PURPOSE
from protocol.tickets import link_ticket

CLIENT_ID = "borrower"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
PERSON_FILE, RECEIPTS_FOLDER = "person.json", "receipts"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
PATIENCE_S, ASK_AGAIN_S = 20.0, 0.2


def trust_issuer(
    root: Path,
    url: str,
    counters: Mapping[str, str] | None = None,
    named_at: Sequence[str] = (),
) -> None:
    """Make the key of the workspace's development issuer, and have its registry, when it starts,
    believe it.

    Args:
        counters: lenders by the client of their own fronts.
        named_at: lenders whose customers log in by their names there, without having been linked.
    """
    key = SigningKey.generate()
    save_signing_key(root / DEVELOPMENT_KEY, key)
    issuer = {
        "issuer": url,
        "audience": CLIENT_ID,
        "jwks": public_jwks(key),
        "algorithms": ["Ed25519"],
        "counters": dict(counters or {}),
        "subject_is_pseudonym": bool(named_at),
        "lenders": list(named_at),
    }
    (root / "registry" / ISSUERS_FILE).write_text(
        json.dumps({"issuers": [issuer]}), encoding="utf-8"
    )


def issuer_of(root: Path) -> str:
    """The URL of the workspace's development issuer, as its registry believes it."""
    settings = (root / "registry" / ISSUERS_FILE).read_text(encoding="utf-8")
    return str(json.loads(settings)["issuers"][0]["issuer"])


@dataclass(frozen=True)
class Person:
    """Whom somebody plays: a person of one lender."""

    lender: str
    pseudonym: str


@dataclass(frozen=True)
class Player:
    """Somebody who plays a borrower of a workspace."""

    root: Path
    name: str
    lender: str | None = None
    """Whose customer to be, for the first time; any lender's if None."""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise DemoError(
                f"{self.name!r} is no name to play under: lower-case letters, digits and dashes"
            )
        if not (self.root / DEVELOPMENT_KEY).exists():
            raise DemoError(
                f"{self.root} is not a workspace of tahini up with a development issuer"
            )

    @property
    def home(self) -> Path:
        return self.root / PEOPLE_FOLDER / self.name

    def _lenders(self) -> list[str]:
        return sorted(path.name for path in (self.root / "lenders").iterdir() if path.is_dir())

    def _node(self, lender: str) -> Node:
        if lender not in self._lenders():
            raise DemoError(
                f"there is no lender {lender!r} here; there are {', '.join(self._lenders())}"
            )
        return Node.open(self.root / "lenders" / lender)

    def http(self) -> httpx.Client:
        """The registry, logged in; the first time the lender vouches for the login."""
        known = self._known()
        person = known or self._somebody()
        node = self._node(person.lender)
        http = http_client(node.settings.registry_url, self.root / "ca" / CA_CERT)
        try:
            http.headers["Authorization"] = f"Bearer {self._login(http)}"
            if known is None:
                ticket = link_ticket(
                    person.lender, person.pseudonym, node.key, now() + timedelta(minutes=10)
                )
                answered(http.post("/v1/me/links", json={"ticket": ticket}))
                self.home.mkdir(parents=True, exist_ok=True)
                replace_file(self.home / PERSON_FILE, json.dumps(asdict(person)).encode())
        except httpx.TransportError as error:
            http.close()
            raise DemoError(
                f"the registry at {node.settings.registry_url} does not answer; start it: tahini "
                f"up --workspace {self.root}"
            ) from error
        except DemoError:
            http.close()
            raise
        return http

    def _login(self, http: httpx.Client) -> str:
        nonce = answered(http.post("/v1/challenges"))["nonce"]
        asked = Authorize(subject=self.name, nonce=nonce, client_id=CLIENT_ID)
        key = load_signing_key(self.root / DEVELOPMENT_KEY)
        id_token = issue_id_token(key, issuer_of(self.root), asked)
        form = {"grant_type": JWT_BEARER, "assertion": id_token}
        return str(answered(http.post("/v1/token", data=form))["access_token"])

    def _known(self) -> Person | None:
        path = self.home / PERSON_FILE
        if not path.exists():
            return None
        person = Person(**json.loads(path.read_text(encoding="utf-8")))
        if self.lender not in (None, person.lender):
            raise DemoError(
                f"{self.name!r} is a customer of {person.lender} already; play somebody else: --as "
                "NAME"
            )
        return person

    def _somebody(self) -> Person:
        """Somebody whom nobody plays; who has said nothing yet, if there is one."""
        lender = self.lender or self._lenders()[0]
        node = self._node(lender)
        with node.connected(LenderClient) as client:
            held = client.consent_state(TRAINING_PURPOSE, secrets.token_urlsafe(16))
            names = client.whole_roll()
        rules = [REASONS[rule] for rule in reasons_of(held.codes["ordinary"], held.state.notices)]
        played = {
            json.loads(path.read_text(encoding="utf-8"))["pseudonym"]
            for path in (self.root / PEOPLE_FOLDER).glob(f"*/{PERSON_FILE}")
        }
        free = [
            (rule != Reason.NEVER_ASKED, name)
            for name, rule in zip(names, rules, strict=False)
            if name not in played
        ]
        if not free:
            raise DemoError(f"everybody at {lender} is played already; try another: --lender")
        return Person(lender, min(free, key=lambda one: one[0])[1])

    # --- what a borrower does

    def notices(self, http: httpx.Client, language: str) -> list[dict[str, Any]]:
        """What is asked, each with its text in a language, word for word."""
        found = answered(http.get("/v1/me/notices"))["items"]
        for notice in found:
            headers = {"Accept": "text/plain", "Accept-Language": language}
            answer = http.get(f"/v1/notices/{notice['id']}/{notice['version']}", headers=headers)
            if not answer.is_success:
                answered(answer)
            notice |= {"language": answer.headers["content-language"], "text": answer.text}
        return list(found)

    def decide(
        self, http: httpx.Client, action: str, further: bool, language: str
    ) -> list[dict[str, Any]]:
        """One answer to every notice that asks, as it is shown in a language; returns what was
        recorded.

        Args:
            further: answer everything that needs a consent of its own, too.
        """
        recorded: list[dict[str, Any]] = []
        for notice in self.notices(http, language):
            statement = {
                "notice_id": notice["id"],
                "notice_version": notice["version"],
                "notice_language": notice["language"],
                "notice_sha256": hashlib.sha256(notice["text"].encode()).hexdigest(),
                "choices": [
                    {"recipient": lender, "sensitivity": sensitivity, "action": action}
                    for lender in notice["recipients"]
                    for sensitivity in notice["asks"]
                    if further or sensitivity == "ordinary"
                ],
            }
            recorded += self._command(http, "/v1/me/consents", statement)
        return recorded

    def withdraw(self, http: httpx.Client) -> list[dict[str, Any]]:
        """Take everything back; returns what was recorded."""
        return self._command(http, "/v1/me/withdrawals", None)

    def _command(
        self, http: httpx.Client, target: str, body: Mapping[str, Any] | None
    ) -> list[dict[str, Any]]:
        once = {"Idempotency-Key": secrets.token_urlsafe(16)}
        return list(answered(http.post(target, json=body, headers=once))["recorded"])

    def keep_receipts(self, http: httpx.Client, recorded: list[dict[str, Any]]) -> list[Path]:
        """Fetch the receipt of each decision, as soon as witnesses have cosigned it, and keep it
        with its anchors."""
        folder = self.home / RECEIPTS_FOLDER
        folder.mkdir(exist_ok=True)
        self.keep_anchors()
        kept = []
        for one in recorded:
            kept.append(folder / f"{one['decision_sha256'][:16]}.jws")
            replace_file(kept[-1], asked_again(http, one["receipt"]).content)
        return kept

    def keep_anchors(self) -> None:
        """What receipts are verified with, beside them."""
        node = self._node(self.person.lender)
        replace_file(self.home / "consortium.jws", (node.home / "consortium.jws").read_bytes())
        replace_file(self.home / "registry.pub", node.settings.registry_key.encode())

    @property
    def person(self) -> Person:
        """Whom this is, once they have logged in."""
        return Person(**json.loads((self.home / PERSON_FILE).read_text(encoding="utf-8")))

    def lenders_key(self) -> PublicKey:
        """What the lender signs its answers with, by the consortium document."""
        lender = self.person.lender
        return self._node(lender).consortium.party(lender).key


def asked_again(http: httpx.Client, target: str) -> httpx.Response:
    """What is there as soon as witnesses have cosigned it; raises DemoError."""
    deadline = time.monotonic() + PATIENCE_S
    while (answer := http.get(target)).status_code == 503 and time.monotonic() < deadline:
        time.sleep(ASK_AGAIN_S)
    if not answer.is_success:
        answered(answer)
    return answer


def answered(response: httpx.Response) -> Any:
    """The JSON of an answer; raises DemoError with the registry's own words."""
    if response.is_success:
        return response.json()
    try:
        said = str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        said = f"the registry answered {response.status_code}"
    raise DemoError(said)
