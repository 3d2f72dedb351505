"""What a customer does and sees for themselves, with a token of their own: an application, what was
decided and why, an offer, a person who looks, a loan, more time.

Nothing here names another person; what is not theirs is answered as what is not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import Field
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from desk.accounts import account_of, etag_of, held_loan
from desk.api.applications import AcceptedOffer, Contested, applied
from desk.api.explained import explained
from desk.api.owing import choices, extension_view, owing
from desk.api.settling import OnDay, settlement_view
from desk.api.shared import Commanded, DeskBody, DeskId, Fen, IfMatch, TheDesk, refusals, shown
from desk.api.views import application_view
from desk.commands.accept import Acceptance, accept, withdraw
from desk.commands.apply import LoanWanted
from desk.commands.extend import extend
from desk.commands.letters import disclosure, letter, receipt
from desk.commands.repay import Booking
from desk.commands.review import contest
from desk.commands.settle import settlement
from desk.customers import GOOD_FOR, CustomerTokens, DeskCustomer
from desk.office import Desk
from desk.records import held
from desk.storage.idempotency import ActsOnce
from desk.storage.tables import applications, loans
from desk.wording import TONGUES
from lending.policy.pricing import Extending
from ops.request_log import note_caller
from protocol.errors import Malformed, NotAuthenticated
from protocol.schema import Sha256

router = APIRouter(tags=["customers"])
MINE = "/v1/me/applications/{application}"
MY_LOAN = "/v1/me/loans/{loan}"
MOST_LISTED = 200
CUSTOMER = "customer"


class MyApplication(DeskBody):
    """What I ask for."""

    product: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    amount: Fen
    term_days: int = Field(strict=True, ge=1, le=36_500)
    purpose: str = Field(min_length=1, max_length=200)
    wants_person: bool = False


class MyExtension(DeskBody):
    """``terms_sha256``: of what such an extension costs, as ``GET …/extension`` showed it."""

    days: int = Field(strict=True, ge=1, le=3660)
    terms_sha256: Sha256


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotAuthenticated("this call needs a token in the Authorization header")
    return token


async def _customer(request: Request, desk: TheDesk) -> DeskCustomer:
    found = CustomerTokens(desk.at_rest).who(_bearer(request), desk.now())
    note_caller(request.scope, CUSTOMER)
    return found


Me = Annotated[DeskCustomer, Depends(_customer)]


@dataclass(frozen=True)
class Own:
    """A request about an application of the caller's own."""

    desk: Desk
    id: str
    me: DeskCustomer

    def shown(self, status: int = 200, again: bool = False) -> Response:
        with self.desk.reading() as hand:
            found = held(hand.connection, self.id)
            view = explained(self.desk, hand.connection, found)
        return shown(view, status, found.etag, again)


def _own(application: DeskId, desk: TheDesk, me: Me) -> Own:
    with desk.reading() as hand:
        me.application(hand.connection, application)
    return Own(desk, application, me)


Mine = Annotated[Own, Depends(_own)]


def _once(command: Commanded, me: DeskCustomer) -> ActsOnce | None:
    """Under the customer's alias: what is kept of a command names nobody."""
    if command.key is None:
        return None
    return ActsOnce.of(me.alias, command.key, command.method, command.target, command.body)


@router.post("/v1/me/sessions", status_code=201, responses=refusals(409))
def post_session(request: Request, desk: TheDesk) -> Response:
    """A token for a login at this lender's front: what the registry gave for it is shown to the
    registry, which says whose customer that is."""
    if desk.vouch is None:
        raise NotAuthenticated("this desk has nobody who says who its customers are")
    token = CustomerTokens(desk.at_rest).give(desk.vouch(_bearer(request)), desk.now())
    return shown({"token": token, "expires_in": int(GOOD_FOR.total_seconds())}, 201)


# --- applications


@router.post("/v1/me/applications", status_code=201, responses=refusals(409))
async def post_mine(
    body: MyApplication, request: Request, desk: TheDesk, me: Me, command: Commanded
) -> Response:
    """Apply, and be decided about; 202 while the decision is not in the log."""
    wanted = LoanWanted(pseudonym=me.pseudonym, **body.model_dump())
    await run_in_threadpool(_heard, desk, me)
    made = await applied(request, desk, wanted, _once(command, me))
    with desk.reading() as hand:
        pending = held(hand.connection, made.application).entry_index is None
    mine = Own(desk, made.application, me)
    return await run_in_threadpool(mine.shown, 202 if pending else 201, made.made is None)


def _heard(desk: Desk, me: DeskCustomer) -> None:
    """Ask the registry, however young the copy is: they may have said yes a moment ago."""
    desk.permits.check_again(desk.permits.check(me.pseudonym, desk.sources.categories))


@router.get("/v1/me/applications", responses=refusals())
def get_all_mine(desk: TheDesk, me: Me) -> Response:
    """My applications, the newest first, and the loans that came of them."""
    query = (
        select(applications.c.id)
        .where(applications.c.pseudonym == me.pseudonym)
        .order_by(applications.c.number.desc())
        .limit(MOST_LISTED)
    )
    keys = ("id", "product", "amount", "term_days", "received_at", "status", "loan")
    with desk.reading() as hand:
        found = [
            application_view(desk, hand.connection, held(hand.connection, one))
            for one in hand.connection.scalars(query).all()
        ]
    return shown({"items": [{key: one[key] for key in keys if key in one} for one in found]})


@router.get(MINE, responses=refusals(404))
def get_mine(mine: Mine) -> Response:
    """How it stands, why, on which values, and what I can do."""
    return mine.shown()


