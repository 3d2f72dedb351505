"""Signed requests act once across all workers of a service: what was seen is in the database that
they share.

A request's id is inserted before the request does anything; whose insert fails was here before.
Requests that arrive while an insert is under way share the next one, so a busy worker asks the
database once for many.

The insert does not wait for the disk. That loses nothing that matters: PostgreSQL writes its log in
order, so whatever a request changed durably lies behind its id, and if the id is lost in a crash,
so is all that the request did.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from auditlog.database import Database
from ops.gathering import Gathered
from protocol.errors import NotAuthenticated, StorageFailed
from protocol.requests import SEEN_BEFORE, ReplayGuard

KEPT = 2 * ReplayGuard.GENERATION
"""How long an id is kept: as long as its token can be accepted, and as long again for clocks that
differ."""
MAX_WAITING = 4096
_TIDY_EVERY = timedelta(minutes=1)
_ADMIT = text(
    "WITH quickly AS (SELECT set_config('synchronous_commit', 'off', true))"
    " INSERT INTO used_once (sha256, expires_at)"
    " SELECT unnest(CAST(:ids AS text[])), CAST(:ends AS timestamp) FROM quickly"
    " ON CONFLICT DO NOTHING RETURNING sha256"
)
_TIDY = text("DELETE FROM used_once WHERE expires_at < CAST(:moment AS timestamp)")


class SharedReplayGuard:
    """The replay guard of one worker among several.

    Args:
        started: when the service began, the same for all its workers, whenever they were started or
            replaced.
    """

    def __init__(self, database: Database, started: datetime) -> None:
        self.started = started
        self._database = database
        self._tidied = started
        self._moment = started
        self._new = Gathered(self._insert)

    async def admit(self, jti: str, moment: datetime) -> None:
        """Let a request pass if its id was never seen.

        Raises:
            NotAuthenticated: it was. StorageFailed: the database does not say; then nothing may
                act.
        """
        name = hashlib.sha256(f"request\n{jti}".encode()).hexdigest()
        if name in self._new:
            raise NotAuthenticated(SEEN_BEFORE)
        if len(self._new) >= MAX_WAITING:
            raise StorageFailed("too many requests wait to be admitted; ask again")
        self._moment = moment
        if not await self._new.ask(name):
            raise NotAuthenticated(SEEN_BEFORE)

    def _insert(self, names: Sequence[str]) -> dict[str, bool]:
        """Whether each of these ids is new."""
        moment = self._moment
        ends = (moment + KEPT).astimezone(UTC).replace(tzinfo=None)
        with self._database.aside() as connection:
            new = set(connection.execute(_ADMIT, {"ids": list(names), "ends": ends}).scalars())
            if moment - self._tidied >= _TIDY_EVERY:
                self._tidied = moment
                connection.execute(_TIDY, {"moment": moment.astimezone(UTC).replace(tzinfo=None)})
        return {name: name in new for name in names}
