"""``tahini portal``: the borrower's pages over a consent registry."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.public_pages import (
    Authority,
    ConsortiumFile,
    IssuerUrls,
    Origin,
    RegistryKey,
    RegistryUrl,
    Zone,
    make,
    serve_pages,
)
from cli.shared import AsJson, Certificate, Host, NewHome, Noun, Port, PortalHome, PrivateKey

app = Noun("The borrower's pages: what I am asked, what I gave, who used it, and taking it back.")


@app.command(
    epilog="Example: `tahini portal init --home portal --registry https://registry.example "
    "--consortium consortium.jws --registry-key KEY --origin https://my.example --issuer "
    "https://login.example --client-id portal`"
)
def init(
    home: NewHome,
    registry: RegistryUrl,
    consortium: ConsortiumFile,
    registry_key: RegistryKey,
    origin: Origin,
    issuer: IssuerUrls,
    client_id: Annotated[str, typer.Option(help="The portal's name at the issuers.")] = "portal",
    authority: Authority = None,
    zone: Zone = "Asia/Shanghai",
    as_json: AsJson = False,
) -> None:
    """Make a portal's home. Register its address, ORIGIN/callback, at every issuer."""
    from screens.portal.home import PortalSettings

    said = {
        "registry_url": registry,
        "registry_key": registry_key,
        "origin": origin,
        "zone": zone,
    }
    then = ", then: tahini portal serve"
    make(home, PortalSettings, said, issuer, client_id, consortium, authority, then, as_json)


@app.command(epilog="Example: `tahini portal serve --home portal --port 8725`")
def serve(
    home: PortalHome,
    host: Host = None,
    port: Port = None,
    certificate: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Serve the pages until interrupted. Each visit lives in this process: one process a portal."""
    from screens.portal.app import create_portal
    from screens.portal.home import PortalListening

    serve_pages(home, create_portal, PortalListening, host, port, certificate, key)
