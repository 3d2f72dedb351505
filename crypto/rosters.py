"""Rosters: who is about to be used, committed to without being named.

A roster is the Merkle tree over the *sorted* salted pseudonyms of its members. Sorted, so that
absence can be proved: two neighbours in the tree with nothing between them. Salted per release, so
that equal rosters of two releases look unrelated and a member cannot be guessed from a root.
"""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from crypto.errors import ProofError
from crypto.merkle import (
    HashReader,
    inclusion_proof,
    leaf_hash,
    leaves_reader,
    tree_root,
    verify_inclusion,
)

SALT_SIZE = 32


def new_salt() -> bytes:
    return os.urandom(SALT_SIZE)


def salted(salt: bytes, pseudonym: str) -> bytes:
    """``SHA-256(salt || pseudonym)``: what stands in the tree."""
    return hashlib.sha256(salt + pseudonym.encode()).digest()


@dataclass(frozen=True)
class Neighbour:
    """One member beside the gap, with its inclusion proof."""

    index: int
    member: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True)
class AbsenceProof:
    """The members on either side of where somebody would stand; ``None`` at the ends of the
    roster."""

    size: int
    left: Neighbour | None
    right: Neighbour | None


@dataclass(frozen=True)
class Roster:
    """Members are 32-byte salted pseudonyms in ascending order, each once."""

    salt: bytes
    members: tuple[bytes, ...]

    @classmethod
    def of(cls, pseudonyms: Iterable[str], salt: bytes) -> Roster:
        return cls(salt, tuple(sorted({salted(salt, name) for name in pseudonyms})))

    @property
    def size(self) -> int:
        return len(self.members)

    @cached_property
    def _read(self) -> HashReader:
        return leaves_reader([leaf_hash(member) for member in self.members])

    @cached_property
    def root(self) -> bytes:
        return tree_root(self.size, self._read)

    def _neighbour(self, index: int) -> Neighbour:
        return Neighbour(
            index, self.members[index], tuple(inclusion_proof(index, self.size, self._read))
        )

    def prove_absence(self, pseudonym: str) -> AbsenceProof:
        """Raises ProofError if ``pseudonym`` is a member."""
        target = salted(self.salt, pseudonym)
        at = bisect_left(self.members, target)
        if at < self.size and self.members[at] == target:
            raise ProofError("the person stands in the roster")
        left = self._neighbour(at - 1) if at > 0 else None
        right = self._neighbour(at) if at < self.size else None
        return AbsenceProof(self.size, left, right)


def verify_absence(proof: AbsenceProof, pseudonym: str, salt: bytes, root: bytes) -> None:
    """``pseudonym`` is not in the roster with this root.

    Raises:
        ProofError: it may be, or the proof is malformed.
    """
    target = salted(salt, pseudonym)
    if proof.size == 0:
        if root != tree_root(0, leaves_reader([])):
            raise ProofError("the roster is not empty")
        return
    for neighbour in (proof.left, proof.right):
        if neighbour:
            verify_inclusion(
                leaf_hash(neighbour.member), neighbour.index, proof.size, neighbour.path, root
            )
    left_index = proof.left.index if proof.left else -1
    right_index = proof.right.index if proof.right else proof.size
    if right_index != left_index + 1:
        raise ProofError("the two neighbours do not stand beside each other")
    if (proof.left and proof.left.member >= target) or (
        proof.right and proof.right.member <= target
    ):
        raise ProofError("the person would not stand between these neighbours")
