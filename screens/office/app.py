"""The office: its pages."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
from pydantic import TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.routing import Route

from clients.home import Node
from desk.office import Desk
from protocol.errors import BadSettings
from protocol.schema import StaffId
from screens.common import findings, terms
from screens.house.forms import new_once
from screens.house.shell import Look, shell
from screens.house.staff import CodeDoor, StaffDoor, staff_code
from screens.house.staff_list import STAFF_FILE, StaffFile, StaffList
from screens.house.staff_login import IssuerDoor
from screens.office import shown
from screens.office.campaigns import CampaignPages
from screens.office.consents import ConsentsPages
from screens.office.customers import CustomerPages
from screens.office.groups import PortraitPages
from screens.office.home import OfficeListening
from screens.office.models import ModelPages
from screens.office.portfolio import FigurePages
from screens.office.reviews import ReviewPages
from screens.office.room import CODE_NAME, Office, plainly
from screens.office.todo import DoctorsRound, TodoPages

TIMEOUT_S = 20.0
_STAFF_ID: TypeAdapter[str] = TypeAdapter(StaffId)


def create_office(
    home: Path,
    listening: OfficeListening,
    desk: Desk | None = None,
    operator: str | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Starlette:
    """The application of the office beside the node in ``home``.

    Args:
        desk: the lender's desk, started; whoever opened it closes it.
        operator: the staff id of whoever comes in with the code; it stands in what they sign, and
            beside what they review.

    Raises:
        BadSettings: others could reach it and there is no list of its people, or that list cannot
            be read. NodeError: there is no node.
    """
    node = Node.open(home)
    here = Path(__file__).parent
    known = {"shown": shown, "terms": terms, "looked": findings, "new_once": new_once}
    look = Look.of("office", here / "views", listening.zone, known, here / "assets")
    believed = node.authority
    verify = True if believed is None else ssl.create_default_context(cafile=str(believed))
    http = httpx.AsyncClient(timeout=TIMEOUT_S, verify=verify)

    @asynccontextmanager
    async def around() -> AsyncIterator[None]:
        async with http:
            yield

    try:
        door = _door(home, look, listening, http, (clock, operator))
    except ValueError as error:
        raise BadSettings(str(error)) from error
    office = Office(look, door, node, desk, clock, operator)
    routes = [*_routes(office, listening.portal), *door.routes()]
    app = shell(look, listening.origin, routes, around)
    app.state.door, app.state.look = door, look
    return app


def _door(
    home: Path,
    look: Look,
    listening: OfficeListening,
    http: httpx.AsyncClient,
    who: tuple[Callable[[], datetime], str | None],
) -> StaffDoor:
    """The issuer's, where there is a list of people; else the code's, on this machine alone.
    Raises ValueError."""
    clock, operator = who
    listed = home / STAFF_FILE
    if listed.exists():
        known = StaffFile(listed, _require_staff_ids)
        known()
        return IssuerDoor(look, clock, http, listening.origin, known)
    if not listening.this_machine_alone:
        raise ValueError(
            f"the office signs with the lender's key, and {listening.origin} is reached from "
            f"elsewhere: name the issuer and the people in {listed}, or serve it on 127.0.0.1"
        )
    return CodeDoor(look, clock, staff_code(home), operator or CODE_NAME)


def _require_staff_ids(listed: StaffList) -> None:
    """A name stands beside the lender in what is signed. Raises ValueError."""
    for one in listed.people:
        try:
            _STAFF_ID.validate_python(one.name)
        except ValidationError as error:
            raise ValueError(
                f"{STAFF_FILE}: {one.name!r} is no staff id: 2 to 64 letters, digits, '.', '_' "
                "or '-'"
            ) from error


def _routes(office: Office, portal: str | None) -> list[Route]:
    todo = TodoPages(office, DoctorsRound(office))
    campaigns, consents = CampaignPages(office), ConsentsPages(office)
    customers, reviews = CustomerPages(office, portal), ReviewPages(office)
    figures, groups, models = FigurePages(office), PortraitPages(office), ModelPages(office)
    one, review = "/campaigns/{sha256:hex}", "/reviews/{review}"
    pages = [
        ("GET", "/", todo.start),
        ("GET", "/requests", todo.requests),
        ("GET", "/doctor", todo.findings),
        ("GET", "/campaigns", campaigns.listed),
        ("GET", one, campaigns.review),
        ("GET", f"{one}/code", campaigns.code),
        ("GET", f"{one}/code/{{number:number}}", campaigns.file),
        ("GET", f"{one}/card", models.card),
        ("GET", f"{one}/card/model-card.jws", models.file),
        ("GET", f"{one}/yes", campaigns.ask_yes),
        ("POST", f"{one}/yes", campaigns.say_yes),
        ("GET", f"{one}/no", campaigns.ask_no),
        ("POST", f"{one}/no", campaigns.say_no),
        ("GET", "/consents", consents.standing),
        ("POST", "/consents", consents.sync),
        ("GET", "/revocations", consents.revocations),
        ("POST", "/revocations", consents.acknowledge),
        ("GET", "/customers", customers.ask),
        ("POST", "/customers", customers.make),
        ("GET", "/customers/{ticket:hex}", customers.show),
        ("GET", "/groups", groups.listed),
        ("GET", "/groups/{portrait}", groups.people),
        ("GET", "/reviews", reviews.queue),
        ("GET", review, reviews.case),
        ("POST", review, reviews.decide),
        ("POST", f"{review}/taking", reviews.take),
        ("POST", f"{review}/back", reviews.put_back),
        ("POST", f"{review}/second", reviews.second),
        ("GET", f"{review}/answers", reviews.answers),
        ("GET", "/portfolio", figures.portfolio),
        ("POST", "/portfolio", figures.looked),
        ("GET", "/budget", figures.budget),
        ("GET", "/budget/{campaign:hex}", figures.explain),
    ]
    return [Route(path, plainly(page), methods=[method]) for method, path, page in pages]
