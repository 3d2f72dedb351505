"""``tahini keys``: make, show, rotate, back up and restore keys."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.shared import AsJson, Noun, RegistryHome, opened_registry, progress, say
from cli.staff import As, acting, tell_at_home
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

app = Noun(
    "Make, show, rotate, back up and restore keys.",
    "Private halves stay in files of mode 0600 and are never printed.",
)


class KeyKind(StrEnum):
    """What a key is for."""

    SIGNING = "signing"
    RECIPIENT = "recipient"
    WITNESS = "witness"
    WITNESS_ML_DSA = "witness-ml-dsa-44"


@app.command(
    epilog="Example: `tahini keys new witness aspen.witness.key --name aspen.example/witness`"
)
def new(
    kind: Annotated[KeyKind, typer.Argument(help="What the key is for.")],
    path: Annotated[Path, typer.Argument(help="A new file.")],
    name: Annotated[
        str | None, typer.Option(help="A witness's name, as it stands on checkpoints.")
    ] = None,
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


@app.command(
    epilog="Example: `tahini keys show mylog/registry/log.key --origin audit.example.com/loans`"
)
def show(
    path: Annotated[Path, typer.Argument(help="A key file.", exists=True, dir_okay=False)],
    origin: Annotated[
        str | None, typer.Option(help="Print a log's key as the verifier key of this origin.")
    ] = None,
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
    say(
        found if as_json else "\n".join(f"{name}: {value}" for name, value in found.items()),
        as_json,
    )


@app.command(epilog="Example: `tahini keys status --home mylog/registry`")
def status(home: RegistryHome, as_json: AsJson = False) -> None:
    """The key store, its versions, and how many borrowers' keys it protects."""
    from sqlalchemy import func, select

    from consent.keys.backup import known_backups
    from consent.keys.keystore import FileKeyStore
    from consent.storage.tables import DataKeyRow, KeyGroupRow

    with opened_registry(home) as registry:
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
    say(
        found if as_json else "\n".join(f"{n.replace('_', ' ')}: {v}" for n, v in found.items()),
        as_json,
    )


@app.command(epilog="Example: `tahini keys rotate --home mylog/registry`")
def rotate(home: RegistryHome, as_json: AsJson = False) -> None:
    """Make a new version of the root key and destroy the older ones; old copies of the database
    become unreadable."""
    from consent.keys.backup import forgetting

    with (
        opened_registry(home) as registry,
        forgetting(registry),
        registry.ledger.database.write() as session,
    ):
        registry.ledger.log.lease.hold(session)
        version = registry.keys.rotate(session)
    say(
        {"root_version": version}
        if as_json
        else f"the root key is version {version}; older ones are gone",
        as_json,
    )


@app.command(epilog="Example: `tahini keys backup --home mylog/registry /backups/keys.json`")
def backup(
    home: RegistryHome,
    path: Annotated[Path, typer.Argument(help="Where to write it.")],
    as_json: AsJson = False,
) -> None:
    """Back up the wrapped keys, and keep that backup current after every forgetting. It opens
    nothing by itself."""
    from consent.keys.backup import write_backup

    with opened_registry(home) as registry, progress("backing up", None):
        count = len(write_backup(registry, path).keys)
    say(
        {"keys": count, "path": str(path)} if as_json else f"{count:,} wrapped keys in {path}",
        as_json,
    )


@app.command(epilog="Example: `tahini keys restore --home mylog/registry /backups/keys.json`")
def restore(
    home: RegistryHome,
    path: Annotated[Path, typer.Argument(help="A backup.", exists=True, dir_okay=False)],
    staff: As = None,
    as_json: AsJson = False,
) -> None:
    """Put wrapped keys back after the database was restored. Nobody who was forgotten comes
    back: whom the restored database still names is erased again."""
    from consent.commands.forget_subject import erase_again
    from consent.keys.backup import restore_backup

    with opened_registry(home) as registry, progress("restoring", None):
        operator = acting(staff, registry.consortium)
        count = restore_backup(registry, path)
        again = erase_again(registry)
    if operator is not None:
        tell_at_home(
            home, None, "system.changed", {"command": "keys restore", "operator": operator}
        )
    text = f"{count:,} keys are back; {again:,} people erased again"
    say({"keys": count, "erased_again": again} if as_json else text, as_json)
