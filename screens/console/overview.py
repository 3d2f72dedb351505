"""The first page: what waits for the operator, what runs, who is there. Budgets, and health."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from ops.doctor import Finding, Level, machine
from screens.console.shown import can
from screens.console.sight import ConsoleSight, SeenCampaign
from screens.house.shell import Look
from screens.house.staff import StaffDoor
from server import doctor
from server.budgets import overview
from server.desired_state import Stage

ORDER = (Level.ILL, Level.CARE, Level.WELL)


@dataclass(frozen=True)
class OverviewPages:
    """Pages about everything."""

    look: Look
    door: StaffDoor
    sight: ConsoleSight

    def start(self, request: Request) -> Response:
        """``GET /``."""
        self.door.staff(request, "look")
        return self._shown(request, "start.html")

    def now(self, request: Request) -> Response:
        """``GET /now``: the part of it that changes."""
        self.door.staff(request, "look")
        return self._shown(request, "start_now.html")

    def _shown(self, request: Request, view: str) -> Response:
        campaigns = self.sight.campaigns()
        return self.look.page(
            request,
            view,
            tab="/",
            groups=_grouped(campaigns),
            lenders=self.sight.lenders(campaigns),
        )

    def budgets(self, request: Request) -> Response:
        """``GET /budgets``."""
        self.door.staff(request, "look")
        consortium = self.sight.coordinator().consortium
        statuses = [one.status for one in self.sight.campaigns()]
        found = overview(statuses, consortium, self.sight.clock())
        return self.look.page(
            request, "budgets.html", tab="/budgets", found=found, consortium=consortium
        )

    def health(self, request: Request) -> Response:
        """``GET /health``: what ``tahini doctor`` finds, the worst first."""
        self.door.staff(request, "look")
        findings = sorted(self._findings(), key=lambda one: ORDER.index(one.level))
        return self.look.page(request, "health.html", tab="/health", findings=findings)

    def _findings(self) -> Iterator[Finding]:
        yield from machine()
        yield from doctor.coordinator(self.sight.home)


def _grouped(campaigns: list[SeenCampaign]) -> dict[str, list[SeenCampaign]]:
    """What waits for the operator, what runs, what waits for others, what is over."""
    groups: dict[str, list[SeenCampaign]] = {"yours": [], "running": [], "others": [], "over": []}
    for one in campaigns:
        status = one.status
        if status.state.stage is Stage.RELEASED or (status.end and not can(status)):
            groups["over"].append(one)
        elif can(status) in ("launch", "resume"):
            groups["yours"].append(one)
        elif can(status) == "stop":
            groups["running"].append(one)
        else:
            groups["others"].append(one)
    return groups
