"""``tahini campaign``, as a lender: what was offered; review, approve, reject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.shared import AsJson, CampaignHash, NodeHome, Noun, opened_node, say
from cli.staff import As, acting
from protocol.campaigns import Campaign
from protocol.errors import ConsentError, NotFound
from protocol.hashes import whole_hash
from protocol.periods import period_name
from protocol.schema import now

if TYPE_CHECKING:
    from clients.home import Node
    from fleet.bundle import Change

app = Noun("Review campaigns.")


def _campaign(node: Node, begins: str) -> Campaign:
    """The campaign at the registry whose hash begins so; raises ConsentError. What only lenders
    need is loaded here and below: the coordinator's commands have no use for it."""
    from protocol.client.lenders import LenderClient

    with node.connected(LenderClient) as client:
        return client.proposed(
            whole_hash(begins, client.campaigns(), f"for {node.lender}")
        ).campaign


@app.command(
    "approve",
    epilog="Examples: `tahini campaign approve 4f1c22 --home aspen` · `… --diff` · `… --yes`",
)
def approve_(
    campaign: CampaignHash,
    home: NodeHome,
    diff: Annotated[bool, typer.Option("--diff", help="Show changed code line by line.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Sign without asking; for those who have reviewed it.")
    ] = False,
    staff: As = None,
    as_json: AsJson = False,
) -> None:
    """Show what a campaign would do and what code changed since the last approval; sign it if you
    agree."""
    from cli.assessment import lines_of
    from clients.approving import changed_code, covering_assessment, sign_yes

    node = opened_node(home)
    operator = acting(staff, node.consortium)
    proposed = _campaign(node, campaign)
    assessment, _ = covering_assessment(node, proposed)
    changed = changed_code(node)
    if not as_json:
        _review(proposed, changed, diff)
        typer.echo(
            "\n".join(("impact assessment, which you approve with it:", *lines_of(assessment)))
        )
    if not yes and not typer.confirm(
        f"sign campaign {proposed.id!r} for {node.lender!r}?", default=False
    ):
        raise ConsentError("nothing was signed")
    active = sign_yes(node, proposed.sha256, operator)
    if as_json:
        say(
            {
                "campaign": proposed.sha256,
                "active": active,
                "changed": [change.path for change in changed],
                "assessment": assessment.sha256,
            },
            as_json,
        )
    else:
        typer.echo(f"signed; the campaign {'is active' if active else 'waits for other lenders'}")


def _review(campaign: Campaign, changed: list[Change], diff: bool) -> None:
    from clients.home import campaign_cost

    mechanism = campaign.mechanism
    features = campaign.features["features"]
    lines = [
        (
            f"{campaign.title} ({campaign.id}), by {campaign.coordinator}, until "
            f"{campaign.expires_at:%Y-%m-%d %H:%M} UTC"
        ),
        f"  lenders    {', '.join(campaign.lenders)}",
        f"  purpose    {campaign.purpose}",
        (
            f"  model      {campaign.model} on {len(features)} features: "
            f"{', '.join(f['name'] for f in features)}"
        ),
        *(f"             {_feature(one)}" for one in features),
        *_rests_on(campaign),
        (
            f"  privacy    {mechanism.kind}, at most epsilon {campaign_cost(campaign):.4g} at "
            f"delta {mechanism.delta:g}"
        ),
        f"  releases   {len(mechanism.releases)}, and {mechanism.spare_attempts} spare attempts",
        f"  noise      {_noise(campaign)}",
        f"  held out   {mechanism.hold_out:.0%} of the people, drawn by every lender's lot",
        (
            f"  collusion  {mechanism.collusion_bound} lenders may collude; at least "
            f"{mechanism.threshold} take part"
        ),
        f"  bundle     {campaign.bundle_sha256 or 'none: simulation only'}",
    ]
    kinds = {
        kind: sum(change.kind == kind for change in changed)
        for kind in ("added", "changed", "removed")
    }
    told = (
        ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count) or "nothing changed"
    )
    lines.append(f"  code       since the last approval: {told}{rooms_of(changed)}")
    typer.echo("\n".join(lines))
    for change in changed if diff else []:
        typer.echo(f"\n{change.kind}: {change.path}")
        typer.echo("\n".join(change.diff))


