"""Roster proofs: whether one person was in one release, for that person to keep.

A lender commits to its roster in the log before it reads a row, and cannot say two things about one
name under one commitment (:mod:`crypto.memberships`). So a proof does not *claim* an answer: who
checks it computes the answer, yes or no, from what was logged before anybody asked. It is made at
the lender's and handed over sealed like any other answer to a request; nothing in it is fetched.

It proves what the lender committed to, not what a dishonest lender may have read besides: that is
what signed code, the auditor and its samples are for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import Field

from crypto.errors import ProofError
from crypto.keys import b64, unb64
from crypto.memberships import MAX_DEPTH, MAX_MEMBERS, OpenedCell, stands_in
from crypto.notes import InclusionProof, signers
from protocol.parties import Consortium, Role
from protocol.schema import Document, Instant, KeyText, Pseudonym, Sha256, Slug

MAX_ENTRY, MAX_PROOF = 4_096, 65_536


class RosterProof(Document):
    """The cell of a roster that answers for one name, and the logged commitment that it belongs
    to."""

    typ = "tahini-roster-proof"

    pii_principal_id: Pseudonym
    """The name that the person bore then: a renaming leaves earlier rosters as they were."""
    campaign_sha256: Sha256
    lender: Slug
    release: int = Field(ge=0)
    attempt: int = Field(ge=1)
    salt: KeyText
    members: tuple[KeyText, ...] = Field(max_length=MAX_MEMBERS)
    path: tuple[KeyText, ...] = Field(max_length=MAX_DEPTH)
    entry: Annotated[str, Field(max_length=MAX_ENTRY)]
    """The log entry's leaf, base64url."""
    proof: Annotated[str, Field(max_length=MAX_PROOF)]
    """Its ``.tlog-proof``."""
    issued_at: Instant

    @classmethod
    def of(cls, cell: OpenedCell, leaf: bytes, proof: InclusionProof, **about: Any) -> Self:
        """
        Args:
            about: the other fields.
        """
        return cls(
            salt=b64(cell.salt),
            members=tuple(map(b64, cell.members)),
            path=tuple(map(b64, cell.path)),
            entry=b64(leaf),
            proof=proof.text,
            **about,
        )

    @property
    def cell(self) -> OpenedCell:
        """Raises ValueError."""
        return OpenedCell(
            unb64(self.salt), tuple(map(unb64, self.members)), tuple(map(unb64, self.path))
        )


@dataclass(frozen=True)
class Head:
    """The log's head that something was checked against."""

    log: str
    size: int
    cosigned_by: tuple[str, ...]
    witnesses: int

    @classmethod
    def of(cls, note: str, consortium: Consortium) -> Self:
        """The head in a note; raises SignatureError unless the consortium's policy believes it."""
        policy = consortium.policy
        checkpoint = policy.open(note)
        keys = [witness.key for witness in policy.witnesses]
        _, signed = signers(note, [*(log.verifier for log in policy.logs), *keys])
        names = tuple(witness.name for witness in policy.witnesses if witness.key in signed)
        return cls(checkpoint.origin, checkpoint.size, names, len(keys))

    @property
    def words(self) -> str:
        who = (
            f"cosigned by {len(self.cosigned_by)} of {self.witnesses} witnesses"
            if self.witnesses
            else "which nobody witnesses"
        )
        return f"the signed head of {self.size:,} entries of the log {self.log}, {who}"


@dataclass(frozen=True)
class RosterAnswer:
    """What a proof answers, computed."""

    used: bool
    """Whether the name stands in the roster that was committed to."""
    proof: RosterProof
    kind: str
    """Of release."""
    day: str
    """On which the roster was committed to, as 2026-11-27."""
    entry_index: int
    head: Head


def verify_roster_proof(token: str, consortium: Consortium) -> RosterAnswer:
    """The answer that a lender's proof gives, from the pinned consortium document alone.

    Raises:
        SignatureError: not signed by the lender that it names, or the log's head is not signed or
            cosigned as the consortium demands.
        ProofError: the entry is not in the log, is not the commitment that the proof names, or does
            not commit to what is shown.
    """
    lender = consortium.party(RosterProof.claimed(token).lender)
    if lender.role is not Role.LENDER:
        raise ProofError(f"{lender.id!r} is no lender: it commits to no rosters")
    proof = RosterProof.verify(token, lender.key)
    try:
        leaf, cell = unb64(proof.entry), proof.cell
    except ValueError as error:
        raise ProofError("the proof holds something that is not base64url") from error
    included = InclusionProof.parse(proof.proof)
    included.verify(leaf, consortium.policy)
    committed = _commitment(leaf)
    stated = {
        "type": "roster.committed",
        "actor": proof.lender,
        "campaign": proof.campaign_sha256,
        "release": proof.release,
        "attempt": proof.attempt,
    }
    if {name: committed.get(name) for name in stated} != stated:
        raise ProofError("the log entry is not the roster commitment that the proof names")
    return RosterAnswer(
        used=stands_in(bytes.fromhex(committed["root"]), proof.pii_principal_id, cell),
        proof=proof,
        kind=str(committed["kind"]),
        day=str(committed["time"])[:10],
        entry_index=included.index,
        head=Head.of(included.checkpoint_note, consortium),
    )


def _commitment(leaf: bytes) -> dict[str, Any]:
    """Raises ProofError."""
    try:
        fields = json.loads(leaf)
        _ = bytes.fromhex(fields["root"]), fields["kind"], fields["time"]
    except (ValueError, KeyError, TypeError) as error:
        raise ProofError("the log entry is not a roster commitment") from error
    return dict(fields)
