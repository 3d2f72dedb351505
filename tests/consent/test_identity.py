"""Issuers, key sets, links and limits: whose login is believed, about whom, and how much anybody may ask."""

from __future__ import annotations

import http.server
import json
import threading
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from joserfc.jwk import ECKey, OctKey, RSAKey
from sqlalchemy import text
from support.identity import Site, bearer
from support.observed import entries, statements
from support.waiting import PATIENCE_S
from support.world import ASPENS, GENERAL, PORTAL, Person, trust, trusted_issuer

from auditlog.database import Database
from consent.api.app import create_app
from consent.commands.forget_subject import forget_subject
from consent.identity import keys, links
from consent.identity.devissuer import create_issuer, public_jwks
from consent.identity.errors import IdentityMisconfigured, IssuerUnavailable, TooManyRequests
from consent.identity.jwks import ANSWER, REFETCH_S, RETRY_S, FetchedKeys, fetch, usable_keys
from consent.identity.jwts import TrustedKey
from consent.identity.limits import MAX_BUCKETS, LimitSettings, Rate, RateLimits
from consent.identity.settings import ENVIRONMENT, load_issuers
from consent.storage.migrating import migrate, revision_of
from crypto.errors import SignatureError
from crypto.keys import SigningKey


def rows(site: Site, table: str) -> list[tuple[object, ...]]:
    with site.registry.ledger.read() as session:
        return [tuple(row) for row in session.execute(text(f"SELECT * FROM {table}"))]


# --- links


def test_a_login_speaks_for_nobody_until_a_lender_vouches_for_it(site):
    mine, theirs = site.people["aspen"][0], site.people["birch"][0]
    headers = site.log_in("ada")
    assert site.http.get("/v1/me/consents", headers=headers).status_code == 403
    assert site.http.get("/v1/me/links", headers=headers).json() == {"links": []}
    made = [site.link(headers, p) for p in (mine, theirs)]
    assert [answer.status_code for answer in made] == [201, 201], made[0].text
    found = site.http.get("/v1/me/links", headers=headers).json()["links"]
    assert [(link["pseudonym"], link["lender"]) for link in found] == [
        (mine.pseudonym, "aspen"),
        (theirs.pseudonym, "birch"),
    ]
    assert site.http.get("/v1/me/consents", headers=headers).status_code == 200
    gone = site.http.delete(f"/v1/me/links/{found[0]['id']}", headers=headers)
    assert gone.status_code == 204, gone.text
    assert len(site.http.get("/v1/me/links", headers=headers).json()["links"]) == 1


def test_links_are_logged_without_names_and_the_subject_of_a_login_is_never_stored(site):
    headers = site.log_in("130102199003075678")
    site.link(headers, site.people["aspen"][0])
    [leaf] = [entry for entry in entries(site.registry) if entry["type"] == "login.linked"]
    assert set(leaf) == {"v", "type", "actor", "time", "body"}
    assert leaf["body"]["sealed_to"] == ["subject"]
    stored = repr([rows(site, table) for table in ("login_links", "used_once", "log_entries")])
    assert "130102199003075678" not in stored
    assert GENERAL in stored


def test_a_ticket_acts_once(site):
    ticket = site.ticket(site.people["aspen"][0])
    first, second = site.log_in("ada"), site.log_in("eve")
    assert site.link(first, ticket).status_code == 201
    site.start()  # another worker
    again = site.link(second, ticket)
    assert (again.status_code, "acts once" in again.text) == (401, True)


def test_an_unknown_pseudonym_and_another_lenders_customer_get_the_same_answer(site, monkeypatch):
    """After the same work, statement by statement."""
    for module in (keys, links):
        monkeypatch.setattr(module, "FRESH_S", 1000.0)
    headers = site.log_in("ada")
    answers, work = [], []
    for who in (site.people["birch"][0], Person("birch")):
        site.start()
        site.http.get("/v1/me/links", headers=headers)
        token, ticket = site.id_token(who.pseudonym, ASPENS), site.ticket(who, "aspen")
        with statements(site.registry) as asked:
            login, linked = site.exchange(token), site.link(headers, ticket)
        work.append(asked)
        answers.append((login.status_code, login.json(), linked.status_code, linked.json()))
    assert answers[0] == answers[1]
    assert (answers[0][0], answers[0][2]) == (400, 401)
    assert work[0] == work[1]
    assert len(work[0]) >= 4


