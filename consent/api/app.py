"""The registry over HTTP. Each endpoint names who may call it; what it does is in
:mod:`consent.commands`.

Endpoints are in :mod:`consent.api`, by caller; the log's own in :mod:`consent.api.log`, those of
identity in :mod:`consent.api.identity`. Errors are RFC 9457 problem details.
"""

from datetime import datetime

from fastapi import FastAPI

from consent.api import (
    assessments,
    audits,
    borrowers,
    campaigns,
    evidence,
    identity,
    incidents,
    lenders,
    models,
    notices,
    rights,
)
from consent.api import log as logs
from consent.api.log import LogService
from consent.api.problems import install_problems
from consent.api.service import Running, service
from consent.groups import Groups, OwnGroups
from consent.identity.access import Access
from consent.outbox import Outbox, load_inboxes
from consent.registry import Registry
from consent.retention import Retainer


def create_app(
    registry: Registry, started: datetime | None = None, groups: Groups | None = None
) -> FastAPI:
    """The HTTP application over an open registry.

    Args:
        started: see :class:`consent.identity.access.Access`.
        groups: of one worker among several: its service's writer commits them, delivers
            revocations, and deletes what was kept long enough. A process by itself does all that.
    """
    committed = groups or OwnGroups.of(registry)
    log, decisions = LogService.of(registry, committed.appends), committed.decisions
    running: list[Running] = [log, decisions]
    if groups is None:
        running += [Outbox(registry, load_inboxes(registry.home)), Retainer(registry)]
    # in the order in which they are looked through at every request
    by_use = (
        borrowers,
        lenders,
        rights,
        logs,
        notices,
        campaigns,
        models,
        evidence,
        assessments,
        incidents,
        audits,
        identity,
    )
    routers = [module.router for module in by_use]
    app = service("Tahini consent registry", registry.ledger, routers, running)
    app.state.registry = registry
    app.state.access = Access(registry, started)
    app.state.log, app.state.decisions = log, decisions
    install_problems(app)
    return app
