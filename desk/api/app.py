"""The desk's HTTP application: limits, a journal, problem details, health, the routes."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from crypto.errors import CryptoError, SealError, TahiniError
from crypto.sentences import one_sentence, place_of
from desk.api import (
    amendments,
    applications,
    customers,
    loans,
    offered,
    portraits,
    principles,
    reviews,
    settling,
)
from desk.callers import KnownCallers
from desk.commands.apply import Applying, DecidedApplication
from desk.courses import SideBySide
from desk.office import Desk
from ops.http import MAX_BODY_BYTES, LimitBody, application, problem, too_large
from ops.request_log import REQUEST_ID, Journal
from protocol.errors import ConsentError

APPLYING = 2
"""Groups of applications at a time: while one is computed another waits for the log or a source."""
logger = logging.getLogger("tahini.desk")


def create_app(desk: Desk) -> FastAPI:
    """The HTTP application over an open desk; it starts and stops the desk's threads."""

    courses = SideBySide[DecidedApplication]("desk-applying", APPLYING)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(desk.start)
        courses.start()
        try:
            yield
        finally:
            await run_in_threadpool(courses.stop)
            await run_in_threadpool(desk.stop)

    app = application("Tahini lending desk", lifespan=lifespan)
    parts = (
        applications,
        loans,
        settling,
        amendments,
        reviews,
        principles,
        customers,
        offered,
        portraits,
    )
    for part in parts:
        app.router.routes.extend(part.router.routes)
    app.add_middleware(LimitBody, most=MAX_BODY_BYTES, refusal=too_large)
    app.add_middleware(Journal)
    app.state.desk, app.state.callers = desk, KnownCallers(desk.transactions.database)
    app.state.applying, app.state.side_by_side = Applying(desk), courses
    _refusals(app)

    @app.get("/healthz")
    def healthz() -> dict[str, Any]:
        """Whether the process serves and the database answers."""
        with desk.reading():
            return {"status": "ok"}

    @app.get("/readyz")
    def readyz() -> Response:
        """Whether to send requests here: the database answers, nothing was recorded later than
        this machine's clock says, what decides and records is at work, and what is decided gets to
        the log. A log that is away is told, and takes nobody from the servicing of loans."""
        desk.transactions.check_clock()
        silent = any(one.ended for one in desk.standings)
        if desk.transactions.ended or courses.ended or silent:
            return problem(503, "threads-ended", "what decides or records has ended; start again")
        trouble = desk.sender.trouble
        if trouble is not None and trouble.unexpected:
            said = f"what is decided does not reach the log: {trouble.why}"
            return problem(503, "outbox-stands", said)
        waits = {} if trouble is None else {"outbox": trouble.why}
        return JSONResponse({"status": "ok", **waits})

    return app


def _refusals(app: FastAPI) -> None:
    """Every refusal as an RFC 9457 problem document."""

    @app.exception_handler(ConsentError)
    def refused(_: Request, error: ConsentError) -> JSONResponse:
        if error.__cause__ is not None and error.status >= 500:
            logger.warning("%s: %s", error, type(error.__cause__).__name__)
        detail = f"{place_of(error.place)}: {error}" if error.place else str(error)
        return problem(error.status, error.code, detail, error.place)

    @app.exception_handler(SealError)
    def not_opened(_: Request, error: SealError) -> JSONResponse:
        return problem(410, "forgotten", str(error))

    @app.exception_handler(CryptoError)
    def not_verified(_: Request, error: CryptoError) -> JSONResponse:
        logger.error("what is kept does not verify: %s: %s", type(error).__name__, error)
        return problem(500, "not-verified", str(error))

    @app.exception_handler(TahiniError)
    def not_possible(_: Request, error: TahiniError) -> JSONResponse:
        return problem(409, "conflict", str(error))

    @app.exception_handler(RequestValidationError)
    def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        kind, *place = error.errors()[0]["loc"]
        return problem(422, "malformed", one_sentence(error), place if kind == "body" else ())

    @app.exception_handler(HTTPException)
    def plain(_: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 400:  # FastAPI's own word for a body that cannot be read
            return problem(422, "malformed", "body: it cannot be read as JSON")
        return problem(error.status_code, "http", str(error.detail))

    @app.exception_handler(Exception)
    def unexpected(request: Request, error: Exception) -> JSONResponse:
        logger.error("unexpected %s", type(error).__name__, exc_info=error)
        answer = problem(
            500, "internal", "the desk failed on this request; nothing was acknowledged"
        )
        answer.headers["X-Request-Id"] = request.scope[REQUEST_ID]
        return answer
