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
    from clients.syncing import counts_of, sync_copy

    done = sync_copy(opened_node(home), purpose)
    state, counts = done.snapshot.state, counts_of(done.snapshot)
    told: dict[str, Any] = {
        "people": state.people,
        "acknowledged": done.acknowledged,
        "waiting_for_a_desk": done.waiting_for_a_desk,
        "sequence": state.sequence,
    }
    if as_json:
        say({**told, **counts}, as_json)
        return
    waits = (
        "; somebody is to be erased first: tahini desk erase, tahini book retain"
        if done.waiting_for_a_desk
        else ""
    )
    typer.echo(
        f"{state.people:,} people on the roll; {told['acknowledged']} revocations "
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
