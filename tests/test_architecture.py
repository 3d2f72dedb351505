"""The house rules that a linter can see."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from trials.breaks import BREAKS, Break
from trials.house import Module, faults, modules

ROOT = Path(__file__).resolve().parent.parent
ROOMS = tuple(
    sorted(path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name not in {"benchmarks", "trials"})
)
PRODUCT = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def named(path: Path, line: int | None = None) -> str:
    return f"{path.relative_to(ROOT)}{f':{line}' if line else ''}"


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


NAMED = re.compile(r"``([a-z_]+)``")


def listed(package: Path) -> set[str]:
    """The names in the bullets of a package's docstring."""
    told = ast.get_docstring(tree(package / "__init__.py")) or ""
    return {name for bullet in re.findall(r"^- ``.*(?:\n  .*)*", told, flags=re.M) for name in NAMED.findall(bullet)}


def test_every_package_lists_exactly_its_modules():
    """Who opens a room is told what is in it, and of nothing that is gone."""
    wrong = {}
    for package in {path.parent for path in PRODUCT if path.name == "__init__.py"}:
        modules = {path.stem for path in package.glob("*.py")} - {"__init__"}
        modules |= {path.parent.name for path in package.glob("*/__init__.py")}
        if amiss := modules ^ listed(package):
            wrong[str(package.relative_to(ROOT))] = sorted(amiss)
    assert wrong == {}


def test_only_the_gate_reads_rows():
    """Everything else in clients receives rows from the gate and from nowhere else; import_book only writes, the
    operator's check counts, retention deletes. Applicants, whom a lender scores by hand or at its desk, are no rows of
    its node; what a user brings to the demo becomes some."""
    opens = re.compile(r"loan_book\(|MappedSource|open_source|open_applicants|FileReader|SqlReader")
    users = {str(path.relative_to(ROOT)) for path in PRODUCT if opens.search(path.read_text(encoding="utf-8"))}
    reading = {f"clients/data/{name}.py" for name in ("files", "sql", "mapped")} | {"clients/data/book.py"}
    naming = {"clients/data/identities.py"}  # identity numbers, before anybody has a name
    playing = {"demo/sources.py", "demo/loans.py"}  # the attack on what stands before the sums; whose rows they are
    scoring = {"cli/score.py", "desk/own_tables.py"}
    deleting = {"clients/data/retaining.py", "cli/book_retention.py"}
    assert users == reading | naming | playing | scoring | deleting | {"clients/gate.py", "clients/data/profiling.py"}


def test_no_module_is_longer_than_400_lines():
    lengths = {named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in PRODUCT}
    assert {path: lines for path, lines in lengths.items() if lines > 400} == {}


def test_nothing_that_privacy_rests_on_uses_a_seeded_generator():
    seeded = re.compile(r"np\.random|torch\.manual_seed|\brandom\.(random|seed|choice)|default_rng")
    rooms = {"auditlog", "clients", "consent", "crypto", "naming", "ops", "privacy", "protocol"}
    bound = [path for path in PRODUCT if path.relative_to(ROOT).parts[0] in rooms]
    offenders = [path for path in bound if "random" in imports(path) or seeded.search(path.read_text(encoding="utf-8"))]
    assert [named(path) for path in offenders] == []


def test_no_exception_is_swallowed():
    handlers = [
        (path, node) for path in PRODUCT for node in ast.walk(tree(path)) if isinstance(node, ast.ExceptHandler)
    ]
    assert [named(path, node.lineno) for path, node in handlers if node.type is None] == [], "a bare except"
    silent = [(path, node) for path, node in handlers if all(isinstance(line, ast.Pass) for line in node.body)]
    assert [named(path, node.lineno) for path, node in silent] == []


SAYS_SO = {"read_text": 1, "write_text": 2, "fdopen": 4}
"""Which argument encoding is; the linter sees only paths whose type it can tell."""
EVERYTHING = sorted(
    path for room in (*ROOMS, "docker", "benchmarks", "tests", "trials") for path in (ROOT / room).rglob("*.py")
)


