"""Rosters: who is about to be used, committed to without being named.

A roster is a perfect Merkle tree of ``2**depth`` *cells*. The first bits of a name say in which
cell it stands, so that a root has one answer for every name: in that cell, or not in the roster.
Each cell has a salt of its own, fresh for every roster: equal rosters look unrelated, nobody can be
guessed from a root, and whoever is shown one cell (:mod:`crypto.memberships`) learns nothing about
any other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from os import urandom

import numpy as np
from numpy.typing import NDArray

from crypto.keys import b64, unb64
from crypto.merkle import leaf_hash

SALT_SIZE = 32
POSITION_BITS = 36
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_DIGITS = np.zeros(256, dtype=np.uint64)
_DIGITS[np.frombuffer(_ALPHABET, np.uint8)] = np.arange(64)
_ERASED = "erased."
_WEIGHTS = np.array([1 << bits for bits in range(POSITION_BITS - 6, -1, -6)], dtype=np.uint64)


def new_salt() -> bytes:
    return urandom(SALT_SIZE)


def depth_for(size: int) -> int:
    """Of a roster of so many: one to two people in a cell, on average."""
    return max(0, size.bit_length() - 1)


def positions(names: Sequence[str]) -> NDArray[np.uint64]:
    """The first 36 bits of each name: of what follows the dot, read as base64url, ``A`` where it
    ends."""
    heads = "".join([name.partition(".")[2][:6].ljust(6, "A") for name in names])
    return _DIGITS[np.frombuffer(heads.encode("ascii", "replace"), np.uint8)].reshape(-1, 6) @ (
        _WEIGHTS
    )


def cell_salt(salt: bytes, cell: int) -> bytes:
    return hashlib.sha256(salt + cell.to_bytes(4, "big")).digest()


def member_hash(name: str) -> bytes:
    """What stands for a name in its cell: its leaf hash (RFC 6962). A tombstone stands for the name
    that it replaced."""
    if name.startswith(_ERASED):
        return unb64(name[len(_ERASED) + 6 :])
    return leaf_hash(name.encode())


def tombstone(name: str) -> str:
    """What a ledger keeps of an erased name, so that rosters that it is in can still be proved to
    others: where it stands, and its hash."""
    return f"{_ERASED}{name.partition('.')[2][:6]}{b64(member_hash(name))}"


def cell_hash(own_salt: bytes, members: Iterable[bytes]) -> bytes:
    """``SHA-256(0x02 || salt || members)``, which no leaf or node of RFC 6962 can be."""
    return hashlib.sha256(b"\x02" + own_salt + b"".join(members)).digest()


def hash_cells(salt: bytes, depth: int, names: Sequence[str], cells: range) -> bytes:
    """The hashes of these cells of a roster, one after another; ``names`` are all that stand in
    them."""
    places = (positions(names) >> np.uint64(POSITION_BITS - depth)).astype(np.int64) - cells.start
    order = np.argsort(places)
    bounds = np.searchsorted(places[order], np.arange(len(cells) + 1)).tolist()
    in_order = [names[number] for number in order.tolist()]
    hashes = bytearray()
    for at, cell in enumerate(cells):
        own = cell_salt(salt, cell)
        here = in_order[bounds[at] : bounds[at + 1]]
        hashes += cell_hash(own, sorted(map(member_hash, here)))
    return bytes(hashes)


def parents(level: bytes) -> bytes:
    """The level above this one, all hashes one after another (RFC 6962: ``0x01 || both``)."""
    above = bytearray()
    for at in range(0, len(level), 64):
        above += hashlib.sha256(b"\x01" + level[at : at + 64]).digest()
    return bytes(above)


def root_of(level: bytes) -> bytes:
    """The root above a level."""
    while len(level) > 32:
        level = parents(level)
    return level


@dataclass(frozen=True)
class Roster:
    """How many stand in a roster, and the root that says who."""

    salt: bytes = field(repr=False)
    size: int
    root: bytes

    @classmethod
    def of(cls, pseudonyms: Iterable[str], salt: bytes) -> Roster:
        names = list(set(pseudonyms))
        depth = depth_for(len(names))
        return cls(salt, len(names), root_of(hash_cells(salt, depth, names, range(1 << depth))))
