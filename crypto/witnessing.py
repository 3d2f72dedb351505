"""What a witness decides: C2SP tlog-witness ``add-checkpoint`` (https://c2sp.org/tlog-witness),
without any I/O.

The rules, in the order in which they are checked; each refusal carries the HTTP status that the
specification names:

1. the request is well-formed (400);
2. the checkpoint's origin is a log that this witness knows (404);
3. it is signed by that log's key (403);
4. the old size is not above the checkpoint's (400);
5. the old size is the size this witness cosigned last (409, with that size as the body);
6. an empty tree has the empty root, an unchanged size an unchanged root, and a larger tree extends
   the last one (422).
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass

from crypto.errors import CryptoError, ProofError, SignatureError
from crypto.merkle import EMPTY_ROOT, verify_consistency
from crypto.notes import Checkpoint, Verifier, claimed_checkpoint, open_checkpoint

MAX_REQUEST_BYTES = 1 << 20
MAX_PROOF_LINES = 63
_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})")


class WitnessRefusal(CryptoError):
    """A request that the witness does not cosign. ``status`` is the HTTP status of the
    specification."""

    def __init__(self, status: int, reason: str, size: int | None = None) -> None:
        super().__init__(reason)
        self.status, self.size = status, size


@dataclass(frozen=True)
class AddCheckpoint:
    """``old`` size, consistency proof from it, and the new checkpoint as a signed note."""

    old: int
    proof: tuple[bytes, ...]
    note: str

    @property
    def text(self) -> str:
        hashes = [b64encode(value).decode() for value in self.proof]
        return "\n".join([f"old {self.old}", *hashes, "", self.note])

    @classmethod
    def parse(cls, body: bytes) -> AddCheckpoint:
        """Raises WitnessRefusal (400)."""
        try:
            head, separator, note = body[: MAX_REQUEST_BYTES + 1].decode().partition("\n\n")
            first, *lines = head.split("\n")
            old = _OLD.fullmatch(first)
            proof = tuple(b64decode(line, validate=True) for line in lines)
        except ValueError as error:
            raise WitnessRefusal(400, "not an add-checkpoint request") from error
        if (
            len(body) > MAX_REQUEST_BYTES
            or not separator
            or not old
            or len(proof) > MAX_PROOF_LINES
        ):
            raise WitnessRefusal(400, "not an add-checkpoint request")
        if any(len(value) != 32 for value in proof):
            raise WitnessRefusal(400, "a hash of the proof is not 32 bytes long")
        return cls(int(old[1]), proof, note)


def _claimed(note: str) -> Checkpoint:
    """The checkpoint *before* its signature is checked: only to learn whose key to check it
    with."""
    try:
        return claimed_checkpoint(note)
    except SignatureError as error:
        raise WitnessRefusal(400, "the request does not hold a checkpoint") from error


def consider(
    request: AddCheckpoint, logs: Mapping[str, Verifier], latest: Mapping[str, Checkpoint]
) -> Checkpoint:
    """The checkpoint to persist and then to cosign.

    Args:
        logs: the logs this witness knows, by origin.
        latest: the checkpoint cosigned last, by origin.

    Raises:
        WitnessRefusal: any rule of this module's list is broken.
    """
    log = logs.get(_claimed(request.note).origin)
    if log is None:
        raise WitnessRefusal(404, "this witness does not know that log")
    try:
        checkpoint = open_checkpoint(request.note, log)
    except SignatureError as error:
        raise WitnessRefusal(403, str(error)) from error
    if request.old > checkpoint.size:
        raise WitnessRefusal(400, "the old size is above the checkpoint's")
    known = latest.get(checkpoint.origin)
    size = known.size if known else 0
    if request.old != size:
        raise WitnessRefusal(409, f"the last checkpoint that was cosigned has {size} entries", size)
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        raise WitnessRefusal(422, "an empty tree has another root")
    if known is None or known.size == 0:
        if request.proof:
            raise WitnessRefusal(422, "from an empty tree there is nothing to prove")
        return checkpoint
    try:
        verify_consistency(known.size, checkpoint.size, request.proof, known.root, checkpoint.root)
    except ProofError as error:
        raise WitnessRefusal(422, str(error)) from error
    return checkpoint
