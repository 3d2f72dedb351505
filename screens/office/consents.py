"""How this lender's borrowers stand, by its own copy; and revocations, acknowledged by hand."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from clients.syncing import acknowledge_all, counted, counts_of, revocations_seen, sync_copy
from crypto.notes import claimed_checkpoint
from protocol.terms import TRAINING_PURPOSE
from screens.house.forms import new_once, read_own
from screens.house.shell import go
from screens.office.forms import OfficeButton
from screens.office.pictures import given_over_time
from screens.office.room import APPROVE, LOOK, Office


@dataclass(frozen=True)
class ConsentsPages:
    """Pages about the copy of consents."""

    office: Office

    def standing(self, request: Request) -> Response:
        """``GET /consents``: counts by reason, their trend, how old the copy is."""
        self.office.door.staff(request, LOOK)
        words = self.office.look.words(request)
        held = self.office.node.consents.held(TRAINING_PURPOSE)
        moment = self.office.clock()
        return self.office.look.page(
            request,
            "consents.html",
            tab="/consents",
            held=held,
            counts={} if held is None else counts_of(held),
            checkpoint=None if held is None else claimed_checkpoint(held.state.checkpoint),
            minutes=0
            if held is None
            else int((moment - held.state.issued_at).total_seconds() // 60),
            trend=given_over_time(counted(self.office.node), words),
            once=new_once(),
        )

    async def sync(self, request: Request) -> Response:
        """``POST /consents``: fetch what changed; revocations are acted on and acknowledged."""
        staff = self.office.door.staff(request, APPROVE)
        await read_own(request, OfficeButton, staff.whose)
        await run_in_threadpool(sync_copy, self.office.node)
        return go("/consents")

    def revocations(self, request: Request) -> Response:
        """``GET /revocations``: what is open and what was answered, to the second."""
        self.office.door.staff(request, LOOK)
        seen = revocations_seen(self.office.node)
        return self.office.look.page(
            request,
            "revocations.html",
            tab="/revocations",
            open=[one for one in seen if one.open],
            answered=[one for one in seen if not one.open],
            minutes=self.office.node.consortium.revocation_minutes,
            moment=self.office.clock(),
            once=new_once(),
        )

    async def acknowledge(self, request: Request) -> Response:
        """``POST /revocations``: bring the copy up to date, then acknowledge; what a desk has to
        erase first stays open."""
        staff = self.office.door.staff(request, APPROVE)
        await read_own(request, OfficeButton, staff.whose)
        by = self.office.staff_id(staff) or staff.name
        await run_in_threadpool(partial(acknowledge_all, self.office.node, by))
        return go("/revocations")
