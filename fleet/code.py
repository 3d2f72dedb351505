"""Which code runs: one hash over the source of every room a node executes.

A campaign names this hash, lenders approve it, the registry puts it into each authorisation, and the gate compares it
with what is installed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

NODE_ROOMS = ("clients", "credit", "crypto", "fleet", "naming", "ops", "privacy", "protocol")


def hash_files(files: Mapping[str, bytes]) -> str:
    """SHA-256 over (path, content hash) of every file, in the order of their paths."""
    digest = hashlib.sha256()
    for path, content in sorted(files.items()):
        digest.update(f"{path} {hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()


def room_files(rooms: Iterable[str]) -> dict[str, bytes]:
    """Every Python file of these rooms as installed on this machine, by its path from above the room."""
    above = Path(__file__).resolve().parents[1]  # where this room stands the others do too, however it was installed
    files: dict[str, bytes] = {}
    for room in rooms:
        if not (above / room / "__init__.py").is_file():
            raise RuntimeError(f"the room {room!r} is not installed beside this one")
        files |= {file.relative_to(above).as_posix(): file.read_bytes() for file in (above / room).rglob("*.py")}
    return files


@cache
def installed_code() -> str:
    """The hash of the node's code as installed on this machine."""
    return hash_files(room_files(NODE_ROOMS))
