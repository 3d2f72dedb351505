"""The API under attack as a whole: injection, bombs, guessing, other tenants' things, fields that nobody asked for.

Each attack is refused in a way that tells nothing, leaves its line in the journal without what was sent, and changes
nothing. Tokens and keys have tests of their own (``test_tokens``, ``test_identity``, ``test_keys``).
"""

from __future__ import annotations

import base64
import io
import json
import logging
import re
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError
from support.identity import Site, open_site
from support.world import pseudonym

from consent.api.service import PERSONAL
from consent.commands.publish_notice import publish_notice
from consent.identity.access import declarations
from consent.identity.callers import Caller
from crypto.keys import SigningKey
from demo.borrowers import make_notice
from ops import request_log as journal
from ops.request_log import keep_journal
from protocol.errors import Malformed
from protocol.requests import sign_request
from protocol.snapshots import unpacked
from protocol.terms import TRAINING_PURPOSE

PURPOSE = TRAINING_PURPOSE
LENDERS = ("aspen", "birch")


@contextmanager
def with_notice(home: Path, url: str | None = None) -> Iterator[Site]:
    with open_site(home, url) as opened:
        notice = make_notice(list(LENDERS), 1.0)
        publish_notice(opened.registry, notice.sign(opened.registry.signing_key))
        opened.notice = notice
        with opened.http:  # the threads behind the endpoints run
            yield opened


@pytest.fixture
def site(tmp_path) -> Iterator[Site]:
    with with_notice(tmp_path / "site") as opened:
        yield opened


@pytest.fixture(params=["sqlite", "postgresql"])
def any_site(request, tmp_path) -> Iterator[Site]:
    """For what a database may take in different ways: NUL characters, large numbers, quotes."""
    url = request.getfixturevalue("postgresql")() if request.param == "postgresql" else None
    with with_notice(tmp_path / "site", url) as opened:
        yield opened


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """All that this process writes into its journal, from now on."""
    root, stream = logging.getLogger(), io.StringIO()
    kept = root.handlers[:], root.level, journal.threading.excepthook, journal.sys.excepthook
    keep_journal(stream)
    yield stream
    root.handlers[:], root.level, journal.threading.excepthook, journal.sys.excepthook = kept
    logging.captureWarnings(False)


def requests_in(written: io.StringIO) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    return [line for line in lines if line["event"] == "request"]


def everything(site: Site) -> dict[str, int]:
    """How many rows each table has; ids of requests and sessions are nobody's business."""
    with site.registry.ledger.read() as session:
        tables = (
            "subjects",
            "consents",
            "consent_events",
            "decisions",
            "imports",
            "campaigns",
            "notices",
            "log_entries",
        )
        return {table: session.scalar(text(f"SELECT count(*) FROM {table}")) for table in tables}


# --- injection

POISON = (
    "'; DROP TABLE subjects; --", "' OR '1'='1", '" OR ""="', "1); DELETE FROM consents; --", "x\r\nSet-Cookie: a=b",
    "x\nX-Injected: 1", "\x00", "a\x00b", "%0d%0aX-Injected:1", "$1", "{0}", "${jndi:ldap://x}", "\\", "%s",
    "\u2028",
)  # fmt: skip


def statement(site: Site, **changes: Any) -> dict[str, Any]:
    good = {
        "notice_id": site.notice.id,
        "notice_version": 1,
        "notice_language": "en",
        "notice_sha256": site.notice.text_sha256("en"),
        "choices": [{"recipient": "aspen", "action": "give"}],
    }
    return good | changes


