"""One batch of people named: blind, ask, verify, unblind. The unit of work of :mod:`naming.client`.

Blinding and verifying cost about a third of a millisecond per name and hold Python's lock, so
several processes do it; what this module imports is what each of them has to load.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from multiprocessing import parent_process
from multiprocessing.connection import wait
from threading import Thread

import httpx

from crypto.errors import PseudonymError
from crypto.keys import SigningKey, b64
from crypto.pseudonyms import Scope, blind, finish
from naming.errors import NamingUnavailable, QuotaSpent
from naming.messages import EvaluationAnswers, EvaluationRequest, Wanted
from protocol.bounded import Bounds, ask_again, kept
from protocol.errors import ConsentError
from protocol.log_client import trusted_authorities, why_silent
from protocol.requests import sign_request
from protocol.schema import now

FIRST_PAUSE_S, MAX_PAUSE_S = 0.25, 15.0
TIMEOUT = httpx.Timeout(60.0, connect=5.0)
ANSWER = Bounds(16 << 20, 300.0)


@dataclass(frozen=True)
class Asking:
    """What one process needs to have batches named: who asks whom, with which keys, for how
    long."""

    url: str
    audience: str
    lender: str
    signing_seed: bytes = field(repr=False)
    keys: tuple[tuple[Scope, bytes], ...]
    """A scope and its pinned public key for each name that is wanted."""
    patience_s: float


def end_with_caller() -> None:
    """In a process that names batches for another: it ends with that one, however that one ends.

    An orphan would keep the lender's key and people's numbers in memory, for ever.
    """
    caller = parent_process()
    if caller is not None:
        Thread(target=_end_after, args=(caller.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


@cache
def _http(url: str) -> httpx.Client:
    """One connection pool per process and service."""
    return httpx.Client(base_url=url, timeout=TIMEOUT, verify=trusted_authorities(), limits=kept())


def _refusal(response: httpx.Response) -> ConsentError:
    """The service's own words, as an exception."""
    try:
        details = response.json()
        detail = str(details["detail"])
        code = str(details["type"]).rpartition(":")[2]
        pause = int(response.headers.get("Retry-After", "0"))
    except (ValueError, KeyError, TypeError):
        return NamingUnavailable(
            f"the naming service answered {response.status_code} without saying why"
        )
    if response.status_code == QuotaSpent.status:
        return QuotaSpent(detail, now() + timedelta(seconds=pause))
    error: ConsentError = (
        NamingUnavailable(detail) if response.status_code >= 500 else ConsentError(detail)
    )
    error.status = response.status_code
    error.code = code
    return error


def _send(asking: Asking, method: str, target: str, content: bytes) -> httpx.Response:
    """One signed request; raises NamingUnavailable where trying again may help."""
    token = sign_request(
        SigningKey(asking.signing_seed), asking.lender, asking.audience, method, target, content
    )
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        response = ask_again(
            _http(asking.url), method, target, ANSWER, content=content, headers=headers
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NamingUnavailable(
            f"the naming service at {asking.url} does not answer ({why_silent(error)}); nobody was "
            "named"
        ) from error
    if response.is_success:
        return response
    raise _refusal(response)


def patiently(asking: Asking, method: str, target: str, content: bytes) -> httpx.Response:
    """Try again, with longer and longer pauses, for as long as the caller is patient."""
    deadline = time.monotonic() + asking.patience_s
    pause = FIRST_PAUSE_S
    while True:
        try:
            return _send(asking, method, target, content)
        except NamingUnavailable:
            if time.monotonic() + pause > deadline:
                raise
            time.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE_S)


def name_batch(asking: Asking, identities: Sequence[str]) -> list[list[str]]:
    """One batch: for each wanted scope the names of these people, in order.

    A blinded element is uniformly random whoever it stands for, so one serves for all of a person's
    names, and one request for all of them.
    """
    blinded = blind(identities)
    wanted = tuple(Wanted(kind=scope.kind, version=scope.version) for scope, _ in asking.keys)
    request = EvaluationRequest.model_construct(wanted=wanted, elements=b64(blinded.elements))
    response = patiently(asking, "POST", "/v1/evaluations", request.model_dump_json().encode())
    try:
        answers = EvaluationAnswers.model_validate_json(response.content)
        evaluations = [answer.evaluation() for answer in answers.evaluations]
    except ValueError as error:
        raise PseudonymError("the naming service's answer does not fit its schema") from error
    if len(evaluations) != len(asking.keys):
        raise PseudonymError("the naming service answered for other names than were wanted")
    return [
        finish(blinded, evaluation, public_key, scope)
        for evaluation, (scope, public_key) in zip(evaluations, asking.keys, strict=True)
    ]
