"""A lender's copy of its borrowers' consents, brought up to date by hand, and what came of that:
counts by reason, and which revocations were answered when and by whom.

The node does the same by itself before every release, and its inbox when something is delivered;
what they acknowledge they write down in the same place (:func:`clients.erasures.acknowledged`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import orjson

from clients.consents import FOLDER, HeldSnapshot
from clients.erasures import BY_HAND, AnsweredRevocations, answered, obey
from clients.home import Node
from protocol.client.lenders import LenderClient
from protocol.revocations import Revocation
from protocol.snapshots import REASONS, reasons_of
from protocol.terms import TRAINING_PURPOSE

COUNTS_FILE = "counts.jsonl"
"""Numbers of people by reason, a line for each time somebody synced; nobody is named."""
MAX_COUNTS = 1000
MAX_ANSWERED = 200
Counts = dict[str, dict[str, int]]
"""By kind of data and reason; what nobody stands under is left out."""


@dataclass(frozen=True)
class Synced:
    """What came of bringing the copy up to date."""

    snapshot: HeldSnapshot
    acknowledged: int
    """Revocations answered with it."""
    waiting_for_a_desk: bool
    """Somebody is to be erased first, and nothing from there on was acknowledged."""


def sync_copy(node: Node, purpose: str = TRAINING_PURPOSE) -> Synced:
    """Act on revocations, acknowledge them, and fetch what changed. Raises ConsentError,
    NodeError."""
    with node.registry() as client:
        revoked = client.revocations()
        whole = obey(node, client, revoked, BY_HAND)
        snapshot = node.consents.sync(client, purpose)
    if purpose == TRAINING_PURPOSE:
        _keep_counts(node, snapshot)
    return Synced(snapshot, len(revoked) if whole else 0, not whole)


def counts_of(snapshot: HeldSnapshot) -> Counts:
    """How many stand how, by kind of data."""
    return {
        kind: {
            REASONS[rule].value: int(count)
            for rule, count in enumerate(
                np.bincount(
                    reasons_of(snapshot.codes[kind], snapshot.state.notices), minlength=len(REASONS)
                )
            )
            if count
        }
        for kind in snapshot.codes
    }


@dataclass(frozen=True)
class CountedThen:
    """How everybody stood at one moment."""

    at: datetime
    counts: Counts


def _keep_counts(node: Node, snapshot: HeldSnapshot) -> None:
    line = {"at": snapshot.state.issued_at.isoformat(), "counts": counts_of(snapshot)}
    path = node.home / FOLDER / COUNTS_FILE
    with path.open("ab") as file:
        file.write(orjson.dumps(line) + b"\n")


def counted(node: Node) -> list[CountedThen]:
    """The newest counts that were kept, the oldest first."""
    path = node.home / FOLDER / COUNTS_FILE
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines()[-MAX_COUNTS:]
    found = [orjson.loads(line) for line in lines]
    return [CountedThen(datetime.fromisoformat(one["at"]), one["counts"]) for one in found]


# --- revocations


@dataclass(frozen=True)
class RevocationSeen:
    """One revocation, and whether and how this lender has answered it."""

    told: Revocation
    due_at: datetime
    """By when the consortium wants it acknowledged."""
    open: bool
    answered: AnsweredRevocations | None
    """Of one that was answered: when and how, if it was answered from this home."""

    def minutes_left(self, moment: datetime) -> int:
        """Whole minutes, rounded down; negative once it is late."""
        return int((self.due_at - moment) // timedelta(minutes=1))


def revocations_seen(node: Node) -> list[RevocationSeen]:
    """What is open, and the :data:`MAX_ANSWERED` before that, the newest first. Raises
    ConsentError."""
    with node.connected(LenderClient) as client:
        waiting = client.revocations()
        kept = answered(node)
        newest = waiting[0].number - 1 if waiting else kept[-1].number if kept else 0
        every = client.revocations_after(max(0, newest - MAX_ANSWERED))
    patience = timedelta(minutes=node.consortium.revocation_minutes)
    first_open = waiting[0].number if waiting else None
    return [
        RevocationSeen(
            one,
            one.event_time + patience,
            first_open is not None and one.number >= first_open,
            next((line for line in kept if line.number >= one.number), None),
        )
        for one in reversed(every)
    ]


def acknowledge_all(node: Node, by: str) -> int:
    """Act on everything that was revoked and acknowledge it, by hand; returns how many of them are
    still to be acted on by a desk. Raises ConsentError, NodeError."""
    with node.registry() as client:
        revoked = client.revocations()
        whole = obey(node, client, revoked, f"{BY_HAND}:{by}")
        return 0 if whole else len(client.revocations())
