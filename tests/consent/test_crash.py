"""Killing the registry at any instruction loses nothing that was acknowledged (invariant 3)."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time

import httpx
import pytest
from sqlalchemy import select
from support.effort import effort
from support.house import build

from consent.client import RegistryClient
from consent.documents import Receipt
from consent.errors import ConsentError
from consent.registry import open_registry
from consent.storage.tables import ConsentEventRow, DecisionRow
from crypto.merkle import leaf_hash, leaves_reader, tree_root
from demo.services import free_port

KILLS = effort(7)


def start(home, port: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "tahini", "registry", "serve", "--home", str(home), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(400):
        try:
            if httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=1).is_success:
                return process
        except httpx.TransportError:
            time.sleep(0.05)
    pytest.fail("the registry did not start")


def check(home, acknowledged: list[Receipt]) -> None:
    """Every acknowledged decision is there once with its entry, nothing is there without one, and the log is whole."""
    registry = open_registry(home)
    try:
        registry.sequencer.settle()
        with registry.database.read() as session:
            size = registry.log.size(session)
            leaves = [registry.log.entry(session, index).leaf for index in range(size)]
            head = registry.log.policy.open(registry.log.checkpoint(session))
            decisions = {row.sha256: row.entry_index for row in session.scalars(select(DecisionRow))}
            with_event = set(session.scalars(select(ConsentEventRow.decision_sha256)))
    finally:
        registry.close()
    assert head.root == tree_root(size, leaves_reader([leaf_hash(leaf) for leaf in leaves]))
    decided = [index for index, leaf in enumerate(leaves) if json.loads(leaf)["type"] == "consent.decided"]
    assert sorted(decisions.values()) == decided
    assert set(decisions) == with_event
    assert {receipt.decision_sha256 for receipt in acknowledged} <= set(decisions)


@pytest.mark.timeout(200)
def test_kill_9_under_load_loses_nothing_that_was_acknowledged(tmp_path):
    with build(tmp_path / "house", people=150) as house:
        tokens = [
            person.first_answer(house.notice, True)
            for people in house.borrowers.values()
            for person in people
            if person.answer != "silent"
        ]
        consortium = house.founded.consortium
        house.stop_registry()
        home = tmp_path / "house" / "registry"
        rng = random.Random(5)
        acknowledged: list[Receipt] = []
        waiting = iter(tokens)
        for _ in range(KILLS):
            port = free_port()
            process = start(home, port)
            stop = threading.Event()

            def load(port: int = port, stop: threading.Event = stop) -> None:
                client = RegistryClient(f"http://127.0.0.1:{port}", consortium)
                for token in waiting:
                    try:
                        acknowledged.extend(client.decide([token]))
                    except ConsentError:
                        break
                    if stop.is_set():
                        break
                client.close()

            thread = threading.Thread(target=load)
            thread.start()
            time.sleep(rng.uniform(0.1, 0.6))
            process.kill()
            process.wait()
            stop.set()
            thread.join()
            check(home, acknowledged)
        assert len(acknowledged) > KILLS, "the load reached the registry between kills"
