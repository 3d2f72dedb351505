"""Pictures of the log: the proof of one entry, from it up to the root, at each step the hash beside
it; and the whole tree as it has grown, out of full trees that never change again.

Lengths are in units of the view box. Computed with the hashes that are shown; whether they lead to
the signed root, the browser says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crypto.merkle import HashReader, node_hash

WIDTH, ROW, BOX, HIGH, MIDDLE = 400, 56, 132, 32, 200
"""Of the picture, of one step, of a box."""
AWAY = 128
"""How far to the side the hash beside stands."""


@dataclass(frozen=True)
class ProofStep:
    """One step up. ``beside`` is the hash that is handed in, ``found`` the one that comes out."""

    level: int
    side: str
    """On which side of the way up the hash beside stands: ``left`` or ``right``."""
    first: int
    last: int
    """Which entries the hash beside stands for."""
    beside: bytes
    found: bytes


@dataclass(frozen=True)
class ProofBox:
    """A box with a hash in it."""

    kind: str
    x: float
    y: float
    text: str


@dataclass(frozen=True)
class ProofTree:
    """What a template draws."""

    height: int
    boxes: tuple[ProofBox, ...]
    paths: tuple[str, ...]
    steps: tuple[ProofStep, ...]
    width: int = WIDTH


def proof_steps(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> list[ProofStep]:
    """The steps from a leaf hash to the root, as RFC 9162 section 2.1.3.2 takes them."""
    steps, found, low, high = [], leaf, index, index + 1
    for level, (beside, (first, last)) in enumerate(
        zip(path, _beside(index, size), strict=True), 1
    ):
        side = "left" if first < low else "right"
        found = node_hash(beside, found) if side == "left" else node_hash(found, beside)
        low, high = min(low, first), max(high, last)
        steps.append(ProofStep(level, side, first, last - 1, beside, found))
    return steps


def _beside(index: int, size: int) -> list[tuple[int, int]]:
    """Which entries each hash of a proof stands for, from the leaf's sibling on: (first, end)."""
    low, high, found = 0, size, []
    while high - low > 1:
        middle = low + (1 << ((high - low - 1).bit_length() - 1))
        if index < middle:
            found.append((middle, high))
            high = middle
        else:
            found.append((low, middle))
            low = middle
    return found[::-1]


def proof_tree(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> ProofTree:
    """The picture of a proof, the root on top."""
    steps = proof_steps(leaf, index, size, path)
    height = (len(steps) + 1) * ROW
    centre = height - ROW / 2
    boxes = [ProofBox("own", MIDDLE, centre, leaf.hex()[:12])]
    lines = []
    for step in steps:
        aside = MIDDLE + (-AWAY if step.side == "left" else AWAY)
        above = centre - ROW
        boxes.append(ProofBox("beside", aside, centre, step.beside.hex()[:12]))
        boxes.append(ProofBox("own", MIDDLE, above, step.found.hex()[:12]))
        lines.append(f"M{MIDDLE} {centre - HIGH / 2}V{above + HIGH / 2}")
        lines.append(f"M{aside} {centre - HIGH / 2}V{centre - ROW / 2}H{MIDDLE}")
        centre = above
    boxes[-1 if steps else 0] = ProofBox("root", MIDDLE, centre, boxes[-1].text)
    return ProofTree(height, tuple(boxes), tuple(lines), tuple(steps))


# --- the whole tree

LEAST, STEP, GAP = 8, 4, 6
"""Half the width, and the height, of a tree of one entry; what each level adds; between two."""
TOLD_FROM = 24
"""Half the width of a triangle that its number fits below."""


@dataclass(frozen=True)
class FullTree:
    """A part of the log that is complete: ``2 ** level`` entries, whose hash stays for good."""

    level: int
    first: int
    hash: bytes
    known: str
    """Whether the head that was kept before holds it: ``all``, ``some``, ``none``."""

    @property
    def entries(self) -> int:
        return 1 << self.level

    @property
    def last(self) -> int:
        return self.first + self.entries - 1


@dataclass(frozen=True)
class TreeShape:
    """One full tree as a triangle, and where its number stands."""

    path: str
    known: str
    x: float
    entries: int | None
    """None where it is too narrow for a number."""


@dataclass(frozen=True)
class GrownTree:
    """What a template draws: the root above, the full trees side by side."""

    width: float
    height: float
    shapes: tuple[TreeShape, ...]
    lines: tuple[str, ...]
    trees: tuple[FullTree, ...]


def full_trees(size: int, since: int, read: HashReader) -> list[FullTree]:
    """The full trees that a log of ``size`` entries is made of, the largest first (RFC 9162 section
    2.1.1); ``since`` how many entries were known before."""
    found, first = [], 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            end = first + (1 << level)
            known = "all" if end <= since else "none" if first >= since else "some"
            found.append(FullTree(level, first, read(level, first >> level), known))
            first = end
    return found


def grown_tree(trees: Sequence[FullTree]) -> GrownTree | None:
    """The picture; None of an empty log. Hashes go together from the right, so each line goes up to
    the one before."""
    if not trees:
        return None
    sizes = [LEAST + STEP * one.level for one in trees]
    ground = float(HIGH + sizes[0])
    at, shapes, tops = float(GAP), [], []
    for tree, half in zip(trees, sizes, strict=True):
        middle = at + half
        path = f"M{middle} {ground - half}L{at + 2 * half} {ground}H{at}Z"
        told = tree.entries if half >= TOLD_FROM else None
        shapes.append(TreeShape(path, tree.known, middle, told))
        tops.append((middle, ground - half))
        at += 2 * half + GAP
    join = HIGH / 2
    lines = [f"M{x} {top}V{join}" for x, top in tops]
    lines.append(f"M{tops[0][0]} {join}H{tops[-1][0]}")
    width = max(at, float(WIDTH))
    return GrownTree(width, ground + HIGH, tuple(shapes), tuple(lines), tuple(trees))
