"""Whatever the delivery of the outbox runs into, it goes on, and readiness shows it."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest
from support.counter import Counter, StandInLog, apply_together, counter
from support.waiting import until
from support.world import pseudonym

from crypto.keys import SigningKey
from desk.commands.apply import DecidedApplication, LoanWanted
from protocol.errors import RegistryUnavailable
from protocol.uses import UseStatement


class BrokenEdge(StandInLog):
    """Fails at the edge, as a library or a machine does, until it is mended."""

    raises: Exception | None = None
    tried: int = 0

    def log_uses(self, tokens):
        self.tried += 1
        if self.raises is not None and self.delivering(tokens):
            raise self.raises
        return super().log_uses(tokens)

    def delivering(self, tokens) -> bool:
        """What is read is logged before anything is decided, and by another way."""
        return any("use.scored" in step for step in map(self.step_of, tokens))

    def step_of(self, token: str) -> str:
        return UseStatement.verify(token, self.key.public).step


@pytest.fixture
def broken(tmp_path: Path):
    with counter(tmp_path / "desk.db", log=BrokenEdge(SigningKey.generate())) as found:
        yield found


def edge(desk: Counter) -> BrokenEdge:
    assert isinstance(desk.log, BrokenEdge)
    return desk.log


def decides(desk: Counter) -> None:
    """Somebody is decided on; nobody waits for the log."""
    [made] = apply_together(desk.desk, [(LoanWanted(pseudonym(), "small", 500_000, 30, "a fridge"), None)])
    assert isinstance(made, DecidedApplication)


@pytest.mark.parametrize("error", [OSError("disk of v1.8Jk"), KeyError("v1.8Jk"), ValueError("v1.8Jk"), MemoryError()])
def test_it_goes_on_and_readiness_shows_it(broken: Counter, caplog: pytest.LogCaptureFixture, error: Exception):
    log = edge(broken)
    assert broken.http.get("/readyz").json() == {"status": "ok"}
    log.raises = error
    with caplog.at_level(logging.WARNING, "tahini.desk"):
        decides(broken)
        until(lambda: broken.http.get("/readyz").status_code == 503, "readiness showed it")
        tried = log.tried
        until(lambda: log.tried > tried + 1, "it was tried again")
    told = broken.http.get("/readyz")
    assert told.json()["type"] == "urn:tahini:problem:outbox-stands"
    assert type(error).__name__ in told.text and "v1.8Jk" not in told.text
    assert "v1.8Jk" not in caplog.text and type(error).__name__ in caplog.text
    assert broken.http.get("/healthz").status_code == 200
    log.raises = None
    until(lambda: "use.scored" in log.steps(), "it was delivered")
    until(lambda: broken.http.get("/readyz").status_code == 200, "it was ready again")


def test_a_log_that_is_away_is_told_and_loans_are_serviced_on(broken: Counter):
    log = edge(broken)
    loan = broken.lent()
    log.raises = RegistryUnavailable("the log does not answer")
    decides(broken)
    until(lambda: "outbox" in broken.http.get("/readyz").json(), "it was told")
    told = broken.http.get("/readyz")
    assert (told.status_code, told.json()["outbox"]) == (200, "RegistryUnavailable")
    assert broken.repays(loan["id"], "in-1", 1_000).status_code == 201


def test_a_delivery_that_ended_is_not_ready(broken: Counter):
    sender = broken.desk.sender
    sender._stopping = True  # type: ignore[attr-defined]
    sender._news.set()  # type: ignore[attr-defined]
    until(lambda: broken.http.get("/readyz").status_code == 503, "readiness showed it")
    assert "ended" in broken.http.get("/readyz").json()["detail"]


def test_a_clock_that_went_back_is_not_ready(broken: Counter):
    """It records nothing then, so no request belongs there."""
    loan = broken.lent()["id"]
    broken.clock.move(days=-2)
    told = broken.http.get("/readyz")
    assert (told.status_code, told.json()["type"]) == (503, "urn:tahini:problem:clock-wrong")
    assert broken.repays(loan, "in-1", 1_000).status_code == 503
    assert broken.http.get("/healthz").status_code == 200
    broken.clock.move(days=2)
    assert broken.http.get("/readyz").json() == {"status": "ok"}


@pytest.mark.parametrize("which", ["desk-writer", "desk-applying", "desk-applying-on"])
def test_what_decides_or_records_and_has_ended_is_not_ready(broken: Counter, which: str):
    assert broken.http.get("/readyz").status_code == 200
    courses = broken.http.app.state.side_by_side  # type: ignore[attr-defined]
    held = {"desk-writer": broken.desk.transactions._writer, "desk-applying": courses._beginning,
            "desk-applying-on": courses._going_on}[which]  # fmt: skip
    thread, ended = held._running[0], threading.Thread(target=int)
    ended.start()
    ended.join()
    held._running[0] = ended
    try:
        told = broken.http.get("/readyz")
        assert (told.status_code, told.json()["type"]) == (503, "urn:tahini:problem:threads-ended")
    finally:
        held._running[0] = thread
    assert broken.http.get("/readyz").status_code == 200
