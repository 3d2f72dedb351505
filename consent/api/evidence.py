"""For auditors: samples announced, and what shows the consents of who was drawn."""

from typing import Annotated

from fastapi import Path
from fastapi.responses import Response
from pydantic import Field

from consent.api.log import BINARY, PRIVATE, Binary
from consent.api.shared import Body, Commanded, TheRegistry, Token, problems
from consent.commands.open_evidence import announce_sample, open_evidence
from consent.commands.succeed_auditor import succeed_auditor
from consent.identity import access
from protocol.parties import Party, Role

MAX_SAMPLE_TEXT = 8 * 1024 * 1024


class OpenedToken(Body):
    """A lender's opened sample, as a compact JWS."""

    token: str = Field(max_length=MAX_SAMPLE_TEXT, examples=["the signed sample, as it was opened"])


router = access.endpoints(tags=["auditor"])
Auditor = Annotated[Party, access.only(Role.AUDITOR)]


@router.post("/v1/evidence/samples", status_code=201, responses=problems(404, 409))
def post_sample(
    registry: TheRegistry, body: Token, caller: Auditor, command: Commanded
) -> Response:
    """Announce a sample of a campaign's rosters; the entry's place in the log seeds the draw."""
    return command.run(
        caller, lambda: {"entry_index": announce_sample(registry, caller, body.token)}
    )


@router.post("/v1/auditors/successions", status_code=201, responses=problems())
def post_succession(
    registry: TheRegistry, body: Token, caller: Auditor, command: Commanded
) -> Response:
    """Log that the caller took over, signed by the outgoing auditor, what was sealed to that."""
    return command.run(
        caller, lambda: {"entry_index": succeed_auditor(registry, caller, body.token)}
    )


@router.post(
    "/v1/evidence/samples/{index}/openings", response_class=Binary, responses=problems(404, 409)
)
def post_opening(
    registry: TheRegistry,
    index: Annotated[int, Path(ge=0, lt=1 << 62)],
    body: OpenedToken,
    caller: Auditor,
) -> Response:
    """Decisions and notices of whom a lender opened for a sample, sealed to the auditor. Logged."""
    found = open_evidence(registry, caller, index, body.token)
    return Response(found, media_type=BINARY, headers=PRIVATE)
