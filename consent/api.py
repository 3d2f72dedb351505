"""The registry over HTTP. Each endpoint names who may call it; what it does is in :mod:`consent.commands`.

Endpoints are in :mod:`consent.endpoints`, by caller; the log's own in :mod:`consent.log_api`, those of identity in
:mod:`consent.identity.api`. Errors are RFC 9457 problem details.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.concurrency import run_in_threadpool

from consent.access import Access
from consent.endpoints.borrowers import borrower_routes
from consent.endpoints.campaigns import campaign_routes
from consent.endpoints.lenders import lender_routes
from consent.endpoints.models import model_routes
from consent.endpoints.notices import notice_routes
from consent.identity.api import identity_routes
from consent.identity.problems import install_problems
from consent.log_api import log_routes
from consent.outbox import Outbox, load_inboxes
from consent.registry import Registry
from consent.service import service


def create_app(registry: Registry, started: datetime | None = None) -> FastAPI:
    """The HTTP application over an open registry. ``started``: see :class:`consent.access.Access`."""
    access = Access(registry, started)
    outbox = Outbox(registry, load_inboxes(registry.home))
    endpoints = (
        log_routes, notice_routes, borrower_routes, lender_routes, campaign_routes, model_routes, identity_routes,
    )  # fmt: skip
    routers = [routes(registry, access) for routes in endpoints]
    app = service("Tahini consent registry", registry, *routers, _delivering(outbox))
    install_problems(app)
    return app


def _delivering(outbox: Outbox) -> APIRouter:
    """No endpoint: the thread that delivers revocations lives as long as the application."""

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        outbox.start()
        yield
        await run_in_threadpool(outbox.stop)

    return APIRouter(lifespan=lifespan)
