"""``tahini registry``: run the consent registry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from consent.cli_support import opened, refuse_in_one_sentence

app = typer.Typer(no_args_is_help=True, help="Run the consent registry.", rich_markup_mode="markdown")


@app.callback()
def registry() -> None:
    """The consent registry: notices, consents, campaigns, authorisations and the audit log."""


@app.command(epilog="Example: `tahini registry serve --home workspace/registry --port 8700`")
@refuse_in_one_sentence
def serve(
    home: Annotated[Path, typer.Option(help="The registry's home folder.", exists=True, file_okay=False)],
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8700,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve the registry over HTTP until interrupted."""
    from consent.api import create_app
    from consent.serving import run

    with opened(home) as opened_registry:
        run(create_app(opened_registry), host, port)
