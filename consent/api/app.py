"""The registry over HTTP. Each endpoint names who may call it; what it does is in
:mod:`consent.commands`.

Endpoints are in :mod:`consent.api`, by caller; the log's own in :mod:`consent.api.log`, those of
identity in :mod:`consent.api.identity`. Errors are RFC 9457 problem details.
"""

from datetime import datetime
from functools import partial

from fastapi import FastAPI

from auditlog.group_commit import GroupCommit
from consent.api import borrowers, campaigns, identity, lenders, models, notices
from consent.api import log as logs
from consent.api.log import LogService
from consent.api.problems import install_problems
from consent.api.service import service
from consent.commands.record_decisions import record_requests
from consent.identity.access import Access
from consent.outbox import Outbox, load_inboxes
from consent.registry import Registry


def create_app(registry: Registry, started: datetime | None = None) -> FastAPI:
    """The HTTP application over an open registry. ``started``: see
    :class:`consent.identity.access.Access`."""
    log = LogService.of(registry)
    decisions = GroupCommit(partial(record_requests, registry), "decisions")
    outbox = Outbox(registry, load_inboxes(registry.home))
    # in the order in which they are looked through at every request
    routers = [
        module.router for module in (borrowers, lenders, logs, notices, campaigns, models, identity)
    ]
    app = service("Tahini consent registry", registry.ledger, routers, [log, decisions, outbox])
    app.state.registry = registry
    app.state.access = Access(registry, started)
    app.state.log, app.state.decisions = log, decisions
    install_problems(app)
    return app
