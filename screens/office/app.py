"""The office: its pages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import Route

from clients.home import Node
from desk.office import Desk
from screens.house.forms import new_once
from screens.house.shell import Look, shell
from screens.house.staff import StaffDoor, staff_code
from screens.office import shown
from screens.office.campaigns import CampaignPages
from screens.office.consents import ConsentsPages
from screens.office.customers import CustomerPages
from screens.office.home import OfficeListening
from screens.office.portfolio import FigurePages
from screens.office.reviews import ReviewPages
from screens.office.room import Office, plainly
from screens.office.todo import DoctorsRound, TodoPages


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
        BadSettings: others than this machine could reach it. NodeError: there is no node.
        ValueError: the file of the code holds none.
    """
    origin, node = listening.origin, Node.open(home)
    here = Path(__file__).parent
    known = {"shown": shown, "new_once": new_once}
    look = Look.of("office", here / "views", listening.zone, known, here / "assets")
    door = StaffDoor(look, staff_code(home), clock, operator or "operator")
    office = Office(look, door, node, desk, clock, operator)
    routes = [*_routes(office, listening.portal), *door.routes()]
    app = shell(look, origin, routes)
    app.state.door, app.state.look = door, look
    return app


def _routes(office: Office, portal: str | None) -> list[Route]:
    todo = TodoPages(office, DoctorsRound(office))
    campaigns, consents = CampaignPages(office), ConsentsPages(office)
    customers, reviews = CustomerPages(office, portal), ReviewPages(office)
    figures = FigurePages(office)
    one, review = "/campaigns/{sha256:hex}", "/reviews/{review}"
    pages = [
        ("GET", "/", todo.start),
        ("GET", "/requests", todo.requests),
        ("GET", "/doctor", todo.findings),
        ("GET", "/campaigns", campaigns.listed),
        ("GET", one, campaigns.review),
        ("GET", f"{one}/code", campaigns.code),
        ("GET", f"{one}/code/{{number:int}}", campaigns.file),
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
