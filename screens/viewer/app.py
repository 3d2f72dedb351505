"""The viewer: its pages, on the auditor's own machine alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import Route

from protocol.errors import BadSettings
from screens.house.forms import new_once
from screens.house.shell import Look, shell
from screens.house.staff import CodeDoor, on_loopback, staff_code
from screens.viewer import words_of
from screens.viewer.campaign_pages import CampaignPages
from screens.viewer.entry_pages import EntryPages
from screens.viewer.export_pages import ExportPages
from screens.viewer.head_pages import HeadPages
from screens.viewer.home import INDEX_FILE, ViewerHome
from screens.viewer.index import LeafIndex
from screens.viewer.opened import OpenedBodies
from screens.viewer.verification import Verifications


def create_viewer(
    home: ViewerHome,
    origin: str,
    operator: str | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Starlette:
    """The application over an auditor's home.

    Args:
        origin: where the pages are, ``http://127.0.0.1:8724`` for example.
        operator: staff id of whoever looks, for the log.

    Raises:
        BadSettings: others than this machine would reach it.
    """
    if not on_loopback(origin):
        raise BadSettings(
            f"{origin} can be reached from other machines; the viewer listens on 127.0.0.1 alone, "
            "because it opens what is sealed to the auditor"
        )
    here = Path(__file__).parent
    known = {"new_once": new_once, "say_of": words_of, "pretty": words_of.pretty}
    look = Look.of("viewer", here / "views", home.settings.zone, known, here / "assets")
    door = CodeDoor(look, clock, staff_code(home.path), operator or "auditor")
    verifications = Verifications(home, LeafIndex(home.path / INDEX_FILE), clock)
    heads = HeadPages(look, door, verifications)
    entries = EntryPages(look, door, verifications, OpenedBodies(home, clock, operator))
    campaigns = CampaignPages(look, door, verifications)
    exports = ExportPages(look, door, verifications)
    get, post = ["GET"], ["POST"]
    routes = [
        Route("/", heads.head, methods=get),
        Route("/verify", heads.verify, methods=post),
        Route("/progress", heads.progress, methods=get),
        Route("/entries", entries.entries, methods=get),
        Route("/entries/{index:number}", entries.entry, methods=get),
        Route("/entries/{index:number}/open", entries.open, methods=post),
        Route("/entries/{index:number}/proof", entries.proof, methods=get),
        Route("/entries/{index:number}/leaf", entries.leaf, methods=get),
        Route("/campaigns", campaigns.campaigns, methods=get),
        Route("/campaigns/{campaign:hex}", campaigns.campaign, methods=get),
        Route("/exports", exports.exports, methods=get),
        Route("/exports/entries.csv", exports.entries, methods=get),
        Route("/exports/checkpoint", exports.checkpoint, methods=get),
        Route("/exports/policy", exports.policy, methods=get),
        Route("/exports/record.{format}", exports.record, methods=get),
        *door.routes(),
    ]
    app = shell(look, origin, routes)
    app.state.door, app.state.look, app.state.verifications = door, look, verifications
    return app
