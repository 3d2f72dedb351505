"""Campaigns: proposed by the coordinator, approved by lenders, authorised, committed, ended with a model card."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field
from sqlalchemy import select

from consent.api import examples
from consent.api.borrowers import Sha256Path
from consent.api.examples import shown
from consent.api.shared import (
    Body,
    Command,
    Commanded,
    Cursor,
    Limit,
    Link,
    Page,
    TheRegistry,
    Token,
    links,
    problems,
    run,
    sent,
)
from consent.commands import authorise, commit_roster, count_population, propose_campaign, revocations
from consent.commands.release_model import MAX_CARD_TEXT, MAX_MODEL_TEXT, release_model
from consent.identity import access
from consent.identity.callers import Caller
from consent.registry import Registry
from consent.storage.idempotency import Answered
from consent.storage.tables import ApprovalRow, AuthorisationRow, CampaignRow, RejectionRow
from consent.transaction import act_once, reading
from crypto.keys import b64
from protocol.campaigns import AuthorisationRequest, Campaign, CommitmentRequest
from protocol.cursors import cursor_of, position
from protocol.parties import Party, Role
from protocol.schema import Sha256, Slug
from protocol.terms import Iri, Sensitivity


class CardUpload(Body):
    """A signed model card, its hash, and the model that it names."""

    card_sha256: Sha256 = Field(examples=["0" * 64])
    card: str = Field(max_length=MAX_CARD_TEXT, examples=["the signed card, as it is published"])
    model: str = Field(max_length=MAX_MODEL_TEXT, examples=["the model's file, base64url without padding"])


_BY_SHA256 = {"sha256": "$response.body#/sha256"}
CAMPAIGN = Link("campaign", "/v1/campaigns/{sha256}", "get", _BY_SHA256, "It, and who has approved it.")
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


router = APIRouter(tags=["campaigns"], dependencies=[access.limit_public()])
Coordinator = Annotated[Party, access.only(Role.COORDINATOR)]
Lender = Annotated[Party, access.only(Role.LENDER)]
Anyone = Annotated[Party, access.only(*(role for role in Caller if role is not Caller.SUBJECT))]
Overseer = Annotated[Party, access.only(Caller.AUDITOR, Caller.OPERATOR)]


def _proved(registry: Registry, caller: Party, command: Command, do: Callable[[], int]) -> Response:
    """What only its own proof acknowledges: the leaf and its ``.tlog-proof``, the second time as the first."""
    logged = act_once(registry, command.once(caller), lambda: (201, {"entry_index": do()}))
    leaf, proof = registry.ledger.proved(logged.body["entry_index"])
    return sent(Answered(201, {"leaf": b64(leaf), "proof": proof.text}, logged.again))


@router.post("/v1/populations", responses=problems(409, 422))
def population(registry: TheRegistry, body: PopulationRequest, caller: Coordinator, command: Commanded) -> Response:
    """About how many people could be used: a count with noise, the same all day for the same question.

    Each new answer costs everybody epsilon, of what the consortium sets aside for counts; then 409.
    """

    def count() -> dict[str, Any]:
        found = count_population.count_population(registry, caller, body.purpose, body.lenders, body.sensitivity)
        return {"people": found.count, "epsilon": found.epsilon}

    return run(registry, caller, command, count, 200)


@router.post("/v1/campaigns", status_code=201, responses={**problems(409), **links(201, CAMPAIGN, AUTHORISATIONS)})
def post_campaign(registry: TheRegistry, body: Token, caller: Coordinator, command: Commanded) -> Response:
    """Propose a campaign, signed by the coordinator."""
    return run(
        registry, caller, command,
        lambda: {"sha256": propose_campaign.propose_campaign(registry, caller, body.token).sha256},
    )  # fmt: skip


@router.get("/v1/campaigns", responses=problems())
def list_campaigns(
    registry: TheRegistry, caller: Anyone, cursor: Cursor = None, limit: Limit = 100
) -> Page[dict[str, Any]]:
    """Campaigns in the order in which they were proposed; lenders see those that they are part of."""
    after = position(cursor)
    with registry.ledger.read() as session:
        rows = session.scalars(
            select(CampaignRow).where(CampaignRow.number > after).order_by(CampaignRow.number).limit(limit)
        ).all()
    found = []
    for row in rows:
        campaign = Campaign.claimed(row.token)
        if caller.role is not Role.LENDER or caller.id in campaign.lenders:
            activated = row.activated_at.isoformat() if row.activated_at else None
            found.append({"sha256": row.sha256, "id": campaign.id, "title": campaign.title, "activated_at": activated})
    return Page(items=found, next=cursor_of(rows[-1].number) if len(rows) == limit else None)


@router.get("/v1/campaigns/{sha256}", responses=problems(404))
def get_campaign(registry: TheRegistry, sha256: Sha256Path, caller: Anyone) -> dict[str, Any]:
    """A campaign as its coordinator signed it, who has approved or rejected it, and (not to lenders) why."""
    with reading(registry) as view:
        session = view.session
        _, row = propose_campaign.load_campaign(view, sha256)
        approved = session.scalars(select(ApprovalRow.lender).where(ApprovalRow.campaign_sha256 == sha256))
        noes = session.scalars(select(RejectionRow).where(RejectionRow.campaign_sha256 == sha256)).all()
        return {
            "token": row.token, "active": row.activated_at is not None, "approved_by": sorted(approved),
            "rejected_by": sorted(no.lender for no in noes),
            "rejections": [] if caller.role is Role.LENDER else [no.token for no in noes],
        }  # fmt: skip


@router.post("/v1/campaigns/{sha256}/approvals", status_code=201, responses=problems(404, 409))
def post_approval(
    registry: TheRegistry, sha256: Sha256Path, body: Token, caller: Lender, command: Commanded
) -> Response:
    """A lender's yes, by the campaign's hash. With the last one the campaign is active."""
    return run(
        registry, caller, command,
        lambda: {"active": propose_campaign.approve_campaign(registry, caller, sha256, body.token)},
    )  # fmt: skip


@router.post("/v1/campaigns/{sha256}/rejections", status_code=201, responses=problems(404, 409))
def post_rejection(
    registry: TheRegistry, sha256: Sha256Path, body: Token, caller: Lender, command: Commanded
) -> Response:
    """A lender's no, before its yes or after. An active campaign goes on without it, while enough are left."""
    return run(
        registry, caller, command,
        lambda: {"was_active": propose_campaign.reject_campaign(registry, caller, sha256, body.token)},
    )  # fmt: skip


