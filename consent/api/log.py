"""The log over HTTP.

``/checkpoint`` and ``/tile`` are C2SP tlog-tiles and need no authentication: they hold no personal
data, and tiles never change. Parties append under ``/v1/log/entries``; bodies are for the auditor.
"""

import asyncio
import hashlib
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Annotated

import orjson
from fastapi import Depends, FastAPI, Path, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from auditlog.entries import Entry
from auditlog.group_commit import JobQueue
from auditlog.ledger import Ledger
from consent.api.problems import install_problems
from consent.api.service import service
from consent.api.shared import A_TOKEN, Link, body_of, links, parsed, problems
from consent.commands.append_entries import NewEntries, NewEntry, seal_entries
from consent.groups import Groups, OwnGroups
from consent.identity.access import Access, TheAccess, endpoints, only
from consent.registry import Registry
from crypto.errors import ProofError
from crypto.log_tiles import MAX_LEVEL, parse_tile_path
from ops.http import Count
from protocol.errors import LogHeld, NotAllowed, NotWitnessed
from protocol.parties import Party, Role

IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}
PRIVATE = {"Cache-Control": "private, no-store"}
MAX_WAIT_S = 10.0
MAX_WAITING = 256
AUTHORS = tuple(Role)
BINARY = "application/octet-stream"
INCLUSION = Link(
    "inclusion",
    "/v1/log/inclusion/{index}",
    "get",
    {"index": "$response.body#/first"},
    "Its proof.",
)

Seal = Callable[[Party, Sequence[NewEntry]], list[Entry]]
"""Seals the bodies of a party's entries; raises NotFound, NotAllowed, Malformed."""


_EXAMPLE = {"entries": [{"type": "use.read", "to": ["auditor"], "counts": {"rows": 120}}]}


class Binary(Response):
    """Bytes as they are stored."""

    media_type = BINARY


class Offer(BaseModel):
    """A signed :class:`protocol.sessions.SessionOffer`."""

    model_config = ConfigDict(extra="forbid")
    offer: str = Field(max_length=4096, examples=[A_TOKEN])


class Appended(BaseModel):
    """Index of the first entry, and how many there are."""

    first: int
    count: int


@dataclass(frozen=True)
class LogService:
    """A log that is served: the ledger, and the threads behind it."""

    ledger: Ledger
    seal: Seal
    group: JobQueue[Sequence[Entry], int]
    read_only: bool = False
    waiting: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_WAITING))

    @classmethod
    def of(
        cls,
        registry: Registry,
        group: JobQueue[Sequence[Entry], int],
        read_only: bool = False,
    ) -> "LogService":
        """The log of a registry, not started yet."""
        return cls(registry.ledger, partial(seal_entries, registry), group, read_only)

    def start(self) -> None:
        self.group.start()
        self.ledger.sequencer.start(self.read_only)

    def stop(self) -> None:
        self.group.stop()
        self.ledger.sequencer.stop()


def create_log_app(
    registry: Registry,
    read_only: bool = False,
    started: datetime | None = None,
    groups: Groups | None = None,
) -> FastAPI:
    """The log alone. Any number of processes may serve it; one of them writes, and never one that
    is ``read_only``.

    Args:
        started: see :class:`consent.identity.access.Access`.
        groups: of one worker among several, as in :func:`consent.api.app.create_app`.
    """
    log = LogService.of(registry, (groups or OwnGroups.of(registry)).appends, read_only)
    app = service("Tahini audit log", registry.ledger, [router], [log])
    app.state.log = log
    app.state.access = Access(registry, started)
    install_problems(app)
    return app


# --- endpoints


async def _log(request: Request) -> LogService:
    log: LogService = request.app.state.log
    return log


async def _ledger(request: Request) -> Ledger:
    log: LogService = request.app.state.log
    return log.ledger


TheLog = Annotated[LogService, Depends(_log)]
TheLedger = Annotated[Ledger, Depends(_ledger)]
Anyone = Annotated[Party, only(*Role)]
Author = Annotated[Party, only(*AUTHORS)]
router = endpoints()


@router.post(
    "/v1/log/entries",
    status_code=201,
    response_model=Appended,
    openapi_extra=body_of(NewEntries, _EXAMPLE),
    responses={**problems(404), **links(201, INCLUSION)},
)
async def append(log: TheLog, request: Request, caller: Author) -> Response:
    """Log up to 256 entries, all or none; answered when they are durable. Proofs follow within a
    second.

    Every use of data comes through here, so this endpoint parses its body itself, in one step.
    """
    if log.read_only:
        raise LogHeld("this process only reads the log; send appends to the one that writes")
    entries = parsed(NewEntries, await request.body()).entries
    if any(entry.subject for entry in entries):
        sealed = await run_in_threadpool(log.seal, caller, entries)
    else:
        sealed = log.seal(caller, entries)
    first = await log.group.submit(sealed, len(sealed))
    return Response(
        orjson.dumps({"first": first, "count": len(sealed)}), 201, media_type="application/json"
    )


