"""``tahini log``, when one auditor succeeds another: collect, seal again, take over."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from auditlog.archives import Outgoing, ResealedArchive, Sealed
from auditlog.audit import Past, verify_log
from auditlog.reading import ARCHIVE_FILE, EARLIER_FOLDER, Anchors
from cli.log_reading import DEFAULT_URL, Ca, ConsortiumFile, RegistryKey, Url
from cli.shared import Noun
from crypto.keys import (
    PublicKey,
    RecipientPublicKey,
    load_recipient_key,
    load_signing_key,
    replace_file,
)
from ops.named_files import ask, key_of, text_of
from protocol.client.base import load_consortium
from protocol.errors import AuditFailed
from protocol.handovers import Handover
from protocol.parties import Consortium, Role

app = Noun("One auditor succeeds another.", "What was sealed to it stays readable.")
HANDOVER_FILE = "handover.jws"
Home = Annotated[
    Path, typer.Option("--auditor", help="Your own home folder.", exists=True, file_okay=False)
]
Document = Annotated[
    Path, typer.Option("--consortium", help="The document that names the successor.", exists=True)
]
Key = Annotated[
    str, typer.Option("--registry-key", help="The registry's public key, or a file of it.")
]


@app.command(
    epilog="Example: `tahini log sealed --auditor notary --out sealed.json --url https://… --ca "
    "ca.crt --consortium consortium.jws --registry-key KEY`"
)
def sealed(
    auditor: Home,
    out: Annotated[Path, typer.Option(help="Where to write it, for the outgoing auditor.")],
    url: Url = DEFAULT_URL,
    ca: Ca = None,
    consortium: ConsortiumFile = None,
    registry_key: RegistryKey = None,
) -> None:
    """The successor collects what is sealed to the auditors before it. Still sealed.

    Their consortium documents lie in `earlier/` in its home.
    """
    anchors = Anchors(url, ca, consortium, registry_key)
    with anchors.member(None, auditor / "auditor.key") as client:
        head = client.head()
        leaves = client.verified_leaves(head)
        found = Sealed.collected(client, leaves, _earlier(anchors.past(auditor).consortiums))
    out.write_text(found.text, encoding="utf-8")
    typer.echo(
        f"{len(found.envelopes):,} envelopes and {len(found.bodies):,} bodies in {out}; next, the "
        "outgoing auditor: tahini log reseal"
    )


def _earlier(consortiums: Iterable[Consortium]) -> list[str]:
    found = [one.one(Role.AUDITOR).id for one in consortiums]
    if not found:
        raise AuditFailed(
            f"put the consortium documents of before into {EARLIER_FOLDER}/ in your home: nobody "
            "else says who was the auditor"
        )
    return found


@app.command(
    epilog="Example: `tahini log reseal --auditor auditor --name auditor --sealed sealed.json "
    "--consortium consortium.jws --registry-key KEY --out handover`; without a connection"
)
def reseal(
    auditor: Home,
    name: Annotated[str, typer.Option(help="Your id in the consortium, until now.")],
    sealed: Annotated[Path, typer.Option(help="What the successor collected.", exists=True)],
    consortium: Document,
    registry_key: Key,
    out: Annotated[Path, typer.Option(help="Folder for what is handed over.", file_okay=False)],
) -> None:
    """The outgoing auditor opens everything, and seals it to its successor; signs how much it was.

    Destroy your key only after the successor has it in the log (tahini log succeed), and the last
    legal hold from your time is over: what erased people had signed opens with your key alone.
    """
    from consent.notice_text import HELD_DAYS

    following = load_consortium(consortium, PublicKey.from_text(key_of(registry_key)))
    to = RecipientPublicKey.from_text(following.one(Role.AUDITOR).recipient_key or "")
    key = load_recipient_key(auditor / "auditor.recipient.key")
    own = auditor / ARCHIVE_FILE
    held = ResealedArchive.parse(own.read_bytes(), key) if own.exists() else None
    outgoing = Outgoing(name, key, held)
    archive = outgoing.resealed(Sealed.parse(text_of(sealed, "what is sealed")), to)
    handover = outgoing.handover(archive, following)
    out.mkdir(parents=True, exist_ok=True)
    replace_file(out / ARCHIVE_FILE, archive.content)
    token = handover.sign(load_signing_key(auditor / "auditor.key"))
    replace_file(out / HANDOVER_FILE, token.encode())
    typer.echo(
        f"sealed {handover.envelopes:,} envelopes and {handover.bodies:,} bodies to "
        f"{handover.successor!r}, in {out}; keep auditor.recipient.key for {HELD_DAYS:,} days "
        "more: what is held of people who were erased until now opens with it alone"
    )


@app.command(
    epilog="Example: `tahini log succeed --auditor notary --handover handover --url https://… --ca "
    "ca.crt --consortium consortium.jws --registry-key KEY`"
)
def succeed(
    auditor: Home,
    handover: Annotated[
        Path, typer.Option(help="Folder that was handed over.", exists=True, file_okay=False)
    ],
    url: Url = DEFAULT_URL,
    ca: Ca = None,
    consortium: ConsortiumFile = None,
    registry_key: RegistryKey = None,
) -> None:
    """The successor checks that all was handed over, verifies the whole log with it, and has the
    handover logged. From then on `tahini log verify --auditor` opens everything."""
    anchors = Anchors(url, ca, consortium, registry_key)
    key = load_recipient_key(auditor / "auditor.recipient.key")
    content = ask((handover / ARCHIVE_FILE).read_bytes, f"the archive in {handover}")
    archive = ResealedArchive.parse(content, key)
    token = text_of(handover / HANDOVER_FILE, "the handover").strip()
    if Handover.claimed(token).archive_sha256 != archive.sha256:
        raise AuditFailed("the archive is another than the outgoing auditor signed")
    earlier = tuple(anchors.past(auditor).consortiums)
    with anchors.member(None, auditor / "auditor.key") as client:
        audit = verify_log(client, client.checkpoint_note(), key, past=Past(earlier, archive))
        archive.check(Sealed.collected(client, audit.leaves, _earlier(earlier)))
        replace_file(auditor / ARCHIVE_FILE, content)
        index = client.succeed(token)
    typer.echo(f"verified {audit.entries:,} entries with what was handed over; entry {index}")
