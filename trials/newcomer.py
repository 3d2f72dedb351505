"""What newcomers do in their four roles, by the commands that the documents name:
``python -m trials.newcomer``.

A small consortium is brought up, taken down, brought up, loses every process at once as in a
reboot, and is brought up again; then its coordinator and lenders train a model, and somebody
outside verifies what happened. Each step is one command, run as a process of its own. At the end
stands a table with exit codes and seconds; everything is stopped and removed, whatever happened.
Exit code 1 if a step went wrong.

A new step is one line in :data:`STEPS`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

LENDERS = ("aspen", "birch", "cedar")
PATIENCE_S = 900.0


@dataclass(frozen=True)
class Step:
    """One command of one role, with {names} for what only a run knows."""

    role: str
    command: str
    keeps: Mapping[str, str] | None = None
    """What later steps need of its JSON: their name for it, by its own."""
    each_lender: bool = False


UP = "tahini up --workspace {w}"
OUTSIDE = "--url {url} --ca {w}/ca/ca.crt --registry-key {registry_key}"


def reboot(root: Path) -> int:
    """Kill every process of the consortium at once, without a word; returns how many."""
    found = json.loads((root / "processes.json").read_text(encoding="utf-8"))
    for process in found:
        os.killpg(process["pid"], signal.SIGKILL)
    return len(found)


STEPS: tuple[Step | Callable[[Path], int], ...] = (
    Step("everybody", "tahini --help"),
    Step("operator", UP + " --lenders 3 --rows {rows}"),
    Step("operator", "tahini doctor --home {w}"),
    Step("operator", "tahini down --workspace {w}"),
    Step("operator", UP),
    reboot,
    Step("operator", UP),
    Step("operator", "tahini doctor --home {w}"),
    Step(
        "coordinator",
        "tahini campaign propose --home {w}/coordinator --id first --title First --features "
        "{w}/features.toml --steps 2 --json",
        keeps={"campaign": "campaign"},
    ),
    Step("coordinator", "tahini campaign list --home {w}/coordinator"),
    Step(
        "lender",
        "tahini campaign approve {campaign} --home {w}/lenders/{lender} --yes",
        each_lender=True,
    ),
    Step("coordinator", "tahini campaign launch {campaign} --home {w}/coordinator"),
    Step("coordinator", "tahini campaign watch {campaign} --home {w}/coordinator"),
    Step("coordinator", "tahini campaign show {campaign} --home {w}/coordinator"),
    Step("lender", "tahini node status --home {w}/lenders/{lender}", each_lender=True),
    Step(
        "lender",
        "tahini model fetch {campaign} --home {w}/lenders/{lender}",
        each_lender=True,
    ),
    Step(
        "lender",
        "tahini model verify {campaign} --home {w}/lenders/{lender}",
        each_lender=True,
    ),
    Step("lender", "tahini model show {campaign} --home {w}/lenders/aspen"),
    Step("borrower", "tahini borrower --workspace {w} --as {borrower} notices"),
    Step("borrower", "tahini borrower --workspace {w} --as {borrower} give"),
    Step(
        "borrower",
        "tahini borrower --workspace {w} --as {borrower} withdraw --json",
        keeps={"receipt": "receipts.0"},
    ),
    Step("borrower", "tahini receipt verify {receipt} --workspace {w}"),
    Step("outsider", f"tahini log verify {OUTSIDE} --checkpoint {{w}}.checkpoint"),
    Step("auditor", f"tahini log verify {OUTSIDE} --auditor {{w}}/auditor"),
    Step(
        "auditor",
        f"tahini log tail {OUTSIDE} --consortium {{w}}/coordinator/consortium.jws --lender aspen "
        "--number 5",
    ),
    Step("operator", "tahini doctor --home {w}"),
    Step("operator", "tahini down --workspace {w}"),
    Step("operator", "tahini workspaces list --under {folder}"),
    Step("operator", "tahini workspaces clean {w} --yes"),
)


@dataclass(frozen=True)
class Done:
    role: str
    command: str
    code: int
    seconds: float
    said: str = ""


def tahini(command: str, known: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own; nothing of this process' environment that a newcomer
    would not have."""
    arguments = [part.format_map(known) for part in command.split()[1:]]
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TAHINI_", "SSL_CERT_"))
    }
    return subprocess.run(
        [sys.executable, "-m", "tahini", *arguments],
        check=False,
        capture_output=True,
        encoding="utf-8",
        env=environment,
        timeout=PATIENCE_S,
        stdin=subprocess.DEVNULL,
    )


