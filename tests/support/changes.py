"""Borrowers and a lender who change consents without end, and what must be true of a registry whatever happened to it.

Each writer has one request under way at a time, and writes down what it sends before it does and what it was answered
when it was. What was sent and not answered is in doubt: it is sent again, the same, before anything else.

Run as a program, this module is the parent of :func:`lives`: a process that has imported everything once and has no
threads, so that a fork of it is a registry that starts within a fraction of a second.
"""

from __future__ import annotations

import asyncio
import gc
import hmac
import json
import os
import random
import secrets
import subprocess
import sys
from base64 import b64decode
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy import select
from support.asgi import Answered, Sent, call
from support.killing import Killer, Tell
from support.market import shown
from support.observed import entries
from support.world import World, founded, pseudonym, without_limits

from auditlog.fsck import check_log
from auditlog.lease import holder_name
from consent.api.app import create_app
from consent.commands.enrol_subjects import enrol_subjects
from consent.commands.export_consents import export_all
from consent.commands.publish_notice import publish_notice
from consent.home import open_registry
from consent.provisioning import REGISTRY_HOME
from consent.registry import Registry
from consent.storage.tables import ConsentEventRow, ConsentRow, DecisionRow, ImportRow, SubjectRow
from crypto.keys import SigningKey
from crypto.merkle import HASH_SIZE, leaves_reader, tree_root
from demo.borrowers import make_notice
from protocol.consents import Choice, ConsentDecision, decision_commitment
from protocol.enrolment import Enrolment
from protocol.notices import Notice
from protocol.requests import sign_request
from protocol.schema import now
from protocol.states import ConsentStatus, Event, state_after

LENDER = "aspen"
WRITERS = ("statement", "statement", "statement", "decision", "decision", "import")
"""What each writer does: states its consent after logging in, signs a decision, imports answers by the handful."""
IN_IMPORT = 2
RETRY_S = 0.05
Send = Callable[[Sent, str], Awaitable[Answered]]


@dataclass(frozen=True)
class Person:
    pseudonym: str
    seed: str
    """Hex of the key that the person signs with."""

    @property
    def key(self) -> SigningKey:
        return SigningKey(bytes.fromhex(self.seed))


@dataclass(frozen=True)
class Op:
    """One change, as it is sent: again and again the same, under the same Idempotency-Key."""

    writer: int
    number: int
    target: str
    body: str
    key: str


@dataclass
class Ledger:
    """What was sent and what was answered, by writer."""

    made: list[int] = field(default_factory=lambda: [0] * len(WRITERS))
    doubt: dict[int, Op] = field(default_factory=dict)
    done: list[tuple[Op, Any]] = field(default_factory=list)
    replayed: int = 0
    """In doubt, and it turned out to have been done."""
    anew: int = 0
    """In doubt, and done when it was sent again."""
    retries: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    opened: int = 0

    def heard(self, kind: str, what: Any) -> None:
        if kind == "sent":
            self.doubt[what["writer"]] = Op(**what)
        elif kind == "answered":
            op = self.doubt.pop(what["writer"])
            self.made[op.writer] = op.number + 1
            self.done.append((op, what["body"]))
            self.replayed += what["again"] == "done"
            self.anew += what["again"] == "anew"
        elif kind == "retry":
            self.retries[what] += 1
        elif kind == "opened":
            self.opened += 1
        else:
            self.errors.append(what)


