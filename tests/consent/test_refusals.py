"""What is refused can be said in another language: each refusal has a name and the values in it. And who may read
what from another origin."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from support.world import Person

from auditlog.refusals import Refusal, refused
from consent.api.log import create_log_app
from consent.identity.access import declarations
from consent.refusals import REASONS
from protocol.errors import Conflict
from protocol.states import ConsentStatus, Event, IllegalTransition, step

ROOT = Path(__file__).parents[2]


@pytest.fixture
def person(market) -> Person:
    return market.enrol("aspen", 2)[0]


def stated() -> dict[str, set[tuple[str, ...]]]:
    """Every ``because`` of the rooms that refuse something, with the names of its parameters."""
    found: dict[str, set[tuple[str, ...]]] = {}
    for room in ("consent", "protocol", "auditlog"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "because":
                    (reason,) = node.args
                    name = reason.value if isinstance(reason, ast.Constant) else "ticket-refused"
                    found.setdefault(name, set()).add(tuple(sorted(str(one.arg) for one in node.keywords)))
    return found


def test_the_list_of_reasons_is_whole_and_each_has_the_parameters_that_it_says():
    assert stated() == {name: {parameters} for name, parameters in REASONS.items()}
    assert list(REASONS) == sorted(REASONS)


def test_a_refusal_says_its_reason_and_the_values_in_it(market, person):
    market.says(person, "give")
    market.says(person, "withdraw")
    me = market.login(person)

    def problem(answer, status=409):
        assert answer.status_code == status, answer.text
        return answer.json().get("reason"), answer.json().get("parameters")

    def say(action, kind="ordinary", **fields):
        return market.call(me, "POST", "/v1/me/consents", market.statement([("aspen", kind, action)], **fields))

    assert problem(say("suspend")) == ("cannot-change", {"state": "withdrawn", "event": "suspend"})
    assert problem(say("give", "tax")) == ("kind-not-asked", {"notice": "credit", "sensitivity": "tax"})
    other = say("give", notice_language="fr")
    assert problem(other) == ("no-text-in-language", {"notice": "credit", "languages": ["en", "zh"]})
    assert problem(say("give", notice_sha256="0" * 64)) == ("another-text", {"notice": "credit"})
    assert problem(say("give", notice_version=0), 422) == ("misfit", {"fault": "greater_than_equal", "ge": 1})
    (record,) = market.call(me, "GET", "/v1/me/consents").json()["items"]
    again = market.call(me, "POST", f"/v1/me/consents/{record['record_id']}/withdrawal", If_Match='"0"')
    assert problem(again, 412) == ("changed-since", {})
    market.clock.move(minutes=11)
    assert problem(say("give"), 401) == ("session-over", {})


def test_a_secret_that_does_not_fit_is_in_no_problem(market, person):
    me = market.login(person)
    body = market.statement([("aspen", "ordinary", "give")]) | {"channel": "secret-word", "notice_id": "Secret Word"}
    answer = market.call(me, "POST", "/v1/me/consents", body)
    assert answer.status_code == 422
    assert "secret" not in answer.text.lower()


def test_a_reason_survives_the_way_to_another_process():
    with pytest.raises(IllegalTransition) as caught:
        step(ConsentStatus.WITHDRAWN, Event.SUSPEND)
    there = refused(Refusal.of(caught.value).model_dump_json().encode())
    assert isinstance(there, Conflict)
    assert there.said == ("cannot-change", {"state": "withdrawn", "event": "suspend"})
    assert Conflict("another").said == ("", {}), "one refusal's reason is no other's"


# --- other origins

READABLE = {
    "/checkpoint",
    "/tile/entries/{path:path}",
    "/tile/{level}/{path:path}",
    "/v1/consortium",
    "/v1/log/consistency",
    "/v1/log/entries/{index}",
    "/v1/log/inclusion/{index}",
}
ELSEWHERE = {"Origin": "https://auditor.example"}
FILLED = {"{path:path}": "000.p/1", "{level}": "0", "{index}": "0", "{sha256}": "0" * 64}


def concrete(path: str) -> str:
    for name, value in FILLED.items():
        path = path.replace(name, value)
    return path


def test_the_public_log_is_for_every_origin_and_nothing_else_is(market, person):
    market.says(person, "give")
    market.checkpoint()
    log = TestClient(create_log_app(market.registry, read_only=True))
    for http, app in ((market.http, market.app), (log, log.app)):
        for one in declarations(app):
            answer = http.request(one.method, concrete(one.path), headers=ELSEWHERE)
            told = {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}
            expected = {"access-control-allow-origin": "*"} if one.path in READABLE and one.method == "GET" else {}
            assert told == expected, (one.method, one.path)
            assert one.callers is None or not told
        assert http.options("/checkpoint", headers=ELSEWHERE).headers.get("access-control-allow-origin") is None
        missing = http.get("/tile/0/999", headers=ELSEWHERE)
        assert (missing.status_code, missing.headers["access-control-allow-origin"]) == (404, "*")
