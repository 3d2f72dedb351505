"""``tahini log``, ``tahini keys``, ``tahini witness show``: what they print, as text and JSON, and how they refuse."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result
from support.waiting import until
from support.wire import serve

from clients.witness import LenderWitness
from consent.api.log import create_log_app
from consent.commands.enrol_subjects import enrol_subjects
from consent.home import open_registry
from consent.provisioning import REGISTRY_HOME
from consent.registry import Registry
from crypto.cosignatures import Cosigner, Kind
from crypto.keys import SigningKey, b64, load_signing_key
from crypto.notes import Checkpoint, Verifier, sign_checkpoint
from crypto.policies import Policy
from crypto.witnessing import AddCheckpoint
from demo.consortium import found
from ops.processes import free_port
from privacy.charges import Budget
from protocol.enrolment import Enrolment
from protocol.schema import now
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
    {"type": "incident.opened", "to": ["auditor"]},
]


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    home = tmp_path_factory.mktemp("cli") / "mylog"
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


# --- init and append


def test_init_founds_a_log_and_says_how_to_go_on(tmp_path):
    said = done("log", "init", "--home", tmp_path / "log", "--origin", ORIGIN, "--lender", "aspen", "--no-quorum")
    assert f"founded the log {ORIGIN}" in said
    assert "registry, coordinator, auditor, aspen" in said
    assert "tahini log serve --home" in said
    made = told("log", "init", "--home", tmp_path / "other", "--origin", ORIGIN, "--no-quorum")
    assert made["parties"] == ["registry", "coordinator", "auditor"]
    policy = Policy.parse(made["policy"])
    assert policy.logs[0].verifier.name == ORIGIN
    assert (tmp_path / "other" / "log.policy").read_text(encoding="utf-8") == made["policy"]
    for name in ("aspen/aspen.key", "auditor/auditor.recipient.key", "registry/registry.key", "registry/log.key"):
        assert (tmp_path / "log" / name).stat().st_mode & 0o077 == 0


def test_init_refuses_what_it_cannot_found(tmp_path):
    assert "exists already" in refused("log", "init", "--home", tmp_path, "--origin", ORIGIN, "--no-quorum")
    assert "not a key name" in refused("log", "init", "--home", tmp_path / "a", "--origin", "two words", "--no-quorum")
    assert refused("log", "init", "--home", tmp_path / "b", "--origin", ORIGIN, "--lender", "No Slug", "--no-quorum")
    assert refused(
        "log", "init", "--home", tmp_path / "c", "--origin", ORIGIN, "--database", "mysql://x", "--no-quorum"
    )


def test_append_in_the_registry_s_own_home(tmp_path):
    home = new_log(tmp_path)
    body = tmp_path / "reason.json"
    body.write_text('{"why": "audit"}', encoding="utf-8")
    common = ("log", "append", "--home", home, "--type", "use.read", "--to", "auditor")
    assert done(*common, "--body", body, "--count", "rows=120").strip() == "entry 0"
    assert told(*common, "--body", "-", "--hash", f"dataset={'a' * 64}", given=b"\xff\x00") == {"first": 1, "count": 1}
    lines = tmp_path / "entries.jsonl"
    lines.write_text(
        "".join(json.dumps({"type": "use.read", "to": ["auditor"]}) + "\n" for _ in range(300)), encoding="utf-8"
    )
    assert done("log", "append", "--home", home, "--entries", lines).strip() == "entry 2 to 301"
    assert told("log", "fsck", "--home", home)["entries"] == 302


def test_append_over_http_as_a_party(book):
    before = book.registry.ledger.log.origin, told("log", "tail", "-n", "1", *book.reading)["index"]
    said = done("log", "append", "--type", "use.exported", "--to", "auditor", *book.as_party("coordinator"))
    assert said.strip() == f"entry {before[1] + 1}"
    book.registry.ledger.catch_up()  # it is durable when it is acknowledged, and published a moment later
    shown = told("log", "show", before[1] + 1, *book.reading)
    assert (shown["leaf"]["type"], shown["leaf"]["actor"]) == ("use.exported", "coordinator")


APPEND = ("log", "append", "--to", "auditor")


def test_append_refuses_an_entry_that_does_not_fit(book, tmp_path):
    large = tmp_path / "large"
    large.write_bytes(b"x" * 70_000)
    just_too_large = tmp_path / "just"
    just_too_large.write_bytes(b"x" * 65_537)
    party = book.as_party()
    before = told("log", "tail", "-n", "1", *book.reading)["index"]
    assert "counts" in refused(*APPEND, "--type", "use.read", "--count", "rows=many", *party)
    assert "counts" in refused(*APPEND, "--type", "use.read", "--count", "rows", *party)
    assert "counts" in refused(*APPEND, "--type", "use.read", "--count", "rows=-1", *party)
    assert "hashes" in refused(*APPEND, "--type", "use.read", "--hash", "model=xyz", *party)
    assert "campaign" in refused(*APPEND, "--type", "use.read", "--campaign", "nonsense", *party)
    assert "type" in refused(*APPEND, "--type", "consent.decided", *party)
    assert "type" in refused(*APPEND, "--type", "no type", *party)
    assert "sealed either" in refused("log", "append", "--type", "use.read", *party)
    assert "sealed either" in refused(*APPEND, "--subject", f"v1.{'A' * 43}", "--type", "use.read", *party)
    assert "'nobody'" in refused("log", "append", "--to", "nobody", "--type", "use.read", *party)
    assert "not enrolled" in refused("log", "append", "--subject", f"v1.{'A' * 43}", "--type", "use.read", *party)
    assert "body" in refused(*APPEND, "--type", "use.read", "--body", large, *party)
    assert "65536 bytes" in refused(*APPEND, "--type", "use.read", "--body", just_too_large, *party)
    assert "No such file" in refused(*APPEND, "--type", "use.read", "--body", tmp_path / "missing", *party)
    assert told("log", "tail", "-n", "1", *book.reading)["index"] == before, "nothing was recorded"


def test_append_refuses_who_may_not_or_does_not_say_who(book, tmp_path):
    entry = (*APPEND, "--type", "use.read")
    assert "say who appends" in refused(*entry, "--url", book.url)
    assert "--consortium" in refused(*entry, "--party", "aspen", "--key", book.home / "aspen" / "aspen.key")
    assert "auditor" in refused(*entry, *book.as_party("auditor"))
    aspen, birch = book.as_party(), book.as_party("birch")
    assert "signature" in refused(*entry, *aspen[:-1], birch[-1]), "a key of somebody else's"
    assert "not a party" in refused(*entry, *aspen[:-3], "nobody", *aspen[-2:])
    assert "No such file" in refused(*entry, *aspen[:-1], tmp_path / "missing.key")
    readable = tmp_path / "readable.key"
    readable.write_bytes(load_signing_key(aspen[-1]).seed)
    readable.chmod(0o644)
    assert "chmod 600" in refused(*entry, *aspen[:-1], readable)
    wrong = tuple(SigningKey.generate().public.text if a == book.home / "registry.pub" else a for a in aspen)
    assert "does not verify" in refused(*entry, *wrong)
    lost = tuple(tmp_path / "missing.jws" if a == book.home / "consortium.jws" else a for a in aspen)
    assert "cannot read the consortium document" in refused(*entry, *lost)


def test_append_refuses_a_file_that_does_not_hold_entries(book, tmp_path):
    lines = tmp_path / "entries.jsonl"
    for content in (
        b"no json\n",
        b'{"type": "use.read"}\n',
        b'{"type": "use.read", "to": ["auditor"], "x": 1}\n',
        b"\xff\n",
    ):
        lines.write_bytes(content)
        assert refused("log", "append", "--entries", lines, *book.as_party())
    lines.write_text(json.dumps({"type": "use.read", "to": ["auditor"], "body": "no base64!"}), encoding="utf-8")
    assert "base64url" in refused("log", "append", "--entries", lines, *book.as_party())


def test_append_refuses_a_file_without_entries(book, tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n\n", encoding="utf-8")
    assert refused("log", "append", "--entries", tmp_path / "empty.jsonl", *book.as_party())


def test_a_home_that_another_process_writes_to_is_read_but_not_written(book):
    home = book.registry_home
    assert "another process writes to this log" in refused(*APPEND, "--home", home, "--type", "use.read")
    assert "another process writes to this log" in refused("keys", "rotate", "--home", home)
    assert told("log", "fsck", "--home", home)["whole"] is True


def test_a_home_without_a_registry_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    home = ("--home", tmp_path / "empty")
    for command in (
        ("log", "fsck", *home),
        ("log", "serve", *home),
        ("log", "append", *home, "--type", "use.read", "--to", "auditor"),
        ("log", "export", *home, "--from", "2026-01-01", "--to", "2026-12-31"),
        ("keys", "status", *home),
        ("keys", "rotate", *home),
        ("keys", "backup", *home, tmp_path / "b.json"),
    ):
        assert "registry.key" in refused(*command)
    home = new_log(tmp_path)
    (home / "consortium.jws").unlink()
    assert "not the home of a registry that was founded" in refused("log", "fsck", "--home", home)
    assert tahini("log", "fsck", "--home", tmp_path / "nowhere").exit_code == 2


# --- tail, show, prove, verify


def test_tail_shows_the_newest_skeletons(book):
    lines = done("log", "tail", "-n", "100", *book.reading).splitlines()
    assert [line.split()[0] for line in lines] == [str(number) for number in range(len(lines))]
    assert "subjects.enrolled" in lines[0]
    assert "use.read" in lines[1]
    assert "{'sealed': ['rows']}" in lines[1]
    assert "120" not in lines[1]
    objects = [json.loads(line) for line in done("log", "tail", "-n", "3", "--json", *book.reading).splitlines()]
    assert [found["index"] for found in objects] == list(range(len(lines) - 3, len(lines)))
    assert objects[-1]["actor"] in {"aspen", "coordinator"}
    assert done("log", "tail", "-n", "0", *book.reading) == ""


def test_readers_refuse_a_log_that_is_not_the_one_they_pinned(book, tmp_path):
    policy = tmp_path / "log.policy"
    read = ("--policy", policy, "--url", book.url)
    assert "cannot read the policy" in refused("log", "tail", *read)
    for text, reason in {
        "log nonsense\nquorum none\n": "line 1",
        "no policy": "newline",
        f"log {Verifier(ORIGIN, SigningKey.generate().public).vkey}\nquorum none\n": "cannot be believed",
        f"log {Verifier('elsewhere', book.registry.ledger.log.key.public).vkey}\nquorum none\n": "cannot be believed",
    }.items():
        policy.write_text(text, encoding="utf-8")
        for command in (("tail",), ("show", "0"), ("prove", "0")):
            assert reason in refused("log", *command, *read)
    policy.write_bytes(b"\xff\xfe")
    assert "not text" in refused("log", "tail", *read)
    nobody = ("--policy", book.home / "log.policy", "--url", f"http://127.0.0.1:{free_port()}")
    assert "does not answer" in refused("log", "tail", *nobody)
    assert "does not answer" in refused("log", "tail", *nobody[:3], "no url at all")


def test_a_log_without_entries_says_so(tmp_path):
    home = new_log(tmp_path)
    registry = open_registry(home)
    with serve(create_log_app(registry), free_port()) as url:
        reading = ("--policy", tmp_path / "log" / "log.policy", "--url", url)
        assert "no checkpoint" in refused("log", "tail", *reading)
        assert refused("log", "show", "0", *reading)
    registry.close()
    assert "no checkpoint" in refused("log", "export", "--home", home, "--from", "2026-01-01", "--to", "2026-12-31")


def test_show_shows_one_entry_and_to_the_auditor_its_body(book):
    plain = told("log", "show", "1", *book.reading)
    assert plain == json.loads(done("log", "show", "1", *book.reading))
    assert plain["index"] == 1
    assert "counts" not in plain["leaf"], "nobody was charged for telling a count of people to the world"
    assert plain["leaf"]["sealed"] == ["rows"]
    assert plain["leaf"]["time"][10:] == "T00:00:00.000000Z"
    assert plain["under"] >= 5
    assert "body" not in plain
    opened = told("log", "show", "1", *book.reading, "--auditor", book.home / "auditor", *book.pinned)
    assert (opened["counts"], opened["body"]) == ({"rows": 120}, "why ä")
    for unknown in ("999999", str(2**62)):
        assert refused("log", "show", unknown, *book.reading)
    assert tahini("log", "show", "-1", *book.reading).exit_code == 2
    assert "--consortium" in refused("log", "show", "1", *book.reading, "--auditor", book.home / "auditor")


def test_a_proof_that_is_kept_verifies_offline(book, tmp_path):
    said = done("log", "prove", "2", *book.reading, "--out", tmp_path / "receipts" / "2026")
    named = told("log", "prove", "2", *book.reading, "--out", tmp_path / "receipts" / "2026")
    assert named["leaf"] in said
    assert named["proof"] in said
    offline = (
        "log",
        "verify",
        "--proof",
        named["proof"],
        "--leaf",
        named["leaf"],
        "--policy",
        book.home / "log.policy",
    )
    found = told(*offline)
    assert (found["verified"], found["index"], found["origin"]) == (True, 2, ORIGIN)
    assert done(*offline).startswith("verified: entry 2 of ")
    assert "999999" in refused("log", "prove", "999999", *book.reading, "--out", tmp_path)


def test_a_proof_that_was_tampered_with_is_refused(book, tmp_path):
    named = told("log", "prove", "2", *book.reading, "--out", tmp_path)
    leaf, proof = Path(named["leaf"]).read_bytes(), Path(named["proof"]).read_text(encoding="utf-8")
    altered_leaf, altered_proof = tmp_path / "leaf", tmp_path / "proof"
    offline = ("log", "verify", "--proof", altered_proof, "--leaf", altered_leaf, "--policy", book.home / "log.policy")

    def verify(new_leaf: bytes, new_proof: str) -> str:
        altered_leaf.write_bytes(new_leaf)
        altered_proof.write_text(new_proof, encoding="utf-8")
        return refused(*offline)

    assert verify(leaf + b" ", proof)
    assert verify(b"", proof)
    for end in (0, 1, 20, 60, len(proof) // 2, len(proof) - 1):
        assert verify(leaf, proof[:end]), end
    assert verify(leaf, proof.replace("index 2", "index 1"))
    assert verify(leaf, proof.replace(f"\n{ORIGIN}\n", "\nelsewhere.example\n"))
    lines = proof.split("\n")
    assert verify(leaf, "\n".join(lines[:2] + lines[3:]))
    altered_proof.write_bytes(b"\xff\xfe")
    assert "not text" in refused(*offline)
    assert "--leaf" in refused("log", "verify", "--proof", named["proof"])
    altered_proof.unlink()
    assert "No such file" in refused(*offline)


def test_the_auditor_verifies_the_whole_log(book, tmp_path):
    since = tmp_path / "first.checkpoint"
    since.write_text(httpx.get(f"{book.url}/checkpoint").text, encoding="utf-8")
    whole = ("log", "verify", "--url", book.url, "--auditor", book.home / "auditor", *book.pinned, "--since", since)
    text = done(*whole)
    assert "  ok  " in text
    assert re.search(r"^verified \d+ entries$", text, re.MULTILINE)
    found = told(*whole)
    assert found["verified"] is True
    assert found["by_type"]["use.read"] >= 1
    assert sum(found["by_type"].values()) == found["entries"]
    head = Checkpoint.parse(since.read_text(encoding="utf-8").partition("\n\n")[0] + "\n")
    since.write_text(
        sign_checkpoint(Checkpoint(ORIGIN, head.size, b"\0" * 32), book.registry.ledger.log.key), encoding="utf-8"
    )
    assert "history was rewritten" in refused(*whole, "--json")
    result = tahini(*whole)
    assert result.exit_code == 1
    assert result.stdout.count("  ok  ") == result.stdout.count("\n"), "it says how far it came"
    since.write_text("no checkpoint", encoding="utf-8")
    assert refused(*whole)
    assert "cannot read the checkpoint" in refused(*whole[:-1], tmp_path / "missing")
    assert "--since" in refused("log", "verify", "--url", book.url)


def test_the_first_verification_is_one_command_and_every_later_one_must_extend_it(book, tmp_path):
    """By anybody, with the registry's key alone, or by the auditor: what was verified is remembered."""
    kept = tmp_path / "mine.checkpoint"
    public = (
        "log", "verify", "--url", book.url, "--registry-key", book.home / "registry.pub",
        "--consortium", book.home / "consortium.jws", "--checkpoint", kept,
    )  # fmt: skip
    first = told(*public)
    assert first["since"] == first["entries"] and kept.exists()
    done("log", "append", "--type", "use.read", "--to", "auditor", *book.as_party())
    book.registry.ledger.catch_up()
    later = told(*public)
    assert (later["since"], later["entries"]) == (first["entries"], first["entries"] + 1)
    assert told(*public)["since"] == later["entries"], "what was kept is the newest that was verified"
    head = Checkpoint.parse(kept.read_text(encoding="utf-8").partition("\n\n")[0] + "\n")
    for other in (Checkpoint(ORIGIN, head.size, b"\0" * 32), Checkpoint(ORIGIN, head.size + 99, head.root)):
        kept.write_text(sign_checkpoint(other, book.registry.ledger.log.key), encoding="utf-8")
        before = kept.read_text(encoding="utf-8")
        assert refused(*public, "--json")
        assert kept.read_text(encoding="utf-8") == before, "what does not verify is never remembered"
    auditor = ("log", "verify", "--url", book.url, "--auditor", book.home / "auditor", *book.pinned)
    assert told(*auditor)["checkpoint"] == str(book.home / "auditor" / "log.checkpoint")
    assert told(*auditor)["verified"]
    assert "--consortium" in refused(*public[:6], "--checkpoint", tmp_path / "elsewhere")
    assert "--checkpoint" in refused(*public[:-2])