@dataclass
class Place:
    """A registry's home with people on its roll, one for each writer and many to be imported."""

    home: Path
    notice: Notice
    people: list[Person]
    lender_key: SigningKey
    imported_from: int
    """Number on the roll of the first who is to be imported."""

    @classmethod
    def founded(cls, home: Path, database: str | None, imports: int) -> Place:
        """``imports``: how many requests of that kind there can be."""
        people = [Person(pseudonym(), os.urandom(32).hex()) for _ in WRITERS]
        enrolled = [
            Enrolment(pseudonym=p.pseudonym, ledger_pseudonym=pseudonym(), public_key=p.key.public.text) for p in people
        ]
        rest = [Enrolment(pseudonym=pseudonym(), ledger_pseudonym=pseudonym()) for _ in range(imports * IN_IMPORT)]
        with founded(World, home / REGISTRY_HOME, database, (LENDER, "birch")) as world:
            without_limits(world.home)
            notice = make_notice(world.registry.consortium, [LENDER, "birch"], 1.0)
            publish_notice(world.registry, notice.sign(world.keys["registry"]))
            enrol_subjects(world.registry, world.party(LENDER), [*enrolled, *rest])
            return cls(home, notice, people, world.keys[LENDER], len(people))

    @property
    def registry(self) -> Path:
        return self.home / REGISTRY_HOME

    def saved(self) -> dict[str, Any]:
        return {
            "home": str(self.home), "notice": self.notice.model_dump(mode="json"),
            "lender_key": self.lender_key.seed.hex(),
            "people": [asdict(person) for person in self.people], "imported_from": self.imported_from,
        }  # fmt: skip

    @classmethod
    def loaded(cls, saved: dict[str, Any]) -> Place:
        return cls(
            Path(saved["home"]), Notice.model_validate(saved["notice"]), [Person(**p) for p in saved["people"]],
            SigningKey(bytes.fromhex(saved["lender_key"])), saved["imported_from"],
        )  # fmt: skip

    # --- what is asked

    def op(self, writer: int, number: int) -> Op:
        """The next change of this writer: people give, withdraw, give again; imports are of people never asked."""
        kind, action = WRITERS[writer], "give" if number % 2 == 0 else "withdraw"
        about = shown(self.notice)
        if kind == "import":
            first = self.imported_from + number * IN_IMPORT
            records = [
                {
                    "number": first + at, "sensitivity": "ordinary", "action": "give" if at else "refuse",
                    "event_time": now().isoformat(), "evidence_sha256": os.urandom(32).hex(),
                }
                for at in range(IN_IMPORT)
            ]  # fmt: skip
            target, body = "/v1/imports", {**about, "channel": "branch", "records": records}
        elif kind == "decision":
            decision = ConsentDecision(
                pii_principal_id=self.people[writer].pseudonym,
                **about,
                choices=(Choice(purpose=self.notice.purpose, recipient=LENDER, sensitivity="ordinary", action=action),),
                event_time=self.notice.published_at - timedelta(minutes=4) + timedelta(milliseconds=number),
                nonce=secrets.token_urlsafe(16),
            )
            target, body = "/v1/decisions", {"tokens": [decision.sign(self.people[writer].key)]}
        else:
            choices = [{"recipient": LENDER, "action": action}]
            target, body = "/v1/me/consents", {**about, "choices": choices}
        return Op(writer, number, target, json.dumps(body), secrets.token_urlsafe(12))

    def signed(self, op: Op) -> tuple[Sent, str]:
        """The request and its Authorization header, made anew each time; /v1/decisions needs none."""
        body, kind = op.body.encode(), WRITERS[op.writer]
        keyed = (("Idempotency-Key", op.key),)
        if kind == "decision":
            return Sent("POST", op.target, body), ""
        person = self.people[op.writer]
        caller, key = (LENDER, self.lender_key) if kind == "import" else (person.pseudonym, person.key)
        return Sent("POST", op.target, body, caller, keyed), "Bearer " + sign_request(
            key, caller, "registry", "POST", op.target, body
        )


# --- writing


async def write(
    place: Place, ledger: Ledger, send: Send, tell: Tell, until: Callable[[], bool] = lambda: False
) -> None:
    """Every writer at once, until ``until``, or until the registry is gone (ConnectionError)."""
    await asyncio.gather(*(_write(place, ledger, writer, send, tell, until) for writer in range(len(WRITERS))))


async def _write(place: Place, ledger: Ledger, writer: int, send: Send, tell: Tell, until: Callable[[], bool]) -> None:
    doubted, number = ledger.doubt.get(writer), ledger.made[writer]
    while doubted is not None or not until():
        again = doubted is not None
        op = doubted or place.op(writer, number)
        doubted = None
        if not again:
            tell("sent", asdict(op))
        how = await _answered(place, op, again, send, tell)
        if how is None:
            return
        tell("answered", {"writer": writer, "body": how[0], "again": how[1] if again else ""})
        number = op.number + 1


async def _answered(place: Place, op: Op, again: bool, send: Send, tell: Tell) -> tuple[Any, str] | None:
    """The answer, however often it takes, and whether what was in doubt had been done; None if it is refused."""
    while True:
        try:
            answer = await send(*place.signed(op))
        except ConnectionError:
            return None
        if answer.status == 201:
            replayed = {name.lower() for name in answer.headers} >= {"idempotent-replayed"}
            return json.loads(answer.body), "done" if replayed else "anew"
        said = answer.body.decode()
        if answer.status == 409 and again and "was recorded before" in said:
            return None if WRITERS[op.writer] != "decision" else ({"recorded": 1}, "done")
        if answer.status == 503:
            retry = {name.lower(): value for name, value in answer.headers.items()}.get("retry-after")
            tell(
                "retry" if retry else "error", json.loads(said)["type"] if retry else f"503 without Retry-After: {said}"
            )
            again = True  # what a 503 did not acknowledge may have been done all the same
            await asyncio.sleep(RETRY_S)
            continue
        tell("error", f"{WRITERS[op.writer]} {op.number}: {answer.status} {said}")
        return None


