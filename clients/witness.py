"""A lender's witness: it remembers the log's last head and cosigns only what extends it (C2SP
tlog-witness).

In the node's home, ``witness.key`` signs and ``witness/<origin hash>.checkpoint`` is what was
cosigned last, on the disk before the answer goes out. What may be cosigned is decided in
``crypto.witnessing``; this is the shell around it.
"""

from __future__ import annotations

import fcntl
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router

from crypto.cosignatures import Cosigner, CosigningKey, Kind
from crypto.errors import KeyFileError, SignatureError
from crypto.keys import read_secret, replace_file, write_secret
from crypto.notes import Checkpoint, Verifier, claimed_checkpoint, own_line, signers
from crypto.witnessing import MAX_REQUEST_BYTES, AddCheckpoint, WitnessRefusal, consider
from ops.http import LimitBody
from ops.serving import Listening

WITNESS_KEY_FILE, WITNESS_FOLDER = "witness.key", "witness"


def create_witness(home: Path, name: str, kind: Kind = Kind.ED25519) -> Cosigner:
    """Make a witness in a node's home; returns what goes into the log's trust policy."""
    key = CosigningKey.generate(name, kind)
    write_secret(home / WITNESS_KEY_FILE, key.secret)
    (home / WITNESS_FOLDER).mkdir(mode=0o700)
    return key.public


def origin_hash(origin: str) -> str:
    return hashlib.sha256(origin.encode()).hexdigest()


@dataclass(frozen=True)
class LenderWitness:
    """Args: ``logs`` by origin, ``folder`` for the last heads, ``clock`` in POSIX seconds."""

    key: CosigningKey
    logs: Mapping[str, Verifier]
    folder: Path
    clock: Callable[[], float] = field(default=time.time)

    @classmethod
    def open(cls, home: Path, log: Verifier) -> LenderWitness:
        """The witness in a node's home; raises KeyFileError."""
        folder = home / WITNESS_FOLDER
        if not folder.is_dir():
            raise KeyFileError(f"there is no witness in {home}")
        key = CosigningKey.from_secret(read_secret(home / WITNESS_KEY_FILE))
        return cls(key, {log.name: log}, folder)

    def latest(self, origin: str) -> str | None:
        """The note that was cosigned last, with this witness's cosignature, which is checked.

        Raises:
            SignatureError: the file was altered. The witness then cosigns nothing until its
                operator looks into it.
        """
        path = self.folder / f"{origin_hash(origin)}.checkpoint"
        if not path.exists():
            return None
        try:
            note = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise SignatureError("it is not text") from error
        text, _ = signers(note, [self.key.public])
        if Checkpoint.parse(text).origin != origin:
            raise SignatureError("it is another log's")
        return note

    def _remembered(self) -> dict[str, Checkpoint]:
        """What was cosigned last, by origin."""
        notes = {origin: self.latest(origin) for origin in self.logs}
        return {
            origin: claimed_checkpoint(note) for origin, note in notes.items() if note is not None
        }

    def add_checkpoint(self, body: bytes) -> str:
        """Cosign the checkpoint in an ``add-checkpoint`` request; returns the signature line.

        Raises:
            WitnessRefusal: with the status that the specification names.
        """
        request = AddCheckpoint.parse(body)
        with self._alone():
            checkpoint = consider(request, self.logs, self._remembered())
            head, _, signatures = request.note.rpartition("\n\n")
            text = f"{head}\n"
            line = self.key.cosign(text, int(self.clock()))
            log = self.logs[checkpoint.origin]
            kept = f"{text}\n{own_line(signatures, log, text)}{line}"
            replace_file(
                self.folder / f"{origin_hash(checkpoint.origin)}.checkpoint", kept.encode()
            )
        return line

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Reading what is remembered and persisting what replaces it are one step, for every
        process and thread."""
        with (self.folder / "lock").open("a", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _unreliable(error: SignatureError | OSError) -> Response:
    reason = error.strerror if isinstance(error, OSError) else error
    return PlainTextResponse(
        f"this witness cannot rely on its memory ({reason}); nothing was cosigned\n", 503
    )


def _routes(witness: LenderWitness) -> list[BaseRoute]:
    async def add_checkpoint(request: Request) -> Response:
        body = await request.body()
        try:
            return PlainTextResponse(await run_in_threadpool(witness.add_checkpoint, body))
        except WitnessRefusal as refusal:
            if refusal.size is not None:
                return Response(
                    f"{refusal.size}\n", refusal.status, {"Content-Type": "text/x.tlog.size"}
                )
            return PlainTextResponse(f"{refusal}\n", refusal.status)
        except (SignatureError, OSError) as error:
            return _unreliable(error)

    async def checkpoint(request: Request) -> Response:
        names = {origin_hash(origin): origin for origin in witness.logs}
        origin = names.get(request.path_params["origin"])
        try:
            note = await run_in_threadpool(witness.latest, origin) if origin else None
        except (SignatureError, OSError) as error:
            return _unreliable(error)
        if note is None:
            return PlainTextResponse("this witness has cosigned no checkpoint of that log\n", 404)
        return PlainTextResponse(note, headers={"Cache-Control": "no-store"})

    return [
        Route("/add-checkpoint", add_checkpoint, methods=["POST"]),
        Route("/{origin}/checkpoint", checkpoint, methods=["GET"]),
    ]


def witness_app(witnesses: Mapping[str, LenderWitness]) -> Starlette:
    """One witness at the root, or several, each under its name."""
    alone = len(witnesses) == 1
    routes: list[BaseRoute] = []
    for name, witness in witnesses.items():
        routes += (
            _routes(witness)
            if alone
            else [Mount(f"/{name}", Router(_routes(witness), redirect_slashes=False))]
        )
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    app.add_middleware(
        LimitBody, most=MAX_REQUEST_BYTES, refusal=lambda said: PlainTextResponse(f"{said}\n", 413)
    )
    return app


class WitnessListening(Listening):
    model_config = SettingsConfigDict(env_prefix="TAHINI_WITNESS_")
    port: int = Field(default=8710, ge=1, le=65535)