def test_the_consortium_document_is_fetched_once_and_then_pinned(house, tmp_path):
    kept = tmp_path / "mine.checkpoint"
    key = house.founded.registry_key.public.text
    house.anyone().inclusion(0, wait=True)
    anybody = ("log", "verify", "--url", house.url, "--checkpoint", kept, "--registry-key")
    assert "does not verify" in refused(*anybody, SigningKey.generate().public.text)
    assert not kept.exists() and not (tmp_path / "consortium.jws").exists()
    assert told(*anybody, key)["verified"]
    assert (tmp_path / "consortium.jws").read_text(encoding="utf-8") == house.registry.consortium_token
    (tmp_path / "consortium.jws").write_text("another", encoding="utf-8")
    assert refused(*anybody, key)


def test_entries_are_found_by_lender_type_and_day_and_shown_opened_to_the_auditor(book):
    def found(*options: str) -> list[dict]:
        lines = done("log", "tail", "-n", "1000", "--json", *book.reading, *options).splitlines()
        return [json.loads(line) for line in lines]

    everything = found()
    assert found("--lender", "aspen") == [e for e in everything if e["actor"] == "aspen"] != []
    assert found("--lender", "nobody") == []
    assert {e["type"] for e in found("--type", "use")} >= {"use.read", "use.scored"}
    assert all(e["type"].startswith(("use.", "review.made")) for e in found("--type", "use", "--type", "review.made"))
    today = now().date()
    assert found("--from", str(today - timedelta(days=1)), "--to", str(today)) == everything
    assert found("--to", str(today - timedelta(days=2))) == []
    assert "day" in refused("log", "tail", *book.reading, "--from", "yesterday")
    opened = found("--auditor", str(book.home / "auditor"), *map(str, book.pinned), "--type", "use.read")
    assert opened[0]["opened"]["body"] == "why ä"
    assert "why ä" in done("log", "tail", *book.reading, "--auditor", book.home / "auditor", *book.pinned)
    pinned = ("log", "tail", "--url", book.url, *book.pinned, "--json")
    assert done(*pinned), "the consortium document holds the policy"
    assert "--policy" in refused("log", "tail", "--url", book.url)


