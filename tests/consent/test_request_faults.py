"""Requests under kill -9: every step that was acknowledged is there with its log entry, and none without one."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from support.effort import effort
from support.killing import kill_soon
from support.world import Person, World, founded

from auditlog.fsck import check_log
from consent.commands.enrol_subjects import enrol_subjects
from consent.commands.request_steps import OpenRequest
from consent.home import opened
from consent.storage.request_tables import RequestMarkRow, RightsRequestRow
from consent.transaction import reading
from protocol.rights import WHOLE_PERSON, status_after

PEOPLE = 40
LIFE = """
import itertools, json, sys
from consent.commands.answer_requests import answer_request, close_own_request, mark_request
from consent.commands.receive_requests import state_request
from consent.home import opened
from crypto.keys import SigningKey
from pathlib import Path
from protocol.rights import RequestContent, RightsAnswer
told = json.loads(sys.stdin.readline())
key = SigningKey(bytes.fromhex(told["key"]))
def say(done):
    print(json.dumps([done["request_sha256"], done["status"], done["entry_index"]]), flush=True)
with opened(Path(told["home"])) as registry:
    aspen = registry.consortium.party("aspen")
    for name in told["people"]:
        done = state_request(registry, [name], "aspen", RequestContent(kind="object"), "")
        say(done)
        sha256 = done["request_sha256"]
        say(mark_request(registry, aspen, sha256))
        answer = RightsAnswer(lender="aspen", request_sha256=sha256, outcome="granted", text="done", language="en",
                              answered_at=registry.clock())
        say(answer_request(registry, aspen, sha256, answer.sign(key), None))
        say(close_own_request(registry, [name], sha256))
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request, tmp_path) -> Iterator[World]:
    url = request.getfixturevalue("postgresql")() if request.param == "postgresql" else None
    with founded(World, tmp_path / "world", url) as made:
        yield made


def life(world: World, people: list[str], rng: random.Random) -> list[list]:
    """What a process said of its steps until it was killed in the middle of one."""
    command = [sys.executable, "-c", LIFE]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
    assert process.stdin is not None
    assert process.stdout is not None
    told = {"home": str(world.home), "people": people, "key": world.keys["aspen"].seed.hex()}
    process.stdin.write(json.dumps(told) + "\n")
    process.stdin.flush()
    lines = [process.stdout.readline()]
    kill_soon(process, lambda: lines.append(process.stdout.readline()), rng)
    lines += process.stdout.readlines()
    assert process.wait() != 0, "it was killed before it had done everything"
    return [json.loads(line) for line in lines if line.endswith("\n")]


def check(home: Path, said: list[list]) -> None:
    with opened(home) as registry:
        registry.ledger.sequencer.settle()
        check_log(registry.ledger.database, registry.ledger.log)
        with reading(registry) as view:
            held = {}
            for row in view.session.scalars(select(RightsRequestRow)):
                request = OpenRequest.of(view, row.sha256, "aspen")
                steps = request.steps(view)
                for step in steps:
                    leaf = registry.ledger.log.entry(view.session, step.entry_index).leaf
                    request.opened(view, step).proved_by(leaf)
                    held[row.sha256, step.entry_index] = status_after(one.event for one in steps[: step.number])
                assert row.status is status_after(step.event for step in steps)
                assert view.session.get(RequestMarkRow, (row.id, WHOLE_PERSON))
            for sha256, status, index in said:
                assert held[sha256, index] == status
            logged = [leaf for leaf in registry.ledger.log.leaves(view.session, 0, 10**6) if b'"request.' in leaf]
            assert len(logged) == len(held), "no entry without its step"


def test_kill_9_between_steps_loses_nothing_that_was_acknowledged(world):
    people = world.people["aspen"] = [Person("aspen") for _ in range(PEOPLE)]
    enrol_subjects(world.registry, world.party("aspen"), [person.enrolment for person in people])
    world.registry.close()
    rng, said = random.Random(31), []
    lives = effort(20, 2)
    for number in range(lives):
        mine = [person.pseudonym for person in people[number * PEOPLE // lives :]]
        said += life(world, mine, rng)
        check(world.home, said)
    assert len(said) >= lives
