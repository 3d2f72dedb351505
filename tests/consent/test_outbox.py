"""Revocations that arrive: delivered to a lender's real inbox, in order, again and again until acknowledged."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from support.house import House, everybody
from support.waiting import until
from support.wire import serve

from clients.inbox import Inbox, inbox_app
from consent.commands.revocations import outstanding
from consent.outbox import INBOXES_FILE, Outbox, load_inboxes
from consent.storage.consents import newest_acknowledged
from crypto.errors import KeyFileError
from crypto.keys import SigningKey
from law.bases import LegalBasis
from ops.processes import free_port
from protocol.coverage import Needs
from protocol.revocations import Acknowledgement, Revocation
from protocol.schema import now


@pytest.fixture
def inbox(house: House) -> Iterator[str]:
    """The real inbox of aspen's node."""
    with serve(inbox_app(Inbox(house.node())), free_port()) as url:
        yield f"{url}/revocations"


def deliver(house: House, url: str, times: int = 1) -> Outbox:
    outbox = Outbox(house.registry, {"aspen": url})
    with httpx.Client() as http:
        for _ in range(times):
            outbox.deliver_due(http)
    return outbox


def reached(house: House, lender: str = "aspen") -> int:
    with house.registry.ledger.read() as session:
        return newest_acknowledged(session, lender)


def log_types(house: House) -> list[str]:
    house.registry.ledger.catch_up()
    head = house.founded.auditor(house.url).head()
    leaves = house.founded.auditor(house.url).leaves(head.size)
    return [leaf.decode().split('"type":"')[1].split('"')[0] for leaf in leaves]


def test_what_is_revoked_is_delivered_acted_on_and_acknowledged_in_the_log(house, inbox):
    leaving = house.consenting()[:3]
    for person in leaving:
        house.withdraw(person)
    deliver(house, inbox)
    assert reached(house) == sum(2 if person.sensitive else 1 for person in leaving)
    assert log_types(house).count("revocations.acknowledged") == 1
    snapshot = house.node().consents.sync(house.client(), house.notice.purpose)
    needs = Needs({}, {}, frozenset({"CN"}), False, LegalBasis.PIPL_CONSENT, frozenset())
    usable = snapshot.usable(everybody(len(snapshot.names)), needs)
    assert not {person.pseudonym for person in leaving} & set(usable.members)


def test_nothing_to_deliver_asks_nobody(house):
    outbox = deliver(house, "http://127.0.0.1:9/revocations")
    assert outbox._patience["aspen"].wait_s == 0


def test_an_inbox_that_is_away_is_tried_again_with_growing_waits_and_loses_nothing(house, inbox):
    house.withdraw(house.consenting()[0])
    outbox = Outbox(house.registry, {"aspen": "http://127.0.0.1:9/revocations"})
    waits = []
    with httpx.Client() as http:
        for _ in range(5):
            outbox.deliver_due(http)
            waits.append(outbox._patience["aspen"].wait_s)
            held = outbox._patience["aspen"].not_before
            outbox.deliver_due(http)
            assert outbox._patience["aspen"].not_before == held, "not before its time"
            outbox._patience["aspen"].not_before = 0.0
    assert waits == [1, 2, 4, 8, 16]
    assert reached(house) == 0
    deliver(house, inbox)
    assert reached(house) > 0


@pytest.mark.parametrize("lie", ["another key", "too far", "another lender", "no token", "endless"])
def test_an_answer_that_is_no_acknowledgement_acknowledges_nothing(house, lie):
    house.withdraw(house.consenting()[0])
    key = house.node().key

    async def answer(request: Request) -> Response:
        number = len((await request.json())["items"])
        told = Acknowledgement(recipient="aspen", number=number, acknowledged_at=now())
        match lie:
            case "another key":
                return JSONResponse({"token": told.sign(SigningKey.generate())})
            case "too far":
                return JSONResponse({"token": told.model_copy(update={"number": 1000}).sign(key)})
            case "another lender":
                return JSONResponse({"token": told.model_copy(update={"recipient": "birch"}).sign(key)})
            case "endless":
                return PlainTextResponse("x" * 1_000_000)
        return JSONResponse({})

    with serve(Starlette(routes=[Route("/r", answer, methods=["POST"])]), free_port()) as url:
        outbox = deliver(house, f"{url}/r")
    assert reached(house) == 0
    assert outbox._patience["aspen"].wait_s > 0


