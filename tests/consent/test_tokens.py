"""Tokens: every way of being somebody else, or again, or still, is refused; keys end when they are revoked."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi.testclient import TestClient
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey
from support.identity import Site
from support.observed import entries
from support.world import ASPENS, GENERAL, PORTAL, TOKEN_ENDPOINT, trust

from consent.api.app import create_app
from consent.identity.exchange import ASSERTION_TYPE
from consent.identity.keys import MAX_LIVE, new_key
from consent.identity.tokens import AccessToken
from crypto.documents import canonical_json
from crypto.keys import SigningKey, b64, unb64
from crypto.sessions import Ephemeral, request_mac
from protocol.schema import Document
from protocol.sessions import SessionOffer

ME = "/v1/me/links"


def refused(response: Any, error: str, status: int = 400) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["error"] == error, body
    assert body["type"].startswith("urn:tahini:problem:")
    return str(body["detail"])


def ask(site: Site, token: str, target: str = ME) -> int:
    """Status of a call with this access token."""
    return int(site.http.get(target, headers={"Authorization": f"Bearer {token}"}).status_code)


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    head, body, signature = token.split(".")
    return json.loads(unb64(head)), json.loads(unb64(body)), signature


def forged(header: dict[str, Any], claims: Any, signature: bytes = b"") -> str:
    body = claims if isinstance(claims, bytes) else canonical_json(claims)
    return f"{b64(canonical_json(header))}.{b64(body)}.{b64(signature)}"


def signed_by(key: SigningKey, header: dict[str, Any], claims: Any) -> str:
    unsigned = forged(header, claims).rpartition(".")[0]
    return f"{unsigned}.{b64(key.sign(unsigned.encode()))}"


# --- ID tokens


def test_a_login_gives_a_token_for_ten_minutes(site):
    headers = site.log_in("whoever it is")
    claims = AccessToken.claimed(headers["Authorization"].removeprefix("Bearer "))
    assert (claims.aud, claims.roles, claims.exp - claims.iat) == ("registry", ("subject",), 600)
    assert claims.login_issuer == GENERAL
    assert "whoever it is" not in claims.model_dump_json()
    assert site.http.get(ME, headers=headers).status_code == 200
    site.clock.move(seconds=601)
    assert site.http.get(ME, headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"exp": 1_600_000_000}, "expired"),
        ({"iat": 1_600_000_000}, "too old"),
        ({"iat": 4_000_000_000}, "future"),
        ({"nbf": 4_000_000_000}, "future"),
        ({"aud": "another-client"}, "another client"),
        ({"aud": [PORTAL, "another-client"]}, "to another client"),
        ({"azp": "another-client"}, "to another client"),
        ({"iss": "https://evil.example"}, "not trusted"),
        ({"iss": GENERAL + "/"}, "not trusted"),
        ({"exp": None}, "exp"),
        ({"iat": None}, "iat"),
        ({"aud": None}, "aud"),
        ({"sub": None}, "sub"),
        ({"sub": ""}, "sub"),
        ({"sub": 7}, "sub"),
        ({"sub": "x" * 256}, "sub"),
        ({"exp": "4000000000"}, "exp"),
        ({"exp": True}, "exp"),
        ({"nonce": "A" * 54}, "not one that this registry"),
        ({"nonce": "x"}, "not one that this registry"),
    ],
)
def test_an_id_token_that_is_not_for_here_and_now_is_refused(site, changes, says):
    assert says in refused(site.exchange(site.id_token("ada", **changes)), "invalid_grant")


def test_an_id_token_for_several_clients_is_taken_when_it_was_issued_to_ours(site):
    assert site.exchange(site.id_token("ada", aud=[PORTAL, "other"], azp=PORTAL)).status_code == 200


def test_an_id_token_without_a_nonce_is_refused(site):
    header, claims, _ = parts(site.id_token("ada"))
    del claims["nonce"]
    assert "nonce" in refused(site.exchange(signed_by(site.general_key, header, claims)), "invalid_grant")


def test_an_expired_nonce_is_refused(site):
    nonce = site.nonce()
    site.clock.move(seconds=601)
    at = int(site.clock().timestamp())
    token = site.id_token("ada", nonce=nonce, iat=at, exp=at + 60)
    assert "nonce has expired" in refused(site.exchange(token), "invalid_grant")


def test_a_replayed_id_token_is_refused_by_every_worker(site):
    token = site.id_token("ada")
    assert site.exchange(token).status_code == 200
    assert "acts once" in refused(site.exchange(token), "invalid_grant")
    site.start()
    assert "acts once" in refused(site.exchange(token), "invalid_grant")
    nonce = parts(token)[1]["nonce"]
    assert "acts once" in refused(site.exchange(site.id_token("eve", nonce=nonce)), "invalid_grant")


def test_of_many_who_bring_the_same_at_once_one_is_heard(any_site):
    token, assertion = any_site.id_token("ada"), any_site.assertion("aspen")
    for bring in (lambda _: any_site.exchange(token), lambda _: any_site.authenticate(assertion)):
        with ThreadPoolExecutor(8) as crowd:
            statuses = [answer.status_code for answer in crowd.map(bring, range(8))]
        assert statuses.count(200) == 1, statuses
        assert set(statuses) <= {200, 400, 401}


def test_unsigned_and_key_confused_tokens_are_refused(site):
    header, claims, signature = parts(site.id_token("ada"))
    public = site.general_key.public
    pem = public._public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for algorithm in ("none", "None", "NONE", "nOnE", "", None, 1, ["Ed25519"]):
        token = forged({**header, "alg": algorithm}, claims)
        refused(site.exchange(token), "invalid_grant")
        refused(site.exchange(token + signature), "invalid_grant")
    for algorithm, digest in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
        for secret in (public.raw, public.text.encode(), pem, canonical_json({"x": public.text})):
            unsigned = forged({**header, "alg": algorithm}, claims).rpartition(".")[0]
            token = f"{unsigned}.{b64(hmac.digest(secret, unsigned.encode(), digest))}"
            refused(site.exchange(token), "invalid_grant")
            assert ask(site, token) == 401
    assert site.exchange(signed_by(site.general_key, header, claims)).status_code == 200, "the same, well signed"


def test_another_key_under_the_right_name_and_another_issuers_key_are_refused(site):
    header, claims, _ = parts(site.id_token("ada"))
    stranger = SigningKey.generate()
    assert "does not verify" in refused(site.exchange(signed_by(stranger, header, claims)), "invalid_grant")
    other = {**header, "kid": site.aspens_key.public.thumbprint}
    assert "does not have" in refused(site.exchange(signed_by(site.aspens_key, other, claims)), "invalid_grant")
    embedded = {**header, "jwk": {"kty": "OKP", "crv": "Ed25519", "x": stranger.public.text}}
    refused(site.exchange(signed_by(stranger, embedded, claims)), "invalid_grant")


@pytest.mark.parametrize(
    "change", [{"crit": ["b64"]}, {"b64": False}, {"typ": "at+jwt"}, {"typ": "logout+jwt"}, {"kid": 1}]
)
def test_a_signature_over_another_kind_of_token_is_refused(site, change):
    header, claims, _ = parts(site.id_token("ada"))
    refused(site.exchange(signed_by(site.general_key, header | change, claims)), "invalid_grant")


def test_an_algorithm_that_the_issuer_is_not_allowed_is_refused(site):
    header, claims, _ = parts(site.id_token(site.people["aspen"][0].pseudonym, ASPENS))
    older = signed_by(site.aspens_key, {**header, "alg": "EdDSA"}, claims)
    assert "not accepted of this issuer" in refused(site.exchange(older), "invalid_grant")


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "PS256"])
def test_other_algorithms_work_with_keys_of_their_own_type(site, algorithm):
    key = ECKey.generate_key("P-256") if algorithm == "ES256" else RSAKey.generate_key(2048)
    jwks = {"keys": [{**key.as_dict(private=False), "kid": "k1"}]}
    issuer = {"issuer": GENERAL, "audience": PORTAL, "jwks": jwks, "algorithms": [algorithm, "Ed25519"]}
    _, claims, _ = parts(site.id_token("ada"))
    trust(site.home, issuer)
    site.http = TestClient(create_app(site.registry), raise_server_exceptions=False)
    good = jws.serialize_compact({"alg": algorithm, "kid": "k1"}, canonical_json(claims), key, algorithms=[algorithm])
    head, body, signature = good.split(".")
    confused = f"{b64(canonical_json({'alg': 'Ed25519', 'kid': 'k1'}))}.{body}.{signature}"
    assert "does not fit" in refused(site.exchange(confused), "invalid_grant")
    assert "does not verify" in refused(site.exchange(f"{head}.{body}.{b64(unb64(signature)[::-1])}"), "invalid_grant")
    assert site.exchange(good).status_code == 200


DEEP = b'{"a":' * 2000 + b"1" + b"}" * 2000


@pytest.mark.parametrize(
    "body",
    [
        DEEP,
        b'{"iss":' + b"[" * 17 + b"]" * 17 + b"}",
        b'{"iss":"a","iss":"b"}',
        b'{"exp":NaN}',
        b'{"exp":' + b"9" * 5000 + b"}",
        b"[]",
        b"\xff\xfe",
        b"",
        b'"x"',
        b'{"sub":"' + b"x" * 20_000 + b'"}',
    ],
)
def test_oversized_deep_and_malformed_tokens_are_refused(site, body):
    header, _, _ = parts(site.id_token("ada"))
    token = signed_by(site.general_key, header, body)
    refused(site.exchange(token), "invalid_grant")
    refused(site.authenticate(token), "invalid_client", 401)
    head, claims, signature = token.split(".")
    assert ask(site, token) == ask(site, f"{claims}.{head}.{signature}") == 401


# --- the token endpoint


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", "invalid_request"),
        ("grant_type=password&username=a&password=b", "unsupported_grant_type"),
        ("grant_type=refresh_token", "unsupported_grant_type"),
        ("grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer", "invalid_request"),
        ("grant_type=client_credentials", "invalid_client"),
        ("grant_type=client_credentials&client_id=aspen&client_secret=x", "invalid_client"),
        ("grant_type=client_credentials&grant_type=client_credentials", "invalid_request"),
        ("assertion=%FF", "invalid_request"),
        ("&".join(f"f{i}=1" for i in range(40)), "invalid_request"),
        ("a=" + "x" * 50_000, "invalid_request"),
        ("{}", "invalid_request"),
    ],
)
def test_requests_that_are_not_token_requests_are_refused_in_oauths_words(site, content, error):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = site.http.post("/v1/token", content=content, headers=headers)
    refused(answer, error, 401 if error == "invalid_client" else 400)
    assert "invalid_request" in site.http.post("/v1/token", json={"grant_type": "client_credentials"}).text


def test_an_institution_gets_a_token_with_its_role(site):
    for party, target in (("aspen", "/v1/parties/aspen/keys"), ("registry", "/v1/parties/birch/keys")):
        headers = site.token_of(party)
        assert site.http.get(target, headers=headers).status_code == 200
    claims = AccessToken.claimed(site.token_of("registry")["Authorization"].removeprefix("Bearer "))
    assert (claims.sub, claims.roles) == ("registry", ("operator",))
    assert site.authenticate(site.assertion("aspen", audience=TOKEN_ENDPOINT), client_id="aspen").status_code == 200


def test_an_assertion_acts_once_at_every_worker(site):
    assertion = site.assertion("aspen")
    assert site.authenticate(assertion).status_code == 200
    assert "acts once" in refused(site.authenticate(assertion), "invalid_client", 401)
    site.start()
    assert "acts once" in refused(site.authenticate(assertion), "invalid_client", 401)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "birch"},
        {"sub": "birch"},
        {"iss": "oak", "sub": "oak"},
        {"aud": "https://evil.example/v1/token"},
        {"aud": "http://testserver/v1/token"},
        {"aud": ["registry", "https://evil.example"]},
        {"aud": []},
        {"exp": 1_600_000_000},
        {"exp": 4_000_000_000},
        {"iat": 4_000_000_000},
        {"nbf": 4_000_000_000},
        {"jti": "short"},
        {"jti": None},
        {"exp": None},
    ],
)
def test_an_assertion_that_says_something_else_is_refused(site, changes):
    header, claims, _ = parts(site.assertion("aspen"))
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    answer = site.authenticate(signed_by(site.keys["aspen"], header, claims))
    refused(answer, "invalid_client", 401)


def test_an_assertion_by_another_key_or_unsigned_is_refused(site):
    refused(site.authenticate(site.assertion("aspen", site.keys["birch"])), "invalid_client", 401)
    header, claims, _ = parts(site.assertion("aspen"))
    refused(site.authenticate(signed_by(site.keys["birch"], header, claims)), "invalid_client", 401)
    refused(site.authenticate(forged({**header, "alg": "none"}, claims)), "invalid_client", 401)
    secret = site.keys["aspen"].public.raw
    unsigned = forged({**header, "alg": "HS256"}, claims).rpartition(".")[0]
    confused = f"{unsigned}.{b64(hmac.digest(secret, unsigned.encode(), hashlib.sha256))}"
    refused(site.authenticate(confused), "invalid_client", 401)
    typed = signed_by(site.keys["aspen"], {**header, "typ": "tahini-approval"}, claims)
    refused(site.authenticate(typed), "invalid_client", 401)
    wrong = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE + "x"}
    refused(site.http.post("/v1/token", data={**wrong, "client_assertion": "x"}), "invalid_client", 401)
    refused(site.authenticate(site.assertion("aspen"), client_id="birch"), "invalid_client", 401)


# --- access tokens


class Notice(Document):
    typ = "tahini-notice"
    iss: str


def test_an_access_token_is_the_registrys_own_and_nothing_else_is_one(site):
    token = site.token_of("aspen")["Authorization"].removeprefix("Bearer ")
    claims = AccessToken.claimed(token)
    target = "/v1/parties/aspen/keys"
    own = site.keys["registry"]
    for other in (
        claims.sign(site.keys["aspen"]),
        claims.model_copy(update={"aud": "elsewhere"}).sign(own),
        claims.model_copy(update={"iss": "elsewhere"}).sign(own),
        claims.model_copy(update={"roles": ("operator",)}).sign(own),
        claims.model_copy(update={"sub": "oak"}).sign(own),
        claims.model_copy(update={"key": None}).sign(own),
        claims.model_copy(update={"login_issuer": "https://evil.example"}).sign(own),
        Notice(iss="aspen").sign(own),
        token[:-4] + "AAAA",
        site.id_token("ada"),
        site.assertion("aspen"),
        token + "=",
        "at+jwt",
    ):
        assert ask(site, other, target) == 401, other
    assert ask(site, token, target) == 200


# --- keys of institutions


def add(site: Site, party: str, new: SigningKey, rotate: bool = False, old: SigningKey | None = None) -> Any:
    old = old or site.keys[party]
    body = new_key(party, site.registry.consortium.log_origin, old, new, site.clock(), rotate)
    return site.signed(party, "POST", f"/v1/parties/{party}/keys", body.model_dump(), old)


def listed(site: Site, party: str = "aspen") -> dict[str, bool]:
    keys = site.signed("registry", "GET", f"/v1/parties/{party}/keys").json()["keys"]
    return {key["thumbprint"]: key["revoked_at"] is None for key in keys}


def session_headers(site: Site, party: str, key: SigningKey) -> list[dict[str, str]]:
    """A session that the party begins with this key: headers of its first requests for the party's keys."""
    ephemeral = Ephemeral()
    offer = SessionOffer(caller=party, audience="registry", ephemeral=ephemeral.public).sign(key)
    answer = site.signed(party, "POST", "/v1/sessions", {"offer": offer}, key)
    assert answer.status_code == 201, answer.text
    token = answer.json()["answer"]
    claims = parts(token)[1]
    secret, target = ephemeral.agree(claims["ephemeral"], offer, token), f"/v1/parties/{party}/keys"
    macs = [(n, request_mac(secret, "GET", target, b"", n)) for n in (1, 2, 3)]
    return [{"Authorization": f"Session {claims['id']}.{n}.{mac}"} for n, mac in macs]