def _rests_on(campaign: Campaign) -> list[str]:
    """The released model that a campaign begins with, or what one that watches it would count."""
    watched, begins = campaign.watched, campaign.begins_with
    if begins is not None:
        by = begins.campaign_sha256[:12]
        model = f"the model that campaign {by} released (sha256 {begins.model_sha256[:12]})"
        return [f"  begins     with {model}: its bins, coordinates and weights"]
    if watched is None:
        return []
    kind = campaign.mechanism.releases[0].kind
    who = "everybody who applied" if kind == "intake" else "everybody whose outcome became known"
    by = watched.campaign_sha256[:12]
    counted = (
        f"{who} in {period_name(watched)}, by the model that campaign {by} "
        f"released (sha256 {watched.model_sha256[:12]})"
    )
    return [f"  watches    {counted}"]


def _feature(stated: Mapping[str, Any]) -> str:
    """What a feature is and why it is used, as the campaign states it."""
    kinds = ", from ".join([stated["category"], *stated.get("derived_from", ())])
    return f"{stated['name']} ({kinds}): {stated.get('relevance', 'no reason is given')}"


def rooms_of(changed: Sequence[Change]) -> str:
    """In which rooms, and how much: ``, in clients (2 files, +14 -3 lines), credit (…)``."""
    from clients.approving import lines_changed

    told = []
    for room, ours in groupby(changed, key=lambda change: change.path.partition("/")[0]):
        files = list(ours)
        counted = [lines_changed(change) for change in files]
        more, less = (sum(one[side] for one in counted) for side in (0, 1))
        told.append(f"{room} ({len(files)} file{'s' * (len(files) > 1)}, +{more} -{less} lines)")
    return f", in {', '.join(told)}" if told else ""


def _noise(campaign: Campaign) -> str:
    """The least and the most noise of each kind of release, as multiples of what one person can
    change."""
    found: dict[str, list[float]] = {}
    for release in campaign.mechanism.releases:
        found.setdefault(release.kind, []).append(release.noise_multiplier)
    told = [
        f"{kind} {min(noise):.3g}" + (f" to {max(noise):.3g}" if max(noise) > min(noise) else "")
        for kind, noise in found.items()
    ]
    return f"standard deviation in multiples of one person's most: {', '.join(told)}"


@app.command(
    epilog=(
        "Example: `tahini campaign reject 4f1c22 --home aspen --reason 'the budget is too large'`"
    )
)
def reject(
    campaign: CampaignHash,
    home: NodeHome,
    reason: Annotated[
        str,
        typer.Option(help="Why; the coordinator and the auditor read it, 500 characters at most."),
    ],
    staff: As = None,
) -> None:
    """Do not take part, or no longer: from now on this node answers no release of it, approved or
    not."""
    from clients.approving import approved_here, sign_no

    node = opened_node(home)
    operator = acting(staff, node.consortium)
    try:  # what it approved it can reject while the registry is away
        sha256 = whole_hash(campaign, approved_here(node), f"that {node.lender} approved")
    except NotFound:
        sha256 = _campaign(node, campaign).sha256
    typer.echo(f"{node.lender!r} takes no part in campaign {sha256[:12]} from now on")
    sign_no(node, sha256, reason, operator)
    typer.echo("the registry has it on the record with your reason, and authorises nothing more")


@app.command(epilog="Example: `tahini campaign offered --home aspen`")
def offered(home: NodeHome, as_json: AsJson = False) -> None:
    """Every campaign that was proposed to this lender, the newest last, and what it answered."""
    from clients.approving import offered as offers

    known = offers(opened_node(home))
    found = [
        {
            "campaign": one.campaign.sha256,
            "id": one.campaign.id,
            "title": one.campaign.title,
            "answer": one.answer,
            "active": one.proposed.active,
            "rejected_by": one.proposed.rejected_by,
            "expires_at": one.campaign.expires_at.isoformat(),
        }
        for one in known
    ]
    if as_json:
        say(found, as_json)
        return
    for one, told in zip(known, found, strict=True):
        stands = str(told["answer"])
        if one.waits(now()):
            stands = "waits for your answer"
        elif stands == "none" and one.proposed.rejected_by:
            stands = f"rejected by {', '.join(one.proposed.rejected_by)}"
        elif stands == "none":
            stands = "expired"
        typer.echo(
            f"{one.campaign.sha256[:12]}  {one.campaign.id:<20} {stands}  {one.campaign.title}"
        )
    if not found:
        typer.echo("no campaign was proposed to this lender yet")
