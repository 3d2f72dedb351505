"""The registry over HTTP. Each endpoint names who may call it; everything else is in :mod:`consent.commands`.

Errors are RFC 9457 problem details. ``/checkpoint`` and ``/tile`` are C2SP tlog-tiles and need no authentication:
they hold no personal data.
"""

import logging
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

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
from consent.errors import ConsentError, NotAllowed, NotAuthenticated
from consent.registry import Registry
from consent.requests import ReplayGuard, SignedRequest, verify_request
from crypto.errors import CryptoError, ProofError, SignatureError
from crypto.keys import b64
from crypto.tiles import MAX_LEVEL, parse_tile_path

MAX_BODY_BYTES = 16 * 1024 * 1024
IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}
logger = logging.getLogger("tahini.registry")
Count = Annotated[int, Field(ge=0, lt=1 << 63)]


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


def problem(status: int, code: str, detail: str) -> JSONResponse:
    body = {"type": f"urn:tahini:problem:{code}", "title": code.replace("-", " "), "status": status, "detail": detail}
    return JSONResponse(body, status, media_type="application/problem+json")


def create_app(registry: Registry) -> FastAPI:
    """The HTTP application over an open registry."""
    app = FastAPI(title="Tahini consent registry", version="1", docs_url="/docs", redoc_url=None)
    guard = ReplayGuard(registry.clock())

    async def signed(request: Request) -> tuple[str, SignedRequest]:
        """The verified request and its issuer."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotAuthenticated("this call needs a signed request in the Authorization header")
        try:
            issuer = SignedRequest.claimed(token).iss
            key = (
                await run_in_threadpool(read_consents.subject_key, registry, issuer)
                if issuer.startswith("v") and "." in issuer
                else registry.consortium.party(issuer).key
            )
        except (SignatureError, ConsentError) as error:
            raise NotAuthenticated("the request is signed by nobody who is known here") from error
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        body = await request.body()
        verified = verify_request(token, key, registry.me.id, request.method, target, body, registry.clock(), guard)
        return issuer, verified

    def only(*roles: Role) -> Callable[..., Awaitable[Party]]:
        async def caller(who: Annotated[tuple[str, SignedRequest], Depends(signed)]) -> Party:
            if "." in who[0]:
                raise NotAllowed(f"this call is for a {' or '.join(roles)}")
            party = registry.consortium.party(who[0])
            if party.role not in roles:
                raise NotAllowed(f"{party.id!r} is a {party.role}; this call is for a {' or '.join(roles)}")
            return party

        return caller

    async def subject(who: Annotated[tuple[str, SignedRequest], Depends(signed)]) -> str:
        if "." not in who[0]:
            raise NotAllowed("this call is for borrowers")
        return who[0]

    Operator = Annotated[Party, Depends(only(Role.REGISTRY))]
    Lender = Annotated[Party, Depends(only(Role.LENDER))]
    Coordinator = Annotated[Party, Depends(only(Role.COORDINATOR))]
    Auditor = Annotated[Party, Depends(only(Role.AUDITOR))]
    Anyone = Annotated[Party, Depends(only(*Role))]
    Subject = Annotated[str, Depends(subject)]

    @app.middleware("http")
    async def limit_body(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        length = request.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES or "transfer-encoding" in request.headers:
            return problem(
                413, "too-large", f"a request body may hold at most {MAX_BODY_BYTES} bytes, with its length stated"
            )
        return await call_next(request)

    @app.exception_handler(ConsentError)
    def refused(_: Request, error: ConsentError) -> JSONResponse:
        return problem(error.status, error.code, str(error))

    @app.exception_handler(CryptoError)
    def not_proved(_: Request, error: CryptoError) -> JSONResponse:
        code = "no-such-proof" if isinstance(error, ProofError) else "not-authenticated"
        return problem(404 if isinstance(error, ProofError) else 401, code, str(error))

    @app.exception_handler(RequestValidationError)
    def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return problem(422, "malformed", f"{place}: {first['msg']}")

    @app.exception_handler(HTTPException)
    def plain(_: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, "http", str(error.detail))

    @app.exception_handler(Exception)
    def unexpected(_: Request, error: Exception) -> JSONResponse:
        logger.error("unexpected %s", type(error).__name__, exc_info=error)
        return problem(500, "internal", "the registry failed on this request; nothing was acknowledged")

    @app.get("/healthz")
    def healthz() -> dict[str, Any]:
        with registry.database.read() as session:
            return {"status": "ok", "entries": registry.log.size(session)}

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
        return {"recorded": len(recorded), "receipts": [read_consents.issue_receipt(registry, item) for item in few]}

    @app.get("/v1/me/consents")
    def my_consents(caller: Subject) -> dict[str, Any]:
        return {"consents": read_consents.read_consents(registry, caller)}

    @app.delete("/v1/me")
    def forget_me(caller: Subject) -> dict[str, int]:
        return {"ended": forget_subject.forget_subject(registry, caller)}

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

    # --- the log

    @app.get("/checkpoint", response_class=PlainTextResponse)
    def checkpoint(response: Response) -> PlainTextResponse:
        with registry.database.read() as session:
            note = registry.log.checkpoint(session)
        return PlainTextResponse(note, headers={"Cache-Control": "no-store"})

    @app.get("/tile/entries/{path:path}")
    def entries(path: str) -> Response:
        bundle, width = parse_tile_path(path)
        with registry.database.read() as session:
            data = registry.log.entries(session, bundle, width)
        return Response(data, media_type="application/octet-stream", headers=IMMUTABLE)

    @app.get("/tile/{level}/{path:path}")
    def tile(level: Count, path: str) -> Response:
        index, width = parse_tile_path(path)
        if not 0 <= level <= MAX_LEVEL:
            raise ProofError(f"not a tile level: {level}")
        with registry.database.read() as session:
            data = registry.log.tile(session, level, index, width)
        return Response(data, media_type="application/octet-stream", headers=IMMUTABLE)

    @app.get("/v1/log/consistency")
    def consistency(old: Count, new: Count) -> dict[str, list[str]]:
        with registry.database.read() as session:
            proof = registry.log.prove_consistency(session, old, new)
        return {"proof": [b64encode(value).decode() for value in proof]}

    @app.get("/v1/log/inclusion/{index}", response_class=PlainTextResponse)
    def inclusion(index: Count) -> str:
        with registry.database.read() as session:
            return registry.log.prove_inclusion(session, index).text

    @app.get("/v1/log/bodies/{index}")
    def body(index: Count, caller: Auditor) -> Response:
        with registry.database.read() as session:
            data = registry.log.entry(session, index).body
        return Response(data, media_type="application/octet-stream", headers=IMMUTABLE)

    return app
