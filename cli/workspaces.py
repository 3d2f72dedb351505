"""``tahini workspaces``: what ``tahini demo`` and ``tahini up`` left behind, listed, looked at,
removed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from cli.shared import AsJson, Noun, Yes, say
from demo.errors import DemoError

if TYPE_CHECKING:
    from demo.workspaces import Workspace

app = Noun(
    "List and remove what demo and up left behind.",
    "Each run of `tahini demo` leaves a workspace of some 75 MB, `tahini up` one that can be "
    "brought up again.",
)
Under = Annotated[Path, typer.Option(help="The folder that they are in.", file_okay=False)]
MEBIBYTE = 2**20


@app.command(
    "list",
    epilog="Examples: `tahini workspaces list` · `tahini workspaces list --under elsewhere --json`",
)
def list_(under: Under = Path("workspace"), as_json: AsJson = False) -> None:
    """What is kept, how much room it takes, and whether it runs."""
    from demo.workspaces import as_json as told
    from demo.workspaces import listed

    found = listed(under)
    if as_json:
        say(told(found), True)
        return
    for one in found:
        typer.echo(_line(one))
    total = sum(one.size for one in found) / MEBIBYTE
    typer.echo(
        f"{len(found)} in {under}, {total:,.0f} MiB together"
        if found
        else f"there is none in {under}"
    )


def _line(one: Workspace) -> str:
    return (
        f"{one.folder}  {one.kind}  {one.state}  made {one.made_at[:16]}  "
        f"{one.size / MEBIBYTE:,.0f} MiB"
    )


@app.command(
    epilog="Examples: `tahini workspaces clean` · `tahini workspaces clean workspace/up` · `tahini "
    "workspaces clean --yes --json`"
)
def clean(
    workspace: Annotated[
        list[Path] | None,
        typer.Argument(help="Which to remove; every one of tahini demo, if none is named."),
    ] = None,
    under: Under = Path("workspace"),
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove workspaces with all that is in them: keys, ledgers, logs and models.

    What runs stays, and so does what others made. A consortium of `tahini up` is removed only when
    it is named.
    """
    from demo.workspaces import listed, remove

    chosen = workspace or [
        Path(one.folder) for one in listed(under) if one.kind == "demo" and one.state != "runs"
    ]
    if chosen and not yes:
        typer.echo("\n".join(str(path) for path in chosen), err=True)
        typer.confirm("Remove these with everything in them?", abort=True, err=True)
    removed: list[str] = []
    for path in chosen:
        try:
            remove(path)
        except DemoError as error:
            raise DemoError(
                f"{error}{f'; removed before it: {len(removed)}' if removed else ''}"
            ) from error
        removed.append(str(path))
    say({"removed": removed} if as_json else f"{len(removed)} removed", as_json)


@app.command(epilog="Example: `tahini workspaces look workspace/demo-20261128-090000`")
def look(
    workspace: Annotated[
        Path, typer.Argument(help="One of tahini demo.", exists=True, file_okay=False)
    ],
) -> None:
    """Serve the pages of what a demo left, until Ctrl-C: borrowers, the lender's staff, the
    coordinator, the auditor.

    Its registry and witnesses run meanwhile, on this machine alone. Nothing is trained.
    """
    serve_pages(workspace)


def serve_pages(workspace: Path) -> None:
    """Print where the pages are, and wait for Ctrl-C."""
    from demo.looking import looked_at

    typer.echo("Starting registry, witnesses and pages…", err=True)
    with looked_at(workspace) as found:
        for one in found:
            typer.echo(f"  {one.pages:<22} {one.url}  ({one.opens})")
        typer.echo("Ctrl-C ends it.", err=True)
        with suppress(KeyboardInterrupt):
            Event().wait()