@pytest.mark.parametrize("case", ["expired", "too long", "another key", "a stranger", "not a lender", "not a ticket"])
def test_a_ticket_that_no_lender_vouches_for_is_refused(site, case):
    who = site.people["aspen"][0]
    ticket = {
        "expired": lambda: site.ticket(who, minutes=-1),
        "too long": lambda: site.ticket(who, minutes=60 * 24 * 30),
        "another key": lambda: site.ticket(who, key=site.keys["birch"]),
        "a stranger": lambda: site.ticket(who, "oak", key=site.keys["aspen"]),
        "not a lender": lambda: site.ticket(who, "coordinator"),
        "not a ticket": lambda: "x.y.z",
    }[case]()
    answer = site.link(site.log_in("ada"), ticket)
    assert answer.status_code == 401, answer.text
    assert rows(site, "login_links") == []


def test_logins_that_come_together_are_each_told_their_own_pseudonyms(any_site):
    """One question to the database for all of them, and nobody hears what is another's."""
    site = any_site
    first, second, third = (site.people[lender][0] for lender in ("aspen", "birch", "aspen"))
    for who, *people in (("ada", first, second), ("eve", second), ("lin",)):
        headers = site.log_in(who)
        for person in people:
            assert site.link(headers, person).status_code == 201
    access, tokens = site.app.state.access, [site.log_in(who) for who in ("ada", "eve", "lin")]
    tokens.append(site.log_in(third.pseudonym, ASPENS))
    read = [access.tokens.verify(token["Authorization"].removeprefix("Bearer "), site.clock()) for token in tokens]
    speakers = [(token.login, token.pseudonym, token.counter_of) for token in read]
    together = access.links._read_subjects([*speakers, *speakers[::-1]])
    own = [(first.pseudonym, second.pseudonym), (second.pseudonym,), (), (third.pseudonym,)]
    assert [together[speaker] for speaker in speakers] == own
    assert [access.links.subjects(*speaker) for speaker in speakers] == own


@pytest.mark.parametrize(("ago", "reason"), [(600, "fresh-login-needed"), (0, None), (None, "fresh-login-needed")])
def test_how_fresh_a_login_is_is_the_issuers_word_where_it_gives_it(site, ago, reason):
    """A session that the issuer answers for without asking is as old as what it rests on."""
    now = int(site.registry.clock().timestamp())
    token = site.id_token("wei", auth_time=None if ago is None else now - ago)
    assert site.link(site.log_in("wei"), site.people["birch"][0]).status_code == 201
    headers = bearer(site.exchange(token))
    answer = site.http.post("/v1/me/keys", json={"token": "a.b.c"}, headers=headers)
    assert (answer.json().get("reason"), answer.is_success) == (reason, False)
    linked = site.link(headers, site.people["aspen"][0])
    assert (linked.json().get("reason"), linked.is_success) == (reason, reason is None)
    erased = site.http.delete("/v1/me", headers=headers | {"Idempotency-Key": "e" * 32})
    assert erased.is_success == (reason is None), erased.text
    assert erased.json().get("reason") == reason


def test_a_login_is_one_customer_of_a_lender_by_whatever_right(site):
    first, second, third = site.people["aspen"]
    headers, ticket = site.log_in("ada"), site.ticket(second)
    kept = site.link(headers, first).json()["id"]
    refused = site.link(headers, ticket)
    assert (refused.status_code, refused.json()["reason"]) == (409, "linked-to-another")
    assert site.link(headers, site.people["birch"][0]).status_code == 201, "of another lender it may be one, too"
    site.http.delete(f"/v1/me/links/{kept}", headers=headers)
    assert site.link(headers, ticket).status_code == 201, "the ticket was not used up"
    own = site.link(site.log_in(third.pseudonym, ASPENS), first)
    assert (own.status_code, own.json()["reason"]) == (409, "linked-to-another"), "it is one of itself"


def test_nobody_sees_or_ends_anothers_links(site):
    ada, eve = site.log_in("ada"), site.log_in("eve")
    link = site.link(ada, site.people["aspen"][0]).json()
    assert site.http.get("/v1/me/links", headers=eve).json() == {"links": []}
    others, none = (site.http.delete(f"/v1/me/links/{name}", headers=eve) for name in (link["id"], "x" * 22))
    assert others.status_code == none.status_code == 404
    assert others.json() == none.json()
    assert site.http.get("/v1/me/links", headers=site.token_of("aspen")).status_code == 403
    assert site.signed(site.people["aspen"][0].pseudonym, "GET", "/v1/me/links").status_code == 403


