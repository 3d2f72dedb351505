"""Campaigns: proposed by the coordinator, approved by lenders, authorised, committed, ended with a
model card."""

from typing import Annotated, Any

from fastapi.responses import Response
from pydantic import Field

from consent.api import examples
from consent.api.borrowers import Sha256Path
from consent.api.examples import shown
from consent.api.shared import (
    Body,
    Commanded,
    Cursor,
    Limit,
    Link,
    Page,
    TheRegistry,
    Token,
    links,
    problems,
)
from consent.commands import (
    authorise,
    commit_roster,
    count_population,
    propose_campaign,
    read_campaigns,
    revocations,
)
from consent.commands.release_model import MAX_CARD_TEXT, MAX_MODEL_TEXT, release_model
from consent.identity import access
from consent.identity.callers import Caller
from law.categories import Sensitivity
from protocol.campaigns import AuthorisationRequest, CommitmentRequest
from protocol.cursors import cursor_of, position
from protocol.parties import Party, Role
from protocol.schema import Sha256, Slug
from protocol.terms import Iri


class CardUpload(Body):
    """A signed model card, its hash, and the model that it names."""

    card_sha256: Sha256 = Field(examples=["0" * 64])
    card: str = Field(max_length=MAX_CARD_TEXT, examples=["the signed card, as it is published"])
    model: str = Field(
        max_length=MAX_MODEL_TEXT, examples=["the model's file, base64url without padding"]
    )


_BY_SHA256 = {"sha256": "$response.body#/sha256"}
CAMPAIGN = Link(
    "campaign", "/v1/campaigns/{sha256}", "get", _BY_SHA256, "It, and who has approved it."
)
AUTHORISATIONS = Link(
    "authorisations",
    "/v1/campaigns/{sha256}/authorisations",
    "get",
    _BY_SHA256,
    "What was authorised, for the auditor.",
)


class PopulationRequest(Body):
    """Whom a campaign would be about."""

    purpose: Iri = Field(examples=["https://w3id.org/dpv#CreditChecking"])
    lenders: tuple[Slug, ...] = Field(min_length=1, max_length=256, examples=[["aspen", "birch"]])
    sensitivity: Sensitivity = "ordinary"


router = access.endpoints(tags=["campaigns"])
Coordinator = Annotated[Party, access.only(Role.COORDINATOR)]
Lender = Annotated[Party, access.only(Role.LENDER)]
Anyone = Annotated[Party, access.only(*(role for role in Caller if role is not Caller.SUBJECT))]
Overseer = Annotated[Party, access.only(Caller.AUDITOR, Caller.OPERATOR)]


@router.post("/v1/populations", responses=problems(409, 422))
def population(
    registry: TheRegistry, body: PopulationRequest, caller: Coordinator, command: Commanded
) -> Response:
    """About how many people could be used: a count with noise, the same all day for the same
    question.

    Each new answer costs everybody epsilon, of what the consortium sets aside for counts; then 409.
    """

    def count() -> dict[str, Any]:
        found = count_population.count_population(
            registry, caller, body.purpose, body.lenders, body.sensitivity
        )
        return {"people": found.count, "epsilon": found.epsilon}

    return command.run(caller, count, 200)


@router.post(
    "/v1/campaigns",
    status_code=201,
    responses={**problems(409), **links(201, CAMPAIGN, AUTHORISATIONS)},
)
def post_campaign(
    registry: TheRegistry, body: Token, caller: Coordinator, command: Commanded
) -> Response:
    """Propose a campaign, signed by the coordinator."""
    return command.run(
        caller,
        lambda: {"sha256": propose_campaign.propose_campaign(registry, caller, body.token).sha256},
    )


@router.get("/v1/campaigns", responses=problems())
def list_campaigns(
    registry: TheRegistry, caller: Anyone, cursor: Cursor = None, limit: Limit = 100
) -> Page[dict[str, Any]]:
    """Campaigns in the order in which they were proposed; lenders see those that they are part
    of."""
    found, last = read_campaigns.list_campaigns(registry, caller, position(cursor), limit)
    return Page(items=found, next=None if last is None else cursor_of(last))


@router.get("/v1/campaigns/{sha256}", responses=problems(404))
def get_campaign(registry: TheRegistry, sha256: Sha256Path, caller: Anyone) -> dict[str, Any]:
    """A campaign as its coordinator signed it, who has approved or rejected it, and (not to
    lenders) why."""
    return read_campaigns.read_campaign(registry, caller, sha256)


