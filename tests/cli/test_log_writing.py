"""``tahini log init``, ``append``, ``serve``: what it founds and records, what it refuses, and with which words."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import httpx
from support.commands import APPEND, ORIGIN, done, new_log, refused, tahini, told
from support.waiting import PATIENCE_S, until

from crypto.keys import SigningKey, load_signing_key
from crypto.policies import Policy
from ops.processes import free_port

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
    init, new = ("log", "init", "--no-quorum", "--home"), tmp_path / "new"
    assert "exists already" in refused(*init, tmp_path, "--origin", ORIGIN)
    assert "not a key name" in refused(*init, new, "--origin", "two words")
    assert refused(*init, new, "--origin", ORIGIN, "--lender", "No Slug")
    assert refused(*init, new, "--origin", ORIGIN, "--database", "mysql://x")
    assert not new.exists()


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


def test_append_refuses_an_entry_that_does_not_fit(book, tmp_path):
    large = tmp_path / "large"
    large.write_bytes(b"x" * 70_000)
    just_too_large = tmp_path / "just"
    just_too_large.write_bytes(b"x" * 65_537)
    party = book.as_party()
    before = told("log", "tail", "-n", "1", *book.reading)["index"]
    for count in ("rows=many", "rows", "rows=-1"):
        assert "counts" in refused(*APPEND, "--type", "use.read", "--count", count, *party)
    assert "hashes" in refused(*APPEND, "--type", "use.read", "--hash", "model=xyz", *party)
    assert "campaign" in refused(*APPEND, "--type", "use.read", "--campaign", "nonsense", *party)
    for kind in ("consent.decided", "no type"):
        assert "type" in refused(*APPEND, "--type", kind, *party)
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
    surprising = b'{"type": "use.read", "to": ["auditor"], "x": 1}\n'
    for content in (b"no json\n", b'{"type": "use.read"}\n', surprising, b"\xff\n", b"\n\n"):
        lines.write_bytes(content)
        assert refused("log", "append", "--entries", lines, *book.as_party())
    lines.write_text(json.dumps({"type": "use.read", "to": ["auditor"], "body": "no base64!"}), encoding="utf-8")
    assert "base64url" in refused("log", "append", "--entries", lines, *book.as_party())


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
        assert server.wait(PATIENCE_S) in {0, -15}
        assert b"Traceback" not in server.stderr.read()
        assert following.wait(PATIENCE_S) == 1, "the log it followed is gone"
    finally:
        for process in (server, following):
            if process is not None:
                process.kill()
                process.communicate()
    assert done(*APPEND, "--home", home, "--type", "use.read").strip() == "entry 2"