def run(step: Step, known: dict[str, str]) -> Iterator[Done]:
    """Do a step, for every lender if it is theirs; what later steps need goes into ``known``."""
    shown = step.command.replace("{w}", "W").replace("{registry_key}", "KEY")
    for lender in LENDERS if step.each_lender else LENDERS[:1]:
        began = time.monotonic()
        done = tahini(step.command, known | {"lender": lender})
        for name, key in (step.keeps or {}).items() if done.returncode == 0 else ():
            known[name] = _at(json.loads(done.stdout), key)
        said = (done.stderr or done.stdout).strip().splitlines()
        text = shown.replace("{lender}", lender).format_map(known)
        yield Done(
            step.role, text, done.returncode, time.monotonic() - began, said[-1] if said else ""
        )


def _at(said: Any, path: str) -> str:
    """``receipts.0``: the first of what stands under that name."""
    for part in path.split("."):
        said = said[int(part) if isinstance(said, list) else part]
    return str(said)


def addresses(root: Path) -> dict[str, str]:
    """Where the registry is and by which key it is known, as the coordinator pinned them."""
    pinned = root / "coordinator" / "coordinator.json"
    if not pinned.exists():
        return {}
    told = json.loads(pinned.read_text(encoding="utf-8"))
    return {"url": told["registry_url"], "registry_key": told["registry_key"]}


def play(rows: int, folder: Path, console: Console) -> list[Done]:
    """Every step in order, until one goes wrong; everything is stopped afterwards."""
    root = folder / "w"
    known = {"w": str(root), "rows": str(rows), "folder": str(folder), "borrower": "1"}
    happened: list[Done] = []
    wrong = False
    try:
        for step in STEPS:
            if isinstance(step, Step):
                known |= addresses(root)
                for done in run(step, known):
                    happened.append(done)
                    wrong |= done.code != 0
                    console.print(_line(done), highlight=False, soft_wrap=True, markup=False)
            else:
                began = time.monotonic()
                killed = step(root)
                done = Done(
                    "the machine", f"kill -9 of {killed} processes", 0, time.monotonic() - began
                )
                happened.append(done)
                console.print(_line(done), highlight=False, markup=False)
            if wrong:
                break
    finally:
        if root.exists():
            tahini("tahini down --workspace {w}", known)
    return happened


def _line(done: Done) -> str:
    state = "ok" if done.code == 0 else f"exit {done.code}"
    failed = f"\n      {done.said}" if done.code != 0 else ""
    return f"  {state:>6}  {done.seconds:6.1f} s  {done.role:<11}  {done.command}{failed}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=600, help="how many of the packaged loans")
    parser.add_argument("--json", type=Path, help="write the steps here, too")
    told = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory(prefix="tahini-newcomer-") as folder:
        happened = play(told.rows, Path(folder), console)
    table = Table(
        "role",
        "command",
        "exit code",
        "seconds",
        title="what was done",
        title_justify="left",
        box=None,
    )
    for done in happened:
        table.add_row(
            done.role,
            done.command,
            str(done.code),
            f"{done.seconds:.1f}",
        )
    console.print(table)
    if told.json is not None:
        steps = [
            {"role": d.role, "command": d.command, "code": d.code, "seconds": d.seconds}
            for d in happened
        ]
        told.json.write_text(json.dumps(steps, indent=2), encoding="utf-8")
    wrong = [done for done in happened if done.code != 0]
    console.print(f"{len(happened)} steps, {len(wrong)} went wrong")
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
