"""Samples: an auditor draws members of committed rosters, lenders open exactly those.

Nobody chooses who is drawn. The auditor's request stands in the log with the hash of a number that
only the auditor knows; the seed is that number and the root of the log just after the request. The
auditor fixed its number before the root was there, and whoever makes the root does not know the
number. Each lender draws anew what it is asked to open, and opens nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from protocol.schema import Document, Instant, Pseudonym, Sha256, Slug

MAX_PEOPLE = 10_000
Key = TypeVar("Key")


class SampleRequest(Document):
    """An auditor announces a sample: logged before anybody can know whom it draws."""

    typ = "tahini-sample-request"

    campaign_sha256: Sha256
    auditor: Slug
    people: int = Field(ge=1, le=MAX_PEOPLE)
    nonce_sha256: Sha256
    requested_at: Instant


class DrawnRoster(BaseModel):
    """Positions in one committed roster, ascending."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    release: int = Field(ge=0)
    attempt: int = Field(ge=1)
    size: int = Field(ge=1)
    positions: tuple[int, ...] = Field(min_length=1, max_length=MAX_PEOPLE)


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


class OpenedMember(BaseModel):
    """Who stands at one position of a roster, and the path to its root (RFC 6962, hex)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    position: int = Field(ge=0)
    pseudonym: Pseudonym
    path: tuple[Sha256, ...] = Field(max_length=64)


class OpenedRoster(BaseModel):
    """The drawn members of one committed roster."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    release: int = Field(ge=0)
    attempt: int = Field(ge=1)
    members: tuple[OpenedMember, ...] = Field(max_length=MAX_PEOPLE)


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
    def pseudonyms(self) -> list[str]:
        """Whom it names, each once."""
        return sorted({one.pseudonym for roster in self.rosters for one in roster.members})


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


def positions(
    seed: bytes, lender: str, roster: tuple[int, int], size: int, count: int
) -> tuple[int, ...]:
    """Positions in the roster of (release, attempt) of a lender."""
    return drawn(seed, f"{lender} {roster[0]} {roster[1]}", size, count)


def shares(seed: bytes, people: int, sizes: Mapping[Key, int]) -> dict[Key, int]:
    """How many of ``people`` are drawn from each roster: as if everybody in any of them stood in
    one row, and each were as likely as every other."""
    found = dict.fromkeys(sizes, 0)
    start, ends = 0, []
    for key, size in sizes.items():
        start += size
        ends.append((start, key))
    waiting = iter(ends)
    end, at = next(waiting, (0, None))
    for number in drawn(seed, "shares", start, people):
        while number >= end:
            end, at = next(waiting)
        found[at] += 1  # type: ignore[index]
    return {key: count for key, count in found.items() if count}
