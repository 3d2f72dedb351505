"""The API under attack as a whole: injection, bombs, guessing, other tenants' things, fields that nobody asked for.

Each attack is refused in a way that tells nothing, leaves its line in the journal without what was sent, and changes
nothing. Tokens and keys have tests of their own (``test_tokens``, ``test_identity``, ``test_keys``).
"""

from __future__ import annotations

import base64
import io
import json
import re
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from support.effort import EFFORT
from support.identity import Site
from support.market import shown
from support.observed import statements
from support.world import pseudonym

from consent.api.service import PERSONAL
from consent.commands.publish_notice import publish_notice
from consent.identity.access import declarations
from consent.identity.callers import Caller
from crypto.keys import SigningKey
from demo.borrowers import make_notice
from protocol.requests import sign_request
from protocol.terms import TRAINING_PURPOSE

PURPOSE = TRAINING_PURPOSE
LENDERS = ("aspen", "birch")
RENAMED = ("pseudonym", "new_pseudonym", "new_ledger_pseudonym")
TABLES = ("subjects", "consents", "consent_events", "decisions", "imports", "campaigns", "notices", "log_entries")


def with_notice(site: Site) -> Iterator[Site]:
    notice = make_notice(site.registry.consortium, list(LENDERS), 1.0)
    publish_notice(site.registry, notice.sign(site.registry.signing_key))
    site.notice = notice
    with site.http:  # the threads behind the endpoints run
        yield site


@pytest.fixture
def site(site: Site) -> Iterator[Site]:
    yield from with_notice(site)


@pytest.fixture
def any_site(any_site: Site) -> Iterator[Site]:
    """For what a database may take in different ways: NUL characters, large numbers, quotes."""
    yield from with_notice(any_site)


def requests_in(written: io.StringIO) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    return [line for line in lines if line["event"] == "request"]


def everything(site: Site) -> dict[str, int]:
    """How many rows each table has; ids of requests and sessions are nobody's business."""
    with site.registry.ledger.read() as session:
        return {table: session.scalar(text(f"SELECT count(*) FROM {table}")) for table in TABLES}


# --- injection

POISON = (
    "'; DROP TABLE subjects; --", "' OR '1'='1", '" OR ""="', "1); DELETE FROM consents; --", "x\r\nSet-Cookie: a=b",
    "x\nX-Injected: 1", "\x00", "a\x00b", "%0d%0aX-Injected:1", "$1", "{0}", "${jndi:ldap://x}", "\\", "%s",
    "\u2028",
)  # fmt: skip


def statement(site: Site, **changes: Any) -> dict[str, Any]:
    return shown(site.notice) | {"choices": [{"recipient": "aspen", "action": "give"}]} | changes


def bodies(site: Site) -> dict[str, tuple[str, dict[str, Any]]]:
    """(caller, body in order) of what can be posted, by path."""
    record = {
        "number": 0,
        "sensitivity": "ordinary",
        "action": "give",
        "event_time": site.clock().isoformat(),
        "evidence_sha256": "0" * 64,
    }
    return {
        "/v1/me/consents": (site.people["aspen"][0].pseudonym, statement(site)),
        "/v1/checks": ("aspen", {"purpose": PURPOSE, "subjects": [site.people["aspen"][0].pseudonym]}),
        "/v1/subjects": ("aspen", {"subjects": [{"pseudonym": pseudonym(), "ledger_pseudonym": pseudonym()}]}),
        "/v1/imports": ("aspen", shown(site.notice) | {"channel": "branch", "records": [record]}),
        "/v1/log/entries": ("aspen", {"entries": [{"type": "use.read", "to": ["auditor"]}]}),
        "/v1/populations": ("coordinator", {"purpose": PURPOSE, "lenders": ["aspen", "birch"]}),
        "/v1/campaigns": ("coordinator", {"token": "a.b.c"}),
        "/v1/notices": ("registry", {"token": "a.b.c"}),
        "/v1/revocations/acknowledgements": ("aspen", {"token": "a.b.c"}),
        "/v1/decisions": ("aspen", {"tokens": ["a.b.c"]}),
        "/v1/sessions": ("aspen", {"offer": "a.b.c"}),
        "/v1/subjects/renamings": ("aspen", {"renamings": [{name: pseudonym() for name in RENAMED}]}),
    }


def places(node: Any, kind: type, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Where in a body something of this kind stands, and what."""
    if isinstance(node, kind):
        yield path, node
    for name, child in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from places(child, kind, (*path, name))


def changed(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The same body with another value at this place."""
    if not path:
        return value
    copy = body.copy()
    copy[path[0]] = changed(body[path[0]], path[1:], value)
    return copy


def test_what_is_put_into_any_text_field_is_refused_and_stays_text(any_site, written):
    site = any_site
    before, tried = everything(site), 0
    for target, (caller, body) in bodies(site).items():
        for path, _ in places(body, str):
            for poison in POISON:
                answer = site.signed(caller, "POST", target, changed(body, path, poison))
                assert 400 <= answer.status_code < 500, (target, path, poison, answer.text)
                assert answer.headers["content-type"] == "application/problem+json"
                assert not {"x-injected", "set-cookie"} & set(answer.headers)
                assert "DROP TABLE" not in answer.text, "a refusal never repeats what was sent"
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
    for number, one in enumerate(declarations(site.app)):
        for poison in encoded if EFFORT >= 1 else encoded[number % 2 :: 2]:
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


# --- guessing


def alike(site: Site, caller: str, method: str, pair: tuple[str, str], body: tuple[Any, Any] = (None, None)) -> None:
    """What is not there and what is not the caller's get the same status, the same body, for the same work."""
    for _ in range(3):  # now and then keys are read anew in one of the two, because a second has passed
        answers, work = [], []
        for target, content in zip(pair, body, strict=True):
            site.signed(caller, method, target, content)  # what is remembered from the first time is so for both
            with statements(site.registry) as asked:
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


def test_a_wrong_key_is_not_told_whether_the_name_is_enrolled(site):
    """Not by the status, nor by the sentence, nor by the work; neither whose key it would have had to be."""
    enrolled, stranger = site.people["birch"][0].pseudonym, pseudonym()
    answers, work = [], []
    for name in (stranger, enrolled):
        site.signed(name, "GET", "/v1/me/consents", key=SigningKey.generate())
        with statements(site.registry) as asked:
            answers.append(site.signed(name, "GET", "/v1/me/consents", key=SigningKey.generate()))
        work.append(asked)
    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].text == answers[1].text
    assert work[0] == work[1]


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


def test_enrolling_somebody_else_s_customer_looks_like_enrolling_anybody(site):
    """No answer tells a lender whether a person is another lender's customer."""
    told = []
    for person in (site.people["birch"][0].ledger, pseudonym()):
        somebody = {"pseudonym": pseudonym(), "ledger_pseudonym": person}
        answer = site.signed("aspen", "POST", "/v1/subjects", {"subjects": [somebody]})
        told.append((answer.status_code, answer.json()["enrolled"], answer.json().keys()))
    assert told[0] == told[1]
    assert told[0][0] == 201


# --- fields that nobody asked for


def test_a_field_that_nobody_asked_for_is_refused_wherever_it_stands(site):
    before = everything(site)
    extras = ("lender", "caller", "role", "state", "id", "number", "entry_index", "activated_at", "__proto__")

    for target, (caller, body) in bodies(site).items():
        for path, node in places(body, dict):
            for name in [extra for extra in extras if extra not in node]:
                answer = site.signed(caller, "POST", target, changed(body, path, {**node, name: "aspen"}))
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