# --- fsck and export


def test_fsck_says_what_is_whole_and_names_what_is_not(book, tmp_path):
    assert re.search(
        r"the log is whole: \d+ entries, \d+ tiles, \d+ signed heads", done("log", "fsck", "--home", book.registry_home)
    )
    home = new_log(tmp_path)
    for _ in range(2):
        done(*APPEND, "--home", home, "--type", "use.read")
    import sqlite3

    with sqlite3.connect(home / "registry.db") as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        database.execute("UPDATE log_entries SET body = x'00' WHERE idx = 1")
    assert "entry 1" in refused("log", "fsck", "--home", home)
    assert "entry 1" in refused("log", "fsck", "--home", home, "--json")


def test_export_counts_what_the_log_holds(book, tmp_path):
    today = now().date()
    period = ("--from", today - timedelta(days=1), "--to", today + timedelta(days=1))
    record = told("log", "export", "--home", book.registry_home, *period, "--out", tmp_path / "new" / "folder")
    kept = tmp_path / "new" / "folder" / "processing-record.json"
    assert json.loads(kept.read_text(encoding="utf-8"))["entries"] == record["entries"]
    leaves = [json.loads(line) for line in done("log", "tail", "-n", "1000", "--json", *book.reading).splitlines()]
    types = [leaf["type"] for leaf in leaves]
    assert record["entries"]["in_period"] == len(leaves) == record["log"]["entries"]
    assert record["entries"]["by_type"] == {kind: types.count(kind) for kind in sorted(set(types))}
    assert sum(record["entries"]["by_actor"].values()) == len(leaves)
    assert record["log"]["origin"] == ORIGIN
    assert {party["id"] for party in record["controllers"]} >= {"aspen", "birch", "auditor"}
    own = {activity["activity"] for activity in record["activities"]}
    assert {"use.read by aspen", "incident.opened by aspen"} <= own
    said = done("log", "export", "--home", book.registry_home, *period, "--out", tmp_path)
    assert said.startswith(f"{len(leaves)} entries; wrote ")
    earlier = told(
        "log", "export", "--home", book.registry_home, "--from", "2001-01-01", "--to", "2001-12-31", "--out", tmp_path
    )
    assert earlier["entries"] == {"in_period": 0, "by_type": {}, "by_actor": {}}
    assert earlier["log"]["entries"] == len(leaves)


