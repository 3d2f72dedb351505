"""What ``tahini portal`` and ``tahini counter`` have in common: a home, made and served."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.shared import say

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from ops.serving import Listening
    from screens.homes import PublicSettings

RegistryUrl = Annotated[str, typer.Option("--registry", help="The registry's URL.")]
ConsortiumFile = Annotated[
    Path,
    typer.Option(
        "--consortium", help="The pinned consortium document.", exists=True, dir_okay=False
    ),
]
RegistryKey = Annotated[str, typer.Option(help="The registry's public key.")]
Origin = Annotated[str, typer.Option(help="Where people reach it: https://… without a path.")]
IssuerUrls = Annotated[
    list[str], typer.Option("--issuer", help="An OIDC issuer to log in at; several are fine.")
]
Authority = Annotated[
    Path | None,
    typer.Option(
        help="PEM file of the authority of the certificates of the services that it asks, if it is "
        "not one of the system's.",
        exists=True,
        dir_okay=False,
    ),
]
Zone = Annotated[str, typer.Option(help="Time zone of the times that pages show.")]


def make(
    home: Path,
    schema: type[PublicSettings],
    said: Mapping[str, Any],
    issuers: list[str],
    client_id: str,
    consortium: Path,
    authority: Path | None,
    then: str,
    as_json: bool,
) -> None:
    """Make a home and say what to do next.

    Args:
        said: the settings, but for the issuers.
        then: what to do after the app's address is registered at the issuers.
    """
    from screens.homes import create_public_home

    known = {**said, "issuers": [{"issuer": one, "client_id": client_id} for one in issuers]}
    document = consortium.read_text(encoding="utf-8")
    create_public_home(home, schema, known, document, authority)
    redirect = f"{said['origin']}/callback"
    told = f"{home} made; register {redirect} at the issuer{then} --home {home}"
    say({"home": str(home), "redirect_uri": redirect} if as_json else told, as_json)


def serve_pages(
    home: Path,
    create: Callable[[Path], Starlette],
    schema: type[Listening],
    host: str | None,
    port: int | None,
    certificate: Path | None,
    key: Path | None,
) -> None:
    """Serve the pages of a home until interrupted."""
    from ops.serving import run

    flags = {"host": host, "port": port, "certificate": certificate, "certificate_key": key}
    listening = schema.read(home / "serve.json", **flags)
    run(create(home), listening)
