"""Which code runs: one hash over the source of every room a node executes.

A campaign names this hash, lenders approve it, the registry puts it into each authorisation, and the gate compares it
with what is installed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

NODE_ROOMS = ("clients", "consent", "credit", "crypto", "fleet", "privacy")


def hash_files(files: Mapping[str, bytes]) -> str:
    """SHA-256 over (path, content hash) of every file, in the order of their paths."""
    digest = hashlib.sha256()
    for path, content in sorted(files.items()):
        digest.update(f"{path} {hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()


def room_files(rooms: Iterable[str]) -> dict[str, bytes]:
    """Every Python file of these rooms as installed on this machine, by its path from above the room."""
    files: dict[str, bytes] = {}
    for room in rooms:
        spec = find_spec(room)
        if spec is None or not spec.submodule_search_locations:
            raise RuntimeError(f"the room {room!r} is not installed")
        root = Path(next(iter(spec.submodule_search_locations)))
        files |= {f"{room}/{file.relative_to(root).as_posix()}": file.read_bytes() for file in root.rglob("*.py")}
    return files


@cache
def installed_code() -> str:
    """The hash of the node's code as installed on this machine."""
    return hash_files(room_files(NODE_ROOMS))
