"""Identity over HTTP: nonces, tokens, keys of institutions, links of borrowers."""

from typing import Annotated, Any

from fastapi import Path, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from consent.api.problems import NO_STORE
from consent.api.shared import TheRegistry, problems
from consent.identity.access import TheAccess, endpoints, only, public
from consent.identity.callers import (
    Caller,
    CallingBorrower,
    Login,
    at_the_portal,
    require_fresh_login,
)
from consent.identity.exchange import FORM, Granted, read_form
from consent.identity.keys import KeyStatus, NewKey
from consent.identity.limits import CallKind
from consent.identity.links import Link, TicketUpload
from protocol.errors import NotAllowed
from protocol.parties import Party, Role

INSTITUTIONS = (Caller.LENDER, Caller.COORDINATOR, Caller.AUDITOR, Caller.OPERATOR, Caller.NAMING)
_PROBLEM = {"application/problem+json": {"schema": {"type": "object"}}}
_FIELDS = ("grant_type", "assertion", "client_assertion_type", "client_assertion", "client_id")
_FORM_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            FORM: {
                "schema": {
                    "type": "object",
                    "required": ["grant_type"],
                    "properties": {name: {"type": "string"} for name in _FIELDS},
                    "examples": [
                        {
                            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
                            "assertion": "eyJ0eXAiOiJKV1QifQ.e30.c2ln",
                        }
                    ],
                }
            }
        },
    }
}


class Challenge(BaseModel):
    """A nonce for one login, and when it ends (RFC 3339)."""

    nonce: str
    expires_at: str


class Keys(BaseModel):
    keys: list[KeyStatus]


class MyLinks(BaseModel):
    links: list[Link]


class AtCounter(BaseModel):
    """Whose customer somebody is who logged in at a lender's own front, and under which names."""

    lender: str
    pseudonyms: list[str]


def _login(caller: CallingBorrower) -> Login:
    if caller.login is None:
        raise NotAllowed(
            "links are for callers who logged in; this call is signed with a key of its own"
        )
    at_the_portal(caller)
    return caller.login


router = endpoints()
Institution = Annotated[Party, only(*INSTITUTIONS)]
Subject = Annotated[CallingBorrower, only(Caller.SUBJECT, linked=False)]
Public = Annotated[None, public(CallKind.LOGIN)]


@router.post("/v1/challenges", status_code=201, responses=problems())
def challenge(access: TheAccess, registry: TheRegistry, _: Public) -> Challenge:
    """A nonce for one login: the portal sends it to the issuer as ``nonce``. It acts once, within
    ten minutes."""
    nonce, ends = access.challenges.issue(registry.clock())
    return Challenge(nonce=nonce, expires_at=ends.isoformat())


@router.post(
    "/v1/token",
    response_model=Granted,
    openapi_extra=_FORM_BODY,
    responses={
        **problems(),
        **{status: {"content": _PROBLEM, "description": "OAuth error"} for status in (400, 401)},
    },
)
async def token(access: TheAccess, request: Request, _: Public) -> JSONResponse:
    """An access token for an ID token (borrowers) or a client assertion (institutions)."""
    fields = read_form(request.headers.get("content-type", ""), await request.body())
    granted = await run_in_threadpool(access.exchange.grant, fields)
    return JSONResponse(granted.model_dump(), headers=NO_STORE)


@router.get("/v1/parties/{party_id}/keys", responses=problems(404))
def keys(access: TheAccess, party_id: str, caller: Institution) -> Keys:
    """A party's keys: for itself, the operator and the auditor."""
    if caller.id != party_id and caller.role not in {Role.REGISTRY, Role.AUDITOR}:
        raise NotAllowed("a party's keys are for itself, the operator and the auditor")
    return Keys(keys=access.keys.statuses(party_id))


@router.post("/v1/parties/{party_id}/keys", status_code=201, responses=problems(404, 409))
def add_key(access: TheAccess, party_id: str, body: NewKey, caller: Institution) -> KeyStatus:
    """Add a key, or rotate one: a document signed by a live key of the party and by the new one."""
    return access.keys.add(caller, party_id, body)


@router.delete(
    "/v1/parties/{party_id}/keys/{thumbprint}", status_code=204, responses=problems(404, 409)
)
def revoke_key(
    access: TheAccess,
    party_id: str,
    thumbprint: Annotated[str, Path(pattern="^[A-Za-z0-9_-]{43}$")],
    caller: Institution,
) -> None:
    """Revoke a key: its party, or the operator. Nothing made with it is accepted from then on."""
    access.keys.revoke(caller, party_id, thumbprint)


@router.get("/v1/me/links", responses=problems())
def my_links(access: TheAccess, caller: Subject) -> MyLinks:
    """The pseudonyms that my login may speak for by a lender's ticket."""
    return MyLinks(links=access.links.read(_login(caller)))


@router.get("/v1/me/counter", responses=problems())
def at_counter(caller: Annotated[CallingBorrower, only(Caller.SUBJECT)]) -> AtCounter:
    """Whose customer I am where I logged in: for that lender's desk, which is shown my token."""
    if caller.counter_of is None:
        raise NotAllowed("this login was not at a lender's own front")
    return AtCounter(lender=caller.counter_of, pseudonyms=list(caller.subjects))


@router.post("/v1/me/links", status_code=201, responses=problems(404, 409))
def add_link(access: TheAccess, registry: TheRegistry, body: TicketUpload, caller: Subject) -> Link:
    """Hand in a lender's ticket, in a login of the last two minutes. A login speaks for one
    customer of each lender."""
    login = _login(caller)
    require_fresh_login(caller, registry.clock())
    return access.links.link(login, body.ticket, caller.subjects)


@router.delete("/v1/me/links/{link_id}", status_code=204, responses=problems(404))
def remove_link(
    access: TheAccess, link_id: Annotated[str, Path(max_length=32)], caller: Subject
) -> None:
    """My login does not speak for this pseudonym any more."""
    access.links.remove(_login(caller), link_id)
