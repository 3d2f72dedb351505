"""How a log's tree is cut into tiles: C2SP tlog-tiles (https://c2sp.org/tlog-tiles).

A tile at level ``L`` holds up to 256 consecutive hashes of complete subtrees of height ``8·L``.
Full tiles never change; only the rightmost tile of each level is partial. The bytes of a tile are
its hashes, concatenated.
"""

from __future__ import annotations

from collections.abc import Callable

from crypto.errors import ProofError
from crypto.merkle import HASH_SIZE, HashReader, leaves_reader

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT

TileLoader = Callable[[int, int], bytes]
"""``load(level, index)``: the bytes of that tile so far, empty if there are none."""


def index_path(index: int) -> str:
    """``1234067`` becomes ``x001/x234/067``."""
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03d}")
    return "/".join(reversed(groups))


def tile_hashes(tile: bytes) -> list[bytes]:
    return [tile[i : i + HASH_SIZE] for i in range(0, len(tile), HASH_SIZE)]


def tile_reader(load: TileLoader) -> HashReader:
    """Read the hash of any complete subtree out of tiles; each tile is hashed through at most
    once."""
    inside: dict[tuple[int, int], HashReader] = {}

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
        name = (tile_level, tile_index)
        if name not in inside:
            inside[name] = leaves_reader(tile_hashes(tile))
        return inside[name](height, offset >> height)

    return read


def parse_entry_bundle(bundle: bytes) -> list[bytes]:
    """The entries of a bundle, each with its big-endian uint16 length in front.

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
