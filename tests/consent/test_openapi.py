"""The OpenAPI document is true: whatever it allows or forbids is answered as it says, and every link leads there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from support.asgi import Answered, Sent
from support.audits import some_report
from support.effort import EFFORT, effort
from support.fuzzing import Site
from support.incidents import make_incident
from support.market import shown

from protocol.audits import AuditRemedy
from protocol.schema import now


@pytest.fixture
def site(under_fire: Site) -> Site:
    return under_fire


# --- generated from the OpenAPI document


def test_every_reference_of_the_openapi_document_leads_somewhere(site):
    document = site.app.openapi()

    def references(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            yield from ([node["$ref"]] if isinstance(node.get("$ref"), str) else [])
        for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            yield from references(child)

    found = set(references(document))
    assert found
    for reference in found:
        node = document
        for step in reference.removeprefix("#/").split("/"):
            assert step in node, reference
            node = node[step]


def operations(app: FastAPI) -> list[Any]:
    return [result.ok() for result in schemathesis.openapi.from_dict(app.openapi()).get_all_operations()]


def generated(operation: Any, mode: schemathesis.GenerationMode, count: int) -> list[tuple[Any, Sent]]:
    """Cases of one operation, as schemathesis makes them, and each as a request."""
    found: list[tuple[Any, Sent]] = []

    @settings(
        max_examples=count,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        deadline=None,
        database=None,
        derandomize=True,
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def collect(case: Any) -> None:
        kwargs = case.as_transport_kwargs(base_url="http://registry.test")
        kwargs.pop("cookies", None)
        try:
            request = httpx.Request(**{k: v for k, v in kwargs.items() if k in {"method", "url", "params"}})
        except (httpx.InvalidURL, ValueError):
            return
        body = kwargs.get("data") or b""
        if "json" in kwargs:
            try:
                body = json.dumps(kwargs["json"]).encode()
            except (TypeError, UnicodeEncodeError, ValueError):
                return
        if not isinstance(body, bytes):
            body = urlencode(body).encode() if isinstance(body, dict) else str(body).encode()
        named = {"idempotency-key", "if-match", "content-type"}
        headers = tuple((k, str(v)) for k, v in dict(kwargs.get("headers") or {}).items() if k.lower() in named)
        headers = tuple((k, v) for k, v in headers if v.isascii() and v.isprintable())
        found.append((case, Sent(operation.method.upper(), request.url.raw_path.decode(), body, "", headers)))

    collect()
    return found


CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def conforms(case: Any, sent: Sent, answer: Answered) -> None:
    """The answer is one that the document says there is: its status, its content type, its schema."""
    request = httpx.Request(sent.method, f"http://registry.test{sent.target}", content=sent.body)
    response = httpx.Response(answer.status, headers=answer.headers, content=answer.body, request=request)
    response.elapsed = timedelta()
    case.validate_response(response, checks=CHECKS)


def test_whatever_the_openapi_document_allows_or_forbids_is_answered_as_it_says(site):
    """Each generated request comes from nobody and from a caller of some kind, or of every."""
    sent = 0
    for number, operation in enumerate(operations(site.app)):
        cases: list[tuple[Any, Sent]] = []
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            try:
                cases += generated(operation, mode, effort(10, 2))
            except Exception as refused:  # an operation without any parameter has no negative cases
                if type(refused).__name__ not in {"Unsatisfiable", "SkipTest", "Skip"}:
                    raise
        assert cases, operation.label
        who = list(site.keys)[: -1 if operation.label == "DELETE /v1/me" else None]  # the borrower is needed later
        if EFFORT < 1:  # one of them in turn
            who = [who[number % len(who)]]
        requests = [(case, replace(one, caller=caller)) for case, one in cases for caller in ("", *who)]
        for (case, one), answer in zip(requests, site.send([one for _, one in requests]), strict=True):
            conforms(case, one, answer)
        sent += len(requests)
    assert len(operations(site.app)) >= 50
    assert sent >= min(1000, effort(2000))
    site.check()


# --- the document itself


def has_example(schema: dict[str, Any], known: dict[str, Any]) -> bool:
    """Whether a reader can make a value from what the schema shows: every part that must be there is shown."""
    if "$ref" in schema:
        schema = known[schema["$ref"].rpartition("/")[2]]
    if schema.keys() & {"example", "examples", "default", "enum", "const"}:
        return True
    if "properties" in schema:
        return all(has_example(schema["properties"][name], known) for name in schema.get("required", ()))
    parts = [schema["items"]] if "items" in schema else schema.get("anyOf", []) + schema.get("oneOf", [])
    return any(has_example(part, known) for part in parts)


def test_every_endpoint_says_what_it_does_shows_a_body_and_names_its_errors(site):
    document, known = site.app.openapi(), site.app.openapi()["components"]["schemas"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            assert operation.get("summary"), where
            assert operation.get("description"), where
            assert operation["responses"].keys() >= {"401", "403", "413", "422", "429", "503"}, where
            if "{" in path and not path.startswith("/v1/parties"):
                assert "404" in operation["responses"], where
            for status, response in operation["responses"].items():
                assert response.get("description"), (where, status)
                assert status[0] == "2" or list(response["content"]) == ["application/problem+json"], (where, status)
            for content in operation.get("requestBody", {}).get("content", {}).values():
                assert "examples" in content or has_example(content["schema"], known), f"{where} shows no body"


def pointed_at(body: Any, expression: str) -> Any:
    """What a runtime expression of OpenAPI means for an answer."""
    node = body
    for step in expression.removeprefix("$response.body#/").split("/"):
        node = node[int(step)] if isinstance(node, list) else node[step]
    return node


def openings(site: Site) -> dict[str, Sent]:
    """A request for each operation that has links, which succeeds."""
    house, borrower = site.house, list(site.keys)[-1]
    number = sum(site.statuses.values())
    notice = house.notice.model_copy(update={"version": 100_000 + number})
    campaign = house.campaign.model_copy(update={"id": f"linked-{number}"})
    entry = {"type": "use.read", "to": ["auditor"], "counts": {"rows": 1}}
    choice = {"recipient": "cedar", "sensitivity": "ordinary", "action": "give"}
    statement = shown(house.notice) | {"choices": [choice]}
    report = some_report("auditor", now(), id=f"linked-{number}")
    remedy = AuditRemedy(
        report_sha256=report.sha256, finding="late", party="aspen", done="Two more people answer.", done_at=now()
    )
    found = {
        "POST /v1/audits": ("auditor", {"token": report.sign(site.keys["auditor"])}),
        "POST /v1/audits/{sha256}/remedies": ("aspen", {"token": remedy.sign(site.keys["aspen"])}),
        "POST /v1/log/entries": ("aspen", {"entries": [entry]}),
        "POST /v1/notices": ("registry", {"token": notice.sign(site.keys["registry"])}),
        "POST /v1/assessments": ("coordinator", {"token": house.assessment.sign(site.keys["coordinator"])}),
        "POST /v1/incidents": ("aspen", {"token": make_incident("aspen").sign(site.keys["aspen"]), "affected": []}),
        "POST /v1/campaigns": ("coordinator", {"token": campaign.sign(site.keys["coordinator"])}),
        "POST /v1/me/consents": (borrower, statement),
        "GET /v1/me/consents": (borrower, None),
        "POST /v1/me/requests": (borrower, {"recipient": "cedar", "asked": {"kind": "access"}}),
    }
    return {
        label: Sent(
            *label.format(sha256=report.sha256).split(" "), b"" if body is None else json.dumps(body).encode(), caller
        )
        for label, (caller, body) in found.items()
    }


def test_every_link_of_the_document_leads_where_it_says(site):
    document = site.app.openapi()
    by_label = {operation.label: operation for operation in operations(site.app)}
    followed = 0
    for label, opening in openings(site).items():
        if label == "POST /v1/me/consents":  # it may have been given before: then it is taken back first
            site.send([replace(opening, body=opening.body.replace(b'"give"', b'"withdraw"'))])
        [answer] = site.send([opening])
        assert answer.status in {200, 201}, (label, answer)
        filled = {"sha256": opening.target.split("/")[3]} if "{" in label else {}
        conforms(by_label[label].Case(path_parameters=filled), opening, answer)
        site.registry.ledger.sequencer.settle()
        method, path = label.split(" ")
        found = document["paths"][path][method.lower()]["responses"][str(answer.status)]["links"]
        for name, link in found.items():
            target, verb = link["operationRef"].removeprefix("#/paths/").rsplit("/", 1)
            template = target.replace("~1", "/")
            named = {key: pointed_at(json.loads(answer.body), told) for key, told in link["parameters"].items()}
            case, target = by_label[f"{verb.upper()} {template}"].Case(path_parameters=named), template
            for key, value in named.items():
                target = target.replace(f"{{{key}}}", str(value))
            caller = "auditor" if name == "authorisations" else opening.caller
            follow = Sent(verb.upper(), target, b"", caller)
            [there] = site.send([follow])
            may_be_over = {409} if name == "withdrawal" else set()  # the record may be one that was withdrawn before
            assert there.status in {200, 201} | may_be_over, (label, name, there)
            conforms(case, follow, there)
            followed += 1
    stated = [
        link
        for methods in document["paths"].values()
        for operation in methods.values()
        for response in operation["responses"].values()
        for link in response.get("links", ())
    ]
    assert followed == len(stated) >= 8, "each was followed"
