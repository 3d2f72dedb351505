"""Who may call the desk: systems of the lender by a token of their own, staff by theirs.

A token is 256 random bits that only its owner has; the desk keeps its hash. A member of staff is
who their token says, never who a header says: what they review is theirs, and two pairs of eyes are
two tokens.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import insert, select, update

from desk.office import InHand
from desk.storage.database import DeskDatabase
from desk.storage.tables import callers
from protocol.errors import Conflict, Malformed, NotAuthenticated, NotFound
from protocol.schema import StaffId

KNOWN_S = 5.0
"""For how long what is known of tokens is believed: a revoked one ends within as long."""
_STAFF_ID: TypeAdapter[str] = TypeAdapter(StaffId)


class CallerRole(StrEnum):
    ORIGINATION = "origination"
    """Takes applications, offers and acceptances to the desk and back."""
    SERVICING = "servicing"
    """Pays out, and books what comes back."""
    REVIEWER = "reviewer"
    """A member of staff who decides what a machine should not."""
    READER = "reader"
    """Reads how things stand, and changes nothing: risk, audit."""


@dataclass(frozen=True)
class DeskCaller:
    name: str
    role: CallerRole


def add_caller(hand: InHand, caller: DeskCaller) -> str:
    """Returns the token, which is told once.

    Raises:
        Malformed: the name is no staff id (2 to 64 letters, digits, ``.``, ``_``, ``-``). Conflict:
            there is one of this name.
    """
    try:
        _STAFF_ID.validate_python(caller.name)
    except ValidationError as error:
        raise Malformed("a caller's name has 2 to 64 letters, digits, . _ or -") from error
    if hand.connection.scalar(select(callers.c.name).where(callers.c.name == caller.name)):
        raise Conflict(f"there is a caller {caller.name!r} already; names are not used twice")
    token = secrets.token_urlsafe(32)
    hand.connection.execute(
        insert(callers).values(
            name=caller.name,
            role=caller.role.value,
            token_sha256=_hash(token),
            added_at=hand.moment,
            revoked=False,
        )
    )
    return token


def revoke_caller(hand: InHand, name: str) -> None:
    """Raises NotFound."""
    found = hand.connection.execute(
        update(callers).where(callers.c.name == name).values(revoked=True)
    )
    if not found.rowcount:
        raise NotFound(f"there is no caller {name!r}")


def all_callers(hand: InHand) -> list[tuple[DeskCaller, datetime, bool]]:
    """Each with the time at which it was added, and whether it is revoked."""
    rows = hand.connection.execute(select(callers).order_by(callers.c.name)).all()
    return [(DeskCaller(r.name, CallerRole(r.role)), r.added_at, r.revoked) for r in rows]


@dataclass
class KnownCallers:
    """By the hash of its token, who calls; as the database said it a few seconds ago."""

    database: DeskDatabase
    _known: Mapping[str, DeskCaller] = field(default_factory=dict, init=False, repr=False)
    _until: float = field(default=0.0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @property
    def fresh(self) -> bool:
        return time.monotonic() <= self._until

    def read(self) -> None:
        """Ask the database, unless somebody just did."""
        with self._lock:
            if self.fresh:
                return
            with self.database.read() as connection:
                rows = connection.execute(select(callers).where(callers.c.revoked.is_(False))).all()
            self._known = {r.token_sha256: DeskCaller(r.name, CallerRole(r.role)) for r in rows}
            self._until = time.monotonic() + KNOWN_S

    def who(self, token: str) -> DeskCaller:
        """Raises NotAuthenticated."""
        found = self._known.get(_hash(token))
        if found is None:
            raise NotAuthenticated("the token in the Authorization header is nobody's here")
        return found


def _hash(token: str) -> str:
    """Of 256 random bits: nobody finds them, and an index by hash tells nothing by its timing."""
    return hashlib.sha256(token.encode()).hexdigest()
