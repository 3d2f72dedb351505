"""``tahini log tail``, ``show``, ``prove``, ``verify``, ``fsck``, ``export``: what readers see and must not believe."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from datetime import timedelta
from pathlib import Path

import httpx
from support.commands import APPEND, ORIGIN, done, new_log, refused, tahini, told
from support.wire import serve

from consent.api.log import create_log_app
from consent.home import open_registry
from crypto.keys import SigningKey
from crypto.notes import Checkpoint, Verifier, sign_checkpoint
from ops.processes import free_port
from protocol.schema import now

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
    kept = ("--proof", named["proof"], "--leaf", named["leaf"])
    offline = ("log", "verify", *kept, "--policy", book.home / "log.policy")
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
    with sqlite3.connect(home / "registry.db") as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        database.execute("UPDATE log_entries SET body = x'00' WHERE idx = 1")
    assert "entry 1" in refused("log", "fsck", "--home", home)
    assert "entry 1" in refused("log", "fsck", "--home", home, "--json")


def test_export_counts_what_the_log_holds(book, tmp_path):
    today = now().date()
    period = ("--from", today - timedelta(days=1), "--to", today + timedelta(days=1))
    export = ("log", "export", "--home", book.registry_home, "--url", book.url)
    record = told(*export, *period, "--out", tmp_path / "new" / "folder")
    kept = tmp_path / "new" / "folder" / "processing-record.json"
    assert json.loads(kept.read_text(encoding="utf-8"))["entries"] == record["entries"]
    leaves = [json.loads(line) for line in done("log", "tail", "-n", "1000", "--json", *book.reading).splitlines()]
    read = leaves.pop()
    assert (read["type"], read["actor"]) == ("evidence.read", "registry")
    assert read["hashes"] == {"document": hashlib.sha256(kept.read_bytes()).hexdigest()}
    types = [leaf["type"] for leaf in leaves]
    assert record["entries"]["in_period"] == len(leaves) == record["log"]["entries"]
    assert record["entries"]["by_type"] == {kind: types.count(kind) for kind in sorted(set(types))}
    assert sum(record["entries"]["by_actor"].values()) == len(leaves)
    assert record["log"]["origin"] == ORIGIN
    assert {party["id"] for party in record["parties"]} >= {"aspen", "birch", "auditor"}
    assert record["controllers"] == [], "nobody has stated to be one, and nobody is called one"
    assert any("role in law" in line and "auditor" in line for line in record["to_be_added"])
    own = {activity["activity"] for activity in record["activities"]}
    assert {"use.read by aspen", "system.started by aspen"} <= own
    said = done(*export, *period, "--out", tmp_path)
    assert said.startswith(f"{len(leaves) + 1} entries; wrote "), "the one before stands in it"
    earlier = told(*export, "--from", "2001-01-01", "--to", "2001-12-31", "--out", tmp_path)
    assert earlier["entries"] == {"in_period": 0, "by_type": {}, "by_actor": {}}
    assert earlier["log"]["entries"] == len(leaves) + 2, "that it was exported is in the log"


def test_the_exported_page_needs_nothing_from_outside(book, tmp_path):
    today = now().date()  # it may be another day than that on which the entries were made
    export = ("log", "export", "--home", book.registry_home, "--url", book.url)
    done(*export, "--from", today - timedelta(days=1), "--to", today, "--out", tmp_path)
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
