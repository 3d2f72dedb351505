"""A consortium with joint exposure, in memory: two servers, lenders, one person, and each message a step of its own."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from crypto.keys import RecipientKey, SigningKey
from crypto.notes import Verifier
from crypto.policies import Log, unwitnessed
from crypto.shares import CheckKey
from exposure.amounts import Exposure
from exposure.book import PersonBook
from exposure.envelopes import opened
from exposure.lending import ExposureLender, SentParts
from exposure.server import ExposureServer
from protocol.exposure import (
    EXPOSURE_PURPOSE,
    ExposureAuthorisation,
    ExposurePart,
    ExposureQuestion,
    ExposureStatement,
)
from protocol.parties import Consortium, Party, Role

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LENDERS = ("aspen", "birch", "cedar")
KEYS = {name: SigningKey.generate() for name in ("registry", "coordinator", "auditor", "naming", *LENDERS)}
NAMING_RECIPIENT = RecipientKey.generate()
LOG = unwitnessed(Log(Verifier("test.example/log", SigningKey.generate().public)))
LICENCE = {"kind": "personal-credit-reporting", "number": "X-1", "authority": "nobody"}
TERMS = {"operator": "registry", "licence": LICENCE}
CHECK = CheckKey.generate()


def consortium(exposure=TERMS, legal=None, roles=()) -> Consortium:
    """Parties named for their roles, and lenders; ``legal`` and ``roles`` by party, where they are others."""
    stated = {**{name: Role(name) for name in KEYS if name not in LENDERS}, **dict.fromkeys(LENDERS, Role.LENDER)}
    parties = tuple(
        Party(
            id=name,
            name=name,
            role=role,
            signing_key=KEYS[name].public.text,
            recipient_key=NAMING_RECIPIENT.public.text if name == "naming" else None,
            legal=(legal or {}).get(name),
        )
        for name, role in (stated | dict(roles)).items()
        if role is not None
    )
    return Consortium(
        name="test", parties=parties, log_policy=LOG.text, unwitnessed=True, max_epsilon=1, max_delta=1e-5,
        exposure=exposure,
    )  # fmt: skip


def lender(name: str, members: Consortium | None = None, check: CheckKey = CHECK) -> ExposureLender:
    return ExposureLender(members or consortium(), name, KEYS[name], check)


def authorisation(key: SigningKey, asker: str, handle: str, **more) -> str:
    """Signed by a borrower; in force for an hour from noon on."""
    about = {
        "purpose": EXPOSURE_PURPOSE,
        "lender": asker,
        "handle": handle,
        "application": secrets.token_hex(32),
        "issued_at": NOON,
        "expires_at": NOON + timedelta(hours=1),
        "nonce": secrets.token_hex(32),
    }
    return ExposureAuthorisation.model_validate(about | more).sign(key)


@dataclass
class TwoServers:
    """Both servers of one consortium, and what they hold of one person."""

    members: Consortium = field(default_factory=consortium)
    now: datetime = NOON
    skew: timedelta = timedelta(0)
    """How far the naming service's clock is ahead."""
    registry_book: PersonBook = field(default_factory=PersonBook)
    naming_book: PersonBook = field(default_factory=PersonBook)

    def __post_init__(self) -> None:
        self.registry = ExposureServer(self.members, Role.REGISTRY, KEYS["registry"])
        self.naming = ExposureServer(self.members, Role.NAMING, KEYS["naming"])

    def read(self, sent: SentParts) -> tuple[ExposurePart, ExposurePart]:
        """Both parts, as each server reads its own."""
        kind = ExposureStatement if sent.answer_key is None else ExposureQuestion
        second = opened(sent.naming, NAMING_RECIPIENT, sent.operation)
        return self.registry.read(sent.registry, kind, self.now), self.naming.read(second, kind, self.now)

    def at_registry(self, part: ExposurePart) -> str:
        """Its order; kept as pending."""
        self.registry_book, order = self.registry.propose(self.registry_book, part, self.now)
        return order

    def at_naming(self, part: ExposurePart, order: str) -> str:
        self.naming_book, reply = self.naming.follow(self.naming_book, part, order, self.now + self.skew)
        return reply

    def settle(self, part: ExposurePart) -> str:
        self.registry_book, reply = self.registry.settle(self.registry_book, part, self.now)
        return reply

    def through(self, sent: SentParts) -> tuple[str, str]:
        """All steps of one operation, one after the other."""
        first, second = self.read(sent)
        reply = self.at_naming(second, self.at_registry(first))
        return self.settle(first), reply


@dataclass
class Somebody:
    """A borrower whom the lenders know by one handle."""

    servers: TwoServers = field(default_factory=TwoServers)
    key: SigningKey = field(default_factory=SigningKey.generate)
    handle: str = field(default_factory=lambda: CHECK.handle("v1." + secrets.token_hex(8)))
    versions: dict[str, int] = field(default_factory=dict)

    def lender(self, name: str) -> ExposureLender:
        return lender(name, self.servers.members)

    def states(self, name: str, has: Exposure, releases: tuple[str, ...] = ()) -> bool:
        """Whether it was in time, as both receipts say."""
        version = self.versions.get(name, 0) + 1
        sent = self.lender(name).state(self.handle, version, has, self.key.public.text, releases)
        replies = self.servers.through(sent)
        self.versions[name] = version
        return self.lender(name).stated(sent, *replies)

    def question(self, name: str, reserve_fen: int = 0, signed: str | None = None, minutes: int = 10) -> SentParts:
        token = signed or authorisation(self.key, name, self.handle)
        return self.lender(name).ask(self.handle, token, reserve_fen, self.servers.now + minutes * MINUTE)

    def asks(self, name: str, reserve_fen: int = 0, **more) -> Exposure:
        sent = self.question(name, reserve_fen, **more)
        return self.lender(name).answered(sent, *self.servers.through(sent))