def test_a_lenders_own_issuer_cannot_be_linked_to_another_lenders_customer(site):
    headers = site.log_in(site.people["aspen"][0].pseudonym, ASPENS)
    answer = site.link(headers, site.people["birch"][0])
    assert answer.status_code == 403, answer.text
    assert rows(site, "login_links") == []


def test_forgetting_takes_the_links_along(site):
    who = site.people["aspen"][0]
    headers = site.log_in("ada")
    site.link(headers, who)
    assert len(rows(site, "login_links")) == 1
    forget_subject(site.registry, who.pseudonym)
    assert rows(site, "login_links") == []
    site.start()
    assert site.http.get("/v1/me/consents", headers=headers).status_code == 403


def test_a_lenders_own_login_is_the_pseudonym(site):
    who = site.people["aspen"][1]
    headers = site.log_in(who.pseudonym, ASPENS)
    assert site.http.get("/v1/me/consents", headers=headers).status_code == 200


# --- which issuers are trusted


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"issuer": "http://login.example"}, "https"),
        ({"issuer": "http://127.0.0.1:9"}, "https"),
        ({"jwks": None, "jwks_uri": "http://127.0.0.1:9/jwks"}, "https"),
        ({"jwks": None, "jwks_uri": "https://user:pass@login.example/"}, "https"),
        ({"jwks_uri": "https://login.example/jwks"}, "either"),
        ({"algorithms": ["HS256"]}, "algorithms"),
        ({"algorithms": ["none"]}, "algorithms"),
        ({"algorithms": []}, "algorithms"),
        ({"lenders": ["oak"]}, "oak"),
        ({"more": 1}, "more"),
    ],
)
def test_settings_that_trust_too_much_stop_the_registry(site, monkeypatch, change, says):
    monkeypatch.setenv(ENVIRONMENT, "production")
    issuer = trusted_issuer(GENERAL, site.general_key)
    trust(site.home, issuer | change)
    with pytest.raises(IdentityMisconfigured, match=says):
        load_issuers(site.home, site.registry.consortium)


def test_plain_http_is_for_this_machine_in_development_only(site, monkeypatch):
    def load(url: str) -> None:
        issuer = {"issuer": url, "audience": PORTAL, "jwks_uri": f"{url}/jwks.json", "algorithms": ["Ed25519"]}
        trust(site.home, issuer)
        load_issuers(site.home, site.registry.consortium)

    monkeypatch.setenv(ENVIRONMENT, "development")
    load("http://127.0.0.1:8790")
    load("http://[::1]:8790")
    for elsewhere in ("http://192.168.0.1:8790", "http://localhost.example", "ftp://127.0.0.1", "nonsense"):
        with pytest.raises(IdentityMisconfigured):
            load(elsewhere)
    monkeypatch.delenv(ENVIRONMENT)
    with pytest.raises(IdentityMisconfigured):
        load("http://127.0.0.1:8790")


@pytest.mark.parametrize("environment", [None, "", "production", "Development", "staging"])
def test_the_development_issuer_starts_in_development_only(monkeypatch, environment):
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    if environment is not None:
        monkeypatch.setenv(ENVIRONMENT, environment)
    with pytest.raises(IdentityMisconfigured, match="anybody"):
        create_issuer("http://127.0.0.1:8790")


def test_the_development_issuer_serves_a_whole_login(site, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT, "development")
    issuer = TestClient(create_issuer("http://127.0.0.1:8790", site.aspens_key))
    discovered = issuer.get("/.well-known/openid-configuration").json()
    jwks = issuer.get(discovered["jwks_uri"].removeprefix(discovered["issuer"])).json()
    assert [key.kid for key in usable_keys(jwks)] == [site.aspens_key.public.thumbprint]
    entry = {"issuer": discovered["issuer"], "audience": PORTAL, "jwks": jwks, "algorithms": ["Ed25519"]}
    site.start()
    trust(site.home, entry)
    site.http = TestClient(create_app(site.registry))
    asked = {"subject": "ada", "nonce": site.nonce(), "client_id": PORTAL}
    answer = issuer.post("/authorize", json=asked)
    assert answer.headers["cache-control"] == "no-store"
    assert site.exchange(answer.json()["id_token"]).status_code == 200
    refused = issuer.post("/authorize", json={"subject": "secret-subject" * 40, "nonce": "n", "client_id": "c"})
    assert (refused.status_code, "secret-subject" in refused.text) == (422, False)


