"""``tahini campaign``, as the coordinator: propose, launch, watch, stop, resume, show."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from consent.cli_support import progress, say
from consent.code import installed_code
from consent.commands.propose_campaign import Proposed
from consent.documents import Campaign
from consent.errors import RegistryUnavailable
from consent.schema import now
from consent.terms import TRAINING_PURPOSE
from credit.features import load_registry
from credit.planning import plan_mechanism
from crypto.keys import replace_file
from fleet.bundle import build_bundle, bundle_sha256
from privacy.charges import Budget
from server.choices import MechanismChoice, ModelChoice
from server.cli_support import AsJson, Home, campaign_folder, plainly
from server.desired import BUNDLE_FILE, Stage, State, events, read_state, want, write_state
from server.errors import CampaignStopped, CoordinatorError
from server.home import MODEL_FILE, Coordinator

app = typer.Typer(no_args_is_help=True, help="Propose, approve and run campaigns.", rich_markup_mode="markdown")
CampaignHash = Annotated[str, typer.Argument(help="The campaign's hash, or the first six or more of its characters.")]
WATCH_S = 0.3


@app.command(
    epilog="Example: `tahini campaign propose --home coordinator --id spring --title 'Spring model' --features "
    "features.toml --lenders aspen,birch,cedar --epsilon 1`"
)
@plainly
def propose(
    home: Home,
    name: Annotated[str, typer.Option("--id", help="The campaign's id.")],
    title: Annotated[str, typer.Option(help="What it is for, in words.")],
    features: Annotated[Path, typer.Option(help="Feature registry (TOML).", exists=True)],
    lenders: Annotated[str | None, typer.Option(help="Ids, with commas; every lender if left out.")] = None,
    model: Annotated[ModelChoice, typer.Option(help="What to train.")] = ModelChoice.SCORECARD,
    mechanism: Annotated[MechanismChoice, typer.Option(help="Whose noise.")] = MechanismChoice.DISTRIBUTED,
    epsilon: Annotated[float, typer.Option(help="Privacy loss per borrower over the whole campaign.")] = 1.0,
    delta: Annotated[float, typer.Option(help="Its delta.")] = 1e-5,
    steps: Annotated[int | None, typer.Option(help="Releases of the descent; by default what the model needs.")] = None,
    collusion_bound: Annotated[int | None, typer.Option(help="Lenders who may collude; a third by default.")] = None,
    spare_attempts: Annotated[int | None, typer.Option(help="Attempts reserved for dropouts.")] = None,
    hold_out: Annotated[float, typer.Option(help="Share of people kept for the evaluation.", min=0, max=0.5)] = 0.1,
    hours: Annotated[float, typer.Option(help="How long approvals are good for.", min=0.1, max=24 * 90)] = 72.0,
    seed: Annotated[int, typer.Option(help="Where the model starts; never noise or keys.", min=0)] = 0,
    as_json: AsJson = False,
) -> None:
    """Sign a campaign and the bundle that will run, and hand it to the registry for the lenders to approve."""
    coordinator = Coordinator.open(home)
    chosen = tuple(lenders.split(",")) if lenders else tuple(party.id for party in coordinator.consortium.lenders)
    bundle, moment = build_bundle(), now()
    campaign = Campaign(
        id=name, title=title, coordinator=coordinator.id, lenders=chosen, purpose=TRAINING_PURPOSE, model=model.value,
        features=load_registry(features).model_dump(mode="json"),
        mechanism=plan_mechanism(
            Budget(epsilon, delta), model.value, len(chosen), kind=mechanism.value, steps=steps,
            collusion_bound=collusion_bound, spare_attempts=spare_attempts, hold_out=hold_out,
        ),
        code_sha256=installed_code(), bundle_sha256=bundle_sha256(bundle), seed=seed, created_at=moment,
        expires_at=moment + timedelta(hours=hours),
    )  # fmt: skip
    token = campaign.sign(coordinator.key)
    client = coordinator.registry()
    try:
        client.propose(token)
    finally:
        client.close()
    folder = coordinator.folder(campaign.sha256)
    replace_file(folder / BUNDLE_FILE, bundle)
    replace_file(folder / "campaign.jws", token.encode())
    write_state(folder, Stage.PROPOSED)
    found = {
        "campaign": campaign.sha256,
        "bundle": campaign.bundle_sha256,
        "releases": len(campaign.mechanism.releases),
    }
    if as_json:
        say(found, as_json)
    else:
        typer.echo(
            f"proposed {campaign.sha256}\n  {len(chosen)} lenders, {found['releases']} releases, epsilon {epsilon:g}; "
            f"bundle {str(campaign.bundle_sha256)[:12]}…\n  each lender now runs: tahini campaign approve "
            f"{campaign.sha256[:12]}"
        )


@app.command(epilog="Example: `tahini campaign launch 4f1c22 --home coordinator`")
@plainly
def launch(campaign: CampaignHash, home: Home) -> None:
    """Have the running coordinator run an approved campaign."""
    coordinator = Coordinator.open(home)
    folder = campaign_folder(coordinator, campaign)
    client = coordinator.registry()
    try:
        known, active = client.campaign(folder.name)
    finally:
        client.close()
    if not active:
        raise CampaignStopped(f"campaign {known.id!r} lacks approvals; no quorum, no run")
    if read_state(folder).stage is Stage.STOPPED:
        raise CoordinatorError(f"campaign {known.id!r} was stopped; go on with: tahini campaign resume {campaign}")
    want(folder, True)
    typer.echo(f"campaign {known.id!r} is to run; follow it with: tahini campaign watch {folder.name[:12]}")


@app.command(epilog="Example: `tahini campaign stop 4f1c22 --home coordinator`")
@plainly
def stop(campaign: CampaignHash, home: Home) -> None:
    """Stop a campaign before its next release; what was released is kept."""
    want(campaign_folder(Coordinator.open(home), campaign), False)
    typer.echo("the campaign stops before its next release; go on with: tahini campaign resume")


@app.command(epilog="Example: `tahini campaign resume 4f1c22 --home coordinator`")
@plainly
def resume(campaign: CampaignHash, home: Home) -> None:
    """Go on with a campaign that stopped, from the releases that it kept. Attempts that were made stay charged."""
    folder = campaign_folder(Coordinator.open(home), campaign)
    state = read_state(folder)
    if state.stage is Stage.RELEASED:
        raise CoordinatorError("the campaign has released its model already")
    if state.stage is Stage.STOPPED:
        write_state(folder, Stage.PROPOSED)
    want(folder, True)
    typer.echo("the campaign goes on")


@app.command(epilog="Example: `tahini campaign watch 4f1c22 --home coordinator`; exit code 3 when it has stopped")
@plainly
def watch(
    campaign: CampaignHash,
    home: Home,
    timeout: Annotated[float, typer.Option(help="Give up watching after so many seconds.", min=0)] = 24 * 3600.0,
) -> None:
    """Follow a campaign until it has released its model or stopped."""
    folder = campaign_folder(Coordinator.open(home), campaign)
    deadline, seen, made = time.monotonic() + timeout, 0, 0
    with progress("releases", None) as done:
        while True:
            state = read_state(folder)  # before the events, so that the last of them is seen
            for event in events(folder, seen):
                seen += 1
                if event["event"] == "release":
                    made = int(event["release"]) + 1
                    done(made, int(event["releases"]))
                typer.echo(_told(event), err=True)
            if state.stage in (Stage.RELEASED, Stage.STOPPED):
                break
            if time.monotonic() > deadline:
                raise CoordinatorError(f"after {timeout:g} s the campaign is still {state.stage}, {made} releases made")
            time.sleep(WATCH_S)
    typer.echo(_sentence(folder, state))
    if state.stage is Stage.STOPPED:
        raise typer.Exit(3)


@app.command(epilog="Example: `tahini campaign show 4f1c22 --home coordinator --json`")
@plainly
def show(campaign: CampaignHash, home: Home, as_json: AsJson = False) -> None:
    """How a campaign stands: lenders' answers, stage, releases, who was lost, what it costs."""
    coordinator = Coordinator.open(home)
    folder = campaign_folder(coordinator, campaign)
    client = coordinator.registry()
    try:
        answered: Proposed | None = client.proposed(folder.name)
    except RegistryUnavailable as error:
        answered = None  # what stands in this folder is known all the same
        typer.echo(f"tahini: who approved is not known: {error}", err=True)
    finally:
        client.close()
    state, known = read_state(folder), Campaign.claimed((folder / "campaign.jws").read_text(encoding="utf-8"))
    told = list(events(folder))
    found: dict[str, Any] = {
        "campaign": folder.name, "id": known.id, "approved_by": answered and answered.approved_by,
        "rejected_by": answered and answered.rejected_by, "stage": state.stage.value, "reason": state.reason,
        "releases": sum(event["event"] == "release" for event in told), "planned": len(known.mechanism.releases),
        "lost": sorted({name for event in told if event["event"] == "lost" for name in event["lenders"]}),
        "epsilon": known.mechanism.epsilon, "delta": known.mechanism.delta, "folder": str(folder),
    }  # fmt: skip
    if as_json:
        say(found, as_json)
        return
    typer.echo(_sentence(folder, state))
    if answered is not None:
        waiting = set(known.lenders) - {*answered.approved_by, *answered.rejected_by}
        for what, who in (
            ("approved by", answered.approved_by),
            ("rejected by", answered.rejected_by),
            ("not answered:", tuple(sorted(waiting))),
        ):
            if who:
                typer.echo(f"  {what} {', '.join(who)}")
    typer.echo(f"  {found['releases']} of {found['planned']} releases; epsilon {found['epsilon']:g} per borrower")
    if found["lost"]:
        typer.echo(f"  lost on the way: {', '.join(found['lost'])}")


def _told(event: dict[str, Any]) -> str:
    match event["event"]:
        case "joined":
            return f"{len(event['lenders'])} nodes joined"
        case "release":
            return f"release {event['release'] + 1} of {event['releases']} ({event['kind']})"
        case "lost":
            return f"lost {', '.join(event['lenders'])}: {event['reason']}"
        case "released":
            return "the model's card is signed and logged"
        case _:
            return str(event.get("reason", event["event"]))


def _sentence(folder: Path, state: State) -> str:
    if state.stage is Stage.RELEASED:
        return f"released: {folder / MODEL_FILE}"
    if state.stage is Stage.STOPPED:
        return f"stopped: {state.reason}; go on with: tahini campaign resume {folder.name[:12]}"
    return f"campaign {folder.name[:12]} is {state.stage}"
