"""Thousands of hostile requests, made by damaging good ones: none is a 5xx, and afterwards the log is whole and
everything that was acknowledged is there."""

from __future__ import annotations

import copy
import hashlib
import json
import random
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from rfc8785 import CanonicalizationError
from support.asgi import Sent
from support.effort import effort
from support.fuzzing import SEED, Site, cut
from support.incidents import make_incident
from support.plans import stated
from support.waiting import PATIENCE_S

from crypto.documents import canonical_json, unverified_payload
from crypto.errors import CryptoError
from crypto.keys import SigningKey, b64
from crypto.notes import InclusionProof
from crypto.policies import Policy
from crypto.sealing import seal_to
from crypto.sessions import Ephemeral
from ops.http import MAX_BODY_BYTES
from protocol.assessments import ImpactAssessment
from protocol.campaigns import Approval, Campaign, CommitmentRequest, Rejection
from protocol.cards import ModelCard
from protocol.consents import ConsentDecision
from protocol.incidents import Incident
from protocol.notices import Notice
from protocol.requests import sign_request
from protocol.rights import RightsAnswer
from protocol.sessions import SessionOffer


@pytest.fixture
def site(under_fire: Site) -> Site:
    return under_fire


# --- good requests, damaged


HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, -(2**63) - 1, 10**400, 0.5, -0.0, 1e308, "", " ", "\x00", "\n",
    "a" * 5000, "😀" * 50, "../../../etc/passwd", "' OR 1=1 --", "{{7*7}}", "%s%n", "NaN", "0", "-1", "1e9", "é", "=",
    "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "2026-02-30T00:00:00Z", "0" * 64,
    "v1." + "A" * 43, "auditor", "registry", "aspen", "consent.decided", "use.read", [], {}, [[]], [None], {"": ""},
    "\ud800", {"a": {"a": {"a": {}}}}, [0] * 300, ["auditor"] * 17,
)  # fmt: skip


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(node, dict):
        for name, child in node.items():
            yield from places(child, (*path, name))
    elif isinstance(node, list):
        for number, child in enumerate(node):
            yield from places(child, (*path, number))


def damaged(value: Any, rng: random.Random) -> Any:
    """A copy with one to three places replaced, removed, doubled or added to."""
    found = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        path = rng.choice(list(places(found)))
        if not path:
            if rng.random() < 0.1:
                return rng.choice(HOSTILE)
            continue
        parent = found
        for step in path[:-1]:
            parent = parent[step]
        match rng.randrange(6):
            case 0:
                del parent[path[-1]]
            case 1 if isinstance(parent, dict):
                parent[rng.choice(("extra", "", "a" * 200, "type", "__proto__", "é"))] = rng.choice(HOSTILE)
            case 2 if isinstance(parent[path[-1]], str) and parent[path[-1]]:
                text = parent[path[-1]]
                at = rng.randrange(len(text))
                parent[path[-1]] = text[:at] + rng.choice(("", "A", "\x7f", "é", ".", "=", "\u2028")) + text[at + 1 :]
            case 3 if isinstance(parent, list):
                parent.append(copy.deepcopy(parent[path[-1]]))
            case _:
                parent[path[-1]] = rng.choice(HOSTILE)
    return found


def forged(typ: str, payload: Any, key: SigningKey) -> str:
    """A document with a good signature over whatever ``payload`` is, canonical or not."""
    header = b64(json.dumps({"alg": "Ed25519", "typ": typ, "kid": key.public.thumbprint}).encode())
    signed = f"{header}.{b64(payload if isinstance(payload, bytes) else json.dumps(payload).encode())}"
    return f"{signed}.{b64(key.sign(signed.encode()))}"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def released(site: Site) -> dict[str, str]:
    """A model of the house's campaign and its signed card."""
    campaign, model = site.house.campaign, b"a model"
    card = ModelCard(
        campaign_sha256=campaign.sha256, campaign_title=campaign.title, model=campaign.model,
        model_sha256=hashlib.sha256(model).hexdigest(), features=("late",), purpose=campaign.purpose,
        legal_basis=campaign.legal_basis, lenders=campaign.lenders, epsilon=1, delta=1e-5, mechanism={}, releases=1,
        population_released=100, base_rate_released=0.2, released_at=campaign.created_at,
    )  # fmt: skip
    token = card.sign(site.keys["coordinator"])
    return {"card_sha256": card.sha256, "card": token, "model": b64(model)}


