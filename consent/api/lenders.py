"""For lenders: enrol, decide, stay in step, acknowledge revocations, import what was collected
elsewhere, state uses."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Depends, Query
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel, Field, model_validator
from starlette.concurrency import run_in_threadpool

from consent.api import examples
from consent.api.borrowers import Sha256Path
from consent.api.examples import shown
from consent.api.log import TheLog
from consent.api.shared import (
    A_TOKEN,
    Body,
    Commanded,
    Cursor,
    Page,
    TheRegistry,
    Token,
    body_of,
    parsed,
    problems,
)
from consent.commands import check_consents, place_people, revocations
from consent.commands.enrol_subjects import count_people, enrol_subjects, read_names
from consent.commands.import_decisions import Import, import_decisions
from consent.commands.log_uses import MAX_STATEMENTS, log_uses
from consent.commands.rename_subjects import Renamings, rename_subjects
from consent.commands.serve_states import serve_state
from consent.commands.sync_consents import SnapshotId
from consent.identity import access
from consent.registry import Registry
from law.categories import Sensitivity
from ops.http import Count
from protocol.cursors import cursor_of, position
from protocol.enrolment import Enrolments
from protocol.parties import Party, Role
from protocol.schema import Instant, Pseudonym
from protocol.snapshots import REASONS, Reason, packed, unpacked
from protocol.terms import Iri
from protocol.uses import MAX_TOKEN_BYTES

MAX_PACKED = 12 * 1024 * 1024
MIN_UNPACKED = 1_000_000
"""So many numbers may be asked about in one request; more only by a lender with more people on its
roll."""


class Subjects(Body):
    subjects: Enrolments


class RenamingsBody(Body):
    renamings: Renamings


class Check(Body):
    """Whom to decide about: named one by one, by number on the lender's roll, or (nothing given)
    everybody on it."""

    purpose: Iri = Field(examples=["https://w3id.org/dpv#CreditChecking"])
    sensitivity: Sensitivity = "ordinary"
    subjects: list[Pseudonym] | None = Field(
        default=None, min_length=1, max_length=check_consents.MAX_NAMED
    )
    numbers: str | None = Field(
        default=None,
        max_length=MAX_PACKED,
        description=(
            "Little-endian 32-bit numbers, zlib-compressed, base64; at most as many as are on the "
            "roll."
        ),
        examples=["eJxjYGBgYARiJgAADwAG"],
    )

    @model_validator(mode="after")
    def _one_way(self) -> "Check":
        if self.subjects is not None and self.numbers is not None:
            raise ValueError("subjects are named or numbered, not both")
        return self


router = access.endpoints(tags=["lenders"])
Lender = Annotated[Party, access.only(Role.LENDER)]


def _most_asked(registry: Registry, lender: Party) -> int:
    """How many numbers one request may unpack to: a small text must not fill the memory of a small
    registry."""
    return max(MIN_UNPACKED, count_people(registry, lender))


# --- who


@router.post(
    "/v1/subjects", status_code=201, responses=problems(409), openapi_extra=shown(examples.SUBJECTS)
)
def post_subjects(
    registry: TheRegistry, body: Subjects, caller: Lender, command: Commanded
) -> Response:
    """Enrol borrowers by pseudonym, all or none. They are numbered in order, from ``first`` on."""
    count = len(body.subjects)
    return command.run(
        caller,
        lambda: {"enrolled": count, "first": enrol_subjects(registry, caller, body.subjects)},
    )


@router.get("/v1/subjects", responses=problems())
def get_subjects(
    registry: TheRegistry,
    caller: Lender,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=50_000)] = 1000,
) -> Page[str]:
    """The lender's own roll: pseudonyms in the order of their numbers."""
    first = position(cursor)
    names = read_names(registry, caller, first, limit)
    return Page(items=names, next=cursor_of(first + limit) if len(names) == limit else None)


@router.post(
    "/v1/subjects/renamings",
    status_code=201,
    responses=problems(409),
    openapi_extra=shown(examples.RENAMINGS),
)
def post_renamings(
    registry: TheRegistry, body: RenamingsBody, caller: Lender, command: Commanded
) -> Response:
    """Give borrowers their names under the new naming keys, all or none. Everything of theirs stays
    theirs."""
    return command.run(
        caller, lambda: {"renamed": rename_subjects(registry, caller, body.renamings)}
    )


# --- may they be used