async def over(url: str, place: Place, ledger: Ledger, enough: Callable[[], bool]) -> None:
    """Write to a registry in another process, until it is gone."""
    async with httpx.AsyncClient(base_url=url, timeout=300) as client:

        async def send(sent: Sent, authorization: str) -> Answered:
            headers = {"Content-Type": "application/json", **dict(sent.headers)}
            headers |= {"Authorization": authorization} if authorization else {}
            try:
                answer = await client.request(sent.method, sent.target, content=sent.body, headers=headers)
            except httpx.TransportError as error:
                raise ConnectionError from error
            return Answered(answer.status_code, dict(answer.headers), answer.content)

        await write(place, ledger, send, ledger.heard, enough)


# --- what must be true


def check(place: Place, ledger: Ledger) -> dict[str, int]:
    """Everything acknowledged is there once with its entry, nothing without one, and asking again is answered alike.

    What is in doubt is settled first, by sending it again. Returns figures.
    """
    registry = open_registry(place.registry)
    try:
        asyncio.run(_settle(place, ledger, registry, create_app(registry), ledger.heard))
        assert not ledger.errors, ledger.errors[:3]
        assert not ledger.doubt
        registry.ledger.sequencer.settle()
        found = check_log(registry.ledger.database, registry.ledger.log)
        assert found.entries == found.integrated == found.published
        _check_rows(registry)
        _check_ops(place, ledger, registry)
    finally:
        registry.close()
    return {
        "entries": found.entries,
        "acknowledged": len(ledger.done),
        "in_doubt_done": ledger.replayed,
        "in_doubt_anew": ledger.anew,
    }


async def _settle(place: Place, ledger: Ledger, registry: Registry, app: FastAPI, tell: Tell) -> None:
    async with app.router.lifespan_context(app):

        async def send(sent: Sent, authorization: str) -> Answered:
            return await call(app, sent, authorization)

        await write(place, ledger, send, tell, until=lambda: True)
        size = _size(registry)
        for op, body in ledger.done[:: max(1, len(ledger.done) // 50)]:
            answer = await send(*place.signed(op))
            if WRITERS[op.writer] == "decision":
                assert answer.status == 409, answer
                continue
            stated = {name.lower(): value for name, value in answer.headers.items()}
            assert (answer.status, stated.get("idempotent-replayed")) == (201, "true"), answer
            assert json.loads(answer.body) == body, "the very answer of the first time"
        assert _size(registry) == size, "asking again did nothing"


def _size(registry: Registry) -> int:
    with registry.ledger.read() as session:
        return registry.ledger.log.size(session)


def _check_rows(registry: Registry) -> None:
    """Decisions, imports and their entries are one to one; events stem from them; states are the fold of events."""
    leaves = entries(registry)
    with registry.ledger.read() as session:
        decisions = dict(session.execute(select(DecisionRow.sha256, DecisionRow.entry_index)).tuples().all())
        imports = session.scalars(select(ImportRow)).all()
        events = session.scalars(
            select(ConsentEventRow).order_by(ConsentEventRow.scope_id, ConsentEventRow.sequence)
        ).all()
        states = {(r.scope_id, r.subject_id, r.sensitivity): r.state for r in session.scalars(select(ConsentRow))}
    decided = [index for index, leaf in enumerate(leaves) if leaf["type"] == "consent.decided"]
    assert sorted(decisions.values()) == decided, "every decision has its entry, every entry its decision"
    brought = [index for index, leaf in enumerate(leaves) if leaf["type"] == "consents.imported"]
    assert sorted(row.entry_index for row in imports) == brought
    for row in imports:
        hashes = [row.leaves[at : at + HASH_SIZE] for at in range(0, len(row.leaves), HASH_SIZE)]
        stated = leaves[row.entry_index]
        assert stated["root"] == tree_root(len(hashes), leaves_reader(hashes)).hex()
        positions = sorted(event.position for event in events if event.import_id == row.id)
        assert positions == list(range(len(hashes))), "every record once"
    by_decision = Counter(event.decision_sha256 for event in events if event.decision_sha256)
    assert by_decision == Counter(dict.fromkeys(decisions, 1)), "every decision once"
    folded: dict[tuple[int, int, str], list[Event]] = {}
    numbers: dict[int, list[int]] = {}
    for event in events:
        folded.setdefault((event.scope_id, event.subject_id, event.sensitivity), []).append(Event(event.event))
        numbers.setdefault(event.scope_id, []).append(event.sequence)
    assert {key: state_after(several) for key, several in folded.items()} == {
        k: ConsentStatus(v) for k, v in states.items()
    }
    assert all(
        len(set(found)) == len(found) and max(found) - min(found) == len(found) - 1 for found in numbers.values()
    )


def _check_ops(place: Place, ledger: Ledger, registry: Registry) -> None:
    """What each writer was told is there: so many changes and no more, each sealed in the entry it was told of."""
    with registry.ledger.read() as session:
        decisions = dict(session.execute(select(DecisionRow.sha256, DecisionRow.entry_index)).tuples().all())
        imports = set(session.scalars(select(ImportRow.entry_index)))
        rolls = dict(session.execute(select(SubjectRow.pseudonym, SubjectRow.id)).tuples().all())
        per_person = Counter(session.scalars(select(DecisionRow.subject_id)))
    done = Counter(op.writer for op, _ in ledger.done)
    for op, body in ledger.done:
        if WRITERS[op.writer] == "statement":
            [recorded] = body["recorded"]
            assert decisions[recorded["receipt"].rpartition("/")[2]] == recorded["entry_index"]
        elif WRITERS[op.writer] == "decision":
            [token] = json.loads(op.body)["tokens"]
            assert ConsentDecision.claimed(token).sha256 in decisions
        else:
            assert body["entry_index"] in imports
    assert len(imports) == sum(done[writer] for writer, kind in enumerate(WRITERS) if kind == "import")
    for writer, kind in enumerate(WRITERS):
        if kind != "import":
            person = place.people[writer]
            assert per_person[rolls[person.pseudonym]] == done[writer], "once, and nothing that nobody asked for"
            _check_bodies(registry, person)


def _check_bodies(registry: Registry, person: Person) -> None:
    """Each entry about this person commits to the decision in its body."""
    for entry in export_all(registry, [person.pseudonym])["log_entries"]:
        body = entry["body"]
        if entry["entry"]["type"] != "consent.decided":
            continue
        payload = body.get("decision") or json.loads(b64decode(body["token"].split(".")[1] + "==", altchars=b"-_"))
        sha256 = ConsentDecision.model_validate(payload).sha256
        stated = decision_commitment(body["salt"], sha256, body["states"])
        assert hmac.compare_digest(stated, entry["entry"]["decision"])


# --- kill -9


@dataclass(frozen=True)
class Killed:
    """What came of :func:`lives`."""

    ledger: Ledger
    busy: int
    """Lives in which something was acknowledged."""


def lives(place: Place, kills: int, most: int, seed: int) -> Killed:
    """Let ``kills`` registries, one after the other, be written to and kill each with signal 9.

    Args:
        most: messages after which a registry is killed, at most.
    """
    order = {"place": place.saved(), "kills": kills, "most": most, "seed": seed}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__],
        input=json.dumps(order).encode(),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        check=True,
    )
    told = json.loads(done.stdout)
    ledger = Ledger()
    for kind, what in told["heard"]:
        ledger.heard(kind, what)
    return Killed(ledger, told["busy"])


