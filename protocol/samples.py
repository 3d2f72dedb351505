"""Samples: an auditor draws cells of committed rosters, lenders open exactly those.

Everybody stands in one cell (:mod:`crypto.rosters`), and whoever stands in a drawn one is opened:
each person is as likely as every other. One to two people stand in a cell on average, so that so
many cells are about as many people, or up to twice as many; some cells are empty.

Nobody chooses who is drawn. The auditor's request stands in the log with the hash of a number that
only the auditor knows; the seed is that number and the root of the log just after the request. The
auditor fixed its number before the root was there, and whoever makes the root does not know the
number. Each lender draws anew what it is asked to open, and opens nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from crypto.memberships import MAX_DEPTH, MAX_MEMBERS
from crypto.rosters import depth_for
from crypto.sentences import shaped
from protocol.schema import Document, Instant, Pseudonym, Sha256, Slug

MAX_PEOPLE = 10_000
Tombstone = Annotated[
    str,
    shaped(
        r"^erased\.[A-Za-z0-9_-]{49}$",
        "what is left of an erased pseudonym: erased, a dot, 49 characters",
    ),
]
CellNumber = Annotated[int, Field(ge=0, lt=1 << MAX_DEPTH)]
Key = TypeVar("Key")


class SampleRequest(Document):
    """An auditor announces a sample: logged before anybody can know whom it draws."""

    typ = "tahini-sample-request"

    campaign_sha256: Sha256
    auditor: Slug
    people: int = Field(ge=1, le=MAX_PEOPLE)
    """How many cells are drawn, and so at least about how many people."""
    nonce_sha256: Sha256
    requested_at: Instant


class DrawnRoster(BaseModel):
    """Cells of one committed roster, ascending."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    release: int = Field(ge=0)
    attempt: int = Field(ge=1)
    size: int = Field(ge=1)
    cells: tuple[CellNumber, ...] = Field(min_length=1, max_length=MAX_PEOPLE)


class Draw(Document):
    """Whom one lender is to open. Signed by the auditor; the lender draws it anew."""

    typ = "tahini-sample-draw"

    campaign_sha256: Sha256
    lender: Slug
    entry_index: int = Field(ge=0)
    """Where the log holds the request."""
    root: Sha256
    """Of the log of ``entry_index + 1`` entries."""
    nonce: Sha256
    """32 bytes, hex: what the request committed to."""
    rosters: tuple[DrawnRoster, ...]


class OpenedCellOfRoster(BaseModel):
    """Who stands in one cell of a roster, its salt, and the path to the root (hex)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: CellNumber
    salt: Sha256
    names: tuple[Pseudonym | Tombstone, ...] = Field(max_length=MAX_MEMBERS)
    """Ascending. Of whom the lender erased since there is a tombstone
    (:func:`crypto.rosters.tombstone`)."""
    path: tuple[Sha256, ...] = Field(max_length=MAX_DEPTH)


class OpenedRoster(BaseModel):
    """The drawn cells of one committed roster."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    release: int = Field(ge=0)
    attempt: int = Field(ge=1)
    cells: tuple[OpenedCellOfRoster, ...] = Field(max_length=MAX_PEOPLE)


class OpenedSample(Document):
    """A lender opens whom a draw names. Signed by the lender, sealed to the auditor."""

    typ = "tahini-opened-sample"

    campaign_sha256: Sha256
    lender: Slug
    draw_sha256: Sha256
    entry_index: int = Field(ge=0)
    rosters: tuple[OpenedRoster, ...]
    opened_at: Instant

    @property
    def names(self) -> list[str]:
        """Whom it names, each once; tombstones, too."""
        cells = (cell for roster in self.rosters for cell in roster.cells)
        return sorted({name for cell in cells for name in cell.names})

    def plausible(self, people: int) -> bool:
        """Whether it can be of so many drawn cells: twice as many people are expected at most.

        Where names are spread evenly, an honest sample is refused less than once in 10**20
        (Chernoff bound of a Poisson number).
        """
        cells = sum(len(roster.cells) for roster in self.rosters)
        return cells <= people and len(self.names) <= 4 * people + MAX_MEMBERS


def is_tombstone(name: str) -> bool:
    return name.startswith("erased.")


OPENED_CONTEXT = b"tahini/opened-sample/v1"
EVIDENCE_CONTEXT = b"tahini/sample-evidence/v1"


def seed_of(root: str, nonce: str, campaign: str) -> bytes:
    """What a sample is drawn from."""
    return hashlib.sha256(f"tahini/sample/v1 {root} {nonce} {campaign}".encode()).digest()


def _numbers(seed: bytes, about: str, below: int) -> Iterator[int]:
    """Numbers below ``below``, each as likely as every other, without end."""
    count = 0
    limit = (1 << 64) // below * below
    while True:
        block = hashlib.sha256(seed + f"{about} {count}".encode()).digest()
        count += 1
        number = int.from_bytes(block[:8], "big")
        if number < limit:
            yield number % below


def drawn(seed: bytes, about: str, size: int, count: int) -> tuple[int, ...]:
    """``count`` different positions below ``size`` (all, if there are not so many), ascending."""
    found: set[int] = set()
    numbers = _numbers(seed, about, size) if size else iter(())
    while len(found) < min(count, size):
        found.add(next(numbers))
    return tuple(sorted(found))


def cells(
    seed: bytes, lender: str, roster: tuple[int, int], size: int, count: int
) -> tuple[int, ...]:
    """Cells of the roster of (release, attempt) of a lender, in which ``size`` people stand."""
    return drawn(seed, f"{lender} {roster[0]} {roster[1]}", cells_of(size), count)


def cells_of(size: int) -> int:
    """How many cells are drawn from, of a roster of so many: none if nobody stands in it."""
    return 1 << depth_for(size) if size else 0


def shares(seed: bytes, count: int, sizes: Mapping[Key, int]) -> dict[Key, int]:
    """How many of ``count`` cells are drawn from each roster, by how many people stand in it: as if
    the cells of all of them stood in one row, and each were as likely as every other."""
    found = dict.fromkeys(sizes, 0)
    start, ends = 0, []
    for key, size in sizes.items():
        start += cells_of(size)
        ends.append((start, key))
    waiting = iter(ends)
    end, at = next(waiting, (0, None))
    for number in drawn(seed, "shares", start, count):
        while number >= end:
            end, at = next(waiting)
        found[at] += 1  # type: ignore[index]
    return {key: share for key, share in found.items() if share}