@router.post("/v1/checks", responses=problems(404))
def check(registry: TheRegistry, body: Check, caller: Lender) -> JSONResponse:
    """Allow or deny for each borrower, and the rule that says so.

    Named borrowers are answered one by one; else ``rules`` holds one byte per borrower,
    zlib-compressed, base64: an index into ``legend``. A name that is not the caller's own is
    ``not-enrolled``, whosever it is.
    """
    numbers = (
        None
        if body.numbers is None
        else unpacked(body.numbers, "uint32", _most_asked(registry, caller))
    )
    decided = check_consents.decide(
        registry, caller, body.purpose, body.sensitivity, numbers, body.subjects
    )
    told: dict[str, Any] = {"decided_at": decided.moment.isoformat(), "allowed": decided.allowed}
    if body.subjects is not None:
        rules = [REASONS[rule] for rule in decided.rules]
        told["decisions"] = [
            {"subject": name, "decision": "allow" if rule is Reason.GIVEN else "deny", "rule": rule}
            for name, rule in zip(body.subjects, rules, strict=True)
        ]
    else:
        told |= {
            "count": len(decided.rules),
            "legend": list(REASONS),
            "rules": packed(decided.rules),
        }
    return JSONResponse(told)


def _held(
    since: Annotated[
        Count | None, Query(description="Sequence of the state that the caller holds.")
    ] = None,
    since_moment: Annotated[Instant | None, Query(description="And its time.")] = None,
) -> SnapshotId | None:
    return SnapshotId.of(since, since_moment)


@router.get("/v1/consent-states", responses=problems(404, 409))
async def consent_state(
    registry: TheRegistry,
    log: TheLog,
    caller: Lender,
    purpose: Annotated[Iri, Query(examples=["https://w3id.org/dpv#CreditChecking"])],
    challenge: Annotated[str, Query(min_length=16, max_length=64, pattern="^[A-Za-z0-9_-]+$")],
    held: Annotated[SnapshotId | None, Depends(_held)],
) -> JSONResponse:
    """How the lender's borrowers stand for a purpose, signed: all of it, or what changed since a
    state it holds. Where the lender may use it, its hash is in the log before it is answered."""
    snapshot, entry = await run_in_threadpool(
        serve_state, registry, caller, purpose, challenge, held
    )
    if entry is not None:
        await log.group.submit([entry], 1)
    return JSONResponse(snapshot.body())


@router.get(
    "/v1/campaigns/{sha256}/places", response_class=PlainTextResponse, responses=problems(404)
)
def places(registry: TheRegistry, sha256: Sha256Path, caller: Lender) -> str:
    """Who of the lender's borrowers has a place in an active campaign, signed."""
    return place_people.read_places(registry, caller, sha256)


# --- revocations


@router.get("/v1/revocations", responses=problems())
def get_revocations(
    registry: TheRegistry,
    caller: Lender,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 500,
) -> Page[str]:
    """Signed revocations that the lender must act on, in order, from the first it has not
    acknowledged."""
    after = (
        position(cursor) if cursor is not None else revocations.acknowledged_by(registry, caller)
    )
    found = revocations.read_revocations(registry, caller, after, limit)
    return Page(items=found, next=cursor_of(after + limit) if len(found) == limit else None)


@router.post("/v1/revocations/acknowledgements", status_code=201, responses=problems(409))
def post_acknowledgement(
    registry: TheRegistry, body: Token, caller: Lender, command: Commanded
) -> Response:
    """Acknowledge, signed, that every revocation up to a number was acted on."""
    return command.run(caller, lambda: revocations.acknowledge(registry, caller, body.token).body())


# --- collected elsewhere


@router.post(
    "/v1/imports",
    status_code=201,
    responses=problems(404, 409),
    openapi_extra=body_of(Import, examples.IMPORT),
)
def post_import(registry: TheRegistry, caller: Lender, command: Commanded) -> Response:
    """Hand in decisions that borrowers made elsewhere, all or none, under one log entry."""
    asked = parsed(Import, command.body)
    count = len(asked.records)
    return command.run(
        caller,
        lambda: {
            "imported": count,
            "entry_index": import_decisions(registry, caller, asked),
        },
    )


# --- scoring an application


class Statements(Body):
    """Signed statements of uses (``protocol.uses.UseStatement``)."""

    tokens: list[Annotated[str, Field(max_length=MAX_TOKEN_BYTES)]] = Field(
        min_length=1, max_length=MAX_STATEMENTS, examples=[[A_TOKEN]]
    )


class UseAnswered(BaseModel):
    """What came of one statement: the index of its entry, or why there is none."""

    index: int | None
    refused: str | None
    wants_person: bool = Field(
        description="The borrower refuses decisions by a machine alone, until they say otherwise."
    )


class UsesAnswered(BaseModel):
    """One answer to each statement, in their order."""

    items: list[UseAnswered]


@router.post("/v1/uses", status_code=201, responses=problems())
def post_uses(registry: TheRegistry, body: Statements, caller: Lender) -> UsesAnswered:
    """State what is about to be done with borrowers' data to score their applications; each is in
    the log when this is answered, or refused by itself.

    A use is logged only while the consents that it names stand: purpose, version of the notice,
    categories, and whether a machine may decide alone. A statement that was handed in before has
    the index that it got then.
    """
    stated = log_uses(registry, caller, body.tokens)
    return UsesAnswered(items=[UseAnswered(**asdict(one)) for one in stated])
