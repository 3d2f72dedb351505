"""``tahini up`` and ``tahini down``: a whole consortium on this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from click.core import ParameterSource
from rich.console import Console

from cli.shared import CsvDelimiter, CsvEncoding, Noun
from crypto.keys import read_secret
from demo.errors import DemoError

if TYPE_CHECKING:
    from demo.progress import LiveView

SAID = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
app = Noun("A whole consortium on this machine.")


@app.command(
    epilog="Examples: `tahini up` (again after `tahini down` or a reboot) · `tahini up --workspace "
    "here --data loans.parquet --target bad --lenders 3`"
)
def up(
    context: typer.Context,
    workspace: Annotated[
        Path, typer.Option(help="Where it is, or is to be built.", file_okay=False)
    ] = Path("workspace/up"),
    data: Annotated[
        Path | None, typer.Option(help="A .parquet or .csv table; the packaged loans if left out.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="Its column of 0 (good) and 1 (bad).")] = None,
    encoding: CsvEncoding = "utf-8",
    delimiter: CsvDelimiter = ",",
    lenders: Annotated[
        int,
        typer.Option(
            help=(
                "How many lenders; each is a witness. Of three none may be dishonest, of four one."
            ),
            min=2,
            max=10,
        ),
    ] = 3,
    rows: Annotated[int | None, typer.Option(help="Use so many loans only.", min=100)] = None,
    seed: Annotated[
        int,
        typer.Option(help="Fixes who has which loan; never noise or keys.", min=0, max=2**53 - 1),
    ] = 8,
    database: Annotated[
        Path | None,
        typer.Option(
            help="File with the registry's postgresql:// URL; SQLite without it.", exists=True
        ),
    ] = None,
) -> None:
    """Found a consortium, start registry, naming service, witnesses, SuperLink and nodes, and ask
    the borrowers.

    Everything keeps running until `tahini down`. Campaigns are then proposed, approved and launched
    by hand. Where the workspace is there already, what does not run is started again, with the
    keys, ledgers and campaigns that it has.
    """
    from demo.deployment import up_again
    from demo.outside import verification
    from demo.pages import addresses
    from demo.progress import LiveView

    workspace = workspace.absolute()
    told = {
        "data": None if data is None else str(data.resolve()),
        "target": target,
        "encoding": encoding,
        "delimiter": delimiter,
        "lenders": lenders,
        "rows": rows,
        "seed": seed,
        "database": None if database is None else str(database.resolve()),
    }
    console = Console()
    view = LiveView(Console())
    if workspace.exists():
        asked = {
            name: value
            for name, value in told.items()
            if context.get_parameter_source(name) in SAID
        }
        with view:
            names = [process.name for process in up_again(workspace, asked, view)]
    else:
        names = _found(workspace, told, view)
    lenders_there = sorted(path.name for path in (workspace / "lenders").iterdir())
    customer = f"lin, once there is one: tahini borrower --workspace {workspace} --as lin notices"
    for one in addresses(workspace, customer):
        console.print(f"  {one.pages:<22} {one.url}  ({one.opens})", highlight=False)
    console.print(
        f"\n{len(names)} processes run; their logs are in {workspace / 'logs'}. Next:\n"
        f"  tahini campaign propose --home {workspace}/coordinator --id first --title 'First "
        f"model' --features {workspace}/features.toml\n"
        + "".join(
            f"  tahini campaign approve HASH --home {workspace}/lenders/{name}\n"
            for name in lenders_there
        )
        + f"  tahini campaign launch HASH --home {workspace}/coordinator\n"
        f"  tahini campaign watch HASH --home {workspace}/coordinator\n"
        f"  tahini borrower --workspace {workspace} --as lin notices\n"
        + f"  tahini model fetch HASH --home {workspace}/lenders/{lenders_there[0]}\n"
        f"  {verification(workspace)}\n  tahini doctor --home {workspace}\n"
        f"  tahini down --workspace {workspace}\n"
        f"  tahini up --workspace {workspace}    # again, after down or a reboot",
        highlight=False,
        soft_wrap=True,
    )


def _found(workspace: Path, told: dict[str, str | int | None], view: LiveView) -> list[str]:
    """Found a consortium as it was ``told``; returns the names of what runs."""
    from demo.deployment import Place
    from demo.deployment import up as start
    from demo.loans import CsvForm, default_loans, read_loans

    data, target, rows, database = told["data"], told["target"], told["rows"], told["database"]
    if (data is None) != (target is None):
        raise DemoError("--data and --target come together")
    if data is None:
        loans = default_loans()
    else:
        form = CsvForm(str(told["delimiter"]), str(told["encoding"]))
        loans = read_loans(Path(str(data)), str(target), None, None, form)
    if rows is not None:
        loans = replace(loans, table=loans.table.head(int(rows)))
    url = None if database is None else read_secret(Path(str(database))).decode().strip()
    place = Place(database=url, options=told)
    with view:
        running = start(
            workspace, loans, int(told["lenders"] or 0), int(told["seed"] or 0), view, place
        )
    return [process.name for process in running.processes]


@app.command(epilog="Example: `tahini down --workspace here`")
def down(
    workspace: Annotated[Path, typer.Option(help="The workspace of tahini up.")] = Path(
        "workspace/up"
    ),
) -> None:
    """Stop every process of a consortium on this machine; keys, ledgers, log and models stay where
    they are."""
    from demo.processes import down as stop

    typer.echo(
        f"{stop(workspace)} processes stopped; everything in {workspace} stays; start it again "
        f"with: tahini up --workspace {workspace.absolute()}"
    )
