"""A campaign before this lender: what it would do, what it costs, what is other than in the one
signed last; a yes or a no, signed."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from clients.approving import (
    CampaignFigures,
    Offered,
    changed_code,
    changed_features,
    changed_lenders,
    covering_assessment,
    last_signed,
    lines_changed,
    offer,
    offered,
    own_reason,
    sign_no,
    sign_yes,
)
from clients.budgets import budget_facts
from crypto.errors import TahiniError
from fleet.bundle import Change
from screens.house.errors import PageError
from screens.house.forms import new_once, read_form, read_own, require_own
from screens.house.shell import go
from screens.office.forms import NoForm, OfficeButton
from screens.office.room import APPROVE, LOOK, Office

TAB = "/campaigns"


@dataclass(frozen=True)
class ChangedRoom:
    """What changed in one room of the code, in files and lines."""

    name: str
    files: int
    more: int
    less: int


def changed_rooms(changed: list[Change]) -> list[ChangedRoom]:
    """By room, as the paths begin."""
    rooms = []
    for room, ours in groupby(changed, key=lambda one: one.path.partition("/")[0]):
        counted = [lines_changed(one) for one in ours]
        rooms.append(
            ChangedRoom(
                room, len(counted), sum(one for one, _ in counted), sum(one for _, one in counted)
            )
        )
    return rooms


@dataclass(frozen=True)
class CampaignPages:
    """Pages about campaigns."""

    office: Office
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock, repr=False)
    """A double tap signs once: the second finds what the first has recorded."""

    def listed(self, request: Request) -> Response:
        """``GET /campaigns``: every campaign, the newest first."""
        self.office.door.staff(request, LOOK)
        found = list(reversed(offered(self.office.node)))
        return self.office.look.page(
            request, "campaigns.html", tab=TAB, campaigns=found, moment=self.office.clock()
        )

    def review(self, request: Request) -> Response:
        """``GET /campaigns/{sha256}``: what a yes would do, and what is other than before."""
        self.office.door.staff(request, LOOK)
        found = self._offer(request)
        node, campaign = self.office.node, found.campaign
        before = last_signed(node, but=campaign.sha256)
        assessment, why_none = None, ""
        try:
            assessment, _ = covering_assessment(node, campaign)
        except TahiniError as error:
            why_none = str(error)
        changed = changed_code(node)
        return self._page(
            request,
            "campaign.html",
            found,
            before=before,
            figures=CampaignFigures.of(campaign),
            figures_before=None if before is None else CampaignFigures.of(before),
            cap=node.cap,
            budget=budget_facts(node),
            yearly_cap=node.yearly_cap,
            features=changed_features(before, campaign),
            lenders=changed_lenders(before, campaign),
            rooms=changed_rooms(changed),
            files=len(changed),
            assessment=assessment,
            why_none=why_none,
            own_reason=own_reason(node, campaign.sha256),
            asked_by=self.office.door.waiting(_yes_to(campaign.sha256)),
        )

    def code(self, request: Request) -> Response:
        """``GET /campaigns/{sha256}/code``: every file that is other than what was signed last."""
        self.office.door.staff(request, LOOK)
        changed = [(one, *lines_changed(one)) for one in changed_code(self.office.node)]
        return self._page(request, "code.html", self._offer(request), changed=changed)

    def file(self, request: Request) -> Response:
        """``GET /campaigns/{sha256}/code/{number}``: one of them, line by line."""
        self.office.door.staff(request, LOOK)
        changed, number = changed_code(self.office.node), request.path_params["number"]
        if number >= len(changed):
            raise PageError("not-found", 404)
        return self._page(request, "file.html", self._offer(request), change=changed[number])

    # --- the answer

    def ask_yes(self, request: Request) -> Response:
        """``GET /campaigns/{sha256}/yes``: what the signature says, and one button."""
        self.office.door.staff(request, APPROVE, fresh=True)
        return self._page(request, "yes.html", self._offer(request))

    def ask_no(self, request: Request) -> Response:
        """``GET /campaigns/{sha256}/no``: the reason, and one button."""
        self.office.door.staff(request, APPROVE)
        return self._page(request, "no.html", self._offer(request), missing=False)

    async def say_yes(self, request: Request) -> Response:
        """``POST /campaigns/{sha256}/yes``: sign, tell the registry, show what it recorded. Where
        people log in, the second of two persons signs."""
        staff = self.office.door.staff(request, APPROVE, fresh=True)
        await read_own(request, OfficeButton, staff.whose)
        sha256 = request.path_params["sha256"]
        await run_in_threadpool(self._offer, request)
        if not self.office.door.agreed(staff, _yes_to(sha256)):
            return go(f"/campaigns/{sha256}")
        operator = self.office.staff_id(staff)
        await run_in_threadpool(self._alone, partial(sign_yes, self.office.node, sha256, operator))
        return go(f"/campaigns/{sha256}")

    async def say_no(self, request: Request) -> Response:
        """``POST /campaigns/{sha256}/no``: as for a yes."""
        staff = self.office.door.staff(request, APPROVE)
        try:
            form = await read_form(request, NoForm)
        except PageError:
            found = await run_in_threadpool(self._offer, request)
            return self._page(request, "no.html", found, status=422, missing=True)
        require_own(form, staff.whose)
        sha256 = request.path_params["sha256"]
        await run_in_threadpool(self._offer, request)
        said = form.reason, self.office.staff_id(staff)
        await run_in_threadpool(self._alone, partial(sign_no, self.office.node, sha256, *said))
        return go(f"/campaigns/{sha256}")

    def _alone(self, do: Any) -> None:
        with self._one_at_a_time:
            do()

    def _offer(self, request: Request) -> Offered:
        return offer(self.office.node, request.path_params["sha256"])

    def _page(
        self, request: Request, view: str, found: Offered, status: int = 200, **shown: Any
    ) -> Response:
        return self.office.look.page(
            request,
            view,
            status,
            tab=TAB,
            found=found,
            campaign=found.campaign,
            name_of=self.office.name_of,
            me=self.office.node.lender,
            moment=self.office.clock(),
            once=new_once(),
            **shown,
        )


def _yes_to(sha256: str) -> str:
    """As :meth:`StaffDoor.agreed` names a thing done in the lender's name."""
    return f"approve:{sha256}"
