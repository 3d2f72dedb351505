"""The log over HTTP.

``/checkpoint`` and ``/tile`` are C2SP tlog-tiles and need no authentication: they hold no personal data, and tiles
never change. Parties append under ``/v1/log/entries``; bodies are for the auditor.
"""

import asyncio
import hashlib
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, FastAPI, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from auditlog.entries import Entry
from auditlog.group_commit import GroupCommit
from auditlog.ledger import Ledger
from consent.api.problems import install_problems
from consent.api.service import service
from consent.api.shared import A_TOKEN, Link, links, problems
from consent.commands.append_entries import NewEntries, NewEntry, seal_entries
from consent.identity.access import Access
from consent.registry import Registry
from crypto.errors import ProofError
from crypto.tiles import MAX_LEVEL, parse_tile_path
from ops.http import Count
from protocol.errors import LogHeld, NotAllowed, NotWitnessed
from protocol.parties import Party, Role

IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}
PRIVATE = {"Cache-Control": "private, no-store"}
LONGEST_WAIT_S = 10.0
MOST_WAITING = 256
AUTHORS = (Role.REGISTRY, Role.COORDINATOR, Role.LENDER, Role.NAMING)
BINARY = "application/octet-stream"
INCLUSION = Link("inclusion", "/v1/log/inclusion/{index}", "get", {"index": "$response.body#/first"}, "Its proof.")

Seal = Callable[[Party, Sequence[NewEntry]], list[Entry]]
"""Seals the bodies of a party's entries; raises NotFound, NotAllowed, Malformed."""


def _schema() -> dict[str, Any]:
    """The JSON schema of :class:`NewEntries` without references, to stand inside an OpenAPI document."""
    schema = NewEntries.model_json_schema()
    known = schema.pop("$defs")

    def whole(node: Any) -> Any:
        if isinstance(node, dict):
            found = known[node["$ref"].rpartition("/")[2]] if "$ref" in node else node
            return {name: whole(child) for name, child in found.items()}
        return [whole(child) for child in node] if isinstance(node, list) else node

    inlined: dict[str, Any] = whole(schema)
    return inlined | {"examples": [{"entries": [{"type": "use.read", "to": ["auditor"], "counts": {"rows": 120}}]}]}


_ENTRIES_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": _schema()}}}}


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


def create_log_app(registry: Registry, read_only: bool = False, started: datetime | None = None) -> FastAPI:
    """The log alone. Any number of processes may serve it; one of them writes, and never one that is ``read_only``.

    Args:
        started: see :class:`consent.identity.access.Access`.
    """
    routes = log_routes(registry.ledger, Access(registry, started), partial(seal_entries, registry), read_only)
    app = service("Tahini audit log", registry.ledger, routes)
    install_problems(app)
    return app


