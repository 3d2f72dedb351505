"""The journal, the metrics, readiness: what they say, and that they name nobody."""

from __future__ import annotations

import gc
import io
import json
import logging
import re
import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI, Request
from prometheus_client import generate_latest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from support.effort import EFFORT
from support.faults import another
from support.house import House
from support.wire import serve

from auditlog.database import Database
from auditlog.leadership import SequencerStatus
from auditlog.lease import Lease
from auditlog.sequencer import Sequencer
from consent.api.app import create_app
from consent.api.log import create_log_app
from consent.readiness import NotReady, check_ready
from consent.storage.migrating import newest_revision
from crypto.keys import SigningKey
from ops import logs, metrics, request_log
from ops.logs import JsonLines, harmless
from ops.processes import free_port
from ops.request_log import Journal, note_caller
from protocol.errors import StorageFailed


def lines(written: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def shown() -> str:
    return generate_latest(metrics.EVERYTHING).decode()


# --- nobody is named


def pieces(value: str) -> set[str]:
    """An identifier whole, and the part of it that would still name somebody."""
    return {value, value.partition(".")[2] or value, urlsafe_b64encode(value.encode()).decode().rstrip("=")}


@contextmanager
def breaking(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands that fail as databases and parsers do: with the values they were given in their messages."""

    def fail(_registry, *arguments, **_options):
        message = f"UNIQUE constraint failed: {arguments!r}"
        try:
            raise ValueError(message)
        except ValueError as error:
            raise IntegrityError(message, {"who": message}, error) from error

    with monkeypatch.context() as patch:
        for place in (
            "consent.api.lenders.enrol_subjects",
            "consent.commands.record_decisions.record_decisions",
            "consent.commands.read_consents.read_consents",
            "consent.commands.forget_subject.forget_subject",
        ):
            patch.setattr(place, fail)
        yield


def drive(house: House, url: str, secrets: set[str], *who: str) -> set[int]:
    """Every endpoint of the API, as everybody (or ``who``), with identifiers wherever something can be put."""
    person = house.borrowers["aspen"][0]
    callers = {
        "nobody": None,
        "borrower": house.borrower_client(person),
        "lender": house.client("aspen"),
        "stranger": house.borrower_client(replace(person, key=SigningKey.generate())),
    }
    token = person.first_answer(house.notice)
    secrets |= {token, token.rpartition(".")[2]}
    late = replace(person, pseudonym=person.pseudonym[:-4] + "AAAA").enrolment.model_dump(mode="json")
    bodies = [
        {"token": token},
        {"tokens": [token]},
        {"subjects": [late, late]},
        {"subjects": [{**late, "public_key": person.pseudonym}]},
        {"entries": [{"type": "use.read", "subject": person.pseudonym}]},
        {"offer": token},
        {person.pseudonym: person.ledger_pseudonym},
    ]
    statuses = set()
    paths = httpx.get(f"{url}/openapi.json", timeout=300).json()["paths"]
    one_by_one = httpx.Limits(max_keepalive_connections=0)  # after a crash the server closes the connection
    with httpx.Client(base_url=url, limits=one_by_one, timeout=300) as http:
        for template, methods in paths.items():
            path = re.sub(r"\{[^}]*\}", person.pseudonym, template)
            for target in (path, f"{path}?who={person.pseudonym}", f"{path}/{person.ledger_pseudonym}"):
                everybody = list(who or callers) if target == path or EFFORT >= 1 else ["borrower"]
                for method in (*methods, "patch"):
                    for client in (callers[name] for name in everybody):
                        full = bodies if target == path else bodies[:1]  # the other targets lead nowhere
                        for body in full if method in {"post", "put"} else [None]:
                            content = b"" if body is None else json.dumps(body).encode()
                            headers = {"Content-Type": "application/json", "X-Request-Id": person.pseudonym}
                            if client is not None:
                                headers |= client._authorization(method.upper(), target, content)
                                secrets |= {headers["Authorization"].partition(" ")[2]}
                            answer = http.request(method.upper(), target, content=content, headers=headers)
                            statuses.add(answer.status_code)
                            assert person.pseudonym not in answer.headers["X-Request-Id"]
        statuses.add(http.request("PROPFIND", f"/{person.pseudonym}").status_code)
        statuses.add(http.post("/v1/subjects", content=b"x", headers={"Authorization": person.pseudonym}).status_code)
    return statuses


def test_nothing_that_is_written_or_counted_names_anybody(house, written, monkeypatch):
    house.activate()
    secrets, counted_before = set[str](), set(re.findall(r'route="([^"]*)"', shown()))  # by tests of other services
    with serve(create_app(house.registry), free_port()) as url:
        statuses = drive(house, url, secrets)
        with breaking(house, monkeypatch):
            statuses |= drive(house, url, secrets, "borrower", "lender")
    assert {200, 201, 401, 403, 404, 405, 409, 422, 500} <= statuses
    people = [person for many in house.borrowers.values() for person in many]
    for person in people:
        for value in (person.pseudonym, person.ledger_pseudonym, person.key.public.text):
            secrets |= pieces(value)
    said, counted = written.getvalue(), shown()
    assert len(said.splitlines()) > 500
    assert not [secret for secret in secrets if secret in said or secret in counted]
    routes = set(re.findall(r'route="([^"]*)"', counted)) - counted_before
    routes |= {line["route"] for line in lines(written) if "route" in line}
    known = set(create_app(house.registry).openapi()["paths"]) | {request_log.UNMATCHED, "/openapi.json", "/docs"}
    assert {re.sub(r":path\}", "}", route) for route in routes} <= known
    assert set(re.findall(r'method="([^"]*)"', counted)) <= {*metrics.METHODS, "OTHER"}
    crashes = [line for line in lines(written) if "raised" in line]
    assert crashes, "a crash is written down"
    assert any("consent/" in place for line in crashes for raised in line["raised"] for place in raised["at"])


@pytest.mark.parametrize(
    "secret",
    ["v1." + "a-_9" * 11, "v12." + "Z" * 43, "eyJhbGciOiJFZDI1NTE5In0" * 2 + "." + "x" * 86, "0f" * 32, "k" * 43 + "="],
)
def test_what_looks_like_somebody_is_left_out_of_any_message(secret):
    assert secret not in harmless(f"the value {secret!r} is odd")
    assert harmless(f"the value {secret!r} is odd").startswith("the value '[left out]")


def test_an_exception_is_written_without_its_message_or_its_causes_messages():
    try:
        try:
            raise KeyError("who: li.na@example.com")
        except KeyError as error:
            raise ValueError("li.na@example.com again") from error
    except ValueError as error:
        caught = error
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "it failed", (), (type(caught), caught, None))
    line = json.loads(JsonLines().format(record))
    assert "li.na" not in json.dumps(line)
    assert [raised["type"] for raised in line["raised"]] == ["ValueError", "KeyError"]
    assert "test_operation.py" in line["raised"][0]["at"][0]


def test_uncaught_exceptions_and_records_that_cannot_be_written_name_nobody(written):
    def fail() -> None:
        raise ValueError("li.na@example.com")

    thread = threading.Thread(target=fail, name="t")
    thread.start()
    thread.join()
    handler = next(one for one in logging.getLogger().handlers if isinstance(one, logs._Stream))
    handler.handle(logging.LogRecord("x", logging.ERROR, "f", 1, "%d rows", ("li.na@example.com",), None))
    said = lines(written)
    assert [line["event"] for line in said] == ["uncaught in thread t", "unwritable record"]
    assert "li.na" not in written.getvalue()


# --- what a request's line says


def test_a_request_is_written_by_route_status_role_and_problem(written):
    app = FastAPI()
    app.add_middleware(Journal)

    @app.get("/people/{who}")
    async def people(who: str, request: Request) -> str:
        note_caller(request.scope, "lender")
        if who == "crash":
            raise RuntimeError(who)
        return who

    with serve(app, free_port()) as url:
        ids = [
            httpx.get(f"{url}{path}").headers.get("X-Request-Id")
            for path in ("/people/li.na", "/li.na", "/people/crash")
        ]
    said = [line for line in lines(written) if line["event"] == "request"]
    assert [(line["route"], line["status"], line.get("caller")) for line in said] == [
        ("/people/{who}", 200, "lender"),
        ("unmatched", 404, None),
        ("/people/{who}", 500, "lender"),
    ]
    assert [line["request"] for line in said][:2] == ids[:2]
    assert said[2]["problem"] == "internal"
    assert all(line["ms"] >= 0 for line in said)
    assert "li.na" not in written.getvalue()


def test_a_refusal_is_written_with_its_code(house, written):
    with serve(create_app(house.registry), free_port()) as url:
        assert httpx.get(f"{url}/v1/me/consents").status_code == 401
        assert httpx.post(f"{url}/v1/decisions", json={}).status_code == 422
    said = {line["route"]: line["problem"] for line in lines(written) if "problem" in line}
    assert said == {"/v1/me/consents": "not-authenticated", "/v1/decisions": "malformed"}


# --- metrics


def value(sample: str) -> float:
    found = re.search(rf"^{re.escape(sample)} (\S+)$", shown(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_metrics_count_requests_commits_the_log_and_its_witnesses(house):
    before = value('tahini_requests_total{method="POST",route="/v1/log/entries",status="201"}')
    commits = value("tahini_log_commit_entries_count")
    client = house.client("aspen")
    [index] = client.append([{"type": "use.read", "to": ["auditor"], "counts": {"rows": 1}}])
    house.registry.ledger.catch_up()
    assert value('tahini_requests_total{method="POST",route="/v1/log/entries",status="201"}') == before + 1
    assert value("tahini_log_commit_entries_count") == commits + 1
    for stage in ("appended", "integrated", "published"):
        assert value(f'tahini_log_entries{{stage="{stage}"}}') >= index + 1
    sizes = [value(f'tahini_witness_entries{{witness="{name}"}}') for name in ("aspen", "birch", "cedar")]
    assert sum(size >= index + 1 for size in sizes) >= 2, "a quorum"
    assert value('tahini_log_publications_total{outcome="cosigned"}') > 0


def test_metrics_count_what_the_database_refused(tmp_path):
    database = Database(tmp_path)
    before = value("tahini_database_failures_total")
    with pytest.raises(StorageFailed), database.read() as session:
        session.execute(text("SELECT 1"))
    assert value("tahini_database_failures_total") == before + 1


def test_metrics_are_not_on_the_public_address(house):
    assert httpx.get(f"{house.url}/metrics").status_code == 404
    port = free_port()
    metrics.expose(metrics.Endpoint("127.0.0.1", port))
    assert "tahini_requests_total" in httpx.get(f"http://127.0.0.1:{port}/metrics").text


# --- readiness


def reason(ledger) -> str:
    with pytest.raises(NotReady) as refused:
        check_ready(ledger)
    assert (refused.value.status, refused.value.code) == (503, "not-ready")
    return str(refused.value)


def test_asking_whether_it_is_ready_leaves_nothing_behind(house):
    """Probes ask every few seconds, for ever."""
    check_ready(house.registry.ledger)
    gc.collect()
    before = sum(isinstance(found, Session) for found in gc.get_objects())
    read_once = newest_revision.cache_info()
    for _ in range(50):
        check_ready(house.registry.ledger)
    gc.collect()
    assert sum(isinstance(found, Session) for found in gc.get_objects()) < before + 10, "those of the threads at work"
    assert newest_revision.cache_info().hits == read_once.hits + 50
    assert newest_revision.cache_info().misses == read_once.misses


def test_readiness_names_the_category_of_what_is_missing(house):
    ledger = house.registry.ledger
    answer = httpx.get(f"{house.url}/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})
    ledger.sequencer.turn.report(SequencerStatus(halted="a witness saw more"))
    assert reason(ledger) == "sequencer"
    refused = httpx.get(f"{house.url}/readyz")
    assert refused.status_code == 503
    assert refused.json()["type"] == "urn:tahini:problem:not-ready"
    assert refused.json()["detail"] == "sequencer", "and not more: anybody may ask"
    ledger.sequencer.turn.report(SequencerStatus())
    other = replace(ledger, log=replace(ledger.log, lease=Lease()))
    assert reason(other) == "lease"
    with ledger.database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    assert reason(ledger) == "migrations"
    with ledger.database.write() as session:
        session.execute(text("DROP TABLE alembic_version"))
    assert reason(ledger) == "migrations"


def test_a_reader_is_ready_without_the_lease_and_nobody_is_without_a_database(house, monkeypatch):
    with another(house.registry.ledger.database) as database:
        ledger = house.registry.ledger
        log = replace(ledger.log, lease=Lease())
        sequencer = Sequencer(database, log, ledger.sequencer.witnesses)
        reader = replace(house.registry, ledger=replace(ledger, database=database, log=log, sequencer=sequencer))
        with serve(create_log_app(reader, read_only=True), free_port()) as url:
            assert httpx.get(f"{url}/readyz").status_code == 200

            def gone():
                raise StorageFailed("connection to 10.0.0.7 refused")

            monkeypatch.setattr(database, "read", gone)
            answer = httpx.get(f"{url}/readyz")
            assert (answer.status_code, answer.json()["detail"]) == (503, "database")
