"""C2SP tlog-tiles: paths, the specification's own example, and incremental growth."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.errors import ProofError
from crypto.log_tiles import Frontier, TileId, entry_bundle, extend_tiles, parse_tile_path
from crypto.merkle import leaf_hash, leaves_reader, tree_root
from crypto.tiles import TILE_WIDTH, index_path, parse_entry_bundle, tile_hashes, tile_reader

BIG = 70_000  # the example of https://c2sp.org/tlog-tiles


class Store:
    """Tiles as a log keeps them: a later, wider tile replaces an earlier one."""

    def __init__(self):
        self.tiles, self.size = {}, 0

    def load(self, level, index):
        return self.tiles.get(TileId(level, index), b"")

    def append(self, leaves):
        self.tiles |= extend_tiles(self.size, leaves, self.load)
        self.size += len(leaves)
        return self

    def widths(self, level):
        return [len(self.tiles[tile]) // 32 for tile in sorted(self.tiles) if tile.level == level]

    def root(self, size=None):
        return tree_root(self.size if size is None else size, tile_reader(self.load))


def naive_root(hashes):
    """RFC 6962 MTH over leaf hashes."""
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while 2 * k < len(hashes):
        k *= 2
    return sha256(b"\x01" + naive_root(hashes[:k]) + naive_root(hashes[k:])).digest()


@pytest.fixture(scope="module")
def leaves():
    return [leaf_hash(i.to_bytes(4, "big")) for i in range(BIG)]


@pytest.fixture(scope="module")
def big(leaves):
    return Store().append(leaves)


@pytest.mark.parametrize(
    ("index", "path"),
    [
        (0, "000"),
        (7, "007"),
        (999, "999"),
        (1000, "x001/000"),
        (1234067, "x001/x234/067"),
        (10**12 - 1, "x999/x999/x999/999"),
    ],
)
def test_tile_indexes_are_written_in_groups_of_three_digits(index, path):
    assert index_path(index) == path
    assert parse_tile_path(path) == (index, TILE_WIDTH)
    assert parse_tile_path(f"{path}.p/17") == (index, 17)


@settings(deadline=None)
@given(st.integers(0, 2**55 - 1), st.integers(1, 255))
def test_every_index_and_width_survives_its_path(index, width):
    assert parse_tile_path(index_path(index)) == (index, TILE_WIDTH)
    assert parse_tile_path(f"{index_path(index)}.p/{width}") == (index, width)


NO_PATHS = """
    7 07 0007 -01 ٠٠٧ ../000 x001/../000 .. /000 000/ x001//000 001/234 x001/x234 x001 X001/234 001x/234 x001/x234/x067
    000.p 000.p/ 000.p/0 000.p/256 000.p/017 000.p/-1 000.p/1000 000.p/17/ 000.p/17.p/17 000.P/17 000.p/../../secret
    x001.p/17/234
"""
LEADING_ZEROS = ("x000/007", "x000/x001/234")


@pytest.mark.parametrize("path", ["", "000\n", *LEADING_ZEROS, *NO_PATHS.split()])
def test_a_path_that_no_tile_has_is_refused(path):
    with pytest.raises(ProofError, match="not a tile path"):
        parse_tile_path(path)


def test_seventy_thousand_entries_make_the_tiles_of_the_specification(big):
    assert big.widths(0) == [256] * 273 + [112]
    assert big.widths(1) == [256, 17]
    assert big.widths(2) == [1]
    assert big.widths(3) == []


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 65_535, 65_536, 65_537, BIG])
def test_the_root_read_from_tiles_is_the_naive_root(big, leaves, size):
    assert big.root(size) == naive_root(leaves[:size])


def test_a_tile_holds_the_hashes_of_complete_subtrees(big, leaves):
    assert tile_hashes(big.load(0, 273)) == leaves[273 * 256 :]
    assert tile_hashes(big.load(1, 1))[0] == naive_root(leaves[65_536 : 65_536 + 256])
    assert big.load(2, 0) == naive_root(leaves[:65_536])


def test_growth_in_large_steps_across_three_levels_ends_in_the_same_tiles(big, leaves):
    grown = Store()
    for start in range(0, BIG, 9_973):
        grown.append(leaves[start : start + 9_973])
    assert grown.tiles == big.tiles


@settings(deadline=None, max_examples=40)
@given(st.lists(st.one_of(st.integers(0, 5), st.integers(200, 600)), max_size=9))
def test_growth_in_any_chunks_ends_in_the_tiles_of_one_shot(chunks):
    leaves = [leaf_hash(i.to_bytes(4, "big")) for i in range(sum(chunks))]
    grown = Store()
    for chunk in chunks:
        grown.append(leaves[grown.size : grown.size + chunk])
    assert grown.tiles == Store().append(leaves).tiles
    assert grown.root() == tree_root(len(leaves), leaves_reader(leaves))


def test_only_tiles_that_change_are_written(big, leaves):
    assert set(extend_tiles(BIG, leaves[:1], big.load)) == {TileId(0, 273)}
    assert set(extend_tiles(BIG, leaves[:144], big.load)) == {TileId(0, 273), TileId(1, 1)}
    assert extend_tiles(BIG, [], big.load) == {}


def test_full_tiles_never_change(big, leaves):
    before = dict(big.tiles)
    for tile, data in extend_tiles(BIG, leaves[:1000], big.load).items():
        old = before.get(tile, b"")
        assert len(old) < 256 * 32
        assert data.startswith(old)


def test_a_root_beyond_what_the_tiles_hold_is_refused(big):
    with pytest.raises(ProofError, match="too few hashes"):
        big.root(BIG + 1)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=20))
def test_entries_survive_their_bundle(entries):
    assert parse_entry_bundle(entry_bundle(entries)) == entries


def test_a_bundle_is_written_as_the_specification_says():
    assert entry_bundle([b"", b"ab"]) == bytes.fromhex("000000026162")


@pytest.mark.parametrize("tail", ["00", "0001", "000361ff"])
def test_a_truncated_bundle_is_refused(tail):
    with pytest.raises(ProofError, match="truncated"):
        parse_entry_bundle(entry_bundle([b"whole"]) + bytes.fromhex(tail))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 700), min_size=1, max_size=6))
def test_the_edge_of_a_tree_that_grows_in_any_chunks_has_the_naive_root(chunks):
    leaves = [leaf_hash(str(number).encode()) for number in range(sum(chunks))]
    tree, at = Frontier(), 0
    for count in chunks:
        tree.extend(leaves[at : at + count])
        at += count
        assert (tree.size, tree.root) == (at, tree_root(at, leaves_reader(leaves[:at])))
