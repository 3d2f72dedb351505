"""``tahini witness``: run a lender's witness of the consent log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.shared import AsJson, Certificate, Host, Noun, Port, PrivateKey, opened_node, say, told
from crypto.errors import CryptoError, TahiniError
from crypto.notes import claimed_checkpoint
from ops.settings import SERVE_FILE

if TYPE_CHECKING:
    from clients.witness import LenderWitness

app = Noun(
    "Run a lender's witness of the consent log.",
    "A witness cosigns a log's heads, and only those that extend what it saw before.",
)
Homes = Annotated[
    list[Path], typer.Option("--home", help="A node's home folder.", exists=True, file_okay=False)
]


def _open(homes: list[Path]) -> dict[str, LenderWitness]:
    from clients.witness import LenderWitness

    try:
        nodes = [opened_node(home) for home in homes]
        return {
            node.lender: LenderWitness.open(node.home, node.consortium.log.verifier)
            for node in nodes
        }
    except TahiniError as error:
        raise told(error, 2) from error


@app.command(epilog="Example: `tahini witness serve --home lenders/aspen --port 8710`")
def serve(
    home: Homes,
    port: Port = None,
    host: Host = None,
    certificate: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Serve C2SP tlog-witness over HTTP until interrupted.

    With one home the witness is at the root. With several (trials on one machine) each is under its
    lender's id. Options can also stand in `serve.json` of the first home or in the environment
    (TAHINI_WITNESS_PORT …); the port is 8710 otherwise.
    """
    from clients.witness import WitnessListening, witness_app
    from ops.serving import run

    listening = WitnessListening.read(
        home[0] / SERVE_FILE, host=host, port=port, certificate=certificate, certificate_key=key
    )
    run(witness_app(_open(home)), listening)


@app.command(epilog="Example: `tahini witness show --home lenders/aspen`")
def show(home: Homes, as_json: AsJson = False) -> None:
    """Who a witness is, and how far it has seen each log."""
    rows = []
    for lender, found in _open(home).items():
        for origin in found.logs:
            try:
                note = found.latest(origin)
            except CryptoError as error:
                raise CryptoError(
                    f"{lender}'s witness cannot rely on its memory: {error}"
                ) from error
            head = claimed_checkpoint(note) if note else None
            row = {
                "lender": lender,
                "vkey": found.key.public.vkey,
                "log": origin,
                "size": head.size if head else 0,
            }
            rows.append(row)
    if as_json:
        say(rows, True)
        return
    for row in rows:
        typer.echo(
            f"{row['lender']}: has seen {row['size']:,} entries of {row['log']}\n  {row['vkey']}"
        )
