"""A consortium that starts on a busy machine: no head of the log is asked for before there is one."""

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


def test_a_head_of_the_log_is_waited_for(house):
    target, asked = "/checkpoint", []
    head = httpx.get(f"{house.url}{target}").content

    def late(path: str, _body: bytes) -> tuple[int, bytes]:
        asked.append(path)
        return problem(404, "not-found") if len(asked) < 3 else (200, head)

    with plain_server(late) as url:
        await_log(house.founded, url)
    assert asked == [target] * 3


def test_a_registry_that_refuses_is_not_waited_for(house):
    with plain_server(lambda _path, _body: problem(403, "not-allowed")) as url, pytest.raises(ConsentError):
        await_log(house.founded, url)
