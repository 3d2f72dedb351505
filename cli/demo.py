"""``tahini demo``: parse, run, show; and what is left behind by a run that failed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from cli.shared import CsvDelimiter, CsvEncoding, Noun
from credit.kinds import Kind
from crypto.errors import TahiniError
from demo.errors import DemoError
from privacy.charges import Budget
from privacy.mechanism import MechanismKind

if TYPE_CHECKING:
    from demo.loans import CsvForm, Loans

DELTA = 1e-5
MIN_EPSILON, MAX_EPSILON = 0.01, 50.0
DEFAULT_SEED = 8
"""A split on which lenders differ clearly; README gives the figures over other seeds beside it."""
APPLICATIONS = 720
SEED_HELP = "Fixes the split and the model's start; never noise or keys."
MAX_SEED = 2**53 - 1
"""Larger whole numbers do not survive canonical JSON."""
app = Noun("The whole path on this machine.")


@app.command(
    epilog="Examples: `tahini demo` · `tahini demo --data loans.parquet --target default "
    "--partition state --lenders 5 --epsilon 1 --json out.json`"
)
def demo(
    data: Annotated[
        Path | None, typer.Option(help="A .parquet or .csv table; the packaged loans if left out.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Column that is 1 for bad borrowers and 0 for good ones.")
    ] = None,
    partition: Annotated[
        str | None, typer.Option(help="Column by which lenders are formed; at random if left out.")
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(help="Feature registry (TOML); derived from the schema if left out."),
    ] = None,
    encoding: CsvEncoding = "utf-8",
    delimiter: CsvDelimiter = ",",
    lenders: Annotated[int, typer.Option(help="How many lenders, 2 to 10.")] = 4,
    epsilon: Annotated[
        float, typer.Option(help="Privacy loss per borrower over the whole campaign.")
    ] = 1.0,
    model: Annotated[Kind, typer.Option(help="What to train.")] = "scorecard",
    mechanism: Annotated[
        MechanismKind,
        typer.Option(help="Shares of noise in one secure sum, or each lender its own noise."),
    ] = "distributed",
    seed: Annotated[
        int,
        typer.Option(
            help="Fixes the split and the model's start; never noise or keys.", min=0, max=MAX_SEED
        ),
    ] = DEFAULT_SEED,
    applications: Annotated[
        int,
        typer.Option(
            help="Applications in two simulated years of lending with the model, whose loans it is "
            "then trained on again; 0 leaves them out.",
            min=0,
            max=10_000,
        ),
    ] = APPLICATIONS,
    json_out: Annotated[
        Path | None, typer.Option("--json", help="Write the report's figures here too.")
    ] = None,
    workspace: Annotated[
        Path | None, typer.Option(help="Where to build the consortium; must not exist yet.")
    ] = None,
    look: Annotated[
        bool, typer.Option("--look", help="Serve the pages of the run at its end, until Ctrl-C.")
    ] = False,
) -> None:
    """Build a consortium on this machine and train a credit model, from notice to audited model."""
    from demo.loans import CsvForm

    console = Console()
    root = workspace or Path("workspace") / datetime.now().astimezone().strftime(
        "demo-%Y%m%d-%H%M%S"
    )
    form = CsvForm(delimiter, encoding)
    loans = _checked(
        data, target, partition, features, form, lenders, epsilon, seed, root, json_out
    )
    for column, why in loans.left_out.items():
        console.print(f"left out: {column} ({why})", highlight=False, markup=False)
    for remark in loans.remarks:
        console.print(f"look at: {remark}", highlight=False, markup=False)

    # heavy rooms are loaded only for a run that can start
    from demo.outside import verification_of_demo
    from demo.progress import LiveView, closed, result_table
    from demo.report import write_report
    from demo.result import Settings
    from demo.scenario import run
    from demo.workspaces import made

    settings = Settings(loans, root, lenders, epsilon, seed, model, DELTA, mechanism, applications)
    with _what_failure_leaves(root), made(root, "demo") as kept:
        with LiveView(console) as view:
            outcome = run(settings, view)
        html, figures = write_report(outcome, outcome.scenario.notice.texts, json_out)
        kept.model_copy(update={"whole": True}).keep(root)
    console.print()
    console.print(result_table(outcome))
    console.print(
        "Exact figures on people set aside: not private, for the demo only.", style="grey62"
    )
    console.print()
    if outcome.training.level is not None:
        rate = outcome.training.level.base_rate
        console.print(
            f"Base rate, from the noisy counts: {rate.value:.2%} ± {rate.error:.2%} bad.",
            highlight=False,
        )
    for remark in outcome.training.remarks:
        console.print(f"Note: {remark}.", highlight=False, soft_wrap=True)
    if outcome.loop is not None:
        console.print(closed(outcome.loop, outcome.comparison), highlight=False, soft_wrap=True)
    verified = outcome.log.audit.entries
    console.print(
        f"Log verified from the outside: {verified:,} entries. Withdrawn borrowers seen in a later "
        f"roster: {outcome.log.withdrawn_seen_after}.",
        highlight=False,
    )
    for label, path in (("report", html), ("figures", figures), *outcome.scenario.files.items()):
        console.print(f"  {label:<8} {path}", highlight=False, soft_wrap=True)
    console.print("Verify the log yourself, from the outside:", highlight=False)
    for line in verification_of_demo(root):
        console.print(f"  {line}", highlight=False, soft_wrap=True)
    console.print(
        f"Everything is kept in {root}: keys, ledgers, log, model. To look at its pages, at what "
        f"is kept, and to remove it:\n  tahini workspaces look {root}\n  tahini workspaces list "
        f"--under {root.parent}\n  tahini workspaces clean {root}",
        highlight=False,
        soft_wrap=True,
    )
    if look:
        from cli.workspaces import serve_pages

        serve_pages(root)


def _checked(
    data: Path | None,
    target: str | None,
    partition: str | None,
    features: Path | None,
    form: CsvForm,
    lenders: int,
    epsilon: float,
    seed: int,
    root: Path,
    json_out: Path | None,
) -> Loans:
    """Everything that can be checked before anything is created."""
    from demo.loans import default_loans, read_loans, split

    Budget(epsilon, DELTA)
    if epsilon > MAX_EPSILON:
        raise DemoError(f"epsilon {epsilon:g} protects nobody; choose at most {MAX_EPSILON:g}")
    if epsilon < MIN_EPSILON:
        raise DemoError(
            f"epsilon {epsilon:g} leaves nothing to learn; choose at least {MIN_EPSILON:g}"
        )
    if root.exists():
        raise DemoError(f"the workspace {root} exists already; name another with --workspace")
    if json_out is not None and not json_out.parent.is_dir():
        raise DemoError(f"cannot write {json_out}: the folder {json_out.parent} does not exist")
    if json_out is not None and json_out.is_dir():
        raise DemoError(f"cannot write {json_out}: it is a folder")
    if data is None:
        if target or partition or features:
            raise DemoError(
                "--target, --partition and --features describe a table; name it with --data"
            )
        loans = default_loans()
    elif target is None:
        raise DemoError(f"say which column of {data} is the target: --target COLUMN")
    else:
        loans = read_loans(data, target, partition, features, form)
    parts = split(loans, lenders, seed)
    return replace(loans, remarks=(*loans.remarks, *parts.remarks))


@contextmanager
def _what_failure_leaves(root: Path) -> Iterator[None]:
    """Nothing, where nobody was asked yet. What was logged and charged stays; an unfinished report
    does not exist."""
    try:
        yield
    except KeyboardInterrupt as error:
        stopped = DemoError("interrupted")
        _tidy(stopped, root)
        raise stopped from error
    except (TahiniError, OSError) as error:
        _tidy(error, root)
        raise


def _tidy(error: Exception, root: Path) -> None:
    if (root / "registry").exists() and any((root / "lenders").glob("*/ledger.db")):
        released = any(root.glob("coordinator/campaigns/*/model-card.jws"))
        state = (
            "a model was released, but its report is not complete"
            if released
            else "no model was released"
        )
        error.add_note(f"ledgers, log and the programs' own logs are in {root}; {state}")
    elif root.exists():
        shutil.rmtree(root)
