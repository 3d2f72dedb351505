"""``tahini ca``: a consortium's certificate authority, for those who have no certificates of their own."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.shared import refuse_in_one_sentence, say
from fleet.errors import FleetError
from fleet.tls import create_authority, issue
from ops.certificates import expires_at
from protocol.errors import ConsentError

app = typer.Typer(no_args_is_help=True, help="Certificates of a consortium.", rich_markup_mode="markdown")
Folder = Annotated[Path, typer.Option("--ca", help="The authority's folder.", file_okay=False)]


@app.callback()
def ca() -> None:
    """A certificate authority that a consortium's parties pin. Whoever has certificates of their own needs none."""


@app.command(epilog="Example: `tahini ca init --ca ca --name sesame`")
@refuse_in_one_sentence
def init(folder: Folder, name: Annotated[str, typer.Option(help="The consortium's name.")]) -> None:
    """Make the authority. Its key stays with whoever runs it; everybody pins its certificate."""
    try:
        made = create_authority(folder, name)
    except FleetError as error:
        raise ConsentError(str(error)) from error
    typer.echo(f"made {made}, for everybody to pin; keep {folder / 'ca.key'} off the network")


@app.command("issue", epilog="Example: `tahini ca issue registry --ca ca --to tls --host registry.example`")
@refuse_in_one_sentence
def issue_(
    name: Annotated[str, typer.Argument(help="What the files are called: NAME.crt and NAME.key.")],
    folder: Folder,
    host: Annotated[list[str], typer.Option(help="DNS name or address that clients call; once for each.")],
    to: Annotated[Path, typer.Option(help="Folder for the two files.", file_okay=False)] = Path(),
) -> None:
    """Make a key and a certificate of 90 days for one server; running it again renews, and servers take it as it is."""
    try:
        issue(folder, to, name, host)
    except FleetError as error:
        raise ConsentError(str(error)) from error
    typer.echo(f"{to / f'{name}.crt'} is valid until {expires_at(to / f'{name}.crt'):%Y-%m-%d}")


@app.command(epilog="Example: `tahini ca show tls/registry.crt --json`; exit code 3 for one that has expired")
@refuse_in_one_sentence
def show(
    certificate: Annotated[Path, typer.Argument(help="A PEM certificate.", exists=True, dir_okay=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Until when a certificate is valid."""
    ends = expires_at(certificate)
    left = (ends - datetime.now(UTC)).days
    say({"certificate": str(certificate), "expires_at": ends.isoformat(), "days": left} if as_json
        else f"{certificate} is valid until {ends:%Y-%m-%d %H:%M} UTC, {left} days from now", as_json)  # fmt: skip
    if left < 0:
        raise typer.Exit(3)