def test_a_new_key_works_in_every_way_and_a_revoked_one_in_none(site):
    target, new = "/v1/parties/aspen/keys", SigningKey.generate()
    old = site.keys["aspen"]
    assert add(site, "aspen", new).status_code == 201
    assert listed(site) == {old.public.thumbprint: True, new.public.thumbprint: True}
    session, token = session_headers(site, "aspen", old), site.token_of("aspen", old)
    fresh_session, fresh_token = session_headers(site, "aspen", new), site.token_of("aspen", new)
    assert site.http.get(target, headers=session[0]).status_code == 200
    assert site.http.get(target, headers=token).status_code == 200
    gone = site.signed("registry", "DELETE", f"{target}/{old.public.thumbprint}")
    assert gone.status_code == 204, gone.text
    assert site.signed("aspen", "GET", target, key=old).status_code == 401
    assert site.http.get(target, headers=session[1]).status_code == 401
    assert site.http.get(target, headers=session[2]).status_code == 401
    assert site.http.get(target, headers=token).status_code == 401
    refused(site.authenticate(site.assertion("aspen", old)), "invalid_client", 401)
    assert add(site, "aspen", SigningKey.generate(), old=old).status_code == 401
    assert site.signed("aspen", "GET", target, key=new).status_code == 200
    assert site.http.get(target, headers=fresh_session[0]).status_code == 200
    assert site.http.get(target, headers=fresh_token).status_code == 200
    assert site.signed("birch", "GET", "/v1/parties/birch/keys").status_code == 200


