"""``tahini witness``: run a lender's witness of the consent log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cli.shared import Certificate, Host, Port, PrivateKey, refuse_in_one_sentence
from clients.errors import NodeError
from clients.home import Node
from clients.witness import Witness, witness_app
from crypto.errors import CryptoError
from crypto.notes import claimed_checkpoint
from ops.settings import SERVE_FILE

app = typer.Typer(no_args_is_help=True, help="Run a lender's witness of the consent log.", rich_markup_mode="markdown")
Homes = Annotated[list[Path], typer.Option("--home", help="A node's home folder.", exists=True, file_okay=False)]


@app.callback()
def witness() -> None:
    """A witness cosigns a log's heads, and only those that extend what it saw before."""


def _open(homes: list[Path]) -> dict[str, Witness]:
    try:
        nodes = [Node.open(home) for home in homes]
        return {node.lender: Witness.open(node.home, node.consortium.log.verifier) for node in nodes}
    except (NodeError, CryptoError) as error:
        typer.echo(f"tahini: {error}", err=True)
        raise typer.Exit(2) from error


@app.command(epilog="Example: `tahini witness serve --home lenders/aspen --port 8710`")
@refuse_in_one_sentence
def serve(
    home: Homes,
    port: Port = None,
    host: Host = None,
    certificate: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Serve C2SP tlog-witness over HTTP until interrupted.

    With one home the witness is at the root. With several (trials on one machine) each is under its lender's id.
    Options can also stand in `serve.json` of the first home or in the environment (TAHINI_WITNESS_PORT …); the port is
    8710 otherwise.
    """
    from clients.witness import WitnessListening
    from ops.serving import run

    listening = WitnessListening.read(
        home[0] / SERVE_FILE, host=host, port=port, certificate=certificate, certificate_key=key
    )
    run(witness_app(_open(home)), listening)


@app.command(epilog="Example: `tahini witness show --home lenders/aspen`")
def show(
    home: Homes,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Who a witness is, and how far it has seen each log."""
    rows = []
    for lender, found in _open(home).items():
        for origin in found.logs:
            try:
                note = found.latest(origin)
            except CryptoError as error:
                typer.echo(f"tahini: {lender}'s witness cannot rely on its memory: {error}", err=True)
                raise typer.Exit(1) from error
            head = claimed_checkpoint(note) if note else None
            row = {"lender": lender, "vkey": found.key.public.vkey, "log": origin, "size": head.size if head else 0}
            rows.append(row)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        typer.echo(f"{row['lender']}: has seen {row['size']:,} entries of {row['log']}\n  {row['vkey']}")
