"""A lender's part of an evidence pack: what its own operator signed, and what its node committed.

Nobody is in it, and no count of people: of a roster stands the size class, the largest power of two
that is not above its size. No node imports this.
"""

from __future__ import annotations

from clients.home import Node
from crypto.documents import unverified_payload
from protocol.evidence import PackScope
from protocol.parts import PartWriter

SMALLEST_CLASS = 16
"""Of smaller rosters no class is told."""


def collect(node: Node, scope: PackScope, part: PartWriter) -> None:
    """Put everything into the part. Raises SignatureError where a file was altered."""
    folder = node.home / "approved"
    for path in sorted(folder.glob("*.jws")):
        sha256, _, kind = path.name.partition(".")
        signed = folder / f"{sha256}.approval.jws"
        if _wanted(node, scope, sha256, signed.read_text("utf-8") if signed.exists() else None):
            part.add(f"campaigns/{sha256}/{kind}", path.read_bytes())
    names = {path.split("/")[1] for path in part.files if path.startswith("campaigns/")}
    drawn = {sha256: node.store.releases(sha256) for sha256 in sorted(names)}
    people = node.store.charged()  # asked later, so that every roster drawn is counted whole
    for sha256, rosters in drawn.items():
        told = [
            {
                "release": one.release,
                "attempt": one.attempt,
                "size_class": size_class(people[one.number]),
            }
            for one in rosters
        ]
        part.add_json(f"campaigns/{sha256}/rosters.json", told)


def _wanted(node: Node, scope: PackScope, sha256: str, approval: str | None) -> bool:
    if scope.campaign is not None:
        return sha256 == scope.campaign
    if scope.lender not in (None, node.lender) or approval is None or scope.days is None:
        return False
    first, last = scope.days
    return first <= str(unverified_payload(approval)["approved_at"])[:10] <= last


def size_class(people: int) -> int | None:
    """The largest power of two that is not above; None of few."""
    return None if people < SMALLEST_CLASS else 1 << (people.bit_length() - 1)