def bodies(site: Site) -> dict[str, tuple[str, dict[str, Any]]]:
    """(caller, body in order) of what can be posted, by path."""
    record = {
        "number": 0,
        "sensitivity": "ordinary",
        "action": "give",
        "event_time": site.clock().isoformat(),
        "evidence_sha256": "0" * 64,
    }
    mine = {key: value for key, value in statement(site).items() if key != "choices"}
    return {
        "/v1/me/consents": (site.people["aspen"][0].pseudonym, statement(site)),
        "/v1/checks": ("aspen", {"purpose": PURPOSE, "subjects": [site.people["aspen"][0].pseudonym]}),
        "/v1/subjects": ("aspen", {"subjects": [{"pseudonym": pseudonym(), "ledger_pseudonym": pseudonym()}]}),
        "/v1/imports": ("aspen", {**mine, "channel": "branch", "records": [record]}),
        "/v1/log/entries": ("aspen", {"entries": [{"type": "use.read", "to": ["auditor"]}]}),
        "/v1/populations": ("coordinator", {"purpose": PURPOSE, "lenders": ["aspen", "birch"]}),
        "/v1/campaigns": ("coordinator", {"token": "a.b.c"}),
        "/v1/notices": ("registry", {"token": "a.b.c"}),
        "/v1/revocations/acknowledgements": ("aspen", {"token": "a.b.c"}),
        "/v1/decisions": ("aspen", {"tokens": ["a.b.c"]}),
        "/v1/sessions": ("aspen", {"offer": "a.b.c"}),
        "/v1/subjects/renamings": (
            "aspen",
            {
                "renamings": [
                    {"pseudonym": pseudonym(), "new_pseudonym": pseudonym(), "new_ledger_pseudonym": pseudonym()}
                ]
            },
        ),
    }