def test_the_exported_page_needs_nothing_from_outside(book, tmp_path):
    today = now().date()
    done("log", "export", "--home", book.registry_home, "--from", today, "--to", today, "--out", tmp_path)
    page = (tmp_path / "processing-record.html").read_text(encoding="utf-8")
    assert not re.search(r"(?i)\b(src|href|action|srcset|data)\s*=|<script|<link|<iframe|@import|url\(", page)
    assert ORIGIN in page
    assert "use.read by aspen" in page


def test_export_refuses_days_that_are_none(book, tmp_path):
    export = ("log", "export", "--home", book.registry_home, "--out", tmp_path)
    assert "'2026-13-01' is not a day" in refused(*export, "--from", "2026-13-01", "--to", "2026-12-31")
    assert "not a day" in refused(*export, "--from", "2026-01-01", "--to", "tomorrow")
    assert "before it starts" in refused(*export, "--from", "2026-12-31", "--to", "2026-01-01")
    (tmp_path / "file").write_text("", encoding="utf-8")
    below = tmp_path / "file" / "below"
    assert refused(*export[:-1], below, "--from", "2026-01-01", "--to", "2026-12-31")


# --- a real process


def healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").is_success
    except httpx.TransportError:
        return False


def test_serve_answers_until_it_is_ended_and_tail_follows(tmp_path):
    home, port = new_log(tmp_path), free_port()
    url, policy = f"http://127.0.0.1:{port}", tmp_path / "log" / "log.policy"
    command = [sys.executable, "-m", "tahini", "log"]
    server = subprocess.Popen([*command, "serve", "--home", str(home), "--port", str(port)], stderr=subprocess.PIPE)
    following = None
    try:
        until(lambda: healthy(url), "the log answered")
        folder = tmp_path / "log"
        aspen = (
            *("--url", url, "--consortium", folder / "consortium.jws", "--registry-key", folder / "registry.pub"),
            *("--party", "aspen", "--key", folder / "aspen" / "aspen.key"),
        )
        assert done(*APPEND, "--type", "use.read", *aspen).strip() == "entry 0"
        told("log", "prove", "0", "--policy", policy, "--url", url, "--out", tmp_path)
        follow = [*command, "tail", "--follow", "--json", "--policy", str(policy), "--url", url]
        following = subprocess.Popen(follow, stdout=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"})
        assert json.loads(following.stdout.readline())["index"] == 0
        done(*APPEND, "--type", "use.scored", *aspen)
        assert json.loads(following.stdout.readline())["type"] == "use.scored"
        server.terminate()
        assert server.wait(20) in {0, -15}
        assert b"Traceback" not in server.stderr.read()
        assert following.wait(20) == 1, "the log it followed is gone"
    finally:
        for process in (server, following):
            if process is not None:
                process.kill()
                process.communicate()
    assert done(*APPEND, "--home", home, "--type", "use.read").strip() == "entry 2"


# --- keys


def test_new_keys_of_every_kind_show_their_public_half_only(tmp_path):
    for kind, size in (("signing", 32), ("recipient", 96)):
        path = tmp_path / kind
        made = told("keys", "new", kind, path)
        assert made == told("keys", "show", path)
        assert made["kind"] == kind
        secret = path.read_bytes()
        assert len(secret) == size
        assert path.stat().st_mode & 0o777 == 0o600
        assert b64(secret)[:20] not in done("keys", "show", path)
    for kind, named in (("witness", Kind.ED25519), ("witness-ml-dsa-44", Kind.ML_DSA_44)):
        path = tmp_path / kind
        made = told("keys", "new", kind, path, "--name", "aspen.example/witness")
        assert Cosigner.from_vkey(made["vkey"]).kind is named
        assert made["name"] == "aspen.example/witness"
        assert f"vkey: {made['vkey']}" in done("keys", "show", path)
    vkey = told("keys", "show", tmp_path / "signing", "--origin", ORIGIN)["vkey"]
    assert Verifier.from_vkey(vkey).key == load_signing_key(tmp_path / "signing").public


@pytest.mark.parametrize("kind", ["witness", "witness-ml-dsa-44"])
@pytest.mark.parametrize(
    "length",
    [43, 44, 45],
)
def test_a_witness_s_key_is_a_witness_s_key_whatever_the_length_of_its_name(tmp_path, kind, length):
    made = told("keys", "new", kind, tmp_path / "key", "--name", "w" * length)
    assert made["name"] == "w" * length
    assert Cosigner.from_vkey(made["vkey"]).name == "w" * length


def test_keys_that_cannot_be_made_or_read_are_refused(tmp_path):
    path = tmp_path / "key"
    assert "--name" in refused("keys", "new", "witness", path)
    assert "not a key name" in refused("keys", "new", "witness", path, "--name", "two words")
    assert not path.exists()
    done("keys", "new", "signing", path)
    assert "exists already" in refused("keys", "new", "signing", path)
    assert "No such file" in refused("keys", "new", "signing", tmp_path / "no" / "folder")
    path.chmod(0o640)
    assert "chmod 600" in refused("keys", "show", path)
    for content in (b"", b"x" * 31, b"x" * 500, b"tahini witness key\n\x04" + b"\xff" * 40):
        other = tmp_path / f"other-{len(content)}"
        other.write_bytes(content)
        other.chmod(0o600)
        assert "witness's key" in refused("keys", "show", other)
    assert tahini("keys", "show", tmp_path / "missing").exit_code == 2
    assert tahini("keys", "new", "password", tmp_path / "x").exit_code == 2


def test_keys_status_rotate_backup_and_restore(tmp_path):
    home = new_log(tmp_path)
    registry = open_registry(home)
    enrol_subjects(registry, registry.consortium.party("aspen"), people(4))
    registry.close()
    before = told("keys", "status", "--home", home)
    assert (before["store"], before["data_keys"], before["backups"]) == ("file", 4, [])
    saved = tmp_path / "keys.json"
    assert told("keys", "backup", "--home", home, saved) == {"keys": 4, "path": str(saved)}
    assert "4 wrapped keys" in done("keys", "backup", "--home", home, saved)
    version = told("keys", "rotate", "--home", home)["root_version"]
    assert version > before["newest_root_version"]
    after = told("keys", "status", "--home", home)
    assert after["newest_root_version"] == after["oldest_root_version_in_use"] == version
    assert after["backups"] == [str(saved)]
    assert f"data keys: {after['data_keys']}" in done("keys", "status", "--home", home)
    assert told("keys", "restore", "--home", home, saved) == {"keys": 0}
    assert "keys are back" in done("keys", "restore", "--home", home, saved)
    assert f"version {version + 1}" in done("keys", "rotate", "--home", home)


def test_backups_that_are_none_or_somebody_else_s_are_refused(tmp_path):
    home = new_log(tmp_path)
    saved = tmp_path / "keys.json"
    for content in ("", "{}", "[1]", "no json"):
        saved.write_text(content, encoding="utf-8")
        assert "not a backup" in refused("keys", "restore", "--home", home, saved)
    done("log", "init", "--home", tmp_path / "other", "--origin", "other.example/log", "--no-quorum")
    done("keys", "backup", "--home", tmp_path / "other" / REGISTRY_HOME, tmp_path / "theirs.json")
    assert "other.example/log" in refused("keys", "restore", "--home", home, tmp_path / "theirs.json")
    assert refused("keys", "backup", "--home", home, tmp_path / "no" / "folder" / "keys.json")
    assert tahini("keys", "restore", "--home", home, tmp_path / "missing").exit_code == 2


# --- witness


def test_witness_show_says_who_it_is_and_how_far_it_has_seen(tmp_path):
    founded = found(tmp_path / "all", ["aspen", "birch"], Budget(1.0, 1e-5))
    founded.connect("http://127.0.0.1:1", "http://127.0.0.1:2")
    homes = [founded.node_home(name) for name in ("aspen", "birch")]
    log = founded.consortium.log.verifier
    head = Checkpoint(log.name, 1200, b"\1" * 32)
    note = sign_checkpoint(head, load_signing_key(founded.registry_home / "log.key"))
    witness = LenderWitness.open(homes[0], log)
    witness.add_checkpoint(AddCheckpoint(0, (), note).text.encode())
    both = told("witness", "show", "--home", homes[0], "--home", homes[1])
    assert [(row["lender"], row["log"], row["size"]) for row in both] == [
        ("aspen", log.name, 1200),
        ("birch", log.name, 0),
    ]
    assert both[0]["vkey"] == witness.key.public.vkey
    said = done("witness", "show", "--home", homes[0])
    assert said.startswith(f"aspen: has seen 1,200 entries of {log.name}\n")
    assert witness.key.public.vkey in said
    memory = next(witness.folder.glob("*.checkpoint"))
    memory.write_bytes(memory.read_bytes().replace(b"1200", b"1100"))
    assert "cannot rely on its memory" in refused("witness", "show", "--home", homes[0])
    assert "not a node's home" in refused("witness", "show", "--home", tmp_path, code=2)
    (homes[1] / "witness.key").unlink()
    assert "witness.key" in refused("witness", "show", "--home", homes[1], code=2)
