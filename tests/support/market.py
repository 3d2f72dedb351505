"""A registry in this process, its real application over ASGI, lenders and borrowers with keys, and a clock that stands.

Nothing is cosigned by witnesses here (``support.house`` has those); everything else is what runs in production.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from fastapi.testclient import TestClient
from support.house import features
from support.identity import GENERAL, PORTAL, TOKEN_ENDPOINT
from support.plans import small_plan, stated

from consent.api.app import create_app
from consent.commands.commit_roster import commit_roster
from consent.home import create_home, found, open_registry
from consent.identity.callers import Caller
from consent.identity.devissuer import public_jwks
from consent.identity.links import link_ticket
from consent.identity.tokens import AccessTokens
from consent.registry import Registry
from crypto.keys import RecipientKey, SigningKey, b64
from crypto.notes import Verifier
from crypto.policies import Log, unwitnessed
from fleet.code import installed_code
from protocol.campaigns import Approval, Authorisation, Campaign, CommitmentRequest
from protocol.client.base import RegistryClient
from protocol.client.borrowers import BorrowerClient
from protocol.client.lenders import LenderClient
from protocol.consents import Action, Choice, ConsentDecision, Notice
from protocol.parties import Consortium, Party, Role
from protocol.requests import SignedRequest
from protocol.revocations import Acknowledgement
from protocol.schema import now
from protocol.terms import TRAINING_PURPOSE, Sensitivity, Terms

LENDERS = ("aspen", "birch", "cedar")
COUNTS = {"count_epsilon": 10.0}
"""What is set aside for counts of people where a test says nothing about budgets."""
TEXTS = {"en": "May we train a model with your data?", "zh": "我们可以用您的数据训练模型吗？"}
MECHANISM = small_plan(lenders=2)
_UNLIMITED = {"per_second": 1e6, "burst": 10**9}
_RATES = dict.fromkeys(("reading", "changing", "login"), _UNLIMITED)


def pseudonym(version: int = 1) -> str:
    return f"v{version}.{b64(secrets.token_bytes(32))}"


@dataclass
class Standstill:
    """A clock that only a test moves."""

    moment: datetime = field(default_factory=now)

    def __call__(self) -> datetime:
        return self.moment

    def move(self, **by: float) -> datetime:
        self.moment += timedelta(**by)
        return self.moment


@dataclass
class Person:
    """Somebody at one lender; ``ledger`` is the same wherever they borrow."""

    lender: str
    number: int
    pseudonym: str
    ledger: str
    key: SigningKey = field(default_factory=SigningKey.generate)


class _UnderTheClock(RegistryClient):
    """A client that signs under the market's clock."""

    def __init__(self, market: Market, caller: str) -> None:
        super().__init__("http://testserver", market.registry.consortium, caller, market.key_of(caller), None,
                         market.http)  # fmt: skip
        self._market = market

    def _authorization(self, method: str, target: str, content: bytes) -> dict[str, str]:
        return self._market.signature(str(self._caller), method, target, content)


class Signed(_UnderTheClock, LenderClient):
    """The client that nodes use."""


class SignedBorrower(_UnderTheClock, BorrowerClient):
    """The client that borrowers use."""


