"""``tahini desk``: how its model does at work, what it keeps of a person, what it forgets."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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


@app.command(epilog="Example: `tahini desk book --home desk --at 6 --json`")
def book(
    home: DeskHome,
    by: Annotated[
        Literal["months", "weeks"],
        typer.Option(help="What loans grow old in: weeks suit those of a month or less."),
    ] = "months",
    at: Annotated[
        int | None, typer.Option(help="Compare vintages at this age, which not all have.", min=0)
    ] = None,
    as_of: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="As of the end of which day; today if not."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show how what was lent stands: arrears at the ends of months, and of the loans of each month
    how many went bad by what age. Bad is what a label calls bad."""
    from desk.commands.book import book_standing
    from desk.home import opened_desk

    with opened_desk(home) as desk:
        day = desk.now().date() if as_of is None else as_of.date()
        found = book_standing(desk, day, by)
    if as_json:
        say(found.figures(at), True)
        return
    typer.echo(f"{found.loans} loans as of {day}, {found.outstanding} fen outstanding")
    for end, buckets in found.arrears.items():
        late = ", ".join(f"{count} {bucket}" for bucket, count in buckets.items() if count)
        typer.echo(f"{end}: {late}")
    for one in found.vintages:
        point = found.at(at).get(one.month) if at is not None else next(iter(one.curve[-1:]), None)
        if point is not None:
            bad = f"{point.bad} bad after {point.age} {by}, {_share(point.rate)}"
            typer.echo(f"{one.month:%Y-%m}: {one.loans} loans, {bad}")


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
