"""``tahini consents``: a lender's own copy of how its borrowers stand, and its inbox for
revocations."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.shared import AsJson, NodeHome, Noun, opened_node, say
from protocol.terms import TRAINING_PURPOSE

app = Noun("A lender's copy of its borrowers' consents.", "Who may be used, and who has revoked.")


@app.command(epilog="Example: `tahini consents sync --home lenders/aspen`")
def sync(
    home: NodeHome,
    purpose: Annotated[str, typer.Option(help="The purpose, as a DPV IRI.")] = TRAINING_PURPOSE,
    as_json: AsJson = False,
) -> None:
    """Bring the copy up to date, acknowledge revocations, and count how everybody stands."""
    import numpy as np

    from clients.erasures import obey
    from protocol.snapshots import REASONS, reasons_of

    node = opened_node(home)
    with node.registry() as client:
        revoked = client.revocations()
        whole = obey(node, client, revoked)
        snapshot = node.consents.sync(client, purpose)
    counts: dict[str, Any] = {
        kind: {
            REASONS[rule]: int(count)
            for rule, count in enumerate(
                np.bincount(
                    reasons_of(snapshot.codes[kind], snapshot.state.notices), minlength=len(REASONS)
                )
            )
            if count
        }
        for kind in snapshot.codes
    }
    told = {
        "people": snapshot.state.people,
        "acknowledged": len(revoked) if whole else 0,
        "waiting_for_a_desk": not whole,
        "sequence": snapshot.state.sequence,
    }
    if as_json:
        say({**told, **counts}, as_json)
        return
    waits = (
        "" if whole else "; somebody is to be erased first: tahini desk erase, tahini book retain"
    )
    typer.echo(
        f"{snapshot.state.people:,} people on the roll; {told['acknowledged']} revocations "
        f"acknowledged{waits}"
    )
    for kind, found in counts.items():
        typer.echo(f"  {kind}: " + ", ".join(f"{count:,} {rule}" for rule, count in found.items()))


@app.command(epilog="Example: `tahini consents serve --home lenders/aspen --port 8730`")
def serve(
    home: NodeHome,
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8730,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve the inbox at /revocations until interrupted; the registry's operator names it in
    inboxes.json."""
    import uvicorn

    from clients.inbox import Inbox, inbox_app

    uvicorn.run(
        inbox_app(Inbox(opened_node(home))),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
    )
