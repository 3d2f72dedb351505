"""A registry in this process, its real application over ASGI, lenders and borrowers with keys, and a clock that stands.

Nothing is cosigned by witnesses here (``support.house`` has those); everything else is what runs in production.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from support.notices import full_terms
from support.plans import small_plan, stated
from support.world import (
    GENERAL,
    LENDERS,
    PORTAL,
    Clock,
    Person,
    World,
    features,
    founded,
    pseudonym,
    trust,
    trusted_issuer,
    without_limits,
)

from consent.commands.commit_roster import commit_roster
from consent.identity.callers import Caller
from consent.identity.tokens import AccessTokens
from consent.notice_text import with_particulars
from crypto.keys import SigningKey
from demo.assessing import make_assessment
from fleet.code import installed_code
from law.categories import Sensitivity
from protocol.assessments import campaign_categories
from protocol.campaigns import Approval, Authorisation, Campaign, CommitmentRequest
from protocol.client.base import RegistryClient
from protocol.client.borrowers import BorrowerClient
from protocol.client.lenders import LenderClient
from protocol.consents import Action, Choice, ConsentDecision
from protocol.notices import Notice
from protocol.parties import Role
from protocol.revocations import Acknowledgement
from protocol.terms import TRAINING_PURPOSE
from protocol.tickets import link_ticket
from protocol.uses import USE_PURPOSES

COUNTS = {"count_epsilon": 10.0}
"""What is set aside for counts of people where a test says nothing about budgets."""
IN_REQUEST = 500
TEXTS = {"en": "May we train a model with your data?", "zh": "我们可以用您的数据训练模型吗？"}
MECHANISM = small_plan(lenders=2)


def shown(notice: Notice, language: str = "en") -> dict[str, Any]:
    """What every answer says of the text that was shown."""
    return {
        "notice_id": notice.id, "notice_version": notice.version, "notice_language": language,
        "notice_sha256": notice.text_sha256(language),
    }  # fmt: skip


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
class Market(World):
    notices: list[Notice] = field(default_factory=list)
    campaigns: int = 0

    # --- calls

    def client(self, caller: str) -> Signed:
        return Signed(self, caller)

    def login(self, *persons: Person, account: str | None = None) -> dict[str, str]:
        """The headers of an account that is linked to these persons."""
        account = account or secrets.token_hex(32)
        tokens = AccessTokens(self.registry)
        about = {"login_issuer": GENERAL, "evidence": "e" * 64, "auth_time": int(self.clock().timestamp())}
        token = tokens.mint(account, PORTAL, Caller.SUBJECT, **about)
        headers = {"Authorization": f"Bearer {token}"}
        for person in persons:
            ends = self.clock() + timedelta(minutes=5)
            ticket = link_ticket(person.lender, person.pseudonym, self.keys[person.lender], ends)
            assert self.call(headers, "POST", "/v1/me/links", {"ticket": ticket}).is_success
        return headers

    # --- what parties do

    def publish(
        self, version: int = 1, notice_id: str = "credit", recipients: Sequence[str] = LENDERS,
        purpose: str = TRAINING_PURPOSE, **terms: Any,
    ) -> Notice:  # fmt: skip
        texts = {language: f"{text} ({notice_id} {version})" for language, text in TEXTS.items()}
        nobody = (Role.COORDINATOR,) if purpose in USE_PURPOSES else ()
        notice = with_particulars(Notice(
            id=notice_id, version=version, purpose=purpose, recipients=tuple(recipients), texts=texts,
            terms=full_terms(self.registry.consortium, recipients, nobody, **terms), published_at=self.clock(),
        ))  # fmt: skip
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
            "pii_principal_id": person.pseudonym, "choices": choices, "event_time": self.clock(),
            "nonce": secrets.token_urlsafe(16),
        }  # fmt: skip
        return ConsentDecision.model_validate(shown(notice) | about | fields).sign(person.key)

    def decide(self, *tokens: str) -> httpx.Response:
        return self.call(None, "POST", "/v1/decisions", {"tokens": list(tokens)})

    def hands_in(self, action: str, kind: Sensitivity, number: int = 0, days: float = 0, **fields: Any):
        """What aspen says that one of its borrowers answered on paper, so many days ago."""
        said = {
            "number": number, "sensitivity": kind, "action": action, "evidence_sha256": "e" * 64,
            "event_time": (self.clock() - timedelta(days=days)).isoformat(),
        }  # fmt: skip
        channel = fields.pop("channel", "paper")
        body = shown(self.notices[-1]) | {"channel": channel, "records": [said | fields]}
        return self.call("aspen", "POST", "/v1/imports", body)

    def says(
        self, person: Person, action: str, kinds: Sequence[Sensitivity] = ("ordinary",), **fields: Any
    ) -> httpx.Response:
        """The person decides with their own key, a second after whatever was before."""
        self.clock.move(seconds=1)
        return self.decide(self.decision(person, dict.fromkeys(kinds, action), **fields))

    def consenting(
        self,
        lender: str,
        count: int = 1,
        ledgers: Sequence[str] | None = None,
        kinds: Sequence[Sensitivity] = ("ordinary",),
    ) -> list[Person]:
        """People who enrol and, a second later, give."""
        people = self.enrol(lender, count, ledgers)
        self.clock.move(seconds=1)
        tokens = [self.decision(person, dict.fromkeys(kinds, "give")) for person in people]
        for first in range(0, len(tokens), IN_REQUEST):
            answer = self.decide(*tokens[first : first + IN_REQUEST])
            assert answer.status_code == 201, answer.text
        return people

    def statement(self, choices: Sequence[tuple[str, Sensitivity, str]], notice: Notice | None = None, **fields: Any):
        answers = [{"recipient": r, "sensitivity": s, "action": a} for r, s, a in choices]
        return shown(notice or self.notices[-1]) | {"choices": answers} | fields

    def campaign(
        self, lenders: Sequence[str] = LENDERS, hours: float = 1, approving: Sequence[str] | None = None, **changes: Any
    ) -> Campaign:
        """Proposed, and approved by every lender, or by those who are named."""
        self.campaigns += 1
        moment = self.clock()
        schema = features().model_dump(mode="json")
        fields: dict[str, Any] = {
            "id": f"campaign-{self.campaigns}", "title": "Test", "coordinator": "coordinator",
            "lenders": tuple(lenders), "purpose": TRAINING_PURPOSE, "model": "scorecard",
            "consortium_sha256": self.registry.consortium.sha256,
            "features": schema, "mechanism": MECHANISM, "code_sha256": installed_code(),
            "seed": 0, "created_at": moment, "expires_at": moment + timedelta(hours=hours),
        }  # fmt: skip
        fields |= {"assessment_sha256": self.assessed(changes.get("features", schema))} | changes
        campaign = Campaign.model_validate(fields)
        token = campaign.sign(self.keys["coordinator"])
        assert self.call("coordinator", "POST", "/v1/campaigns", {"token": token}).status_code == 201
        for lender in lenders if approving is None else approving:
            answer = self.approve(campaign, lender)
            assert answer.status_code == 201, answer.text
        return campaign

    def assessed(self, features: Mapping[str, Any]) -> str:
        """The hash of a recorded assessment that covers training on these features from now on."""
        made = make_assessment("coordinator", campaign_categories(features), self.clock())
        answer = self.call("coordinator", "POST", "/v1/assessments", {"token": made.sign(self.keys["coordinator"])})
        assert answer.status_code == 201, answer.text
        return made.sha256

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
    budget = {"max_epsilon": 100.0, **({} if "max_epsilon" in policy else COUNTS), **policy}
    with founded(Market, home, url, lenders, Clock.standing(), cover_rate=cover_rate, **budget) as market:
        trust(home, trusted_issuer(GENERAL, SigningKey.generate()))
        without_limits(home)
        market.start()
        with market.http:
            market.publish()
            yield market
