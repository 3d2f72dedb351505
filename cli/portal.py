"""``tahini portal``: the borrower's pages over a consent registry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.shared import AsJson, Certificate, Host, NewHome, Noun, Port, PortalHome, PrivateKey, say

app = Noun("The borrower's pages: what I am asked, what I gave, who used it, and taking it back.")


@app.command(
    epilog="Example: `tahini portal init --home portal --registry https://registry.example "
    "--consortium consortium.jws --registry-key KEY --origin https://my.example --issuer "
    "https://login.example --client-id portal`"
)
def init(
    home: NewHome,
    registry: Annotated[str, typer.Option(help="The registry's URL.")],
    consortium: Annotated[
        Path, typer.Option(help="The pinned consortium document.", exists=True, dir_okay=False)
    ],
    registry_key: Annotated[str, typer.Option(help="The registry's public key.")],
    origin: Annotated[
        str, typer.Option(help="Where people reach the portal: https://… without a path.")
    ],
    issuer: Annotated[
        list[str], typer.Option(help="An OIDC issuer to log in at; several are fine.")
    ],
    client_id: Annotated[str, typer.Option(help="The portal's name at the issuers.")] = "portal",
    authority: Annotated[
        Path | None,
        typer.Option(
            help="PEM file of the authority of the registry's certificate, if it is not one of the "
            "system's.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    zone: Annotated[str, typer.Option(help="Time zone of the times that pages show.")] = (
        "Asia/Shanghai"
    ),
    as_json: AsJson = False,
) -> None:
    """Make a portal's home. Register its address, ORIGIN/callback, at every issuer."""
    from screens.portal.home import create_portal_home

    said: dict[str, Any] = {
        "registry_url": registry,
        "registry_key": registry_key,
        "origin": origin,
        "issuers": [{"issuer": one, "client_id": client_id} for one in issuer],
        "zone": zone,
    }
    create_portal_home(home, said, consortium.read_text(encoding="utf-8"), authority)
    say(
        {"home": str(home), "redirect_uri": f"{origin}/callback"}
        if as_json
        else f"{home} made; register {origin}/callback at the issuer, then: tahini portal serve "
        f"--home {home}",
        as_json,
    )


@app.command(epilog="Example: `tahini portal serve --home portal --port 8725`")
def serve(
    home: PortalHome,
    host: Host = None,
    port: Port = None,
    certificate: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Serve the pages until interrupted. Each visit lives in this process: one process a portal."""
    from ops.serving import run
    from screens.portal.app import create_portal
    from screens.portal.home import PortalListening

    flags = {"host": host, "port": port, "certificate": certificate, "certificate_key": key}
    listening = PortalListening.read(home / "serve.json", **flags)
    run(create_portal(home), listening)
