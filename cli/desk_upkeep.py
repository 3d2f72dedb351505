"""``tahini desk``: how its model does at work, what it keeps of a person, what it forgets."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.shared import AsJson, DeskHome, Noun, say
from crypto.keys import write_secret
from protocol.errors import ConsentError

if TYPE_CHECKING:
    from desk.commands.monitor import Watched
    from lending.intervals import Estimate

app = Noun("Look after a desk.", "")


@app.command(epilog="Example: `tahini desk monitor --home desk --window-days 180 --json`")
def monitor(
    home: DeskHome,
    window_days: Annotated[
        int, typer.Option(help="Days after payout within which a loan shows what it is.", min=1)
    ] = 180,
    as_of: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="As of the end of which day; today if not."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Watch this desk's model at work: who comes, how they are decided, how those fare who refused
    something or have no file, whether it predicts what happens. Exit code 1 if somebody has to
    look; a lender that finds harm can stop a model: `tahini model recall`."""
    from desk.commands.monitor import monitor as watched
    from desk.home import opened_desk
    from desk.lending_rules import ReleasedRules
    from lending.account.default import Definition

    with opened_desk(home) as desk:
        rules = desk.lending
        if not isinstance(rules, ReleasedRules) or rules.model is None:
            raise ConsentError(f"{home} has no model that could be watched; people decide")
        scorer = rules.model.scorer
        bins = {table.name: table.missing + 1 for table in scorer.look_up.tables}
        day = desk.now().date() if as_of is None else as_of.date()
        found = watched(desk, scorer.model_sha256, bins, Definition(window_days), day)
    if as_json:
        say(asdict(found) | {"alarm": found.alarm}, True)
    else:
        _told(found)
    if found.alarm:
        raise typer.Exit(1)


def _told(found: Watched) -> None:
    months = ", ".join(f"{month} {count}" for month, count in found.months.items())
    typer.echo(f"applications: {months or 'none'}")
    for group, rates in found.rates.items():
        approved, reviewed = _share(rates.approved), _share(rates.reviewed)
        typer.echo(f"{group}: approved {approved}, to a person {reviewed}")
    if found.refusing is not None:
        beside = _share(found.refusing.ratio)
        typer.echo(f"approved, who refused something beside who did not: {beside}")
    for name in found.shifted:
        typer.echo(f"shifted: {name}, PSI {found.latest[name].psi:.3f}")
    for band in found.bands:
        adrift = ", adrift" if band.adrift else ""
        bad = _share(band.observed)
        typer.echo(f"band {band.band}: {band.expected:.3f} expected, {bad} bad{adrift}")
    typer.echo("somebody has to look" if found.alarm else "no alarm")


def _share(found: Estimate) -> str:
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


@app.command(
    epilog="Example: `tahini desk person --home desk --pseudonym v1.8Jk… --out access.json`"
)
def person(
    home: DeskHome,
    pseudonym: Annotated[str, typer.Option(help="The person's name at this lender.")],
    out: Annotated[Path, typer.Option(help="Where to write; its owner alone can read it.")],
) -> None:
    """Write all that the desk keeps of one person, to answer a request of theirs with: facts,
    points, rules that were looked at, reasons, letters, loans."""
    import orjson

    from desk.commands.person import person_file
    from desk.home import opened_desk

    with opened_desk(home) as desk:
        found = person_file(desk, pseudonym)
    write_secret(out, orjson.dumps(found, option=orjson.OPT_INDENT_2))
    typer.echo(f"wrote {out}: {len(found['applications'])} applications")


@app.command(epilog="Example: `tahini desk retain --home desk --days 1825 --json`")
def retain(
    home: DeskHome,
    days: Annotated[int, typer.Option(help="How long what has ended is kept.", min=0)],
    pseudonym: Annotated[
        str | None, typer.Option(help="Of this person only, who asked to be erased.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Forget applications that ended longer ago, and loans that were settled: their keys are
    destroyed. Run it every day; the law of the place says for how long records are kept."""
    from desk.commands.retain import retain as forget
    from desk.home import opened_desk

    with opened_desk(home) as desk:
        found = forget(desk, days, pseudonym)
    said = f"{found.forgotten} applications forgotten, {found.kept} kept"
    say(asdict(found) if as_json else said, as_json)


@app.command(epilog="Example: `tahini desk erase --home desk --json`")
def erase(home: DeskHome, as_json: AsJson = False) -> None:
    """Erase whom the registry orders the lender to erase, and confirm it to the registry: cases,
    scores, letters and reviews go; what the law of the place has kept goes when its time is over;
    a loan stays until it is settled, by its contract. Run it every few minutes."""
    from clients.erasures import obey
    from clients.home import Node
    from desk.commands.erase import erase_ordered
    from desk.home import erasure_orders, opened_desk, read_settings

    node = Node.open(read_settings(home).node)
    with opened_desk(home) as desk, node.registry() as client:
        obey(node, client, client.revocations())
        found = erase_ordered(desk, erasure_orders(node, desk.at_rest))
        whole = obey(node, client, client.revocations())
    told = asdict(found) | {"acknowledged": whole}
    waits = "" if whole else "; another desk has to erase before it can be confirmed"
    said = (
        f"{found.people} people erased: {found.applications} applications forgotten, "
        f"{found.kept} kept by law, {found.loans} loans stay{waits}"
    )
    say(told if as_json else said, as_json)