@router.get(MINE + "/disclosure", responses=refusals(404, 409))
def get_my_disclosure(mine: Mine) -> Response:
    """What the offer costs in all, row by row; when it was first shown is kept."""
    table = disclosure(mine.desk, mine.id, to_show=True)
    rows = {tongue: [list(row) for row in table.rows(tongue)] for tongue in TONGUES}
    return shown({"sha256": table.hash, "rows": rows})


@router.get(MINE + "/letter", responses=refusals(404, 409))
def get_my_letter(mine: Mine) -> Response:
    """The letter about the newest decision, word for word."""
    found = letter(mine.desk, mine.id)
    return shown({tongue: found.texts[tongue] for tongue in TONGUES})


@router.post(MINE + "/acceptance", responses=refusals(404, 409, 412), status_code=201)
def post_my_acceptance(
    mine: Mine, body: AcceptedOffer, command: Commanded, if_match: IfMatch = None
) -> Response:
    """Accept the offer; consent is checked again with the registry."""
    said = Acceptance(body.decision, body.disclosure_sha256)
    accept(mine.desk, mine.id, said, if_match, _once(command, mine.me))
    return mine.shown(201)


@router.post(MINE + "/withdrawal", responses=refusals(404, 409, 412))
def post_my_withdrawal(mine: Mine, command: Commanded, if_match: IfMatch = None) -> Response:
    """I do not want the loan any more."""
    withdraw(mine.desk, mine.id, if_match, _once(command, mine.me))
    return mine.shown()


@router.post(MINE + "/contest", responses=refusals(404, 409), status_code=201)
def post_my_contest(mine: Mine, command: Commanded, body: Contested | None = None) -> Response:
    """I want a person to look at it, and may say why."""
    view = None if body is None else body.view
    contest(mine.desk, mine.id, view, _once(command, mine.me))
    return mine.shown(201)


@router.get("/v1/me/decisions/{decision}/receipt", responses=refusals(404, 409))
def get_my_receipt(decision: DeskId, desk: TheDesk, me: Me) -> Response:
    """The signed receipt of a decision about me."""
    with desk.reading() as hand:
        me.decision(hand.connection, decision)
    return shown({"receipt": receipt(desk, decision)})


# --- loans


@router.get("/v1/me/loans", responses=refusals())
def get_my_loans(desk: TheDesk, me: Me) -> Response:
    """My loans, the newest first."""
    query = select(loans).where(loans.c.pseudonym == me.pseudonym).order_by(loans.c.number.desc())
    with desk.reading() as hand:
        day = desk.day(hand.moment)
        rows = hand.connection.execute(query.limit(MOST_LISTED)).all()
        items = [{"id": one.id, **owing(account_of(hand.connection, one, day))} for one in rows]
    return shown({"items": items})


def _of_mine(loan: DeskId, desk: TheDesk, me: Me) -> str:
    with desk.reading() as hand:
        me.loan(hand.connection, loan)
    return loan


MyLoan = Annotated[str, Depends(_of_mine)]


@router.get(MY_LOAN, responses=refusals(404))
def get_my_loan(loan: MyLoan, desk: TheDesk) -> Response:
    """What was paid, what is due when, what is late; for how long its end may be put off."""
    return _loan_shown(desk, loan)


@router.get(MY_LOAN + "/extension", responses=refusals(404))
def get_my_extension(
    loan: MyLoan, desk: TheDesk, days: Annotated[int, Query(ge=1, le=3660)]
) -> Response:
    """What more time would cost over the whole life of the loan. Nothing is booked."""
    with desk.reading() as hand:
        row = held_loan(hand.connection, loan)
        account = account_of(hand.connection, row, desk.day(hand.moment))
        etag = etag_of(hand.connection, loan)
    return shown(extension_view(desk, loan, account, days), 200, etag)


@router.get(MY_LOAN + "/settlement", responses=refusals(404, 409))
def get_my_settlement(loan: MyLoan, desk: TheDesk, on: OnDay = None) -> Response:
    """What it takes to repay the whole loan on a day, and what that saves. Nothing is booked."""
    found, etag = settlement(desk, loan, on)
    return shown(settlement_view(found), 200, etag)


@router.post(MY_LOAN + "/extensions", responses=refusals(404, 409, 412), status_code=201)
def post_my_extension(
    loan: MyLoan,
    body: MyExtension,
    desk: TheDesk,
    me: Me,
    command: Commanded,
    if_match: IfMatch = None,
) -> Response:
    """Have its end put off, on the terms of the product and at the price that was shown: the
    lender's consent to whoever asks for no more than those allow. 409 ``price-changed`` if it
    costs something else by now. Acts once by its Idempotency-Key, which it needs."""
    once = _once(command, me)
    if once is None:
        raise Malformed("this call needs an Idempotency-Key")
    with desk.reading() as hand:
        today = desk.day(hand.moment)
    asked = Extending(f"{CUSTOMER}-{once.request_sha256[:16]}-{today}", today, body.days)
    booking = Booking(CUSTOMER, if_match, once)
    new = extend(desk, loan, asked, booking, body.terms_sha256)
    return _loan_shown(desk, loan, 201, not new)


def _loan_shown(desk: Desk, loan: str, status: int = 200, again: bool = False) -> Response:
    with desk.reading() as hand:
        row = held_loan(hand.connection, loan)
        account = account_of(hand.connection, row, desk.day(hand.moment))
        etag = etag_of(hand.connection, loan)
    body: dict[str, Any] = {"id": loan, "application": row.application, **owing(account)}
    return shown(body | {"extensions": choices(desk, loan, account)}, status, etag, again)
