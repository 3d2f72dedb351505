"""A desk's home folder, and the desk that is opened from it.

``desk.json`` says how it works and whose it is; ``desk.key`` seals what it keeps of people;
``desk.db`` (or ``database.url``, a PostgreSQL database) holds the rest. What it decides by is in
``desk.released``, where facts come from in ``desk.described``. It signs as its lender: the node's
home is beside it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from clients.erasures import ORDERS
from clients.home import Node
from crypto.bodies import KEY_SIZE, new_data_key
from crypto.errors import TahiniError
from crypto.keys import PublicKey, read_secret, write_secret
from desk.assessed import OwnAssessment, read_assessment
from desk.consents import ScoringConsents
from desk.described import AskedAs, read_sources
from desk.errors import RulesMissing
from desk.lending_rules import ReleasedRules
from desk.office import Desk, Transactions, Ways
from desk.outbox import Sender, UseOutbox
from desk.portraying import read_portraits
from desk.released import (
    EXPLORATION_FILE,
    EXPLORATION_SIZE,
    LAW,
    POLICIES,
    PRODUCTS,
    read_letter_end,
    read_rules,
    read_score,
    read_wording,
)
from desk.score_rules import ScoreRules
from desk.sealing import AtRest
from desk.sources import Sources
from desk.standing import ModelStanding
from desk.storage.database import DeskDatabase
from desk.storage.tables import outbox
from desk.trail import Trail
from desk.vouching import RegistryVouches
from ops.serving import Listening
from ops.settings import HomeSettings
from protocol.client.desks import DeskClient
from protocol.errors import BadSettings
from protocol.log_client import http_client
from protocol.schema import KeyText, Sha256, now
from protocol.uses import PORTRAIT_PURPOSE

SETTINGS_FILE, KEY_FILE, DATABASE_FILE, DATABASE_URL_FILE = (
    "desk.json",
    "desk.key",
    "desk.db",
    "database.url",
)


class DeskSettings(HomeSettings):
    """``desk.json``, or TAHINI_DESK_ and the name of a field in capitals."""

    model_config = SettingsConfigDict(env_prefix="TAHINI_DESK_")
    pinned = frozenset(
        {"node", "risk_key", "model", "challenger", "four_eyes", "timezone", "reading_seconds"}
    )

    node: Path
    """The home of the lender's node."""
    risk_key: KeyText
    """Who signs credit policies: the risk officer's public key."""
    model: Sha256 | None = None
    """The campaign whose model scores; without one every case goes to a person."""
    challenger: Sha256 | None = None
    """The campaign whose model is tried in shadow beside it."""
    timezone: str = "Asia/Shanghai"
    """Whose calendar days count."""
    four_eyes: bool = False
    """A second person has to agree to what a reviewer decides."""
    reading_seconds: int = Field(default=10, ge=0, le=3600)
    """How long the table of what a loan costs is shown before it can be accepted (强制阅读时间).
    What was read of the law names no number."""

    @field_validator("challenger")
    @classmethod
    def _beside_another(cls, tried: str | None, others: ValidationInfo) -> str | None:
        if tried is not None and others.data.get("model") in {None, tried}:
            raise ValueError("a challenger is tried beside another model that scores")
        return tried

    @field_validator("timezone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError("a time zone, as Asia/Shanghai") from None
        return name


class DeskListening(Listening):
    model_config = SettingsConfigDict(env_prefix="TAHINI_DESK_")
    port: int = Field(default=8740, ge=1, le=65535)


def create_desk(home: Path, settings: DeskSettings, database: str | None = None) -> None:
    """Make a desk's keys and its database (at ``database``, a PostgreSQL URL, or in ``home``).

    Raises:
        NodeError: there is no node of a lender where the settings say. StorageFailed, Conflict:
            from the database.
    """
    Node.open(settings.node)
    home.mkdir(parents=True, mode=0o700)
    for folder in (PRODUCTS, POLICIES, LAW):
        (home / folder).mkdir()
    write_secret(home / KEY_FILE, new_data_key())
    write_secret(home / EXPLORATION_FILE, os.urandom(EXPLORATION_SIZE))
    (home / SETTINGS_FILE).write_text(settings.model_dump_json(indent=2), encoding="utf-8")
    if database is not None:
        write_secret(home / DATABASE_URL_FILE, database.encode())
    else:
        (home / DATABASE_FILE).touch(mode=0o600)
    made = open_database(home)
    try:
        made.create()
    finally:
        made.close()


def open_database(home: Path) -> DeskDatabase:
    """Raises KeyFileError, StorageFailed."""
    if (home / DATABASE_URL_FILE).exists():
        return DeskDatabase(read_secret(home / DATABASE_URL_FILE).decode().strip())
    if not (home / DATABASE_FILE).exists():
        raise BadSettings(f"{home} is no desk's home; make one with: tahini desk init")
    return DeskDatabase(home / DATABASE_FILE)


def read_settings(home: Path) -> DeskSettings:
    """Raises BadSettings."""
    return DeskSettings.read(home / SETTINGS_FILE)


def open_desk(home: Path, clock: Callable[[], datetime] = now) -> Desk:
    """The desk in ``home``, not started. Raises TahiniError: one sentence that says what is not in
    order."""
    settings = read_settings(home)
    node = Node.open(settings.node)
    zone = ZoneInfo(settings.timezone)
    database = open_database(home)
    at_rest = AtRest(read_secret(home / KEY_FILE, KEY_SIZE))
    try:
        database.check()
        erasure_orders(node, at_rest).mkdir(parents=True, exist_ok=True, mode=0o700)
        day = clock().astimezone(zone).date()
        risk_key = PublicKey.from_text(settings.risk_key)
        rules = read_rules(home, node, settings.model, risk_key, day)
        wording = read_wording(home, rules)
        asked_as = AskedAs(node.lender, node.auth_key, node.authority)
        sources, verifiers = read_sources(home, asked_as)
        sources.require(rules.made_of)
        client = node.connected(DeskClient)
        held = UseOutbox(database, outbox)

        def stands(campaign: str | None) -> ModelStanding | None:
            if campaign is None:
                return None
            return ModelStanding(node, client, database, campaign, clock)

        trail = Trail(held, client, node.key, clock)
        products = rules.pricing.products.values()
        desk = Desk(
            transactions=Transactions(database, clock),
            at_rest=at_rest,
            lending=replace(rules, held=sources.kinds),
            wording=wording,
            sources=sources,
            permits=ScoringConsents(node.consents, client, rules.declared_sensitive, clock=clock),
            trail=trail,
            sender=Sender(held, trail.together),
            verifiers=verifiers,
            ways=Ways(
                zone,
                settings.four_eyes,
                letter_end=read_letter_end(home, rules.pricing.laws, wording.jurisdiction, day),
                reading=timedelta(seconds=settings.reading_seconds),
            ),
            assessed=OwnAssessment(
                node.lender,
                frozenset({wording.jurisdiction, *(one.jurisdiction for one in products)}),
                read_assessment(home, node.key.public),
            ),
            portraits=read_portraits(home, node.key.public),
            portrait_permits=ScoringConsents(
                node.consents,
                client,
                rules.declared_sensitive,
                clock=clock,
                purpose=PORTRAIT_PURPOSE,
            ),
            vouch=RegistryVouches(
                http_client(node.settings.registry_url, node.authority), node.lender
            ),
            standing=stands(settings.model),
        )
        if settings.challenger is not None:
            on = day, rules.pricing.laws
            try:
                tried = read_score(home, node, settings.challenger, on, tried=True)
                fits_beside(tried, rules, sources)
                desk.trying = stands(settings.challenger)
                desk.lending = replace(rules, held=sources.kinds, tried=tried)
            except TahiniError as error:
                desk.unfit = str(error)
        desk.heed_standing()
        return desk
    except BaseException:
        database.close()
        raise


def fits_beside(tried: ScoreRules, rules: ReleasedRules, sources: Sources) -> None:
    """Whether a model can be tried beside the one in use without a change to what that one is
    given.

    Raises:
        SourceFailed: a source does not say all that its features are made of. RulesMissing: it
            needs a consent apart where the one in use needs none.
    """
    sources.require(tried.made_of)
    if more := sorted(tried.sensitive - rules.declared_sensitive):
        raise RulesMissing(
            f"the model that is to be tried needs a consent apart to {', '.join(more)}, which "
            "nobody is asked for by the one in use"
        )


def erasure_orders(node: Node, at_rest: AtRest) -> Path:
    """Where the node puts whom this desk is to erase (``clients.erasures``)."""
    return node.home / ORDERS / at_rest.alias("desk")


@contextmanager
def opened_desk(home: Path) -> Iterator[Desk]:
    """The desk in ``home``, closed at the end."""
    desk = open_desk(home)
    try:
        yield desk
    finally:
        desk.close()
