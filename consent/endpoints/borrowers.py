"""For borrowers: my notices, my consents, my receipts, who used my data, take it all away, forget me."""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import Field
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from consent.access import Access
from consent.commands import forget_subject, read_consents
from consent.commands.record_decisions import MAX_BATCH, Done, Recorded, Request, Stated, record_requests
from consent.documents import RECEIPTS_UP_TO, Action, Choice, Decision
from consent.endpoints.shared import (
    A_TOKEN,
    Body,
    Commanded,
    Cursor,
    IfMatch,
    Limit,
    Link,
    Page,
    links,
    page,
    problems,
    require_match,
    sent,
)
from consent.errors import Conflict, NotFound, NotWitnessed
from consent.grouping import Group
from consent.identity.callers import Borrower
from consent.records import ConsentRecord
from consent.registry import Registry
from consent.schema import Instant, Language, Sha256, Slug
from consent.states import TRANSITIONS, Event
from consent.storage.tables import SubjectRow
from consent.terms import Authority, Channel, Sensitivity

Sha256Path = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
RecordPath = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
_MOST_CHOICES = 16
RECEIPT = Link(
    "receipt", "/v1/me/receipts/{decision_sha256}", "get",
    {"decision_sha256": "$response.body#/recorded/0/decision_sha256"}, "The signed receipt, within a second.",
)  # fmt: skip
_OF_FIRST = {"record_id": "$response.body#/items/0/record_id"}
RECORD = Link("record", "/v1/me/consents/{record_id}", "get", _OF_FIRST, "One of them.")
WITHDRAWAL = Link("withdrawal", "/v1/me/consents/{record_id}/withdrawal", "post", _OF_FIRST, "Take it back.")


class Tokens(Body):
    """Signed decisions, accepted all or none."""

    tokens: list[Annotated[str, Field(max_length=16_384)]] = Field(
        min_length=1, max_length=MAX_BATCH, examples=[[A_TOKEN]]
    )


class MyChoice(Body):
    """One answer about one lender and one kind of data."""

    recipient: Slug = Field(examples=["aspen"])
    sensitivity: Sensitivity = "ordinary"
    action: Action = Field(examples=["give"])


class Statement(Body):
    """What a borrower decides, in answer to a notice that was shown."""

    notice_id: Slug = Field(examples=["joint-credit-model"])
    notice_version: int = Field(ge=1, le=1_000_000, examples=[1])
    notice_language: Language = Field(examples=["zh"])
    notice_sha256: Sha256 = Field(description="SHA-256 of the exact text that was shown.", examples=["0" * 64])
    channel: Channel = "web"
    authority: Authority = Authority()
    expiry_time: Instant | None = Field(
        default=None, description="When the consent ends, if earlier than the notice says."
    )
    choices: tuple[MyChoice, ...] = Field(min_length=1, max_length=_MOST_CHOICES)


def _answer(recorded: Sequence[Recorded]) -> tuple[int, Any]:
    return 201, {
        "recorded": [
            {
                "pii_principal_id": one.subject,
                "states": one.states,
                "entry_index": one.entry_index,
                "decision_sha256": one.decision_sha256,
                "receipt": f"/v1/me/receipts/{one.decision_sha256}",
            }
            for one in recorded
        ]
    }


