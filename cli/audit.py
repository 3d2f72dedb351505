"""``tahini audit``: compliance audits: the form, the report, its findings, and what was done; and
the auditor's pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from auditlog.reading import CHECKPOINT_FILE, Anchors
from cli.forms import read_form
from cli.institution import institution
from cli.log_reading import DEFAULT_URL, Ca, ConsortiumFile, RegistryKey, Url
from cli.shared import AnyHome, AsJson, AuditorsHome, Host, Noun, Port, say
from cli.staff import As, acting
from crypto.keys import load_recipient_key, load_signing_key
from ops.named_files import text_of
from protocol.audits import AuditRemedy, ComplianceReport
from protocol.client.filing import (
    HeldAudit,
    audits_due,
    fetch_audit,
    list_audits,
    remedy_finding,
    report_audit,
)
from protocol.hashes import whole_hash
from protocol.parties import Role
from protocol.schema import now

app = Noun(
    "Reports of compliance audits, their findings, and what was done about them.",
    "The auditor reports; whom a finding is about remedies it within 15 working days; no firm "
    "audits an institution more than three times running. Engineering, not legal advice.",
)
TEMPLATE = """# The report of a compliance audit (PIPL 54, 个人信息保护合规审计管理办法):
#   tahini audit report THIS-FILE --auditor auditor
id = "audit-2026"
# whom it is about: ids of the consortium document
about = ["aspen", "registry"]
first = 2026-01-01
last = 2026-10-31
basis = "个人信息保护合规审计指引"
methods = ["tahini log verify", "tahini evidence sample, 300 people", "interviews with staff"]
conclusion = "What the audit found, in a sentence or two."

[firm]
name = "The firm that audits"
# 统一社会信用代码, or another number of a register
number = "91310000XXXXXXXXXX"

