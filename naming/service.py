"""The naming service over HTTP: ``POST /v1/evaluations`` for lenders, ``GET /v1/naming-keys`` for
anybody.

In this order: who asks, for which live version, within which quota (on the disk), the evaluation,
its log entry, and only then the answer. Without the log's acknowledgement there is no answer.
Elements are never logged, and never kept.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import Field, ValidationError
from pydantic_settings import SettingsConfigDict
from starlette.concurrency import run_in_threadpool

from crypto.errors import CryptoError, KeyFileError, PseudonymError, SignatureError
from crypto.keys import replace_file
from crypto.pseudonyms import Evaluation, Scope, count_of, evaluate
from crypto.sentences import one_sentence
from naming.errors import NamingUnavailable, QuotaSpent
from naming.keylist import ENTRY_TYPE
from naming.keys import LOGGED_FILE, NamingHome
from naming.messages import EvaluationAnswer, EvaluationAnswers, EvaluationRequest, KeysAnswer
from naming.quota import Quota
from ops.http import MAX_BODY_BYTES, LimitBody, application, problem, too_large
from ops.serving import Listening
from protocol.client.institutions import InstitutionClient
from protocol.errors import ConsentError, Malformed, NotAllowed, NotAuthenticated
from protocol.parties import Party, Role
from protocol.requests import Call, ReplayGuard, SignedRequest, verify_request
from protocol.schema import now

logger = logging.getLogger("tahini.naming")


class Namer:
    """The service without its HTTP face.

    Args:
        registry: how the audit log is written to.
        clock: the present instant, UTC.
    """

    def __init__(
        self,
        home: NamingHome,
        registry: InstitutionClient | None = None,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self.home, self.clock = home, clock
        self.quota = Quota(home.quota_path, home.settings.people_per_day)
        self.guard = ReplayGuard(clock())
        self._registry = registry or home.registry()
        self._auditor = home.consortium.one(Role.AUDITOR).id
        self._lock = threading.Lock()
        self._listed: tuple[tuple[tuple[int, ...], tuple[int, ...]], KeysAnswer] | None = None

    def close(self) -> None:
        self._registry.close()

    def authenticated(self, token: str, call: Call) -> Party:
        """The party that signed exactly this request; raises NotAuthenticated or NotAllowed."""
        consortium = self.home.consortium
        try:
            caller = consortium.party(SignedRequest.claimed(token).iss)
        except SignatureError as error:
            raise NotAuthenticated("the request is signed by nobody who is known here") from error
        me = self.home.settings.party
        verify_request(token, caller.key, me, call, self.clock(), self.guard)
        if caller.role is not Role.LENDER:
            raise NotAllowed(f"{caller.id!r} is a {caller.role}; names are made for lenders")
        return caller

    def _append(self, *entries: dict[str, Any]) -> int:
        """Log these entries, durably; returns the index of the first."""
        try:
            return self._registry.append([{"to": [self._auditor], **said} for said in entries])[0]
        except ConsentError as error:
            logger.warning("the audit log did not acknowledge an entry (%s)", error.code)
            raise NamingUnavailable(
                "the audit log did not acknowledge the entry; nobody was named, try again"
            ) from error

    def keys(self) -> KeysAnswer:
        """The signed list of keys, which stands in the audit log before anybody is shown it."""
        with self._lock:
            seeds = self.home.seeds
            state = (seeds.live, seeds.retired)
            if self._listed is None or self._listed[0] != state:
                keys = self.home.key_list()
                path = self.home.home / LOGGED_FILE
                known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
                if keys.sha256 not in known:
                    known[keys.sha256] = self._append(
                        {"type": ENTRY_TYPE, "hashes": {"document": keys.sha256}}
                    )
                    replace_file(path, json.dumps(known).encode())
                self._listed = (
                    state,
                    KeysAnswer(token=keys.sign(self.home.key), index=known[keys.sha256]),
                )
            return self._listed[1]

    def evaluate(self, lender: Party, request: EvaluationRequest) -> EvaluationAnswers:
        """Evaluate one batch for ``lender``: all the names that it wants of these people, or none.

        Raises:
            VersionGone, QuotaSpent, Malformed: as they say; nothing was counted.
            NamingUnavailable: the log did not acknowledge; nothing was answered.
        """
        self.keys()
        keys = [
            (
                self.home.seeds.read(wanted.version),
                self.home.scope(wanted.kind, lender.id, wanted.version),
            )
            for wanted in request.wanted
        ]
        count = count_of(request.blinded)
        people = {
            kind: count * number
            for kind, number in Counter(wanted.kind for wanted in request.wanted).items()
        }
        moment = self.clock()
        self.quota.reserve(lender.id, people, moment)
        try:
            answers = self._evaluated(keys, request.blinded)
            self._append(
                *({"type": "names.evaluated", "names": said} for said in _said(lender, request))
            )
        except (ConsentError, CryptoError):
            self.quota.give_back(lender.id, people, moment)
            raise
        return EvaluationAnswers(evaluations=tuple(map(EvaluationAnswer.of, answers)))

    def _evaluated(
        self, keys: Sequence[tuple[bytes, Scope]], blinded: bytes
    ) -> Sequence[Evaluation]:
        try:
            return evaluate(keys, blinded)
        except PseudonymError as error:
            raise Malformed(str(error)) from error


def _said(lender: Party, request: EvaluationRequest) -> Iterator[dict[str, Any]]:
    """What the log is told of a batch: an entry for each name that was wanted."""
    count = rounded_up(count_of(request.blinded))
    for wanted in request.wanted:
        yield {
            "lender": lender.id,
            "kind": wanted.kind,
            "version": wanted.version,
            "count": count,
        }


def rounded_up(count: int) -> int:
    """What the auditor reads of a batch: the next power of two, so that it does not tell a lender's
    business."""
    return 1 << max(0, count - 1).bit_length()


def create_app(namer: Namer) -> FastAPI:
    """The HTTP application over an opened service."""
    app = application("Tahini naming service")
    app.add_middleware(LimitBody, most=MAX_BODY_BYTES, refusal=too_large)
    _refusals(app)
    body_schema = {
        "content": {"application/json": {"schema": EvaluationRequest.model_json_schema()}},
        "required": True,
    }

    @app.post(
        "/v1/evaluations",
        response_model=EvaluationAnswers,
        openapi_extra={"requestBody": body_schema},
    )
    async def post_evaluations(request: Request) -> Response:
        """Evaluate a lender's blinded identity numbers, with a proof of the key that was used."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotAuthenticated("this call needs a signed request in the Authorization header")
        body = await request.body()
        lender = namer.authenticated(token, Call(request.method, request.url.path, body))
        try:
            asked = EvaluationRequest.model_validate_json(body)
        except ValidationError as error:
            raise RequestValidationError(
                error.errors(include_input=False, include_url=False)
            ) from error
        answer = await run_in_threadpool(namer.evaluate, lender, asked)
        return Response(answer.model_dump_json(), media_type="application/json")

    @app.get("/v1/naming-keys", response_model=KeysAnswer)
    def get_keys() -> KeysAnswer:
        return namer.keys()

    @app.get("/healthz")
    def healthz() -> dict[str, Any]:
        return {"status": "ok", "versions": list(namer.home.seeds.live)}

    return app


