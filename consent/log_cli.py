"""``tahini log``: look at a consent log from the outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from consent.audit import verify_log
from consent.client import RegistryClient, load_consortium
from consent.documents import Role
from consent.errors import ConsentError
from crypto.errors import CryptoError
from crypto.keys import PublicKey, load_recipient_key, load_signing_key

app = typer.Typer(no_args_is_help=True, help="Verify an audit log from the outside.")


@app.callback()
def log() -> None:
    """The audit log."""


@app.command(
    epilog="Example: tahini log verify --url http://127.0.0.1:8700 --auditor workspace/auditor "
    "--consortium workspace/coordinator/consortium.jws --registry-key KEY --since first.checkpoint"
)
def verify(
    url: Annotated[str, typer.Option(help="The registry's base URL.")],
    auditor: Annotated[Path, typer.Option(help="The auditor's home folder.", exists=True, file_okay=False)],
    consortium: Annotated[Path, typer.Option(help="The signed consortium document.")],
    registry_key: Annotated[str, typer.Option(help="The registry's public key, as pinned.")],
    since: Annotated[Path, typer.Option(help="A checkpoint kept from earlier.", exists=True, dir_okay=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Verify signatures, consistency, inclusion and authority of the whole log. Exit code 1 if anything is wrong."""
    try:
        pinned = load_consortium(consortium, PublicKey.from_text(registry_key))
        key = load_signing_key(auditor / "auditor.key")
        recipient = load_recipient_key(auditor / "auditor.recipient.key")
        client = RegistryClient(url, pinned, pinned.one(Role.AUDITOR).id, key)
        say = (lambda _: None) if as_json else (lambda line: typer.echo(f"  ok  {line}"))
        audit = verify_log(client, since.read_text(), recipient, say)
    except (ConsentError, CryptoError) as error:
        typer.echo(f"tahini: {error}", err=True)
        raise typer.Exit(1) from error
    if as_json:
        typer.echo(json.dumps({"verified": True, "entries": audit.entries, "by_type": audit.by_type}))
    else:
        typer.echo(f"verified {audit.entries:,} entries")
