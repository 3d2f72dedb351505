"""What must be done today and nothing else, by when it is due.

What cannot be asked now is said in its place, and hides nothing of the rest.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from clients.answering import waiting_requests
from clients.approving import offered
from clients.doctor import node as look_at_node
from clients.syncing import revocations_seen
from crypto.errors import TahiniError
from ops.doctor import Finding, Level
from screens.office.reviews import waiting_reviews
from screens.office.room import LOOK, Office

LOOKED_AGAIN = timedelta(minutes=5)
"""The doctor asks every service; so often at most."""


@dataclass(frozen=True)
class DueTask:
    """One thing to do.

    Attributes:
        kind: ``campaign``, ``revocations``, ``review``, ``request`` or ``finding``.
        about: what it is about; of the type that its kind has.
    """

    kind: str
    link: str
    due_at: datetime | None
    about: Any

    def urgency(self) -> tuple[bool, str]:
        """What is due first comes first; what is due at no time comes last."""
        return self.due_at is None, "" if self.due_at is None else self.due_at.isoformat()


@dataclass(frozen=True)
class NotKnown:
    """A kind of task of which nothing could be learnt, and why."""

    kind: str
    why: str


@dataclass
class DoctorsRound:
    """The doctor's findings, as of some minutes ago at most."""

    office: Office
    _found: Sequence[Finding] = ()
    _at: datetime | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def findings(self) -> tuple[Sequence[Finding], datetime]:
        with self._lock:
            moment = self.office.clock()
            if self._at is None or moment - self._at > LOOKED_AGAIN:
                self._found, self._at = list(look_at_node(self.office.node.home)), moment
            return self._found, self._at


@dataclass(frozen=True)
class TodoPages:
    """The start, requests of people, the doctor's findings."""

    office: Office
    doctor: DoctorsRound

    def start(self, request: Request) -> Response:
        """``GET /``: what waits, and one button: open the first."""
        self.office.door.staff(request, LOOK)
        tasks: list[DueTask] = []
        unknown: list[NotKnown] = []
        for kind, ask in self._asked():
            try:
                tasks += ask()
            except TahiniError as error:
                unknown.append(NotKnown(kind, str(error)))
        tasks.sort(key=DueTask.urgency)
        return self.office.look.page(
            request,
            "todo.html",
            tab="/",
            tasks=tasks,
            unknown=unknown,
            moment=self.office.clock(),
            name_of=self.office.name_of,
        )

    def _asked(self) -> list[tuple[str, Callable[[], list[DueTask]]]]:
        asked = [
            ("revocations", self._revocations),
            ("campaign", self._campaigns),
            ("request", self._requests),
            ("finding", self._findings),
        ]
        return [*asked, ("review", self._reviews)] if self.office.desk is not None else asked

    def _revocations(self) -> list[DueTask]:
        found = [one for one in revocations_seen(self.office.node) if one.open]
        due = min((one.due_at for one in found), default=None)
        return [DueTask("revocations", "/revocations", due, found)] if found else []

    def _campaigns(self) -> list[DueTask]:
        moment = self.office.clock()
        return [
            DueTask("campaign", f"/campaigns/{one.campaign.sha256}", one.campaign.expires_at, one)
            for one in offered(self.office.node)
            if one.waits(moment)
        ]

    def _requests(self) -> list[DueTask]:
        found = waiting_requests(self.office.node)
        return [
            DueTask("request", "/requests", datetime.fromisoformat(one["due_at"]), one)
            for one in found
        ]

    def _reviews(self) -> list[DueTask]:
        return [
            DueTask("review", f"/reviews/{one.id}", one.due_at, one)
            for one in waiting_reviews(self.office.at_desk())
        ]

    def _findings(self) -> list[DueTask]:
        found, _ = self.doctor.findings()
        return [
            DueTask("finding", "/doctor", None, one) for one in found if one.level is not Level.WELL
        ]

    def requests(self, request: Request) -> Response:
        """``GET /requests``: what people ask and nobody has answered yet."""
        self.office.door.staff(request, LOOK)
        found = waiting_requests(self.office.node)
        return self.office.look.page(
            request, "requests.html", tab="/", requests=found, moment=self.office.clock()
        )

    def findings(self, request: Request) -> Response:
        """``GET /doctor``: all that was looked at."""
        self.office.door.staff(request, LOOK)
        found, at = self.doctor.findings()
        return self.office.look.page(request, "doctor.html", tab="/", findings=found, at=at)
