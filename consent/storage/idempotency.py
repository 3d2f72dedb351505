"""Commands that act once: the answer is kept with the change, in the same transaction, under the
caller's own key.

After draft-ietf-httpapi-idempotency-key-header: the same key with the same request is answered as
the first time; with another request it is refused. Keys are kept for a day.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from consent.storage.tables import IdempotencyRow
from protocol.errors import Malformed

KEPT = timedelta(hours=24)
_KEY = re.compile(r"[!-~]{1,64}")


@dataclass(frozen=True)
class Once:
    """One command of one caller."""

    caller: str
    key: str
    request_sha256: str

    @classmethod
    def of(cls, caller: str, key: str, method: str, target: str, body: bytes) -> Once:
        """Raises Malformed when ``key`` is not one to 64 visible ASCII characters."""
        if not _KEY.fullmatch(key):
            raise Malformed("an Idempotency-Key has 1 to 64 visible ASCII characters")
        digest = hashlib.sha256(f"{method} {target}\n".encode() + body)
        return cls(caller, key, digest.hexdigest())


@dataclass(frozen=True)
class Answered:
    """What a command was answered with."""

    status: int
    body: Any
    again: bool = False
    """Whether this is the answer of an earlier time."""


def recall(
    session: Session, commands: Sequence[Once], moment: datetime
) -> dict[Once, Answered | Malformed]:
    """The answers these commands were given before; a refusal where the key was used for another
    request."""
    if not commands:
        return {}
    rows = session.scalars(
        select(IdempotencyRow).where(
            IdempotencyRow.caller.in_({once.caller for once in commands}),
            IdempotencyRow.key.in_({once.key for once in commands}),
            IdempotencyRow.expires_at > moment,
        )
    )
    held = {(row.caller, row.key): row for row in rows}
    found: dict[Once, Answered | Malformed] = {}
    for once in commands:
        row = held.get((once.caller, once.key))
        if row is None:
            continue
        same = row.request_sha256 == once.request_sha256
        found[once] = (
            Answered(row.status, json.loads(row.body), again=True) if same else used_otherwise()
        )
    return found


def used_otherwise() -> Malformed:
    said = "this Idempotency-Key was used for another request; take a new key"
    return Malformed(said).because("key-used-otherwise")


class KeptAnswers:
    """The answers of commands that act once, as they stand in one transaction.

    Args:
        commands: those that will be asked about.
    """

    def __init__(self, session: Session, commands: Sequence[Once], moment: datetime) -> None:
        self._session, self._moment = session, moment
        self._known = recall(session, commands, moment)
        self._new: list[tuple[Once, Answered]] = []

    def earlier(self, once: Once | None) -> Answered | None:
        """The answer that this command was given before, if it was; raises Malformed for another
        use of its key."""
        if once is None:
            return None
        known = self._known.get(once)
        if isinstance(known, Malformed):
            raise known
        if known is None and any(
            (other.caller, other.key) == (once.caller, once.key) for other in self._known
        ):
            raise used_otherwise()
        return known

    def keep(self, once: Once | None, answered: Answered) -> None:
        """From now on this is the command's answer."""
        if once is not None:
            self._new.append((once, answered))
            self._known[once] = Answered(answered.status, answered.body, again=True)

    def save(self) -> None:
        """Write what is new."""
        remember(self._session, self._new, self._moment)


def remember(session: Session, answers: Sequence[tuple[Once, Answered]], moment: datetime) -> None:
    """Keep the answers, within the transaction that did what they say; drop what is older than a
    day."""
    if not answers:
        return
    session.execute(delete(IdempotencyRow).where(IdempotencyRow.expires_at <= moment))
    session.execute(
        insert(IdempotencyRow),
        [
            {
                "caller": once.caller,
                "key": once.key,
                "request_sha256": once.request_sha256,
                "status": answered.status,
                "body": json.dumps(answered.body),
                "expires_at": moment + KEPT,
            }
            for once, answered in answers
        ],
    )
