"""The registry over HTTP. Each endpoint names who may call it; everything else is in :mod:`consent.commands`.

Errors are RFC 9457 problem details. The log's own endpoints are in :mod:`consent.log_api`.
"""

from typing import Annotated, Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from consent.access import Access
from consent.commands import (
    authorise,
    commit_roster,
    forget_subject,
    propose_campaign,
    publish_notice,
    read_consents,
    record_decisions,
)
from consent.commands.enrol_subjects import Enrolments, enrol_subjects
from consent.documents import RECEIPTS_UP_TO, Party, Role
from consent.errors import NotWitnessed
from consent.identity.api import identity_routes
from consent.identity.callers import Borrower
from consent.identity.problems import install_problems
from consent.log_api import log_routes
from consent.registry import Registry
from consent.service import Count, service
from crypto.keys import b64


class Token(BaseModel):
    """One signed document."""

    model_config = ConfigDict(extra="forbid")
    token: str = Field(max_length=1_000_000)


class Tokens(BaseModel):
    """Signed decisions, accepted all or none."""

    model_config = ConfigDict(extra="forbid")
    tokens: list[Annotated[str, Field(max_length=16_384)]] = Field(min_length=1, max_length=record_decisions.MAX_BATCH)


class Subjects(BaseModel):
    model_config = ConfigDict(extra="forbid")
    subjects: Enrolments


class CardUpload(BaseModel):
    model_config = ConfigDict(extra="forbid")
    card_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    card: str = Field(max_length=commit_roster.MAX_CARD_TEXT)


def create_app(registry: Registry) -> FastAPI:
    """The HTTP application over an open registry. Start ``registry.sequencer`` beside it."""
    access = Access(registry)
    app = service("Tahini consent registry", registry)
    install_problems(app)
    limited = [access.limit_public()]
    app.include_router(log_routes(registry, access), dependencies=limited)
    app.include_router(_registry_routes(registry, access), dependencies=limited)
    app.include_router(identity_routes(registry, access), dependencies=limited)
    return app


def _registry_routes(registry: Registry, access: Access) -> APIRouter:
    app = APIRouter()
    Operator = Annotated[Party, access.only(Role.REGISTRY)]
    Lender = Annotated[Party, access.only(Role.LENDER)]
    Coordinator = Annotated[Party, access.only(Role.COORDINATOR)]
    Anyone = Annotated[Party, access.only(*Role)]
    Subject = Annotated[Borrower, access.subject()]

    @app.get("/v1/consortium", response_class=PlainTextResponse)
    def consortium() -> str:
        return registry.consortium_token

    # --- notices, subjects, decisions

    @app.post("/v1/notices", status_code=201)
    def post_notice(body: Token, caller: Operator) -> dict[str, Any]:
        notice = publish_notice.publish_notice(registry, body.token)
        return {"id": notice.id, "version": notice.version}

    @app.get("/v1/notices/{notice_id}/{version}", response_class=PlainTextResponse)
    def get_notice(notice_id: str, version: Count) -> str:
        return publish_notice.read_notice(registry, notice_id, version)

    @app.post("/v1/subjects", status_code=201)
    def post_subjects(body: Subjects, caller: Lender) -> dict[str, int]:
        return {"enrolled": enrol_subjects(registry, caller, body.subjects)}

    @app.post("/v1/decisions", status_code=201)
    def post_decisions(body: Tokens) -> dict[str, Any]:
        recorded = record_decisions.record_decisions(registry, body.tokens)
        few = recorded if len(recorded) <= RECEIPTS_UP_TO else []
        try:
            receipts = [read_consents.issue_receipt(registry, item) for item in few]
        except NotWitnessed:
            return {"recorded": len(recorded), "receipts": [], "pending": True}
        return {"recorded": len(recorded), "receipts": receipts, "pending": False}

    @app.get("/v1/me/receipts/{decision_sha256}", response_class=PlainTextResponse)
    def my_receipt(decision_sha256: str, caller: Subject) -> str:
        return read_consents.reissue_receipt(registry, caller.subjects[0], decision_sha256)

    @app.get("/v1/me/consents")
    def my_consents(caller: Subject) -> dict[str, Any]:
        return {"consents": read_consents.read_consents(registry, caller.subjects[0])}

    @app.delete("/v1/me")
    def forget_me(caller: Subject) -> dict[str, int]:
        return {"ended": forget_subject.forget_subject(registry, caller.subjects[0])}

    # --- campaigns

    @app.post("/v1/campaigns", status_code=201)
    def post_campaign(body: Token, caller: Coordinator) -> dict[str, str]:
        return {"sha256": propose_campaign.propose_campaign(registry, caller, body.token).sha256}

    @app.get("/v1/campaigns/{sha256}")
    def get_campaign(sha256: str, caller: Anyone) -> dict[str, Any]:
        with registry.database.read() as session:
            _, row = propose_campaign.load_campaign(registry, session, sha256)
            return {"token": row.token, "active": row.activated_at is not None}

    @app.post("/v1/campaigns/{sha256}/approvals", status_code=201)
    def post_approval(sha256: str, body: Token, caller: Lender) -> dict[str, bool]:
        return {"active": propose_campaign.approve_campaign(registry, caller, sha256, body.token)}

    @app.post("/v1/campaigns/{sha256}/authorisations", status_code=201)
    def post_authorisation(sha256: str, caller: Lender) -> dict[str, str]:
        return {"token": authorise.authorise(registry, caller, sha256)}

    @app.get("/v1/campaigns/{sha256}/snapshot", response_class=PlainTextResponse)
    def get_snapshot(sha256: str, caller: Lender) -> str:
        return authorise.take_snapshot(registry, caller, sha256)

    @app.post("/v1/campaigns/{sha256}/commitments", status_code=201)
    def post_commitment(sha256: str, body: commit_roster.CommitmentRequest, caller: Lender) -> dict[str, str]:
        leaf, proof = commit_roster.commit_roster(registry, caller, sha256, body)
        return {"leaf": b64(leaf), "proof": proof}

    @app.post("/v1/campaigns/{sha256}/model", status_code=201)
    def post_model(sha256: str, body: CardUpload, caller: Coordinator) -> dict[str, str]:
        leaf, proof = commit_roster.log_model(registry, caller, sha256, body.card_sha256, body.card)
        return {"leaf": b64(leaf), "proof": proof}

    return app
