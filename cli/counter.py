"""``tahini counter``: a lender's own front for its borrowers."""

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
from cli.shared import AsJson, Certificate, CounterHome, Host, NewHome, Noun, Port, PrivateKey

app = Noun("A lender's own front for its borrowers: apply, be told why, accept, repay.")


@app.command(
    epilog="Example: `tahini counter init --home counter --lender aspen --desk "
    "https://desk.aspen.example --registry https://registry.example --consortium consortium.jws "
    "--registry-key KEY --origin https://borrow.aspen.example --issuer https://login.example "
    "--client-id counter-aspen`"
)
def init(
    home: NewHome,
    lender: Annotated[str, typer.Option(help="Whose front it is: the lender's id.")],
    desk: Annotated[str, typer.Option(help="The lender's desk: tahini desk serve.")],
    registry: RegistryUrl,
    consortium: ConsortiumFile,
    registry_key: RegistryKey,
    origin: Origin,
    issuer: IssuerUrls,
    client_id: Annotated[
        str,
        typer.Option(
            help="This counter's name at the issuers; the registry knows it as this lender's: "
            "counters in issuers.json."
        ),
    ] = "counter",
    authority: Authority = None,
    zone: Zone = "Asia/Shanghai",
    as_json: AsJson = False,
) -> None:
    """Make a counter's home. Register its address, ORIGIN/callback, at every issuer."""
    from screens.counter.home import CounterSettings

    said = {
        "lender": lender,
        "desk_url": desk,
        "registry_url": registry,
        "registry_key": registry_key,
        "origin": origin,
        "zone": zone,
    }
    then = f" and {client_id} among the registry's counters, then: tahini counter serve"
    make(home, CounterSettings, said, issuer, client_id, consortium, authority, then, as_json)


@app.command(epilog="Example: `tahini counter serve --home counter --port 8721`")
def serve(
    home: CounterHome,
    host: Host = None,
    port: Port = None,
    certificate: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Serve the pages until interrupted. Each visit lives in this process: one process a
    counter."""
    from screens.counter.app import create_counter
    from screens.counter.home import CounterListening

    serve_pages(home, create_counter, CounterListening, host, port, certificate, key)
