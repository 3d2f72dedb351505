"""``tahini log``: serve an audit log, append to it, look at it, prove, verify, check and export
it."""

from __future__ import annotations

import hashlib
import json
import sys
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from auditlog.reading import Anchors
from cli import log_reading, succession
from cli.log_reading import DEFAULT_URL, Ca, ConsortiumFile, RegistryKey, Url
from cli.shared import (
    AsJson,
    Host,
    MetricsHost,
    MetricsPort,
    Noun,
    Port,
    RegistryHome,
    Workers,
    opened_registry,
    progress,
    say,
)
from cli.staff import As, acting, tell_at_home
from crypto.sentences import one_sentence
from ops.named_files import ask, text_of
from protocol.errors import Conflict, ConsentError

if TYPE_CHECKING:
    from consent.commands.append_entries import NewEntry

app = Noun(
    "Serve, append to, look at, prove, verify and export an audit log.",
    "It is encrypted, witnessed, and checkable by any transparency-log client.",
)


@app.command(
    epilog=(
        "Example: `tahini log init --home mylog --origin audit.example.com/loans --lender aspen "
        "--no-quorum`"
    )
)
def init(
    home: Annotated[Path, typer.Option(help="A new folder for the log and everybody's keys.")],
    origin: Annotated[
        str, typer.Option(help="The log's name for the world: a URL without https://.")
    ],
    lender: Annotated[
        list[str] | None, typer.Option(help="Id of a party that will append; may be repeated.")
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="A postgresql:// URL; SQLite in the home without it.")
    ] = None,
    no_quorum: Annotated[
        bool,
        typer.Option(
            "--no-quorum", help="Yes: nobody witnesses it, and its operator's word is all there is."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Found a log by itself, with a key for everybody who writes to it or reads it, and no
    witnesses."""
    from consent.provisioning import POLICY_FILE, REGISTRY_HOME, found_log

    if not no_quorum:
        raise Conflict(
            "a log that is founded here has no witnesses, so that its operator can show everybody "
            "another history: say --no-quorum, or found a consortium with witnesses (tahini "
            "registry init --witness)"
        )
    made = found_log(home, origin, lender or [], database)
    if as_json:
        say(
            {
                "home": str(home),
                "origin": origin,
                "parties": made.parties,
                "policy": made.policy.text,
            },
            True,
        )
        return
    typer.echo(f"founded the log {origin} in {home}; its parties: {', '.join(made.parties)}")
    typer.echo(f"next: tahini log serve --home {home / REGISTRY_HOME}")
    typer.echo(
        f"      tahini log append --home {home / REGISTRY_HOME} --type use.read --to auditor "
        "--body note.json"
    )
    typer.echo(f"      tahini log tail --policy {home / POLICY_FILE}")


@app.command(epilog="Example: `tahini log serve --home mylog/registry --port 8700`")
def serve(
    home: RegistryHome,
    port: Port = None,
    host: Host = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Never write, even when nobody else does.")
    ] = False,
    workers: Workers = None,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = None,
) -> None:
    """Serve the log alone over HTTP: checkpoint, tiles, proofs, appends. Until SIGTERM or SIGINT.

    Any number of services may serve one log. One of them writes; the others answer readers, and
    refuse appends with 503 until the writer ends. Then one of them takes over, unless it is
    --read-only.
    """
    from consent.serving import LogListening, Service, serve

    listening = LogListening.read(
        home / "serve-log.json",
        host=host,
        port=port,
        workers=workers,
        metrics_host=metrics_host,
        metrics_port=metrics_port,
    )
    serve(Service(home, log_only=True, read_only=read_only), listening)


@app.command(
    epilog="Example: `tahini log append --home mylog/registry --type use.read --to auditor --count "
    "rows=120 --body reason.json`"
)
def append(
    kind: Annotated[
        str, typer.Option("--type", help="The entry's type: words joined by dots.")
    ] = "",
    to: Annotated[
        list[str] | None, typer.Option(help="A party that can read the body; may be repeated.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="Instead: a borrower's pseudonym; seals under their key.")
    ] = None,
    body: Annotated[
        Path | None, typer.Option(help="File of the body; - for standard input.", allow_dash=True)
    ] = None,
    campaign: Annotated[
        str | None, typer.Option(help="Hash of the campaign it belongs to.")
    ] = None,
    count: Annotated[
        list[str] | None, typer.Option(help="A public count, name=number; may be repeated.")
    ] = None,
    digest: Annotated[
        list[str] | None, typer.Option("--hash", help="A public SHA-256, name=hex.")
    ] = None,
    entries: Annotated[
        Path | None, typer.Option(help="Instead: a file of entries, one JSON object a line.")
    ] = None,
    home: Annotated[
        Path | None, typer.Option(help="The registry's home: append here, as the registry.")
    ] = None,
    url: Url = DEFAULT_URL,
    ca: Ca = None,
    consortium: ConsortiumFile = None,
    registry_key: RegistryKey = None,
    party: Annotated[str | None, typer.Option(help="Who appends, over HTTP.")] = None,
    key: Annotated[Path | None, typer.Option(help="That party's signing key.")] = None,
    as_json: AsJson = False,
) -> None:
    """Append entries; returns when they are durable. Over HTTP as a party, or in the registry's own
    home."""
    from consent.commands.append_entries import MAX_BATCH, append_entries

    new = _new_entries(kind, to, subject, body, campaign, count, digest, entries)
    if not new:
        raise ConsentError(f"{entries} holds no entries; nothing was recorded")
    indexes: list[int] = []
    batches = [new[i : i + MAX_BATCH] for i in range(0, len(new), MAX_BATCH)]
    if home is not None:
        with opened_registry(home) as registry, progress("appending", len(new)) as done:
            for batch in batches:
                first = append_entries(registry, registry.me, batch)
                indexes += range(first, first + len(batch))
                done(len(indexes))
            registry.ledger.catch_up()
    else:
        if party is None or key is None:
            raise ConsentError(
                "say who appends: --home, or --party and --key with --consortium and --registry-key"
            )
        member = Anchors(url, ca, consortium, registry_key).member(party, key)
        with member as client, progress("appending", len(new)) as done:
            for batch in batches:
                indexes += client.append(
                    [entry.model_dump(mode="json", exclude_none=True) for entry in batch]
                )
                done(len(indexes))
    found = {"first": indexes[0], "count": len(indexes)}
    say(
        found
        if as_json
        else f"entry {indexes[0]}" + (f" to {indexes[-1]}" if len(indexes) > 1 else ""),
        as_json,
    )


def _entry(source: Path, number: int, line: str) -> NewEntry:
    from consent.commands.append_entries import NewEntry

    try:
        return NewEntry.model_validate_json(line)
    except ValidationError as error:
        raise ConsentError(
            f"{source}, line {number}: {one_sentence(error)}; nothing was recorded"
        ) from error


def _new_entries(
    kind: str,
    to: list[str] | None,
    subject: str | None,
    body: Path | None,
    campaign: str | None,
    count: list[str] | None,
    digest: list[str] | None,
    entries: Path | None,
) -> list[NewEntry]:
    from consent.commands.append_entries import NewEntry

    if entries is not None:
        lines = text_of(entries, "the entries").split("\n")
        return [
            _entry(entries, number, line) for number, line in enumerate(lines, 1) if line.strip()
        ]
    content = b""
    if body is not None:
        content = (
            sys.stdin.buffer.read()
            if str(body) == "-"
            else ask(body.read_bytes, f"the body {body}")
        )
    fields: dict[str, Any] = {
        "type": kind,
        "to": to or [],
        "subject": subject,
        "campaign": campaign,
        "counts": _pairs(count),
        "hashes": _pairs(digest),
        "body": urlsafe_b64encode(content).rstrip(b"=").decode(),
    }
    return [NewEntry.model_validate(fields)]


def _pairs(items: list[str] | None) -> dict[str, str]:
    return {name: value for name, _, value in (item.partition("=") for item in items or [])}


@app.command(epilog="Example: `tahini log fsck --home mylog/registry`")
def fsck(home: RegistryHome, as_json: AsJson = False) -> None:
    """Rebuild every tile, hash and root from the raw entries; name the first thing that is wrong.
    Exit code 1 if so."""
    from auditlog.fsck import check_log

    with opened_registry(home) as registry, progress("checking", None) as done:
        found = check_log(registry.ledger.database, registry.ledger.log, done)
    waiting = found.entries - found.integrated
    text = (
        f"the log is whole: {found.entries:,} entries, {found.tiles:,} tiles, {found.heads:,} "
        "signed heads, root "
        f"{found.root[:16]}…" + (f"; {waiting:,} entries wait to be integrated" if waiting else "")
    )
    say({"whole": True, **vars(found)} if as_json else text, as_json)


@app.command(
    epilog=(
        "Example: `tahini log export --home mylog/registry --from 2026-01-01 --to 2026-12-31 --out "
        "record`"
    )
)
def export(
    home: RegistryHome,
    start: Annotated[str, typer.Option("--from", help="First day, as 2026-01-01.")],
    end: Annotated[str, typer.Option("--to", help="Last day, included.")],
    out: Annotated[
        Path, typer.Option(help="Folder for processing-record.json and .html.", file_okay=False)
    ] = Path(),
    url: Annotated[
        str | None, typer.Option(help="Where the registry serves, if it does: to log the export.")
    ] = None,
    staff: As = None,
    as_json: AsJson = False,
) -> None:
    """The record of processing activities of a period (GDPR Art. 30; part of what PIPL Art.
    56 keeps), as JSON and as a page. That it was made is logged before it is written."""
    from consent.export import html_page, parse_day, processing_record

    with opened_registry(home) as registry:
        operator = acting(staff, registry.consortium)
        record = processing_record(registry, parse_day(start), parse_day(end))
    out.mkdir(parents=True, exist_ok=True)
    data, page = out / "processing-record.json", out / "processing-record.html"
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    about = {"command": "log export", "operator": operator, "from": start, "to": end}
    document = hashlib.sha256(text.encode()).hexdigest()
    tell_at_home(home, url, "evidence.read", about, hashes={"document": document})
    data.write_text(text, encoding="utf-8")
    page.write_text(html_page(record), encoding="utf-8")
    say(
        record
        if as_json
        else f"{record['entries']['in_period']:,} entries; wrote {data} and {page}",
        as_json,
    )


app.registered_commands += log_reading.app.registered_commands


@app.command(
    name="open-hold",
    epilog="Example: `tahini log open-hold held.json --recipient-key auditor.recipient.key`",
)
def open_hold(
    file: Annotated[Path, typer.Argument(help="What `tahini registry release-hold` wrote.")],
    recipient_key: Annotated[Path, typer.Option(help="The auditor's recipient key.")],
) -> None:
    """Open, as the auditor, what an erased person had signed and the registry has released, for a
    court; prints JSON."""
    from consent.commands.hold_evidence import open_hold
    from crypto.keys import load_recipient_key

    auditor = load_recipient_key(recipient_key)
    say([open_hold(line, auditor) for line in text_of(file).splitlines() if line.strip()], True)


app.registered_commands += succession.app.registered_commands
