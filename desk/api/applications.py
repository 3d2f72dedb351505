"""Applications, decisions, offers, acceptance."""

from __future__ import annotations

from asyncio import timeout, wrap_future
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from desk.api.shared import (
    Commanded,
    Cursor,
    DeskBody,
    DeskId,
    Fen,
    IfMatch,
    Limit,
    TheDesk,
    WholeList,
    only,
    paged,
    refusals,
    shown,
)
from desk.api.views import application_view, decided_view
from desk.callers import CallerRole, DeskCaller
from desk.commands.accept import Acceptance, accept, withdraw
from desk.commands.apply import Applying, DecidedApplication, LoanWanted, await_log
from desk.commands.letters import disclosure, letter, receipt
from desk.commands.review import contest
from desk.commands.verify import VerificationWanted, verify
from desk.courses import SideBySide
from desk.records import etag_of, held
from desk.storage.idempotency import ActsOnce
from desk.storage.tables import applications, verifications
from desk.wording import TONGUES
from protocol.cursors import cursor_of, position
from protocol.errors import NotFound
from protocol.schema import Pseudonym, Sha256

router = APIRouter(tags=["applications"])
SOON_S = 0.5
Origination = Annotated[DeskCaller, only(CallerRole.ORIGINATION)]
Anybody = Annotated[DeskCaller, only(*CallerRole)]


class NewApplication(DeskBody):
    """What somebody asks for. ``pseudonym``: their name at this lender, never an identity
    number."""

    pseudonym: Pseudonym
    product: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    amount: Fen
    term_days: int = Field(strict=True, ge=1, le=36_500)
    purpose: str = Field(min_length=1, max_length=200)
    wants_person: bool = False


class AcceptedOffer(DeskBody):
    """Which decision's offer, and the SHA-256 of the disclosure table that was confirmed."""

    decision: DeskId
    disclosure_sha256: Sha256


class Contested(DeskBody):
    """What the applicant says of the decision, in their own words."""

    view: str | None = Field(default=None, min_length=1, max_length=4000)


class NewVerification(DeskBody):
    provider: str = Field(max_length=63)
    kind: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")


@router.post("/v1/applications", status_code=201, responses=refusals(409))
async def post_application(
    body: NewApplication,
    request: Request,
    desk: TheDesk,
    caller: Origination,
    command: Commanded,
) -> Response:
    """Decide an application. 201 with the outcome once the log has its entry; 202 while it is
    pending: ask again with GET, nothing takes effect before."""
    made = await applied(request, desk, LoanWanted(**body.model_dump()), command.once(caller))
    if made.made is None or made.index is None:
        again = made.made is None
        return await run_in_threadpool(_shown, desk, made.application, (201, again))
    return shown(decided_view(made.made, made.index), 201, etag_of(1, "logged"))


async def applied(
    request: Request, desk: TheDesk, wanted: LoanWanted, once: ActsOnce | None
) -> DecidedApplication:
    """Decided together with whoever else applies, with the log's index if it came in time."""
    applying: Applying = request.app.state.applying
    side_by_side: SideBySide[DecidedApplication] = request.app.state.side_by_side
    made = await wrap_future(side_by_side.submit(applying.course(wanted, once)))
    return replace(made, index=await _index(desk, made.application))


async def _index(desk: TheDesk, application: str) -> int | None:
    """As :func:`await_log`; no thread waits for what this process delivers at once."""
    try:
        async with timeout(SOON_S):
            return (await wrap_future(desk.sender.hear(application, "use.scored"))).index
    except TimeoutError:
        return await run_in_threadpool(await_log, desk, application)


def _shown(desk: TheDesk, application: str, answered: tuple[int, bool] = (200, False)) -> Response:
    with desk.reading() as hand:
        found = held(hand.connection, application)
        view = application_view(desk, hand.connection, found)
    status, again = answered
    return shown(view, 202 if view["status"] == "pending" else status, found.etag, again)


