"""What is sealed to the auditor, opened for a page.

That something is opened, and by whom, is logged before (征信业管理条例 22). What was opened stays
in memory for minutes, and is never written down here. The key never leaves this process.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from auditlog.opening import Bodies
from auditlog.reading import Opener
from crypto.keys import b64
from protocol.client.auditor import AuditorClient
from protocol.parties import Role
from screens.viewer.home import ViewerHome
from screens.viewer.index import IndexedEntry

FOR = timedelta(minutes=10)
MAX_OPENED = 32
ABOUT = "audit view"
"""What the log says that opened it."""


@dataclass
class OpenedBodies:
    """Opens bodies, and holds them for a little while."""

    home: ViewerHome
    clock: Callable[[], datetime]
    operator: str | None
    """Staff id of whoever looks."""
    _held: dict[int, tuple[datetime, dict[str, Any]]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def readers(self) -> frozenset[str]:
        """As whom something can be opened here."""
        past = self.home.past()
        before = {one.one(Role.AUDITOR).id for one in past.consortiums} if past.archive else set()
        return frozenset({self.home.consortium.one(Role.AUDITOR).id, *before})

    def open(self, entry: IndexedEntry) -> None:
        """Log that an entry is opened, then open it. Raises ConsentError, CryptoError."""
        with self._lock:
            if self._find(entry.index) is not None:
                return  # a second tap of the same form
            with self.home.client() as client:
                self._tell(client, entry.index)
                opener = self._opener(client)
                opened = opener.open(entry.index, entry.fields)
            while len(self._held) >= MAX_OPENED:
                del self._held[next(iter(self._held))]
            self._held[entry.index] = self.clock(), opened

    def find(self, index: int) -> dict[str, Any] | None:
        """What was opened minutes ago."""
        with self._lock:
            return self._find(index)

    def forget(self) -> None:
        with self._lock:
            self._held.clear()

    def _find(self, index: int) -> dict[str, Any] | None:
        known = self._held.get(index)
        if known is None or self.clock() > known[0] + FOR:
            self._held.pop(index, None)
            return None
        return known[1]

    def _opener(self, client: AuditorClient) -> Opener:
        past, me = self.home.past(), self.home.consortium.one(Role.AUDITOR).id
        bodies = Bodies(client, me, self.home.key, past.archive)
        return Opener(bodies, self.readers() - {me})

    def _tell(self, client: AuditorClient, index: int) -> None:
        about = {"command": ABOUT, "operator": self.operator, "entry": index}
        content = b64(json.dumps(about, sort_keys=True).encode())
        to = [self.home.consortium.one(Role.AUDITOR).id]
        client.append([{"type": "evidence.read", "to": to, "body": content}])