# --- key sets


def test_only_keys_that_can_check_signatures_are_taken():
    rsa, ec, ed = RSAKey.generate_key(2048), ECKey.generate_key("P-256"), public_jwks(SigningKey.generate())["keys"][0]
    others = [OctKey.generate_key(256).as_dict(private=True), ECKey.generate_key("P-384").as_dict(private=False)]
    encrypts = {**rsa.as_dict(private=False), "use": "enc"}
    found = usable_keys({"keys": [rsa.as_dict(private=False), ec.as_dict(private=False), ed, encrypts, *others]})
    assert [sorted(key.algorithms) for key in found] == [["PS256", "RS256"], ["ES256"], ["Ed25519", "EdDSA"]]
    stated = TrustedKey.from_jwk({**rsa.as_dict(private=False), "alg": "PS256"})
    assert stated is not None
    assert stated.algorithms == {"PS256"}


@pytest.mark.parametrize(
    "jwk",
    [
        RSAKey.generate_key(1024, auto_kid=False).as_dict(private=False),
        {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "RSA", "n": "AQAB"},
    ],
)
def test_weak_and_malformed_keys_are_refused(jwk):
    with pytest.raises(SignatureError):
        usable_keys({"keys": [jwk]})


class Endpoint:
    """A key set that counts how often it is asked for."""

    def __init__(self, *keys: SigningKey) -> None:
        self.keys, self.asked, self.broken, self.time = list(keys), 0, False, 1000.0

    def fetch(self, _: str) -> bytes:
        self.asked += 1
        if self.broken:
            raise IssuerUnavailable("down")
        return json.dumps({"keys": [key for one in self.keys for key in public_jwks(one)["keys"]]}).encode()


def test_an_unknown_key_makes_the_set_be_fetched_again_at_most_once_a_minute():
    first, second = SigningKey.generate(), SigningKey.generate()
    endpoint = Endpoint(first)
    held = FetchedKeys("https://x", endpoint.fetch, lambda: endpoint.time)
    assert held.find(first.public.thumbprint) is not None
    for number in range(50):
        assert held.find(f"invented-{number}") is None
    assert endpoint.asked == 1
    endpoint.keys.append(second)
    endpoint.time += REFETCH_S
    assert held.find(second.public.thumbprint) is not None
    assert endpoint.asked == 2
    assert held.find(None) is None, "without an id, only where there is one key"


def test_keys_that_cannot_be_had_let_nobody_in():
    key = SigningKey.generate()
    endpoint = Endpoint(key)
    held = FetchedKeys("https://x", endpoint.fetch, lambda: endpoint.time)
    assert held.find(key.public.thumbprint) is not None
    endpoint.broken = True
    endpoint.time += 3601
    for _ in range(5):
        with pytest.raises(IssuerUnavailable):
            held.find(key.public.thumbprint)
    assert endpoint.asked == 2, "and are not asked for at once again"
    endpoint.broken = False
    endpoint.time += RETRY_S
    assert held.find(key.public.thumbprint) is not None


def test_a_slow_issuer_does_not_hold_up_everybody(monkeypatch):
    monkeypatch.setattr("consent.identity.jwks.WAIT_S", 0.01)
    key, goes, asked = SigningKey.generate(), threading.Event(), threading.Event()

    def slow(_: str) -> bytes:
        asked.set()
        goes.wait(PATIENCE_S)
        return json.dumps(public_jwks(key)).encode()

    held = FetchedKeys("https://x", slow)
    first = threading.Thread(target=held.find, args=(None,))
    first.start()
    asked.wait(PATIENCE_S)
    with pytest.raises(IssuerUnavailable, match="being fetched"):
        held.find(None)
    goes.set()
    first.join()
    assert held.find(None) is not None


