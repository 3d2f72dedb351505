"""``tahini up``: a whole consortium on this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from clients.errors import NodeError
from consent.cli_support import refuse_in_one_sentence
from consent.errors import ConsentError
from credit.errors import FeatureError
from crypto.keys import read_secret
from demo.errors import DemoError
from demo.loans import default_loans, read_loans
from fleet.errors import FleetError

app = typer.Typer(rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command(
    epilog="Examples: `tahini up` · `tahini up --workspace here --data loans.parquet --target bad --lenders 3`"
)
@refuse_in_one_sentence
def up(
    workspace: Annotated[Path, typer.Option(help="Where to build it; must not exist yet.")] = Path("workspace/up"),
    data: Annotated[Path | None, typer.Option(help="A .parquet or .csv table; the packaged loans if left out.")] = None,
    target: Annotated[str | None, typer.Option(help="Its column of 0 (good) and 1 (bad).")] = None,
    lenders: Annotated[int, typer.Option(help="How many lenders.", min=2, max=10)] = 3,
    rows: Annotated[int | None, typer.Option(help="Use so many loans only.", min=100)] = None,
    seed: Annotated[int, typer.Option(help="Fixes who has which loan; never noise or keys.")] = 8,
    database: Annotated[
        Path | None, typer.Option(help="File with the registry's postgresql:// URL; SQLite without it.", exists=True)
    ] = None,
) -> None:
    """Found a consortium, start registry, naming service, witnesses, SuperLink and nodes, and ask the borrowers.

    Everything keeps running until `tahini down`. Campaigns are then proposed, approved and launched by hand.
    """
    import tomli_w

    from demo.local import Place
    from demo.local import up as start
    from demo.view import LiveView

    try:
        if workspace.exists():
            raise DemoError(f"{workspace} exists already; name another with --workspace, or stop it with: tahini down")
        if (data is None) != (target is None):
            raise DemoError("--data and --target come together")
        loans = default_loans() if data is None or target is None else read_loans(data, target, None, None)
        if rows is not None:
            loans = replace(loans, table=loans.table.head(rows))
        console = Console()
        place = Place(database=None if database is None else read_secret(database).decode().strip())
        with LiveView(console) as view:
            running = start(workspace, loans, lenders, seed, view, place)
        registry = loans.registry.model_dump(mode="json", exclude_none=True)
        (workspace / "features.toml").write_text(tomli_w.dumps(registry), encoding="utf-8")
    except (DemoError, NodeError, FeatureError, FleetError) as error:
        raise ConsentError(str(error)) from error
    names = [lender.id for lender in running.founded.consortium.lenders]
    console.print(
        f"\n{len(running.processes)} processes run; their logs are in {workspace / 'logs'}. Next:\n"
        f"  tahini campaign propose --home {workspace}/coordinator --id first --title 'First model' "
        f"--features {workspace}/features.toml\n"
        + "".join(f"  tahini campaign approve HASH --home {workspace}/lenders/{name}\n" for name in names)
        + f"  tahini campaign launch HASH --home {workspace}/coordinator\n"
        f"  tahini campaign watch HASH --home {workspace}/coordinator\n"
        f"  tahini down --workspace {workspace}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