def good_requests(site: Site) -> dict[str, tuple[str, str, Any]]:
    """(method and target, caller, body) of calls that are all in order, by name."""
    house, campaign = site.house, site.house.campaign.sha256
    borrower = house.borrowers["aspen"][1]
    entry = {
        "type": "use.scored", "campaign": campaign, "counts": {"rows": 120}, "hashes": {"document": digest("file")},
        "to": ["auditor"], "body": b64(b"why"),
    }  # fmt: skip
    about = {"type": "use.explained", "subject": borrower.pseudonym, "counts": {"people": 1}, "body": b64(b"what")}
    auditor = house.founded.auditor_recipient.public
    commitment = CommitmentRequest(
        authorisation_id=site.authorisation, release=0, attempt=1, root=digest("root"),
        sealed_body=b64(seal_to(auditor, b"who", b"context")), **stated(house.campaign, 0),
    )  # fmt: skip
    person = {
        "pseudonym": f"v1.{b64(hashlib.sha256(b'p').digest())}",
        "ledger_pseudonym": f"v1.{b64(hashlib.sha256(b'l').digest())}",
        "public_key": SigningKey.generate().public.text,
    }
    right = {"kind": "correct", "features": ["late"], "text": "No.", "transfer_to": "Oak", "channel": "app"}
    return {
        "request": ("/v1/me/requests", list(site.keys)[-1], {"recipient": "cedar", "asked": right}),
        "entries": ("/v1/log/entries", "aspen", {"entries": [entry, about]}),
        "subjects": ("/v1/subjects", "aspen", {"subjects": [person, {**person, "pseudonym": "v1." + "B" * 43}]}),
        "commitment": (f"/v1/campaigns/{campaign}/commitments", "aspen", commitment.model_dump(mode="json")),
        "model": (f"/v1/campaigns/{campaign}/model", "coordinator", released(site)),
    }


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("entries", effort(2500)),
        ("subjects", effort(1000, 300)),
        ("commitment", effort(500)),
        ("model", effort(300)),
        ("request", effort(600, 300)),
    ],
)
def test_bodies_of_known_callers_damaged_in_any_place_are_answered(site, name, count):
    rng = random.Random(SEED)
    target, caller, body = good_requests(site)[name]
    whole = json.dumps(body).encode()
    requests = [Sent("POST", target, json.dumps(damaged(body, rng)).encode(), caller) for _ in range(count * 3 // 4)]
    requests += [Sent("POST", target, cut(whole, rng), caller) for _ in range(count - len(requests))]
    before = Counter(site.statuses)
    site.send(requests)
    seen = site.statuses - before
    assert seen[422] > count // 4, "the damage reached the body's validation"
    assert seen[201], "what was not damaged where it matters was accepted"
    assert sum(seen.values()) == count
    site.check()


def documents(site: Site) -> dict[str, tuple[str, str, str, dict[str, Any], SigningKey]]:
    """(target, caller, type, payload, signer) of signed documents that are all in order."""
    house, moment = site.house, site.registry.clock()
    person = house.borrowers["birch"][3]
    decision = ConsentDecision.claimed(person.first_answer(house.notice))
    campaign = house.campaign.model_copy(update={"id": "another"})
    approval = Approval(campaign_sha256=house.campaign.sha256, lender="aspen", lot="l" * 43, approved_at=moment)
    rejection = Rejection(campaign_sha256=house.campaign.sha256, lender="aspen", rejected_at=moment)
    notice = house.notice.model_copy(update={"version": 7})
    answer = RightsAnswer(
        lender="aspen", request_sha256="0" * 64, outcome="partly", reason="not-held", text="done", language="en",
        answered_at=moment,
    )  # fmt: skip
    offer = SessionOffer(caller="aspen", audience="registry", ephemeral=Ephemeral().public)
    keys = site.keys
    return {
        "decisions": ("/v1/decisions", "", ConsentDecision.typ, decision.payload(), person.key),
        "campaign": ("/v1/campaigns", "coordinator", Campaign.typ, campaign.payload(), keys["coordinator"]),
        "approval": (
            f"/v1/campaigns/{approval.campaign_sha256}/approvals", "aspen", Approval.typ, approval.payload(),
            keys["aspen"],
        ),
        "rejection": (
            f"/v1/campaigns/{approval.campaign_sha256}/rejections", "aspen", Rejection.typ, rejection.payload(),
            keys["aspen"],
        ),
        "answer": (
            f"/v1/requests/{'0' * 64}/answers", "aspen", RightsAnswer.typ, answer.payload(), keys["aspen"]
        ),
        "assessment": (
            "/v1/assessments", "coordinator", ImpactAssessment.typ, house.assessment.payload(), keys["coordinator"],
        ),
        "incident": ("/v1/incidents", "aspen", Incident.typ, make_incident("aspen").payload(), keys["aspen"]),
        "notice": ("/v1/notices", "registry", Notice.typ, notice.payload(), keys["registry"]),
        "session": ("/v1/sessions", "aspen", SessionOffer.typ, offer.payload(), keys["aspen"]),
    }  # fmt: skip


def has_canonical_form(payload: Any) -> bool:
    try:
        canonical_json(json.loads(payload) if isinstance(payload, bytes) else payload)
    except CanonicalizationError:
        return False
    except (ValueError, RecursionError):
        return True  # no JSON at all
    return True


def token_alone(token: str) -> dict[str, Any]:
    return {"token": token}


WRAPPED = {"decisions": lambda token: {"tokens": [token]}, "session": lambda token: {"offer": token}}


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("decisions", effort(600)),
        ("campaign", effort(300)),
        ("approval", effort(150)),
        ("answer", effort(150)),
        ("notice", effort(250)),
        ("assessment", effort(200)),
        ("incident", effort(200)),
        ("session", effort(200)),
    ],
)
def test_documents_with_good_signatures_and_bad_contents_are_answered(site, name, count):
    rng = random.Random(SEED + 1)
    target, caller, typ, payload, key = documents(site)[name]
    wrap = WRAPPED.get(name, token_alone)
    requests = []
    for number in range(count):
        altered: Any = damaged(payload, rng) if number % 3 else cut(json.dumps(payload).encode(), rng)
        if not has_canonical_form(altered):
            continue  # see the test after this one
        token = forged(typ, altered, key)
        if number % 10 == 9:
            token = cut(token.encode(), rng).decode("latin-1")
        requests.append(Sent("POST", target, json.dumps(wrap(token)).encode(), caller))
    before = Counter(site.statuses)
    site.send(requests)
    assert (site.statuses - before)[401] > count // 4, "the damage reached the document's validation"
    site.check()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("notice", {"version": 2**53}),
        ("notice", {"texts": {"en": "\ud800"}}),
        ("campaign", {"seed": -(2**53)}),
        ("campaign", {"title": "\ud800"}),
        ("campaign", {"features": {"count": 10**400}}),
    ],
    ids=str,
)
def test_a_document_that_has_no_canonical_form_is_refused(site, name, change):
    target, caller, typ, payload, key = documents(site)[name]
    token = forged(typ, payload | change, key)
    answer = site.send([Sent("POST", target, json.dumps(WRAPPED.get(name, token_alone)(token)).encode(), caller)])[0]
    assert answer.status in {401, 422}


