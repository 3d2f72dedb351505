"""``tahini desk monitor|book|close``: how its model, loans and challenger do at work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import orjson
import typer
from rich.console import Console
from rich.table import Table

from cli.shared import AsJson, DeskHome, Noun, say
from lending.money import shown
from protocol.errors import ConsentError, Malformed

if TYPE_CHECKING:
    from desk.commands.challenge import ChallengerSeen
    from desk.commands.close import Closing
    from desk.commands.monitor import Watched
    from desk.commands.portfolio import PortfolioSeen
    from lending.intervals import Estimate
    from lending.portfolio.challengers import Challenged

app = Noun("Watch a desk.", "")


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
    loss_given_default: Annotated[
        str | None,
        typer.Option(
            help="Share that is lost of a loan that goes bad, as 0.6: says what to expect."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Watch this desk's model at work: who comes, how they are decided, how those fare who refused
    something or have no file, whether it predicts what happens; what becomes of the loans; what a
    challenger would have said. Exit code 1 if somebody has to look; a lender that finds harm can
    stop a model: `tahini model recall`."""
    from desk.commands.close import closed_months, in_force
    from desk.commands.monitor import keep_review
    from desk.commands.watch import watch
    from desk.home import opened_desk
    from lending.account.default import Definition

    day = None if as_of is None else as_of.date()
    with opened_desk(home) as desk:
        seen = watch(desk, Definition(window_days), day, _share_of(loss_given_default))
        found, book, beside = seen.watched, seen.portfolio, seen.challengers
        keep_review(desk, seen.model, seen.as_of, found.alarm)
        closed = in_force(closed_months(desk))
    if as_json:
        told = {**asdict(found), "alarm": found.alarm, "portfolio": book, "challengers": beside}
        told["closings"] = closed
        say(orjson.loads(orjson.dumps(told, option=orjson.OPT_NON_STR_KEYS)), True)  # days as text
    else:
        _tell_model(found)
        _tell_loans(book)
        for one in beside:
            _tell_challenger(one)
        for month in closed:
            _tell_closing(month)
        typer.echo("somebody has to look" if found.alarm else "no alarm")
    if found.alarm:
        raise typer.Exit(1)


def _share_of(said: str | None) -> Decimal | None:
    if said is None:
        return None
    try:
        found = Decimal(said)
    except InvalidOperation:
        found = Decimal(-1)
    if not 0 <= found <= 1:
        raise ConsentError("--loss-given-default is a share from 0 to 1, as 0.6")
    return found


def _tell_model(found: Watched) -> None:
    months = ", ".join(f"{month} {count}" for month, count in found.months.items())
    typer.echo(f"applications: {months or 'none'}")
    for group, rates in found.rates.items():
        approved, reviewed = _share(rates.approved), _share(rates.reviewed)
        typer.echo(f"{group}: approved {approved}, to a person {reviewed}")
        if rates.low_side is not None:
            typer.echo(
                f"{group}: declined by the machine, approved by a person: {_share(rates.low_side)}"
            )
        if rates.high_side is not None:
            typer.echo(
                f"{group}: approved by the machine, declined by a person: {_share(rates.high_side)}"
            )
    if found.refusing is not None:
        beside = _share(found.refusing.ratio)
        typer.echo(f"approved, who refused something beside who did not: {beside}")
    for name, groups in found.protected.items():
        for value, one in groups.beside.items():
            typer.echo(f"{name}: {value} beside {groups.reference}, approved {_share(one.ratio)}")
    for name in found.shifted:
        typer.echo(f"shifted: {name}, PSI {found.latest[name].psi:.3f}")
    for group, by_band in found.bands.items():
        for band in by_band:
            adrift = ", adrift" if band.adrift else ""
            said = f"{band.expected:.3f} expected, {_share(band.observed)} bad{adrift}"
            typer.echo(f"{group}: band {band.band}: {said}")
    for group, ranks in found.ranks.items():
        how = f"AUC {_share(ranks.auc)}, KS {ranks.ks:.3f}"
        typer.echo(f"{group}: of {ranks.loans} mature loans: {how}")
    if found.unlabelled is not None:
        young = found.unlabelled
        bad = f"AUC {_share(young.auc)}, bad of the approved {_share(young.approved_bad_rate)}"
        typer.echo(f"of {young.people} who are not mature yet, if the model is right: {bad}")


def _tell_loans(lent: PortfolioSeen) -> None:
    if not lent.book.loans:
        return
    table = Table("a month", "a month later", "loans", "share", title=f"{lent.book.loans} loans")
    for one in lent.rolls:
        table.add_row(one.before, one.after, str(one.loans), _share(one.rate))
    Console().print(table)
    late = {one.month: one for one in lent.first_payments}
    table = Table("paid out", "loans", "age", "bad by then", "first due 30 days late")
    for vintage in lent.book.vintages:
        newest = vintage.curve[-1] if vintage.curve else None
        first = late.get(vintage.month)
        table.add_row(
            f"{vintage.month:%Y-%m}",
            str(vintage.loans),
            "" if newest is None else str(newest.age),
            _share(None if newest is None else newest.rate),
            _share(None if first is None else first.late),
        )
    Console().print(table)
    typer.echo(f"bad, of those who were 30 days late: {_share(lent.late_turned_bad)}")
    if lent.expected is not None:
        low, high = shown(lent.expected.low), shown(lent.expected.high)
        typer.echo(f"expected loss: {shown(lent.expected.loss)} ({low} to {high})")
        for part in lent.expected.stages:
            owed, loss = shown(part.exposure), shown(part.loss)
            typer.echo(f"  stage {part.stage}: {part.loans} loans, {owed} owed, {loss} expected")