def test_an_inbox_believes_only_the_registry_and_only_what_is_its_own_without_a_gap(house, inbox):
    def revocation(number: int, recipient: str = "aspen", key: SigningKey | None = None) -> str:
        told = Revocation(
            recipient=recipient, number=number, pii_principal_id=house.consenting()[0].pseudonym,
            purpose=house.notice.purpose, sensitivity="ordinary", event_type="withdraw", event_time=now(),
        )  # fmt: skip
        return told.sign(key or house.registry.signing_key)

    for items, status in (
        ([revocation(1, key=SigningKey.generate())], 401),
        ([revocation(1, "birch")], 401),
        ([revocation(1), revocation(3)], 401),
        ([], 422),
        (["x"], 401),
        ([revocation(1)], 200),
    ):
        assert httpx.post(inbox, json={"items": items}).status_code == status
    assert httpx.post(inbox, content=b"{" * 100_000).status_code == 422
    assert httpx.post(inbox, content=b"x" * ((1 << 20) + 1)).status_code == 413


def test_an_inbox_does_not_acknowledge_what_its_node_could_not_act_on(house, inbox):
    house.withdraw(house.consenting()[0])
    outbox = Outbox(house.registry, {"aspen": inbox})
    house.serving.close()  # the registry is not to be reached; it still delivers
    with httpx.Client() as http:
        outbox.deliver_due(http)
    assert reached(house) == 0


def test_an_overdue_acknowledgement_is_seen_by_who_watches(house):
    house.withdraw(house.consenting()[0])
    house.clock.offset = timedelta(minutes=house.founded.consortium.revocation_minutes + 1)
    behind = {found.recipient: found for found in outstanding(house.registry)}
    assert behind["aspen"].overdue is not None
    assert behind["aspen"].overdue.number == 1
    assert behind["birch"].overdue is None


def test_one_inbox_that_cannot_be_called_at_all_stops_no_other_delivery(house, inbox, monkeypatch):
    outbox = Outbox(house.registry, {"birch": "https://birch.example:port/in", "aspen": inbox})
    turn, asked = house.registry.ledger.sequencer.turn, []

    def is_leader():
        asked.append(True)
        if len(asked) == 1:
            raise OSError(28, "no space left on the device")
        return True

    monkeypatch.setattr(turn, "is_leader", is_leader)
    house.withdraw(house.consenting("birch")[0])
    house.withdraw(house.consenting("aspen")[0])
    outbox.start()
    try:
        until(lambda: reached(house) > 0, "the withdrawal was delivered")
    finally:
        outbox.stop()


def test_the_outbox_runs_with_the_registry(house, inbox):
    outbox = Outbox(house.registry, {"aspen": inbox})
    outbox.start()
    try:
        house.withdraw(house.consenting()[0])
        until(lambda: reached(house) > 0, "the withdrawal was delivered")
    finally:
        outbox.stop()


@pytest.mark.parametrize(
    "url",
    [
        "http://aspen.example/in",
        "ftp://aspen.example",
        "https://user:word@aspen.example/in",
        "https://aspen.example:port/in",
        "https://aspen..example/in",
        "https://",
    ],
)
def test_an_inbox_that_is_not_safe_to_call_is_refused_at_the_start(house, url):
    home = house.founded.registry_home
    (home / INBOXES_FILE).write_text('{"inboxes": {"aspen": "%s"}}' % url, encoding="utf-8")  # noqa: UP031
    with pytest.raises(KeyFileError, match="https URL for each lender"):
        load_inboxes(home)
