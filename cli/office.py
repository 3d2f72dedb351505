"""``tahini office``: the pages of a lender's own staff, beside its node and its desk."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from cli.shared import Certificate, Host, NodeHome, Noun, Port, PrivateKey, opened_node
from cli.staff import As, acting
from cli.staff_leaving import take_off

app = Noun("The lender's pages: what must be done today; campaigns, reviews, revocations, figures.")


@app.command(epilog="Example: `tahini office serve --home lenders/aspen --desk desk --as staff.17`")
def serve(
    home: NodeHome,
    desk: Annotated[
        Path | None,
        typer.Option(
            help="The home of the lender's desk, for reviews and portfolio.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    staff: As = None,
    host: Host = None,
    port: Port = None,
    certificate: Certificate = None,
    key: PrivateKey = None,
    portal: Annotated[
        str | None,
        typer.Option(help="Where customers find the borrowers' pages: https://… without a path."),
    ] = None,
    reached_at: Annotated[
        str | None,
        typer.Option(help="Where people reach it, if not at host and port: https://…"),
    ] = None,
    zone: Annotated[
        str | None, typer.Option(help="Time zone of the times that pages show.")
    ] = None,
) -> None:
    """Serve the pages until interrupted. They sign with the node's key: to this machine alone,
    where whoever opens them types the code that is shown here; or, with staff.json in the home, to
    people who log in at the lender's own issuer."""
    from desk.home import opened_desk
    from ops.serving import run
    from screens.house.staff import staff_code
    from screens.house.staff_list import STAFF_FILE
    from screens.office.app import create_office
    from screens.office.home import SETTINGS_FILE, OfficeListening

    flags = {"host": host, "port": port, "certificate": certificate, "certificate_key": key}
    said = {**flags, "portal": portal, "reached_at": reached_at, "zone": zone}
    listening = OfficeListening.read(home / SETTINGS_FILE, **said)
    operator = acting(staff, opened_node(home).consortium)
    with ExitStack() as stack:
        opened = None
        if desk is not None:
            opened = stack.enter_context(opened_desk(desk))
            opened.start()
            stack.callback(opened.stop)
        app_ = create_office(home, listening, opened, operator)
        code = "" if (home / STAFF_FILE).exists() else f"; its code is {staff_code(home)}"
        typer.echo(f"the office is at {listening.origin}{code}")
        run(app_, listening)


@app.command(
    name="remove-staff",
    epilog="Example: `tahini office remove-staff e.17 --home lenders/aspen`",
)
def remove_staff(
    name: Annotated[str, typer.Argument(help="As they are called in staff.json.")],
    home: NodeHome,
) -> None:
    """Take somebody who has left off the list of those who may come in; their visit ends as well.
    What they did stays on the record under that name."""
    take_off(home, name)