def test_credentials_damaged_in_any_place_let_nobody_in(site):
    rng = random.Random(SEED + 2)
    target = f"/v1/campaigns/{site.house.campaign.sha256}"
    good = sign_request(site.keys["aspen"], "aspen", "registry", "GET", target, b"").encode()
    session = site.sessions["aspen"].authorization("GET", target, b"").encode()
    fields = unverified_payload(good.decode())
    headers = [
        "Bearer",
        "Session",
        "Basic eDp5",
        "Bearer ..",
        "Session ..",
        "Bearer " + "A" * 20_000,
        "\xff",
        "session",
    ]
    headers += ["Bearer " + cut(good, rng).decode("latin-1") for _ in range(300)]
    headers += [cut(session, rng).decode("latin-1") for _ in range(200)]
    headers += [
        "Bearer " + forged("tahini-request", damaged(fields | {"jti": f"{i:016d}"}, rng), site.keys["aspen"])
        for i in range(400)
    ]
    requests = [Sent("GET", target, headers=(("authorization", header),)) for header in headers]
    answers = site.send(requests)
    let_in = [header for header, answer in zip(headers, answers, strict=True) if answer.status not in {401, 422}]
    for header in let_in:
        scheme, _, token = header.partition(" ")
        assert scheme.lower() in {"bearer", "session"}
        assert token, "only credentials that still say the same may pass"
    assert len(let_in) < 40, "JSON that was damaged where it does not matter"


