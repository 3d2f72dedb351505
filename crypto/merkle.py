"""Merkle trees of RFC 6962 section 2.1 (and RFC 9162 section 2.1): roots, proofs, verification.

``MTH`` names are the RFC's. A tree is never held in memory: every function that builds something
asks a :data:`HashReader` for the hashes of *complete* subtrees:
``read(level, index) = MTH(D[index·2^level : (index+1)·2^level])``.

Undefined questions are refused, not answered: the inclusion of an index beyond the size, the
consistency of an empty tree with anything, a proof with too many or too few hashes.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence

from crypto.errors import ProofError

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
HashReader = Callable[[int, int], bytes]


def leaf_hash(entry: bytes) -> bytes:
    """``SHA-256(0x00 || entry)``."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """``SHA-256(0x01 || left || right)``."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def leaves_reader(leaves: Sequence[bytes]) -> HashReader:
    """A reader over leaf hashes held in memory; for small trees such as rosters and tests."""
    levels: list[list[bytes]] = [list(leaves)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([node_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)])
    return lambda level, index: levels[level][index]


def _split(size: int) -> int:
    """The largest power of two smaller than ``size``."""
    return 1 << ((size - 1).bit_length() - 1)


def _range_hash(low: int, high: int, read: HashReader) -> bytes:
    """``MTH(D[low:high])`` for a range that occurs in the RFC's recursion."""
    size = high - low
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return read(level, low >> level)
    middle = low + _split(size)
    return node_hash(_range_hash(low, middle, read), _range_hash(middle, high, read))


def tree_root(size: int, read: HashReader) -> bytes:
    """``MTH(D[0:size])``; the hash of an empty string for an empty tree."""
    if size < 0:
        raise ProofError(f"a tree cannot have {size} entries")
    return _range_hash(0, size, read) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, read: HashReader) -> list[bytes]:
    """``PATH(index, D[0:size])``, from the leaf's sibling up to the root's child.

    Raises:
        ProofError: ``index`` is not in a tree of that size.
    """
    if not 0 <= index < size:
        raise ProofError(f"entry {index} is not in a tree of {size} entries")
    path: list[bytes] = []
    low = 0
    high = size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(_range_hash(middle, high, read))
            high = middle
        else:
            path.append(_range_hash(low, middle, read))
            low = middle
    return path[::-1]


def consistency_proof(old: int, new: int, read: HashReader) -> list[bytes]:
    """``PROOF(old, D[0:new])``; empty when the sizes are equal.

    Raises:
        ProofError: ``old`` is zero (everything is consistent with nothing, so it would prove
            nothing) or larger than ``new``.
    """
    if not 0 < old <= new:
        raise ProofError(f"consistency from {old} to {new} entries is not defined")
    proof: list[bytes] = []
    low = 0
    high = new
    whole = True
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            proof.append(_range_hash(middle, high, read))
            high = middle
        else:
            proof.append(_range_hash(low, middle, read))
            low = middle
            whole = False
    if not whole:
        proof.append(_range_hash(low, high, read))
    return proof[::-1]


def _check_hashes(proof: Sequence[bytes], *roots: bytes) -> None:
    if any(len(value) != HASH_SIZE for value in (*proof, *roots)):
        raise ProofError("a proof holds a hash that is not 32 bytes long")


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """RFC 9162 section 2.1.3.2: ``leaf`` (a leaf hash) is entry ``index`` of the tree with this
    root.

    Raises:
        ProofError: it is not, or the proof is not of the right shape.
    """
    if not 0 <= index < size:
        raise ProofError(f"entry {index} is not in a tree of {size} entries")
    _check_hashes(proof, leaf, root)
    position = index
    last = size - 1
    found = leaf
    for sibling in proof:
        if last == 0:
            raise ProofError("the inclusion proof is longer than the tree is high")
        if position & 1 or position == last:
            found = node_hash(sibling, found)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise ProofError("the inclusion proof is shorter than the tree is high")
    if not hmac.compare_digest(found, root):
        raise ProofError(f"entry {index} is not under the stated root")


def verify_consistency(
    old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    """RFC 9162 section 2.1.4.2: the tree of ``new`` entries extends the tree of ``old`` entries.

    Raises:
        ProofError: it does not, the question is undefined, or the proof is not of the right shape.
    """
    if not 0 < old <= new:
        raise ProofError(f"consistency from {old} to {new} entries is not defined")
    _check_hashes(proof, old_root, new_root)
    if old == new:
        if proof or not hmac.compare_digest(old_root, new_root):
            raise ProofError(f"two different trees of {new} entries: history was rewritten")
        return
    if not proof:
        raise ProofError("the consistency proof is empty")
    hashes = list(proof)
    if old & (old - 1) == 0:
        hashes.insert(0, old_root)
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    first = second = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise ProofError("the consistency proof is longer than the tree is high")
        if position & 1 or position == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise ProofError("the consistency proof is shorter than the tree is high")
    if not (hmac.compare_digest(first, old_root) and hmac.compare_digest(second, new_root)):
        raise ProofError(
            f"the log of {new} entries does not extend the log of {old} entries: history was "
            "rewritten"
        )