def texts(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a body a text stands."""
    if isinstance(node, str):
        yield path
    for name, child in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from texts(child, (*path, name))


def with_text(body: Any, path: tuple[Any, ...], value: str) -> Any:
    if not path:
        return value
    changed = body.copy()
    changed[path[0]] = with_text(body[path[0]], path[1:], value)
    return changed


def test_what_is_put_into_any_text_field_is_refused_and_stays_text(any_site, written):
    site = any_site
    before, tried = everything(site), 0
    for target, (caller, body) in bodies(site).items():
        for path in texts(body):
            for poison in POISON:
                answer = site.signed(caller, "POST", target, with_text(body, path, poison))
                assert 400 <= answer.status_code < 500, (target, path, poison, answer.text)
                assert answer.headers["content-type"] == "application/problem+json"
                assert not {"x-injected", "set-cookie"} & set(answer.headers)
                tried += 1
    assert tried > 200
    assert everything(site) == before
    lines = requests_in(written)
    assert len(lines) == tried
    assert not [line for line in lines if line["status"] >= 500]
    assert "DROP TABLE" not in written.getvalue()


def test_what_is_put_into_any_path_query_or_header_is_refused(any_site, written):
    site = any_site
    before = everything(site)
    encoded = (
        "'%3B%20DROP%20TABLE%20subjects%3B--",
        "%00",
        "%0d%0aX-Injected:%201",
        "a%27%20OR%201=1",
        "..%2f..%2fx",
        "%ff",
    )
    for one in declarations(site.app):
        for poison in encoded:
            path = re.sub(r"\{[^}]*\}", poison, one.path)
            for target in (path, f"{path}?cursor={poison}&purpose={poison}&challenge={poison}&limit={poison}"):
                for caller in ("aspen", "coordinator"):
                    if target == one.path:
                        continue
                    answer = site.signed(caller, one.method, target, None if one.method == "GET" else {})
                    assert answer.status_code < 500, (target, answer.text)
                    assert not {"x-injected", "set-cookie"} & set(answer.headers), target
    for name in ("Idempotency-Key", "If-Match", "X-Request-Id", "X-Forwarded-For", "Content-Type", "Accept"):
        for poison in ("'; DROP TABLE subjects; --", "x" * 5000, '"', "\x01", "é"):
            body = json.dumps(statement(site, notice_id="unknown")).encode()
            who = site.people["aspen"][0]
            token = sign_request(who.key, who.pseudonym, "registry", "POST", "/v1/me/consents", body)
            headers = {
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/json",
                name: poison.encode("latin-1"),
            }
            answer = site.http.post("/v1/me/consents", content=body, headers=headers)
            assert 400 <= answer.status_code < 500, (name, poison, answer.text)
    assert everything(site) == before
    assert "DROP TABLE" not in written.getvalue()


# --- bombs


@pytest.mark.parametrize("depth", [500, 5_000, 500_000])
def test_json_that_is_nested_deep_is_refused_without_an_error_of_ours(site, depth, written):
    opened, closed = b"[" * depth, b"[" * depth + b"]" * depth
    for target in ("/v1/checks", "/v1/me/consents", "/v1/log/entries"):
        caller, _ = bodies(site)[target]
        for body in (opened, closed, b'{"a":' * depth + b"1" + b"}" * depth, b'{"purpose":' + closed + b"}"):
            token = sign_request(site.key_of(caller), caller, "registry", "POST", target, body)
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            answer = site.http.post(target, content=body, headers=headers)
            assert answer.status_code == 422, answer.text[:300]
            assert answer.json()["type"] == "urn:tahini:problem:malformed"
    assert '"level": "error"' not in written.getvalue()


def bomb(size: int) -> str:
    """Packed values that unpack to ``size`` bytes of nothing."""
    engine = zlib.compressobj(9)
    parts = [engine.compress(bytes(1 << 20)) for _ in range(size >> 20)]
    return base64.b64encode(b"".join([*parts, engine.flush()])).decode()


def test_a_zip_bomb_is_refused_before_it_has_filled_the_memory(site):
    import tracemalloc

    huge = bomb(400 << 20)
    assert len(huge) < 1 << 20
    tracemalloc.start()
    try:
        answer = site.signed("aspen", "POST", "/v1/checks", {"purpose": PURPOSE, "numbers": huge})
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:tahini:problem:malformed"), answer.text
    assert most < 100 << 20, f"{most >> 20} MB for a roll of three people"


@pytest.mark.parametrize("damage", ["", "A", "====", "eJw=", "é", base64.b64encode(b"no zlib").decode()])
def test_packed_values_that_are_none_are_refused(damage):
    with pytest.raises(Malformed):
        unpacked(damage, "uint32")


def test_packed_values_are_bounded_by_what_may_be_asked():
    packed_up = base64.b64encode(zlib.compress(np.zeros(11, "<u4").tobytes())).decode()
    assert len(unpacked(packed_up, "uint32", most=11)) == 11
    with pytest.raises(Malformed):
        unpacked(packed_up, "uint32", most=10)


# --- guessing

IN_BACKGROUND = {"integrate", "publish", "follow", "outbox"}
"""Threads of the registry that work without being asked."""


@contextmanager
def statements(site: Site) -> Iterator[list[str]]:
    """The statements that the database is asked meanwhile, without their values: the work that is done.

    Not those of sequencer and outbox, which work when they like.
    """
    seen: list[str] = []

    def executed(_c: Any, _cursor: Any, sql: str, *_: Any) -> None:
        if threading.current_thread().name not in IN_BACKGROUND:
            seen.append(sql)

    engine = site.registry.ledger.database.engine
    event.listen(engine, "before_cursor_execute", executed)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", executed)


def alike(site: Site, caller: str, method: str, pair: tuple[str, str], body: tuple[Any, Any] = (None, None)) -> None:
    """What is not there and what is not the caller's get the same status, the same body, for the same work."""
    for _ in range(3):  # now and then keys are read anew in one of the two, because a second has passed
        answers, work = [], []
        for target, content in zip(pair, body, strict=True):
            site.signed(caller, method, target, content)  # what is remembered from the first time is so for both
            with statements(site) as asked:
                answers.append(site.signed(caller, method, target, content))
            work.append(asked)
        if work[0] == work[1]:
            break
    unknown, foreign = answers
    assert 400 <= unknown.status_code < 500, unknown.text
    assert (unknown.status_code, unknown.text) == (foreign.status_code, foreign.text)
    assert work[0] == work[1]


def given(site: Site, lender: str) -> tuple[str, str, str]:
    """Somebody's pseudonym, record and decision."""
    who = site.people[lender][0].pseudonym
    choice = {"recipient": lender, "action": "give"}
    answer = site.signed(who, "POST", "/v1/me/consents", statement(site, choices=[choice]))
    assert answer.status_code == 201, answer.text
    [record] = site.signed(who, "GET", "/v1/me/consents").json()["items"]
    return who, record["record_id"], answer.json()["recorded"][0]["decision_sha256"]


def test_what_is_anothers_looks_like_what_is_not_there(site):
    _, record, decision = given(site, "birch")
    me = site.people["aspen"][0].pseudonym
    alike(site, me, "GET", (f"/v1/me/consents/{'0' * 32}", f"/v1/me/consents/{record}"))
    alike(site, me, "POST", (f"/v1/me/consents/{'0' * 32}/withdrawal", f"/v1/me/consents/{record}/withdrawal"))
    alike(site, me, "GET", (f"/v1/me/receipts/{'0' * 64}", f"/v1/me/receipts/{decision}"))
    at_birch, nowhere = ([{"recipient": name, "action": "give"}] for name in ("birch", "oak"))
    alike(
        site,
        me,
        "POST",
        ("/v1/me/consents",) * 2,
        (statement(site, choices=nowhere), statement(site, choices=at_birch)),
    )


def test_an_unknown_borrower_and_a_wrong_key_look_alike(site):
    known, stranger = site.people["birch"][0].pseudonym, pseudonym()
    answers = [site.signed(name, "GET", "/v1/me/consents", key=SigningKey.generate()) for name in (stranger, known)]
    assert {answer.status_code for answer in answers} == {401}


# --- other tenants


def test_a_lender_learns_nothing_of_another_lenders_people(site):
    theirs, _, _ = given(site, "birch")
    mine, _, _ = given(site, "aspen")
    asked = {"purpose": PURPOSE, "subjects": [theirs, pseudonym(), mine]}
    decided = site.signed("aspen", "POST", "/v1/checks", asked).json()["decisions"]
    assert [one["rule"] for one in decided] == ["not-enrolled", "not-enrolled", "given"]
    for page in ("/v1/subjects", "/v1/subjects?limit=50000"):
        assert theirs not in site.signed("aspen", "GET", page).text
    state = site.signed(
        "aspen", "GET", f"/v1/consent-states?purpose={PURPOSE.replace('#', '%23')}&challenge={'c' * 20}"
    )
    assert (state.status_code, theirs in state.text) == (200, False)
    site.signed(theirs, "POST", "/v1/me/withdrawals")
    assert site.signed("aspen", "GET", "/v1/revocations").json()["items"] == []
    assert len(site.signed("birch", "GET", "/v1/revocations").json()["items"]) == 1


def test_a_lender_cannot_act_on_another_lenders_people(site):
    theirs, _, _ = given(site, "birch")
    before = everything(site)
    renamed = {"pseudonym": theirs, "new_pseudonym": pseudonym(), "new_ledger_pseudonym": pseudonym()}
    nobody = {**renamed, "pseudonym": pseudonym()}
    alike(site, "aspen", "POST", ("/v1/subjects/renamings",) * 2, ({"renamings": [nobody]}, {"renamings": [renamed]}))
    entries = [{"entries": [{"type": "use.explained", "subject": name, "body": ""}]} for name in (pseudonym(), theirs)]
    alike(site, "aspen", "POST", ("/v1/log/entries",) * 2, (entries[0], entries[1]))
    record = bodies(site)["/v1/imports"][1]["records"][0]
    beyond = bodies(site)["/v1/imports"][1] | {"records": [record | {"number": 3}]}
    assert site.signed("aspen", "POST", "/v1/imports", beyond).status_code == 409, "numbers are of one's own roll"
    assert everything(site) == before


# --- fields that nobody asked for


def test_a_field_that_nobody_asked_for_is_refused_wherever_it_stands(site):
    before = everything(site)
    extras = ("lender", "caller", "role", "state", "id", "number", "entry_index", "activated_at", "__proto__")

    def objects(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        if isinstance(node, dict):
            yield path
        for name, child in (
            node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        ):
            yield from objects(child, (*path, name))

    def added(node: Any, path: tuple[Any, ...], name: str) -> Any:
        if not path:
            return {**node, name: "aspen"}
        changed = node.copy()
        changed[path[0]] = added(node[path[0]], path[1:], name)
        return changed

    for target, (caller, body) in bodies(site).items():
        for path in objects(body):
            for name in extras:
                node = body
                for step in path:
                    node = node[step]
                if name in node:
                    continue
                answer = site.signed(caller, "POST", target, added(body, path, name))
                assert answer.status_code == 422, (target, path, name, answer.text)
    assert everything(site) == before


# --- what is kept on the way, and what is told


def test_nothing_about_a_person_is_kept_on_the_way(site):
    who, record, decision = given(site, "aspen")
    seen = 0
    for one in declarations(site.app):
        if not one.path.startswith(PERSONAL) or (one.method, one.path) == ("DELETE", "/v1/me"):
            continue
        target = (
            one.path.replace("{record_id}", record).replace("{decision_sha256}", decision).replace("{link_id}", "x")
        )
        for caller in (who, "aspen", "auditor"):
            answer = site.signed(caller, one.method, target, None if one.method == "GET" else {})
            assert answer.headers.get("cache-control") == "no-store", (one, answer.status_code)
            seen += answer.status_code in {200, 201}
    personal = {one.path for one in declarations(site.app) if one.callers and Caller.SUBJECT in one.callers}
    assert all(path.startswith(PERSONAL) for path in personal), "whatever a borrower may call is about a person"
    assert seen >= 8, "answers, not only refusals"


def test_a_database_that_fails_tells_callers_nothing_of_itself(site, monkeypatch, written):
    secret = "connection to server at db.internal (10.0.0.7) failed: password authentication failed for user tahini"

    def failing(*_: Any, **__: Any) -> Any:
        raise OperationalError("SELECT secret_column", {"who": "v1.somebody"}, Exception(secret))

    monkeypatch.setattr("consent.api.lenders.check_consents.decide", None)
    monkeypatch.setattr(site.registry.ledger.database.engine, "connect", failing)
    monkeypatch.setattr(site.registry.ledger.database._reading, "connect", failing, raising=False)
    answer = site.signed("aspen", "GET", "/v1/subjects")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), answer.text
    for part in ("db.internal", "password", "secret_column", "SELECT", "somebody"):
        assert part not in answer.text


def test_what_nobody_foresaw_tells_callers_nothing(site, monkeypatch, written):
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError(f"key {site.registry.ledger_key.hex()} of v1.somebody")

    monkeypatch.setattr("consent.commands.read_consents.read_consents", broken)
    answer = site.signed(site.people["aspen"][0].pseudonym, "GET", "/v1/me/consents")
    assert answer.status_code == 500
    for told in (answer.text, written.getvalue()):
        assert site.registry.ledger_key.hex() not in told
        assert "somebody" not in told


def test_every_refusal_leaves_a_line_and_names_nobody(site, written):
    who = site.people["aspen"][0].pseudonym
    for caller, method, target in ((who, "GET", "/v1/subjects"), ("aspen", "GET", f"/v1/me/receipts/{'0' * 64}")):
        assert site.signed(caller, method, target).status_code == 403
    lines = requests_in(written)
    assert [(line["status"], line["problem"]) for line in lines] == [(403, "not-allowed")] * 2
    assert who not in written.getvalue()