def borrower_routes(registry: Registry, access: Access) -> APIRouter:
    """The endpoints for borrowers, and the thread that commits their decisions."""
    decisions: Group[Request, Done] = Group(lambda jobs: record_requests(registry, jobs), "decisions")

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        decisions.start()
        yield
        decisions.stop()

    app = APIRouter(lifespan=lifespan, tags=["borrowers"])
    Subject = Annotated[Borrower, access.subject()]

    @app.get("/v1/me/notices", responses=problems())
    def my_notices(caller: Subject, cursor: Cursor = None, limit: Limit = 100) -> Page[dict[str, Any]]:
        """The notices that ask me something: what is unanswered, and what must be confirmed again."""
        return Page(**page(read_consents.read_notices(registry, caller.subjects), cursor, limit))

    @app.get("/v1/me/consents", responses={**problems(), **links(200, RECORD, WITHDRAWAL)})
    def my_consents(
        caller: Subject, response: Response, cursor: Cursor = None, limit: Limit = 100
    ) -> Page[ConsentRecord]:
        """My consents as they stand now, in the form of ISO/IEC TS 27560."""
        records, tag = read_consents.read_consents(registry, caller.subjects)
        response.headers["ETag"] = tag
        return Page(**page(records, cursor, limit))

    @app.get("/v1/me/consents/{record_id}", responses=problems(404))
    def my_consent(record_id: RecordPath, caller: Subject, response: Response) -> ConsentRecord:
        """One of my consents."""
        record = read_consents.read_record(registry, caller.subjects, record_id)
        response.headers["ETag"] = record.etag
        return record

    @app.post("/v1/me/consents", status_code=201, responses={**problems(404, 409, 412), **links(201, RECEIPT)})
    async def decide(body: Statement, caller: Subject, command: Commanded, if_match: IfMatch = None) -> Response:
        """Give, refuse, withdraw, suspend or resume, for one lender or several. Receipts follow within a second."""
        stated = await run_in_threadpool(_stated, registry, caller, body)
        request = Request(
            stated=stated, if_match=None if if_match == "*" else if_match, once=command.once(caller), answer=_answer
        )
        return sent((await decisions.submit(request, len(stated))).answered)

    @app.post("/v1/me/consents/{record_id}/withdrawal", status_code=201, responses=problems(404, 409, 412))
    async def withdraw(
        record_id: RecordPath, caller: Subject, command: Commanded, if_match: IfMatch = None
    ) -> Response:
        """Withdraw one consent."""
        records, tag = await run_in_threadpool(read_consents.read_consents, registry, caller.subjects)
        found = [record for record in records if record.record_id == record_id]
        if not found:
            raise NotFound("no such consent record")
        once = command.once(caller)
        stated = await run_in_threadpool(_withdrawals, registry, caller, found)
        if if_match is not None and once is None:
            require_match(if_match, found[0].etag)
        matched = tag if if_match is not None and if_match == found[0].etag else if_match
        request = Request(stated=stated, if_match=None if matched == "*" else matched, once=once, answer=_answer)
        return sent((await decisions.submit(request, 1)).answered)

    @app.post("/v1/me/withdrawals", status_code=201, responses=problems(409))
    async def withdraw_all(caller: Subject, command: Commanded) -> Response:
        """Withdraw everything that I gave or suspended, everywhere."""
        records, _ = await run_in_threadpool(read_consents.read_consents, registry, caller.subjects)
        open_yet = [r for r in records if (r.event.event_state, Event.WITHDRAW) in TRANSITIONS]
        once = command.once(caller)
        if not open_yet and once is None:
            return JSONResponse({"recorded": []}, 201)
        stated = await run_in_threadpool(_withdrawals, registry, caller, open_yet)
        return sent((await decisions.submit(Request(stated=stated, once=once, answer=_answer), len(stated))).answered)

    @app.get("/v1/me/receipts", responses=problems())
    def my_receipts(caller: Subject, cursor: Cursor = None, limit: Limit = 100) -> Page[dict[str, Any]]:
        """My decisions, newest first."""
        return Page(**page(read_consents.list_receipts(registry, caller.subjects), cursor, limit))

    @app.get("/v1/me/receipts/{decision_sha256}", response_class=PlainTextResponse, responses=problems(404))
    def my_receipt(decision_sha256: Sha256Path, caller: Subject) -> str:
        """The signed receipt of one of my decisions, with its proof under the newest checkpoint."""
        return read_consents.reissue_receipt(registry, caller.subjects, decision_sha256)

    @app.get("/v1/me/uses", responses=problems())
    def my_uses(caller: Subject, cursor: Cursor = None, limit: Limit = 100) -> Page[dict[str, Any]]:
        """Who used my data and when, as far as the registry can know it, oldest first."""
        return Page(**page(read_consents.read_uses(registry, caller.subjects), cursor, limit))

    @app.get("/v1/me/export", responses=problems())
    def my_export(caller: Subject) -> JSONResponse:
        """Everything that the registry holds about me, as one JSON file."""
        headers = {"Content-Disposition": 'attachment; filename="my-consents.json"', "Cache-Control": "no-store"}
        return JSONResponse(read_consents.export_all(registry, caller.subjects), headers=headers)

    @app.delete("/v1/me", responses=problems(404))
    def forget_me(caller: Subject) -> dict[str, int]:
        """End all my consents and destroy my keys: what is sealed about me becomes unreadable everywhere, for good."""
        return {"ended": sum(forget_subject.forget_subject(registry, name) for name in caller.subjects)}

    @app.post("/v1/decisions", status_code=201, responses=problems(404, 409))
    async def post_decisions(body: Tokens, command: Commanded) -> Response:
        """Hand in decisions that borrowers signed with their own keys; few are answered with their receipts.

        Who hands them in does not matter, so an Idempotency-Key is not needed: a signed decision acts once.
        """
        done = await decisions.submit(Request(signed=body.tokens), len(body.tokens))
        few = done.recorded if len(done.recorded) <= RECEIPTS_UP_TO else []
        try:
            receipts = [await run_in_threadpool(read_consents.issue_receipt, registry, item) for item in few]
        except NotWitnessed:
            return JSONResponse({"recorded": len(done.recorded), "receipts": [], "pending": True}, 201)
        return JSONResponse({"recorded": len(done.recorded), "receipts": receipts, "pending": False}, 201)

    return app