def test_another_worker_hears_of_a_revocation(site, monkeypatch):
    target, old = "/v1/parties/aspen/keys", site.keys["aspen"]
    assert site.signed("aspen", "GET", target).status_code == 200
    elsewhere = site.http
    site.start()
    assert site.signed("registry", "DELETE", f"{target}/{old.public.thumbprint}").status_code == 204
    site.http = elsewhere
    refused(site.authenticate(site.assertion("aspen", old)), "invalid_client", 401)
    monkeypatch.setattr("consent.identity.keys.FRESH_S", 0.0)
    assert site.signed("aspen", "GET", target, key=old).status_code == 401


def test_a_rotated_key_takes_the_place_of_the_old_one_and_both_changes_are_logged(site):
    new = SigningKey.generate()
    assert add(site, "aspen", new, rotate=True).status_code == 201
    assert listed(site) == {site.keys["aspen"].public.thumbprint: False, new.public.thumbprint: True}
    keyed = [(e["type"], e["party"], e["key"], e["actor"]) for e in entries(site.registry) if "key" in e]
    assert keyed == [
        ("party.key_added", "aspen", new.public.thumbprint, "aspen"),
        ("party.key_revoked", "aspen", site.keys["aspen"].public.thumbprint, "aspen"),
    ]


def test_a_change_of_keys_that_cannot_be_logged_does_not_happen(site, monkeypatch):
    monkeypatch.setattr(type(site.registry.ledger.log), "append", lambda *_: 1 / 0)
    assert add(site, "aspen", SigningKey.generate()).status_code == 500
    target = f"/v1/parties/aspen/keys/{site.keys['aspen'].public.thumbprint}"
    assert site.signed("aspen", "DELETE", target).status_code == 500
    assert listed(site) == {site.keys["aspen"].public.thumbprint: True}


