"""The registry's HTTP face: who may call what, and that bad requests change nothing and say why."""

from __future__ import annotations

import json
import secrets

import httpx
import pytest

from crypto.keys import SigningKey
from protocol.requests import SignedRequest, sign_request
from protocol.schema import now


@pytest.fixture
def http(house):
    with httpx.Client(base_url=house.url) as client:
        yield client


def bearer(key: SigningKey, caller: str, method: str, target: str, body: bytes = b"", **changes) -> dict[str, str]:
    token = sign_request(key, caller, "registry", method, target, body)
    if changes:
        token = SignedRequest.claimed(token).model_copy(update={"jti": secrets.token_urlsafe(16), **changes}).sign(key)
    return {"Authorization": f"Bearer {token}"}


def refused(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert set(body) - {"errors"} == {"type", "title", "status", "detail"}
    return body["detail"]


def test_every_call_that_needs_a_signature_refuses_one_without(house, http):
    open_to_all = {
        ("POST", "/v1/challenges"), ("POST", "/v1/token"),
        ("POST", "/v1/decisions"), ("GET", "/healthz"), ("GET", "/v1/consortium"), ("GET", "/checkpoint"),
        ("GET", "/readyz"),
        ("GET", "/v1/notices/{notice_id}/{version}"), ("GET", "/v1/notices"),
        ("GET", "/tile/entries/{path}"), ("GET", "/tile/{level}/{path}"),
        ("GET", "/v1/log/consistency"), ("GET", "/v1/log/inclusion/{index}"), ("GET", "/v1/log/entries/{index}"),
    }  # fmt: skip
    paths = http.get("/openapi.json").json()["paths"]
    closed = [(m.upper(), p) for p, methods in paths.items() for m in methods if (m.upper(), p) not in open_to_all]
    assert len(closed) >= 11
    for method, path in closed:
        target = path.replace("{sha256}", "0" * 64).replace("{index}", "0")
        assert refused(http.request(method, target, json={}), 401)


def test_each_institution_can_make_only_its_own_calls(house, http):
    keys = {
        "registry": house.founded.registry_key,
        "coordinator": house.coordinator().key,
        "auditor": house.founded.auditor_key,
        "aspen": house.node("aspen").key,
    }
    may = {
        ("POST", "/v1/notices"): {"registry"},
        ("POST", "/v1/subjects"): {"aspen"},
        ("POST", "/v1/campaigns"): {"coordinator"},
        ("POST", f"/v1/campaigns/{'0' * 64}/approvals"): {"aspen"},
        ("POST", f"/v1/campaigns/{'0' * 64}/rejections"): {"aspen"},
        ("POST", f"/v1/campaigns/{'0' * 64}/authorisations"): {"aspen"},
        ("GET", f"/v1/campaigns/{'0' * 64}/places"): {"aspen"},
        ("POST", f"/v1/campaigns/{'0' * 64}/commitments"): {"aspen"},
        ("POST", f"/v1/campaigns/{'0' * 64}/model"): {"coordinator"},
        ("GET", f"/v1/campaigns/{'0' * 64}/model"): {"coordinator", "auditor", "aspen"},
        ("GET", f"/v1/campaigns/{'0' * 64}/model/file"): {"coordinator", "auditor", "aspen"},
        ("GET", f"/v1/campaigns/{'0' * 64}"): set(keys),
        ("GET", "/v1/log/bodies/0"): {"auditor"},
        ("GET", "/v1/me/consents"): set(),
        ("DELETE", "/v1/me"): set(),
    }
    for (method, path), allowed in may.items():
        for caller, key in keys.items():
            response = http.request(method, path, headers=bearer(key, caller, method, path))
            assert (response.status_code == 403) == (caller not in allowed), (caller, method, path, response.text)


def test_a_borrower_sees_only_their_own_consents(house, http):
    person = house.consenting()[0]
    headers = bearer(person.key, person.pseudonym, "GET", "/v1/me/consents")
    records = http.get("/v1/me/consents", headers=headers).json()["items"]
    assert {r["pii_processing"]["pii_controllers"][0] for r in records} == {"aspen"}
    campaigns = bearer(person.key, person.pseudonym, "POST", "/v1/campaigns", b"{}")
    assert refused(http.post("/v1/campaigns", content=b"{}", headers=campaigns), 403)


def test_a_signed_request_acts_once(house, http):
    person = house.consenting()[0]
    headers = bearer(person.key, person.pseudonym, "GET", "/v1/me/consents")
    assert http.get("/v1/me/consents", headers=headers).status_code == 200
    assert "acts once" in refused(http.get("/v1/me/consents", headers=headers), 401)


@pytest.mark.parametrize(
    "changes",
    [
        {"htm": "DELETE"},
        {"htu": "/v1/me"},
        {"aud": "another-registry"},
        {"body_sha256": "0" * 64},
    ],
)
def test_a_signature_for_another_call_is_refused(house, http, changes):
    person = house.consenting()[0]
    headers = bearer(person.key, person.pseudonym, "GET", "/v1/me/consents", **changes)
    assert "another call" in refused(http.get("/v1/me/consents", headers=headers), 401)


def test_an_old_request_is_refused(house, http):
    person = house.consenting()[0]
    old = bearer(person.key, person.pseudonym, "GET", "/v1/me/consents", iat=now().replace(year=2020))
    assert "older than a minute" in refused(http.get("/v1/me/consents", headers=old), 401)


def test_unsigned_tokens_and_confused_keys_are_refused(house, http):
    from crypto.keys import b64

    person = house.consenting()[0]
    _, payload, signature = bearer(person.key, person.pseudonym, "GET", "/v1/me/consents")["Authorization"].split(".")
    for header in ({"alg": "none", "typ": "tahini-request"}, {"alg": "HS256", "typ": "tahini-request"}):
        forged = f"{b64(json.dumps(header).encode())}.{payload}.{signature}"
        assert refused(http.get("/v1/me/consents", headers={"Authorization": f"Bearer {forged}"}), 401)


NOWHERE = [
    "/tile/0/..%2f..%2fregistry.key",
    "/tile/0/000.p/0",
    "/tile/0/000.p/256",
    "/tile/0/0",
    "/tile/64/000",
    "/tile/0/x000/000",
    "/tile/entries/999",
    "/tile/entries/" + "x999/" * 12 + "999",
    "/tile/0/" + "x999/" * 12 + "999",
    "/v1/log/consistency?old=0&new=1",
    "/v1/log/consistency?old=5&new=2",
    "/v1/log/consistency?old=1&new=" + "9" * 40,
    "/v1/log/inclusion/-1",
    "/v1/log/inclusion/" + "9" * 40,
    "/v1/notices/x/" + "9" * 40,
    "/nowhere",
]


def test_what_does_not_exist_is_a_clear_4xx(http):
    for target in NOWHERE:
        response = http.get(target)
        assert response.status_code in {404, 422}, response.text
        assert response.headers["content-type"] == "application/problem+json"


def test_malformed_and_oversized_bodies_are_refused(http):
    assert refused(http.post("/v1/decisions", content=b"{"), 422)
    assert refused(http.post("/v1/decisions", json={"tokens": []}), 422)
    assert refused(http.post("/v1/decisions", json={"tokens": ["x"], "extra": 1}), 422)
    assert refused(http.post("/v1/decisions", json={"tokens": ["not a token"]}), 401)
    assert refused(http.post("/v1/decisions", content=b"[" * 100_000), 422)
    assert refused(http.post("/v1/decisions", content=b"x" * (17 << 20)), 413)


def test_a_refusal_never_repeats_what_was_sent(house, http):
    secret = "130102199003075678"
    for response in (
        http.post("/v1/decisions", json={"tokens": [secret]}),
        http.post("/v1/subjects", json={"subjects": [{"pseudonym": secret}]}),
        http.get(f"/v1/notices/{'a'}/1", params={"q": secret}),
    ):
        assert secret not in response.text


def test_enrolling_somebody_else_s_customer_looks_like_enrolling_anybody(house):
    """No answer tells a lender whether a person is another lender's customer."""
    aspen_customer, stranger = house.person("cedar", "aspen-0"), house.person("cedar", "nobody-0")
    client = house.client("cedar")
    assert client.enrol([aspen_customer.enrolment]) == client.enrol([stranger.enrolment]) == 1
