"""The tree of a roster once more, written from its description alone and by other means: the tests compare the two."""

from __future__ import annotations

import hashlib
import string
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from crypto.memberships import OpenedCell

ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def bits(name: str) -> str:
    """The name's value in binary."""
    value = urlsafe_b64decode(name.split(".")[1] + "=")
    return "".join(f"{byte:08b}" for byte in value)


def named(number: int, start: str = "") -> str:
    """A name whose holder is this number; its first bits as told, the others by chance of a hash."""
    digest = sha(b"somebody", number.to_bytes(4, "big"))
    rest = "".join(f"{byte:08b}" for byte in digest)[len(start) :]
    value = int(start + rest, 2).to_bytes(32, "big")
    return "v1." + urlsafe_b64encode(value).decode().rstrip("=")


@dataclass(frozen=True)
class Tree:
    """Any tree of cells at all: of an honest lender, or of one that puts people where they do not belong.

    ``cells`` are the members of each by its bits; every cell is as deep as its bits are many.
    """

    salts: Mapping[str, bytes]
    cells: Mapping[str, tuple[bytes, ...]]

    @classmethod
    def honest(cls, names: Iterable[str], salt: bytes) -> Tree:
        people = sorted(set(names))
        depth = 0
        while 2 ** (depth + 1) <= len(people):
            depth += 1
        places = [f"{i:b}".zfill(depth) if depth else "" for i in range(2**depth)]
        salts = {place: sha(salt, (int(place, 2) if place else 0).to_bytes(4, "big")) for place in places}
        cells: dict[str, list[bytes]] = {place: [] for place in places}
        for name in people:
            place = bits(name)[:depth]
            cells[place].append(sha(b"\x00", name.encode()))
        return cls(salts, {place: tuple(sorted(members)) for place, members in cells.items()})

    @cached_property
    def _hashes(self) -> dict[str, bytes]:
        return {}

    def hash(self, at: str = "") -> bytes:
        if at not in self._hashes:
            if at in self.cells:
                self._hashes[at] = sha(b"\x02", self.salts[at], *self.cells[at])
            else:
                self._hashes[at] = sha(b"\x01", self.hash(at + "0"), self.hash(at + "1"))
        return self._hashes[at]

    def open(self, at: str) -> OpenedCell:
        other = {"0": "1", "1": "0"}
        path = tuple(self.hash(at[: i - 1] + other[at[i - 1]]) for i in range(len(at), 0, -1))
        return OpenedCell(self.salts[at], self.cells[at], path)

    def opened_for(self, name: str) -> OpenedCell:
        return self.open(next(place for place in self.cells if bits(name).startswith(place)))
