"""Commands that act once: what a command made is kept with the change, in the same transaction,
under its caller's own key.

After draft-ietf-httpapi-idempotency-key-header: the same key with the same request is answered with
what it made the first time; with another request it is refused. Keys are kept for a day. No answer
is kept, only the id of what was made: what it says is read anew, so that nothing personal lies here
and a retry hears what the first answer had to wait for.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select

from desk.storage.tables import answers
from protocol.errors import Malformed

KEPT = timedelta(hours=24)
_KEY = re.compile(r"[!-~]{1,64}")


@dataclass(frozen=True)
class ActsOnce:
    """One command of one caller."""

    caller: str
    key: str
    request_sha256: str

    @classmethod
    def of(cls, caller: str, key: str, method: str, target: str, body: bytes) -> ActsOnce:
        """Raises Malformed when ``key`` is not one to 64 visible ASCII characters."""
        if not _KEY.fullmatch(key):
            raise Malformed("an Idempotency-Key has 1 to 64 visible ASCII characters")
        digest = hashlib.sha256(f"{method} {target}\n".encode() + body)
        return cls(caller, key, digest.hexdigest())


def made_before(connection: Connection, once: ActsOnce | None, moment: datetime) -> str | None:
    """The id of what this command made before, if it did; raises Malformed where its key was used
    for another request."""
    if once is None:
        return None
    row = connection.execute(
        select(answers.c.request_sha256, answers.c.made).where(
            answers.c.caller == once.caller,
            answers.c.key == once.key,
            answers.c.expires_at > moment,
        )
    ).one_or_none()
    if row is None:
        return None
    if row.request_sha256 != once.request_sha256:
        raise Malformed("this Idempotency-Key was used for another request; take a new key")
    return str(row.made)


def remember(connection: Connection, once: ActsOnce | None, made: str, moment: datetime) -> None:
    """Keep what the command made, within the transaction that makes it; drop what is older than a
    day."""
    if once is None:
        return
    connection.execute(delete(answers).where(answers.c.expires_at <= moment))
    connection.execute(
        insert(answers).values(
            caller=once.caller,
            key=once.key,
            request_sha256=once.request_sha256,
            made=made,
            expires_at=moment + KEPT,
        )
    )