@router.post(
    "/v1/campaigns/{sha256}/authorisations",
    status_code=201,
    responses=problems(404, 409),
    openapi_extra=shown(examples.AUTHORISATION),
)
def post_authorisation(
    registry: TheRegistry, sha256: Sha256Path, body: AuthorisationRequest, caller: Lender, command: Commanded
) -> Response:
    """A data-use authorisation for the lender's node, for minutes; refused by the first rule that fails."""
    return run(
        registry, caller, command, lambda: {"token": authorise.authorise(registry, caller, sha256, body)}
    )  # fmt: skip


@router.get("/v1/campaigns/{sha256}/authorisations", responses=problems(404))
def list_authorisations(
    registry: TheRegistry, sha256: Sha256Path, caller: Overseer, cursor: Cursor = None, limit: Limit = 100
) -> Page[dict[str, Any]]:
    """The authorisations of a campaign, for those who watch over it."""
    start = position(cursor)
    with reading(registry) as view:
        session = view.session
        propose_campaign.load_campaign(view, sha256)
        rows = session.scalars(
            select(AuthorisationRow)
            .where(AuthorisationRow.campaign_sha256 == sha256)
            .order_by(AuthorisationRow.expires_at, AuthorisationRow.id)
            .offset(start)
            .limit(limit)
        ).all()
    found = [{"id": row.id, "lender": row.lender, "expires_at": row.expires_at.isoformat()} for row in rows]
    return Page(items=found, next=cursor_of(start + limit) if len(rows) == limit else None)


@router.get("/v1/revocations/outstanding", responses=problems())
def outstanding(registry: TheRegistry, caller: Overseer) -> Page[dict[str, Any]]:
    """How far each lender is behind with acknowledging revocations."""
    return Page(items=[found.body() for found in revocations.outstanding(registry)])


@router.post(
    "/v1/campaigns/{sha256}/commitments",
    status_code=201,
    responses=problems(404, 409),
    openapi_extra=shown(examples.COMMITMENT),
)
def post_commitment(
    registry: TheRegistry, sha256: Sha256Path, body: CommitmentRequest, caller: Lender, command: Commanded
) -> Response:
    """Commit to a roster; answered when its inclusion in the log is proved. The same release commits once."""
    return _proved(registry, caller, command, lambda: commit_roster.commit_roster(registry, caller, sha256, body))


@router.post("/v1/campaigns/{sha256}/model", status_code=201, responses=problems(404, 409))
def post_model(
    registry: TheRegistry, sha256: Sha256Path, body: CardUpload, caller: Coordinator, command: Commanded
) -> Response:
    """Log the signed model card of a campaign, and keep the model for the campaign's lenders."""
    return _proved(
        registry, caller, command,
        lambda: release_model(registry, caller, sha256, body.card_sha256, body.card, body.model),
    )  # fmt: skip
