"""A customer at the desk: with a token of their own, for what is theirs, and for nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.counter import BAD, GOOD, Counter, counter, some_id
from support.world import pseudonym

from crypto.keys import b64
from desk.customers import GOOD_FOR, CustomerTokens
from desk.errors import NotACustomer
from desk.sealing import AtRest
from desk.vouching import RegistryVouches
from protocol.errors import Conflict, NotAuthenticated, RegistryUnavailable

MINE = "/v1/me/applications"
WANTED = {"product": "small", "amount": 500_000, "term_days": 30, "purpose": "a fridge"}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Counter]:
    with counter(tmp_path / "desk.db") as opened:
        yield opened


def of(desk: Counter, person: str) -> dict[str, str]:
    token = CustomerTokens(desk.desk.at_rest).give(person, desk.clock())
    return {"Authorization": f"Bearer {token}"}


def applies(desk: Counter, person: str, late: int = GOOD, **headers: str) -> dict[str, Any]:
    desk.book.values["late"] = late
    made = desk.http.post(MINE, json=WANTED, headers={**of(desk, person), **headers})
    assert made.status_code == 201, made.text
    return dict(made.json())


def test_a_customer_sees_and_does_what_is_theirs_and_nothing_else(desk: Counter):
    ada, eve = pseudonym(), pseudonym()
    made = applies(desk, ada)
    mine = f"{MINE}/{made['id']}"
    reads = [mine, f"{mine}/disclosure", f"{mine}/letter", f"/v1/me/decisions/{made['decision']['id']}/receipt"]
    for path in reads:
        assert desk.http.get(path, headers=of(desk, eve)).status_code == 404, path
    for verb in ("acceptance", "withdrawal", "contest"):
        body = {"decision": made["decision"]["id"], "disclosure_sha256": "d" * 64} if verb == "acceptance" else None
        assert desk.http.post(f"{mine}/{verb}", json=body, headers=of(desk, eve)).status_code == 404, verb
    assert desk.http.get(MINE, headers=of(desk, eve)).json() == {"items": []}
    assert [one["id"] for one in desk.http.get(MINE, headers=of(desk, ada)).json()["items"]] == [made["id"]]
    assert desk.http.get(mine, headers=of(desk, ada)).json()["may"] == ["accept", "contest", "withdraw"]


def test_a_loan_is_its_borrowers(desk: Counter):
    loan = desk.lent()["id"]
    for path in (f"/v1/me/loans/{loan}", f"/v1/me/loans/{loan}/extension?days=7"):
        assert desk.http.get(path, headers=of(desk, pseudonym())).status_code == 404
    body = {"days": 7, "terms_sha256": "0" * 64}
    asked = desk.http.post(f"/v1/me/loans/{loan}/extensions", json=body, headers=of(desk, pseudonym()))
    assert asked.status_code == 404


def test_a_customers_token_ends_and_nobody_makes_one(desk: Counter):
    person = pseudonym()
    headers = of(desk, person)
    assert desk.http.get(MINE, headers=headers).status_code == 200
    said, _, tag = headers["Authorization"].removeprefix("Bearer ").partition(".")
    other = b64(json.dumps([pseudonym(), 4_000_000_000]).encode())
    for token in (f"{other}.{tag}", f"{said}.", said, ".", "", f"{said}.{tag}.x", "é.é", f"{said}.{'A' * 43}"):
        sent = {"Authorization": f"Bearer {token}".encode()}
        assert desk.http.get(MINE, headers=sent).status_code == 401, token  # type: ignore[arg-type]
    foreign = CustomerTokens(AtRest(b"x" * 32)).give(person, desk.clock())
    assert desk.http.get(MINE, headers={"Authorization": f"Bearer {foreign}"}).status_code == 401
    desk.clock.move(seconds=GOOD_FOR.total_seconds() + 1)
    assert desk.http.get(MINE, headers=headers).status_code == 401


def test_tokens_of_systems_and_customers_open_nothing_of_each_others(desk: Counter):
    assert desk.call("origination", "GET", MINE).status_code == 401
    assert desk.http.get("/v1/applications", headers=of(desk, pseudonym())).status_code == 401


def test_the_same_application_sent_twice_is_one(desk: Counter):
    person, key = pseudonym(), some_id()
    first = applies(desk, person, **{"Idempotency-Key": key})
    again = applies(desk, person, **{"Idempotency-Key": key})
    assert first["id"] == again["id"] and len(desk.http.get(MINE, headers=of(desk, person)).json()["items"]) == 1
    # the same key of somebody else is another command
    assert applies(desk, pseudonym(), **{"Idempotency-Key": key})["id"] != first["id"]


def test_reasons_are_told_with_the_values_that_were_used_and_from_whom(desk: Counter):
    [reason] = applies(desk, pseudonym(), BAD)["decision"]["reasons"]
    [used] = reason["rests_on"]
    assert (used["name"], used["value"], used["source"], used["data"]) == ("late", str(BAD), "book", ["repayment"])
    assert set(reason["words"]) == {"en", "zh"}


def test_who_asks_for_a_person_is_told_until_when(desk: Counter):
    person = pseudonym()
    made = applies(desk, person, BAD)
    asked = desk.http.post(f"{MINE}/{made['id']}/contest", json={"view": "It was two."}, headers=of(desk, person))
    found = asked.json()
    assert (asked.status_code, found["status"], found["review"]["status"]) == (201, "in-review", "waiting")
    assert found["review"]["until"] > found["review"]["opened_at"] and "contest" not in found["may"]


def test_without_somebody_who_vouches_no_customer_comes_in(desk: Counter):
    assert desk.http.post("/v1/me/sessions", headers={"Authorization": "Bearer x"}).status_code == 401


@pytest.mark.parametrize(
    ("status", "body", "refused"),
    [
        (401, {}, NotAuthenticated),
        (403, {}, NotACustomer),
        (503, {}, RegistryUnavailable),
        (200, {"lender": "birch", "pseudonyms": [pseudonym()]}, NotACustomer),
        (200, {"lender": "aspen", "pseudonyms": []}, RegistryUnavailable),
        (200, {"lender": "aspen", "pseudonyms": [pseudonym(), pseudonym()]}, Conflict),
    ],
)
def test_who_somebody_is_the_registry_says_or_nobody(status: int, body: dict, refused: type[Exception]):
    answer = httpx.MockTransport(lambda _: httpx.Response(status, json=body))
    vouches = RegistryVouches(httpx.Client(base_url="https://registry.example", transport=answer), "aspen")
    with pytest.raises(refused):
        vouches("token")
