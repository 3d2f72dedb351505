"""How a log's tree is cut into tiles: C2SP tlog-tiles (https://c2sp.org/tlog-tiles).

A tile at level ``L`` holds up to 256 consecutive hashes of complete subtrees of height ``8·L``.
Full tiles never change; only the rightmost tile of each level is partial. The bytes of a tile are
its hashes, concatenated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from crypto.errors import ProofError
from crypto.merkle import HASH_SIZE, HashReader, leaves_reader, node_hash

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
MAX_LEVEL = 63
MAX_PATH = 64
MAX_INDEX = 1 << 55
"""More bundles than a log of 2^63 entries has."""
_INDEX = re.compile(r"(?:x[0-9]{3}/)*[0-9]{3}")
_WIDTH = re.compile(r"[1-9][0-9]{0,2}")

TileLoader = Callable[[int, int], bytes]
"""``load(level, index)``: the bytes of that tile so far, empty if there are none."""


@dataclass(frozen=True, order=True)
class TileId:
    level: int
    index: int


def index_path(index: int) -> str:
    """``1234067`` becomes ``x001/x234/067``."""
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03d}")
    return "/".join(reversed(groups))


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


def tile_hashes(tile: bytes) -> list[bytes]:
    return [tile[i : i + HASH_SIZE] for i in range(0, len(tile), HASH_SIZE)]


def _fold(hashes: Sequence[bytes]) -> bytes:
    """Root of a complete subtree whose bottom row is ``hashes`` (a power of two of them)."""
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(row[i], row[i + 1]) for i in range(0, len(row), 2)]
    return row[0]


def tile_reader(load: TileLoader) -> HashReader:
    """Read the hash of any complete subtree out of tiles; each tile is hashed through at most
    once."""
    inside: dict[TileId, HashReader] = {}

    def read(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, TILE_HEIGHT)
        first = index << height
        tile_index, offset = divmod(first, TILE_WIDTH)
        start = offset * HASH_SIZE
        stop = (offset + (1 << height)) * HASH_SIZE
        tile = load(tile_level, tile_index)
        if len(tile) < stop:
            raise ProofError(f"tile {tile_level}/{index_path(tile_index)} holds too few hashes")
        if height == 0:
            return tile[start:stop]
        name = TileId(tile_level, tile_index)
        if name not in inside:
            inside[name] = leaves_reader(tile_hashes(tile))
        return inside[name](height, offset >> height)

    return read


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


def parse_entry_bundle(bundle: bytes) -> list[bytes]:
    """Inverse of :func:`entry_bundle`.

    Raises:
        ProofError: truncated.
    """
    entries = []
    position = 0
    while position < len(bundle):
        start = position + 2
        stop = start + int.from_bytes(bundle[position:start], "big")
        if start > len(bundle) or stop > len(bundle):
            raise ProofError("an entry bundle is truncated")
        entries.append(bundle[start:stop])
        position = stop
    return entries
