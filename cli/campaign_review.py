"""``tahini campaign``, as a lender: what was offered; review, approve, reject."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.shared import AsJson, CampaignHash, NodeHome, Noun, opened_node, say
from cli.staff import As, acting
from crypto.keys import replace_file
from protocol.campaigns import Campaign, Rejection
from protocol.errors import Conflict, ConsentError, NotFound
from protocol.hashes import whole_hash
from protocol.schema import now

if TYPE_CHECKING:
    from clients.home import Node
    from fleet.bundle import Change
    from protocol.assessments import ImpactAssessment
    from protocol.client.lenders import LenderClient

app = Noun("Review campaigns.")
CODE_FILE = "approved-code.zip"
"""What the operator signed last: every file of a node's rooms as it was then."""


def _registry(node: Node) -> LenderClient:
    """The lender at the registry. What only lenders need is loaded here and below: the
    coordinator's commands have no use for it."""
    from protocol.client.lenders import LenderClient

    return node.connected(LenderClient)


def _campaign(node: Node, begins: str) -> tuple[Campaign, str]:
    """The campaign at the registry whose hash begins so, and its token; raises ConsentError."""
    with _registry(node) as client:
        found = client.proposed(whole_hash(begins, client.campaigns(), f"for {node.lender}"))
        return found.campaign, found.token


def _assessment(node: Node, campaign: Campaign) -> tuple[ImpactAssessment, str]:
    """The impact assessment that a campaign names, fetched and verified here, and its token.

    Raises:
        ConsentError: the campaign names none, it cannot be had, or it does not cover the campaign:
            what an operator has not seen is not approved.
    """
    from protocol.assessments import uncovered
    from protocol.client.filing import fetch_assessment

    if campaign.assessment_sha256 is None:
        raise ConsentError(
            f"campaign {campaign.id!r} names no impact assessment; nothing was signed"
        )
    with _registry(node) as client:
        assessment, token = fetch_assessment(client, campaign.assessment_sha256)
    reason = uncovered(campaign, assessment, now())
    if reason is not None:
        raise ConsentError(f"campaign {campaign.id!r}: {reason}; nothing was signed")
    return assessment, token


def changed_code(node: Node) -> list[Change]:
    """What is other in the installed code than in what this operator signed last; everything, the
    first time."""
    from fleet.bundle import changes, files_of
    from fleet.code import installed_files

    path = node.home / CODE_FILE
    before = files_of(path.read_bytes()) if path.exists() else {}
    return changes(before, installed_files())


def remember_code(node: Node) -> None:
    """Keep what was signed, for the next review."""
    from fleet.code import installed_files

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(installed_files().items()):
            archive.writestr(name, content)
    replace_file(node.home / CODE_FILE, buffer.getvalue())


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
    from clients.home import approve

    node = opened_node(home)
    operator = acting(staff, node.consortium)
    proposed, token = _campaign(node, campaign)
    assessment, assessment_token = _assessment(node, proposed)
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
    approval = approve(node, token, operator)
    remember_code(node)
    folder = node.home / "approved"
    replace_file(folder / f"{assessment.sha256}.assessment.jws", assessment_token.encode())
    with _registry(node) as client:
        active = client.approve(approval, node.key)
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


def _feature(stated: Mapping[str, Any]) -> str:
    """What a feature is and why it is used, as the campaign states it."""
    kinds = ", from ".join([stated["category"], *stated.get("derived_from", ())])
    return f"{stated['name']} ({kinds}): {stated.get('relevance', 'no reason is given')}"


def rooms_of(changed: Sequence[Change]) -> str:
    """In which rooms, and how much: ``, in clients (2 files, +14 -3 lines), credit (…)``."""
    told = []
    for room, ours in groupby(changed, key=lambda change: change.path.partition("/")[0]):
        files = list(ours)
        lines = [
            line for change in files for line in change.diff if not line.startswith(("+++", "---"))
        ]
        more, less = (sum(line.startswith(sign) for line in lines) for sign in "+-")
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
    node = opened_node(home)
    operator = acting(staff, node.consortium)
    try:  # what it approved it can reject while the registry is away
        sha256 = whole_hash(campaign, _approved(node), f"that {node.lender} approved")
    except NotFound:
        sha256 = _campaign(node, campaign)[0].sha256
    rejection = Rejection(
        campaign_sha256=sha256,
        lender=node.lender,
        reason=reason.strip(),
        operator=operator,
        rejected_at=now(),
    )
    replace_file(
        node.home / "approved" / f"{sha256}.rejected.json", json.dumps({"reason": reason}).encode()
    )
    typer.echo(f"{node.lender!r} takes no part in campaign {sha256[:12]} from now on")
    try:
        with _registry(node) as client:
            client.reject(rejection, node.key)
    except ConsentError as error:
        if error.status != Conflict.status:  # it knew already: an answer was lost
            raise ConsentError(
                f"this node answers nothing of it, but the registry does not know yet: {error}"
            ) from error
    typer.echo("the registry has it on the record with your reason, and authorises nothing more")


def _approved(node: Node) -> dict[str, str]:
    """Hash and id of every campaign that this node's operator approved."""
    tokens = (node.home / "approved").glob("*.campaign.jws")
    return {
        path.name.partition(".")[0]: Campaign.claimed(path.read_text(encoding="utf-8")).id
        for path in tokens
    }


@app.command(epilog="Example: `tahini campaign offered --home aspen`")
def offered(home: NodeHome, as_json: AsJson = False) -> None:
    """Every campaign that was proposed to this lender, the newest last, and what it answered."""
    node = opened_node(home)
    with _registry(node) as client:
        known = [client.proposed(sha256) for sha256 in client.campaigns()]
    found = [
        {
            "campaign": one.campaign.sha256,
            "id": one.campaign.id,
            "title": one.campaign.title,
            "answer": "rejected"
            if node.lender in one.rejected_by
            else "approved"
            if node.lender in one.approved_by
            else "none",
            "active": one.active,
            "rejected_by": one.rejected_by,
            "expires_at": one.campaign.expires_at.isoformat(),
        }
        for one in known
    ]
    if as_json:
        say(found, as_json)
        return
    for one, told in zip(known, found, strict=True):
        stands = str(told["answer"])
        if stands == "none" and one.rejected_by:
            stands = f"rejected by {', '.join(one.rejected_by)}"
        elif stands == "none":
            stands = "expired" if one.campaign.expires_at <= now() else "waits for your answer"
        typer.echo(
            f"{one.campaign.sha256[:12]}  {one.campaign.id:<20} {stands}  {one.campaign.title}"
        )
    if not found:
        typer.echo(f"no campaign was proposed to {node.lender!r} yet")