def _live(place: Place, ledger: Ledger, registry: Registry, app: FastAPI, tell: Tell) -> None:
    """A process of its own, but for what it need not import and compile again."""
    registry.ledger.log.lease.name, registry.ledger.log.lease.epoch = holder_name(), 0

    async def run() -> None:
        async def send(sent: Sent, authorization: str) -> Answered:
            return await call(app, sent, authorization)

        async with app.router.lifespan_context(app):
            tell("opened", None)
            await write(place, ledger, send, tell)

    asyncio.run(run())


async def _warm_up(place: Place, ledger: Ledger, app: FastAPI, tell: Tell) -> None:
    """Each kind of change a few times: whatever is compiled at its first use is so before the first fork."""

    async def send(sent: Sent, authorization: str) -> Answered:
        return await call(app, sent, authorization)

    async with app.router.lifespan_context(app):
        await write(place, ledger, send, tell, until=lambda: len(ledger.done) > 2 * len(WRITERS))


def _main() -> None:
    order = json.loads(sys.stdin.read())
    place, ledger, heard, busy = Place.loaded(order["place"]), Ledger(), [], 0
    registry = open_registry(place.registry)
    app = create_app(registry)

    def tell(kind: str, what: Any) -> None:
        heard.append([kind, what])
        ledger.heard(kind, what)

    asyncio.run(_warm_up(place, ledger, app, tell))
    registry.close()
    gc.freeze()
    killer = Killer(random.Random(order["seed"]), order["most"])
    for _ in range(order["kills"]):
        told = killer.life(partial(_live, place, ledger, registry, app))
        for kind, what in told:
            ledger.heard(kind, what)
        heard += told
        busy += any(kind == "answered" for kind, _ in told)
    json.dump({"heard": heard, "busy": busy}, sys.stdout)


if __name__ == "__main__":
    _main()
