"""Who is logged in: kept on the server, in memory; the browser holds a random number and never a
token.

The number is new at each log-in, so that nobody can have planted it before; what is kept under is
its hash. A session ends with its access token, when it was not used for ten minutes, and after an
hour in any case. After a restart everybody logs in again.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

IDLE = timedelta(minutes=10)
LONGEST = timedelta(minutes=60)
MAX_SESSIONS = 100_000

Kept = TypeVar("Kept")


@dataclass
class Session(Generic[Kept]):
    """What is kept of one visitor."""

    kept: Kept
    begun_at: datetime
    ends_at: datetime
    seen_at: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.seen_at = self.begun_at

    def over(self, moment: datetime) -> bool:
        return moment >= min(self.ends_at, self.begun_at + LONGEST, self.seen_at + IDLE)


def _name_of(number: str) -> str:
    return hashlib.sha256(number.encode()).hexdigest()


@dataclass
class PageSessions(Generic[Kept]):
    """Sessions of one app. Where there is no room for another, the one that was idle longest
    ends."""

    clock: Callable[[], datetime]
    most: int = MAX_SESSIONS
    _open: dict[str, Session[Kept]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def begin(self, kept: Kept, ends_at: datetime) -> str:
        """Keep something under a new number, which is returned: for the cookie and nobody else."""
        number, moment = secrets.token_urlsafe(32), self.clock()
        with self._lock:
            if len(self._open) >= self.most:
                self._sweep(moment)
            self._open[_name_of(number)] = Session(kept, moment, ends_at)
        return number

    def find(self, number: str | None) -> Kept | None:
        """What is kept under a number, if its session goes on."""
        if not number:
            return None
        name, moment = _name_of(number), self.clock()
        with self._lock:
            session = self._open.get(name)
            if session is None or session.over(moment):
                self._open.pop(name, None)
                return None
            session.seen_at = moment
            return session.kept

    def end(self, number: str | None) -> Kept | None:
        """What was kept, which is kept no longer."""
        with self._lock:
            session = self._open.pop(_name_of(number or ""), None)
        return None if session is None or session.over(self.clock()) else session.kept

    def _sweep(self, moment: datetime) -> None:
        self._open = {name: one for name, one in self._open.items() if not one.over(moment)}
        if len(self._open) >= self.most:
            del self._open[min(self._open, key=lambda name: self._open[name].seen_at)]


def cookie(app: str, what: str = "session") -> str:
    """A cookie's name. Apps on other ports of one machine share cookies, so each has its own.
    ``__Host-`` (RFC 6265bis): set by this very host, over TLS or from this machine, for all of
    it."""
    return f"__Host-{app}-{what}"


COOKIE: dict[str, Any] = {"path": "/", "secure": True, "httponly": True, "samesite": "lax"}
