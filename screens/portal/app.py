"""The portal: its pages, and what is open while it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.routing import Route

from protocol.parties import Role
from screens.common import terms
from screens.homes import PublicHome
from screens.house.forms import new_once
from screens.house.login import MAX_LEAVING
from screens.house.pace import AddressPaces
from screens.house.sessions import PageSessions
from screens.house.shell import Look, shell
from screens.portal import shown
from screens.portal.consents import ConsentPages
from screens.portal.devices import DevicePages
from screens.portal.home import PortalSettings
from screens.portal.leaving import LeavingPages
from screens.portal.lenders import LenderPages
from screens.portal.models import ModelPages
from screens.portal.pending import MAX_PENDING, PendingPages
from screens.portal.proofs import ProofPages
from screens.portal.registry import PortalRegistry
from screens.portal.rights import RightsPages
from screens.portal.visit import PortalDoor

TIMEOUT_S = 20.0


def create_portal(
    home: Path,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    transport: httpx.AsyncBaseTransport | None = None,
) -> Starlette:
    """The application of the portal in ``home``.

    Raises:
        BadSettings: a setting is missing or wrong, or the consortium document is not signed by the
            registry's key.
    """
    opened = PublicHome(home, PortalSettings)
    settings, names = opened.settings, shown.PortalParties.known(opened.consortium)
    to_registry = opened.client(settings.registry_url, TIMEOUT_S, transport)
    to_issuers = opened.client("", TIMEOUT_S, transport)

    @asynccontextmanager
    async def around() -> AsyncIterator[None]:
        async with to_registry, to_issuers:
            yield

    here = Path(__file__).parent
    look = Look.of(
        "portal",
        here / "views",
        settings.zone,
        {"shown": shown, "terms": terms, "new_once": new_once},
        here / "assets",
    )
    door = PortalDoor(
        "portal",
        PortalRegistry(to_registry, key=opened.consortium.one(Role.REGISTRY).key),
        opened.login(to_issuers, clock),
        settings.issuers,
        PageSessions(clock),
        PageSessions(clock, MAX_LEAVING),
        AddressPaces(clock, settings.ways_in_per_minute),
        settings.per_minute,
        kept=PageSessions(clock, MAX_PENDING),
    )
    pending = PendingPages(look, door, names)
    kept = pending.keeping
    consents = ConsentPages(look, door, names, door.readings(look.layout))
    rights, lenders = RightsPages(look, door, names), LenderPages(look, door, names)
    devices = DevicePages(look, door, names, opened.consortium.log_origin)
    proofs = ProofPages(look, door, names, opened.document)
    leave = LeavingPages(look, door)
    models = ModelPages(look, door, names, opened.consortium.one(Role.COORDINATOR).key)
    get, post = ["GET"], ["POST"]
    routes = [
        Route("/", consents.start, methods=get),
        *door.routes(),
        Route("/ask/{notice}/{version:number}", consents.ask, methods=get),
        Route("/ask/{notice}/{version:number}", kept(consents.answer), methods=post),
        Route("/texts/{notice}/{version:number}", consents.text, methods=get),
        Route("/recorded/{notice}/{version:number}", consents.recorded, methods=get),
        Route("/consents/{record:hex}", consents.consent, methods=get),
        Route("/consents/{record:hex}", kept(consents.step), methods=post),
        Route("/withdraw/{record:hex}", consents.ask_withdrawal, methods=get),
        Route("/withdraw/{record:hex}", kept(consents.withdraw), methods=post),
        Route("/withdraw-all", consents.ask_all, methods=get),
        Route("/withdraw-all", kept(consents.withdraw_all), methods=post),
        Route("/again", pending.again, methods=get),
        Route("/keys", devices.keys, methods=get),
        Route("/keys", devices.add, methods=post),
        Route("/keys/end", devices.end, methods=post),
        Route("/keys/only", devices.only, methods=post),
        Route("/requests", rights.requests, methods=get),
        Route("/requests", kept(rights.send), methods=post),
        Route("/requests/new", rights.ask, methods=get),
        Route("/requests/{request:hex}", rights.one, methods=get),
        Route("/requests/{request:hex}", kept(rights.close), methods=post),
        Route("/requests/{request:hex}/receipts/{number:number}", proofs.step, methods=get),
        Route(
            "/requests/{request:hex}/receipts/{number:number}/file", proofs.step_file, methods=get
        ),
        Route("/imports", rights.imports, methods=get),
        Route("/lenders", lenders.lenders, methods=get),
        Route("/lenders", lenders.end, methods=post),
        Route("/link", lenders.invitation, methods=get),
        Route("/link", kept(lenders.link), methods=post),
        Route("/incidents", lenders.incidents, methods=get),
        Route("/receipts", proofs.receipts, methods=get),
        Route("/receipts/{decision:hex}", proofs.receipt, methods=get),
        Route("/receipts/{decision:hex}/file", proofs.file, methods=get),
        Route("/verify", proofs.verify, methods=get),
        Route("/log/head", proofs.head, methods=get),
        Route("/uses", proofs.uses, methods=get),
        Route("/models/{campaign:hex}", models.card, methods=get),
        Route("/models/{campaign:hex}/model-card.jws", models.file, methods=get),
        Route("/export", leave.export, methods=get),
        Route("/export/my-consents.{format}", leave.file, methods=get),
        Route("/erase", leave.ask_erasure, methods=get),
        Route("/erase", leave.erase, methods=post),
        Route("/erased", leave.erased, methods=get),
    ]
    app = shell(look, settings.origin, routes, around)
    app.state.door, app.state.look, app.state.names = door, look, names
    return app
