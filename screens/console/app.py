"""The console: its pages."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.routing import Route

from screens.common import findings
from screens.console import proposal_form, shown
from screens.console.campaigns import CampaignPages
from screens.console.cards import CardPages
from screens.console.home import ConsoleListening
from screens.console.overview import OverviewPages
from screens.console.proposals import ProposalPages
from screens.console.sight import ConsoleSight
from screens.house.forms import new_once
from screens.house.shell import Look, shell
from screens.house.staff_login import open_staff_door
from server.home import Coordinator

TIMEOUT_S = 20.0


def create_console(
    home: Path,
    listening: ConsoleListening,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Starlette:
    """The console of the coordinator in ``home``.

    Raises:
        CoordinatorError, ConsentError: no coordinator's home that joined a consortium. ValueError:
            nothing says who may come in.
    """
    sight = ConsoleSight(home, clock)
    known = {
        "shown": shown,
        "looked": findings,
        "wrongs": proposal_form.WRONG,
        "new_once": new_once,
    }
    here = Path(__file__).parent
    look = Look.of("console", here / "views", listening.zone, known, here / "assets")
    authority = Coordinator.open(home).authority
    verify: ssl.SSLContext | bool = (
        True if authority is None else ssl.create_default_context(cafile=str(authority))
    )
    to_issuer = httpx.AsyncClient(timeout=TIMEOUT_S, verify=verify)
    door = open_staff_door(look, clock, to_issuer, home, listening.reached_at, listening.listens_at)

    @asynccontextmanager
    async def around() -> AsyncIterator[None]:
        async with to_issuer:
            yield

    overview = OverviewPages(look, door, sight)
    campaigns = CampaignPages(look, door, sight)
    proposals = ProposalPages(look, door, sight)
    cards = CardPages(look, door, sight)
    get, post = ["GET"], ["POST"]
    one = "/campaigns/{sha256:hex}"
    routes = [
        *door.routes(),
        Route("/", overview.start, methods=get),
        Route("/now", overview.now, methods=get),
        Route("/budgets", overview.budgets, methods=get),
        Route("/health", overview.health, methods=get),
        Route("/propose", proposals.ask, methods=get),
        Route("/propose", proposals.send, methods=post),
        Route("/propose/price", proposals.price, methods=post),
        Route(one, campaigns.campaign, methods=get),
        Route(f"{one}/now", campaigns.now, methods=get),
        Route(f"{one}/launch", campaigns.ask_launch, methods=get),
        Route(f"{one}/launch", campaigns.launch, methods=post),
        Route(f"{one}/stop", campaigns.ask_stop, methods=get),
        Route(f"{one}/stop", campaigns.stop, methods=post),
        Route(f"{one}/resume", campaigns.ask_resume, methods=get),
        Route(f"{one}/resume", campaigns.resume, methods=post),
        Route(f"{one}/card", cards.card, methods=get),
        Route(f"{one}/card/model-card.jws", cards.card_file, methods=get),
        Route(f"{one}/card/figures.json", cards.figures_file, methods=get),
        Route(f"{one}/card/model.safetensors", cards.model_file, methods=get),
    ]
    app = shell(look, listening.reached_at, routes, around)
    app.state.door, app.state.look = door, look
    return app
