"""``tahini log``, as somebody outside: the newest entries, one entry, its proof, the whole log
verified."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from auditlog.audit import verify_log
from auditlog.reading import CHECKPOINT_FILE, Anchors, Filter, Opener
from cli.shared import AsJson, Noun, say
from cli.staff import As, acting, tell
from crypto.errors import ProofError
from crypto.keys import load_recipient_key
from crypto.notes import Checkpoint, InclusionProof
from crypto.policies import Policy
from ops.named_files import ask
from protocol.errors import AuditFailed
from protocol.lawfulness import Constitution, broken
from protocol.log_client import RESTART_PATIENCE_S, LogClient
from protocol.schema import now

app = Noun("Read a log from the outside.", "Nothing is believed that does not verify.")
DEFAULT_URL = "http://127.0.0.1:8700"
Url = Annotated[str, typer.Option(help="The log's base URL.")]
Ca = Annotated[
    Path | None,
    typer.Option(
        "--ca",
        help="The certificate authority to believe; the system's without it.",
        dir_okay=False,
    ),
]
PolicyFile = Annotated[
    Path | None,
    typer.Option(
        "--policy", help="A pinned trust policy (C2SP tlog-policy), instead of --consortium."
    ),
]
ConsortiumFile = Annotated[
    Path | None, typer.Option("--consortium", help="The pinned, signed consortium document.")
]
RegistryKey = Annotated[
    str | None, typer.Option("--registry-key", help="The registry's public key, or a file of it.")
]
AuditorHome = Annotated[
    Path | None,
    typer.Option("--auditor", help="The auditor's home folder; opens what is sealed to it."),
]


def _text(path: Path, what: str) -> str:
    return ask(lambda: path.read_text(encoding="utf-8-sig"), f"{what} {path}")


def _line(index: int, fields: dict[str, Any]) -> str:
    rest = {k: v for k, v in fields.items() if k not in {"v", "type", "time", "actor", "body"}}
    return (
        f"{index:>8}  {fields['time'][:19]}  {fields['type']:<20} {fields['actor']:<14} "
        f"{rest or ''}"
    )


@app.command(
    epilog="Examples: `tahini log tail --policy mylog/log.policy --follow` · `tahini log tail "
    "--url https://… --ca "
    "ca.crt --consortium consortium.jws --registry-key KEY --auditor auditor --lender aspen --type "
    "campaign --from 2026-01-01`"
)
def tail(
    policy: PolicyFile = None,
    url: Url = DEFAULT_URL,
    ca: Ca = None,
    consortium: ConsortiumFile = None,
    registry_key: RegistryKey = None,
    auditor: AuditorHome = None,
    lender: Annotated[
        str | None, typer.Option(help="Only entries by or about this lender.")
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--type", help="Only entries of this type, or beginning so; may be repeated."),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Only from this day on, as 2026-01-01.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Only until this day, included.")] = None,
    number: Annotated[
        int, typer.Option("--number", "-n", help="How many of the newest entries.", min=0)
    ] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as the log grows.")] = False,
    staff: As = None,
    as_json: AsJson = False,
) -> None:
    """The newest entries, each verified under the signed head; with the auditor's home also what is
    sealed to it."""
    from consent.export import parse_day

    anchors = Anchors(url, ca, consortium, registry_key, policy)
    wanted = Filter(lender, tuple(kind or ()), start and parse_day(start), end and parse_day(end))  # type: ignore[arg-type]
    client = anchors.reader()
    opener = None if auditor is None else _opener(anchors, auditor, staff, "log tail", None)
    head = client.head()
    for index, fields in _newest(client, head, wanted, number):
        _show(index, fields, opener, as_json)
    while follow:
        time.sleep(0.5)
        newer = client.head()
        client.check_consistency(head, newer)
        if newer.size > head.size:
            for index, fields in _entries(client, newer, head.size, wanted):
                _show(index, fields, opener, as_json)
        head = newer


def _opener(
    anchors: Anchors, auditor: Path, staff: str | None, command: str, index: int | None
) -> Opener:
    """Opens what is sealed to the auditor; that it is read, and by whom, is logged before."""
    opener = Opener.of(anchors, auditor)
    operator = acting(staff, opener.bodies.client.consortium)
    about = {"command": command, "operator": operator, "entry": index}
    tell(opener.bodies.client, "evidence.read", about)
    return opener


def _entries(
    client: LogClient, head: Checkpoint, start: int, wanted: Filter
) -> Iterator[tuple[int, dict[str, Any]]]:
    for index, leaf in enumerate(client.verified_leaves(head, start), start):
        fields: dict[str, Any] = json.loads(leaf)
        if wanted.wants(fields):
            yield index, fields


def _newest(
    client: LogClient, head: Checkpoint, wanted: Filter, number: int
) -> list[tuple[int, dict[str, Any]]]:
    start = max(0, head.size - number) if wanted.wants_all else 0
    found = list(_entries(client, head, start, wanted))
    return found[len(found) - min(number, len(found)) :]


def _show(index: int, fields: dict[str, Any], opener: Opener | None, as_json: bool) -> None:
    opened = opener.open(index, fields) if opener is not None and opener.can_open(fields) else {}
    if as_json:
        typer.echo(json.dumps({"index": index, **fields, **({"opened": opened} if opened else {})}))
        return
    typer.echo(_line(index, fields))
    if opened:
        said = opened.get("says")
        told = opened["body"] if said is None else json.dumps(said, ensure_ascii=False)
        typer.echo(f"{'':>10}{told or '(an empty body)'}")


@app.command(
    epilog="Examples: `tahini log show 12 --policy mylog/log.policy` · `tahini log show 12 --url "
    "https://… --ca ca.crt --consortium consortium.jws --registry-key KEY --auditor auditor`"
)
def show(
    index: Annotated[int, typer.Argument(help="The entry's index.", min=0)],
    policy: PolicyFile = None,
    url: Url = DEFAULT_URL,
    ca: Ca = None,
    auditor: AuditorHome = None,
    consortium: ConsortiumFile = None,
    registry_key: RegistryKey = None,
    staff: As = None,
    as_json: AsJson = False,
) -> None:
    """One entry, verified; with the auditor's home also what is sealed to it, and what the document
    in it says."""
    anchors = Anchors(url, ca, consortium, registry_key, policy)
    reader = anchors.reader()
    leaf, proof = reader.proved_leaf(index)
    found: dict[str, Any] = {
        "index": index,
        "leaf": json.loads(leaf),
        "under": reader.trust.open(proof.checkpoint_note).size,
    }
    if auditor is not None:
        opener = _opener(anchors, auditor, staff, "log show", index)
        found |= opener.open(index, found["leaf"])
        opener.close()
    say(found if as_json else json.dumps(found, indent=2, ensure_ascii=False), as_json)


@app.command(epilog="Example: `tahini log prove 12 --policy mylog/log.policy --out receipts`")
def prove(
    index: Annotated[int, typer.Argument(help="The entry's index.", min=0)],
    policy: PolicyFile = None,
    url: Url = DEFAULT_URL,
    ca: Ca = None,
    consortium: ConsortiumFile = None,
    registry_key: RegistryKey = None,
    out: Annotated[
        Path, typer.Option(help="Folder for the leaf and its proof.", file_okay=False)
    ] = Path(),
    as_json: AsJson = False,
) -> None:
    """Fetch, verify and keep the offline proof of one entry (C2SP tlog-proof)."""
    leaf, proof = (
        Anchors(url, ca, consortium, registry_key, policy).reader().proved_leaf(index, wait=True)
    )
    out.mkdir(parents=True, exist_ok=True)
    files = {"leaf": out / f"entry-{index}.json", "proof": out / f"entry-{index}.tlog-proof"}
    files["leaf"].write_bytes(leaf)
    files["proof"].write_text(proof.text, encoding="utf-8")
    named = {name: str(path) for name, path in files.items()}
    say(named if as_json else f"proved; kept {named['leaf']} and {named['proof']}", as_json)


@app.command(
    epilog="Examples: `tahini log verify --url https://… --ca ca.crt --registry-key KEY "
    "--checkpoint mine.checkpoint` "
    "(everybody can) · `… --auditor auditor` (opens what is sealed, too) · offline `tahini log "
    "verify --proof entry-12.tlog-proof --leaf entry-12.json --policy mylog/log.policy`; exit code "
    "1 if anything is wrong"
)
def verify(
    url: Url = DEFAULT_URL,
    ca: Ca = None,
    auditor: AuditorHome = None,
    consortium: ConsortiumFile = None,
    registry_key: RegistryKey = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Where the last verified checkpoint is kept: made the first time, extended from "
            "then on. In the auditor's home if nothing else is said.",
            dir_okay=False,
        ),
    ] = None,
    since: Annotated[
        Path | None, typer.Option(help="A checkpoint that you kept yourself.", dir_okay=False)
    ] = None,
    proof: Annotated[
        Path | None, typer.Option(help="Offline: a .tlog-proof …", dir_okay=False)
    ] = None,
    leaf: Annotated[Path | None, typer.Option(help="… of this leaf …", dir_okay=False)] = None,
    policy: Annotated[
        Path | None, typer.Option(help="… under this trust policy.", dir_okay=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Verify the whole log from the outside, or one kept proof offline. Exit code 1 if anything is
    wrong.

    Which checkpoints are believed stands in the consortium document. Without --consortium it is
    fetched the first time and kept beside the checkpoint; either way it must be signed with
    --registry-key.
    """
    from consent import auditing

    if proof is not None:
        if leaf is None or policy is None:
            raise ProofError("an offline proof is checked with --proof, --leaf and --policy")
        parsed = InclusionProof.parse(_text(proof, "the proof"))
        trust = Policy.parse(_text(policy, "the policy"))
        head = parsed.verify(ask(leaf.read_bytes, f"the leaf {leaf}"), trust)
        found = {"verified": True, "index": parsed.index, "size": head.size, "origin": head.origin}
        say(
            found
            if as_json
            else f"verified: entry {parsed.index} of {head.size:,} in {head.origin}",
            as_json,
        )
        return
    kept = checkpoint or (
        auditor / CHECKPOINT_FILE if auditor is not None and since is None else None
    )
    if kept is None and since is None:
        raise AuditFailed(
            "say what the log must extend: --checkpoint FILE (made by the first verification), or "
            "--since with one that you kept"
        )
    recipient = None if auditor is None else load_recipient_key(auditor / "auditor.recipient.key")
    known = since or (kept if kept is not None and kept.exists() else None)
    anchors = Anchors(url, ca, consortium, registry_key)
    with anchors.verifier(auditor, kept) as client:
        client.patience_s = RESTART_PATIENCE_S
        earlier = client.checkpoint_note() if known is None else _text(known, "the checkpoint")
        audit = verify_log(
            client,
            earlier,
            recipient,
            lambda line: None if as_json else typer.echo(f"  ok  {line}"),
            anchors.past(auditor),
        )
        client.accept_head(audit.note)
        unlawful = broken(Constitution(client.consortium, now().date()))
        notices = list(audit.know.notices.values())
        unfit = [
            {"notice": one.id, "version": one.version, "rule": found.rule, "reason": found.reason}
            for one, found in auditing.unfit(notices, client.consortium)
        ]
    for one in unfit:
        typer.echo(
            "tahini: the log is whole, but version {version} of notice {notice!r}, to which a yes "
            "counts, could not be published today: {reason} ({rule})".format(**one),
            err=True,
        )
    for name, reason in unlawful:
        typer.echo(f"tahini: the log is whole, but {reason} ({name})", err=True)
    found = {
        "verified": True,
        "entries": audit.entries,
        "since": audit.first.size,
        "by_type": audit.by_type,
        "checkpoint": None if kept is None else str(kept),
        "unlawful": [{"rule": name, "reason": reason} for name, reason in unlawful],
        "unfit_notices": unfit,
    }
    what = "what was verified is kept, for the next time to extend, in"
    told = f"verified {audit.entries:,} entries" + ("" if kept is None else f"\n{what} {kept}")
    say(found if as_json else told, as_json)
