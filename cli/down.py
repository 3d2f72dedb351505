"""``tahini down``: stop what ``tahini up`` started."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.shared import refuse_in_one_sentence
from demo.errors import DemoError
from protocol.errors import ConsentError

app = typer.Typer(rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command(epilog="Example: `tahini down --workspace here`")
@refuse_in_one_sentence
def down(
    workspace: Annotated[Path, typer.Option(help="The workspace of tahini up.")] = Path("workspace/up"),
) -> None:
    """Stop every process of a consortium on this machine; keys, ledgers, log and models stay where they are."""
    from demo.processes import down as stop

    try:
        typer.echo(
            f"{stop(workspace)} processes stopped; everything in {workspace} stays; start it again with: "
            f"tahini up --workspace {workspace.absolute()}"
        )
    except DemoError as error:
        raise ConsentError(str(error)) from error
