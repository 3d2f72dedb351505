"""Workspaces: what is listed and removed, what is left alone, and what ``tahini up`` says of one that is there."""

import json
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from demo.consortium import found
from demo.deployment import _fleet, _listen, _services, up_again
from demo.errors import DemoError
from demo.workspaces import Kept, held, listed, look, made, remove
from ops.processes import EPHEMERAL, lasting_port
from privacy.charges import Budget
from tahini import main

LENDERS = ("aspen", "birch")


def tahini(*arguments: str, code: int = 0, told: str | None = None) -> str:
    done = CliRunner().invoke(main, list(arguments), input=told)
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.stderr


@pytest.fixture
def old(tmp_path) -> Path:
    """As ``tahini demo`` of an earlier version left it: no file says so."""
    root = tmp_path / "workspace" / "demo-1"
    found(root, list(LENDERS), Budget(1.0, 1e-5))
    (root / "report.json").write_text("{}", encoding="utf-8")
    return root


@pytest.fixture
def down(tmp_path) -> Path:
    """As ``tahini up`` leaves it after ``tahini down``."""
    root = tmp_path / "workspace" / "up"
    ports = {name: lasting_port() for name in ("registry", "naming", "witnesses", "superlink")}
    options = {"data": None, "target": None, "lenders": 2, "rows": 600, "seed": 8, "database": None}
    with made(root, "up", options) as kept:
        founded = found(root, list(LENDERS), Budget(1.0, 1e-5))
        urls = {name: f"https://127.0.0.1:{port}" for name, port in ports.items()}
        founded.connect(urls["registry"], urls["naming"], f"127.0.0.1:{ports['superlink']}")
        _listen(root, LENDERS, "127.0.0.1", ports)
        (root / "processes.json").write_text("[]", encoding="utf-8")
        kept.model_copy(update={"whole": True}).keep(root)
    return root


class Silent:
    def begin(self, step): ...
    def end(self, result): ...


def test_what_was_left_behind_is_listed_and_removed(old, down):
    under = str(old.parent)
    shown = json.loads(tahini("workspaces", "list", "--under", under, "--json"))
    assert {(Path(one["folder"]).name, one["kind"], one["state"]) for one in shown} == {
        ("demo-1", "demo", "is done"), ("up", "up", "is down"),
    }  # fmt: skip
    assert all(one["size"] > 0 for one in shown)
    tahini("workspaces", "clean", "--under", under, code=1, told="n\n")
    assert old.exists()
    assert json.loads(tahini("workspaces", "clean", "--under", under, "--yes", "--json")) == {"removed": [str(old)]}
    assert not old.exists()
    assert down.exists(), "a consortium is removed only when it is named"
    tahini("workspaces", "clean", str(down), "--yes")
    assert not down.exists()


def test_what_others_made_is_never_removed(old, down, tmp_path):
    theirs = tmp_path / "workspace" / "theirs"
    (theirs / "registry").mkdir(parents=True)
    (old / "thesis.odt").write_text("years of work", encoding="utf-8")
    link = tmp_path / "workspace" / "link"
    link.symlink_to(down)
    for path in (theirs, old, link, tmp_path / "nowhere"):
        assert "stays" in tahini("workspaces", "clean", str(path), "--yes", code=1)
    assert (old / "thesis.odt").exists()
    assert down.exists()
    assert [one.folder for one in listed(down.parent)] == [str(down)]


def test_homes_of_a_real_consortium_are_no_workspace(old):
    document = old / "registry" / "consortium.jws"
    assert look(old) is not None
    document.write_text("another's", encoding="utf-8")
    assert look(old) is None


def test_what_runs_is_not_removed(old, down):
    asleep = [sys.executable, "-c", "import sys; sys.stdin.read()", f"--home={old / 'registry'}"]
    with subprocess.Popen(asleep, stdin=subprocess.PIPE) as process:
        with pytest.raises(DemoError, match="runs; stop it first"):
            remove(old)
        process.communicate()
    with held(down), pytest.raises(DemoError, match="runs; stop it first"):
        remove(down)
    remove(old)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--lenders", "4"), "was founded with --lenders 2, not 4"),
        (("--rows", "700"), "was founded with --rows 600, not 700"),
        (("--data", "other.csv", "--target", "bad"), "was founded with --data None"),
        (("--seed", "9"), "was founded with --seed 8, not 9"),
    ],
)
def test_options_that_contradict_what_is_kept_are_refused(down, options, said):
    refused = tahini("up", "--workspace", str(down), *options, code=1)
    assert said in refused
    assert refused.count("\n") == 1


def test_a_folder_that_up_cannot_start_again_is_refused(old, down, tmp_path):
    assert "name another" in tahini("up", "--workspace", str(old), code=1)
    Kept(made_by="up", made_at=datetime.now(UTC)).keep(down)
    assert "tahini workspaces clean" in tahini("up", "--workspace", str(down), code=1)


@pytest.mark.parametrize("options", [("--seed", "-1"), ("--lenders", "1"), ("--rows", "0"), ("--seed", str(2**53))])
def test_numbers_out_of_range_are_refused_before_anything_is_made(tmp_path, options):
    for command in ("up", "demo") if options[0] == "--seed" else ("up",):
        refused = tahini(command, "--workspace", str(tmp_path / "w"), *options, code=2)
        assert "is not in the range" in refused
    assert not (tmp_path / "w").exists()


def test_a_port_that_somebody_else_took_is_named_with_what_to_do(down, monkeypatch):
    monkeypatch.setattr("demo.deployment.RELEASE_S", 0.5)
    at = json.loads((down / "registry" / "serve.json").read_text(encoding="utf-8"))["port"]
    with socket.create_server(("127.0.0.1", at)), pytest.raises(DemoError, match=rf"port {at}.*looks for registry"):
        up_again(down, {}, Silent())
    assert not (down / "logs").exists(), "nothing was started"


def test_what_starts_it_again_is_found_wherever_the_folder_has_moved(down, tmp_path):
    moved = down.rename(tmp_path / "moved")
    for process in (*_services(moved, LENDERS), *_fleet(moved, LENDERS, {})):
        homes = [argument for argument in process.arguments if argument.startswith("/")]
        assert homes
        assert all(Path(home).is_relative_to(moved) for home in homes)


def test_lasting_ports_are_none_that_the_kernel_gives_away():
    first = int(EPHEMERAL.read_text(encoding="utf-8").split()[0])
    assert all(lasting_port() < first for _ in range(20))