# --- from statements to decisions


def _lenders(registry: Registry, caller: Borrower) -> dict[str, str]:
    """The caller's pseudonym at each lender."""
    with registry.database.read() as session:
        rows = session.execute(
            select(SubjectRow.lender, SubjectRow.pseudonym).where(SubjectRow.pseudonym.in_(caller.subjects))
        )
        return {row[0]: row[1] for row in rows}


def _stated(registry: Registry, caller: Borrower, body: Statement) -> list[Stated]:
    """One decision per lender. Raises NotFound, Conflict."""
    with registry.database.read() as session:
        _, notice = registry.catalogue.load(session).notice(body.notice_id, body.notice_version)
    mine = _lenders(registry, caller)
    strangers = {choice.recipient for choice in body.choices} - set(mine)
    if strangers:
        raise Conflict("the statement speaks of a lender at which the caller is not enrolled")
    moment = registry.clock()
    return [
        _login_decision(
            caller, name, notice.id, notice.version, body.notice_language, body.notice_sha256, body.channel,
            body.authority, body.expiry_time, moment,
            tuple(
                Choice(purpose=notice.purpose, recipient=lender, sensitivity=c.sensitivity, action=c.action)
                for c in body.choices if c.recipient == lender
            ),
        )
        for lender, name in sorted(mine.items()) if any(c.recipient == lender for c in body.choices)
    ]  # fmt: skip


def _login_decision(
    caller: Borrower, pseudonym: str, notice_id: str, notice_version: int, language: str, text_sha256: str,
    channel: Channel, authority: Authority, expiry_time: datetime | None, moment: datetime, choices: tuple[Choice, ...],
) -> Stated:  # fmt: skip
    decision = Decision(
        pii_principal_id=pseudonym,
        notice_id=notice_id,
        notice_version=notice_version,
        notice_language=language,
        notice_sha256=text_sha256,
        choices=choices,
        event_time=moment,
        expiry_time=expiry_time,
        channel=channel,
        authority=authority,
        nonce=secrets.token_urlsafe(16),
    )
    return Stated(decision, login_sha256=caller.evidence)


def _withdrawals(registry: Registry, caller: Borrower, records: Sequence[ConsentRecord]) -> list[Stated]:
    """Decisions that withdraw these records, each in answer to the notice that was answered last."""
    moment = registry.clock()
    with registry.database.read() as session:
        known = registry.catalogue.load(session)
    stated = []
    for record in records:
        about = record.pii_processing
        _, notice = known.notice(about.privacy_notice.id, about.privacy_notice.version)
        language = min(notice.texts)
        choice = Choice(
            purpose=about.purpose,
            recipient=about.pii_controllers[0],
            sensitivity=about.sensitivity,
            action=Action.WITHDRAW,
        )
        stated.append(
            _login_decision(
                caller, record.pii_principal_id, notice.id, notice.version, language, notice.text_sha256(language),
                "web", Authority(), None, moment, (choice,),
            )
        )  # fmt: skip
    return stated
