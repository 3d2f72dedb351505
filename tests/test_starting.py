"""A consortium that starts on a busy machine: nothing is asked for before the log can answer for it."""

from __future__ import annotations

import json

import httpx
import pytest
from support.wire import plain_server

from demo.population import await_log
from protocol.errors import ConsentError


def problem(status: int, code: str) -> tuple[int, bytes]:
    told = {"type": f"urn:tahini:problem:{code}", "title": code, "status": status, "detail": "no checkpoint yet"}
    return status, json.dumps(told).encode()


def test_nobody_is_named_before_witnesses_have_cosigned_the_log(house):
    target = "/v1/log/inclusion/0?wait=true"
    proof, asked = httpx.get(f"{house.url}{target}").content, []

    def late(path: str, _body: bytes) -> tuple[int, bytes]:
        asked.append(path)
        return problem(404, "not-found") if len(asked) < 3 else (200, proof)

    with plain_server(late) as url:
        await_log(house.founded, url)
    assert asked == [target] * 3


def test_a_registry_that_refuses_is_not_waited_for(house):
    with plain_server(lambda _path, _body: problem(403, "not-allowed")) as url, pytest.raises(ConsentError):
        await_log(house.founded, url)
