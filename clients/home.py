"""A node's home folder and what is in it.

``node.key`` signs for the lender; ``consortium.jws`` is pinned at joining, ``naming-keys.jws`` when
people are first named; ``book.parquet`` holds the loans; ``ledger.db`` is the node's store;
``approved/`` holds the campaigns that its operator signed; ``log.head`` is the newest checkpoint
seen. There is no key here that a name could be computed with.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from clients.budget_ledger import BudgetLedger
from clients.consents import Consents
from clients.errors import NodeError, NotApproved
from crypto.errors import SignatureError
from crypto.keys import PublicKey, SigningKey, load_signing_key, save_signing_key
from fleet.code import installed_code
from ops.settings import HomeSettings
from privacy.accounting import epsilon_of
from privacy.charges import Budget
from privacy.filter import TOLERANCE
from privacy.mechanism import Audience
from protocol.campaigns import Approval, Campaign
from protocol.client.base import load_consortium
from protocol.client.nodes import NodeClient
from protocol.errors import BadSettings
from protocol.heads import HeadStore
from protocol.log_client import http_client
from protocol.parties import Consortium, Role
from protocol.schema import now

_Client = TypeVar("_Client", bound=NodeClient)
KEY_FILE = "node.key"
OWN_COUNTS_FOLDER = "watched"
AUTH_KEY_FILE, CA_FILE = "auth.key", "ca.crt"
BOOK_FILE, LEDGER_FILE, SETTINGS_FILE, HEAD_FILE = (
    "book.parquet",
    "ledger.db",
    "node.json",
    "log.head",
)


class NodeSettings(HomeSettings):
    """What a node must know to run: ``node.json``, or TAHINI_NODE_ and the name of a field in
    capitals."""

    model_config = SettingsConfigDict(env_prefix="TAHINI_NODE_")
    pinned = frozenset({"lender", "registry_key"})

    lender: str
    registry_url: str
    registry_key: str
    naming_url: str | None = None
    """Where people are named; a node that only trains need not know."""
    superlink: str | None = None
    """host:port of the coordinator's SuperLink; without it the node takes part in simulations
    only."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    """Where Prometheus may ask; nowhere without a port."""


def create_home(home: Path) -> SigningKey:
    """Make a node's key and ledger."""
    home.mkdir(parents=True, mode=0o700)
    (home / "approved").mkdir()
    key = SigningKey.generate()
    save_signing_key(home / KEY_FILE, key)
    BudgetLedger(home / LEDGER_FILE).create()
    return key


def join(home: Path, settings: NodeSettings, consortium_token: str) -> None:
    """Pin the consortium and where its registry is."""
    Consortium.verify(consortium_token, PublicKey.from_text(settings.registry_key)).party(
        settings.lender
    )
    (home / "consortium.jws").write_text(consortium_token, encoding="utf-8")
    (home / SETTINGS_FILE).write_text(settings.model_dump_json(indent=2), encoding="utf-8")


