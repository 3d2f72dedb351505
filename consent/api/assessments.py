"""Impact assessments: recorded by whoever answers for them, read by every institution."""

from typing import Annotated, Any

from fastapi.responses import Response

from consent.api.borrowers import Sha256Path
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
from consent.commands import record_assessments
from consent.identity import access
from consent.identity.callers import Caller
from protocol.parties import Party, Role

ASSESSMENT = Link(
    "assessment",
    "/v1/assessments/{sha256}",
    "get",
    {"sha256": "$response.body#/sha256"},
    "It, as it was signed.",
)
router = access.endpoints(tags=["assessments"])
Author = Annotated[Party, access.only(Role.COORDINATOR, Role.LENDER)]
Institution = Annotated[
    Party, access.only(*(role for role in Caller if role is not Caller.SUBJECT))
]


@router.post(
    "/v1/assessments", status_code=201, responses={**problems(409), **links(201, ASSESSMENT)}
)
def post_assessment(
    registry: TheRegistry, body: Token, caller: Author, command: Commanded
) -> Response:
    """Record an impact assessment, signed by its author. Campaigns name it by its hash."""
    return command.run(
        caller,
        lambda: {
            "sha256": record_assessments.record_assessment(registry, caller, body.token).sha256
        },
    )


@router.get("/v1/assessments", responses=problems())
def list_assessments(
    registry: TheRegistry, caller: Institution, cursor: Cursor = None, limit: Limit = 100
) -> Page[dict[str, Any]]:
    """Every assessment, in the order in which they were recorded."""
    return Page(**page(record_assessments.list_assessments(registry), cursor, limit))


@router.get("/v1/assessments/{sha256}", responses=problems(404))
def get_assessment(
    registry: TheRegistry, sha256: Sha256Path, caller: Institution
) -> dict[str, Any]:
    """An assessment as its author signed it, and where its entry stands in the log."""
    return record_assessments.read_assessment(registry, sha256)
