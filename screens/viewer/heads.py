"""A head of the log and its witnesses, for people."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from datetime import UTC, datetime

from crypto.cosignatures import Kind
from crypto.errors import CryptoError
from crypto.notes import Checkpoint, claimed_checkpoint, own_line
from crypto.policies import NO_QUORUM, Policy, Witness
from screens.viewer.verification import Conclusion

KINDS = {Kind.ED25519: "Ed25519", Kind.ML_DSA_44: "ML-DSA-44"}


@dataclass(frozen=True)
class SeenWitness:
    """One witness of the policy, and what it said of a head."""

    name: str
    kind: str
    signed_at: datetime | None
    """When it cosigned this head; None where it did not."""
    stands: str
    """``agrees``: its newest head is of the same history. ``silent``: it did not answer.
    ``unasked``."""


@dataclass(frozen=True)
class SeenHead:
    """A head as it was signed. Made of what :func:`auditlog.audit.audit_steps` has looked at."""

    checkpoint: Checkpoint
    witnesses: tuple[SeenWitness, ...]
    since: Checkpoint | None
    """The one that was kept before."""

    @classmethod
    def of(cls, outcome: Conclusion, policy: Policy) -> SeenHead | None:
        if not outcome.note:
            return None
        seen = tuple(_seen(one, outcome, policy) for one in policy.witnesses)
        since = claimed_checkpoint(outcome.since) if outcome.since else None
        return cls(claimed_checkpoint(outcome.note), seen, since)


def quorum_of(policy: Policy) -> tuple[int, int] | None:
    """How many of how many witnesses a head needs, where the policy is as simple as that."""
    if policy.quorum == NO_QUORUM:
        return 0, len(policy.witnesses)
    group = next((one for one in policy.groups if one.name == policy.quorum), None)
    flat = {one.name for one in policy.witnesses}
    if group is None or not flat.issuperset(group.members):
        return None
    return group.threshold, len(group.members)


def _seen(witness: Witness, outcome: Conclusion, policy: Policy) -> SeenWitness:
    text, _, signatures = outcome.note.rpartition("\n\n")
    try:
        line = own_line(signatures, witness.key, text + "\n")
        stamp = int.from_bytes(b64decode(line.split(" ")[2])[4:12], "big")
        signed_at = datetime.fromtimestamp(stamp, UTC)
    except CryptoError:
        signed_at = None  # it has not signed this head
    stands = (
        "agrees"
        if witness.name in outcome.agree
        else "silent"
        if witness.name in outcome.silent
        else "unasked"
    )
    return SeenWitness(witness.name, KINDS[witness.key.kind], signed_at, stands)
