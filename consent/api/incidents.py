"""Incidents: reported by the institution where they happened, told to those whom they concern."""

from typing import Annotated, Any

from fastapi.responses import Response

from consent.api import examples
from consent.api.assessments import Institution
from consent.api.borrowers import Sha256Path
from consent.api.examples import shown
from consent.api.shared import (
    Commanded,
    Cursor,
    Limit,
    Link,
    Page,
    TheRegistry,
    Token,
    links,
    page,
    problems,
)
from consent.commands import report_incidents
from consent.identity import access
from consent.identity.callers import CallingBorrower
from protocol.incidents import IncidentReport
from protocol.parties import Party, Role

INCIDENT = Link(
    "incident",
    "/v1/incidents/{sha256}",
    "get",
    {"sha256": "$response.body#/sha256"},
    "It, and how many were told.",
)
router = access.endpoints(tags=["incidents"])
Reporter = Annotated[Party, access.only(Role.LENDER, Role.COORDINATOR, Role.REGISTRY, Role.NAMING)]
Subject = Annotated[CallingBorrower, access.subject()]


@router.post(
    "/v1/incidents",
    status_code=201,
    responses={**problems(409), **links(201, INCIDENT)},
    openapi_extra=shown(examples.INCIDENT),
)
def post_incident(
    registry: TheRegistry, body: IncidentReport, caller: Reporter, command: Commanded
) -> Response:
    """Report an incident, signed, and tell up to 500 of those whom it concerns; again for more.

    ``told`` counts who was told now. ``unreachable`` are those who are not the caller's borrowers
    or whose key is gone; they must be told by another way.
    """
    return command.run(
        caller, lambda: report_incidents.report_incident(registry, caller, body).body()
    )


@router.post("/v1/incidents/{sha256}/closure", status_code=201, responses=problems(404, 409))
def post_closure(
    registry: TheRegistry, sha256: Sha256Path, body: Token, caller: Reporter, command: Commanded
) -> Response:
    """Close an incident of the caller's own, signed. Who was told of it is shown so."""
    return command.run(
        caller,
        lambda: {
            "handled_at": report_incidents.close_incident(
                registry, caller, sha256, body.token
            ).handled_at.isoformat()
        },
    )


@router.get("/v1/incidents", responses=problems())
def list_incidents(
    registry: TheRegistry, caller: Institution, cursor: Cursor = None, limit: Limit = 100
) -> Page[dict[str, Any]]:
    """The caller's own incidents; every one for the auditor and the operator."""
    return Page(**page(report_incidents.list_incidents(registry, caller), cursor, limit))


@router.get("/v1/incidents/{sha256}", responses=problems(404))
def get_incident(registry: TheRegistry, sha256: Sha256Path, caller: Institution) -> dict[str, Any]:
    """An incident as it was signed, its closure, and how many were told."""
    return report_incidents.read_incident(registry, caller, sha256)


@router.get("/v1/me/incidents", responses=problems())
def my_incidents(
    registry: TheRegistry, caller: Subject, cursor: Cursor = None, limit: Limit = 100
) -> Page[dict[str, Any]]:
    """Incidents with my data, oldest first: what happened, what was done, what I can do, whom I can
    ask."""
    return Page(
        **page(report_incidents.read_my_incidents(registry, caller.subjects), cursor, limit)
    )