@router.post("/v1/sessions", status_code=201, responses=problems())
def begin_session(
    ledger: TheLedger, access: TheAccess, body: Offer, caller: Anyone
) -> dict[str, str]:
    """Begin a session: ten minutes in which requests carry a MAC instead of a signature."""
    return {"answer": access.sessions.begin(caller, body.offer, ledger.clock())}


@router.get("/checkpoint", response_class=PlainTextResponse, responses=problems(404))
def checkpoint(ledger: TheLedger) -> PlainTextResponse:
    """The newest published checkpoint: a signed note over the log's size and root, with its
    witnesses' lines."""
    with ledger.read() as session:
        return PlainTextResponse(
            ledger.log.checkpoint(session), headers={"Cache-Control": "no-store"}
        )


@router.get("/tile/entries/{path:path}", response_class=Binary, responses=problems(404))
def entries(ledger: TheLedger, path: str) -> Response:
    """A bundle of up to 256 leaves."""
    bundle, width = parse_tile_path(path)
    with ledger.read() as session:
        return Response(
            ledger.log.entries(session, bundle, width), media_type=BINARY, headers=IMMUTABLE
        )


@router.get("/tile/{level}/{path:path}", response_class=Binary, responses=problems(404))
def tile(ledger: TheLedger, level: Count, path: str) -> Response:
    """A tile of up to 256 hashes of the Merkle tree."""
    index, width = parse_tile_path(path)
    if not 0 <= level <= MAX_LEVEL:
        raise ProofError(f"not a tile level: {level}")
    with ledger.read() as session:
        return Response(
            ledger.log.tile(session, level, index, width), media_type=BINARY, headers=IMMUTABLE
        )


@router.get("/v1/log/consistency", responses=problems(404))
def consistency(ledger: TheLedger, old: Count, new: Count) -> dict[str, list[str]]:
    """The proof that the log of ``new`` entries extends the one of ``old``."""
    with ledger.read() as session:
        proof = ledger.log.prove_consistency(session, old, new)
    return {"proof": [b64encode(value).decode() for value in proof]}


@router.get("/v1/log/inclusion/{index}", response_class=PlainTextResponse, responses=problems(404))
async def inclusion(log: TheLog, index: Count, wait: bool = False) -> str:
    """The entry's ``.tlog-proof``. With ``wait``, as soon as a quorum of witnesses has cosigned
    it."""
    if wait and log.ledger.sequencer.published <= index:
        await _published(log, index)
    return await run_in_threadpool(_inclusion, log.ledger, index)


@router.get("/v1/log/entries/{index}", responses=problems(404))
def entry(ledger: TheLedger, index: Count) -> Response:
    """The leaf alone, checked against the tree."""
    with ledger.read() as session:
        ledger.log.prove_inclusion(session, index)
        return Response(
            ledger.log.entry(session, index).leaf, media_type="application/json", headers=IMMUTABLE
        )


@router.get("/v1/log/bodies/{index}", response_class=Binary, responses=problems(404))
def body(ledger: TheLedger, index: Count, caller: Anyone) -> Response:
    """An entry's body as it is stored, for the auditor and for whom it is sealed to."""
    with ledger.read() as session:
        found = ledger.log.entry(session, index)
    if (
        caller.role is not Role.AUDITOR
        and caller.id not in orjson.loads(found.leaf)["body"]["sealed_to"]
    ):
        raise NotAllowed("this body is not sealed to the caller")
    return Response(found.body, media_type=BINARY, headers=PRIVATE)


@router.get("/v1/log/envelopes/{sha256}", response_class=Binary, responses=problems(404))
def envelope(
    ledger: TheLedger, sha256: Annotated[str, Path(pattern="^[0-9a-f]{64}$")], caller: Anyone
) -> Response:
    """The header of an envelope, for the auditor and for whom it is sealed to."""
    with ledger.read() as session:
        header = ledger.log.envelope(session, sha256)
    if caller.role is not Role.AUDITOR and caller.id not in orjson.loads(header)["keys"]:
        raise NotAllowed("this envelope is not sealed to the caller")
    if hashlib.sha256(header).hexdigest() != sha256:
        raise ProofError(
            "the envelope that is stored under this name is damaged; run: tahini log fsck"
        )
    return Response(header, media_type=BINARY, headers=PRIVATE)


async def _published(log: LogService, index: int) -> None:
    """Wait a while for publication: of entries that are there, and with not too many others."""
    if index >= await run_in_threadpool(_size, log.ledger):
        raise ProofError(f"the log has no entry {index} yet")
    if log.waiting.locked():
        raise NotWitnessed("too many wait for a proof already; ask again")
    async with log.waiting:
        deadline = time.monotonic() + MAX_WAIT_S
        while log.ledger.sequencer.published <= index and time.monotonic() < deadline:
            await asyncio.sleep(0.05)


def _size(ledger: Ledger) -> int:
    with ledger.read() as session:
        return ledger.log.size(session)


def _inclusion(ledger: Ledger, index: int) -> str:
    with ledger.read() as session:
        return ledger.log.prove_inclusion(session, index).text
