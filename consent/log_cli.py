"""``tahini log``: serve an audit log, append to it, look at it, prove, verify, check and export it."""

from __future__ import annotations

import json
import sys
import time
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from consent.audit import open_body, verify_log
from consent.cli_support import (
    Host,
    MetricsHost,
    MetricsPort,
    Port,
    Workers,
    ask,
    key_of,
    opened,
    progress,
    refuse_in_one_sentence,
    say,
    text_of,
)
from consent.client import RegistryClient, load_consortium
from consent.commands.append_entries import MAX_BATCH, NewEntry, append_entries
from consent.documents import Role
from consent.errors import AuditFailed, ConsentError
from consent.export import html_page, parse_day, processing_record
from consent.founding import POLICY_FILE, REGISTRY_HOME, found_log
from consent.fsck import check_log
from consent.log_client import LogClient
from crypto.errors import ProofError
from crypto.keys import PublicKey, load_recipient_key, load_signing_key
from crypto.notes import InclusionProof
from crypto.policies import Policy
from crypto.sentences import one_sentence

app = typer.Typer(
    no_args_is_help=True,
    help="Serve, append to, look at, prove, verify and export an audit log.",
    rich_markup_mode="markdown",
)
DEFAULT_URL = "http://127.0.0.1:8700"
Home = Annotated[Path, typer.Option(help="The registry's home folder.", exists=True, file_okay=False)]
Url = Annotated[str, typer.Option(help="The log's base URL.")]
PolicyFile = Annotated[Path, typer.Option("--policy", help="The pinned trust policy (C2SP tlog-policy).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ConsortiumFile = Annotated[Path | None, typer.Option("--consortium", help="The pinned, signed consortium document.")]
RegistryKey = Annotated[str | None, typer.Option("--registry-key", help="The registry's public key, or a file of it.")]
AuditorHome = Annotated[Path | None, typer.Option("--auditor", help="The auditor's home folder.", file_okay=False)]


@app.callback()
def log() -> None:
    """The audit log: encrypted, witnessed, and checkable by any transparency-log client."""


def _reader(url: str, policy: Path) -> LogClient:
    return LogClient(url, Policy.parse(text_of(policy, "the policy")))


def _member(
    url: str, consortium: Path | None, registry_key: str | None, party: str | None, key: Path
) -> RegistryClient:
    """A client that signs as ``party``; as the auditor when none is named."""
    if consortium is None or registry_key is None:
        raise AuditFailed("this needs --consortium and --registry-key, as they were pinned")
    pinned = load_consortium(consortium, PublicKey.from_text(key_of(registry_key)))
    caller = pinned.party(party).id if party else pinned.one(Role.AUDITOR).id
    return RegistryClient(url, pinned, caller, load_signing_key(key))


@app.command(epilog="Example: `tahini log init --home mylog --origin audit.example.com/loans --lender aspen`")
@refuse_in_one_sentence
def init(
    home: Annotated[Path, typer.Option(help="A new folder for the log and everybody's keys.")],
    origin: Annotated[str, typer.Option(help="The log's name for the world: a URL without https://.")],
    lender: Annotated[list[str] | None, typer.Option(help="Id of a party that will append; may be repeated.")] = None,
    database: Annotated[str | None, typer.Option(help="A postgresql:// URL; SQLite in the home without it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Found a log by itself, with a key for everybody who writes to it or reads it."""
    made = found_log(home, origin, lender or [], database)
    if as_json:
        say({"home": str(home), "origin": origin, "parties": made.parties, "policy": made.policy.text}, True)
        return
    typer.echo(f"founded the log {origin} in {home}; its parties: {', '.join(made.parties)}")
    typer.echo(f"next: tahini log serve --home {home / REGISTRY_HOME}")
    typer.echo(f"      tahini log append --home {home / REGISTRY_HOME} --type use.read --to auditor --body note.json")
    typer.echo(f"      tahini log tail --policy {home / POLICY_FILE}")


@app.command(epilog="Example: `tahini log serve --home mylog/registry --port 8700`")
@refuse_in_one_sentence
def serve(
    home: Home,
    port: Port = None,
    host: Host = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Never write, even when nobody else does.")] = False,
    workers: Workers = None,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = None,
) -> None:
    """Serve the log alone over HTTP: checkpoint, tiles, proofs, appends. Until SIGTERM or SIGINT.

    Any number of services may serve one log. One of them writes; the others answer readers, and refuse appends with
    503 until the writer ends. Then one of them takes over, unless it is --read-only.
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
    epilog="Example: `tahini log append --home mylog/registry --type use.read --to auditor --count rows=120 "
    "--body reason.json`"
)
@refuse_in_one_sentence
def append(
    kind: Annotated[str, typer.Option("--type", help="The entry's type: words joined by dots.")] = "",
    to: Annotated[list[str] | None, typer.Option(help="A party that can read the body; may be repeated.")] = None,
    subject: Annotated[str | None, typer.Option(help="Instead: a borrower's pseudonym; seals under their key.")] = None,
    body: Annotated[Path | None, typer.Option(help="File of the body; - for standard input.", allow_dash=True)] = None,
    campaign: Annotated[str | None, typer.Option(help="Hash of the campaign it belongs to.")] = None,
    count: Annotated[list[str] | None, typer.Option(help="A public count, name=number; may be repeated.")] = None,
    digest: Annotated[list[str] | None, typer.Option("--hash", help="A public SHA-256, name=hex.")] = None,
    entries: Annotated[Path | None, typer.Option(help="Instead: a file of entries, one JSON object a line.")] = None,
    home: Annotated[Path | None, typer.Option(help="The registry's home: append here, as the registry.")] = None,
    url: Url = DEFAULT_URL,
    consortium: ConsortiumFile = None,
    registry_key: RegistryKey = None,
    party: Annotated[str | None, typer.Option(help="Who appends, over HTTP.")] = None,
    key: Annotated[Path | None, typer.Option(help="That party's signing key.")] = None,
    as_json: AsJson = False,
) -> None:
    """Append entries; returns when they are durable. Over HTTP as a party, or in the registry's own home."""
    new = _new_entries(kind, to, subject, body, campaign, count, digest, entries)
    if not new:
        raise ConsentError(f"{entries} holds no entries; nothing was recorded")
    indexes: list[int] = []
    batches = [new[i : i + MAX_BATCH] for i in range(0, len(new), MAX_BATCH)]
    if home is not None:
        with opened(home) as registry, progress("appending", len(new)) as done:
            for batch in batches:
                first = append_entries(registry, registry.me, batch)
                indexes += range(first, first + len(batch))
                done(len(indexes))
            registry.catch_up()
    else:
        if party is None or key is None:
            raise ConsentError("say who appends: --home, or --party and --key with --consortium and --registry-key")
        client = _member(url, consortium, registry_key, party, key)
        with progress("appending", len(new)) as done:
            for batch in batches:
                indexes += client.append([entry.model_dump(mode="json", exclude_none=True) for entry in batch])
                done(len(indexes))
        client.close()
    found = {"first": indexes[0], "count": len(indexes)}
    say(found if as_json else f"entry {indexes[0]}" + (f" to {indexes[-1]}" if len(indexes) > 1 else ""), as_json)


def _entry(source: Path, number: int, line: str) -> NewEntry:
    try:
        return NewEntry.model_validate_json(line)
    except ValidationError as error:
        raise ConsentError(f"{source}, line {number}: {one_sentence(error)}; nothing was recorded") from error


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
    if entries is not None:
        lines = text_of(entries, "the entries").split("\n")
        return [_entry(entries, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    content = b""
    if body is not None:
        content = sys.stdin.buffer.read() if str(body) == "-" else ask(body.read_bytes, f"the body {body}")
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


@app.command(epilog="Example: `tahini log tail --policy mylog/log.policy --follow`")
@refuse_in_one_sentence
def tail(
    policy: PolicyFile,
    url: Url = DEFAULT_URL,
    number: Annotated[int, typer.Option("--number", "-n", help="How many of the newest entries.", min=0)] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as the log grows.")] = False,
    as_json: AsJson = False,
) -> None:
    """The newest skeletons, each verified under the signed head. With --json one object a line."""
    client = _reader(url, policy)
    head = client.head()
    at = max(0, head.size - number)
    while True:
        for index, leaf in enumerate(client.verified_leaves(head, at), at):
            fields = json.loads(leaf)
            if as_json:
                typer.echo(json.dumps({"index": index, **fields}))
            else:
                rest = {k: v for k, v in fields.items() if k not in {"v", "type", "time", "actor", "body"}}
                typer.echo(
                    f"{index:>8}  {fields['time'][:19]}  {fields['type']:<20} {fields['actor']:<14} {rest or ''}"
                )
        at = head.size
        if not follow:
            return
        while head.size == at:
            time.sleep(0.5)
            newer = client.head()
            client.check_consistency(head, newer)
            head = newer


@app.command(epilog="Example: `tahini log show 12 --policy mylog/log.policy`")
@refuse_in_one_sentence
def show(
    index: Annotated[int, typer.Argument(help="The entry's index.", min=0)],
    policy: PolicyFile,
    url: Url = DEFAULT_URL,
    auditor: AuditorHome = None,
    consortium: ConsortiumFile = None,
    registry_key: RegistryKey = None,
    as_json: AsJson = False,
) -> None:
    """One entry, verified; with the auditor's home also what is sealed to it."""
    reader = _reader(url, policy)
    leaf, proof = reader.proved_leaf(index)
    found: dict[str, Any] = {
        "index": index,
        "leaf": json.loads(leaf),
        "under": reader.trust.open(proof.checkpoint_note).size,
    }
    if auditor is not None:
        client = _member(url, consortium, registry_key, None, auditor / "auditor.key")
        name = client.consortium.one(Role.AUDITOR).id
        recipient = load_recipient_key(auditor / "auditor.recipient.key")
        found["body"] = open_body(client, name, recipient, found["leaf"], client.body(index)).decode(errors="replace")
        client.close()
    say(found if as_json else json.dumps(found, indent=2, ensure_ascii=False), as_json)


@app.command(epilog="Example: `tahini log prove 12 --policy mylog/log.policy --out receipts`")
@refuse_in_one_sentence
def prove(
    index: Annotated[int, typer.Argument(help="The entry's index.", min=0)],
    policy: PolicyFile,
    url: Url = DEFAULT_URL,
    out: Annotated[Path, typer.Option(help="Folder for the leaf and its proof.", file_okay=False)] = Path(),
    as_json: AsJson = False,
) -> None:
    """Fetch, verify and keep the offline proof of one entry (C2SP tlog-proof)."""
    leaf, proof = _reader(url, policy).proved_leaf(index, wait=True)
    out.mkdir(parents=True, exist_ok=True)
    files = {"leaf": out / f"entry-{index}.json", "proof": out / f"entry-{index}.tlog-proof"}
    files["leaf"].write_bytes(leaf)
    files["proof"].write_text(proof.text, encoding="utf-8")
    named = {name: str(path) for name, path in files.items()}
    say(named if as_json else f"proved; kept {named['leaf']} and {named['proof']}", as_json)


@app.command(
    epilog="Examples: `tahini log verify --auditor mylog/auditor --consortium mylog/consortium.jws --registry-key "
    "mylog/registry.pub --since first.checkpoint`, or offline `tahini log verify --proof entry-12.tlog-proof --leaf "
    "entry-12.json --policy mylog/log.policy`"
)
@refuse_in_one_sentence
def verify(
    url: Url = DEFAULT_URL,
    auditor: AuditorHome = None,
    consortium: ConsortiumFile = None,
    registry_key: RegistryKey = None,
    since: Annotated[Path | None, typer.Option(help="A checkpoint kept from earlier.", dir_okay=False)] = None,
    proof: Annotated[Path | None, typer.Option(help="Offline: a .tlog-proof …", dir_okay=False)] = None,
    leaf: Annotated[Path | None, typer.Option(help="… of this leaf …", dir_okay=False)] = None,
    policy: Annotated[Path | None, typer.Option(help="… under this trust policy.", dir_okay=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Verify the whole log from the outside, or one kept proof offline. Exit code 1 if anything is wrong."""
    if proof is not None:
        if leaf is None or policy is None:
            raise ProofError("an offline proof is checked with --proof, --leaf and --policy")
        parsed = InclusionProof.parse(text_of(proof, "the proof"))
        trust = Policy.parse(text_of(policy, "the policy"))
        head = parsed.verify(ask(leaf.read_bytes, f"the leaf {leaf}"), trust)
        found = {"verified": True, "index": parsed.index, "size": head.size, "origin": head.origin}
        say(found if as_json else f"verified: entry {parsed.index} of {head.size:,} in {head.origin}", as_json)
        return
    if auditor is None or since is None:
        raise AuditFailed("the whole log is verified with --auditor, --consortium, --registry-key and --since")
    client = _member(url, consortium, registry_key, None, auditor / "auditor.key")
    recipient = load_recipient_key(auditor / "auditor.recipient.key")
    audit = verify_log(
        client,
        text_of(since, "the checkpoint"),
        recipient,
        lambda line: None if as_json else typer.echo(f"  ok  {line}"),
    )
    client.close()
    found = {"verified": True, "entries": audit.entries, "by_type": audit.by_type}
    say(found if as_json else f"verified {audit.entries:,} entries", as_json)


@app.command(epilog="Example: `tahini log fsck --home mylog/registry`")
@refuse_in_one_sentence
def fsck(home: Home, as_json: AsJson = False) -> None:
    """Rebuild every tile, hash and root from the raw entries; name the first thing that is wrong. Exit code 1 if so."""
    with opened(home) as registry, progress("checking", None) as done:
        found = check_log(registry.database, registry.log, done)
    waiting = found.entries - found.integrated
    text = (
        f"the log is whole: {found.entries:,} entries, {found.tiles:,} tiles, {found.heads:,} signed heads, root "
        f"{found.root[:16]}…" + (f"; {waiting:,} entries wait to be integrated" if waiting else "")
    )
    say({"whole": True, **vars(found)} if as_json else text, as_json)


@app.command(epilog="Example: `tahini log export --home mylog/registry --from 2026-01-01 --to 2026-12-31 --out record`")
@refuse_in_one_sentence
def export(
    home: Home,
    start: Annotated[str, typer.Option("--from", help="First day, as 2026-01-01.")],
    end: Annotated[str, typer.Option("--to", help="Last day, included.")],
    out: Annotated[Path, typer.Option(help="Folder for processing-record.json and .html.", file_okay=False)] = Path(),
    as_json: AsJson = False,
) -> None:
    """The record of processing activities of a period (GDPR Art. 30; PIPL Art. 55 and 56), as JSON and as a page."""
    with opened(home) as registry:
        record = processing_record(registry, parse_day(start), parse_day(end))
    out.mkdir(parents=True, exist_ok=True)
    data, page = out / "processing-record.json", out / "processing-record.html"
    data.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    page.write_text(html_page(record), encoding="utf-8")
    say(record if as_json else f"{record['entries']['in_period']:,} entries; wrote {data} and {page}", as_json)
