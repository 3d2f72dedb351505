"""What an evidence pack shows of the log: its heads, and the entries in scope with their proofs.

Every entry of the log is in it, whatever the scope: whoever checks it computes the root anew, and
sees that no entry of the scope was left out. The entries of a campaign stand there once more, each
with its inclusion proof (C2SP tlog-proof), for whoever wants to look at these alone.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from auditlog.log import AuditLog
from auditlog.tables import LogPublishedRow
from crypto.log_tiles import entry_bundle
from crypto.notes import Checkpoint
from protocol.evidence import PackScope
from protocol.parts import PartWriter

BUNDLE, PAGE = 1 << 16, 1 << 12
"""Entries in one file, and entries that are read at once."""


@dataclass(frozen=True)
class LogExtract:
    """What was found under one head of the log."""

    first: Checkpoint
    last: Checkpoint
    campaigns: frozenset[str]
    """Every campaign that an entry in scope names."""


@dataclass
class _Found:
    """What is in scope."""

    first: int | None = None
    """The first entry."""
    campaigns: set[str] = field(default_factory=set)
    shown: set[int] = field(default_factory=set)
    """Entries that stand alone, with their proofs."""
    by_type: Counter[str] = field(default_factory=Counter)

    def look(self, scope: PackScope, first: int, leaves: Sequence[bytes], page: bytes) -> None:
        """Take the entries from ``first`` on; ``page`` holds them all."""
        telling = [b""] if scope.campaign is None else [scope.campaign.encode(), b'"notice.']
        if not any(word in page for word in telling):
            return
        for index, raw in enumerate(leaves, first):
            if any(word in raw for word in telling):
                self._take(scope, index, json.loads(raw))

    def _take(self, scope: PackScope, index: int, leaf: dict[str, Any]) -> None:
        named = scope.campaign
        if named and leaf["type"] == "notice.published":
            self.shown.add(index)
        if not scope.wants(leaf):
            return
        self.by_type[leaf["type"]] += 1
        if self.first is None:
            self.first = index
        if "campaign" in leaf:
            self.campaigns.add(leaf["campaign"])
        if named:
            self.shown.add(index)


def extract(
    log: AuditLog,
    session: Session,
    scope: PackScope,
    made: int,
    part: PartWriter,
    since: str | None,
) -> LogExtract:
    """Put ``log/`` into the part.

    Args:
        made: the entry that says that the part is made.
        since: an earlier checkpoint, whose extension by the newest is to be proved as well.

    Raises:
        NotFound: the log has published nothing yet. ProofError: ``since`` is of another log or
            newer than its newest. LogDamaged.
    """
    note = log.checkpoint(session)
    last = log.own_head(note)
    found = _bundled(log, session, scope, last, part)
    for index in sorted(found.shown | {made}):
        raw = log.entry(session, index).leaf
        part.add(f"log/entries/{index}.json", raw)
        part.add(
            f"log/entries/{index}.tlog-proof", log.prove_inclusion(session, index).text.encode()
        )
    begins = made if found.first is None else found.first
    older = select(func.min(LogPublishedRow.size)).where(LogPublishedRow.size > begins)
    first_note = log.checkpoint(session, session.scalar(older))
    first = log.own_head(first_note)
    sizes = {first.size} | ({log.own_head(since).size} if since is not None else set())
    proofs = {
        str(size): [
            b64encode(one).decode() for one in log.prove_consistency(session, size, last.size)
        ]
        for size in sizes
    }
    part.add("log/policy", log.policy.text.encode())
    part.add("log/checkpoint", note.encode())
    part.add("log/first.checkpoint", first_note.encode())
    part.add_json("log/consistency.json", proofs)
    part.add_json("log/counts.json", {"entries_in_scope": dict(sorted(found.by_type.items()))})
    return LogExtract(first, last, frozenset(found.campaigns))


def _bundled(
    log: AuditLog, session: Session, scope: PackScope, last: Checkpoint, part: PartWriter
) -> _Found:
    """Every entry into ``log/bundles/``, each with its length in two bytes in front, compressed;
    those in scope are kept in mind."""
    found = _Found()

    def pages(start: int) -> Iterator[bytes]:
        stop = min(start + BUNDLE, last.size)
        for at in range(start, stop, PAGE):
            leaves = list(log.leaves(session, at, min(at + PAGE, stop)))
            page = entry_bundle(leaves)
            found.look(scope, at, leaves, page)
            yield page

    for number, start in enumerate(range(0, last.size, BUNDLE)):
        part.add_packed(f"log/bundles/{number:06d}.gz", pages(start))
    return found
