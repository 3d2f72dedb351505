"""The cells of a ledger's rosters, opened at once however large a roster is.

A roster of ten million takes half a minute to hash, and an answer has to be there at once. So the
hashes halfway up each roster's tree (4,096 *blocks*, 128 KiB) are computed once, from the ledger,
and kept in ``rosters/`` of the node's home under the roster's root; they are checked against that
root whenever they are read. A proof then hashes one block, whose people are next to each other in
the ledger's own order, since the first letters of a name say in which block it stands.

Nothing here is part of what a node runs in a campaign, nor of the code that a lender signs.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from clients.errors import NodeError
from crypto.keys import replace_file
from crypto.memberships import OpenedCell, cell_of, opened, path_above
from crypto.merkle import HASH_SIZE
from crypto.rosters import depth_for, hash_cells, root_of

BLOCK_BITS = 12
"""Two letters of a name."""
MAX_BLOCKS_HELD = 8
"""Of whom a prover remembers who stands in them: one person's are few, a sample's are many."""
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_AFTER = "\x7f"
"""Sorts behind every letter."""
_VERSION = re.compile(r"v[0-9]{1,3}|erased")
_RELEASES = (
    "SELECT id AS number, campaign, release, attempt, root, salt, reserved_at, settled_at "
    "FROM releases"
)

Watch = Callable[[int, int], None]
"""Told how much of how much is done."""


def nobody_watches(_done: int, _of: int) -> None:
    """The default."""


@dataclass(frozen=True)
class Committed:
    """A release attempt in the ledger, and the root and salt of its roster."""

    number: int
    campaign: str
    release: int
    attempt: int
    root: str
    salt: bytes = field(repr=False)
    reserved_at: str
    settled_at: str | None


@dataclass(frozen=True)
class _Blocks:
    """A roster's depth, and the level of its tree at which the blocks are."""

    depth: int
    level: bytes

    @property
    def content(self) -> bytes:
        """As it is kept in a file."""
        return bytes([self.depth]) + self.level

    @property
    def below(self) -> int:
        """Levels of the tree below the blocks."""
        return max(0, self.depth - BLOCK_BITS)

    def cells(self, block: int) -> range:
        return range(block << self.below, (block + 1) << self.below)


