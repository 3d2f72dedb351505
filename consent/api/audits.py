"""Compliance audits: reported by the auditor, remedied by whom a finding is about."""

from typing import Annotated, Any

from fastapi.responses import Response

from consent.api.assessments import Institution
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
from consent.commands import record_audits
from consent.identity import access
from protocol.parties import Party, Role

REPORT = Link(
    "report",
    "/v1/audits/{sha256}",
    "get",
    {"sha256": "$response.body#/sha256"},
    "It, as it was signed.",
)
router = access.endpoints(tags=["audits"])
Auditor = Annotated[Party, access.only(Role.AUDITOR)]
Audited = Annotated[Party, access.only(*(role for role in Role if role is not Role.AUDITOR))]


@router.post("/v1/audits", status_code=201, responses={**problems(409), **links(201, REPORT)})
def post_audit(registry: TheRegistry, body: Token, caller: Auditor, command: Commanded) -> Response:
    """Record the report of a compliance audit, signed by the auditor. A firm's fourth of the same
    institution running is refused."""

    def record() -> dict[str, str]:
        report = record_audits.record_report(registry, caller, body.token)
        return {"sha256": report.sha256, "remedy_by": report.remedy_by.isoformat()}

    return command.run(caller, record)


@router.get("/v1/audits", responses=problems())
def list_audits(
    registry: TheRegistry, caller: Institution, cursor: Cursor = None, limit: Limit = 100
) -> Page[dict[str, Any]]:
    """Reports about the caller, or all for auditor and operator; what is remedied, what is late."""
    return Page(**page(record_audits.list_audits(registry, caller), cursor, limit))


@router.get("/v1/audits/due", responses=problems())
def due_audits(registry: TheRegistry, caller: Institution) -> list[dict[str, Any]]:
    """When each institution must be audited again."""
    return record_audits.audits_due(registry)


@router.get("/v1/audits/{sha256}", responses=problems(404))
def get_audit(registry: TheRegistry, sha256: Sha256Path, caller: Institution) -> dict[str, Any]:
    """A report as it was signed, where it is logged, and the remedies to its findings."""
    return record_audits.read_audit(registry, caller, sha256)


@router.post(
    "/v1/audits/{sha256}/remedies",
    status_code=201,
    responses={**problems(404, 409), **links(201, REPORT)},
)
def post_remedy(
    registry: TheRegistry, sha256: Sha256Path, body: Token, caller: Audited, command: Commanded
) -> Response:
    """Record that the caller remedied a finding about it, signed by the caller."""

    def record() -> dict[str, str]:
        remedy = record_audits.record_remedy(registry, caller, sha256, body.token)
        return {"sha256": remedy.report_sha256, "finding": remedy.finding}

    return command.run(caller, record)
