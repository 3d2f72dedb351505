"""``tahini campaign``: as the coordinator propose, launch, watch, stop, resume, show, list;
``campaign_review`` as a lender."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli import campaign_plan, campaign_review
from cli.campaign_status import lenders_answers, told_event
from cli.quality import quality_lines
from cli.shared import AsJson, CampaignHash, CoordinatorHome, Noun, progress, say
from credit.kinds import Kind
from privacy.mechanism import MechanismKind
from server import commands, proposing
from server.commands import evaluated, figures
from server.desired_state import Stage, events, read_state
from server.errors import CoordinatorError
from server.folders import (
    campaign_folder,
    campaign_in,
    campaigns_of,
    released_by,
    standing_of,
)
from server.home import Coordinator, load_releases
from server.proposing import (
    MAX_HOLD_OUT,
    MAX_HOURS,
    MAX_SEED,
    MAX_SPARE,
    MAX_STEPS,
    MIN_HOURS,
    Asked,
    warning,
)

app = Noun("Propose, approve and run campaigns.")
WATCH_S, ASK_S = 0.3, 5.0


def _finite(value: float | None) -> float | None:
    """An option that is a number: neither infinite nor none."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value


@app.command(
    epilog="Examples: `tahini campaign propose --home coordinator --id spring --title 'Spring "
    "model' --features features.toml --lenders aspen,birch,cedar --epsilon 1` · "
    "`tahini campaign propose --home coordinator --like 4f1c22 --without cedar` · "
    "`tahini campaign propose --home coordinator --warm-start 4f1c22`"
)
def propose(
    home: CoordinatorHome,
    name: Annotated[
        str | None, typer.Option("--id", help="The campaign's id: letters, digits, hyphens.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="What it is for, in words.")] = None,
    features: Annotated[
        Path | None, typer.Option(help="Feature registry (TOML).", exists=True)
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(help="Hash of an earlier campaign: what no option says is as it was there."),
    ] = None,
    from_alarm: Annotated[
        str | None,
        typer.Option(
            help="Hash of the campaign whose model an alarm is about (tahini watch report): its "
            "training is proposed again, as with --like."
        ),
    ] = None,
    warm_start: Annotated[
        str | None,
        typer.Option(
            help="Hash of the campaign whose model it begins with, on the same features: fewer "
            "releases for a better model, until people or economy have changed. As with --like."
        ),
    ] = None,
    lenders: Annotated[
        str | None, typer.Option(help="Ids, with commas; every lender if left out.")
    ] = None,
    without: Annotated[
        str | None, typer.Option(help="Ids, with commas, of those who are left out.")
    ] = None,
    model: Annotated[
        Kind | None, typer.Option(help="What to train; a scorecard by default.")
    ] = None,
    mechanism: Annotated[
        MechanismKind | None, typer.Option(help="Whose noise; distributed by default.")
    ] = None,
    epsilon: Annotated[
        float | None,
        typer.Option(
            help="Privacy loss per borrower over the whole campaign; 1 by default.",
            callback=_finite,
        ),
    ] = None,
    delta: Annotated[
        float | None, typer.Option(help="Its delta; 0.00001 by default.", callback=_finite)
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            help="Releases of the descent; by default what the model needs.", min=1, max=MAX_STEPS
        ),
    ] = None,
    collusion_bound: Annotated[
        int | None, typer.Option(help="Lenders who may collude; a third by default.", min=0)
    ] = None,
    spare_attempts: Annotated[
        int | None,
        typer.Option(help="Attempts reserved for dropouts; one by default.", min=0, max=MAX_SPARE),
    ] = None,
    hold_out: Annotated[
        float | None,
        typer.Option(
            help="Share of people kept for the evaluation; 0.1 by default.",
            min=0,
            max=MAX_HOLD_OUT,
            callback=_finite,
        ),
    ] = None,
    hours: Annotated[
        float | None,
        typer.Option(
            help="How long approvals are good for; 72 by default.",
            min=MIN_HOURS,
            max=MAX_HOURS,
            callback=_finite,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Where the model starts; never noise or keys.", min=0, max=MAX_SEED),
    ] = None,
    assessment: Annotated[
        str | None,
        typer.Option(
            help="Hash of the impact assessment; by default the newest of this home that covers it."
        ),
    ] = None,
    people: campaign_plan.ExpectedPeople = None,
    bad: campaign_plan.ExpectedBad = None,
    as_json: AsJson = False,
) -> None:
    """Sign a campaign and the bundle that will run, and hand it to the registry for the lenders to
    approve."""
    from credit.validation import load_schema  # with pandas, which only this needs
    from server import explaining

    coordinator = Coordinator.open(home)
    given = {
        "name": name,
        "title": title,
        "lenders": lenders,
        "without": without,
        "model": model,
        "mechanism": mechanism,
        "epsilon": epsilon,
        "delta": delta,
        "steps": steps,
        "collusion_bound": collusion_bound,
        "spare_attempts": spare_attempts,
        "hold_out": hold_out,
        "hours": hours,
        "seed": seed,
    }
    if from_alarm is not None:
        from cli.watch_campaigns import alarmed

        like, given["title"] = alarmed(home, from_alarm, like, title, warm_start is not None)
    schema = load_schema(features).model_dump(mode="json") if features else None
    begun = None
    if warm_start is not None:
        begun = released_by(
            coordinator, campaign_folder(coordinator, warm_start).name, "warm-start"
        )
        like = like or begun[1].campaign_sha256
    folder = campaign_folder(coordinator, like) if like else None
    before = campaign_in(folder) if folder else None
    asked = Asked.of(given, schema, before, coordinator.consortium, begun)
    seen = None
    if before and folder:
        seen = explaining.counted(before, load_releases(folder))
    campaign = proposing.propose(coordinator, asked, assessment)
    known = explaining.expected(campaign, people or (seen and seen[0]), bad or (seen and seen[1]))
    plan = campaign.mechanism
    care = warning(campaign)
    if care:
        typer.echo(f"tahini: {care}", err=True)
    if as_json:
        found = {
            "campaign": campaign.sha256,
            "bundle": campaign.bundle_sha256,
            "assessment": campaign.assessment_sha256,
            "begins_with": campaign.begins_with and campaign.begins_with.model_dump(),
            "releases": len(plan.releases),
        }
        found |= {"spare_attempts": plan.spare_attempts, "warning": care}
        say(found | {"foreseen": [asdict(one) for one in known]}, as_json)
    else:
        typer.echo(
            f"proposed {campaign.sha256}\n  {len(campaign.lenders)} lenders, {len(plan.releases)} "
            f"releases and {plan.spare_attempts} spare attempts, epsilon {plan.epsilon:g}; "
            f"bundle {str(campaign.bundle_sha256)[:12]}…, impact assessment "
            f"{str(campaign.assessment_sha256)[:12]}…\n  each lender now runs: tahini campaign "
            f"approve {campaign.sha256[:12]}"
        )
        typer.echo("\n".join(f"  {line}" for line in explaining.foretold(known)))


@app.command(epilog="Example: `tahini campaign launch 4f1c22 --home coordinator`")
def launch(campaign: CampaignHash, home: CoordinatorHome) -> None:
    """Have the running coordinator run an approved campaign."""
    coordinator = Coordinator.open(home)
    folder = campaign_folder(coordinator, campaign)
    stands = commands.launch(coordinator, folder)
    typer.echo(
        f"campaign {stands.campaign.id!r} is to run; follow it with: tahini campaign watch "
        f"{folder.name[:12]}"
    )
    if stands.waits_for:
        typer.echo(f"  it waits for {stands.waits_for}")


@app.command(epilog="Example: `tahini campaign stop 4f1c22 --home coordinator`")
def stop(campaign: CampaignHash, home: CoordinatorHome) -> None:
    """Stop a campaign before its next release; what was released is kept."""
    folder = campaign_folder(Coordinator.open(home), campaign)
    commands.stop(folder)
    typer.echo(
        "the campaign stops before its next release; go on with: tahini campaign resume "
        f"{folder.name[:12]}"
    )


@app.command(epilog="Example: `tahini campaign resume 4f1c22 --home coordinator`")
def resume(campaign: CampaignHash, home: CoordinatorHome) -> None:
    """Go on with a campaign that stopped, from the releases that it kept. Attempts that were made
    stay charged."""
    coordinator = Coordinator.open(home)
    folder = campaign_folder(coordinator, campaign)
    stands = commands.resume(coordinator, folder, lenders_answers(coordinator, folder.name))
    if stands.over:
        typer.echo(
            f"tahini: {stands.over}; nodes that made an attempt already refuse another", err=True
        )
    typer.echo("the campaign goes on")


@app.command(
    epilog=(
        "Example: `tahini campaign watch 4f1c22 --home coordinator`; exit code 3 when it has "
        "stopped"
    )
)
def watch(
    campaign: CampaignHash,
    home: CoordinatorHome,
    timeout: Annotated[
        float, typer.Option(help="Give up watching after so many seconds.", min=0)
    ] = 24 * 3600.0,
) -> None:
    """Follow a campaign until it has released its model or stopped; say what it waits for."""
    coordinator = Coordinator.open(home)
    folder = campaign_folder(coordinator, campaign)
    deadline = time.monotonic() + timeout
    seen = 0
    made = 0
    ask_at, waited_for, answers = 0.0, "", None
    with progress("releases", None) as done:
        while True:
            state = read_state(folder)  # before the events, so that the last of them is seen
            for event in events(folder, seen):
                seen += 1
                if event["event"] == "release":
                    made = int(event["release"]) + 1
                    done(made, int(event["releases"]))
                typer.echo(told_event(event), err=True)
            if time.monotonic() >= ask_at:
                answers = lenders_answers(coordinator, folder.name, quiet=ask_at > 0) or answers
                ask_at = time.monotonic() + ASK_S
            stands = standing_of(coordinator, folder, answers)
            if state.stage in (Stage.RELEASED, Stage.STOPPED) or (
                stands.over and state.stage is Stage.PROPOSED
            ):
                break
            if stands.waits_for not in ("", waited_for):
                typer.echo(f"waits for {stands.waits_for}", err=True)
            waited_for = stands.waits_for
            if time.monotonic() > deadline:
                waits = f"; it waits for {waited_for}" if waited_for else ""
                raise CoordinatorError(
                    f"after {timeout:g} s the campaign is still {state.stage}, {made} releases "
                    f"made{waits}"
                )
            time.sleep(WATCH_S)
    typer.echo("\n".join(stands.sentences))
    if state.stage is not Stage.RELEASED:
        raise typer.Exit(3)


@app.command(epilog="Example: `tahini campaign show 4f1c22 --home coordinator --json`")
def show(campaign: CampaignHash, home: CoordinatorHome, as_json: AsJson = False) -> None:
    """How a campaign stands: lenders' answers, stage, releases, who was lost, what it cost, what it
    waits for."""
    coordinator = Coordinator.open(home)
    folder = campaign_folder(coordinator, campaign)
    stands = standing_of(coordinator, folder, lenders_answers(coordinator, folder.name))
    found = figures(stands, folder) | {"evaluation": evaluated(coordinator, folder)}
    if as_json:
        say(found, as_json)
        return
    typer.echo("\n".join(stands.sentences))
    if stands.answers is not None:
        waiting = set(stands.campaign.lenders) - {*stands.answers.approved_by, *stands.rejected}
        for what, who in (
            ("approved by", stands.answers.approved_by),
            (
                "rejected by",
                [f"{name} ({why!r})" if why else name for name, why in stands.answers.rejected],
            ),
            ("not answered:", sorted(waiting)),
        ):
            if who:
                typer.echo(f"  {what} {', '.join(who)}")
    typer.echo(
        f"  {found['releases']} of {found['planned']} releases; epsilon "
        f"{found['epsilon_spent']:.3f} so far, {found['epsilon']:g} at most, per borrower"
    )
    if stands.state.stage is Stage.RELEASED:
        typer.echo("\n".join(quality_lines(found["evaluation"])))
    if found["lost"]:
        typer.echo(f"  lost on the way: {', '.join(found['lost'])}")


@app.command("list", epilog="Example: `tahini campaign list --home coordinator --json`")
def list_(home: CoordinatorHome, as_json: AsJson = False) -> None:
    """Every campaign in this home, the newest last: how it stands, what it cost, what it waits
    for."""
    coordinator = Coordinator.open(home)
    found = []
    reached = True
    folders = [coordinator.home / "campaigns" / sha256 for sha256 in campaigns_of(coordinator)]
    for folder in sorted(folders, key=lambda folder: (campaign_in(folder).created_at, folder.name)):
        ended = read_state(folder).stage is Stage.RELEASED
        answers = None if ended or not reached else lenders_answers(coordinator, folder.name)
        reached = reached and (ended or answers is not None)
        stands = standing_of(coordinator, folder, answers)
        found.append(figures(stands, folder))
        if not as_json:
            shown = found[-1]
            waits = stands.waits_for and f"waits for {stands.waits_for}"
            line = f"cannot go on: {stands.over}" if stands.over else waits
            typer.echo(
                f"{stands.short}  {stands.campaign.id:<20} {stands.state.stage:<9} "
                f"{shown['releases']:>3} of "
                f"{shown['planned']} releases, epsilon {shown['epsilon_spent']:.3f} of "
                f"{shown['epsilon']:g}" + (f"\n{'':14}{line}" if line else "")
            )
    if as_json:
        say(found, as_json)
    elif not found:
        typer.echo(
            f"no campaign was proposed from {home} yet; begin with: tahini campaign propose --help"
        )


app.registered_commands += campaign_plan.app.registered_commands
app.registered_commands += campaign_review.app.registered_commands