def test_every_text_names_its_encoding():
    """What a file holds must not depend on the locale of the shell that wrote or reads it."""
    silent = [
        named(path, call.lineno)
        for path in EVERYTHING
        for call in ast.walk(tree(path))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and len(call.args) < SAYS_SO.get(call.func.attr, 0)
        and "encoding" not in {keyword.arg for keyword in call.keywords}
        and "b" not in str([ast.unparse(one) for one in call.args[1:2]])
    ]
    assert silent == []


def test_every_text_of_another_process_names_its_encoding():
    """What a command prints is UTF-8 under any locale; so is what reads it."""
    silent = [
        named(path, keyword.lineno)
        for path in EVERYTHING
        for call in ast.walk(tree(path))
        if isinstance(call, ast.Call)
        for keyword in call.keywords
        if keyword.arg in {"text", "universal_newlines"}
        and "encoding" not in {one.arg for one in call.keywords}
        and ast.unparse(call.func).rpartition(".")[2] in {"run", "Popen", "check_output", "call", "check_call"}
    ]
    assert silent == []


def test_pure_rooms_open_no_files_and_no_sockets():
    for path in PRODUCT:
        if path.relative_to(ROOT).parts[0] in {"crypto", "privacy"} and path.name != "keys.py":
            assert not {"socket", "sqlite3", "httpx", "pathlib", "time", "datetime"} & imports(path), path


def test_no_test_waits_by_what_a_pages_policy_forbids():
    """What Playwright waits for by text is evaluated in the page: only its first look gets past the policy."""
    waits = "wait_for_" + "function"
    assert not [path for path in EVERYTHING if waits in path.read_text(encoding="utf-8")]


def test_no_test_measures_time():
    """A test waits for conditions (``support.waiting``) and counts events; how long they take is for benchmarks."""
    measures = re.compile(
        r"\b((monotonic|perf_counter|process_time|thread_time)(_ns)?|time_ns|timeit|getrusage|longest_ms)\b"
    )
    waits = {"waiting.py", "killing.py", "test_architecture.py"}
    tests = [path for path in (ROOT / "tests").rglob("*.py") if path.name not in waits]
    assert not [path for path in tests if measures.search(path.read_text(encoding="utf-8"))]


def test_every_line_to_break_is_still_there_once():
    def breakable(one: Break) -> bool:
        return (ROOT / one.file).read_text(encoding="utf-8").count(one.old) == 1 and (ROOT / one.test).exists()

    assert len(BREAKS) > 70
    assert [one.invariant for one in BREAKS if not breakable(one)] == []


def test_every_file_that_the_docs_name_is_there():
    """Decisions are as they were written; everything else speaks of the code as it is."""
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "SECURITY.md"]
    told = {
        (page.name, path)
        for page in pages
        for path in re.findall(r"`([a-z_]+/[\w/]+\.py)\b", page.read_text(encoding="utf-8"))
    }
    assert len(told) > 30
    assert [(page, one) for page, one in sorted(told) if not (ROOT / one).exists()] == []


def test_the_plan_of_the_house_is_kept():
    """No circle, no import that runs upwards, no function of too many parameters outside the command line, no line that
    the formatter must not touch, no class name in two rooms."""
    assert {kind: found for kind, found in faults(modules()).items() if found} == {}


def test_a_circle_an_arrow_upwards_and_a_crowd_of_parameters_are_found(tmp_path):
    house = {
        name: Module(name, ROOT / f"{name.replace('.', '/')}.py", text)
        for name, text in {
            "crypto.a": "from crypto import b\nimport consent.c\nclass Same: ...\n",
            "crypto.b": "from crypto.a import x\ndef f(a, b, c, d, e, f, g): ...\n",
            "consent.c": "class Same:\n    def m(self, a, b, c, d, e, f): ...\nx = [1,2]  # fmt: " + "skip\n",
        }.items()
    }
    found = faults(house)
    assert found["circles"] == ["crypto.a -> crypto.b"]
    assert found["imports that run upwards"] == ["crypto.a imports consent.c"]
    assert [one.split()[1] for one in found["functions with more than 6 parameters"]] == ["f"]
    assert len(found["lines with fmt: " + "skip"]) == 1
    assert found["class names in two rooms"] == ["Same: consent.c, crypto.a"]