class Prover:
    """Opens the cells of a ledger's rosters. It reads the ledger and never writes to it.

    Args:
        ledger: the node's ``ledger.db``.
        folder: where blocks are kept; made if it is not there.
        watch: told how many of how many blocks of the ledger were hashed.

    Raises:
        NodeError: from every method, where the ledger cannot be read.
    """

    def __init__(self, ledger: Path, folder: Path, watch: Watch = nobody_watches) -> None:
        self._folder, self._watch = folder, watch
        folder.mkdir(mode=0o700, exist_ok=True)
        self._connection = sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro", uri=True)
        self._connection.row_factory = sqlite3.Row
        self._read: dict[range, dict[int, list[str]]] = {}
        self._verified: dict[str, _Blocks] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._connection.close()

    def _rows(self, query: str, values: Sequence[object] = ()) -> Iterator[sqlite3.Row]:
        try:
            yield from self._connection.execute(query, values)
        except sqlite3.DatabaseError as error:
            raise NodeError(f"the node's ledger cannot be read ({error})") from error

    # --- what is asked about

    def releases(self, campaign: str = "", since: str = "") -> list[Committed]:
        """Release attempts in the order of their reservation: of campaigns whose hashes begin so,
        reserved at this moment (RFC 3339, UTC) or later."""
        rows = self._rows(f"{_RELEASES} WHERE reserved_at >= ? ORDER BY id", (since,))
        return [Committed(**row) for row in rows if row["campaign"].startswith(campaign)]

    def names(self, name: str) -> list[str]:
        """Every name that the person of this name ever had here, oldest first."""
        later = {row["old"]: row["new"] for row in self._rows("SELECT old, new FROM renamings")}
        earlier = {new: old for old, new in later.items()}
        while name in earlier:
            name = earlier[name]
        found = [name]
        while found[-1] in later:
            found.append(later[found[-1]])
        return found

    def open(self, release: Committed, name: str) -> OpenedCell:
        """The cell that answers for ``name`` in the roster of this release; raises as
        :meth:`cell`."""
        return self.cell(release, cell_of(name, self._blocks(release).depth))[0]

    def cell(self, release: Committed, number: int) -> tuple[OpenedCell, list[str]]:
        """A cell of the roster of this release, and who stands in it, ascending.

        Raises:
            NodeError: the ledger does not give the roster that was committed to, or it has no such
                cell.
            ProofError: too many people stand in that cell.
        """
        blocks = self._blocks(release)
        if not 0 <= number < 1 << blocks.depth:
            raise NodeError(f"the roster of release {release.release} has no cell {number}")
        block = number >> blocks.below
        cells = blocks.cells(block)
        names = self._people(blocks, block).get(release.number, [])
        level = hash_cells(release.salt, blocks.depth, names, cells)
        if root_of(level) != blocks.level[block * HASH_SIZE :][:HASH_SIZE]:
            raise _other_roster(release)
        path = path_above(level, number - cells.start) + path_above(blocks.level, block)
        here = sorted(one for one in names if cell_of(one, blocks.depth) == number)
        return opened(release.salt, number, here, path), here

    # --- blocks

    def prepare(self, releases: Sequence[Committed]) -> None:
        """Compute the blocks of all these rosters that are not kept yet, in one pass over the
        ledger."""
        missing = {one.number: one for one in releases if not self._file(one).exists()}
        if not missing:
            return
        counts = self._rows("SELECT release_id, count(*) FROM members GROUP BY release_id")
        sizes = dict(tuple(row) for row in counts)
        made = {number: _Blocks(depth_for(sizes.get(number, 0)), b"") for number in missing}
        levels = {number: bytearray() for number in missing}
        few: dict[int, list[str]] = {number: [] for number in missing}
        for prefix in range(1 << BLOCK_BITS):
            people = self._with_prefixes(range(prefix, prefix + 1))
            for number, blocks in made.items():
                names = people.get(number, [])
                if blocks.depth < BLOCK_BITS:
                    few[number] += names
                    continue
                cells = hash_cells(missing[number].salt, blocks.depth, names, blocks.cells(prefix))
                levels[number] += root_of(cells)
            self._watch(prefix + 1, 1 << BLOCK_BITS)
        for number, blocks in made.items():
            release = missing[number]
            level = bytes(levels[number]) or hash_cells(
                release.salt, blocks.depth, few[number], range(1 << blocks.depth)
            )
            # an empty file says that this roster was looked at, and is another than was committed
            made_of = _Blocks(blocks.depth, level).content
            true = root_of(level).hex() == release.root
            replace_file(self._file(release), made_of if true else b"")

    def _blocks(self, release: Committed) -> _Blocks:
        if release.root in self._verified:
            return self._verified[release.root]
        path = self._file(release)
        if not path.exists():
            self.prepare([release])
        content = path.read_bytes()
        blocks = _Blocks(content[0] if content else 0, content[1:])
        if root_of(blocks.level).hex() != release.root:
            raise _other_roster(release)
        self._verified[release.root] = blocks
        return blocks

    def _file(self, release: Committed) -> Path:
        return self._folder / f"{release.root}.blocks"

    # --- people

    def _people(self, blocks: _Blocks, block: int) -> dict[int, list[str]]:
        """Who stands in a block, by release."""
        above = max(0, BLOCK_BITS - blocks.depth)
        prefixes = range(block << above, (block + 1) << above)
        if prefixes not in self._read:
            if len(self._read) >= MAX_BLOCKS_HELD:
                self._read.clear()
            self._read[prefixes] = self._with_prefixes(prefixes)
        return self._read[prefixes]

    def _with_prefixes(self, prefixes: range) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        query = "SELECT pseudonym, release_id FROM members WHERE pseudonym >= ? AND pseudonym < ?"
        for version in self._versions:
            for letters in _first_letters(prefixes):
                start = f"{version}.{letters}"
                for name, release in self._rows(query, (start, start + _AFTER)):
                    found.setdefault(release, []).append(name)
        return found

    @cached_property
    def _versions(self) -> list[str]:
        """What stands before the dot in the names in the ledger: ``erased`` in tombstones
        (:func:`crypto.rosters.tombstone`)."""
        found, after = [], ""
        query = "SELECT min(pseudonym) FROM members WHERE pseudonym > ?"
        while (first := next(self._rows(query, (after,)))[0]) is not None:
            version = str(first).partition(".")[0]
            found += [version] if _VERSION.fullmatch(version) else []
            after = f"{version}.{_AFTER}"
        return found


def _first_letters(prefixes: range) -> list[str]:
    """What names begin with whose first 12 bits are these: an aligned power of two of them."""
    if len(prefixes) == 1 << BLOCK_BITS:
        return [""]
    if len(prefixes) >= len(_LETTERS):
        return list(_LETTERS[prefixes.start >> 6 : prefixes.stop >> 6])
    return [_LETTERS[prefix >> 6] + _LETTERS[prefix & 63] for prefix in prefixes]


def _other_roster(release: Committed) -> NodeError:
    return NodeError(
        f"the ledger does not give the roster that was committed to for release {release.release} "
        f"of campaign {release.campaign[:12]}…: it was committed to before version 0.7.0, whose "
        "rosters prove nothing to others, or the ledger was altered"
    )
