"""``tahini budget``: what campaigns cost this lender's borrowers, and what is left. For the
lender's own operator."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cli.shared import AsJson, NodeHome, Noun, opened_node, say
from clients.budget_ledger import Reservation
from privacy.accounting import epsilon_of, rho_of
from privacy.charges import Budget, Charge
from privacy.filter import affordable
from privacy.mechanism import Audience, ReleaseKind
from protocol.hashes import whole_hash

app = Noun(
    "Borrowers' privacy budgets at this lender.",
    "Every release attempt is charged to everybody in it before it is computed; this shows the "
    "charges.",
)


def _shown(value: float) -> str:
    return f"{value:.4g}"


def _audience(line: Reservation) -> Audience:
    return Audience.HOLD_OUT if line.kind == ReleaseKind.EVALUATION else Audience.TRAINING


def _campaigns(
    lines: list[Reservation], people: Mapping[int, int], delta: float
) -> list[dict[str, Any]]:
    """One row per campaign: what it cost somebody who was in every attempt of the dearer of its two
    audiences.

    Args:
        people: how many each attempt charged, by its number.
    """
    rows = []
    for campaign in dict.fromkeys(line.campaign for line in lines):
        own = [line for line in lines if line.campaign == campaign]
        sides = [[line.charge for line in own if _audience(line) is side] for side in Audience]
        dearest = max(sides, key=lambda charges: epsilon_of(charges, delta))
        rows.append(
            {
                "campaign": campaign,
                "releases": len({line.release for line in own}),
                "attempts": len(own),
                "unsettled": sum(line.settled_at is None for line in own),
                "rho": rho_of(dearest),
                "epsilon": epsilon_of(dearest, delta),
                "people": max(people[line.number] for line in own),
                "last": own[-1].reserved_at,
            }
        )
    return rows


def _left(history: tuple[Charge, ...], cap: Budget) -> float:
    """Epsilon between what somebody spent and the cap. Epsilons do not add up; this is for the eye,
    not the filter."""
    return max(0.0, cap.epsilon - epsilon_of(history, cap.delta))


@app.command(epilog="Examples: `tahini budget show --home lenders/aspen` · the same with `--json`")
def show(home: NodeHome, as_json: AsJson = False) -> None:
    """What each campaign cost, and how much is left to the people in this lender's ledger."""
    node = opened_node(home)
    lines = node.store.ledger()
    cap = node.cap
    histories = node.store.spent(node.store.everybody())
    left = {history: _left(history, cap) for history in set(histories.values())}
    remaining = [left[history] for history in histories.values()]
    smallest = Charge(max((line.charge.noise_multiplier for line in lines), default=1.0))
    campaigns = _campaigns(lines, node.store.charged(), cap.delta)
    facts: dict[str, Any] = {
        "cap": {
            "epsilon": cap.epsilon,
            "delta": cap.delta,
            "epsilon_per_year": node.yearly_cap.epsilon,
        },
        "campaigns": campaigns,
        "people": len(histories),
        "at_the_cap": len(histories) - len(affordable(histories, smallest, cap)),
        "epsilon_left": {"least": min(remaining), "median": median(remaining)}
        if remaining
        else None,
    }
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
            f"epsilon left: least {min(remaining):.3f}, median {median(remaining):.3f}",
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
    lines = node.store.ledger()
    people = node.store.charged()
    sha256 = whole_hash(campaign, {line.campaign: "" for line in lines}, "in this ledger")
    so_far: dict[Audience, list[Charge]] = {side: [] for side in Audience}
    rows: list[dict[str, Any]] = []
    for line in (line for line in lines if line.campaign == sha256):
        spent = so_far[_audience(line)]
        spent.append(line.charge)
        rows.append(
            {
                "release": line.release,
                "attempt": line.attempt,
                "kind": line.kind,
                "audience": str(_audience(line)),
                "noise_multiplier": line.charge.noise_multiplier,
                "sampling_rate": line.charge.sampling_rate,
                "steps": line.charge.steps,
                "rho": rho_of([line.charge]),
                "epsilon_so_far": epsilon_of(spent, node.cap.delta),
                "people": people[line.number],
                "reserved_at": line.reserved_at,
                "settled_at": line.settled_at,
            }
        )
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