# --- paths and bytes


PATHS = (
    "/tile/0/../../x", "/tile/0/..%2f..%2fregistry.key", "/tile/0/%2e%2e/%2e%2e/registry.db", "/tile/0/..\\..\\x",
    "/tile/0/%252e%252e%252fregistry.key", "/tile/0/000/../001", "/tile/0/./000", "/tile//000", "/tile/0//000",
    "/tile/0/000%00", "/tile/0/000%0a", "/tile/0/000.p/", "/tile/0/000.p/0", "/tile/0/000.p/256", "/tile/0/000.p/01",
    "/tile/0/000.p/1/2", "/tile/0/000.p/-1", "/tile/0/000.p/%D9%A1", "/tile/0/%D9%A1%D9%A1%D9%A1", "/tile/0/x000/000",
    "/tile/0/x999/x999/x999/x999/x999/x999/x999/999", "/tile/0/" + "x999/" * 40 + "999", "/tile/63/000", "/tile/64/000",
    "/tile/-1/000", "/tile/00/000", "/tile/1e1/000", "/tile/9223372036854775808/000", "/tile/" + "9" * 500 + "/000",
    "/tile/entries/../checkpoint", "/tile/entries/%2e%2e%2fcheckpoint", "/tile/entries/x001/x002/003.p/300",
    "/tile/entries/" + "0" * 5000, "/tile/entries/", "/tile/data/000", "/tile/0/000?x=%ff", "/checkpoint/..", "/..",
    "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/checkpoint%00", "/v1/log/entries/..%2f..%2f..%2fregistry.key",
    "/v1/log/entries/-1", "/v1/log/entries/1.0", "/v1/log/entries/" + "9" * 4301, "/v1/log/entries/9223372036854775807",
    "/v1/log/entries/%D9%A1", "/v1/log/entries/0x1", "/v1/log/inclusion/9223372036854775807?wait=true",
    "/v1/log/inclusion/0?wait=maybe", "/v1/log/inclusion/0?wait=true&wait=false", "/v1/log/inclusion/1_0",
    "/v1/log/consistency", "/v1/log/consistency?old=1", "/v1/log/consistency?old=1&new=9223372036854775807",
    "/v1/log/consistency?old=2&new=1", "/v1/log/consistency?old=1&old=2&new=3", "/v1/log/consistency?old=%00&new=1",
    "/v1/log/consistency?old=" + "1" * 5000 + "&new=2", "/v1/log/consistency?old[]=1&new={}", "/v1/log/bodies/0",
    "/v1/log/bodies/999999999", "/v1/log/envelopes/" + "0" * 64, "/v1/log/envelopes/..%2f..", "/v1/log/envelopes/%00",
    "/v1/notices/%00/1", "/v1/notices/training/0", "/v1/notices/training/9223372036854775807", "/v1/notices/..%2fx/1",
    "/v1/notices/" + "n" * 5000 + "/1", "/v1/notices/%F0%9F%98%80/1", "/v1/notices/%ff%fe/1", "/v1/campaigns/%00",
    "/v1/campaigns/" + "0" * 64, "/v1/campaigns/x%23y", "/v1/campaigns/x%3Fy=1", "/v1/campaigns/..%2f..%2fhealthz",
    "/v1/campaigns/%ff/snapshot", "/v1/campaigns//snapshot", "/v1/me/consents?x=" + "y" * 5000, "/v1/me/../me",
    "/docs/", "/openapi.json?x", "/static/../registry.key", "/healthz%2f", "/healthz?%",
    "/v1/log/entries/0?" + "a&" * 2000,
)  # fmt: skip


def test_no_path_leads_out_of_the_log_or_into_an_internal_error(site):
    methods = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "BREW")
    callers = ("", *site.keys)
    gone = [Sent("DELETE", path, b"", caller) for path in PATHS for caller in callers if "/me" in path]
    requests = [Sent(method, path) for path in PATHS for method in methods]
    requests += [Sent("GET", path, b"", caller) for path in PATHS for caller in callers]
    answers = site.send([sent for sent in requests if sent not in gone])
    secrets = [(site.house.founded.registry_home / name).read_bytes() for name in ("registry.key", "log.key")]
    for answer in answers:
        assert not any(secret in answer.body for secret in secrets)
        assert b"root:" not in answer.body
        assert b"SQLite format" not in answer.body
    assert len(answers) >= 1200
    site.check()


