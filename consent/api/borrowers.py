"""For borrowers: my notices, my consents, my receipts, who used my data, take it all away, forget me."""

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from auditlog.group_commit import Group
from consent.api.shared import (
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
from consent.commands import forget_subject, read_consents
from consent.commands.record_decisions import (
    MAX_BATCH,
    Done,
    Recorded,
    Request,
    Stated,
    View,
    record_requests,
    tag_of,
)
from consent.identity.access import Access
from consent.identity.callers import Borrower, Caller
from consent.languages import accepted, lookup
from consent.registry import Registry
from consent.storage.consents import ConsentKey
from consent.storage.idempotency import Answered, recall
from consent.storage.subjects import Subject as Enrolled
from protocol.changes import Present
from protocol.consents import RECEIPTS_UP_TO, Action, Choice, Decision, Notice
from protocol.errors import Conflict, NotFound, NotWitnessed
from protocol.records import ConsentRecord, consent_record
from protocol.records import record_id as record_name
from protocol.schema import Instant, Language, Sha256, Slug
from protocol.states import TRANSITIONS, Event
from protocol.terms import Authority, Channel, Sensitivity

Sha256Path = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
RecordPath = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
_MOST_CHOICES = 16
AcceptLanguage = Annotated[
    str,
    Header(
        alias="Accept-Language",
        description="What the borrower reads, where it cannot be read any more how the notice was shown.",
        max_length=500,
        examples=["zh-CN, en;q=0.5"],
    ),
]
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

    app = APIRouter(lifespan=lifespan, tags=["borrowers"], dependencies=[access.limit_public()])
    Subject = Annotated[Borrower, access.subject()]
    Person = Annotated[Borrower, access.only(Caller.SUBJECT, linked=False)]

    async def languages(caller: Borrower, accept_language: str) -> Read:
        shown = await run_in_threadpool(read_consents.languages_shown, registry, caller.subjects)
        return Read(shown, tuple(accepted(accept_language)))

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
        request = Request(
            subjects=caller.subjects, state=lambda view: _stated(view, caller, body),
            if_match=None if if_match == "*" else if_match, once=command.once(caller), answer=_answer,
        )  # fmt: skip
        lenders = len({choice.recipient for choice in body.choices})
        return sent((await decisions.submit(request, lenders)).answered)

    @app.post("/v1/me/consents/{record_id}/withdrawal", status_code=201, responses=problems(404, 409, 412))
    async def withdraw(
        record_id: RecordPath,
        caller: Subject,
        command: Commanded,
        if_match: IfMatch = None,
        accept_language: AcceptLanguage = "",
    ) -> Response:
        """Withdraw one consent, in the language in which its notice was shown."""
        once, read = command.once(caller), await languages(caller, accept_language)

        def state(view: View) -> list[Stated]:
            records = _records(registry, view)
            if record_id not in records:
                raise NotFound("no such consent record")
            tag = tag_of([present for _, _, present in view.mine()])
            if once is None or if_match != tag:
                require_match(if_match, _etag(view, records[record_id]))
            return _withdrawals(view, caller, [records[record_id]], read)

        request = Request(subjects=caller.subjects, state=state, once=once, answer=_answer)
        return sent((await decisions.submit(request, 1)).answered)

    @app.post("/v1/me/withdrawals", status_code=201, responses=problems(409))
    async def withdraw_all(caller: Subject, command: Commanded, accept_language: AcceptLanguage = "") -> Response:
        """Withdraw everything that I gave or suspended, everywhere, each in the language in which its notice was
        shown."""
        read = await languages(caller, accept_language)

        def state(view: View) -> list[Stated]:
            records = [
                record
                for _, record in sorted(_records(registry, view).items())
                if (record.present.at(view.moment), Event.WITHDRAW) in TRANSITIONS
            ]
            return _withdrawals(view, caller, records, read)

        request = Request(subjects=caller.subjects, state=state, once=command.once(caller), answer=_answer)
        return sent((await decisions.submit(request, len(caller.subjects))).answered)

    @app.get("/v1/me/receipts", responses=problems())
    def my_receipts(caller: Subject, cursor: Cursor = None, limit: Limit = 100) -> Page[dict[str, Any]]:
        """My decisions, newest first."""
        return Page(**page(read_consents.list_receipts(registry, caller.subjects), cursor, limit))

    @app.get("/v1/me/receipts/{decision_sha256}", response_class=PlainTextResponse, responses=problems(404))
    def my_receipt(decision_sha256: Sha256Path, caller: Subject) -> str:
        """The signed receipt of one of my decisions, with its proof under the newest checkpoint."""
        return read_consents.reissue_receipt(registry, caller.subjects, decision_sha256)

    @app.get("/v1/me/imports", responses=problems())
    def my_imports(caller: Subject, cursor: Cursor = None, limit: Limit = 100) -> Page[dict[str, Any]]:
        """What a lender handed in that I had decided, each with its proof in the log."""
        return Page(**page(read_consents.read_imports(registry, caller.subjects), cursor, limit))

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
    def forget_me(caller: Person, command: Commanded) -> Response:
        """End all my consents and destroy my keys: what is sealed about me becomes unreadable everywhere, for good."""
        once = command.once(caller)
        with registry.ledger.read() as session:
            earlier = recall(session, [once] if once else [], registry.clock())
        found = [answer for answer in earlier.values() if isinstance(answer, Answered)]
        if found:
            return sent(found[0])
        ended = forget_subject.forget_person(registry, caller.subjects)
        return sent(registry.once(once, lambda: (200, {"ended": ended})))

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


@dataclass(frozen=True)
class Read:
    """What is known of the languages somebody reads: as each notice was ``shown`` to them, and what their browser
    says (RFC 4647 ranges, the most wanted first)."""

    shown: Mapping[ConsentKey, str]
    accepted: Sequence[str]

    def language(self, key: ConsentKey, notice: Notice) -> str:
        """Of the notice's text for this consent: as it was shown; where that cannot be read any more, as accepted."""
        tags = list(notice.texts)
        shown = [self.shown[key]] if key in self.shown else []
        return lookup(shown, tags) or lookup(self.accepted, tags) or min(tags)


@dataclass(frozen=True)
class _Record:
    """One consent of the caller, as a decision about it needs it."""

    key: ConsentKey
    subject: Enrolled
    purpose: str
    sensitivity: Sensitivity
    present: Present


def _records(registry: Registry, view: View) -> dict[str, _Record]:
    """The caller's consents by the id of their record (``protocol.records``)."""
    scope_of, origin = view.known.scope_of, registry.consortium.log_origin
    found = {}
    for subject, key, present in view.mine():
        scope, _, sensitivity = key
        purpose, recipient = scope_of[scope]
        name = record_name(origin, subject.pseudonym, purpose, recipient, sensitivity)
        found[name] = _Record(key, subject, purpose, sensitivity, present)  # type: ignore[arg-type]
    return found


def _etag(view: View, record: _Record) -> str:
    """The ETag of the record as the caller reads it."""
    return consent_record(
        "", record.subject.pseudonym, record.subject.lender, record.sensitivity, record.present,
        view.known.notices[record.present.notice], view.known.is_stale(record.present.notice), view.moment,
    ).etag  # fmt: skip


def _stated(view: View, caller: Borrower, body: Statement) -> list[Stated]:
    """One decision per lender. Raises NotFound, Conflict."""
    _, notice = view.known.notice(body.notice_id, body.notice_version)
    mine = {subject.lender: subject.pseudonym for subject in view.subjects}
    strangers = {choice.recipient for choice in body.choices} - set(mine)
    if strangers:
        raise Conflict("the statement speaks of a lender at which the caller is not enrolled")
    return [
        _login_decision(
            caller, name, notice.id, notice.version, body.notice_language, body.notice_sha256, body.channel,
            body.authority, body.expiry_time, view.moment,
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


def _withdrawals(view: View, caller: Borrower, records: Sequence[_Record], read: Read) -> list[Stated]:
    """Decisions that withdraw these records, each in answer to the notice that was answered last."""
    stated = []
    for record in records:
        notice = view.known.notices[record.present.notice]
        language = read.language(record.key, notice)
        choice = Choice(
            purpose=record.purpose,
            recipient=record.subject.lender,
            sensitivity=record.sensitivity,
            action=Action.WITHDRAW,
        )
        stated.append(
            _login_decision(
                caller, record.subject.pseudonym, notice.id, notice.version, language, notice.text_sha256(language),
                "web", Authority(), None, view.moment, (choice,),
            )
        )  # fmt: skip
    return stated