@router.get("/v1/applications", responses=refusals())
def get_applications(
    desk: TheDesk, caller: Anybody, cursor: Cursor = None, limit: Limit = 100
) -> WholeList:
    """All applications, the oldest first, by id and status."""
    with desk.reading() as hand:
        rows = hand.connection.execute(
            select(applications)
            .where(applications.c.number > position(cursor))
            .order_by(applications.c.number)
            .limit(limit + 1)
        ).all()
        page, following = paged(rows, limit, lambda row: int(row.number))
        items = [
            {key: view[key] for key in ("id", "product", "amount", "received_at", "status")}
            for row in page
            if (view := application_view(desk, hand.connection, held(hand.connection, row.id)))
        ]
    return WholeList(items=items, next=None if following is None else cursor_of(following))


@router.get("/v1/applications/{application}", responses=refusals(404))
def get_application(application: DeskId, desk: TheDesk, caller: Anybody) -> Response:
    """How an application stands."""
    return _shown(desk, application)


@router.post(
    "/v1/applications/{application}/acceptance", responses=refusals(404, 409, 412), status_code=201
)
def post_acceptance(
    application: DeskId,
    body: AcceptedOffer,
    desk: TheDesk,
    caller: Origination,
    command: Commanded,
    if_match: IfMatch = None,
) -> Response:
    """Accept the offer; consent is checked again with the registry."""
    said = Acceptance(body.decision, body.disclosure_sha256)
    accept(desk, application, said, if_match, command.once(caller))
    return _shown(desk, application, (201, False))


@router.get("/v1/applications/{application}/disclosure", responses=refusals(404, 409))
def get_disclosure(application: DeskId, desk: TheDesk, caller: Anybody) -> Response:
    """What the offer costs in all: to be shown, and confirmed by its hash, before it is
    accepted."""
    table = disclosure(desk, application, to_show=caller.role is CallerRole.ORIGINATION)
    texts: dict[str, Any] = {tongue: table.text(tongue) for tongue in TONGUES}
    return shown({"sha256": table.hash, "table": table.payload(), **texts})


@router.get("/v1/applications/{application}/letter", responses=refusals(404, 409))
def get_letter(application: DeskId, desk: TheDesk, caller: Origination) -> Response:
    """The letter about the newest decision, with its reasons and how to contest it; that it was
    explained is stated in the log."""
    found = letter(desk, application)
    texts: dict[str, Any] = {tongue: found.texts[tongue] for tongue in TONGUES}
    return shown({"decision": found.decision, **texts})


@router.get("/v1/decisions/{decision}/receipt", responses=refusals(404, 409))
def get_receipt(decision: DeskId, desk: TheDesk, caller: Anybody) -> Response:
    """The signed receipt, for the person: tahini receipt verify."""
    return shown({"receipt": receipt(desk, decision)})


@router.post("/v1/applications/{application}/withdrawal", responses=refusals(404, 409, 412))
def post_withdrawal(
    application: DeskId,
    desk: TheDesk,
    caller: Origination,
    command: Commanded,
    if_match: IfMatch = None,
) -> Response:
    """The applicant does not want the loan any more."""
    withdraw(desk, application, if_match, command.once(caller))
    return _shown(desk, application)


@router.post(
    "/v1/applications/{application}/contest", responses=refusals(404, 409), status_code=201
)
def post_contest(
    application: DeskId,
    desk: TheDesk,
    caller: Origination,
    command: Commanded,
    body: Contested | None = None,
) -> Response:
    """The applicant wants a person to look at it, and may say why; the reviewer reads it."""
    view = None if body is None else body.view
    review = contest(desk, application, view, command.once(caller))
    return shown({"review": review}, 201)


@router.post(
    "/v1/applications/{application}/verifications", responses=refusals(404), status_code=201
)
def post_verification(
    application: DeskId,
    body: NewVerification,
    desk: TheDesk,
    caller: Annotated[DeskCaller, only(CallerRole.ORIGINATION, CallerRole.REVIEWER)],
    command: Commanded,
) -> Response:
    """Have a third party verify something that the applicant stated."""
    verifier = desk.verifiers.get(body.provider)
    if verifier is None:
        raise NotFound("there is no such verifier; the desk's sources.toml names them")
    wanted = VerificationWanted(application, body.kind, caller.name)
    made = verify(desk, verifier, wanted, command.once(caller))
    with desk.reading() as hand:
        row = hand.connection.execute(select(verifications).where(verifications.c.id == made)).one()
    said: dict[str, Any] = {name: getattr(row, name) for name in ("id", "kind", "provider")}
    return shown(said | {"result": row.result}, 201)
