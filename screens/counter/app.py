"""The counter: its pages, and what is open while it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.routing import Route

from protocol.parties import Role
from screens.common import terms
from screens.common.parties import PartyNames
from screens.counter import shown
from screens.counter.applying import ApplyPages
from screens.counter.decided import DecisionPages
from screens.counter.grouped import GroupPages
from screens.counter.home import CounterSettings
from screens.counter.owed import LoanPages
from screens.counter.start import StartPage
from screens.counter.visit import CounterDoor
from screens.homes import PublicHome
from screens.house.forms import new_once
from screens.house.login import MAX_LEAVING
from screens.house.pace import AddressPaces
from screens.house.services import ConsentRegistry, HttpService
from screens.house.sessions import PageSessions
from screens.house.shell import Look, shell

TIMEOUT_S = 30.0


class OwnId(Convertor[str]):
    """A random id of the desk's: ``{application:own}``."""

    regex = "[A-Za-z0-9_-]{22}"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("own", OwnId())


def create_counter(
    home: Path,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    transport: httpx.AsyncBaseTransport | None = None,
) -> Starlette:
    """The application of the counter in ``home``.

    Raises:
        BadSettings: a setting is missing or wrong, or the consortium document is not signed by the
            registry's key.
    """
    opened = PublicHome(home, CounterSettings)
    settings = opened.settings
    to_registry, to_desk, to_issuers = (
        opened.client(url, TIMEOUT_S, transport)
        for url in (settings.registry_url, settings.desk_url, "")
    )

    @asynccontextmanager
    async def around() -> AsyncIterator[None]:
        async with to_registry, to_desk, to_issuers:
            yield

    here = Path(__file__).parent
    names = PartyNames.of(opened.consortium)
    known = {
        "shown": shown,
        "terms": terms,
        "new_once": new_once,
        "names": names,
        "here_at": settings.lender,
    }
    look = Look.of("counter", here / "views", settings.zone, known, here / "assets")
    door = CounterDoor(
        "counter",
        ConsentRegistry(to_registry),
        opened.login(to_issuers, clock),
        settings.issuers,
        PageSessions(clock),
        PageSessions(clock, MAX_LEAVING),
        AddressPaces(clock, settings.ways_in_per_minute),
        settings.per_minute,
        desk=HttpService(to_desk, "lender-away"),
    )
    app = shell(look, settings.origin, _routes(look, door, opened), around)
    app.state.door, app.state.look = door, look
    return app


def _routes(look: Look, door: CounterDoor, opened: PublicHome[CounterSettings]) -> list[Route]:
    start = StartPage(look, door)
    registry_key = opened.consortium.one(Role.REGISTRY).key
    apply = ApplyPages(look, door, opened.settings.lender, registry_key, door.readings(look.layout))
    decided = DecisionPages(look, door, opened.document, opened.settings.lender)
    owed, grouped = LoanPages(look, door), GroupPages(look, door)
    get, post = ["GET"], ["POST"]
    mine, loan = "/applications/{application:own}", "/loans/{loan:own}"
    return [
        *door.routes(),
        Route("/", start.start, methods=get),
        Route("/apply", apply.ask, methods=get),
        Route("/apply", apply.want, methods=post),
        Route("/apply/data", apply.ask_data, methods=get),
        Route("/apply/data", apply.allow, methods=post),
        Route("/apply/no", apply.refused, methods=get),
        Route("/apply/check", apply.check, methods=get),
        Route("/apply/check", apply.send, methods=post),
        Route(mine, decided.application, methods=get),
        Route(f"{mine}/accept", decided.ask_acceptance, methods=get),
        Route(f"{mine}/accept", decided.accept, methods=post),
        Route(f"{mine}/take-back", decided.ask_withdrawal, methods=get),
        Route(f"{mine}/take-back", decided.withdraw, methods=post),
        Route(f"{mine}/review", decided.ask_person, methods=get),
        Route(f"{mine}/review", decided.contest, methods=post),
        Route("/decisions/{decision:own}/receipt", decided.receipt, methods=get),
        Route("/decisions/{decision:own}/receipt/file", decided.file, methods=get),
        Route("/groups", grouped.groups, methods=get),
        Route("/groups", grouped.object_to, methods=post),
        Route(loan, owed.loan, methods=get),
        Route(f"{loan}/repay", owed.repay, methods=get),
        Route(f"{loan}/extend", owed.ask_extension, methods=get),
        Route(f"{loan}/extend", owed.extend, methods=post),
    ]
