"""For borrowers: my notices, my consents, my receipts, who used my data, take it all away, forget
me."""

from typing import Annotated, Any, Literal

from fastapi import Header, Path, Query
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from consent.api.shared import (
    A_TOKEN,
    Body,
    Commanded,
    Cursor,
    IfMatch,
    Limit,
    Link,
    Page,
    TheRegistry,
    Token,
    links,
    page,
    problems,
    sent,
)
from consent.commands import (
    forget_subject,
    read_consents,
    read_history,
    read_notices,
    register_keys,
    report_incidents,
)
from consent.commands.export_consents import export_all, read_successions
from consent.commands.record_decisions import (
    MAX_BATCH,
    AnswerForm,
    Request,
)
from consent.commands.state_decisions import Answering, Statement
from consent.commands.withdraw_consents import Withdrawal, WithdrawalOfAll
from consent.identity import access
from consent.identity.callers import Caller, CallingBorrower, at_the_portal, require_fresh_login
from consent.person_page import POLICY, person_page
from consent.transaction import one_view
from law.vocabulary import LANGUAGES
from protocol.consents import RECEIPTS_UP_TO
from protocol.cursors import cursor_of, position
from protocol.errors import NotWitnessed
from protocol.languages import accepted, chosen
from protocol.records import ConsentRecord

Sha256Path = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
RecordPath = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
AcceptLanguage = Annotated[
    str,
    Header(
        alias="Accept-Language",
        description=(
            "What the borrower reads, where it cannot be read any more how the notice was shown."
        ),
        max_length=500,
        examples=["zh-CN, en;q=0.5"],
    ),
]
RECEIPT = Link(
    "receipt",
    "/v1/me/receipts/{decision_sha256}",
    "get",
    {"decision_sha256": "$response.body#/recorded/0/decision_sha256"},
    "The signed receipt, within a second.",
)
_OF_FIRST = {"record_id": "$response.body#/items/0/record_id"}
RECORD = Link("record", "/v1/me/consents/{record_id}", "get", _OF_FIRST, "One of them.")
WITHDRAWAL = Link(
    "withdrawal", "/v1/me/consents/{record_id}/withdrawal", "post", _OF_FIRST, "Take it back."
)


class Tokens(Body):
    """Signed decisions, accepted all or none."""

    tokens: list[Annotated[str, Field(max_length=16_384)]] = Field(
        min_length=1, max_length=MAX_BATCH, examples=[[A_TOKEN]]
    )


router = access.endpoints(tags=["borrowers"])
Subject = Annotated[CallingBorrower, access.subject()]
Person = Annotated[CallingBorrower, access.only(Caller.SUBJECT, linked=False)]


@router.get("/v1/me/notices", responses=problems())
def my_notices(
    registry: TheRegistry, caller: Subject, cursor: Cursor = None, limit: Limit = 100
) -> Page[dict[str, Any]]:
    """The notices that ask me something: each question by itself, how I answered it, and why it is
    open, if it is."""
    return Page(**page(read_notices.read_notices(registry, caller.subjects), cursor, limit))


class Overview(BaseModel):
    """Four lists of one person, each from its beginning."""

    notices: Page[dict[str, Any]]
    consents: Page[ConsentRecord]
    revocations: Page[dict[str, Any]]
    incidents: Page[dict[str, Any]]


@router.get("/v1/me/overview", responses=problems())
def my_overview(
    registry: TheRegistry, caller: Subject, response: Response, limit: Limit = 100
) -> Overview:
    """How I stand, in one read: what I am asked, what I gave, what my lenders had to be told, and
    incidents with my data. Each goes on under its own address by ``next``; the ETag is that of the
    consents."""
    mine = caller.subjects
    with one_view(registry):
        records, response.headers["ETag"] = read_consents.read_consents(registry, mine)
        return Overview(
            notices=Page(**page(read_notices.read_notices(registry, mine), None, limit)),
            consents=Page(**page(records, None, limit)),
            revocations=Page(**page(read_history.read_revocations_of(registry, mine), None, limit)),
            incidents=Page(**page(report_incidents.read_my_incidents(registry, mine), None, limit)),
        )


@router.get("/v1/me/successions", responses=problems())
def my_successions(
    registry: TheRegistry, caller: Subject, accept_language: AcceptLanguage = ""
) -> list[dict[str, str]]:
    """Which of my lenders, and of those who get something from them, was succeeded by whom, and how
    I reach them (PIPL 22)."""
    language = chosen(accept_language, LANGUAGES)
    return read_successions(registry, caller.subjects, language)


