"""``tahini incident``: report an incident with people's data, reach those whom it concerns, close
it; rehearse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.forms import formed, read_toml
from cli.institution import Institution, institution
from cli.shared import (
    AnyHome,
    AsJson,
    CampaignHash,
    Noun,
    opened_node,
    opened_registry,
    progress,
    say,
)
from cli.staff import As, acting
from crypto.keys import write_secret
from law.incidents import COUNTED, Due, grade_of
from ops.named_files import text_of
from protocol.client import filing
from protocol.errors import ConsentError, NotFound
from protocol.hashes import whole_hash
from protocol.incidents import MAX_TOLD, Incident, IncidentClosure
from protocol.legal import LegalTerms
from protocol.parties import Consortium
from protocol.schema import now

app = Noun(
    "Incidents with people's data: graded, on the clock, told to those whom they concern.",
    "Grades and clocks follow from law/incidents.toml. Engineering, not legal advice.",
)
TEMPLATE = """# An incident with people's data (PIPL 57; PBOC 令〔2025〕4号; GDPR 33, 34). Fill in;
# rehearse: tahini incident drill THIS-FILE
# report:   tahini incident open THIS-FILE --home HOME --affected FILE
id = "leak-2026-11-27"
# leaked, tampered, lost, misused
what = ["leaked"]
# kinds of data
categories = ["repayment"]
# how many records about people; leave out what is not known yet: it is then graded as "larger"
records = 0
sensitive_records = 0
# of these, records about credit or property
credit_records = 0
# general, larger, major, extremely-major: computed where it is left out; may be higher, never lower
# grade = "larger"
cause = "What happened, and why."
harm = "What it can do to people."
remedies = "What was done about it at once."
advice = "What people can do themselves."
contact = "privacy@aspen.example"
# happened_at = 2026-11-26T22:00:00Z
discovered_at = 2026-11-27T08:00:00Z
"""
Url = Annotated[str | None, typer.Option(help="The registry's URL, with the registry's own home.")]
IncidentHash = Annotated[
    str, typer.Argument(help="The incident's hash, or as much of its beginning as is unique.")
]
FormFile = Annotated[Path, typer.Argument(help="The incident, TOML.", exists=True, dir_okay=False)]
AffectedFile = Annotated[
    Path | None,
    typer.Option(
        "--affected",
        help="Whom it concerns, a pseudonym a line: from tahini incident affected.",
        exists=True,
        dir_okay=False,
    ),
]


@app.command(
    "open",
    epilog="Example: `tahini incident template > incident.toml`, fill it in, then `tahini incident "
    "open incident.toml --home lenders/aspen --affected affected.txt`",
)
def open_(
    form: FormFile,
    home: AnyHome,
    affected: AffectedFile = None,
    url: Url = None,
    staff: As = None,
    as_json: AsJson = False,
) -> None:
    """Report an incident: logged, sealed to the auditor, and told to each of those whom it
    concerns.

    Again with the same form and more people tells those, and nobody twice.
    """
    names = _names(affected)
    with institution(home, url) as me:
        operator = acting(staff, me.client.consortium)
        given = {"institution": me.party.id} | ({"operator": operator} if operator else {})
        incident = _read(form, given)
        token = incident.sign(me.key)
        with progress("telling", len(names)) as done:
            told = _report(me, token, names, done)
        due = incident.due(None, LegalTerms.of(me.client.consortium).jurisdiction)
    found = {"incident": incident.sha256, "grade": incident.grade.value, **told, "due": _dated(due)}
    if as_json:
        say(found, as_json)
        return
    typer.echo(
        f"reported {incident.sha256}\n  {told['told']:,} people were told, {told['unreachable']:,} "
        "cannot be reached here and must be told by another way"
    )
    typer.echo("\n".join(_graded(incident, due)))


def _report(me: Institution, token: str, names: Sequence[str], done: Any) -> dict[str, int]:
    """In parts, the first of which may be nobody; returns sums."""
    told = {"told": 0, "unreachable": 0}
    for start in range(0, max(len(names), 1), MAX_TOLD):
        part = filing.report_incident(me.client, token, names[start : start + MAX_TOLD])
        told = {name: told[name] + part[name] for name in told}
        done(min(start + MAX_TOLD, len(names)))
    return told


def _names(path: Path | None) -> list[str]:
    lines = [] if path is None else text_of(path, "the list of people").splitlines()
    return list(dict.fromkeys(line.strip() for line in lines if line.strip()))


def _read(form: Path, given: Mapping[str, Any]) -> Incident:
    """With the grade that follows from its counts, where it states none. Raises ConsentError."""
    told = read_toml(form)
    if "grade" not in told:
        counts = {name: told.get(name) for name in COUNTED}
        if all(one is None or type(one) is int for one in counts.values()):
            told["grade"] = grade_of(counts).grade.value
    return formed(form, told, Incident, given)


@app.command(epilog="Example: `tahini incident template > incident.toml`")
def template() -> None:
    """Print an empty form."""
    typer.echo(TEMPLATE, nl=False)


@app.command(
    epilog="Example: `tahini incident drill incident.toml --affected affected.txt`; writes nothing"
)
def drill(form: FormFile, affected: AffectedFile = None, as_json: AsJson = False) -> None:
    """Rehearse: grade and clocks of a form, and how many would be told. Nothing is sent or
    logged."""
    incident = _read(form, {"institution": "drill"})
    people = len(_names(affected))
    due = incident.due()
    if as_json:
        say({"grade": incident.grade.value, "people": people, "due": _dated(due)}, as_json)
        return
    typer.echo(f"a drill: {people:,} people would be told, nothing was sent")
    typer.echo("\n".join(_graded(incident, due)))


def _graded(incident: Incident, due: Iterable[Due]) -> list[str]:
    follows = incident.graded
    care = "; the digits there are in doubt: check them" if follows.check else ""
    lines = [
        f"  grade {incident.grade} (its counts make it {follows.grade}, {follows.article}{care})"
    ]
    lines += [
        f"  {one.at:%Y-%m-%d %H:%M %Z}  {one.name} ({one.article})"
        if one.at
        else f"  once handled       {one.name} ({one.article})"
        for one in due
    ]
    return lines


def _dated(due: Iterable[Due]) -> list[dict[str, str | None]]:
    return [
        {
            "what": one.name,
            "article": one.article,
            "at": None if one.at is None else one.at.isoformat(),
        }
        for one in due
    ]


@app.command(
    epilog="Examples: `tahini incident affected --home lenders/aspen --campaign 4f1c22 --release 3 "
    "--out affected.txt` · as the registry `… --home registry --lender aspen --all`"
)
def affected(
    home: AnyHome,
    out: Annotated[Path, typer.Option(help="Where to write the pseudonyms; must not exist.")],
    campaign: Annotated[
        str | None, typer.Option(help="A lender: who was used in this campaign, by its hash.")
    ] = None,
    release: Annotated[int | None, typer.Option(help="… and in this release of it.", min=0)] = None,
    lender: Annotated[str | None, typer.Option(help="The registry: whose borrowers.")] = None,
    everybody: Annotated[
        bool, typer.Option("--all", help="Everybody: on the roll, or who was ever used.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Whom an incident concerns, from the node's own ledger or the registry's roll, into a file for
    the institution alone."""
    if everybody == (campaign is not None) or (release is not None and campaign is None):
        raise typer.BadParameter("give --campaign, with --release if need be, or --all")
    if (home / "approved").is_dir():
        if lender is not None:
            raise typer.BadParameter("--lender is for the registry's home")
        names = _of_lender(home, campaign, release)
    elif (home / "log.key").exists():
        if campaign is not None:
            raise typer.BadParameter("who was used in a campaign is known to its lenders alone")
        names = _of_registry(home, lender)
    else:
        raise ConsentError(f"{home} is the home of no node and no registry")
    if out.exists():
        raise ConsentError(f"{out} exists; a list of people is never overwritten")
    write_secret(out, "".join(f"{name}\n" for name in names).encode())
    say(
        {"people": len(names), "file": str(out)}
        if as_json
        else f"{len(names):,} people in {out}, readable by you alone",
        as_json,
    )


