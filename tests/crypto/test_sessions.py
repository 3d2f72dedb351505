"""Sessions: a key that only the two who signed know, and requests that each act once (``crypto.sessions``,
``consent.identity.sessions``)."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from datetime import timedelta

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.effort import effort
from support.wire import serve

from consent.api.app import create_app
from consent.home import open_registry
from consent.identity.sessions import MAX_PER_PARTY, Sessions
from crypto.errors import SignatureError
from crypto.keys import SigningKey, b64
from crypto.sessions import WINDOW, CounterWindow, Ephemeral, request_mac
from ops.processes import free_port
from protocol.errors import ConsentError, NotAuthenticated
from protocol.parties import Party, Role
from protocol.requests import sign_request
from protocol.schema import now
from protocol.sessions import LIFETIME, ClientSession, SessionAnswer, SessionOffer

# --- the key


@given(st.text(max_size=80), st.text(max_size=80))
def test_both_sides_agree_on_one_key(offer, answer):
    mine, theirs = Ephemeral(), Ephemeral()
    key = mine.agree(theirs.public, offer, answer)
    assert key == theirs.agree(mine.public, offer, answer)
    assert len(key) == 32


def test_every_exchange_has_a_key_of_its_own():
    theirs = Ephemeral()
    keys = {Ephemeral().agree(theirs.public, "offer", "answer") for _ in range(50)}
    assert len(keys) == 50


@given(st.binary(min_size=1, max_size=60), st.binary(min_size=1, max_size=60), st.data())
def test_any_byte_altered_in_offer_or_answer_gives_another_key(offer, answer, data):
    documents = [offer.decode("latin-1"), answer.decode("latin-1")]
    mine, theirs = Ephemeral(), Ephemeral()
    key = mine.agree(theirs.public, *documents)
    which = data.draw(st.integers(0, 1))
    at = data.draw(st.integers(0, len(documents[which]) - 1))
    other = data.draw(st.characters(max_codepoint=255).filter(lambda c: c != documents[which][at]))
    documents[which] = documents[which][:at] + other + documents[which][at + 1 :]
    assert theirs.agree(mine.public, *documents) != key
    assert mine.agree(theirs.public, *documents) == theirs.agree(mine.public, *documents)


def test_a_byte_moved_from_the_offer_into_the_answer_gives_another_key():
    mine, theirs = Ephemeral(), Ephemeral()
    assert mine.agree(theirs.public, "ab", "c") != theirs.agree(mine.public, "a", "bc")


P = 2**255 - 19
SMALL_ORDER = [
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    P - 1,
    P,
    P + 1,
]
"""u-coordinates of small order on Curve25519 (RFC 7748 section 6.1; https://cr.yp.to/ecdh.html#validate)."""


@pytest.mark.parametrize("point", SMALL_ORDER)
@pytest.mark.parametrize("high_bit", [0, 1 << 255])
def test_keys_of_small_order_are_refused(point, high_bit):
    """With one of these the shared secret would be known to everybody."""
    with pytest.raises(SignatureError):
        Ephemeral().agree(b64((point | high_bit).to_bytes(32, "little")), "offer", "answer")


@pytest.mark.parametrize("text", ["", "A", "A" * 42, "A" * 44, "!" * 43, "é" * 43, b64(b"\1" * 31), b64(b"\1" * 33)])
def test_what_is_no_key_is_refused(text):
    with pytest.raises(SignatureError):
        Ephemeral().agree(text, "offer", "answer")


def test_no_secret_shows_in_a_repr():
    scalar = secrets.token_bytes(32)
    shown = repr(Ephemeral(scalar)) + repr(ClientSession("id", scalar, now())) + repr(Sessions("r", SigningKey(scalar)))
    assert repr(scalar)[2:-1] not in shown
    assert scalar.hex() not in shown


# --- the MAC


def test_the_mac_is_hmac_sha256_over_method_target_counter_and_body_hash():
    key, body = b"k" * 32, b"body"
    text = f"POST\n/v1/x?y=1\n7\n{hashlib.sha256(body).hexdigest()}".encode()
    assert request_mac(key, "POST", "/v1/x?y=1", body, 7) == b64(hmac.new(key, text, hashlib.sha256).digest())


def test_the_mac_depends_on_everything_that_it_binds():
    calls = [
        (key, method, target, body, counter)
        for key in (b"k" * 32, b"l" * 32)
        for method in ("GET", "POST")
        for target in ("/a", "/a?b", "/b")
        for body in (b"", b"x")
        for counter in (1, 2, 12)
    ]
    assert len({request_mac(*call) for call in calls}) == len(calls)


# --- the counters


@settings(max_examples=effort(150, 50))
@given(st.lists(st.integers(1, 3 * WINDOW), max_size=60), st.data())
def test_a_counter_is_let_through_once_and_not_after_its_window(counters, data):
    """Against the plain rule: not seen before, and less than a window behind the newest."""
    window, seen, newest = CounterWindow(), set(), 0
    near = [max(1, c + data.draw(st.sampled_from([-WINDOW, 1 - WINDOW, 0, 1, WINDOW]))) for c in counters]
    for counter in [c for pair in zip(counters, near, strict=True) for c in pair]:
        fits = counter not in seen and counter > newest - WINDOW
        if fits:
            window.admit(counter)
            seen.add(counter)
            newest = max(newest, counter)
        else:
            with pytest.raises(SignatureError):
                window.admit(counter)


def test_out_of_order_within_the_window_every_counter_passes_once():
    window = CounterWindow()
    order = list(range(WINDOW, 0, -1))
    for counter in order:
        window.admit(counter)
    for counter in (1, WINDOW // 2, WINDOW):
        with pytest.raises(SignatureError):
            window.admit(counter)


def test_a_long_session_does_not_grow_and_forgets_nothing_that_it_would_let_through():
    window = CounterWindow()
    for counter in range(1, 5 * WINDOW):
        window.admit(counter)
    assert len(window._seen) <= 2 * WINDOW + 1
    for counter in (1, WINDOW, 4 * WINDOW - 2, 4 * WINDOW, 5 * WINDOW - 1):
        with pytest.raises(SignatureError):
            window.admit(counter)


# --- the registry's side


CALLER, MOMENT = SigningKey.generate(), now()
ASPEN = Party(id="aspen", name="Aspen", role=Role.LENDER, signing_key=CALLER.public.text)


def begun(sessions: Sessions, key: SigningKey = CALLER, party: Party = ASPEN, **changes: str) -> ClientSession:
    ephemeral = Ephemeral()
    fields = {"caller": party.id, "audience": sessions.audience, "ephemeral": ephemeral.public} | changes
    offer = SessionOffer(**fields)
    token = offer.sign(key)
    answered = sessions.begin(party, token, MOMENT)
    answer = SessionAnswer.verify(answered, sessions.signing_key.public)
    return ClientSession.agreed(ephemeral, offer, token, answered, answer)


def credentials(session: ClientSession, method: str = "GET", target: str = "/a", body: bytes = b"") -> str:
    return session.authorization(method, target, body).removeprefix("Session ")


@pytest.fixture
def sessions() -> Sessions:
    return Sessions("registry", SigningKey.generate())


def test_a_session_says_whose_request_it_is_for_ten_minutes(sessions):
    session = begun(sessions)
    assert sessions.verify(credentials(session), "GET", "/a", b"", MOMENT) == ASPEN
    last = MOMENT + LIFETIME - timedelta(seconds=1)
    assert sessions.verify(credentials(session), "GET", "/a", b"", last) == ASPEN
    with pytest.raises(NotAuthenticated, match="begin a new one"):
        sessions.verify(credentials(session), "GET", "/a", b"", MOMENT + LIFETIME)


def test_an_offer_that_names_somebody_else_is_refused(sessions):
    for changes in ({"caller": "birch"}, {"audience": "elsewhere"}):
        with pytest.raises(NotAuthenticated, match="somebody else"):
            begun(sessions, **changes)
    with pytest.raises(SignatureError):
        begun(sessions, key=SigningKey.generate())
    with pytest.raises(SignatureError):
        begun(sessions, ephemeral=b64(b"\0" * 32))


def test_an_answer_to_another_offer_is_refused(sessions):
    mine, other = Ephemeral(), Ephemeral()
    offers = [SessionOffer(caller="aspen", audience="registry", ephemeral=e.public) for e in (mine, other)]
    tokens = [offer.sign(CALLER) for offer in offers]
    answered = sessions.begin(ASPEN, tokens[1], MOMENT)
    answer = SessionAnswer.verify(answered, sessions.signing_key.public)
    with pytest.raises(SignatureError, match="another offer"):
        ClientSession.agreed(mine, offers[0], tokens[0], answered, answer)


def test_a_request_with_a_wrong_mac_does_not_use_up_its_counter(sessions):
    session = begun(sessions)
    good = credentials(session)
    name, counter, _ = good.split(".")
    with pytest.raises(NotAuthenticated):
        sessions.verify(f"{name}.{counter}.{'A' * 43}", "GET", "/a", b"", MOMENT)
    assert sessions.verify(good, "GET", "/a", b"", MOMENT) == ASPEN


@pytest.mark.parametrize(
    "malformed",
    ["", ".", "..", "a.1.b", "{id}.0.{mac}", "{id}.01.{mac}", "{id}.-1.{mac}", "{id}.1.{mac}=", " {id}.1.{mac}"],
)
def test_malformed_credentials_are_refused(sessions, malformed):
    name, _, mac = credentials(begun(sessions)).split(".")
    with pytest.raises(NotAuthenticated):
        sessions.verify(malformed.format(id=name, mac=mac), "GET", "/a", b"", MOMENT)


def test_a_party_has_a_few_sessions_and_the_oldest_goes_first(sessions):
    birch_key = SigningKey.generate()
    birch = Party(id="birch", name="Birch", role=Role.LENDER, signing_key=birch_key.public.text)
    other = begun(sessions, birch_key, birch)
    mine = [begun(sessions) for _ in range(MAX_PER_PARTY + 2)]
    for session in mine[:2]:
        with pytest.raises(NotAuthenticated):
            sessions.verify(credentials(session), "GET", "/a", b"", MOMENT)
    for session in mine[2:]:
        assert sessions.verify(credentials(session), "GET", "/a", b"", MOMENT) == ASPEN
    assert sessions.verify(credentials(other), "GET", "/a", b"", MOMENT) == birch, "nobody else's goes"


# --- over HTTP


TARGET = "/v1/log/entries"
BODY = json.dumps({"entries": [{"type": "use.read", "to": ["auditor"]}]}).encode()


def post(house, authorization: str, target: str = TARGET, body: bytes = BODY, method: str = "POST") -> httpx.Response:
    headers = {"Authorization": authorization, "Content-Type": "application/json"}
    return httpx.request(method, house.url + target, content=body, headers=headers)


def why(response: httpx.Response, status: int = 401) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    return response.json()["detail"]


def entries(house) -> int:
    return httpx.get(f"{house.url}/healthz").json()["entries"]


def test_after_begin_session_every_call_carries_a_mac(house):
    client = house.client("aspen")
    session = client.begin_session()
    sent = []
    client._http.event_hooks["request"].append(lambda request: sent.append(request.headers["Authorization"]))
    indexes = [client.append([{"type": "use.read", "to": ["auditor"]}])[0] for _ in range(3)]
    assert indexes == list(range(indexes[0], indexes[0] + 3))
    assert [header.split(".")[0] for header in sent] == [f"Session {session.id}"] * 3
    assert [header.split(".")[1] for header in sent] == ["1", "2", "3"]
    leaves = client.verified_leaves(client.head(), indexes[0]) if client.inclusion(indexes[-1], wait=True) else []
    assert {json.loads(leaf)["actor"] for leaf in leaves[:3]} == {"aspen"}


def test_a_replayed_request_of_a_session_is_refused_and_does_nothing(house):
    header = house.client("aspen").begin_session().authorization("POST", TARGET, BODY)
    assert post(house, header).status_code == 201
    before = entries(house)
    assert "acts once" in why(post(house, header))
    assert entries(house) == before


def test_a_mac_for_another_call_is_refused(house):
    session = house.client("aspen").begin_session()
    other_body = BODY.replace(b"use.read", b"use.scored")
    before = entries(house)
    for made_for in (
        ("POST", "/v1/log/other", BODY),
        ("POST", f"{TARGET}?x=1", BODY),
        ("PUT", TARGET, BODY),
        ("GET", TARGET, BODY),
        ("POST", TARGET, other_body),
        ("POST", TARGET, b""),
    ):
        assert "another call" in why(post(house, session.authorization(*made_for)))
    assert "another call" in why(post(house, session.authorization("POST", TARGET, BODY), f"{TARGET}?x=1"))
    assert entries(house) == before
    assert post(house, session.authorization("POST", TARGET, BODY)).status_code == 201


def test_an_expired_session_is_refused_and_the_client_signs_again(house):
    client = house.client("aspen")
    session = client.begin_session()
    house.clock.offset = LIFETIME + timedelta(seconds=1)
    assert "begin a new one" in why(post(house, session.authorization("POST", TARGET, BODY)))
    house.clock.offset = timedelta()
    session.expires_at = now() - timedelta(seconds=1)
    assert client.append([{"type": "use.read", "to": ["auditor"]}])


def test_one_party_s_session_is_of_no_use_to_another(house):
    aspen, birch = (house.client(name).begin_session() for name in ("aspen", "birch"))
    _, counter, mac = birch.authorization("POST", TARGET, BODY).removeprefix("Session ").split(".")
    assert "another call" in why(post(house, f"Session {aspen.id}.{counter}.{mac}"))
    assert "no such session" in why(post(house, f"Session {'0' * 32}.{counter}.{mac}"))
    assert post(house, f"Session {birch.id}.{counter}.{mac}").status_code == 201, "it was good where it belongs"


def test_a_session_may_do_only_what_its_party_may(house):
    session = house.client("aspen").begin_session()
    target = "/v1/campaigns"
    assert "coordinator" in why(post(house, session.authorization("POST", target, b"{}"), target, b"{}"), 403)
    target = "/v1/me/consents"
    assert "borrowers" in why(post(house, session.authorization("GET", target, b""), target, b"", "GET"), 403)


def test_after_a_restart_no_session_is_known(house):
    session = house.client("aspen").begin_session()
    house.stop_registry()
    again = open_registry(house.founded.registry_home)
    with serve(create_app(again), free_port()) as url:
        headers = {"Authorization": session.authorization("POST", TARGET, BODY), "Content-Type": "application/json"}
        assert "begin a new one" in why(httpx.post(url + TARGET, content=BODY, headers=headers))
    again.close()


def test_a_borrower_cannot_begin_a_session(house):
    client = house.borrower_client(house.consenting()[0])
    with pytest.raises(ConsentError) as refused:
        client.begin_session()
    assert refused.value.status == 403
    with pytest.raises(ConsentError, match="signing key"):
        house.anyone().begin_session()


def test_an_offer_in_somebody_else_s_request_is_refused(house):
    """A lender that got hold of another's signed offer cannot begin a session as that other, nor as itself."""
    offer = SessionOffer(caller="aspen", audience="registry", ephemeral=Ephemeral().public)
    stolen = json.dumps({"offer": offer.sign(house.node("aspen").key)}).encode()
    token = sign_request(house.node("birch").key, "birch", "registry", "POST", "/v1/sessions", stolen)
    assert why(post(house, f"Bearer {token}", "/v1/sessions", stolen))
