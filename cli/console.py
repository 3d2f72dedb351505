"""``tahini console``: the coordinator's pages."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.shared import CoordinatorHome, Host, Noun, Port

app = Noun("The coordinator's pages: what runs, what it costs, who is missing, what to do.")


@app.command(epilog="Example: `tahini console serve --home coordinator --port 8723`")
def serve(
    home: CoordinatorHome,
    host: Host = None,
    port: Port = None,
    zone: Annotated[
        str | None,
        typer.Option(help="Time zone of the times that pages show; Asia/Shanghai by default."),
    ] = None,
) -> None:
    """Serve the pages on this machine until interrupted, and print the code that opens them."""
    from ops.serving import run
    from screens.console.app import create_console
    from screens.console.home import listening_of
    from screens.house.staff import staff_code
    from server.home import Coordinator

    listening = listening_of(home, host=host, port=port, zone=zone)
    Coordinator.open(home)
    console = create_console(home, listening)
    typer.echo(f"{listening.origin} opens with the code {staff_code(home)}")
    run(console, listening)