def _of_lender(home: Path, campaign: CampaignHash | None, release: int | None) -> list[str]:
    """From the node's ledger; for everybody also from the roll at the registry."""
    node = opened_node(home)
    store = node.store
    if campaign is None:
        from protocol.client.lenders import LenderClient

        with node.connected(LenderClient) as client:
            return sorted({*client.whole_roll(), *store.everybody()})
    lines = store.ledger()
    known = {line.campaign: "" for line in lines}
    sha256 = whole_hash(campaign, known, f"in the ledger of {node.lender}")
    numbers = [
        line.number for line in lines if line.campaign == sha256 and release in (None, line.release)
    ]
    if not numbers:
        raise NotFound(f"release {release} of campaign {sha256[:12]} is not in the ledger")
    return sorted({name for number in numbers for name in store.members(number)})


def _of_registry(home: Path, lender: str | None) -> list[str]:
    from sqlalchemy import select

    from consent.storage.tables import SubjectRow

    asked = select(SubjectRow.pseudonym).order_by(SubjectRow.id)
    with opened_registry(home) as registry:
        if lender is not None:
            asked = asked.where(SubjectRow.lender == registry.consortium.party(lender).id)
        with registry.ledger.read() as session:
            return list(session.scalars(asked))


@app.command("list", epilog="Example: `tahini incident list --home lenders/aspen --json`")
def list_(home: AnyHome, url: Url = None, as_json: AsJson = False) -> None:
    """One's own incidents, the newest last; every one for the registry's operator."""
    with institution(home, url) as me:
        found = filing.list_incidents(me.client)
    if as_json:
        say(found, as_json)
        return
    for one in found:
        state = "closed" if one["closed"] else "open"
        when = str(one["discovered_at"])[:16]
        typer.echo(
            f"{one['sha256'][:12]}  {one['id']:<24} {one['grade']:<16} {state:<7} {when}  "
            f"{one['institution']}"
        )
    if not found:
        typer.echo("no incident was reported")