def log_routes(ledger: Ledger, access: Access, seal: Seal, read_only: bool = False) -> APIRouter:
    """The log's endpoints, and the threads behind them."""
    log = ledger.log
    group, waiting = GroupCommit(log, ledger.write), asyncio.Semaphore(MOST_WAITING)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        group.start()
        ledger.sequencer.start(read_only)
        yield
        group.stop()
        ledger.sequencer.stop()

    app = APIRouter(lifespan=lifespan, dependencies=[access.limit_public()])
    Anyone = Annotated[Party, access.only(*Role)]
    Author = Annotated[Party, access.only(*AUTHORS)]

    @app.post(
        "/v1/log/entries", status_code=201, response_model=Appended, openapi_extra=_ENTRIES_BODY,
        responses={**problems(404), **links(201, INCLUSION)},
    )  # fmt: skip
    async def append(request: Request, caller: Author) -> Response:
        """Log up to 256 entries, all or none; answered when they are durable. Proofs follow within a second.

        Every use of data comes through here, so this endpoint parses its body itself, in one step.
        """
        if read_only:
            raise LogHeld("this process only reads the log; send appends to the one that writes")
        try:
            entries = NewEntries.model_validate_json(await request.body()).entries
        except ValidationError as error:
            found = error.errors(include_input=False, include_url=False)
            raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in found]) from error
        if any(entry.subject for entry in entries):
            sealed = await run_in_threadpool(seal, caller, entries)
        else:
            sealed = seal(caller, entries)
        first = await group.append(sealed)
        return Response(orjson.dumps({"first": first, "count": len(sealed)}), 201, media_type="application/json")

    @app.post("/v1/sessions", status_code=201, responses=problems())
    def begin_session(body: Offer, caller: Anyone) -> dict[str, str]:
        """Begin a session: ten minutes in which requests carry a MAC instead of a signature."""
        return {"answer": access.sessions.begin(caller, body.offer, ledger.clock())}

    @app.get("/checkpoint", response_class=PlainTextResponse, responses=problems(404))
    def checkpoint() -> PlainTextResponse:
        """The newest published checkpoint: a signed note over the log's size and root, with its witnesses' lines."""
        with ledger.read() as session:
            return PlainTextResponse(log.checkpoint(session), headers={"Cache-Control": "no-store"})

    @app.get("/tile/entries/{path:path}", response_class=Binary, responses=problems(404))
    def entries(path: str) -> Response:
        """A bundle of up to 256 leaves."""
        bundle, width = parse_tile_path(path)
        with ledger.read() as session:
            return Response(log.entries(session, bundle, width), media_type=BINARY, headers=IMMUTABLE)

    @app.get("/tile/{level}/{path:path}", response_class=Binary, responses=problems(404))
    def tile(level: Count, path: str) -> Response:
        """A tile of up to 256 hashes of the Merkle tree."""
        index, width = parse_tile_path(path)
        if not 0 <= level <= MAX_LEVEL:
            raise ProofError(f"not a tile level: {level}")
        with ledger.read() as session:
            return Response(log.tile(session, level, index, width), media_type=BINARY, headers=IMMUTABLE)

    @app.get("/v1/log/consistency", responses=problems(404))
    def consistency(old: Count, new: Count) -> dict[str, list[str]]:
        """The proof that the log of ``new`` entries extends the one of ``old``."""
        with ledger.read() as session:
            proof = log.prove_consistency(session, old, new)
        return {"proof": [b64encode(value).decode() for value in proof]}

    @app.get("/v1/log/inclusion/{index}", response_class=PlainTextResponse, responses=problems(404))
    async def inclusion(index: Count, wait: bool = False) -> str:
        """The entry's ``.tlog-proof``. With ``wait``, as soon as a quorum of witnesses has cosigned it."""
        if wait and ledger.sequencer.published <= index:
            await _published(ledger, index, waiting)
        return await run_in_threadpool(_inclusion, ledger, index)

    @app.get("/v1/log/entries/{index}", responses=problems(404))
    def entry(index: Count) -> Response:
        """The leaf alone, checked against the tree."""
        with ledger.read() as session:
            log.prove_inclusion(session, index)
            return Response(log.entry(session, index).leaf, media_type="application/json", headers=IMMUTABLE)

    @app.get("/v1/log/bodies/{index}", response_class=Binary, responses=problems(404))
    def body(index: Count, caller: Anyone) -> Response:
        """An entry's body as it is stored, for the auditor and for whom it is sealed to."""
        with ledger.read() as session:
            found = log.entry(session, index)
        if caller.role is not Role.AUDITOR and caller.id not in orjson.loads(found.leaf)["body"]["sealed_to"]:
            raise NotAllowed("this body is not sealed to the caller")
        return Response(found.body, media_type=BINARY, headers=PRIVATE)

    @app.get("/v1/log/envelopes/{sha256}", response_class=Binary, responses=problems(404))
    def envelope(sha256: Annotated[str, Path(pattern="^[0-9a-f]{64}$")], caller: Anyone) -> Response:
        """The header of an envelope, for the auditor and for whom it is sealed to."""
        with ledger.read() as session:
            header = log.envelope(session, sha256)
        if caller.role is not Role.AUDITOR and caller.id not in orjson.loads(header)["keys"]:
            raise NotAllowed("this envelope is not sealed to the caller")
        if hashlib.sha256(header).hexdigest() != sha256:
            raise ProofError("the envelope that is stored under this name is damaged; run: tahini log fsck")
        return Response(header, media_type=BINARY, headers=PRIVATE)

    return app


async def _published(ledger: Ledger, index: int, waiting: asyncio.Semaphore) -> None:
    """Wait a while for publication: of entries that are there, and with not too many others."""
    if index >= await run_in_threadpool(_size, ledger):
        raise ProofError(f"the log has no entry {index} yet")
    if waiting.locked():
        raise NotWitnessed("too many wait for a proof already; ask again")
    async with waiting:
        deadline = time.monotonic() + LONGEST_WAIT_S
        while ledger.sequencer.published <= index and time.monotonic() < deadline:
            await asyncio.sleep(0.05)


def _size(ledger: Ledger) -> int:
    with ledger.read() as session:
        return ledger.log.size(session)


def _inclusion(ledger: Ledger, index: int) -> str:
    with ledger.read() as session:
        return ledger.log.prove_inclusion(session, index).text
