"""Answers that say more than the house's problem details: OAuth's error code, when to ask again."""

import logging

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from consent.api.shared import reasoned
from consent.identity.errors import TokenRefused, TooManyRequests
from ops.http import problem

logger = logging.getLogger("tahini.identity")
NO_STORE = {"Cache-Control": "no-store"}


def install_problems(app: FastAPI) -> None:
    """Teach an application to answer what this package refuses."""

    @app.exception_handler(TokenRefused)
    def no_token(request: Request, error: TokenRefused) -> JSONResponse:
        """RFC 9457 with the two members that an OAuth client looks for (RFC 6749 section 5.2)."""
        logger.info(
            "refused: %s %s: %s",
            request.method,
            getattr(request.scope.get("route"), "path", ""),
            error.code,
        )
        body = {
            "type": f"urn:tahini:problem:{error.code}",
            "title": error.code.replace("-", " "),
            "status": error.status,
            "detail": str(error),
            "error": error.error,
            "error_description": str(error),
        }
        return JSONResponse(body, error.status, NO_STORE, media_type="application/problem+json")

    @app.exception_handler(TooManyRequests)
    def too_many(_: Request, error: TooManyRequests) -> JSONResponse:
        answer = problem(error.status, error.code, str(error), **reasoned(error))
        answer.headers["Retry-After"] = str(error.retry_after_s)
        return answer
