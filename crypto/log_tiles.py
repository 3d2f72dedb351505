"""The log's own side of its tree: how it grows, how its tiles are made, and how they are named in
requests (C2SP tlog-tiles; see :mod:`crypto.tiles`).

Whoever only reads a log needs none of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from crypto.errors import ProofError
from crypto.merkle import EMPTY_ROOT, HASH_SIZE, node_hash
from crypto.tiles import TILE_WIDTH, TileLoader, index_path, tile_hashes

MAX_LEVEL = 63
MAX_PATH = 64
MAX_INDEX = 1 << 55
"""More bundles than a log of 2^63 entries has."""
_INDEX = re.compile(r"(?:x[0-9]{3}/)*[0-9]{3}")
_WIDTH = re.compile(r"[1-9][0-9]{0,2}")


@dataclass(frozen=True, order=True)
class TileId:
    level: int
    index: int


class Frontier:
    """The right edge of a growing tree: the roots of its maximal complete subtrees, at most 64
    hashes."""

    def __init__(self) -> None:
        self.size = 0
        self._edge: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash."""
        self._add(leaf, 1)

    def _add(self, root: bytes, width: int) -> None:
        """A complete subtree of ``width`` leaves, a power of two that divides the size so far."""
        found = root
        while self.size & width:
            found = node_hash(self._edge.pop(), found)
            self.size -= width
            width *= 2
        self._edge.append(found)
        self.size += width

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add many, whole tiles of them at once."""
        at = 0
        while at < len(leaves):
            tile = leaves[at : at + TILE_WIDTH]
            if self.size % TILE_WIDTH or len(tile) < TILE_WIDTH:
                self.append(leaves[at])
                at += 1
            else:
                self._add(_fold(tile), TILE_WIDTH)
                at += TILE_WIDTH

    @property
    def root(self) -> bytes:
        if not self._edge:
            return EMPTY_ROOT
        found = self._edge[-1]
        for left in reversed(self._edge[:-1]):
            found = node_hash(left, found)
        return found


def parse_tile_path(path: str) -> tuple[int, int]:
    """``x001/x234/067.p/17`` becomes ``(1234067, 17)``; the width of a full tile is 256.

    Raises:
        ProofError: not a path that :func:`index_path` could have made.
    """
    number, partial, width = path[:MAX_PATH].partition(".p/")
    if (
        len(path) > MAX_PATH
        or not _INDEX.fullmatch(number)
        or (partial and not (_WIDTH.fullmatch(width) and int(width) < TILE_WIDTH))
    ):
        raise ProofError(f"not a tile path: {path[:80]!r}")
    index = int(number.replace("x", "").replace("/", ""))
    if index >= MAX_INDEX or index_path(index) != number:
        raise ProofError(f"not a tile path: {path[:80]!r}")
    return index, int(width) if partial else TILE_WIDTH


def _fold(hashes: Sequence[bytes]) -> bytes:
    """Root of a complete subtree whose bottom row is ``hashes`` (a power of two of them)."""
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(row[i], row[i + 1]) for i in range(0, len(row), 2)]
    return row[0]


def extend_tiles(size: int, leaves: Sequence[bytes], load: TileLoader) -> dict[TileId, bytes]:
    """The tiles that change when ``leaves`` (leaf hashes) are appended to a tree of ``size``
    entries."""
    changed: dict[TileId, bytes] = {}
    level = 0
    position = size
    row = list(leaves)
    while row:
        above: list[bytes] = []
        first_above = position // TILE_WIDTH
        while row:
            index, offset = divmod(position, TILE_WIDTH)
            taken = row[: TILE_WIDTH - offset]
            before = load(level, index)[: offset * HASH_SIZE] if offset else b""
            if len(before) != offset * HASH_SIZE:
                raise ProofError(
                    f"tile {level}/{index_path(index)} lost hashes that the log has signed"
                )
            tile = before + b"".join(taken)
            changed[TileId(level, index)] = tile
            if len(tile) == TILE_WIDTH * HASH_SIZE:
                above.append(_fold(tile_hashes(tile)))
            row = row[len(taken) :]
            position = position + len(taken)
        level = level + 1
        position = first_above
        row = above
    return changed


def entry_bundle(entries: Sequence[bytes]) -> bytes:
    """Entries of one bundle, each with its big-endian uint16 length in front."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)