@router.get("/v1/me/consents", responses={**problems(), **links(200, RECORD, WITHDRAWAL)})
def my_consents(
    registry: TheRegistry,
    caller: Subject,
    response: Response,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[ConsentRecord]:
    """My consents as they stand now; field names follow ISO/IEC TS 27560."""
    records, tag = read_consents.read_consents(registry, caller.subjects)
    response.headers["ETag"] = tag
    return Page(**page(records, cursor, limit))


@router.get("/v1/me/consents/{record_id}", responses=problems(404))
def my_consent(
    registry: TheRegistry, record_id: RecordPath, caller: Subject, response: Response
) -> ConsentRecord:
    """One of my consents."""
    record = read_consents.read_record(registry, caller.subjects, record_id)
    response.headers["ETag"] = record.etag
    return record


@router.get("/v1/me/consents/{record_id}/history", responses=problems(404))
def my_history(
    registry: TheRegistry,
    record_id: RecordPath,
    caller: Subject,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[dict[str, Any]]:
    """All that happened to one of my consents, oldest first: by whose word, in answer to which
    text, with its receipt; and of what I took back, whether my lender has acknowledged it."""
    found = read_history.read_history(registry, caller.subjects, record_id)
    return Page(**page(found, cursor, limit))


@router.get("/v1/me/revocations", responses=problems())
def my_revocations(
    registry: TheRegistry, caller: Subject, cursor: Cursor = None, limit: Limit = 100
) -> Page[dict[str, Any]]:
    """What my lenders had to be told, newest first: until when each must have acknowledged it, and
    the log entry under which it has."""
    found = read_history.read_revocations_of(registry, caller.subjects)
    return Page(**page(found, cursor, limit))


@router.post(
    "/v1/me/consents", status_code=201, responses={**problems(404, 409, 412), **links(201, RECEIPT)}
)
async def decide(
    body: Statement,
    caller: Subject,
    command: Commanded,
    if_match: IfMatch = None,
) -> Response:
    """Give, refuse, withdraw, suspend or resume, for one lender or several. Receipts follow within
    a second."""
    request = Request(
        subjects=caller.subjects,
        intent=Answering(body, caller.evidence),
        if_match=None if if_match == "*" else if_match,
        once=command.once(caller),
        form=AnswerForm.EACH,
    )
    lenders = len({choice.recipient for choice in body.choices})
    return await command.record(request, lenders)


@router.post(
    "/v1/me/consents/{record_id}/withdrawal", status_code=201, responses=problems(404, 409, 412)
)
async def withdraw(
    record_id: RecordPath,
    caller: Subject,
    command: Commanded,
    if_match: IfMatch = None,
    accept_language: AcceptLanguage = "",
) -> Response:
    """Withdraw one consent, in the language in which its notice was shown."""
    once = command.once(caller)
    intent = Withdrawal(
        record_id,
        accepted(accept_language),
        caller.evidence,
        if_match,
        of_all_too=once is not None,
    )
    request = Request(subjects=caller.subjects, intent=intent, once=once, form=AnswerForm.EACH)
    return await command.record(request, 1)


@router.post("/v1/me/withdrawals", status_code=201, responses=problems(409))
async def withdraw_all(
    caller: Subject,
    command: Commanded,
    accept_language: AcceptLanguage = "",
) -> Response:
    """Withdraw everything that I gave or suspended, everywhere, each in the language in which its
    notice was shown."""
    intent = WithdrawalOfAll(accepted(accept_language), caller.evidence)
    request = Request(
        subjects=caller.subjects, intent=intent, once=command.once(caller), form=AnswerForm.EACH
    )
    return await command.record(request, len(caller.subjects))


@router.get("/v1/me/receipts", responses=problems())
def my_receipts(
    registry: TheRegistry, caller: Subject, cursor: Cursor = None, limit: Limit = 100
) -> Page[dict[str, Any]]:
    """My decisions, newest first: what I decided, when, by which way, in answer to which text."""
    found, following = read_consents.list_receipts(
        registry, caller.subjects, position(cursor), limit
    )
    return Page(items=found, next=None if following is None else cursor_of(following))


@router.get(
    "/v1/me/receipts/{decision_sha256}", response_class=PlainTextResponse, responses=problems(404)
)
def my_receipt(registry: TheRegistry, decision_sha256: Sha256Path, caller: Subject) -> str:
    """The signed receipt of one of my decisions, with its proof under the newest checkpoint."""
    return read_consents.reissue_receipt(registry, caller.subjects, decision_sha256)


@router.get("/v1/me/imports", responses=problems())
def my_imports(
    registry: TheRegistry, caller: Subject, cursor: Cursor = None, limit: Limit = 100
) -> Page[dict[str, Any]]:
    """What a lender handed in that I had decided, each with its proof in the log."""
    return Page(**page(read_consents.read_imports(registry, caller.subjects), cursor, limit))


@router.get("/v1/me/uses", responses=problems())
def my_uses(
    registry: TheRegistry, caller: Subject, cursor: Cursor = None, limit: Limit = 100
) -> Page[dict[str, Any]]:
    """Who used my data and when, as far as the registry can know it, oldest first: releases of
    campaigns that may have used them, and what my lender logged about me."""
    return Page(**page(read_consents.read_uses(registry, caller.subjects), cursor, limit))


@router.get("/v1/me/keys", responses=problems())
def my_keys(
    registry: TheRegistry, caller: Subject, cursor: Cursor = None, limit: Limit = 100
) -> Page[dict[str, Any]]:
    """The keys that may sign for me, who named each, and those that have ended."""
    return Page(**page(register_keys.list_keys(registry, caller.subjects), cursor, limit))


@router.post("/v1/me/keys", status_code=201, responses=problems(409))
def add_key(registry: TheRegistry, body: Token, caller: Subject, command: Commanded) -> Response:
    """Add a key of my own, at one lender: a ``tahini-borrower-key`` document signed with it, within
    two minutes of logging in."""
    return command.run(caller, lambda: register_keys.add_key(registry, caller, body.token))


@router.delete("/v1/me/keys/{thumbprint}", status_code=204, responses=problems(404))
def end_key(
    registry: TheRegistry,
    thumbprint: Annotated[str, Path(pattern="^[A-Za-z0-9_-]{43}$")],
    caller: Subject,
) -> None:
    """End a key, the one that my lender named among them: nothing that it signs counts any more."""
    register_keys.end_key(registry, caller, thumbprint)


@router.get("/v1/me/only-keys", responses=problems())
def my_only_keys(
    registry: TheRegistry, caller: Subject, cursor: Cursor = None, limit: Limit = 100
) -> Page[dict[str, Any]]:
    """At which lenders only a key of mine says yes, and since when."""
    return Page(**page(register_keys.list_only_keys(registry, caller.subjects), cursor, limit))


@router.put("/v1/me/only-keys", status_code=204, responses=problems(404, 409))
def demand_keys(registry: TheRegistry, body: register_keys.OnlyKeys, caller: Subject) -> None:
    """Let only keys of mine say yes to what concerns a lender, so that neither whoever has my login
    nor the lender can; or let logins too, within two minutes of logging in. A no needs no key."""
    register_keys.demand_keys(registry, caller, body)


@router.get("/v1/me/export", responses=problems())
def my_export(
    registry: TheRegistry,
    caller: Subject,
    accept: Annotated[str, Header(max_length=500)] = "",
    accept_language: AcceptLanguage = "",
    format: Annotated[  # noqa: A002 - the parameter's name in the URL
        Literal["json", "html"] | None, Query(description="By Accept if it is not said.")
    ] = None,
) -> Response:
    """What the registry holds about me: as one JSON file, or as a page to read, in Chinese or
    English."""
    found = export_all(registry, caller.subjects)
    wanted = format or ("html" if "text/html" in accept else "json")
    headers = {
        "Content-Disposition": f'attachment; filename="my-consents.{wanted}"',
        "Cache-Control": "no-store",
        "Vary": "Accept, Accept-Language",
    }
    if wanted == "json":
        return JSONResponse(found, headers=headers)
    page, language = person_page(found, accepted(accept_language))
    told = {"Content-Language": language, "Content-Security-Policy": POLICY}
    return HTMLResponse(page, headers=headers | told)


@router.delete("/v1/me", responses=problems(404))
def forget_me(registry: TheRegistry, caller: Person, command: Commanded) -> Response:
    """Erase me: my names, my key and my consents with their history go, what is sealed about me
    becomes unreadable, and my lender is ordered to erase.

    What stays: a place on the roll that means nobody; hashes under a key of the registry's, by
    which it knows me if I am enrolled again (I must answer anew, and what I spent stays spent); for
    three years what I had signed, which only registry and auditor together can open, for a court.

    It needs a login of the last two minutes, or a request that is signed with a key of mine.
    """
    at_the_portal(caller)
    if caller.login is not None:
        require_fresh_login(caller, registry.clock())
    return sent(forget_subject.forget_once(registry, command.once(caller), caller.subjects))


@router.post("/v1/decisions", status_code=201, responses=problems(404, 409))
async def post_decisions(registry: TheRegistry, body: Tokens, command: Commanded) -> Response:
    """Hand in decisions that borrowers signed with their own keys; few are answered with their
    receipts.

    Who hands them in does not matter, so an Idempotency-Key is not needed: a signed decision acts
    once.
    """
    done = await command.decisions.submit(Request(signed=body.tokens), len(body.tokens))
    few = done.recorded if len(done.recorded) <= RECEIPTS_UP_TO else []
    try:
        receipts = [
            await run_in_threadpool(read_consents.issue_receipt, registry, item) for item in few
        ]
    except NotWitnessed:
        return JSONResponse({"recorded": len(done.recorded), "receipts": [], "pending": True}, 201)
    return JSONResponse(
        {"recorded": len(done.recorded), "receipts": receipts, "pending": False}, 201
    )
