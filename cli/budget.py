"""``tahini budget``: what campaigns cost this lender's borrowers, and what is left. For the
lender's own operator."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.shared import AsJson, NodeHome, Noun, opened_node, say
from clients.budgets import attempts_of, budget_facts
from protocol.hashes import whole_hash

app = Noun(
    "Borrowers' privacy budgets at this lender.",
    "Every release attempt is charged to everybody in it before it is computed; this shows the "
    "charges.",
)


def _shown(value: float) -> str:
    return f"{value:.4g}"


@app.command(epilog="Examples: `tahini budget show --home lenders/aspen` · the same with `--json`")
def show(home: NodeHome, as_json: AsJson = False) -> None:
    """What each campaign cost, and how much is left to the people in this lender's ledger."""
    node = opened_node(home)
    facts, cap = budget_facts(node), node.cap
    campaigns, remaining = facts["campaigns"], facts["epsilon_left"]
    if as_json:
        say(facts, True)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("campaign", no_wrap=True)
    for name in ("releases", "attempts", "unsettled", "rho", "epsilon", "people"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in campaigns:
        counts = (str(row[name]) for name in ("releases", "attempts", "unsettled"))
        table.add_row(
            row["campaign"][:12],
            *counts,
            _shown(row["rho"]),
            _shown(row["epsilon"]),
            f"{row['people']:,}",
        )
    console = Console()
    console.print(table)
    console.print(
        f"\ncap per person: epsilon {cap.epsilon:g} ever, {node.yearly_cap.epsilon:g} a year, at "
        f"delta {cap.delta:g}; "
        f"{facts['people']:,} people charged, {facts['at_the_cap']:,} at the cap",
        highlight=False,
    )
    if remaining:
        console.print(
            f"epsilon left: least {remaining['least']:.3f}, median {remaining['median']:.3f}",
            highlight=False,
        )


@app.command(
    epilog="Examples: `tahini budget explain 1cea9d71f186 --home lenders/aspen` · "
    "`tahini budget explain 1cea9d71f186 --home lenders/aspen --json`"
)
def explain(
    campaign: Annotated[str, typer.Argument(help="The campaign's hash, or how it begins.")],
    home: NodeHome,
    as_json: AsJson = False,
) -> None:
    """Every attempt of one campaign: what it was for, its noise, its cost, and what it adds up
    to."""
    node = opened_node(home)
    known = {line.campaign: "" for line in node.store.ledger()}
    sha256 = whole_hash(campaign, known, "in this ledger")
    rows = [asdict(one) for one in attempts_of(node, sha256)]
    if as_json:
        say({"campaign": sha256, "attempts": rows}, True)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in (
        "release",
        "attempt",
        "kind",
        "noise",
        "rho",
        "epsilon so far",
        "people",
        "left the node",
    ):
        table.add_column(
            name, justify="left" if name in ("kind", "left the node") else "right", no_wrap=True
        )
    for row in rows:
        table.add_row(
            str(row["release"]),
            str(row["attempt"]),
            row["kind"],
            _shown(row["noise_multiplier"]),
            _shown(row["rho"]),
            f"{row['epsilon_so_far']:.4f}",
            f"{row['people']:,}",
            "yes" if row["settled_at"] else "no, but charged",
        )
    Console().print(table)
