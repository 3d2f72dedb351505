"""``tahini console``: the coordinator's pages."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.shared import Certificate, CoordinatorHome, Host, Noun, Port, PrivateKey
from cli.staff_leaving import take_off

app = Noun("The coordinator's pages: what runs, what it costs, who is missing, what to do.")


@app.command(epilog="Example: `tahini console serve --home coordinator --port 8723`")
def serve(
    home: CoordinatorHome,
    host: Host = None,
    port: Port = None,
    certificate: Certificate = None,
    key: PrivateKey = None,
    origin: Annotated[
        str | None,
        typer.Option(
            help="Where people reach it from other machines: https://… without a path. Needs "
            "`staff.json` in the home."
        ),
    ] = None,
    zone: Annotated[
        str | None,
        typer.Option(help="Time zone of the times that pages show; Asia/Shanghai by default."),
    ] = None,
) -> None:
    """Serve the pages until interrupted; on this machine alone, print the code that opens them."""
    from ops.serving import run
    from protocol.errors import BadSettings
    from screens.console.app import create_console
    from screens.console.home import listening_of
    from screens.house.staff import staff_code
    from screens.house.staff_list import STAFF_FILE

    flags = {"host": host, "port": port, "certificate": certificate, "certificate_key": key}
    listening = listening_of(home, **flags, origin=origin, zone=zone)
    try:
        console = create_console(home, listening)
    except ValueError as error:
        raise BadSettings(str(error)) from error
    listed = (home / STAFF_FILE).exists()
    opens = "a log-in at the issuer" if listed else f"the code {staff_code(home)}"
    typer.echo(f"{listening.reached_at} opens with {opens}")
    run(console, listening)


@app.command(
    name="remove-staff", epilog="Example: `tahini console remove-staff wang --home coordinator`"
)
def remove_staff(
    name: Annotated[str, typer.Argument(help="As they are called in staff.json.")],
    home: CoordinatorHome,
) -> None:
    """Take somebody who has left off the list of those who may come in; their visit ends as well.
    What they did stays on the record under that name."""
    take_off(home, name)
