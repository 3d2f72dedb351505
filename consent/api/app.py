"""The registry over HTTP. Each endpoint names who may call it; what it does is in :mod:`consent.commands`.

Endpoints are in :mod:`consent.api`, by caller; the log's own in :mod:`consent.api.log`, those of identity in
:mod:`consent.api.identity`. Errors are RFC 9457 problem details.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.concurrency import run_in_threadpool

from consent.api.borrowers import borrower_routes
from consent.api.campaigns import campaign_routes
from consent.api.identity import identity_routes
from consent.api.lenders import lender_routes
from consent.api.log import log_routes
from consent.api.models import model_routes
from consent.api.notices import notice_routes
from consent.api.problems import install_problems
from consent.api.service import service
from consent.commands.append_entries import seal_entries
from consent.identity.access import Access
from consent.outbox import Outbox, load_inboxes
from consent.registry import Registry


def create_app(registry: Registry, started: datetime | None = None) -> FastAPI:
    """The HTTP application over an open registry. ``started``: see :class:`consent.identity.access.Access`."""
    access = Access(registry, started)
    outbox = Outbox(registry, load_inboxes(registry.home))
    app = service(
        "Tahini consent registry",
        registry.ledger,
        log_routes(registry.ledger, access, partial(seal_entries, registry)),
        notice_routes(registry, access),
        borrower_routes(registry, access),
        lender_routes(registry, access),
        campaign_routes(registry, access),
        model_routes(registry, access),
        identity_routes(registry, access),
        _delivering(outbox),
    )
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