@app.command(epilog="Example: `tahini incident show 4f1c22 --home lenders/aspen`")
def show(incident: IncidentHash, home: AnyHome, url: Url = None, as_json: AsJson = False) -> None:
    """An incident, how many were told, and what is due by when."""
    with institution(home, url) as me:
        sha256 = _whole(me, incident)
        held = filing.fetch_incident(me.client, sha256)
        due = _due_of(held.incident, held.closure, me.client.consortium)
    told = {
        "incident": held.incident.payload(),
        "sha256": sha256,
        "told": held.told,
        "closure": held.closure and held.closure.payload(),
        "due": _dated(due),
    }
    if as_json:
        say(told, as_json)
        return
    one = held.incident
    typer.echo(
        f"{one.id} at {one.institution}: {', '.join(one.what)}; data on {', '.join(one.categories)}"
    )
    for name in ("cause", "harm", "remedies", "advice", "contact"):
        typer.echo(f"  {name:<9} {getattr(one, name)}")
    typer.echo(f"  told      {held.told:,} people")
    typer.echo("\n".join(_graded(one, due)))
    if held.closure:
        typer.echo(
            f"  closed    {held.closure.handled_at:%Y-%m-%d %H:%M %Z}: {held.closure.summary}"
        )


def _due_of(
    incident: Incident, closure: IncidentClosure | None, consortium: Consortium
) -> list[Due]:
    return incident.due(
        closure.handled_at if closure else None, LegalTerms.of(consortium).jurisdiction
    )


def _whole(me: Institution, begins: str) -> str:
    known = {one["sha256"]: one["id"] for one in filing.list_incidents(me.client)}
    return whole_hash(begins, known, f"of an incident that {me.party.id} sees")


@app.command(
    epilog="Example: `tahini incident close 4f1c22 --home lenders/aspen --summary 'the share is "
    "gone, access is reviewed monthly'`"
)
def close(
    incident: IncidentHash,
    home: AnyHome,
    summary: Annotated[str, typer.Option(help="What was found out, what is different now.")],
    handled_at: Annotated[
        datetime | None,
        typer.Option(
            help="When handling ended, UTC; now if nothing is said.",
            formats=["%Y-%m-%dT%H:%M:%SZ"],
        ),
    ] = None,
    url: Url = None,
    staff: As = None,
    as_json: AsJson = False,
) -> None:
    """Say, signed, that an incident has been dealt with: those who were told see it, and the
    summary's clock begins."""
    with institution(home, url) as me:
        operator = acting(staff, me.client.consortium)
        sha256 = _whole(me, incident)
        held = filing.fetch_incident(me.client, sha256)
        closure = IncidentClosure(
            incident_sha256=sha256,
            institution=me.party.id,
            summary=summary,
            handled_at=handled_at.replace(tzinfo=UTC) if handled_at else now(),
            operator=operator,
        )
        filing.close_incident(me.client, sha256, closure.sign(me.key))
        due = _due_of(held.incident, closure, me.client.consortium)
    if as_json:
        say({"incident": sha256, "due": _dated(due)}, as_json)
    else:
        typer.echo(f"{held.incident.id} is closed; what is due:")
        typer.echo("\n".join(_graded(held.incident, due)))
