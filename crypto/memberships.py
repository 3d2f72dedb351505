"""Who stands in a roster, provably: one opened cell answers for one name, with yes or with no.

Whoever committed to a root cannot give both answers for one name, however dishonestly the tree was
made. The bits of the name are a walk down from the root; hashes that nobody can collide fix every
step of it, and a cell (``0x02``) is no node (``0x01``), so that the walk ends in one cell with one
salt and one list of members, and the name is in it or is not. A sorted tree lacks this: who made it
may have sorted wrongly, or state another salt, and the root would fit both answers.

What a proof shows of others, to whoever holds it: the hashes of the names in the same cell, one or
two on average, and from the length of the path how many are in the roster, to a factor of two.
A hash can be compared with a name by somebody who *knows* that name, 256 bits from the naming
service: that person, their lender and the registry. It is the same in every roster, so that whoever
holds several proofs sees that one of those few was there again, or was not. Everything else in a
proof is the hash of something with a salt in it that was not shown, so that even who knows all
names learns about these one or two and nobody else; and nobody can choose whom they are, because
the bits of a name cannot be chosen. To hide them as well a verifiable random function per person
would be needed (CONIKS), some hundred times the cost of a hash, for each of millions before every
release.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

from crypto.errors import ProofError
from crypto.merkle import HASH_SIZE, node_hash
from crypto.rosters import (
    POSITION_BITS,
    cell_hash,
    cell_salt,
    member_hash,
    parents,
    positions,
)

MAX_DEPTH = 32
MAX_MEMBERS = 64
"""In one cell that is shown. Names from the naming service fill none so far; where names are spread
unevenly the proof would show too many others."""


@dataclass(frozen=True)
class OpenedCell:
    """A cell and its path: the sibling at each level, from the cell up to the root's child."""

    salt: bytes = field(repr=False)
    members: tuple[bytes, ...]
    path: tuple[bytes, ...]


def cell_of(name: str, depth: int) -> int:
    return int(positions([name])[0]) >> (POSITION_BITS - depth)


def path_above(level: bytes, at: int) -> tuple[bytes, ...]:
    """The siblings from hash ``at`` of a level up to its root."""
    path = []
    while len(level) > HASH_SIZE:
        path.append(level[(at ^ 1) * HASH_SIZE :][:HASH_SIZE])
        level, at = parents(level), at >> 1
    return tuple(path)


def opened(salt: bytes, cell: int, names: Sequence[str], path: tuple[bytes, ...]) -> OpenedCell:
    """A cell with these names in it.

    Raises:
        ProofError: there are too many for one cell.
    """
    if len(names) > MAX_MEMBERS:
        raise ProofError(
            f"{len(names)} people stand in one cell of the roster: their names are not those of a "
            "naming service, and a proof would show too much about others"
        )
    return OpenedCell(cell_salt(salt, cell), tuple(sorted(map(member_hash, names))), path)


def root_above(number: int, cell: OpenedCell) -> bytes:
    """The root of the roster whose cell of this number this is.

    Raises:
        ProofError: it is the cell of no roster, or there is no such number.
    """
    hashes = (cell.salt, *cell.members, *cell.path)
    if any(len(one) != HASH_SIZE for one in hashes):
        raise ProofError("the proof holds a salt or a hash that is not 32 bytes long")
    if len(cell.path) > MAX_DEPTH or len(cell.members) > MAX_MEMBERS:
        raise ProofError("the proof is longer than one of a roster can be")
    if list(cell.members) != sorted(set(cell.members)):
        raise ProofError("the members of the cell are not in order, each once")
    if not 0 <= number < 1 << len(cell.path):
        raise ProofError("the roster has no cell of this number")
    found = cell_hash(cell.salt, cell.members)
    for sibling in cell.path:
        found = node_hash(sibling, found) if number & 1 else node_hash(found, sibling)
        number >>= 1
    return found


def stands_in(root: bytes, name: str, cell: OpenedCell) -> bool:
    """Whether ``name`` stands in the roster with this root.

    Raises:
        ProofError: this is not the cell of that roster in which the name would stand.
    """
    number = cell_of(name, min(len(cell.path), MAX_DEPTH))
    if not hmac.compare_digest(root_above(number, cell), root):
        raise ProofError("the cell that answers for this name does not lead to the roster's root")
    return member_hash(name) in cell.members
