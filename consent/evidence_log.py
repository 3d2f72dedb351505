"""What an evidence pack shows of the log: its heads, and the entries in scope with their proofs.

Of a period every entry of the log is in it, so that whoever checks it computes the root anew; of a
campaign or a lender the entries that concern it, each with its inclusion proof (C2SP tlog-proof).
"""

from __future__ import annotations

import json
import zlib
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from auditlog.log import AuditLog
from auditlog.tables import LogPublishedRow
from crypto.notes import Checkpoint
from protocol.evidence import PackScope, ScopeKind
from protocol.parts import PartWriter

BUNDLE = 1 << 16
"""Entries in one file of a period."""
_GZIP = 31
"""A gzip frame (RFC 1952) that holds neither a name nor a time."""
Leaf = dict[str, Any]


@dataclass(frozen=True)
class LogExtract:
    """What was found under one head of the log."""

    first: Checkpoint
    last: Checkpoint
    campaigns: frozenset[str]
    """Every campaign that an entry in scope names."""


@dataclass
class _Found:
    """Entries, by index."""

    wanted: dict[int, Leaf] = field(default_factory=dict)
    notices: dict[int, Leaf] = field(default_factory=dict)
    by_campaign: dict[str, dict[int, Leaf]] = field(default_factory=dict)

    def look(self, scope: PackScope, index: int, raw: bytes) -> None:
        if scope.campaign and scope.campaign.encode() not in raw and b'"notice.' not in raw:
            return
        leaf: Leaf = json.loads(raw)
        if leaf["type"] == "notice.published":
            self.notices[index] = leaf
        if campaign := leaf.get("campaign"):
            self.by_campaign.setdefault(campaign, {})[index] = leaf
        if scope.wants(leaf):
            self.wanted[index] = leaf


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
    if scope.kind is ScopeKind.PERIOD:
        found, by_type = _bundled(log, session, scope, last, part)
    else:
        found = _Found()
        for index, raw in enumerate(log.leaves(session, 0, last.size)):
            found.look(scope, index, raw)
        by_type = Counter(leaf["type"] for leaf in found.wanted.values())
    campaigns = frozenset(
        str(leaf["campaign"]) for leaf in found.wanted.values() if "campaign" in leaf
    )
    shown = {made} | set(found.notices) | set(found.wanted)
    shown.update(*(found.by_campaign[campaign] for campaign in campaigns))
    for index in sorted(shown if scope.kind is not ScopeKind.PERIOD else {made}):
        raw = log.entry(session, index).leaf
        part.add(f"log/entries/{index}.json", raw)
        part.add(
            f"log/entries/{index}.tlog-proof", log.prove_inclusion(session, index).text.encode()
        )
    begins = min(found.wanted, default=made)
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
    part.add_json("log/counts.json", {"entries_in_scope": dict(sorted(by_type.items()))})
    return LogExtract(first, last, campaigns)


def _bundled(
    log: AuditLog, session: Session, scope: PackScope, last: Checkpoint, part: PartWriter
) -> tuple[_Found, Counter[str]]:
    """Every entry into ``log/bundles/``, each with its length in two bytes in front, compressed;
    those that name a campaign are kept in mind."""
    found, by_type = _Found(), Counter[str]()

    def pieces(start: int) -> Iterator[bytes]:
        stop = min(start + BUNDLE, last.size)
        packer = zlib.compressobj(wbits=_GZIP)
        for index, raw in enumerate(log.leaves(session, start, stop), start):
            leaf = json.loads(raw)
            if leaf["type"] == "notice.published":
                found.notices[index] = leaf
            if scope.wants(leaf):
                by_type[leaf["type"]] += 1
                if campaign := leaf.get("campaign"):
                    found.wanted[index] = leaf
                    found.by_campaign.setdefault(campaign, {})[index] = leaf
            yield packer.compress(len(raw).to_bytes(2, "big") + raw)
        yield packer.flush()

    for number, start in enumerate(range(0, last.size, BUNDLE)):
        part.add(f"log/bundles/{number:06d}.gz", pieces(start))
    return found, by_type
