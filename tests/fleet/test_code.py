"""What a lender signs is what its node runs: no more, no less."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fleet.code import NODE_ENTRIES, OURS, TABLES, hash_files, installed_code, installed_files, reachable

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES = 15_000
DYNAMIC = {
    "import_module", "__import__", "exec", "eval", "compile", "run_path", "run_module", "exec_module", "load_module",
    "reload", "spec_from_file_location", "resolve_name",
}  # fmt: skip


DATABASE = """
person = "customer"
kind = "sql"
url_file = "loans.url"
table = "loans"

[columns]
bad = { column = "dpd90" }
"""
SERVICE = """
import importlib, pathlib, sys

class BeforeTheExecutor:
    def find_spec(name, *_):
        if name == "fleet.executor":
            print(*sys.modules)

sys.meta_path.insert(0, BeforeTheExecutor)
import clients.service
home, names = pathlib.Path(sys.argv[1]), sys.argv[2:]
clients.service.load(home / "empty")
print(*sys.modules)
clients.service.load(home / "database")
print(*sys.modules)
for name in names:
    importlib.import_module(name)
print(*sys.modules)
"""


@pytest.fixture(scope="module")
def signed() -> dict[str, bytes]:
    return installed_files()


@pytest.fixture(scope="module")
def modules(signed) -> set[str]:
    python = (path.removesuffix(".py") for path in signed if path.endswith(".py"))
    return {path.removesuffix("/__init__").replace("/", ".") for path in python}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory, modules) -> list[set[str]]:
    """What one fresh interpreter holds: when it has what a task runs and not yet what starts tasks; when the service
    begins to fork tasks; with its rows in a database; and when each module that is signed was imported."""
    folder = tmp_path_factory.mktemp("homes")
    for name in ("empty", "database"):
        (folder / name).mkdir()
    (folder / "database" / "data.toml").write_text(DATABASE, encoding="utf-8")
    (folder / "database" / "loans.url").write_text("sqlite:///loans.db", encoding="utf-8")
    command = [sys.executable, "-c", SERVICE, str(folder), *sorted(modules)]
    done = subprocess.run(command, check=True, capture_output=True, encoding="utf-8", cwd=ROOT)
    return [set(line.split()) for line in done.stdout.splitlines()]


def ours(names: set[str]) -> set[str]:
    return {name for name in names if name.partition(".")[0] in OURS}


def test_the_registry_its_storage_commands_and_screens_are_not_in_it(signed):
    assert {path.split("/")[0] for path in signed}.isdisjoint({"auditlog", "cli", "consent", "demo", "server"})
    assert not [path for path in signed if "migrations" in path]


def test_every_room_is_known_to_be_ours():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages - {"benchmarks", "trials"} == OURS
    assert {path.stem for path in ROOT.glob("*.py")} == {"tahini"}, "no module beside the rooms but the front door"


def test_it_is_little_enough_to_be_read(signed):
    assert sum(content.count(b"\n") for content in signed.values()) <= MAX_LINES


def test_a_change_in_a_room_that_no_node_runs_changes_no_hash_and_one_in_the_gate_does():
    def read_with(changed):
        def read(path):
            file = ROOT / path
            content = file.read_bytes() if file.is_file() else None
            return content + b"\n# changed\n" if content is not None and path.startswith(changed) else content

        return read

    for changed in ("consent/", "auditlog/", "cli/", "server/", "demo/"):
        assert hash_files(reachable(NODE_ENTRIES, read_with(changed))) == installed_code()
    for changed in ("clients/gate.py", "protocol/client/nodes.py", "privacy/", "law/cn.toml", "law/words.toml"):
        assert hash_files(reachable(NODE_ENTRIES, read_with(changed))) != installed_code()


def test_every_module_of_ours_that_a_node_loads_is_signed(loaded, modules):
    """Everything that is signed is loaded, so also what functions import when they run."""
    *_, everything = loaded
    assert ours(everything) == modules


def test_nothing_that_is_signed_can_load_what_no_import_names(signed):
    for path, content in signed.items():
        if path.endswith(".toml"):
            continue
        calls = [node.func for node in ast.walk(ast.parse(content)) if isinstance(node, ast.Call)]
        builtins = {call.id for call in calls if isinstance(call, ast.Name)} - {"compile"}
        library = {call.attr for call in calls if isinstance(call, ast.Attribute)} - {"compile", "eval"}  # re, torch
        assert not DYNAMIC & (builtins | library), path


def test_the_process_that_forks_tasks_has_loaded_what_is_signed_and_nothing_else_of_ours(loaded, modules):
    """What it left out is what it never runs (the SuperNode is a process of its own), or what only a lender with a
    database needs, who has it loaded at the start too."""
    _, serving, with_a_database, _ = loaded
    assert ours(serving) == modules - {"clients.data.sql"}
    assert "clients.data.sql" in with_a_database


def test_the_service_says_in_one_sentence_why_it_cannot_start(tmp_path):
    """``tahini node serve`` becomes this process, in which nothing of the command line turns errors into a sentence."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "clients.service"], check=False, capture_output=True, encoding="utf-8",
        env={**os.environ, "TAHINI_NODE_HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("tahini: ")
    assert done.stderr.count("\n") == 1


def test_one_task_loads_no_database_and_no_web_framework(loaded):
    task, *_ = loaded
    assert "clients.app" in task
    assert {"sqlalchemy", "alembic", "psycopg", "fastapi"}.isdisjoint(task)


def test_what_is_signed_is_code_and_the_tables_of_law_that_it_goes_by(signed):
    tables = {path for path in signed if not path.endswith(".py")}
    unread = {f"law/{path.stem}.toml" for path in (ROOT / "law").glob("*.py") if f"law/{path.name}" not in signed}
    assert tables == {f"law/{path.name}" for path in (ROOT / "law").glob("*.toml")} - unread
    assert sorted(tables) == sorted(name for names in TABLES.values() for name in names)


def test_a_table_counts_where_its_module_is_imported_and_nowhere_else():
    tree = {"clients/__init__.py": b"", "clients/app.py": b"import law.packs", "law/__init__.py": b""}
    tree |= {"law/packs.py": b"", "law/cn.toml": b"[forbidden]", "clients/cn.toml": b"", "law/other.toml": b""}
    assert reachable(["clients.app"], tree.get).keys() == tree.keys() - {"clients/cn.toml", "law/other.toml"}
    without = tree | {"clients/app.py": b"import law"}
    assert "law/cn.toml" not in reachable(["clients.app"], without.get)


def test_imports_inside_functions_count_and_packages_on_the_way_too():
    tree = {
        "clients/__init__.py": b"", "clients/app.py": b"def f():\n    from clients.data import book\n",
        "clients/data/__init__.py": b"import clients.seen", "clients/data/book.py": b"import json, fleet.code as c",
        "clients/seen.py": b"", "clients/other.py": b"", "fleet/__init__.py": b"", "fleet/code.py": b"",
        "json.py": b"not ours",
    }  # fmt: skip
    assert reachable(["clients.app"], tree.get).keys() == tree.keys() - {"clients/other.py", "json.py"}


@pytest.mark.parametrize(
    "content", [b"from . import gate", b"from .gate import Gate", b"from clients.gate import *", b"def ("]
)
def test_what_cannot_be_followed_is_refused(content):
    with pytest.raises(SyntaxError):
        reachable(["clients"], {"clients/__init__.py": content}.get)


def test_an_entry_that_is_not_there_is_named():
    with pytest.raises(LookupError, match=r"clients\.app"):
        reachable(["clients.app"], {}.get)


def test_what_is_made_of_a_release_or_kept_for_subjects_is_not_signed(signed):
    """Nodes answer what is asked and seal to recipients; models come out of sums elsewhere."""
    for module in ("credit/cutting.py", "credit/boosting.py", "credit/quality.py", "crypto/bodies.py"):
        assert (ROOT / module).is_file()
        assert module not in signed
