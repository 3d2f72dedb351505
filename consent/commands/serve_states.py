"""Consent snapshots that may be used are stated in the log before they are served.

A node draws a roster from the snapshot that it was shown, and names it by hash in its commitment.
The registry states the same hash beforehand, with the signed snapshot sealed to the auditor: so it
cannot show a node one state and the auditor another. Only a lender that holds a live authorisation
can use a state; whoever asks otherwise costs no entry.
"""

from __future__ import annotations

import hashlib

from sqlalchemy import select

from auditlog.entries import Entry
from consent.commands.sync_consents import SignedSnapshot, SnapshotId, read_snapshot
from consent.registry import Registry
from consent.storage.tables import AuthorisationRow
from consent.transaction import reading
from crypto.documents import canonical_json
from protocol.parties import Party


def state_entry(registry: Registry, lender: Party, snapshot: SignedSnapshot) -> Entry | None:
    """What the log says of a snapshot before this lender gets it; None where the lender may not
    use it: it holds no live authorisation."""
    with reading(registry) as view:
        live = select(AuthorisationRow.id).where(
            AuthorisationRow.lender == lender.id, AuthorisationRow.expires_at > view.moment
        )
        if view.session.scalar(live.limit(1)) is None:
            return None
    state = hashlib.sha256(snapshot.token.encode()).hexdigest()
    body = canonical_json({"token": snapshot.token})
    public = {"lender": lender.id, "state": state}
    return registry.sealed_to_auditor("consent.state-served", registry.me.id, public, body)


def serve_state(
    registry: Registry, lender: Party, purpose: str, challenge: str, since: SnapshotId | None
) -> tuple[SignedSnapshot, Entry | None]:
    """A snapshot (:func:`read_snapshot`), and the entry that must be in the log before it is
    handed out."""
    snapshot = read_snapshot(registry, lender, purpose, challenge, since)
    return snapshot, state_entry(registry, lender, snapshot)
