"""``tahini consents``: a lender's own copy of how its borrowers stand, and its inbox for revocations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import uvicorn

from cli.shared import refuse_in_one_sentence, say
from clients.errors import NodeError
from clients.home import Node
from clients.inbox import Inbox, inbox_app
from protocol.errors import ConsentError
from protocol.snapshots import REASONS, SENSITIVITY_ORDER, reasons_of
from protocol.terms import TRAINING_PURPOSE

app = typer.Typer(no_args_is_help=True, help="A lender's copy of its borrowers' consents.", rich_markup_mode="markdown")
AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
Home = Annotated[Path, typer.Option(help="The node's home folder.", exists=True, file_okay=False)]


@app.callback()
def consents() -> None:
    """Who may be used, and who has revoked."""


def _node(home: Path) -> Node:
    try:
        return Node.open(home)
    except NodeError as error:
        raise ConsentError(str(error)) from error


@app.command(epilog="Example: `tahini consents sync --home lenders/aspen`")
@refuse_in_one_sentence
def sync(
    home: Home,
    purpose: Annotated[str, typer.Option(help="The purpose, as a DPV IRI.")] = TRAINING_PURPOSE,
    as_json: AsJson = False,
) -> None:
    """Bring the copy up to date, acknowledge revocations, and count how everybody stands."""
    node = _node(home)
    try:
        with node.registry() as client:
            revoked = client.revocations()
            for other in {one.purpose for one in revoked} - {purpose}:
                node.consents.sync(client, other)
            snapshot = node.consents.sync(client, purpose)
            if revoked:
                client.acknowledge(revoked[-1].number, node.key)
    except NodeError as error:
        raise ConsentError(str(error)) from error
    counts: dict[str, Any] = {
        kind: {
            REASONS[rule]: int(count)
            for rule, count in enumerate(
                np.bincount(reasons_of(snapshot.codes[kind], snapshot.state.notices), minlength=len(REASONS))
            )
            if count
        }
        for kind in SENSITIVITY_ORDER
    }
    told = {"people": snapshot.state.people, "acknowledged": len(revoked), "sequence": snapshot.state.sequence}
    if as_json:
        say({**told, **counts}, as_json)
        return
    typer.echo(f"{snapshot.state.people:,} people on the roll; {len(revoked)} revocations acknowledged")
    for kind, found in counts.items():
        typer.echo(f"  {kind}: " + ", ".join(f"{count:,} {rule}" for rule, count in found.items()))


@app.command(epilog="Example: `tahini consents serve --home lenders/aspen --port 8730`")
@refuse_in_one_sentence
def serve(
    home: Home,
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8730,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve the inbox at /revocations until interrupted; the registry's operator names it in inboxes.json."""
    uvicorn.run(inbox_app(Inbox(_node(home))), host=host, port=port, log_level="warning", access_log=False)
