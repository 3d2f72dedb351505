"""``tahini keys``: make, show, rotate, back up and restore keys."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import func, select

from cli.shared import progress, refuse_in_one_sentence, say
from consent.home import opened
from consent.keys.backup import forgetting, known_backups, restore_backup, write_backup
from consent.keys.keystore import FileKeyStore
from consent.storage.tables import DataKeyRow, KeyGroupRow
from crypto.cosignatures import KEY_FILE_MAGIC, CosigningKey, Kind
from crypto.keys import (
    RecipientKey,
    SigningKey,
    load_recipient_key,
    load_signing_key,
    read_secret,
    save_recipient_key,
    save_signing_key,
    write_secret,
)
from crypto.notes import Verifier
from protocol.errors import Conflict, ConsentError

app = typer.Typer(
    no_args_is_help=True, help="Make, show, rotate, back up and restore keys.", rich_markup_mode="markdown"
)
Home = Annotated[Path, typer.Option(help="The registry's home folder.", exists=True, file_okay=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class KeyKind(StrEnum):
    """What a key is for."""

    SIGNING = "signing"
    RECIPIENT = "recipient"
    WITNESS = "witness"
    WITNESS_ML_DSA = "witness-ml-dsa-44"


@app.callback()
def keys() -> None:
    """Keys. Private halves stay in files of mode 0600 and are never printed."""


@app.command(epilog="Example: `tahini keys new witness aspen.witness.key --name aspen.example/witness`")
@refuse_in_one_sentence
def new(
    kind: Annotated[KeyKind, typer.Argument(help="What the key is for.")],
    path: Annotated[Path, typer.Argument(help="A new file.")],
    name: Annotated[str | None, typer.Option(help="A witness's name, as it stands on checkpoints.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key from the operating system's randomness; prints its public half."""
    if path.exists():
        raise Conflict(f"{path} exists already; a key is never overwritten")
    if kind is KeyKind.SIGNING:
        save_signing_key(path, SigningKey.generate())
    elif kind is KeyKind.RECIPIENT:
        save_recipient_key(path, RecipientKey.generate())
    else:
        if name is None:
            raise ConsentError("a witness's key needs --name")
        algorithm = Kind.ED25519 if kind is KeyKind.WITNESS else Kind.ML_DSA_44
        write_secret(path, CosigningKey.generate(name, algorithm).secret)
    _show(path, None, as_json)


@app.command(epilog="Example: `tahini keys show mylog/registry/log.key --origin audit.example.com/loans`")
@refuse_in_one_sentence
def show(
    path: Annotated[Path, typer.Argument(help="A key file.", exists=True, dir_okay=False)],
    origin: Annotated[str | None, typer.Option(help="Print a log's key as the verifier key of this origin.")] = None,
    as_json: AsJson = False,
) -> None:
    """The public half of a key file."""
    _show(path, origin, as_json)


def _show(path: Path, origin: str | None, as_json: bool) -> None:
    secret = read_secret(path)
    found: dict[str, Any] = {}
    if secret.startswith(KEY_FILE_MAGIC):
        public = CosigningKey.from_secret(secret).public
        found = {"kind": public.kind.name.lower(), "name": public.name, "vkey": public.vkey}
    elif len(secret) == 32:
        key = load_signing_key(path).public
        found = {"kind": "signing", "public": key.text, "thumbprint": key.thumbprint}
        if origin is not None:
            found["vkey"] = Verifier(origin, key).vkey
    elif len(secret) == 96:
        found = {"kind": "recipient", "public": load_recipient_key(path).public.text}
    else:
        CosigningKey.from_secret(secret)  # says that it is none
    say(found if as_json else "\n".join(f"{name}: {value}" for name, value in found.items()), as_json)


@app.command(epilog="Example: `tahini keys status --home mylog/registry`")
@refuse_in_one_sentence
def status(home: Home, as_json: AsJson = False) -> None:
    """The key store, its versions, and how many borrowers' keys it protects."""
    with opened(home) as registry:
        with registry.ledger.read() as session:
            people = session.scalar(select(func.count()).select_from(DataKeyRow)) or 0
            groups = session.scalar(select(func.count()).select_from(KeyGroupRow)) or 0
            oldest = session.scalar(select(func.min(KeyGroupRow.root_version)))
        store = registry.keys.store
        found = {
            "store": "file" if isinstance(store, FileKeyStore) else "vault",
            "newest_root_version": store.newest(),
            "oldest_root_version_in_use": oldest,
            "groups": groups,
            "data_keys": people,
            "backups": [str(path) for path in known_backups(registry)],
        }
    say(found if as_json else "\n".join(f"{n.replace('_', ' ')}: {v}" for n, v in found.items()), as_json)


@app.command(epilog="Example: `tahini keys rotate --home mylog/registry`")
@refuse_in_one_sentence
def rotate(home: Home, as_json: AsJson = False) -> None:
    """Make a new version of the root key and destroy the older ones; old copies of the database become unreadable."""
    with opened(home) as registry, forgetting(registry), registry.ledger.database.write() as session:
        registry.ledger.log.lease.hold(session)
        version = registry.keys.rotate(session)
    say({"root_version": version} if as_json else f"the root key is version {version}; older ones are gone", as_json)


@app.command(epilog="Example: `tahini keys backup --home mylog/registry /backups/keys.json`")
@refuse_in_one_sentence
def backup(
    home: Home, path: Annotated[Path, typer.Argument(help="Where to write it.")], as_json: AsJson = False
) -> None:
    """Back up the wrapped keys, and keep that backup current after every forgetting. It opens nothing by itself."""
    with opened(home) as registry, progress("backing up", None):
        count = len(write_backup(registry, path).keys)
    say({"keys": count, "path": str(path)} if as_json else f"{count:,} wrapped keys in {path}", as_json)


@app.command(epilog="Example: `tahini keys restore --home mylog/registry /backups/keys.json`")
@refuse_in_one_sentence
def restore(
    home: Home,
    path: Annotated[Path, typer.Argument(help="A backup.", exists=True, dir_okay=False)],
    as_json: AsJson = False,
) -> None:
    """Put wrapped keys back after the database was restored. Nobody who was forgotten comes back."""
    with opened(home) as registry, progress("restoring", None):
        count = restore_backup(registry, path)
    say({"keys": count} if as_json else f"{count:,} keys are back", as_json)