@dataclass(frozen=True)
class Node:
    home: Path
    settings: NodeSettings
    key: SigningKey
    consortium: Consortium

    @classmethod
    def open(cls, home: Path) -> Node:
        """Raises NodeError, KeyFileError or SignatureError when the home is not in order."""
        try:
            settings = NodeSettings.read(home / SETTINGS_FILE)
        except BadSettings as error:
            raise NodeError(
                f"{home} is not a node's home that has joined a consortium: {error}"
            ) from error
        key = load_signing_key(home / KEY_FILE)
        consortium = load_consortium(
            home / "consortium.jws", PublicKey.from_text(settings.registry_key)
        )
        me = consortium.party(settings.lender)
        if me.role is not Role.LENDER or me.key != key.public:
            raise NodeError(
                f"the key in {home} is not the one the consortium knows for {settings.lender!r}"
            )
        return cls(home, settings, key, consortium)

    @property
    def lender(self) -> str:
        return self.settings.lender

    @property
    def auth_key(self) -> SigningKey:
        """What requests are signed with: ``auth.key`` after a rotation (``tahini party rotate``),
        else the node's key.

        Raises KeyFileError.
        """
        path = self.home / AUTH_KEY_FILE
        return load_signing_key(path) if path.exists() else self.key

    @property
    def store(self) -> BudgetLedger:
        return BudgetLedger(self.home / LEDGER_FILE)

    @property
    def consents(self) -> Consents:
        return Consents(self.home, self.lender)

    @property
    def cap(self) -> Budget:
        """The most that all campaigns together may cost one borrower, by the consortium's
        policy."""
        return Budget(self.consortium.campaign_epsilon, self.consortium.max_delta)

    @property
    def yearly_cap(self) -> Budget:
        """The most that they may cost one borrower within 365 days."""
        return Budget(self.consortium.campaign_epsilon_per_year, self.consortium.max_delta)

    @property
    def authority(self) -> Path | None:
        """The certificate authority that this node believes, if its home holds one; else the
        system's are believed."""
        path = self.home / CA_FILE
        return path if path.exists() else None

    def registry(self, patience_s: float = 0.0) -> NodeClient:
        """The registry, for what training asks of it."""
        return self.connected(NodeClient, patience_s)

    def connected(self, kind: type[_Client], patience_s: float = 0.0) -> _Client:
        """The registry, for what this kind of client may ask of it."""
        heads = HeadStore(self.home / HEAD_FILE)
        url = self.settings.registry_url
        http = http_client(url, self.authority)
        client = kind(url, self.consortium, self.lender, self.auth_key, heads, http)
        client.patience_s = patience_s
        return client

    def campaign(self, sha256: str) -> tuple[Campaign, Approval]:
        """A campaign that this node's own operator approved; both signatures are checked again.

        Raises:
            NotApproved: it was not approved here, or was rejected. SignatureError: a file was
                altered.
        """
        if (self.home / "approved" / f"{sha256}.rejected.json").exists():
            raise NotApproved(
                f"the operator of {self.lender!r} takes no part in campaign {sha256[:12]}…"
            )
        try:
            campaign_token = (self.home / "approved" / f"{sha256}.campaign.jws").read_text(
                encoding="utf-8"
            )
            approval_token = (self.home / "approved" / f"{sha256}.approval.jws").read_text(
                encoding="utf-8"
            )
        except OSError as error:
            raise NotApproved(
                f"the operator of {self.lender!r} has not approved campaign {sha256[:12]}…"
            ) from error
        campaign = Campaign.verify(campaign_token, self.consortium.one(Role.COORDINATOR).key)
        approval = Approval.verify(approval_token, self.key.public)
        if campaign.sha256 != sha256 or approval.campaign_sha256 != sha256:
            raise SignatureError(f"the files of campaign {sha256[:12]}… hold another campaign")
        return campaign, approval


def campaign_cost(campaign: Campaign) -> float:
    """What a campaign costs a borrower at most, every spare attempt used, by this node's own
    accountant."""
    mechanism = campaign.mechanism
    return max(epsilon_of(mechanism.charges(audience), mechanism.delta) for audience in Audience)


def approve(node: Node, campaign_token: str, operator: str | None = None) -> Approval:
    """The operator's review, as far as a machine can do it, and the operator's signature.

    Raises:
        NodeError: the campaign costs more than it says, more than policy allows, runs other code,
            or is not for this lender. FeatureError: its features are not lawful. SignatureError:
            not the coordinator's.
    """
    campaign = Campaign.verify(campaign_token, node.consortium.one(Role.COORDINATOR).key)
    from credit.features import schema_from  # with pandas, which only this needs

    schema_from(campaign.features, f"campaign {campaign.id}")
    cost = campaign_cost(campaign)
    if cost > campaign.mechanism.epsilon * (1 + TOLERANCE):
        raise NodeError(
            f"campaign {campaign.id!r} says it costs {campaign.mechanism.epsilon:g}, but it costs "
            f"{cost:.4g}"
        )
    if campaign.mechanism.epsilon > node.cap.epsilon or campaign.mechanism.delta > node.cap.delta:
        raise NodeError(
            f"campaign {campaign.id!r} costs more than the consortium's policy allows a borrower"
        )
    if campaign.consortium_sha256 != node.consortium.sha256:
        raise NodeError(f"campaign {campaign.id!r} rests on another consortium document")
    if campaign.code_sha256 != installed_code():
        raise NodeError(f"campaign {campaign.id!r} names other code than is installed on this node")
    strangers = set(campaign.lenders) - {party.id for party in node.consortium.lenders}
    if strangers:
        raise NodeError(
            f"campaign {campaign.id!r} names {', '.join(sorted(strangers))} as a lender, which it "
            "is not"
        )
    if node.lender not in campaign.lenders:
        raise NodeError(f"campaign {campaign.id!r} is not for {node.lender!r}")
    approval = Approval(
        campaign_sha256=campaign.sha256,
        lender=node.lender,
        lot=secrets.token_urlsafe(32),
        operator=operator,
        approved_at=now(),
    )
    folder = node.home / "approved"
    (folder / f"{campaign.sha256}.campaign.jws").write_text(campaign_token, encoding="utf-8")
    (folder / f"{campaign.sha256}.approval.jws").write_text(
        approval.sign(node.key), encoding="utf-8"
    )
    return approval