def test_a_key_set_is_fetched_whole_small_and_from_where_it_is(tmp_path):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(302 if self.path == "/moved" else 200)
            self.send_header("Location", "/keys")
            self.end_headers()
            self.wfile.write(b"x" * (ANSWER.most + 1 if self.path == "/large" else 10))

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    try:
        assert fetch(f"{base}/keys") == b"x" * 10
        for path in ("/moved", "/large"):
            with pytest.raises(IssuerUnavailable):
                fetch(base + path)
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(IssuerUnavailable):
        fetch(base)


# --- limits


def test_a_bucket_empties_and_fills_again():
    time = [0.0]
    settings = LimitSettings(party=LimitSettings().party.model_copy(update={"reading": Rate(per_second=2, burst=3)}))
    limits = RateLimits(settings, lambda: time[0])
    [aspen, birch] = [type("P", (), {"id": name})() for name in ("aspen", "birch")]
    for _ in range(3):
        limits.of_party(aspen, "reading")
    with pytest.raises(TooManyRequests) as refused:
        limits.of_party(aspen, "reading")
    assert refused.value.retry_after_s == 1
    limits.of_party(birch, "reading")
    limits.of_party(aspen, "changing")
    time[0] += 0.5
    limits.of_party(aspen, "reading")
    with pytest.raises(TooManyRequests):
        limits.of_party(aspen, "reading")


def test_buckets_take_bounded_memory_and_neighbours_in_ipv6_share_one():
    limits = RateLimits(LimitSettings(), lambda: 0.0)
    limits._buckets.update((("address", str(i), "reading"), (1.0, 0.0)) for i in range(MAX_BUCKETS))
    for i in range(10):
        limits.of_address(f"2001:db8::{i}", "reading")
        limits.of_address(f"198.51.100.{i}", "reading")
    assert len(limits._buckets) <= MAX_BUCKETS
    assert len([name for name in limits._buckets if name[1].startswith("2001:db8")]) == 1


def test_callers_are_limited_each_for_themselves(site):
    one = {"per_second": 0.01, "burst": 2}
    many = {"per_second": 1000, "burst": 1000}
    rates = {"reading": one, "changing": many, "login": many}
    site.start(party=rates, anonymous={**rates, "login": {"per_second": 0.01, "burst": 6}})
    target = "/v1/parties/aspen/keys"
    statuses = [site.signed("aspen", "GET", target) for _ in range(3)]
    assert [answer.status_code for answer in statuses] == [200, 200, 429]
    assert statuses[2].headers["content-type"] == "application/problem+json"
    assert int(statuses[2].headers["retry-after"]) >= 1
    assert site.signed("birch", "GET", "/v1/parties/birch/keys").status_code == 200
    assert [site.http.get("/v1/consortium").status_code for _ in range(3)] == [200, 200, 429]
    assert [site.http.post("/v1/challenges").status_code for _ in range(7)][-2:] == [201, 429]


def test_by_default_a_lender_in_a_hurry_is_not_held_up(site):
    party = site.registry.consortium.party("aspen")
    limits = RateLimits(LimitSettings(), lambda: 0.0)
    for _ in range(20_000):
        limits.of_party(party, "changing")


def test_a_limits_file_that_does_not_fit_stops_the_registry(site):
    (site.home / "limits.json").write_text('{"party": {"reading": {"per_second": -1, "burst": 1}}}', encoding="utf-8")
    with pytest.raises(IdentityMisconfigured, match="limits"):
        site.start()


# --- storage


def test_the_migration_goes_up_and_down_with_rows_in_it(any_site):
    site = any_site
    headers = site.log_in("ada")
    site.link(headers, site.people["aspen"][0])
    database: Database = site.registry.ledger.database
    subjects = rows(site, "subjects")
    while revision_of(database) != "0003":
        migrate(database, "-1")
    assert [row[:6] for row in rows(site, "subjects")] == [row[:6] for row in subjects]
    with database.read() as session:
        names = "SELECT name FROM sqlite_master" if database.dialect == "sqlite" else "SELECT tablename FROM pg_tables"
        assert not {"party_keys", "login_links", "used_once"} & set(session.scalars(text(names)))
    migrate(database)
    assert rows(site, "login_links") == []


def test_used_rows_go_when_they_cannot_matter(site):
    site.log_in("ada")
    assert len(rows(site, "used_once")) == 1
    site.clock.offset = timedelta(hours=2)
    site.exchange(site.id_token("ada", iat=int(site.clock().timestamp()), exp=int(site.clock().timestamp()) + 60))
    assert len(rows(site, "used_once")) == 1