@router.post("/v1/campaigns/{sha256}/approvals", status_code=201, responses=problems(404, 409))
def post_approval(
    registry: TheRegistry, sha256: Sha256Path, body: Token, caller: Lender, command: Commanded
) -> Response:
    """A lender's yes, by the campaign's hash. With the last one the campaign is active."""
    return command.run(
        caller,
        lambda: {"active": propose_campaign.approve_campaign(registry, caller, sha256, body.token)},
    )


@router.post("/v1/campaigns/{sha256}/rejections", status_code=201, responses=problems(404, 409))
def post_rejection(
    registry: TheRegistry, sha256: Sha256Path, body: Token, caller: Lender, command: Commanded
) -> Response:
    """A lender's no, before its yes or after. An active campaign goes on without it, while enough
    are left."""
    return command.run(
        caller,
        lambda: {
            "was_active": propose_campaign.reject_campaign(registry, caller, sha256, body.token)
        },
    )


@router.post(
    "/v1/campaigns/{sha256}/authorisations",
    status_code=201,
    responses=problems(404, 409),
    openapi_extra=shown(examples.AUTHORISATION),
)
def post_authorisation(
    registry: TheRegistry,
    sha256: Sha256Path,
    body: AuthorisationRequest,
    caller: Lender,
    command: Commanded,
) -> Response:
    """A data-use authorisation for the lender's node, for minutes; refused by the first rule that
    fails."""
    return command.run(
        caller, lambda: {"token": authorise.authorise(registry, caller, sha256, body)}
    )


@router.get("/v1/campaigns/{sha256}/authorisations", responses=problems(404))
def list_authorisations(
    registry: TheRegistry,
    sha256: Sha256Path,
    caller: Overseer,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[dict[str, Any]]:
    """The authorisations of a campaign, for those who watch over it."""
    start = position(cursor)
    found = read_campaigns.list_authorisations(registry, sha256, start, limit)
    return Page(items=found, next=cursor_of(start + limit) if len(found) == limit else None)


@router.get("/v1/revocations/outstanding", responses=problems())
def outstanding(registry: TheRegistry, caller: Overseer) -> Page[dict[str, Any]]:
    """How far each lender is behind with acknowledging revocations."""
    return Page(items=[found.body() for found in revocations.outstanding(registry)])


@router.get("/v1/revocations/late", responses=problems())
def late(registry: TheRegistry, caller: Coordinator) -> Page[str]:
    """Which lenders have not acknowledged revocations in time, and are authorised to nothing until
    they do; neither how many nor since when."""
    return Page(items=[one.recipient for one in revocations.outstanding(registry) if one.overdue])


@router.post(
    "/v1/campaigns/{sha256}/commitments",
    status_code=201,
    responses=problems(404, 409),
    openapi_extra=shown(examples.COMMITMENT),
)
def post_commitment(
    registry: TheRegistry,
    sha256: Sha256Path,
    body: CommitmentRequest,
    caller: Lender,
    command: Commanded,
) -> Response:
    """Commit to a roster; answered when its inclusion in the log is proved. The same release
    commits once."""
    return command.run_proved(
        caller, lambda: commit_roster.commit_roster(registry, caller, sha256, body)
    )


@router.get("/v1/campaigns/{sha256}/commitments", responses=problems(404))
def list_commitments(
    registry: TheRegistry,
    sha256: Sha256Path,
    caller: Lender,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[dict[str, int]]:
    """Which of my roster commitments for a campaign stands where in the log."""
    start = position(cursor)
    found = read_campaigns.list_commitments(registry, caller, sha256, start, limit)
    return Page(items=found, next=cursor_of(start + limit) if len(found) == limit else None)


@router.post("/v1/campaigns/{sha256}/model", status_code=201, responses=problems(404, 409))
def post_model(
    registry: TheRegistry,
    sha256: Sha256Path,
    body: CardUpload,
    caller: Coordinator,
    command: Commanded,
) -> Response:
    """Log the signed model card of a campaign, and keep the model for the campaign's lenders."""
    return command.run_proved(
        caller,
        lambda: release_model(registry, caller, sha256, body.card_sha256, body.card, body.model),
    )
