"""An operator's histories under the log's own key, and witnesses to ask for a cosignature over HTTP."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
from starlette.applications import Starlette
from support.logs import ORIGIN
from support.wire import serve

from clients.witness import LenderWitness, create_witness
from crypto.cosignatures import Kind
from crypto.keys import SigningKey
from crypto.merkle import consistency_proof, leaf_hash, leaves_reader, tree_root
from crypto.notes import Checkpoint, Verifier, sign_checkpoint
from crypto.witnessing import AddCheckpoint
from ops.processes import free_port

NOW = 1_800_000_000
LOG_KEY = SigningKey.generate()
VERIFIER = Verifier(ORIGIN, LOG_KEY.public)
HTTP = httpx.Client()
_numbers = itertools.count()


def proof_between(hashes: Sequence[bytes], old: int, size: int) -> list[bytes]:
    """That the tree of the first ``size`` leaves extends that of the first ``old``; empty where nothing is to prove."""
    return consistency_proof(old, size, leaves_reader(list(hashes[:size]))) if 0 < old < size else []


class History:
    """An operator's list of leaves, and everything that can be said about it with the log's key."""

    def __init__(self, *leaves: str) -> None:
        self.hashes = [leaf_hash(leaf.encode()) for leaf in leaves]

    def head(self, size: int) -> Checkpoint:
        return Checkpoint(ORIGIN, size, tree_root(size, leaves_reader(self.hashes[:size])))

    def note(self, size: int) -> str:
        return sign_checkpoint(self.head(size), LOG_KEY)

    def proof(self, old: int, size: int) -> list[bytes]:
        return proof_between(self.hashes, old, size)

    def request(self, old: int, size: int) -> AddCheckpoint:
        return AddCheckpoint(old, tuple(self.proof(old, size)), self.note(size))


TRUNK = History(*(f"leaf {i}" for i in range(600)))


def forked(at: int, name: str = "other") -> History:
    """The trunk's first ``at`` leaves, then others."""
    branch = History()
    branch.hashes = TRUNK.hashes[:at] + [leaf_hash(f"{name} {i}".encode()) for i in range(at, 600)]
    return branch


@contextmanager
def new_street() -> Iterator[Callable[[Starlette], str]]:
    """One real server; applications move in under a path of their own."""
    app = Starlette()
    with serve(app, free_port()) as url:

        def move_in(tenant: Starlette) -> str:
            path = f"/house-{next(_numbers)}"
            app.mount(path, tenant)
            return url + path

        yield move_in


def new_witness(home: Path, kind: Kind = Kind.ED25519) -> LenderWitness:
    home.mkdir(parents=True)
    create_witness(home, "w.example/one", kind)
    return replace(LenderWitness.open(home, VERIFIER), clock=lambda: NOW)


def ask(url: str, request: AddCheckpoint | bytes) -> httpx.Response:
    return HTTP.post(f"{url}/add-checkpoint", content=request if isinstance(request, bytes) else request.text)


def seen(url: str) -> httpx.Response:
    return HTTP.get(f"{url}/{hashlib.sha256(ORIGIN.encode()).hexdigest()}/checkpoint")