@app.command(epilog="Example: `tahini desk close --home desk --month 2026-10`")
def close(
    home: DeskHome,
    month: Annotated[datetime, typer.Option(formats=["%Y-%m"], help="Which month, when over.")],
    reason: Annotated[
        str | None, typer.Option(help="Why a month that was closed is closed again.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Close a month of the book: its figures are kept and never overwritten. What was booked back
    into it since is closed again beside them, with its reason; the newest is in force."""
    from desk.commands.close import close_month
    from desk.home import opened_desk

    with opened_desk(home) as desk:
        made = close_month(desk, month.date(), reason)
    if as_json:
        say(orjson.loads(orjson.dumps(made)), True)
    else:
        _tell_closing(made)


def _tell_closing(one: Closing) -> None:
    why = "" if one.reason is None else f", closed again: {one.reason}"
    owed = shown(one.figures["outstanding"])
    typer.echo(
        f"closed {one.month}, version {one.version} of {one.closed_at:%Y-%m-%d}: "
        f"{one.figures['loans']} loans, {owed} owed{why}"
    )


def _tell_challenger(one: ChallengerSeen) -> None:
    typer.echo(f"challenger {one.named}:")
    if one.failed:
        typer.echo(f"  could say nothing {one.failed} times")
    if one.found is not None:
        _tell_tried(one.found)


def _tell_tried(found: Challenged) -> None:
    table = Table("in use", "challenger", "applications", "bad")
    for cell in found.cells:
        bad = _share(cell.bad)
        table.add_row(cell.champion, cell.challenger, str(cell.applications), bad)
    Console().print(table)
    typer.echo(
        f"  both approve {found.both}, only what is in use {found.only_champion}, only the "
        f"challenger {found.only_challenger}, neither {found.neither}"
    )
    for what, apart in (("limit, fen", found.limit), ("rate, ppm a day", found.rate)):
        if apart is not None:
            moved = f"{apart.higher} higher, {apart.lower} lower of {apart.offers}"
            typer.echo(f"  {what}: {moved}, by {_figures(apart.mean, 0)} on average")
    if (ranked := found.ranked) is not None:
        loans = f"{ranked.loans} mature loans, {ranked.bad} bad"
        mine, other = (f"{one:.1f}" for one in ranked.expected)
        typer.echo(
            f"  of {loans} ({mine} expected, challenger {other}): AUC {ranked.champion:.3f}, "
            f"challenger {ranked.challenger:.3f}, apart {_share(ranked.apart)}"
        )
    alone, others = _share(found.declined_alone), _share(found.others)
    typer.echo(
        f"  bad, of those that it alone would have declined: {alone}; of the others: {others}"
    )


def _share(found: Estimate | None) -> str:
    return "not known yet" if found is None else _figures(found, 3)


def _figures(found: Estimate, digits: int) -> str:
    figures: Sequence[float] = (found.value, found.low, found.high)
    value, low, high = (f"{one:.{digits}f}" for one in figures)
    return f"{value} ({low} to {high})"


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
    "export-applicants",
    epilog="Example: `tahini desk export-applicants --home desk --features registry.toml --month "
    "2026-11 --out lenders/aspen/applicants.parquet`",
)
def export_applicants(
    home: DeskHome,
    features: Annotated[Path, typer.Option(help="The consortium's feature registry.", exists=True)],
    month: Annotated[datetime, typer.Option(formats=["%Y-%m"], help="The month they applied in.")],
    out: Annotated[Path, typer.Option(help="Where to write: .csv or .parquet.")],
    as_json: AsJson = False,
) -> None:
    """Write everybody who applied in a month and was decided about: what a node's applicants.toml
    reads for a campaign that watches who comes through the door."""
    from credit.validation import load_schema
    from desk.commands.export_applicants import export_applicants as written
    from desk.home import opened_desk

    schema, first = load_schema(features), month.date()
    if first > date.today():
        raise Malformed(f"{first:%Y-%m} is to come")
    end = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    with opened_desk(home) as desk:
        found = written(desk, schema, first, end, out)
    if as_json:
        say({"out": str(out), "month": f"{first:%Y-%m}", **asdict(found)}, True)
        return
    left = ", ".join(
        f"{count} {why}"
        for why, count in (("undecided", found.undecided), ("forgotten", found.forgotten))
        if count
    )
    typer.echo(f"wrote {out}: {found.rows} applications" + (f"; not {left}" if left else ""))
