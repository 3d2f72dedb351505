"""Who may call what: every endpoint of the real application, by every role, in every way of saying who one is."""

from __future__ import annotations

import asyncio
import logging
import re
from hashlib import sha256

import pytest
from starlette.requests import Request
from support.identity import Site

from consent.commands import record_decisions
from consent.identity.access import Access, Allowed, declarations, only, subject
from consent.identity.callers import Caller, CallingBorrower
from consent.identity.limits import LimitSettings
from protocol.errors import StorageFailed
from protocol.parties import Role

PUBLIC = {
    ("GET", "/checkpoint"),
    ("GET", "/docs"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/tile/entries/{path:path}"),
    ("GET", "/tile/{level}/{path:path}"),
    ("GET", "/v1/arrangement"),
    ("GET", "/v1/consortium"),
    ("GET", "/v1/log/consistency"),
    ("GET", "/v1/log/entries/{index}"),
    ("GET", "/v1/log/inclusion/{index}"),
    ("GET", "/v1/notices"),
    ("GET", "/v1/notices/{notice_id}/{version}"),
    ("POST", "/v1/challenges"),
    ("POST", "/v1/decisions"),  # each decision is signed by the borrower it concerns
    ("POST", "/v1/token"),
}
"""For everybody, on purpose. Whatever is not here must declare whom it is for."""
ROLES = {
    Caller.LENDER: "aspen",
    Caller.COORDINATOR: "coordinator",
    Caller.AUDITOR: "auditor",
    Caller.OPERATOR: "registry",
}
PATHS = {
    "sha256": "0" * 64,
    "decision_sha256": "0" * 64,
    "record_id": "0" * 32,
    "index": "0",
    "number": "1",
    "party_id": "oak",
    "thumbprint": "x" * 43,
    "link_id": "x" * 22,
    "notice_id": "x",
    "version": "1",
}


def concrete(path: str) -> str:
    return re.sub(r"\{(\w+)(:\w+)?\}", lambda found: PATHS.get(found[1], "0"), path)


def test_every_endpoint_declares_whom_it_is_for(site):
    found = declarations(site.app)
    silent = {(one.method, one.path) for one in found if one.callers is None}
    assert silent == PUBLIC, "declare it with access.only(...), or put it on the list"
    assert all(one.callers for one in found if one.callers is not None), "an endpoint that nobody may call"
    found = [one for one in found if one.path != "/docs"]  # for people: it stands in no document
    documented = {(method.upper(), path) for path, methods in site.app.openapi()["paths"].items() for method in methods}
    assert {(one.method, re.sub(r":\w+}", "}", one.path)) for one in found} == documented


@pytest.mark.parametrize("role", [None, *ROLES, Caller.SUBJECT])
def test_every_role_passes_where_it_is_named_and_nowhere_else(site, role):
    headers = {}
    if role is Caller.SUBJECT:
        headers = site.log_in("ada")
        site.link(headers, site.people["aspen"][0])
    elif role is not None:
        headers = site.token_of(ROLES[role])
    closed = [one for one in declarations(site.app) if one.callers is not None]
    assert len(closed) >= 20
    for one in closed:
        target = concrete(one.path)
        if role is None:
            assert site.http.request(one.method, target, json={}).status_code == 401, one
            continue
        by_token = site.http.request(one.method, target, json={}, headers=headers)
        erasing = role is Caller.SUBJECT and (one.method, one.path) == ("DELETE", "/v1/me")
        if erasing:
            del site.people["aspen"][0]  # a stranger from here on: another one calls
        caller = ROLES.get(role) or site.people["aspen"][0].pseudonym
        by_key = site.signed(caller, one.method, target, {})
        for answer in (by_token, by_key):
            text = answer.json().get("detail", "") if answer.status_code == 403 else ""
            kept_out = answer.status_code == 401 or "this call is for" in text
            assert kept_out == (role not in one.callers), (one, role, answer.status_code, answer.text)
            assert not kept_out or answer.status_code in {401, 403}
        if erasing:
            del site.people["aspen"][0]


def test_the_registrys_own_party_is_the_operator_and_every_role_has_a_caller():
    assert [Caller.of(role) for role in Role] == [
        Caller.OPERATOR if role is Role.REGISTRY else Caller(role.value) for role in Role
    ]
    assert Caller.of(Role.REGISTRY) is Caller.OPERATOR


def test_a_gate_is_read_off_the_routes_and_says_what_it_was_told(site):
    gate = only(Role.REGISTRY, Caller.LENDER).dependency
    assert isinstance(gate, Allowed)
    assert gate.callers == {Caller.OPERATOR, Caller.LENDER}
    assert subject().dependency.callers == {Caller.SUBJECT}


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer  x",
        "Basic YTpi",
        "Bearer x",
        "Bearer a.b.c",
        "Bearer " + "a" * 20_000,
        "Bearer " + "." * 10_000,
        "Bearer eyJ0eXAiOiJhdCtqd3QifQ.e30.AAAA",
        "Session",
        "Session x",
        "Session " + "0" * 32 + ".1." + "A" * 43,
        "DPoP x",
        "Bearer ' OR 1=1 --",
        "Bearer v1." + "A" * 43,
    ],
)
def test_whatever_else_stands_in_the_header_lets_nobody_in(site, header):
    for target in ("/v1/me/links", "/v1/parties/aspen/keys"):
        answer = site.http.get(target, headers={"Authorization": header})
        assert answer.status_code == 401, answer.text
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_refusal_is_logged_without_naming_anybody(site, caplog):
    who = site.people["aspen"][0]
    with caplog.at_level(logging.INFO, "tahini.identity"):
        site.http.get("/v1/me/links", headers={"Authorization": "Bearer ' OR 1=1 --\tforged line"})
        site.signed(who.pseudonym, "POST", "/v1/campaigns", {})
        site.exchange(site.id_token("ada", aud="elsewhere"))
        site.authenticate(site.assertion("aspen", site.keys["birch"]))
    said = [record.getMessage() for record in caplog.records if record.name == "tahini.identity"]
    assert said[:2] == [
        "refused: GET /v1/me/links: not-authenticated",
        "refused: POST /v1/campaigns: not-allowed",
    ]
    assert said[2:] == ["refused: POST /v1/token: invalid-grant", "refused: POST /v1/token: invalid-client"]
    assert not any(word in line for line in said for word in (who.pseudonym, "ada", "forged"))


