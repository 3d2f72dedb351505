"""A link ticket for one customer: a QR code that leads to the borrowers' pages, shown once.

Whoever has the ticket may link a log-in to this customer, so it stands in no address and no log,
and lies in this process only until it was shown.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import segno
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from protocol.tickets import link_ticket
from screens.house.errors import PageError
from screens.house.forms import new_once, read_form, require_own
from screens.house.shell import go
from screens.office.forms import TicketForm
from screens.office.room import CUSTOMERS, Office

TICKET_LIFE = timedelta(minutes=10)
BORDER = 4
"""Modules of quiet zone (ISO/IEC 18004)."""
logger = logging.getLogger("tahini.screens")


@dataclass(frozen=True)
class QrCode:
    """A QR code to draw: the side of its square, and the outline of its dark modules."""

    side: int
    path: str

    @classmethod
    def of(cls, text: str) -> QrCode:
        rows = [
            list(row) for row in segno.make(text, error="m", micro=False).matrix_iter(border=BORDER)
        ]
        dark = "".join(
            f"M{x} {y}h1v1h-1z" for y, row in enumerate(rows) for x, one in enumerate(row) if one
        )
        return cls(len(rows), dark)


@dataclass(frozen=True)
class MadeTicket:
    """A ticket that waits to be shown."""

    token: str
    expires_at: datetime


@dataclass(frozen=True)
class CustomerPages:
    """Pages about customers.

    Attributes:
        portal: where customers find the borrowers' pages, without a path; None where that is not
            known, and then the code holds the ticket alone.
    """

    office: Office
    portal: str | None
    _made: dict[str, MadeTicket] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def ask(self, request: Request) -> Response:
        """``GET /customers``: for whom?"""
        self.office.door.staff(request, CUSTOMERS)
        return self._asked(request, None)

    def _asked(self, request: Request, problem: str | None) -> Response:
        return self.office.look.page(
            request,
            "customers.html",
            200 if problem is None else 422,
            tab="/customers",
            problem=problem,
            minutes=int(TICKET_LIFE.total_seconds() // 60),
            once=new_once(),
        )

    async def make(self, request: Request) -> Response:
        """``POST /customers``: a ticket, if this is a customer of ours."""
        staff = self.office.door.staff(request, CUSTOMERS)
        try:
            form = await read_form(request, TicketForm)
        except PageError:
            return self._asked(request, "no-name")
        require_own(form, staff.whose)
        names = await run_in_threadpool(self.office.node.consents.names)
        if form.pseudonym not in names:
            return self._asked(request, "not-ours")
        moment = self.office.clock()
        expires_at = moment + TICKET_LIFE
        node = self.office.node
        token = link_ticket(node.lender, form.pseudonym, node.key, expires_at)
        where = secrets.token_hex(16)
        with self._lock:
            self._drop_old(moment)
            self._made[where] = MadeTicket(token, expires_at)
        logger.info("a link ticket was made by %s", staff.name)
        return go(f"/customers/{where}")

    def _drop_old(self, moment: datetime) -> None:
        kept: Mapping[str, MadeTicket] = dict(self._made)
        for where, one in kept.items():
            if one.expires_at <= moment:
                del self._made[where]

    def show(self, request: Request) -> Response:
        """``GET /customers/{ticket}``: once."""
        self.office.door.staff(request, CUSTOMERS)
        with self._lock:
            found = self._made.pop(request.path_params["ticket"], None)
        if found is None or found.expires_at <= self.office.clock():
            raise PageError("shown-before", 404)
        text = found.token if self.portal is None else f"{self.portal}/link#{found.token}"
        return self.office.look.page(
            request, "ticket.html", tab="/customers", qr=QrCode.of(text), until=found.expires_at
        )
