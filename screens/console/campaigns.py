"""One campaign: watch it, launch it, stop it, go on with it.

After every act the page shows what is recorded then, read again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from protocol.errors import ConsentError
from screens.console.once import ActedOnce
from screens.console.pictures import epsilon_picture
from screens.console.shown import can
from screens.console.sight import ConsoleSight, SeenCampaign
from screens.house.errors import PageError, ServiceAway
from screens.house.forms import OwnForm, new_once, read_own
from screens.house.shell import Look, go
from screens.house.staff import StaffDoor
from server import commands
from server.errors import CampaignStopped, CoordinatorError

STOPPING = 4
BINDING = ("launch", "resume")
"""What takes two persons where people log in: from then on budgets are spent. To stop takes one."""


def _called(act: str, seen: SeenCampaign) -> str:
    """What two persons agree on: an act upon a campaign as it stands, and not as it stood."""
    return f"{act}:{seen.sha256}:{len(seen.events)}"


@dataclass(frozen=True)
class CampaignPages:
    """Pages about one campaign."""

    look: Look
    door: StaffDoor
    sight: ConsoleSight
    acted: ActedOnce = field(default_factory=ActedOnce)
    stops: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(STOPPING))
    """Threads that do nothing but stop: however many pages wait for a registry, these do not."""

    def campaign(self, request: Request) -> Response:
        """``GET /campaigns/{sha256}``."""
        self.door.staff(request, "look")
        return self._shown(request, "campaign.html")

    def now(self, request: Request) -> Response:
        """``GET /campaigns/{sha256}/now``: the part of it that changes."""
        self.door.staff(request, "look")
        return self._shown(request, "campaign_now.html")

    def _shown(self, request: Request, view: str) -> Response:
        seen = self._seen(request)
        asked = {act: self.door.waiting(_called(act, seen)) for act in BINDING}
        return self.look.page(
            request,
            view,
            tab="/",
            seen=seen,
            picture=epsilon_picture(seen, self.look.words(request)),
            first=asked.get(str(can(seen.status))),
        )

    def _seen(self, request: Request) -> SeenCampaign:
        return self.sight.campaign(request.path_params["sha256"])

    # --- one act

    def ask_launch(self, request: Request) -> Response:
        """``GET /campaigns/{sha256}/launch``: what it will do, and one button."""
        return self._asked(request, "launch")

    async def ask_stop(self, request: Request) -> Response:
        """``GET /campaigns/{sha256}/stop``: nobody is asked anything for it."""
        return await to_thread.run_sync(self._asked, request, "stop", limiter=self.stops)

    def ask_resume(self, request: Request) -> Response:
        """``GET /campaigns/{sha256}/resume``."""
        return self._asked(request, "resume")

    def _asked(self, request: Request, act: str) -> Response:
        self.door.staff(request, "launch", fresh=act in BINDING)
        seen = self.sight.campaign(request.path_params["sha256"], ask=act != "stop")
        if can(seen.status) != act:
            raise PageError("conflict", 409)
        first = self.door.waiting(_called(act, seen))
        shown: dict[str, Any] = {"seen": seen, "once": new_once(), "first": first}
        return self.look.page(request, f"{act}.html", tab="/", **shown)

    async def launch(self, request: Request) -> Response:
        """``POST /campaigns/{sha256}/launch``."""
        return await self._act(
            request, "launch", lambda seen: commands.launch(self.sight.coordinator(), seen.folder)
        )

    async def stop(self, request: Request) -> Response:
        """``POST /campaigns/{sha256}/stop``: at once, whatever else goes on here."""
        whose, sha256 = self.door.staff(request, "launch").whose, request.path_params["sha256"]
        form = await read_own(request, OwnForm, whose)

        def act() -> str:
            commands.stop(self.sight.folder(sha256))
            self.sight.forget(sha256)
            return f"/campaigns/{sha256}"

        return go(await to_thread.run_sync(self.acted.act, form.once, act, limiter=self.stops))

    async def resume(self, request: Request) -> Response:
        """``POST /campaigns/{sha256}/resume``."""

        def on(seen: SeenCampaign) -> None:
            coordinator = self.sight.coordinator()
            answers = self.sight.answers(coordinator, seen.sha256)
            commands.resume(coordinator, seen.folder, answers)

        return await self._act(request, "resume", on)

    async def _act(
        self, request: Request, name: str, do: Callable[[SeenCampaign], object]
    ) -> Response:
        """Do what binds, once, if those whom it takes have asked for it; else it waits for a second
        person."""
        staff = self.door.staff(request, "launch", fresh=True)
        form = await read_own(request, OwnForm, staff.whose)

        def act() -> str:
            seen = self._seen(request)
            self.sight.forget(seen.sha256)
            if not self.door.agreed(staff, _called(name, seen)):
                return f"/campaigns/{seen.sha256}"
            try:
                do(seen)
            except (CampaignStopped, CoordinatorError) as error:
                raise PageError("conflict", 409) from error
            except ConsentError as error:
                raise ServiceAway from error
            return f"/campaigns/{seen.sha256}"

        return go(await run_in_threadpool(self.acted.act, form.once, act))
