"""``tahini watch``: what a year of watching costs, public series, and what they would do to a
vintage; ``watch_campaigns`` counts over the network."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cli import watch_campaigns
from cli.shared import AsJson, Noun, say

if TYPE_CHECKING:
    from lending.intervals import Estimate
    from watching.economy.overlay import Overlay, Stressed
    from watching.economy.series import PublicSeries

app = Noun(
    "Watch a released model: who applies, what becomes of loans, what a year of it costs, and what "
    "the economy would do.",
)
SeriesFolder = Annotated[
    Path | None,
    typer.Option(
        "--series",
        help="Folder of imported series (KEY.toml), before those that come with tahini.",
        exists=True,
        file_okay=False,
    ),
]
Move = Annotated[float | None, typer.Option(help="Move it by so many points, such as +2.")]


@app.command(
    epilog="Examples: `tahini watch plan` · "
    "`tahini watch plan --questions 14 --vintage 0.05 --json`"
)
def plan(
    questions: Annotated[
        int, typer.Option(help="Of the intake: features, score, segments.", min=1)
    ] = 41,
    months: Annotated[int, typer.Option(help="Ages of a vintage's curve.", min=1, max=120)] = 12,
    intake: Annotated[float, typer.Option(help="Mu of each applicant's month.")] = 0.05,
    vintage: Annotated[float, typer.Option(help="Mu of a vintage's whole curve.")] = 0.07,
    events: Annotated[float, typer.Option(help="Mu of the month of a first delay.")] = 0.05,
    epsilon: Annotated[float, typer.Option(help="Of watching and one training together.")] = 1.0,
    delta: Annotated[float, typer.Option(help="At which epsilon is told.")] = 1e-5,
    as_json: AsJson = False,
) -> None:
    """What a year of watching costs a person who applies, is lent to and repays, the noise of each
    figure, and what is left for one training."""
    from privacy.charges import Budget
    from watching.plan import WatchYear

    year = WatchYear(questions, months, intake=intake, vintage=vintage, events=events)
    left = year.left_for_training(Budget(epsilon, delta))
    found = {
        "delta": delta,
        "epsilon_watching": year.epsilon(delta),
        "epsilon_training": left,
        "epsilon_together": epsilon,
        "releases": [{**asdict(one), "noise_std": one.std} for one in year.releases()],
    }
    if as_json:
        say(found, True)
        return
    table = _table("release", "who is charged", "mu", "times", "noise in a cell")
    for one in year.releases():
        table.add_row(one.name, one.once, f"{one.mu:g}", str(one.times), f"{one.std:,.1f}")
    console = Console()
    console.print(table)
    console.print(
        f"\nwatching alone: epsilon {found['epsilon_watching']:.3f}; beside it one training of "
        f"epsilon {left:.3f} makes {epsilon:g} at delta {delta:g}",
        highlight=False,
    )


@app.command(
    "import-series",
    epilog="Example: `tahini watch import-series nbs.csv --key unemployment --out "
    "series/unemployment.toml --verified`",
)
def import_series(
    table: Annotated[
        Path,
        typer.Argument(help="CSV of month (YYYY-MM) and value.", exists=True, dir_okay=False),
    ],
    key: Annotated[str, typer.Option(help="What it is called: unemployment, cpi, lpr-1y, …")],
    out: Annotated[Path, typer.Option(help="TOML file to write.")],
    english: Annotated[str | None, typer.Option(help="Its name in English, with its unit.")] = None,
    chinese: Annotated[str | None, typer.Option(help="And in Chinese.")] = None,
    publisher: Annotated[str | None, typer.Option(help="Who publishes it, and when.")] = None,
    source: Annotated[str | None, typer.Option(help="Where its values are from.")] = None,
    carries: Annotated[
        bool, typer.Option("--carries", help="A value holds until the next.")
    ] = False,
    alone: Annotated[
        bool, typer.Option("--alone", help="Without the months that come with tahini.")
    ] = False,
    verified: Annotated[
        bool, typer.Option("--verified", help="You compared all its values with the publisher's.")
    ] = False,
) -> None:
    """Make a series of a publisher's table; the months of the one that comes with tahini, if it is
    of that name, are kept where the table has none."""
    from watching.economy.series import PACKAGED, imported, merged, packaged

    given = {"english": english, "chinese": chinese, "publisher": publisher, "source": source}
    about: dict[str, Any] = {name: text for name, text in given.items() if text is not None}
    about |= {"key": key, "carries": carries, "verified": verified, "checked_on": date.today()}
    known = packaged(key) if key in PACKAGED else None
    if known is not None:
        names = ("english", "chinese", "publisher", "source")
        about = {**known.model_dump(include=set(names)), **about, "carries": known.carries}
    made = imported(table.read_text(encoding="utf-8-sig"), about)
    if known is not None and not alone:
        made = merged(known, made)
    out.write_text(made.toml(), encoding="utf-8")
    months = list(made.values)
    typer.echo(f"{out}: {len(months)} values of {key}, {months[0]} to {months[-1]}")
    if not made.verified:
        typer.echo("not verified: compare its values with the publisher's before relying on them")


@app.command(epilog="Examples: `tahini watch series` · `tahini watch series --json`")
def series(folder: SeriesFolder = None, as_json: AsJson = False) -> None:
    """List the public series, from when to when they are, and whether somebody verified them."""
    from watching.economy.series import PACKAGED

    keys = sorted(
        {*PACKAGED, *(path.stem for path in folder.glob("*.toml"))} if folder else PACKAGED
    )
    found = [_series(key, folder) for key in keys]
    if as_json:
        say([one.model_dump(mode="json") for one in found], True)
        return
    table = _table("series", "what", "from", "to", "last", "verified")
    for one in found:
        months = list(one.values)
        last, sure = one.values[months[-1]], "yes" if one.verified else "no"
        table.add_row(one.key, one.english, months[0], months[-1], last, sure)
    Console().print(table)


@app.command(
    epilog="Examples: `tahini watch stress --vintages vintages.csv --age 6 --unemployment +2` · "
    "`tahini watch stress --vintages vintages.csv --age 12 --unemployment +1 --lpr-1y -0.5 --json`"
)
def stress(
    vintages: Annotated[
        Path,
        typer.Option(
            help="CSV: month (YYYY-MM, of disbursement), borrowers, bad (by the age), and noise "
            "(its standard deviation) where it was released with noise.",
            exists=True,
            dir_okay=False,
        ),
    ],
    age: Annotated[int, typer.Option(help="Months on book.", min=1, max=120)] = 12,
    unemployment: Move = None,
    cpi: Move = None,
    lpr_1y: Annotated[float | None, typer.Option("--lpr-1y", help="Likewise.")] = None,
    folder: SeriesFolder = None,
    as_json: AsJson = False,
) -> None:
    """Fit the bad rate of vintages on the public series that you move, print the coefficients, and
    say what it would be. Only those series are in it: few vintages bear few parameters."""
    from watching.economy.overlay import TooShort, fit, vintage_rates
    from watching.economy.overlay import stress as stressed
    from watching.errors import WatchError

    asked = {"unemployment": unemployment, "cpi": cpi, "lpr-1y": lpr_1y}
    moves = {key: move for key, move in asked.items() if move is not None}
    if not moves:
        raise WatchError("say what moves, such as --unemployment +2")
    used = [_series(key, folder) for key in moves]
    overlay = fit(vintage_rates(vintages.read_text(encoding="utf-8-sig")), used, age)
    if isinstance(overlay, TooShort):
        say(
            {"says": None, "why": overlay.why} if as_json else f"nothing to say: {overlay.why}",
            as_json,
        )
        return
    found = stressed(overlay, moves)
    if as_json:
        say(_facts(overlay, found, moves, used), True)
    else:
        _tell(overlay, found, moves, used)


def _series(key: str, folder: Path | None) -> PublicSeries:
    """An imported one before the packaged one."""
    from watching.economy.series import packaged, read_series

    path = folder / f"{key}.toml" if folder else None
    if path is not None and path.exists():
        return read_series(path.read_text(encoding="utf-8"), str(path))
    return packaged(key)


def _facts(
    overlay: Overlay, found: Stressed, moves: dict[str, float], used: list[PublicSeries]
) -> dict[str, Any]:
    return {
        "says": asdict(found),
        "moves": moves,
        "age": overlay.age,
        "vintages": overlay.vintages,
        "level": asdict(overlay.level),
        "slopes_of_the_logit_per_point": [asdict(one) for one in overlay.slopes],
        "deviation_between_vintages": overlay.other,
        "variances_enlarged_by": overlay.stretch,
        "beyond_chance": overlay.tells,
        "not_verified": [one.key for one in used if not one.verified],
    }


def _tell(
    overlay: Overlay, found: Stressed, moves: dict[str, float], used: list[PublicSeries]
) -> None:
    console = Console()
    table = _table("coefficient", "value", "95 in 100", "seen", "last", "moved by")
    table.add_row(
        "bad rate at the mean", f"{overlay.level.value:.2%}", _range(overlay.level), "", "", ""
    )
    for one in overlay.slopes:
        seen = f"{one.seen_low:.2f} to {one.seen_high:.2f}"
        inside = f"{one.per_point.low:+.3f} to {one.per_point.high:+.3f}"
        table.add_row(
            f"{one.key}, logit per point",
            f"{one.per_point.value:+.3f}",
            inside,
            seen,
            f"{one.last:.2f}",
            f"{moves[one.key]:+g}",
        )
    console.print(table)
    lines = [
        "",
        f"from {overlay.vintages} vintages at {overlay.age} months",
        (
            f"otherwise they differ by {overlay.other:.3f} of the logit; neighbours err together: "
            f"variances are {overlay.stretch:.1f} times as large for it"
        ),
        f"as it is   {found.usual.value:.2%} bad ({_range(found.usual)})",
        f"scenario   {found.stressed.value:.2%} bad ({_range(found.stressed)})",
    ]
    quiet = sorted(set(moves) - set(overlay.tells))
    if quiet:
        lines.append(f"the vintages do not show that it depends on {', '.join(quiet)} at all")
    if found.beyond:
        lines.append(f"beyond what was ever seen: {', '.join(found.beyond)}; read it as a question")
    unsure = [one.key for one in used if not one.verified]
    if unsure:
        lines.append(f"nobody verified these series: {', '.join(unsure)}")
    console.print("\n".join(lines), highlight=False)


def _range(found: Estimate) -> str:
    return f"{found.low:.2%} to {found.high:.2%}"


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(name)
    return table


app.registered_commands += watch_campaigns.app.registered_commands
