"""The locale of the shell changes nothing in files, and what it has no letters for ends no command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from clients.home import Node
from clients.witness import create_witness
from crypto.keys import PublicKey

NAME = "松鼠银行 – Ĉevalo"
ASCII = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
"""Python 3.11 left to itself would take C for UTF-8; a GBK or Latin-1 shell is not so kind."""


UTF_8 = {"PYTHONUTF8": "1"}


def tahini(*arguments: object, locale: dict[str, str] = ASCII) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tahini", *map(str, arguments)],
        check=False, capture_output=True, env={**os.environ, **locale}, timeout=300,
    )  # fmt: skip
    assert b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode()


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each party makes its home under UTF-8; the names are not in ASCII."""
    root = tmp_path_factory.mktemp("c-locale")
    tahini("coordinator", "init", "--home", root / "office", "--name", NAME, locale=UTF_8)
    tahini("node", "init", "--home", root / "aspen", "--id", "aspen", "--name", NAME, locale=UTF_8)
    for kind in ("signing", "recipient"):
        tahini("keys", "new", kind, root / f"auditor.{kind}.key", locale=UTF_8)
    tahini(
        "party", "state", "--id", "auditor", "--name", NAME, "--role", "auditor", "--key", root / "auditor.signing.key",
        "--recipient-key", root / "auditor.recipient.key", "--out", root / "auditor.jws",
        locale=UTF_8,
    )  # fmt: skip
    members = (root / "office" / "membership.jws", root / "aspen" / "membership.jws", root / "auditor.jws")
    tahini(
        "registry", "init", "--no-quorum", "--home", root / "registry", "--name", NAME, "--origin", "audit.example/log",
        "--max-epsilon", "8", *(word for path in members for word in ("--member", path)),
        locale=UTF_8,
    )  # fmt: skip
    return root


def test_what_was_written_under_one_locale_is_read_under_every_other(founded: Path) -> None:
    key = (founded / "registry" / "registry.pub").read_text(encoding="utf-8").strip()
    token = founded / "registry" / "consortium.jws"
    tahini(
        "node", "join", "--home", founded / "aspen", "--consortium", token, "--registry", "https://registry.example",
        "--registry-key", key,
    )  # fmt: skip
    create_witness(founded / "aspen", "witness.example/aspen")
    node = Node.open(founded / "aspen")
    assert node.settings.registry_key == PublicKey.from_text(key).text
    assert {party.name for party in node.consortium.parties} == {NAME, f"{NAME} registry"}
    shown = json.loads(tahini("witness", "show", "--home", founded / "aspen", "--json"))
    assert [row["lender"] for row in shown] == ["aspen"]


def test_a_doctor_looks_at_a_home_under_any_locale(founded: Path) -> None:
    """It may find fault; it does not end in the middle of a sentence."""
    for options in ((), ("--json",)):
        done = subprocess.run(
            [sys.executable, "-m", "tahini", "doctor", "--home", str(founded / "registry"), *options],
            check=False, capture_output=True, env={**os.environ, **ASCII}, timeout=300,
        )  # fmt: skip
        assert b"Traceback" not in done.stderr and done.returncode in {0, 1}, done.stderr.decode(errors="replace")
        assert done.stdout.decode()
