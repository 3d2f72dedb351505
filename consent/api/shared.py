"""What endpoints have in common: problems, idempotency, pages."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from auditlog.group_commit import JobQueue
from consent.commands.record_decisions import Done
from consent.commands.record_decisions import Request as Decisions
from consent.identity.callers import CallingBorrower
from consent.refusals import MISFIT, REASONS
from consent.registry import Registry
from consent.storage.idempotency import Answered, Once
from consent.transaction import act_once
from crypto.keys import b64
from protocol.cursors import cursor_of, position
from protocol.errors import ConsentError
from protocol.parties import Party

Item = TypeVar("Item")
Model = TypeVar("Model", bound=BaseModel)


class Fault(BaseModel):
    """One place in the request's body, and what is wrong there."""

    pointer: str = Field(examples=["#/records/3"], description="RFC 6901, as a URI fragment.")
    detail: str = Field(examples=["a consent that is withdrawn cannot be changed by 'withdraw'"])


class ProblemDetails(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(title="Problem")

    type: str = Field(examples=["urn:tahini:problem:conflict"])
    title: str = Field(examples=["conflict"])
    status: int = Field(examples=[409])
    detail: str = Field(
        examples=["records[3]: a consent that is withdrawn cannot be changed by 'withdraw'"]
    )
    errors: list[Fault] | None = Field(
        default=None, description="Where in the request's body, if at one place."
    )
    reason: str | None = Field(
        default=None,
        description="What ``detail`` says, by a stable name, to be said in another language.",
        examples=["cannot-change"],
        json_schema_extra={"enum": [*sorted(REASONS), MISFIT]},
    )
    parameters: dict[str, Any] | None = Field(
        default=None,
        description="The values in it.",
        examples=[{"state": "withdrawn", "event": "withdraw"}],
    )


_PROBLEM = ProblemDetails.model_json_schema()
_PROBLEM["properties"]["errors"]["anyOf"][0]["items"] = _PROBLEM.pop("$defs")["Fault"]
_MEANINGS = {
    400: "The request makes no sense to the registry.",
    401: "The caller is not known, or its proof is not for this call.",
    403: "The caller may not do this.",
    404: "There is no such thing, or not for this caller.",
    409: "The present state does not allow it; nothing was changed.",
    412: "What the caller read has changed since; nothing was changed.",
    413: "The body is too large.",
    422: "The request does not fit its schema.",
    429: "Too many requests; Retry-After says when to ask again.",
    503: "The registry cannot do this now; nothing was acknowledged.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of an endpoint: these problems, and those that any endpoint may answer
    with."""
    return {
        status: {
            "description": _MEANINGS[status],
            "content": {"application/problem+json": {"schema": _PROBLEM}},
        }
        for status in sorted({*statuses, 401, 403, 413, 422, 429, 503})
    }


def reasoned(error: ConsentError) -> dict[str, Any]:
    """What a refusal says, by its name, and the values in it; nothing where it has none."""
    reason, parameters = error.said
    return {"reason": reason, "parameters": parameters} if reason else {}


def misfit(error: RequestValidationError) -> dict[str, Any]:
    """How a request does not fit its schema, and the bounds that the schema sets."""
    found = error.errors()[0]
    bounds = {
        name: value
        for name, value in (found.get("ctx") or {}).items()
        if name in _BOUNDS and isinstance(value, int | float | str)
    }
    return {"reason": MISFIT, "parameters": {"fault": found["type"], **bounds}}


_BOUNDS = frozenset({"min_length", "max_length", "ge", "le", "gt", "lt", "multiple_of", "expected"})


@dataclass(frozen=True)
class Link:
    """An OpenAPI link: where the caller can go with what it was answered.

    ``parameters`` are runtime expressions, by the name of the path's parameter.
    """

    name: str
    path: str
    method: str
    parameters: Mapping[str, str]
    description: str


def links(status: int, *found: Link) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of an endpoint whose success leads on; ``operationRef`` is a JSON pointer
    (RFC 6901)."""
    return {
        status: {
            "links": {
                link.name: {
                    "operationRef": f"#/paths/{link.path.replace('/', '~1')}/{link.method}",
                    "parameters": dict(link.parameters),
                    "description": link.description,
                }
                for link in found
            }
        }
    }


A_TOKEN = "eyJhbGciOiJFZDI1NTE5IiwidHlwIjoidGFoaW5pLW5vdGljZSJ9.e30.c2ln"  # noqa: S105 - an example of the form


class Body(BaseModel):
    """Base of every request body."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Token(Body):
    """One signed document, as a compact JWS."""

    token: str = Field(max_length=1_000_000, examples=[A_TOKEN])


# --- large bodies, which an endpoint parses itself, in one step


def body_of(model: type[BaseModel], *examples: dict[str, Any]) -> dict[str, Any]:
    """The ``openapi_extra`` of an endpoint that reads a ``model`` out of its body with
    :func:`parsed`: the model's JSON schema without references, to stand inside an OpenAPI
    document."""
    schema = model.model_json_schema()
    known = schema.pop("$defs", {})

    def whole(node: Any) -> Any:
        if isinstance(node, dict):
            found = known[node["$ref"].rpartition("/")[2]] if "$ref" in node else node
            return {name: whole(child) for name, child in found.items()}
        return [whole(child) for child in node] if isinstance(node, list) else node

    content = {"schema": {**whole(schema), "examples": list(examples)}}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def parsed(model: type[Model], body: bytes) -> Model:
    """The model in a JSON body; raises RequestValidationError, as FastAPI does."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        raise RequestValidationError(
            [{**one, "loc": ("body", *one["loc"])} for one in found]
        ) from error


# --- what an endpoint works on


async def _registry(request: Request) -> Registry:
    registry: Registry = request.app.state.registry
    return registry


TheRegistry = Annotated[Registry, Depends(_registry)]

# --- idempotency


@dataclass(frozen=True)
class Command:
    """A request that changes something, with the caller's Idempotency-Key if there is one."""

    registry: Registry
    decisions: JobQueue[Decisions, Done]
    key: str | None
    method: str
    target: str
    body: bytes

    def once(self, caller: Party | CallingBorrower) -> Once | None:
        """Raises Malformed."""
        if self.key is None:
            return None
        return Once.of(caller_name(caller), self.key, self.method, self.target, self.body)

    def run(
        self, caller: Party | CallingBorrower, do: Callable[[], Any], status: int = 201
    ) -> Response:
        """Run a command once and answer it; ``do`` returns the JSON body."""
        return sent(act_once(self.registry, self.once(caller), lambda: (status, do())))

    async def record(self, decisions: Decisions, weight: int) -> Response:
        """Record what borrowers decide, together with what others decide meanwhile, and answer
        it."""
        return sent((await self.decisions.submit(decisions, weight)).answered)

    def run_proved(self, caller: Party, do: Callable[[], int]) -> Response:
        """Run a command whose log entry, at the index that ``do`` returns, only its own proof
        acknowledges.

        The answer is the leaf and its ``.tlog-proof``, the second time as the first.
        """
        logged = act_once(self.registry, self.once(caller), lambda: (201, {"entry_index": do()}))
        leaf, proof = self.registry.ledger.proved(logged.body["entry_index"])
        return sent(Answered(201, {"leaf": b64(leaf), "proof": proof.text}, logged.again))


def caller_name(caller: Party | CallingBorrower) -> str:
    """Under what name answers are kept for a caller."""
    if isinstance(caller, Party):
        return caller.id
    return caller.login.subject_hash if caller.login else caller.subjects[0]


async def _command(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(
            description=(
                "The caller's own name for this command: sent again, it is answered as the first "
                "time."
            ),
            min_length=1,
            max_length=64,
            examples=["8e03978e-40d5-43dd-bc93-6894a57f9324"],
        ),
    ] = None,
) -> Command:
    state = request.app.state
    return Command(
        state.registry,
        state.decisions,
        idempotency_key,
        request.method,
        request.url.path,
        await request.body(),
    )


Commanded = Annotated[Command, Depends(_command)]


def sent(answered: Answered, headers: Mapping[str, str] | None = None) -> Response:
    """The HTTP answer of a command."""
    told = {"Idempotent-Replayed": "true"} if answered.again else {}
    return JSONResponse(answered.body, answered.status, {**told, **(headers or {})})


# --- pages


class Page(BaseModel, Generic[Item]):
    """A part of a list. ``next`` is the cursor of the part after it; null at the end."""

    items: list[Item]
    next: str | None = Field(default=None, examples=["MTAw"])


Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many items.")]
Cursor = Annotated[
    str | None,
    Query(
        max_length=64, pattern=r"^[0-9a-zA-Z_-]+$", description="What the page before said is next."
    ),
]


def page(items: Sequence[Item], cursor: str | None, limit: int) -> dict[str, Any]:
    """One page of a list that is at hand."""
    start = position(cursor)
    after = start + limit
    return {
        "items": list(items[start:after]),
        "next": cursor_of(after) if after < len(items) else None,
    }


# --- preconditions

IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description="The ETag that the caller read: if it has changed since, nothing is done.",
        max_length=100,
        examples=['"3"'],
    ),
]
