"""``tahini privacy``: attack the installed build, and say what the attack proved."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from cli.shared import AsJson, Noun, say
from credit.planning import Training, plan_mechanism
from demo.through import Through
from privacy.charges import Budget
from privacy.errors import PrivacyError

app = Noun(
    "Attack what is promised about privacy.",
    "What is promised is computed; what is true is measured.",
)
EXIT_BROKEN = 2
MOST_PEOPLE = 8000
"""An attack needs no more: the noise does not depend on how many there are."""


@app.command(
    epilog="Examples: `tahini privacy audit` · `tahini privacy audit --epsilon 4 --drop 1 "
    "--json` · `tahini privacy audit --data loans.parquet --target default`"
)
def audit(
    data: Annotated[
        Path | None, typer.Option(help="A .parquet or .csv table; the packaged loans if left out.")
    ] = None,
    target: Annotated[str, typer.Option(help="Its column of 0 (good) and 1 (bad).")] = "target",
    epsilon: Annotated[float, typer.Option(help="What the campaign promises.")] = 1.0,
    lenders: Annotated[int, typer.Option(help="How many lenders add noise.", min=2, max=10)] = 4,
    drop: Annotated[
        int, typer.Option(help="How many of them drop out before the first release.", min=0)
    ] = 0,
    canaries: Annotated[
        int, typer.Option(help="People invented for the attack.", min=20, max=2000)
    ] = 100,
    confidence: Annotated[
        float, typer.Option(help="Of the lower bound.", min=0.5, max=0.999)
    ] = 0.95,
    seed: Annotated[
        int, typer.Option(help="Fixes canaries and split; never coins or noise.", min=0)
    ] = 0,
    through: Annotated[
        Through,
        typer.Option(
            help="What the attacked lender keeps its rows in; they are read as its node reads."
        ),
    ] = Through.CSV,
    as_json: AsJson = False,
) -> None:
    """Train a scorecard with canaries, guess which of them took part, and prove a lower bound on
    epsilon.

    Exit code 0: nothing promised was disproved. 2: something was; the findings say what. A bound of
    0 is the usual, good answer: one run of an honest build at epsilon 1 gives an attacker next to
    nothing.
    """
    from credit.auditing import Attack
    from credit.auditing import audit as attack
    from credit.learning import Learner
    from demo.loans import default_loans, read_loans
    from demo.sources import reading_through

    loans = default_loans() if data is None else read_loans(data, target, None, None)
    plan = plan_mechanism(
        Budget(epsilon, 1e-5),
        Training("scorecard", lenders, collusion_bound=0, spare_attempts=max(0, lenders - 2)),
    )
    if lenders - drop < plan.threshold:
        raise PrivacyError(f"of {lenders} lenders at most {lenders - plan.threshold} may drop out")
    people = loans.table.sample(min(MOST_PEOPLE, len(loans.table)), random_state=seed)
    tables = [people.iloc[i::lenders].reset_index(drop=True) for i in range(lenders)]
    with Progress(console=Console(stderr=True), transient=True) as shown:
        bar = shown.add_task("attacking", total=None)
        report = attack(
            Learner(loans.schema, "scorecard", plan, seed),
            tables,
            Attack(canaries, confidence, drop, reading_through(through, loans.schema)),
            lambda done, total: shown.update(bar, completed=done, total=total),
        )
    if as_json:
        say({**asdict(report), "findings": report.findings, "passed": report.passed}, True)
    else:
        typer.echo(
            f"promised   epsilon {report.epsilon_promised:.3f} at delta {report.delta:g}, every "
            "release charged"
        )
        typer.echo(
            f"proved     epsilon at least {report.epsilon_proved:.3f} with confidence "
            f"{report.confidence:.0%}: "
            f"{report.right} of {report.guesses} guesses right about {report.canaries} canaries"
        )
        ratios = [check.ratio for check in report.noise]
        typer.echo(
            f"noise      {min(ratios):.3f} to {max(ratios):.3f} of what was promised, over "
            f"{len(ratios)} releases"
        )
        typer.echo(
            f"clip       the largest share of one canary was {report.largest_share:.6f} of the "
            "sensitivity"
        )
        typer.echo(
            f"rows       read through {through.value}, they changed one another by "
            f"{report.stray:.6f} of it"
        )
        for finding in report.findings:
            typer.echo(f"BROKEN     {finding}")
        typer.echo(
            "nothing promised was disproved" if report.passed else "this build must not be used"
        )
    if not report.passed:
        raise typer.Exit(EXIT_BROKEN)
