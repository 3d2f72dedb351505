"""``tahini evidence collect``, ``merge``, ``verify``: what a consortium hands to a regulator."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, Any

import typer

from auditlog.reading import Anchors
from cli.institution import institution
from cli.log_reading import ConsortiumFile, RegistryKey
from cli.shared import AnyHome, AsJson, Noun, opened_registry, say
from cli.staff import As, acting, tell, tell_at_home
from crypto.keys import RecipientPublicKey, load_recipient_key
from crypto.notes import Checkpoint
from fleet.code import installed_code
from ops.named_files import text_of
from protocol.client.institutions import InstitutionClient
from protocol.errors import Conflict, ConsentError
from protocol.evidence import EvidenceManifest, LogHead, PackScope
from protocol.parties import Consortium, Role
from protocol.parts import PartWriter, new_part, seal_part
from protocol.schema import now

app = Noun("Evidence packs.")
EXPORTED = "evidence.exported"
Since = Annotated[
    Path | None,
    typer.Option(help="A checkpoint kept from before, which the log must extend.", exists=True),
]


@dataclass(frozen=True)
class _Made:
    """What a part says of the log."""

    entry_index: int
    first: Checkpoint
    last: Checkpoint


@app.command(
    epilog="Example: `tahini evidence collect --home workspace/registry --scope campaign:HASH "
    "--out registry.part`, and the same in the coordinator's and each lender's home; the auditor "
    "puts the parts together with `tahini evidence merge`"
)
def collect(
    home: AnyHome,
    scope: Annotated[
        str,
        typer.Option(help="campaign:HASH, period:2026, period:FROM..TO, or lender:ID:2026."),
    ],
    out: Annotated[Path, typer.Option(help="A new file.", dir_okay=False)],
    to: Annotated[
        str,
        typer.Option(
            help="Who can open it: a party's id, or a file with a recipient's public key."
        ),
    ] = "auditor",
    since: Since = None,
    url: Annotated[
        str | None, typer.Option(help="Where the registry serves; for its own home while it does.")
    ] = None,
    given: As = None,
    as_json: AsJson = False,
) -> None:
    """Make this institution's part of an evidence pack, signed, sealed to whoever is to read it.

    That it is made is logged first. Nobody is in it: no name, no key, no evidence of a person.
    """
    about = PackScope.parse(scope)
    if out.exists():
        raise Conflict(f"{out} exists already")
    kept = None if since is None else text_of(since, "the checkpoint")
    with institution(home, url) as me, new_part() as part:
        consortium = me.client.consortium
        reader, key = _reader(consortium, to)
        operator = acting(given, consortium)
        body = {"scope": about.text, **({"operator": operator} if operator else {})}
        if me.party.role is Role.REGISTRY:
            made = _of_registry(home, about, url, body, part, kept)
        else:
            made = _of_others(home, me.client, about, body, part)
        manifest = EvidenceManifest(
            scope=about.text,
            maker=me.party.id,
            operator=operator,
            consortium_sha256=consortium.sha256,
            code_sha256=installed_code(),
            entry_index=made.entry_index,
            log_origin=made.last.origin,
            first=LogHead.of(made.first),
            last=LogHead.of(made.last),
            made_at=now(),
            files=part.files,
        )
        with TemporaryFile() as tar, _new_file(out) as file:
            part.write(manifest.sign(me.key), tar)
            tar.seek(0)
            seal_part(tar, reader, key, file)
    told = {"entry_index": made.entry_index, "files": len(part.files), "sealed_to": reader}
    told["manifest"] = manifest.sha256
    words = f"{len(part.files)} files about {about.text} in {out}, sealed to {reader}"
    say(told if as_json else words, as_json)


def _reader(consortium: Consortium, to: str) -> tuple[str, RecipientPublicKey]:
    """Name and key of whoever is to open it. Raises ConsentError, KeyFileError."""
    if Path(to).is_file():
        return "reader", RecipientPublicKey.from_text(text_of(Path(to), "the key").strip())
    named = consortium.one(Role.AUDITOR).id if to == "auditor" else to
    key = consortium.party(named).recipient_key
    if key is None:
        raise ConsentError(f"nothing can be sealed to {named!r}: it has no recipient key")
    return named, RecipientPublicKey.from_text(key)


@contextmanager
def _new_file(path: Path) -> Iterator[Any]:
    """A file for nobody else's eyes, whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file
        os.link(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _of_registry(
    home: Path,
    scope: PackScope,
    url: str | None,
    body: dict[str, Any],
    part: PartWriter,
    since: str | None,
) -> _Made:
    from consent.evidence import check_scope, collect

    with opened_registry(home) as registry:
        check_scope(registry, scope)
    index = tell_at_home(home, url, EXPORTED, body, **scope.public())
    if url is not None:
        with institution(home, url) as me:
            me.client.inclusion(index, wait=True)
    with opened_registry(home) as registry:
        found = collect(registry, scope, index, part, since)
    return _Made(index, found.first, found.last)


def _of_others(
    home: Path, client: InstitutionClient, scope: PackScope, body: dict[str, Any], part: PartWriter
) -> _Made:
    """A lender's, the coordinator's, or the naming service's."""
    if (home / "approved").is_dir():
        from clients.evidence import collect as collect_node
        from clients.home import Node

        index = tell(client, EXPORTED, body, **scope.public())
        collect_node(Node.open(home), scope, part)
    elif (home / "campaigns").is_dir():
        from server.evidence import collect as collect_coordinator
        from server.home import Coordinator

        index = tell(client, EXPORTED, body, **scope.public())
        collect_coordinator(Coordinator.open(home), scope, part)
    else:
        from naming.evidence import collect as collect_naming
        from naming.keys import NamingHome

        names = NamingHome.open(home)
        index = tell(client, EXPORTED, body, **scope.public())
        collect_naming(names, part)
    leaf, proof = client.proved_leaf(index, wait=True)
    part.add(f"log/entries/{index}.json", leaf)
    part.add(f"log/entries/{index}.tlog-proof", proof.text.encode())
    part.add("log/checkpoint", proof.checkpoint_note.encode())
    head = client.trust.open(proof.checkpoint_note)
    return _Made(index, head, head)


@app.command(
    epilog="Example: `tahini evidence merge registry.part coordinator.part aspen.part --out pack "
    "--key auditor/auditor.recipient.key --consortium consortium.jws --registry-key KEY`"
)
def merge(
    parts: Annotated[
        list[Path], typer.Argument(help="Parts, as they were handed in.", exists=True)
    ],
    out: Annotated[Path, typer.Option(help="A new folder.")],
    key: Annotated[
        Path | None, typer.Option(help="The key that opens sealed parts.", exists=True)
    ] = None,
    consortium: ConsortiumFile = None,
    registry_key: RegistryKey = None,
    as_json: AsJson = False,
) -> None:
    """Put parts together into a pack, each checked for its maker's signature and every file's hash.

    `missing.json` lists whose part is not there.
    """
    from auditlog.pack_merging import merge as merge_parts

    pinned = Anchors("", None, consortium, registry_key).pinned()
    recipient = None if key is None else load_recipient_key(key)
    missing = merge_parts(parts, out, pinned, recipient)
    lacking = ", ".join(missing["missing"]) or "nobody's"
    words = f"{len(missing['present'])} parts in {out}; missing: {lacking}"
    say(missing if as_json else words, as_json)


@app.command(
    epilog="Example: `tahini evidence verify pack --consortium consortium.jws --registry-key KEY "
    "--since first.checkpoint`; exit code 1 and the file's name if anything does not hold"
)
def verify(
    pack: Annotated[Path, typer.Argument(help="A pack's folder.", exists=True, file_okay=False)],
    consortium: ConsortiumFile = None,
    registry_key: RegistryKey = None,
    since: Since = None,
    as_json: AsJson = False,
) -> None:
    """Check a pack offline: signatures, hashes, places in the log, approvals, epsilon, counts.

    What is believed is the consortium document as you pinned it, never the copy in the pack.
    """
    from auditlog.pack_checks import verify_pack

    pinned = Anchors("", None, consortium, registry_key).pinned()
    found = verify_pack(pack, pinned, None if since is None else text_of(since, "the checkpoint"))
    if as_json:
        told: dict[str, Any] = {
            "scope": found.scope,
            "parts": found.parts,
            "missing": found.missing,
        }
        told |= {"checked": found.checked, "not_shown": found.not_shown, "whole": found.whole}
        say(told, True)
        return
    for line in found.checked:
        typer.echo(line)
    typer.echo(f"missing: {', '.join(found.missing) or 'nobody'}")
    whole = "whole: no entry of the log and no document that it speaks of was left out"
    typer.echo(whole if found.whole else f"not whole: {'; '.join(found.not_shown)}")
