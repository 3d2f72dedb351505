"""``tahini node check-data``: look at a lender's own data before anybody trains on it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.shared import progress, refuse_in_one_sentence, say
from clients.errors import NodeError
from credit.errors import FeatureError
from protocol.errors import ConsentError

if TYPE_CHECKING:
    from clients.data.profiling import FeatureFound, Found

AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
Home = Annotated[Path, typer.Option(help="The node's home folder.", exists=True, file_okay=False)]
Features = Annotated[Path, typer.Option("--features", help="The consortium's feature registry, TOML.")]


@refuse_in_one_sentence
def check_data(home: Home, features: Features, as_json: AsJson = False) -> None:
    """Count what is in a lender's rows and what is wrong with them; nobody's values are shown.

    Exit code 1 when the data cannot be used. It reads all rows three times, a bounded number at a time.
    """
    from clients.data.profiling import check
    from credit.features import load_schema

    try:
        schema = load_schema(features)
        with progress("rows", None) as bar:
            found = check(home, schema, lambda _, rows: bar(rows))
    except (NodeError, FeatureError) as error:
        raise ConsentError(str(error)) from error
    if as_json:
        say({"usable": not found.errors, **asdict(found)}, True)
    else:
        _show(found)
    if found.errors:
        raise typer.Exit(1)


def _show(found: Found) -> None:
    console = Console()
    console.print(
        f"{found.where}: {found.rows:,} rows of {found.people:,} people, {found.repeated:,} of whom have several; "
        f"{found.good:,} good and {found.bad:,} bad in the rows that count",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    table = Table("feature", "missing", "unreadable", "out of range", "unknown", "AUC", "missing AUC", "suspect")
    for one in found.features:
        table.add_row(*(escape(cell) for cell in _cells(one, found.rows)))
    console.print(table)
    for kind, sentences in (("look at", found.warnings), ("cannot be used", found.errors)):
        for sentence in sentences:
            console.print(f"{kind}: {sentence}", highlight=False, markup=False, soft_wrap=True)


def _cells(one: FeatureFound, rows: int) -> tuple[str, ...]:
    def shown(count: int) -> str:
        return f"{count:,}" if count else "-"

    def area(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    missing = f"{one.missing / rows:.1%}" if rows else "-"
    return (
        one.name, missing, shown(one.unreadable), shown(one.out_of_range), shown(one.unknown), area(one.auc),
        area(one.missing_auc), "yes" if one.suspect else "constant" if one.constant else "",
    )  # fmt: skip