[[findings]]
id = "late-answers"
party = "aspen"
# the article, or a duty of compliance/duties.toml
law = "PIPL 50"
what = "What is not as it must be."
# low, medium or high
severity = "medium"
"""
RegistryUrl = Annotated[str | None, typer.Option(help="The registry's URL, with its own home.")]


@app.command(epilog="Example: `tahini audit template > audit.toml`")
def template() -> None:
    """Print an empty form."""
    typer.echo(TEMPLATE, nl=False)


@app.command(
    epilog="Example: `tahini audit report audit.toml --auditor auditor --url https://… --ca ca.crt "
    "--consortium consortium.jws --registry-key KEY`"
)
def report(
    file: Annotated[Path, typer.Argument(help="The form, filled in.", exists=True)],
    auditor: Annotated[Path, typer.Option(help="The auditor's home folder.", exists=True)],
    url: Url = DEFAULT_URL,
    ca: Ca = None,
    consortium: ConsortiumFile = None,
    registry_key: RegistryKey = None,
    given: As = None,
    as_json: AsJson = False,
) -> None:
    """Verify the whole log, sign the report with the head that was verified, and have it logged.

    A log that does not verify is reported by nobody: the error is the finding.
    """
    from auditlog.audit import verify_log

    kept = auditor / CHECKPOINT_FILE
    anchors = Anchors(url, ca, consortium, registry_key)
    with anchors.verifier(auditor, kept) as client:
        earlier = text_of(kept, "the checkpoint") if kept.exists() else client.checkpoint_note()
        key = load_recipient_key(auditor / "auditor.recipient.key")
        audit = verify_log(client, earlier, key, past=anchors.past(auditor))
        client.accept_head(audit.note)
        head = client.trust.open(audit.note)
        known = {
            "auditor": client.consortium.one(Role.AUDITOR).id,
            "log_size": head.size,
            "log_root": head.root.hex(),
            "made_at": now(),
            "operator": acting(given, client.consortium),
        }
        made = read_form(file, ComplianceReport, known)
        sha256 = report_audit(client, made, load_signing_key(auditor / "auditor.key"))
    found = {"sha256": sha256, "remedy_by": made.remedy_by.isoformat()}
    words = f"{sha256}: {len(made.findings)} findings, to be remedied by {made.remedy_by}"
    say(found if as_json else words, as_json)


@app.command(
    epilog="Example: `tahini audit remedy 4f1c22 late-answers --home lenders/aspen --done 'Two "
    "more people answer requests.'`"
)
def remedy(
    audit: Annotated[str, typer.Argument(help="Hash of the report, or its beginning.")],
    finding: Annotated[str, typer.Argument(help="Id of the finding.")],
    home: AnyHome,
    done: Annotated[str, typer.Option(help="What is different now.")],
    url: RegistryUrl = None,
    given: As = None,
) -> None:
    """Say, signed and logged, that a finding about this institution was remedied."""
    with institution(home, url) as me:
        known = {one["sha256"]: one["id"] for one in list_audits(me.client)}
        sha256 = whole_hash(audit, known, "of a report at the registry")
        said = AuditRemedy(
            report_sha256=sha256,
            finding=finding,
            party=me.party.id,
            done=done,
            done_at=now(),
            operator=acting(given, me.client.consortium),
        )
        remedy_finding(me.client, said, me.key)
    typer.echo(f"{finding} of {sha256[:12]} is remedied")


@app.command(
    "list",
    epilog="Example: `tahini audit list --home lenders/aspen`; exit code 1 if any finding is late",
)
def list_(home: AnyHome, url: RegistryUrl = None, as_json: AsJson = False) -> None:
    """Every report about this institution, what is remedied, what is late, and when it must be
    audited again."""
    with institution(home, url) as me:
        found, due = list_audits(me.client), audits_due(me.client)
    late = [one for report_ in found for one in report_["findings"] if one["late"]]
    if as_json:
        say({"reports": found, "due": due}, as_json)
    else:
        typer.echo("\n".join(_lines(found, due)))
    if late:
        raise typer.Exit(1)


def _lines(found: list[dict[str, Any]], due: list[dict[str, Any]]) -> list[str]:
    lines = []
    for one in found:
        lines.append(f"{one['sha256'][:12]}  {one['id']}  {one['firm']}, until {one['last']}")
        for finding in one["findings"]:
            stands = "remedied" if finding["remedied"] else f"due by {one['remedy_by']}"
            stands = "LATE" if finding["late"] else stands
            lines.append(
                f"  {finding['severity']:<6} {finding['id']} ({finding['party']}) {stands}"
            )
    lines += [
        f"{one['party']}: audited again by {one['due'] or 'now: it never was'}" for one in due
    ]
    return lines


@app.command(epilog="Example: `tahini audit show 4f1c22 --home lenders/aspen --json`")
def show(
    audit: Annotated[str, typer.Argument(help="Hash of the report, or its beginning.")],
    home: AnyHome,
    url: RegistryUrl = None,
    as_json: AsJson = False,
) -> None:
    """A report, its signature checked, with the remedies to its findings."""
    with institution(home, url) as me:
        known = {one["sha256"]: one["id"] for one in list_audits(me.client)}
        held = fetch_audit(me.client, whole_hash(audit, known, "of a report at the registry"))
    if as_json:
        remedies = [one.payload() for one in held.remedies]
        say({"report": held.report.payload(), "remedies": remedies}, as_json)
    else:
        typer.echo("\n".join(_report_lines(held)))


def _report_lines(held: HeldAudit) -> list[str]:
    one, done = held.report, {remedy.finding: remedy for remedy in held.remedies}
    lines = [
        f"{one.id} by {one.firm.name} ({one.firm.number}), {one.first} to {one.last}",
        f"  about        {', '.join(one.about)}",
        f"  basis        {one.basis}",
        f"  log          {one.log_size:,} entries, root {one.log_root}",
        f"  how          {'; '.join(one.methods)}",
    ]
    for finding in one.findings:
        told = f"{finding.id} ({finding.party}, {finding.law}): {finding.what}"
        lines.append(f"  {finding.severity:<12} {told}")
        remedied = done.get(finding.id)
        lines.append(
            f"    remedied {remedied.done_at:%Y-%m-%d}: {remedied.done}"
            if remedied
            else f"    due by {one.remedy_by}"
        )
    return [*lines, f"  conclusion   {one.conclusion}"]


@app.command(
    epilog="Example: `tahini audit view --home auditor --url https://… --ca ca.crt --consortium "
    "consortium.jws --registry-key KEY`; the next time `tahini audit view --home auditor` is enough"
)
def view(
    home: AuditorsHome,
    url: Annotated[str | None, typer.Option(help="The registry's URL.")] = None,
    ca: Ca = None,
    consortium: ConsortiumFile = None,
    registry_key: RegistryKey = None,
    host: Host = None,
    port: Port = None,
    given: As = None,
) -> None:
    """Serve the auditor's pages on this machine until interrupted: the log verified, its entries
    with their proofs, campaigns as chains of checks.

    Where the log is and whom to believe is kept in the home the first time.
    """
    from ops.serving import run
    from screens.house.staff import staff_code
    from screens.viewer.app import create_viewer
    from screens.viewer.home import LISTENING_FILE, ViewerHome, ViewerListening

    listening = ViewerListening.read(home / LISTENING_FILE, host=host, port=port)
    opened = ViewerHome(
        home, registry_url=url, authority=ca, consortium=consortium, registry_key=registry_key
    )
    origin = listening.origin
    viewer = create_viewer(opened, origin, acting(given, opened.consortium))
    typer.echo(f"the auditor's pages are at {origin}; the code is {staff_code(home)}", err=True)
    run(viewer, listening)
