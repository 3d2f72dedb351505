"""``tahini ca``: a consortium's certificate authority, for those who have no certificates of their
own."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.shared import AsJson, Noun, say
from fleet.tls import create_authority, issue
from ops.certificates import expires_at

app = Noun(
    "Certificates of a consortium, from an authority that its parties pin.",
    "Whoever has certificates of their own needs none.",
)
Folder = Annotated[Path, typer.Option("--ca", help="The authority's folder.", file_okay=False)]


@app.command(epilog="Example: `tahini ca init --ca ca --name sesame`")
def init(folder: Folder, name: Annotated[str, typer.Option(help="The consortium's name.")]) -> None:
    """Make the authority. Its key stays with whoever runs it; everybody pins its certificate."""
    made = create_authority(folder, name)
    typer.echo(f"made {made}, for everybody to pin; keep {folder / 'ca.key'} off the network")


@app.command(
    "issue", epilog="Example: `tahini ca issue registry --ca ca --to tls --host registry.example`"
)
def issue_(
    name: Annotated[str, typer.Argument(help="What the files are called: NAME.crt and NAME.key.")],
    folder: Folder,
    host: Annotated[
        list[str], typer.Option(help="DNS name or address that clients call; once for each.")
    ],
    to: Annotated[Path, typer.Option(help="Folder for the two files.", file_okay=False)] = Path(),
) -> None:
    """Make a key and a certificate of 90 days for one server; running it again renews, and servers
    take it as it is."""
    issue(folder, to, name, host)
    typer.echo(f"{to / f'{name}.crt'} is valid until {expires_at(to / f'{name}.crt'):%Y-%m-%d}")


@app.command(
    epilog="Example: `tahini ca show tls/registry.crt --json`; exit code 3 for one that has expired"
)
def show(
    certificate: Annotated[
        Path, typer.Argument(help="A PEM certificate.", exists=True, dir_okay=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Until when a certificate is valid."""
    ends = expires_at(certificate)
    left = (ends - datetime.now(UTC)).days
    say(
        {"certificate": str(certificate), "expires_at": ends.isoformat(), "days": left}
        if as_json
        else f"{certificate} is valid until {ends:%Y-%m-%d %H:%M} UTC, {left} days from now",
        as_json,
    )
    if left < 0:
        raise typer.Exit(3)