def _refusals(app: FastAPI) -> None:
    """Every refusal as an RFC 9457 problem document."""

    @app.exception_handler(QuotaSpent)
    def spent(_: Request, error: QuotaSpent) -> JSONResponse:
        answer = problem(error.status, error.code, str(error))
        answer.headers["Retry-After"] = str(max(1, int((error.retry_at - now()).total_seconds())))
        return answer

    @app.exception_handler(ConsentError)
    def refused(_: Request, error: ConsentError) -> JSONResponse:
        return problem(error.status, error.code, str(error))

    @app.exception_handler(CryptoError)
    def not_proved(_: Request, error: CryptoError) -> JSONResponse:
        if isinstance(error, KeyFileError):
            logger.error("the naming service's keys are not in order: %s", error)
            return problem(
                503,
                "keys-unavailable",
                "the naming service's keys are not in order; ask its operator",
            )
        return problem(401, "not-authenticated", str(error))

    @app.exception_handler(RequestValidationError)
    def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        return problem(422, "malformed", one_sentence(error))

    @app.exception_handler(Exception)
    def unexpected(_: Request, error: Exception) -> JSONResponse:
        logger.error("unexpected %s", type(error).__name__, exc_info=error)
        return problem(
            500, "internal", "the naming service failed on this request; nobody was named"
        )


class NamesListening(Listening):
    model_config = SettingsConfigDict(env_prefix="TAHINI_NAMES_")
    port: int = Field(default=8720, ge=1, le=65535)