@dataclass
class Market:
    registry: Registry
    clock: Standstill
    keys: dict[str, SigningKey]
    http: TestClient
    people: dict[str, list[Person]] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    campaigns: int = 0

    # --- calls

    def key_of(self, caller: str) -> SigningKey:
        if caller in self.keys:
            return self.keys[caller]
        return next(p.key for people in self.people.values() for p in people if p.pseudonym == caller)

    def signature(self, caller: str, method: str, target: str, body: bytes) -> dict[str, str]:
        token = SignedRequest(
            iss=caller, aud="registry", htm=method, htu=target, body_sha256=hashlib.sha256(body).hexdigest(),
            iat=self.clock(), jti=secrets.token_urlsafe(16),
        ).sign(self.key_of(caller))  # fmt: skip
        return {"Authorization": f"Bearer {token}"}

    def call(
        self, caller: str | Mapping[str, str] | None, method: str, target: str, body: Any = None, **headers: str
    ) -> httpx.Response:
        """A request: signed by a party or a pseudonym, with the headers of a login, or by nobody."""
        content = b"" if body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
        if isinstance(caller, str):
            sent |= self.signature(caller, method, target, content)
        elif caller is not None:
            sent |= caller
        return self.http.request(method, target, content=content, headers=sent)

    def client(self, caller: str) -> Signed:
        return Signed(self, caller)

    def party(self, name: str) -> Party:
        return self.registry.consortium.party(name)

    def login(self, *persons: Person, account: str | None = None) -> dict[str, str]:
        """The headers of an account that is linked to these persons."""
        account = account or secrets.token_hex(32)
        tokens = AccessTokens(self.registry)
        token = tokens.mint(account, PORTAL, Caller.SUBJECT, login_issuer=GENERAL, evidence="e" * 64)
        headers = {"Authorization": f"Bearer {token}"}
        for person in persons:
            ends = self.clock() + timedelta(minutes=5)
            ticket = link_ticket(person.lender, person.pseudonym, self.keys[person.lender], ends)
            assert self.call(headers, "POST", "/v1/me/links", {"ticket": ticket}).is_success
        return headers

    # --- what parties do

    def enrol(self, lender: str, count: int = 1, ledgers: Sequence[str] | None = None) -> list[Person]:
        mine = self.people.setdefault(lender, [])
        names = list(ledgers) if ledgers is not None else [pseudonym() for _ in range(count)]
        fresh = [Person(lender, len(mine) + at, pseudonym(), ledger) for at, ledger in enumerate(names)]
        subjects = [
            {"pseudonym": p.pseudonym, "ledger_pseudonym": p.ledger, "public_key": p.key.public.text} for p in fresh
        ]
        answer = self.call(lender, "POST", "/v1/subjects", {"subjects": subjects})
        assert answer.status_code == 201, answer.text
        assert answer.json()["first"] == len(mine)
        mine += fresh
        return fresh

    def publish(
        self, version: int = 1, notice_id: str = "credit", recipients: Sequence[str] = LENDERS,
        purpose: str = TRAINING_PURPOSE, **terms: Any,
    ) -> Notice:  # fmt: skip
        texts = {language: f"{text} ({notice_id} {version})" for language, text in TEXTS.items()}
        notice = Notice(
            id=notice_id, version=version, purpose=purpose, recipients=tuple(recipients), texts=texts,
            terms=Terms.model_validate(terms), published_at=self.clock(),
        )  # fmt: skip
        answer = self.call("registry", "POST", "/v1/notices", {"token": notice.sign(self.keys["registry"])})
        assert answer.status_code == 201, answer.text
        self.notices.append(notice)
        return notice

    def decision(
        self, person: Person, actions: Mapping[Sensitivity, str], notice: Notice | None = None, **fields: Any
    ) -> str:
        """A decision signed with the person's own key."""
        notice = notice or self.notices[-1]
        choices = tuple(
            Choice(purpose=notice.purpose, recipient=person.lender, sensitivity=kind, action=Action(action))
            for kind, action in actions.items()
        )
        about = {
            "pii_principal_id": person.pseudonym, "notice_id": notice.id, "notice_version": notice.version,
            "notice_language": "en", "notice_sha256": notice.text_sha256("en"), "choices": choices,
            "event_time": self.clock(), "nonce": secrets.token_urlsafe(16),
        }  # fmt: skip
        return ConsentDecision.model_validate(about | fields).sign(person.key)

    def decide(self, *tokens: str) -> httpx.Response:
        return self.call(None, "POST", "/v1/decisions", {"tokens": list(tokens)})

    def says(
        self, person: Person, action: str, kinds: Sequence[Sensitivity] = ("ordinary",), **fields: Any
    ) -> httpx.Response:
        """The person decides with their own key, a second after whatever was before."""
        self.clock.move(seconds=1)
        return self.decide(self.decision(person, dict.fromkeys(kinds, action), **fields))

    def statement(self, choices: Sequence[tuple[str, Sensitivity, str]], notice: Notice | None = None, **fields: Any):
        notice = notice or self.notices[-1]
        about = {
            "notice_id": notice.id, "notice_version": notice.version, "notice_language": "en",
            "notice_sha256": notice.text_sha256("en"),
            "choices": [{"recipient": r, "sensitivity": s, "action": a} for r, s, a in choices],
        }  # fmt: skip
        return about | fields

    def campaign(
        self, lenders: Sequence[str] = LENDERS, hours: float = 1, approving: Sequence[str] | None = None, **changes: Any
    ) -> Campaign:
        """Proposed, and approved by every lender, or by those who are named."""
        self.campaigns += 1
        moment = self.clock()
        fields: dict[str, Any] = {
            "id": f"campaign-{self.campaigns}", "title": "Test", "coordinator": "coordinator",
            "lenders": tuple(lenders), "purpose": TRAINING_PURPOSE, "model": "scorecard",
            "features": features().model_dump(mode="json"), "mechanism": MECHANISM, "code_sha256": installed_code(),
            "seed": 0, "created_at": moment, "expires_at": moment + timedelta(hours=hours),
        }  # fmt: skip
        campaign = Campaign.model_validate(fields | changes)
        token = campaign.sign(self.keys["coordinator"])
        assert self.call("coordinator", "POST", "/v1/campaigns", {"token": token}).status_code == 201
        for lender in lenders if approving is None else approving:
            answer = self.approve(campaign, lender)
            assert answer.status_code == 201, answer.text
        return campaign

    def approve(self, campaign: Campaign, lender: str) -> httpx.Response:
        said = Approval(campaign_sha256=campaign.sha256, lender=lender, lot="l" * 43, approved_at=self.clock())
        target = f"/v1/campaigns/{campaign.sha256}/approvals"
        return self.call(lender, "POST", target, {"token": said.sign(self.keys[lender])})

    def authorise(self, campaign: Campaign, lender: str = "aspen", checkpoint: str | None = None) -> httpx.Response:
        """What a lender's node asks for before every release."""
        asked = {
            "node_key": self.party(lender).key.thumbprint, "purpose": campaign.purpose,
            "code_sha256": campaign.code_sha256, "checkpoint": checkpoint or self.checkpoint(),
        }  # fmt: skip
        return self.call(lender, "POST", f"/v1/campaigns/{campaign.sha256}/authorisations", asked)

    def commit(self, campaign: Campaign, lender: str = "aspen", release: int = 0, attempt: int = 1) -> None:
        """The lender authorises and commits one attempt at a release."""
        token = self.authorise(campaign, lender).json()["token"]
        request = CommitmentRequest(
            authorisation_id=Authorisation.claimed(token).jti, release=release, attempt=attempt, root="0" * 64,
            sealed_body="AA", **stated(campaign, release),
        )  # fmt: skip
        commit_roster(self.registry, self.party(lender), campaign.sha256, request)

    def rename(self, people: Sequence[Person], ledgers: Sequence[str], version: int = 2) -> httpx.Response:
        """Rename everybody of a lender's at once: few of many are refused."""
        fresh = [pseudonym(version) for _ in people]
        bodies = [
            {"pseudonym": person.pseudonym, "new_pseudonym": name, "new_ledger_pseudonym": ledger}
            for person, name, ledger in zip(people, fresh, ledgers, strict=True)
        ]
        answer = self.call(people[0].lender, "POST", "/v1/subjects/renamings", {"renamings": bodies})
        if answer.status_code == 201:
            for person, name, ledger in zip(people, fresh, ledgers, strict=True):
                person.pseudonym, person.ledger = name, ledger
        return answer

    def acknowledge(self, lender: str, number: int) -> httpx.Response:
        told = Acknowledgement(recipient=lender, number=number, acknowledged_at=self.clock())
        body = {"token": told.sign(self.keys[lender])}
        return self.call(lender, "POST", "/v1/revocations/acknowledgements", body)

    def check(self, lender: str, sensitivity: str = "ordinary", **whom: Any) -> dict[str, Any]:
        body = {"purpose": TRAINING_PURPOSE, "sensitivity": sensitivity, **whom}
        answer = self.call(lender, "POST", "/v1/checks", body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def rule(self, person: Person, sensitivity: str = "ordinary") -> str:
        """The rule that decides about one person now."""
        (decided,) = self.check(person.lender, sensitivity, subjects=[person.pseudonym])["decisions"]
        assert (decided["decision"] == "allow") == (decided["rule"] == "given")
        return decided["rule"]

    def placed(self, campaign: Campaign, lender: str) -> set[int]:
        """Numbers of the lender's borrowers who have a place."""
        flags = self.client(lender).places(campaign.sha256).flags()
        return {number for number, has in enumerate(flags) if has}

    def checkpoint(self) -> str:
        """The newest head, signed and published."""
        self.registry.ledger.sequencer.settle()
        with self.registry.ledger.read() as session:
            return self.registry.ledger.log.checkpoint(session)

    def log_size(self) -> int:
        with self.registry.ledger.read() as session:
            return self.registry.ledger.log.size(session)


_sites = itertools.count()


@contextmanager
def open_market(
    folder: Path, url: str | None = None, cover_rate: float = 0.0, lenders: Sequence[str] = LENDERS, **policy: Any
) -> Iterator[Market]:
    """A founded registry with its first notice published.

    Args:
        url: of a PostgreSQL database; SQLite without one.
    """
    home = folder / f"market-{next(_sites)}"
    registry_key, log_key = create_home(home)
    roles = {"coordinator": Role.COORDINATOR, "auditor": Role.AUDITOR, **dict.fromkeys(lenders, Role.LENDER)}
    keys = {name: SigningKey.generate() for name in roles} | {"registry": registry_key}
    parties = [Party(id="registry", name="R", role=Role.REGISTRY, signing_key=registry_key.public.text)]
    for name, role in roles.items():
        recipient = RecipientKey.generate().public.text
        parties.append(
            Party(id=name, name=name, role=role, signing_key=keys[name].public.text, recipient_key=recipient)
        )
    log = unwitnessed(Log(Verifier("market.test/log", log_key.public)))
    consortium = Consortium(
        name="market", parties=tuple(parties), log_policy=log.text, unwitnessed=True, cover_rate=cover_rate,
        **({"max_epsilon": 100.0, "max_delta": 1e-5, **({} if "max_epsilon" in policy else COUNTS)} | policy),
    )  # fmt: skip
    found(home, consortium, url)
    issuer = {"issuer": GENERAL, "audience": PORTAL, "jwks": public_jwks(SigningKey.generate())}
    issuers = {"token_endpoint": TOKEN_ENDPOINT, "issuers": [{**issuer, "algorithms": ["Ed25519"]}]}
    (home / "issuers.json").write_text(json.dumps(issuers), encoding="utf-8")
    (home / "limits.json").write_text(
        json.dumps(dict.fromkeys(("party", "borrower", "anonymous"), _RATES)), encoding="utf-8"
    )
    clock = Standstill()
    registry = open_registry(home).at(clock)
    try:
        with TestClient(create_app(registry), raise_server_exceptions=False) as http:
            market = Market(registry, clock, keys, http)
            market.publish()
            yield market
    finally:
        registry.close()
