"""What every HTTP service over a ledger has in common: limits, a journal, problem details, health,
readiness."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auditlog.database import AWAY
from auditlog.ledger import Ledger
from consent.api.shared import misfit, problems, reasoned
from consent.readiness import check_ready
from crypto.errors import CryptoError, ProofError
from crypto.sentences import one_sentence, place_of
from ops.http import MAX_BODY_BYTES, LimitBody, application, problem, too_large
from ops.request_log import REQUEST_ID, Journal
from protocol.errors import ConsentError, StorageFailed

logger = logging.getLogger("tahini.registry")
PERSONAL = (
    "/v1/me",
    "/v1/decisions",
    "/v1/consent-states",
    "/v1/checks",
    "/v1/revocations",
    "/v1/requests",
    "/v1/subjects",
    "/v1/token",
    "/v1/imports",
)
"""Where answers are about people: nothing on the way keeps them, refusals included."""


class NoStore:
    """``Cache-Control: no-store`` on whatever is answered about people."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PERSONAL):
            await self._app(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Cache-Control"] = "no-store"
            await send(message)

        await self._app(scope, receive, told)


PUBLIC_LOG = (
    "/checkpoint",
    "/tile/",
    "/v1/consortium",
    "/v1/log/consistency",
    "/v1/log/entries/",
    "/v1/log/inclusion/",
)
"""What every page of every origin may read: it is for everybody, whoever asks, and the same for
each. A browser that verifies a receipt need not trust the origin that it came from for it."""


class ForAllOrigins:
    """``Access-Control-Allow-Origin: *`` on the public log (WHATWG Fetch 3.3.2), and on nothing
    else: no page of another origin reads what is for one caller, nor bodies of the log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reads = scope["type"] == "http" and scope["method"] in {"GET", "HEAD"}
        if not reads or not scope["path"].startswith(PUBLIC_LOG):
            await self._app(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Access-Control-Allow-Origin"] = "*"
            await send(message)

        await self._app(scope, receive, told)


class Running(Protocol):
    """What lives as long as an application: threads, mostly."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


def service(
    title: str, ledger: Ledger, routers: Sequence[APIRouter], running: Sequence[Running]
) -> FastAPI:
    """An application of these routers, with the house's error handling, ``/healthz`` and
    ``/readyz``.

    What runs beside it is started in order, and stopped the other way round.

    The routers' endpoints become the application's own. FastAPI's ``include_router`` would keep a
    second copy of each and look through router after router at every request.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as started:
            for part in running:
                part.start()
                started.push_async_callback(run_in_threadpool, part.stop)
            yield

    app = application(title, lifespan=lifespan)
    for router in routers:
        app.router.routes.extend(router.routes)
    app.add_middleware(LimitBody, most=MAX_BODY_BYTES, refusal=too_large)
    app.add_middleware(NoStore)
    app.add_middleware(ForAllOrigins)
    app.add_middleware(Journal)

    @app.exception_handler(ConsentError)
    def refused(_: Request, error: ConsentError) -> JSONResponse:
        if isinstance(error, StorageFailed) and error.__cause__ is not None:
            # the database's own words, with its address in them: for the journal alone
            logger.warning("%s", error)
            return problem(error.status, error.code, AWAY)
        detail = f"{place_of(error.place)}: {error}" if error.place else str(error)
        return problem(error.status, error.code, detail, error.place, **reasoned(error))

    @app.exception_handler(CryptoError)
    def not_proved(_: Request, error: CryptoError) -> JSONResponse:
        code = "no-such-proof" if isinstance(error, ProofError) else "not-authenticated"
        return problem(404 if isinstance(error, ProofError) else 401, code, str(error))

    @app.exception_handler(RequestValidationError)
    def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        kind, *place = error.errors()[0]["loc"]
        said = misfit(error)
        return problem(
            422, "malformed", one_sentence(error), place if kind == "body" else (), **said
        )

    @app.exception_handler(HTTPException)
    def plain(_: Request, error: HTTPException) -> JSONResponse:
        # FastAPI's own word for a body that is not UTF-8, or nested too deep to be read
        if error.status_code == 400:
            return problem(422, "malformed", "body: it cannot be read as JSON")
        return problem(error.status_code, "http", str(error.detail))

    @app.exception_handler(Exception)
    def unexpected(request: Request, error: Exception) -> JSONResponse:
        logger.error("unexpected %s", type(error).__name__, exc_info=error)
        answer = problem(
            500, "internal", "the registry failed on this request; nothing was acknowledged"
        )
        # this answer is made outside of the journal
        answer.headers["X-Request-Id"] = request.scope[REQUEST_ID]
        return answer

    @app.get("/healthz", responses=problems())
    def healthz() -> dict[str, Any]:
        """How far the log is: entries with an index, under a signed head, under a cosigned one."""
        sequencer = ledger.sequencer
        with ledger.read() as session:
            state, published = ledger.log.state(session), ledger.log.published_size(session)
            writer = state.holder == ledger.log.lease.name
            return {
                "status": "halted"
                if sequencer.halted
                else "failing"
                if sequencer.failing
                else "ok",
                "entries": state.appended,
                "integrated": state.integrated,
                "published": published,
                "writer": writer,
            }

    @app.get("/readyz", responses=problems())
    def readyz() -> dict[str, str]:
        """Whether to send requests here: 200, or 503 with a category (database, migrations, log,
        lease, sequencer)."""
        check_ready(ledger)
        return {"status": "ready"}

    return app