def test_a_key_that_was_revoked_or_is_anybodys_cannot_be_added(site):
    new = SigningKey.generate()
    assert add(site, "aspen", new).status_code == 201
    assert add(site, "aspen", new).status_code == 409
    target = f"/v1/parties/aspen/keys/{new.public.thumbprint}"
    assert site.signed("aspen", "DELETE", target).status_code == 204
    assert site.signed("aspen", "DELETE", target).status_code == 404
    assert add(site, "aspen", new).status_code == 409
    assert add(site, "birch", new).status_code == 409
    assert add(site, "birch", site.keys["aspen"]).status_code == 409
    assert add(site, "birch", site.registry.ledger.log.key).status_code == 409


def test_a_new_key_needs_both_signatures_and_a_fresh_statement(site):
    old, new, origin = site.keys["aspen"], SigningKey.generate(), site.registry.consortium.log_origin
    stranger = SigningKey.generate()
    other = new_key("aspen", origin, old, new, site.clock(), False)
    unproved = other.model_copy(update={"proof": other.document})
    mixed = other.model_copy(update={"proof": new_key("aspen", origin, old, new, site.clock(), True).proof})
    by_stranger = new_key("aspen", origin, stranger, new, site.clock(), False)
    elsewhere = new_key("aspen", "log.other/one", old, new, site.clock(), False)
    for_birch = new_key("birch", origin, old, new, site.clock(), False)
    stale = new_key("aspen", origin, old, new, site.clock().replace(year=2020), False)
    bodies = [(unproved, 401), (mixed, 401), (by_stranger, 401), (elsewhere, 403), (for_birch, 403), (stale, 409)]
    for body, status in bodies:
        answer = site.signed("aspen", "POST", "/v1/parties/aspen/keys", body.model_dump())
        assert answer.status_code == status, answer.text
    assert site.signed("birch", "POST", "/v1/parties/aspen/keys", other.model_dump()).status_code == 403
    assert site.signed("registry", "POST", "/v1/parties/aspen/keys", other.model_dump()).status_code == 403
    assert listed(site) == {old.public.thumbprint: True}


def test_keys_are_a_partys_own_affair_and_the_operators(site):
    thumbprint = site.keys["aspen"].public.thumbprint
    for caller in ("birch", "coordinator", "auditor"):
        assert site.signed(caller, "DELETE", f"/v1/parties/aspen/keys/{thumbprint}").status_code == 403
    assert site.signed("birch", "GET", "/v1/parties/aspen/keys").status_code == 403
    assert site.signed("registry", "GET", "/v1/parties/oak/keys").status_code == 404
    assert site.signed("auditor", "GET", "/v1/parties/aspen/keys").status_code == 200
    mine = site.keys["registry"].public.thumbprint
    assert site.signed("registry", "DELETE", f"/v1/parties/registry/keys/{mine}").status_code == 409
    assert site.signed("registry", "DELETE", f"/v1/parties/aspen/keys/{secrets.token_urlsafe(32)}").status_code == 404


def test_a_party_has_a_few_keys(site):
    answers = [add(site, "aspen", SigningKey.generate()).status_code for _ in range(MAX_LIVE)]
    assert answers == [201] * (MAX_LIVE - 1) + [409]
    assert add(site, "aspen", SigningKey.generate(), rotate=True).status_code == 201
