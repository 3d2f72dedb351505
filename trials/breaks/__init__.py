"""Break each invariant once and watch its test go red. Not collected by pytest; run it by hand:

    python -m trials.breaks                # all of them, an hour
    python -m trials.breaks ledger pairs   # those with one of these words in their names
    python -m trials.breaks --duties cr-25 # those that this duty of law rests on, or all duties do

The breaks stand in a file for each room, beside this one. Each is tried on a copy of the repository
in a temporary folder, and says whether the named test failed. Exit code 1 if a break stays
green.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trials.duties import load

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Break:
    invariant: str
    file: str
    old: str
    new: str
    test: str


def read(path: Path) -> tuple[Break, ...]:
    """The breaks of one room."""
    with path.open("rb") as file:
        return tuple(Break(**one) for one in tomllib.load(file)["break"])


BREAKS = tuple(
    broken for path in sorted(Path(__file__).parent.glob("*.toml")) for broken in read(path)
)


def goes_red(broken: Break) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "repo"
        ignore = shutil.ignore_patterns(
            ".git", ".venv", "workspace", "__pycache__", "*.egg-info", ".mypy_cache"
        )
        shutil.copytree(ROOT, copy, ignore=ignore)
        path = copy / broken.file
        text = path.read_text(encoding="utf-8")
        if text.count(broken.old) != 1:
            sys.exit(f"{broken.file} no longer holds the line to break: {broken.old!r}")
        path.write_text(text.replace(broken.old, broken.new), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", broken.test],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            check=False,
        )
        return done.returncode == 1


def shown(broken: Break) -> bool:
    """Whether it went red, once it was printed."""
    red = goes_red(broken)
    print(f"{'red  ' if red else 'GREEN'}  {broken.invariant}  ({broken.test})", flush=True)
    return red


def prove_duties(ids: Sequence[str]) -> bool:
    """Whether every break that these duties name went red; says so of each duty."""
    known = {broken.invariant: broken for broken in BREAKS}
    duties = [duty for duty in load() if not ids or duty.id in ids]
    if unknown := set(ids) - {duty.id for duty in duties}:
        sys.exit(f"compliance/duties.toml has no duty {', '.join(sorted(unknown))}")
    red = {name: shown(known[name]) for name in dict.fromkeys(b for d in duties for b in d.breaks)}
    for duty in duties:
        count = sum(red[name] for name in duty.breaks)
        print(f"{duty.id}  {duty.status.words}: {count} of {len(duty.breaks)} breaks went red")
    return all(red.values())


def main() -> None:
    words = sys.argv[1:]
    if words[:1] == ["--duties"]:
        sys.exit(0 if prove_duties(words[1:]) else 1)
    asked = [b for b in BREAKS if not words or any(word in b.invariant for word in words)]
    red = [shown(broken) for broken in asked]
    sys.exit(0 if all(red) else 1)