def request_of(site: Site, headers: dict[str, str]):
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": "/x", "raw_path": b"/x", "query_string": b"", "headers": raw}
    return Request({**scope, "client": ("127.0.0.1", 1)})


def test_a_borrower_is_who_the_evidence_says(site):
    access = Access(site.registry)
    token = site.id_token("zelda")
    headers = {"Authorization": f"Bearer {site.exchange(token).json()['access_token']}"}
    [mine, theirs] = site.people["aspen"][0], site.people["birch"][0]
    for person in (mine, theirs):
        site.link(headers, person)
    who = asyncio.run(access.identify(request_of(site, headers)))
    assert isinstance(who, CallingBorrower)
    assert who.subjects == (mine.pseudonym, theirs.pseudonym)
    assert who.evidence == sha256(token.encode()).hexdigest()
    assert who.login is not None
    assert "zelda" not in repr(who)


def test_a_token_that_was_verified_is_not_verified_again_but_asked_about_still(site, monkeypatch):
    access = Access(site.registry)
    request = request_of(site, site.token_of("aspen"))
    assert asyncio.run(access.identify(request)).id == "aspen"
    monkeypatch.setattr(access.tokens, "_verified_anew", lambda _: 1 / 0)
    assert asyncio.run(access.identify(request)).id == "aspen"
    access.keys.revoke(site.registry.consortium.party("aspen"), "aspen", site.keys["aspen"].public.thumbprint)
    with pytest.raises(Exception, match="revoked"):
        asyncio.run(access.identify(request))


def test_the_memory_of_verified_tokens_is_bounded(site, monkeypatch):
    monkeypatch.setattr("consent.identity.tokens.MAX_REMEMBERED", 3)
    access = Access(site.registry)
    for _ in range(6):
        token = access.tokens.mint("aspen", "aspen", Caller.LENDER, key=site.keys["aspen"].public.thumbprint)
        access.tokens.verify(token, site.clock())
    assert len(access.tokens._verified) == 3


def test_a_database_that_is_away_lets_nobody_in(site, monkeypatch):
    def away():
        raise StorageFailed("away")

    monkeypatch.setattr(site.registry.ledger.database, "read", away)
    site.start()
    assert site.signed("aspen", "GET", "/v1/parties/aspen/keys").status_code == 503


def test_bulk_decisions_fit_under_the_default_limits():
    """A batch is one call: what a lender may send in a second is far more than a registry can take."""
    assert LimitSettings().party.changing.per_second * record_decisions.MAX_BATCH > 1_000_000
