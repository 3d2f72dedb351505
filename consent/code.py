"""Which code runs: one hash over the source of every room a node executes.

A campaign names this hash, lenders approve it, the registry puts it into each authorisation, and the gate compares it
with what is installed.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

NODE_ROOMS = ("clients", "consent", "credit", "crypto", "privacy")


def hash_tree(roots: dict[str, Path]) -> str:
    """SHA-256 over (path, content hash) of every Python file under the named roots, in order."""
    digest = hashlib.sha256()
    for name, root in sorted(roots.items()):
        for file in sorted(root.rglob("*.py")):
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"{name}/{file.relative_to(root).as_posix()} {content}\n".encode())
    return digest.hexdigest()


@cache
def installed_code() -> str:
    """The hash of the node's code as installed on this machine."""
    roots = {}
    for room in NODE_ROOMS:
        spec = find_spec(room)
        if spec is None or not spec.submodule_search_locations:
            raise RuntimeError(f"the room {room!r} is not installed")
        roots[room] = Path(next(iter(spec.submodule_search_locations)))
    return hash_tree(roots)
