"""Commands run in this process, what they print and how they refuse, and a log that is served for them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner, Result
from support.wire import serve

from consent.api.log import create_log_app
from consent.commands.enrol_subjects import enrol_subjects
from consent.home import open_registry
from consent.provisioning import REGISTRY_HOME
from consent.registry import Registry
from crypto.keys import SigningKey, b64
from ops.processes import free_port
from protocol.enrolment import Enrolment
from tahini import main

ORIGIN = "audit.example.com/loans"


def tahini(*arguments: object, given: str | bytes | None = None) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=given)


def done(*arguments: object, given: str | bytes | None = None) -> str:
    """What a command printed, after it succeeded without a word on standard error."""
    result = tahini(*arguments, given=given)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def told(*arguments: object, given: str | bytes | None = None) -> object:
    return json.loads(done(*arguments, "--json", given=given))


def refused(*arguments: object, given: str | bytes | None = None, code: int = 1) -> str:
    """The one sentence with which a command refused."""
    result = tahini(*arguments, given=given)
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.stdout == ""
    assert result.stderr.startswith("tahini: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    return result.stderr.removeprefix("tahini: ").strip()


@dataclass(frozen=True)
class Book:
    """A founded log of three people and five entries, being served."""

    home: Path
    url: str
    registry: Registry

    @property
    def registry_home(self) -> Path:
        return self.home / REGISTRY_HOME

    @property
    def reading(self) -> tuple[object, ...]:
        """How the log is read, once all that was appended is under a published head: an answer does not wait for it."""
        self.registry.ledger.catch_up()
        return ("--policy", self.home / "log.policy", "--url", self.url)

    @property
    def pinned(self) -> tuple[object, ...]:
        return ("--consortium", self.home / "consortium.jws", "--registry-key", self.home / "registry.pub")

    def as_party(self, name: str = "aspen") -> tuple[object, ...]:
        return ("--url", self.url, *self.pinned, "--party", name, "--key", self.home / name / f"{name}.key")


def people(count: int) -> list[Enrolment]:
    return [
        Enrolment(
            pseudonym=f"v1.{b64(os.urandom(32))}",
            ledger_pseudonym=f"v1.{b64(os.urandom(32))}",
            public_key=SigningKey.generate().public.text,
        )
        for _ in range(count)
    ]


ENTRIES = [
    {"type": "use.read", "to": ["auditor"], "counts": {"rows": 120}, "body": b64("why ä".encode())},
    {"type": "use.scored", "to": ["auditor", "coordinator"], "hashes": {"model": "0" * 64}},
    {"type": "review.made", "to": ["auditor"], "campaign": "1" * 64},
    {"type": "system.started", "to": ["auditor"]},
]


@contextmanager
def served_book(home: Path) -> Iterator[Book]:
    done("log", "init", "--home", home, "--origin", ORIGIN, "--lender", "aspen", "--lender", "birch", "--no-quorum")
    registry = open_registry(home / REGISTRY_HOME)
    enrol_subjects(registry, registry.consortium.party("aspen"), people(3))
    with serve(create_log_app(registry), free_port()) as url:
        made = Book(home, url, registry)
        lines = home / "entries.jsonl"
        lines.write_text("".join(json.dumps(entry) + "\n\n" for entry in ENTRIES), encoding="utf-8")
        assert told("log", "append", "--entries", lines, *made.as_party()) == {"first": 1, "count": 4}
        registry.ledger.catch_up()
        yield made
    registry.close()


def new_log(tmp_path: Path) -> Path:
    """A registry's home that nobody serves."""
    done("log", "init", "--home", tmp_path / "log", "--origin", ORIGIN, "--lender", "aspen", "--no-quorum")
    return tmp_path / "log" / REGISTRY_HOME


APPEND = ("log", "append", "--to", "auditor")