def test_bodies_that_are_too_large_or_too_deep_are_refused(site):
    targets = {"/v1/log/entries": "aspen", "/v1/subjects": "aspen", "/v1/campaigns": "coordinator", "/v1/decisions": ""}
    for target, caller in targets.items():
        bodies = (b"[" * 200_000, b'{"a":' * 50_000, b'"' + b"x" * 2_000_000, b"9" * 100_000, b'{"tokens":["\\ud800"]}')
        requests = [Sent("POST", target, body, caller) for body in (*bodies, b"\xff\xfe", b"\x00", b"NaN", b"null")]
        assert {answer.status for answer in site.send(requests)} <= {400, 401, 422}
        large = Sent("POST", target, b"x" * (MAX_BODY_BYTES + 1), caller)
        assert site.send([large])[0].status == 413
    site.check()


def test_a_recipient_or_a_borrower_that_the_log_does_not_know_costs_nothing(site):
    entry = {"type": "use.scored", "body": ""}
    stranger = site.house.borrowers["birch"][0].pseudonym
    readers = [{"to": [name]} for name in ("nobody", "registry", "coordinator", "a" * 63)]
    readers += [{"to": ["auditor", "nobody"]}, {"subject": "v1." + "A" * 43}, {"subject": stranger}]
    with site.registry.ledger.read() as session:
        before = site.registry.ledger.log.size(session)
    bodies = [
        json.dumps({"entries": [{**entry, "to": ["auditor"]}, {**entry, **reader}]}).encode() for reader in readers
    ]
    answers = site.send([Sent("POST", "/v1/log/entries", body, "aspen") for body in bodies])
    assert {answer.status for answer in answers} == {404}
    with site.registry.ledger.read() as session:
        assert site.registry.ledger.log.size(session) == before, "all or none"


def test_over_a_socket_bytes_that_are_no_http_are_answered_or_hung_up_on(listening):
    """The server in front sees these; whatever it does, the next caller is served."""
    host, port = httpx.URL(listening.url).host, httpx.URL(listening.url).port
    head = b"POST /v1/decisions HTTP/1.1\r\nHost: x\r\n"
    messages = (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 50,
        b"GET /checkpoint HTTP/1.1\r\n\r\n", b"GET /checkpoint HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /tile/0/../../x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /tile/0/\xff\xfe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET http://elsewhere/checkpoint HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /checkpoint HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        head + b"Content-Length: -1\r\n\r\n", head + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
        head + b"Content-Length: 99999999999999999999\r\n\r\n", head + b"Content-Length: 10\r\n\r\nabc",
        head + b"Content-Length: 17777777\r\n\r\n", head + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
        head + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        head + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n{}",
        head + b"Content-Length: 2\r\nAuthorization: Session \xff\xfe\r\nConnection: close\r\n\r\n{}",
    )  # fmt: skip
    for message in messages:
        with socket.create_connection((host, port), timeout=PATIENCE_S) as connection:
            connection.sendall(message)
            connection.shutdown(socket.SHUT_WR)
            try:
                heard = connection.recv(65536)
            except ConnectionError:
                heard = b""
        assert b" 500 " not in heard.split(b"\r\n", 1)[0], message[:80]
        assert httpx.get(f"{listening.url}/healthz").json()["status"] == "ok"


# --- notes and proofs


def test_damaged_notes_and_proofs_are_refused_in_the_house_s_own_words(site):
    """Readers meet these: whatever was damaged, they refuse with one kind of error, or read the same thing."""
    rng = random.Random(SEED + 4)
    site.registry.ledger.sequencer.settle()
    log = site.registry.ledger.log
    with site.registry.ledger.read() as session:
        note = log.checkpoint(session)
        leaf, proof = log.entry(session, 3).leaf, log.prove_inclusion(session, 3)
    head, told = log.policy.open(note), proof.text.encode()
    for _ in range(1500):
        altered = cut(note.encode(), rng).decode(errors="replace")
        with suppress(CryptoError):
            assert log.policy.open(altered) == head, altered
        text = cut(told, rng).decode(errors="replace")
        with suppress(CryptoError):
            parsed = InclusionProof.parse(text)
            assert parsed.verify(leaf, log.policy) == head
            assert parsed.index == 3
        with suppress(CryptoError):
            Policy.parse(cut(log.policy.text.encode(), rng).decode(errors="replace"))
