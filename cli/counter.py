"""``tahini counter``: a lender's own front for its borrowers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.shared import AsJson, Certificate, CounterHome, Host, NewHome, Noun, Port, PrivateKey, say

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
    registry: Annotated[str, typer.Option(help="The registry's URL.")],
    consortium: Annotated[
        Path, typer.Option(help="The pinned consortium document.", exists=True, dir_okay=False)
    ],
    registry_key: Annotated[str, typer.Option(help="The registry's public key.")],
    origin: Annotated[str, typer.Option(help="Where people reach it: https://… without a path.")],
    issuer: Annotated[
        list[str], typer.Option(help="An OIDC issuer to log in at; several are fine.")
    ],
    client_id: Annotated[
        str,
        typer.Option(
            help="This counter's name at the issuers; the registry knows it as this lender's: "
            "counters in issuers.json."
        ),
    ] = "counter",
    authority: Annotated[
        Path | None,
        typer.Option(
            help="PEM file of the authority of the certificates of registry and desk, if it is not "
            "one of the system's.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    zone: Annotated[str, typer.Option(help="Time zone of the times that pages show.")] = (
        "Asia/Shanghai"
    ),
    as_json: AsJson = False,
) -> None:
    """Make a counter's home. Register its address, ORIGIN/callback, at every issuer."""
    from screens.counter.home import create_counter_home

    said: dict[str, Any] = {
        "lender": lender,
        "desk_url": desk,
        "registry_url": registry,
        "registry_key": registry_key,
        "origin": origin,
        "issuers": [{"issuer": one, "client_id": client_id} for one in issuer],
        "zone": zone,
    }
    create_counter_home(home, said, consortium.read_text(encoding="utf-8"), authority)
    say(
        {"home": str(home), "redirect_uri": f"{origin}/callback"}
        if as_json
        else f"{home} made; register {origin}/callback at the issuer and {client_id} among the "
        f"registry's counters, then: tahini counter serve --home {home}",
        as_json,
    )


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
    from ops.serving import run
    from screens.counter.app import create_counter
    from screens.counter.home import CounterListening

    flags = {"host": host, "port": port, "certificate": certificate, "certificate_key": key}
    listening = CounterListening.read(home / "serve.json", **flags)
    run(create_counter(home), listening)
