"""Who belongs to a consortium, with which keys, and what they agreed: the document that every party
pins."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from functools import cached_property
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from crypto.errors import CryptoError, SignatureError
from crypto.keys import PublicKey
from crypto.policies import NO_QUORUM, Log, Policy
from protocol.schema import Document, KeyText, Slug, left_out

DEFAULT_COVER_RATE = 0.2


class Role(StrEnum):
    REGISTRY = "registry"
    COORDINATOR = "coordinator"
    LENDER = "lender"
    AUDITOR = "auditor"
    NAMING = "naming"
    """The key service that people's names are made with; a consortium has one, or none."""


class Party(BaseModel):
    """One institution and its keys. ``recipient_key`` is the HPKE key that bodies are sealed to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Slug
    name: str
    role: Role
    signing_key: KeyText
    recipient_key: str | None = None
    fleet_key: str | None = Field(default=None, max_length=400)
    """A lender's node authenticates to the SuperLink with its private half (``fleet.keys``)."""
    legal: dict[str, Any] | None = Field(default=None, exclude_if=left_out)
    """Contact, licence, country, roles, agreements, as ``protocol.legal.LegalIdentity`` reads
    them."""

    @cached_property
    def key(self) -> PublicKey:
        return PublicKey.from_text(self.signing_key)


class Consortium(Document):
    """Who belongs, with which keys, under which policy. Signed by the registry; every party pins
    it."""

    typ = "tahini-consortium"

    name: str
    parties: tuple[Party, ...]
    log_policy: str = Field(max_length=100_000)
    """Which checkpoints are believed, as a C2SP tlog-policy: the log's key, its witnesses, their
    quorum."""
    dishonest_witnesses: int = Field(default=0, ge=0)
    """How many witnesses may collude with the log, or be set back to an old copy of their memory,
    before two quorums need not share an honest one. Of n witnesses at most (n - 1) // 3: three
    tolerate none, four tolerate one."""
    unwitnessed: bool = False
    """That nobody witnesses the log, so that its operator can show everybody another history. Never
    by omission."""
    max_epsilon: float = Field(gt=0)
    max_delta: float = Field(gt=0, lt=1)
    max_epsilon_per_year: float | None = Field(default=None, gt=0)
    """What everything of any 365 days together may cost a person; ``max_epsilon`` where it is left
    out."""
    count_epsilon: float = Field(default=0.0, ge=0)
    """The part of ``max_epsilon`` that noisy counts of people may cost everybody, ever
    (``commands.count_population``). Campaigns have the rest, so the two never add up to more.
    Nobody is counted where it is 0."""
    authorisation_minutes: int = Field(default=10, ge=1, le=60)
    revocation_minutes: int = Field(default=60, ge=1, le=7 * 24 * 60)
    """How long a lender may leave a revocation unacknowledged before it is given no further
    authorisation."""
    cover_rate: float = Field(default=DEFAULT_COVER_RATE, ge=0, le=0.5)
    """Share of the people with one lender only who have no place in any campaign
    (``commands.place_people``)."""
    legal: dict[str, Any] | None = Field(default=None, exclude_if=left_out)
    """Under whose law it is, as ``protocol.legal.LegalTerms`` reads it."""
    exposure: dict[str, Any] | None = Field(default=None, exclude_if=left_out)
    """Who may run joint exposure here, by whose licence, as ``protocol.exposure.ExposureTerms``
    reads it. Nobody where it is left out."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        ids = [party.id for party in self.parties]
        if len(set(ids)) != len(ids):
            raise ValueError("two parties share an id")
        try:
            policy = Policy.parse(self.log_policy)
            if not self.unwitnessed and policy.quorum != NO_QUORUM:
                policy.tolerate(self.dishonest_witnesses)
        except CryptoError as error:
            raise ValueError(str(error)) from error
        if len(policy.logs) != 1:
            raise ValueError("a consortium has exactly one log")
        if self.unwitnessed != (policy.quorum == NO_QUORUM):
            raise ValueError(
                "a log has witnesses, or its consortium says that it is unwitnessed (--no-quorum); "
                "never both"
            )
        if self.count_epsilon and self.campaign_epsilon_per_year <= 0:
            raise ValueError(
                "counts of people may cost all that may be charged; nothing is left for campaigns"
            )
        for role in (Role.REGISTRY, Role.COORDINATOR, Role.AUDITOR):
            if len([p for p in self.parties if p.role is role]) != 1:
                raise ValueError(f"a consortium has exactly one {role}")
        if len([p for p in self.parties if p.role is Role.NAMING]) > 1:
            raise ValueError("a consortium has at most one naming service")
        return self

    @property
    def campaign_epsilon(self) -> float:
        """The most that all campaigns together may cost a person."""
        return self.max_epsilon - self.count_epsilon

    @property
    def campaign_epsilon_per_year(self) -> float:
        """The most that they may cost a person within 365 days."""
        return (
            min(self.max_epsilon_per_year or self.max_epsilon, self.max_epsilon)
            - self.count_epsilon
        )

    @cached_property
    def policy(self) -> Policy:
        return Policy.parse(self.log_policy)

    def reached_by(self, lenders: Collection[str]) -> frozenset[tuple[str, Role]]:
        """Everybody who gets something of what these lenders do together, and as what: they, and
        whoever serves them all."""
        return frozenset(
            (one.id, one.role)
            for one in self.parties
            if one.role is not Role.LENDER or one.id in lenders
        )

    @property
    def log(self) -> Log:
        return self.policy.logs[0]

    @property
    def log_origin(self) -> str:
        return self.log.verifier.name

    def party(self, party_id: str) -> Party:
        for party in self.parties:
            if party.id == party_id:
                return party
        raise SignatureError(f"{party_id!r} is not a party of the consortium {self.name!r}")

    def one(self, role: Role) -> Party:
        return next(party for party in self.parties if party.role is role)

    @property
    def lenders(self) -> tuple[Party, ...]:
        return tuple(party for party in self.parties if party.role is Role.LENDER)


class Membership(Document):
    """A party's own statement of its keys: proof that it holds them."""

    typ = "tahini-membership"
    party: Party
