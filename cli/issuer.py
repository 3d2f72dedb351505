"""``tahini issuer``: an OIDC issuer for development."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.shared import AsJson, Noun, say

app = Noun(
    "An OIDC issuer that logs anybody in as anybody: for development, on this machine, never in "
    "production."
)


@app.command(epilog="Example: `TAHINI_ENVIRONMENT=development tahini issuer serve --port 8790`")
def serve(
    port: Annotated[
        int, typer.Option(help="Port to listen on, at 127.0.0.1.", min=1, max=65535)
    ] = 8790,
    key: Annotated[
        Path | None,
        typer.Option(
            help="File of the key that it signs with; a new one at each start without it.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Serve the issuer until interrupted. Starts only with TAHINI_ENVIRONMENT=development."""
    from consent.identity.devissuer import create_issuer
    from crypto.keys import load_signing_key
    from ops.serving import Listening, run

    url = f"http://127.0.0.1:{port}"
    served = create_issuer(url, None if key is None else load_signing_key(key))
    where = {"issuer": url, "jwks_uri": f"{url}/jwks.json", "authorize": f"{url}/authorize"}
    say(
        where
        if as_json
        else f"issuer {url}, keys at {where['jwks_uri']}; anybody can log in as anybody",
        as_json,
    )
    run(served, Listening(port=port))
