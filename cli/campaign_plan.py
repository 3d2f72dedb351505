"""``tahini campaign plan``: what each release of a campaign costs, and with ``--explain`` what was
chosen on the way and why."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cli.shared import AsJson, CampaignHash, CoordinatorHome, Noun, say
from protocol.periods import period_name

ExpectedPeople = Annotated[
    int | None,
    typer.Option("--people", help="How many you expect to take part, to foresee errors.", min=100),
]
ExpectedBad = Annotated[
    float | None,
    typer.Option("--bad", help="Share of them you expect to be bad; 0.07.", min=0.001, max=0.999),
]
app = Noun("Explain a campaign's plan.")


@app.command(
    epilog="Examples: `tahini campaign plan 4f1c22 --home coordinator --explain` · "
    "`tahini campaign plan 4f1c22 --home coordinator --json`"
)
def plan(
    campaign: CampaignHash,
    home: CoordinatorHome,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say what was chosen from released figures, and why.")
    ] = False,
    people: ExpectedPeople = None,
    bad: ExpectedBad = None,
    as_json: AsJson = False,
) -> None:
    """The releases of a campaign, their noise, what share of a person's budget each takes, and how
    well the model's quality will be known."""
    from server import explaining  # with pandas, which only this needs
    from server.folders import campaign_folder, campaign_in
    from server.home import Coordinator, load_releases

    folder = campaign_folder(Coordinator.open(home), campaign)
    proposed = campaign_in(folder)
    mechanism = proposed.mechanism
    rows = explaining.planned(proposed)
    seen = explaining.counted(proposed, load_releases(folder))
    counted, rate = seen or (None, None)
    known = explaining.expected(proposed, people or counted, bad or rate)
    figures = None
    if explain or as_json:
        figures = explaining.chosen(proposed, load_releases(folder), folder.parent)
    if as_json:
        about = {"campaign": proposed.sha256, "model": proposed.model, "kind": mechanism.kind}
        costs = {"epsilon": mechanism.epsilon, "delta": mechanism.delta}
        more = {"spare_attempts": mechanism.spare_attempts, "releases": rows, "chosen": figures}
        more["foreseen"] = [asdict(one) for one in known]
        say(about | costs | more, as_json)
        return
    typer.echo(
        f"{proposed.id}: a {proposed.model}, {mechanism.kind}; epsilon {mechanism.epsilon:g}, "
        f"delta {mechanism.delta:g}, {mechanism.spare_attempts} spare attempts in the price"
    )
    for row in rows:
        share = "" if row["share"] is None else f"{row['share']:>7.1%}"
        typer.echo(
            f"  {row['times']:>3} x {row['kind']:<12} noise {row['noise_multiplier']:>8.2f} "
            f"{share:>8} of the {row['audience']}"
        )
    if proposed.watched is not None:
        days = period_name(proposed.watched)
        typer.echo(f"it counts people of {days}, once, and trains no model")
        return
    typer.echo("\n".join(explaining.foretold(known)))
    if explain:
        typer.echo("\n".join(f"- {reason}" for reason in explaining.because(figures)))
