"""``tahini registry``: run the consent registry."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from consent.api import create_app
from consent.registry import open_registry
from crypto.errors import CryptoError

app = typer.Typer(no_args_is_help=True, help="Run the consent registry.", rich_markup_mode="markdown")


@app.callback()
def registry() -> None:
    """The consent registry: notices, consents, campaigns, authorisations and the audit log."""


@app.command(epilog="Example: `tahini registry serve --home workspace/registry --port 8700`")
def serve(
    home: Annotated[Path, typer.Option(help="The registry's home folder.", exists=True, file_okay=False)],
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8700,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve the registry over HTTP until interrupted."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        opened = open_registry(home)
    except (CryptoError, OSError) as error:
        typer.echo(f"tahini: the registry in {home} cannot be opened: {error}", err=True)
        raise typer.Exit(2) from error
    try:
        uvicorn.run(create_app(opened), host=host, port=port, log_level="warning", access_log=False)
    finally:
        opened.close()
