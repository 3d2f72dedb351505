"""``tahini doctor``: look at everything that must be in order, and say what to do about what is
not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.shared import AsJson, Noun, say
from protocol.errors import ConsentError

if TYPE_CHECKING:
    from ops.doctor import Finding

    Doctor = Callable[[Path], Iterator[Finding]]

app = Noun("Look at everything that must be in order.")


HOMES = {
    "log.key": "consent.doctor:registry",
    "seeds": "naming.doctor:names",
    "campaigns": "server.doctor:coordinator",
    "approved": "clients.doctor:node",
    "witness.key": "clients.doctor:witness",
}
"""Who looks at a home, by what only such a home has."""


def _look(name: str) -> Doctor:
    """Loaded when it is needed: not every image carries everything."""
    room, _, function = HOMES[name].partition(":")
    try:
        found: Doctor = getattr(import_module(room), function)
    except ImportError as error:
        raise ConsentError(f"{room} needs {error.name}, which is not installed here") from error
    return found


def homes(under: Path) -> list[tuple[Path, list[str]]]:
    """The home at ``under``; else all homes below it, as in a workspace. Each with what tells its
    kinds."""

    def kinds(folders: list[Path]) -> list[tuple[Path, list[str]]]:
        told = (
            (folder, [name for name in HOMES if (folder / name).exists()]) for folder in folders
        )
        return [(folder, names) for folder, names in told if names]

    return kinds([under]) or kinds([*sorted(under.glob("*")), *sorted(under.glob("*/*"))])


def _findings(folder: Path, kinds: list[str]) -> list[Finding]:
    """What everybody who looks at this home says; what two of them say is said once."""
    return list(dict.fromkeys(finding for kind in kinds for finding in _look(kind)(folder)))


@app.command(
    epilog="Examples: `tahini doctor` (this machine alone) · `tahini doctor --home aspen` · "
    "`tahini doctor --home workspace/up --json`; exit code 1 if anything is ill"
)
def doctor(
    home: Annotated[
        list[Path] | None,
        typer.Option(help="A home, or a folder with several; again for more.", exists=True),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check versions, keys, certificates, clock, ports, database, data and connections. Changes
    nothing."""
    from ops.doctor import Level, machine

    looked = [("this machine", list(machine()))]
    for under in home or []:
        here = homes(under)
        if not here:
            raise ConsentError(
                "there is no home of a registry, naming service, coordinator, node or witness in "
                f"{under}"
            )
        for folder, kinds in here:
            with Console(stderr=True).status(f"looking at {folder}"):
                looked.append((str(folder), _findings(folder, kinds)))
    findings = [finding for _, group in looked for finding in group]
    if as_json:
        told = [{"where": where, **asdict(finding)} for where, group in looked for finding in group]
        say(told, True)
    else:
        _show(looked)
    if any(finding.level is Level.ILL for finding in findings):
        raise typer.Exit(1)


def _show(looked: list[tuple[str, list[Finding]]]) -> None:
    from ops.doctor import Level

    marks = {Level.WELL: "[green]✓[/]", Level.CARE: "[yellow]![/]", Level.ILL: "[red]✗[/]"}
    console = Console()
    for where, group in looked:
        table = Table(
            title=where, title_justify="left", title_style="bold", box=None, show_header=False
        )
        for finding in group:
            said = finding.said if not finding.do else f"{finding.said}\n→ {finding.do}"
            table.add_row(marks[finding.level], finding.what, said)
        console.print(table)
