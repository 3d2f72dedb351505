"""An auditor logs that it took over what was sealed to the one before it."""

from __future__ import annotations

from consent.registry import Registry
from consent.succession import earlier_consortiums
from consent.transaction import writing
from protocol.errors import NotAllowed
from protocol.handovers import Handover
from protocol.parties import Party, Role


def succeed_auditor(registry: Registry, auditor: Party, token: str) -> int:
    """Log a handover that the outgoing auditor signed; returns the entry's index.

    Raises:
        NotAllowed: it is to somebody else, or of nobody who was the auditor here. SignatureError:
            the outgoing auditor did not sign it.
    """
    outgoing = Handover.claimed(token).outgoing
    before = [one.one(Role.AUDITOR) for one in earlier_consortiums(registry.home)]
    known = next((party for party in before if party.id == outgoing), None)
    if known is None:
        raise NotAllowed(f"{outgoing!r} was never the auditor of this consortium")
    handover = Handover.verify(token, known.key)
    named = (handover.successor, handover.successor_key, handover.consortium_sha256)
    if named != (auditor.id, auditor.signing_key, registry.consortium.sha256):
        raise NotAllowed("the handover is to somebody else")
    public = {
        "outgoing": handover.outgoing,
        "archive": handover.archive_sha256,
        "envelopes": handover.envelopes,
        "bodies": handover.bodies,
    }
    with writing(registry) as transaction:
        return transaction.log_sealed("auditor.succeeded", auditor.id, public, {"token": token})
