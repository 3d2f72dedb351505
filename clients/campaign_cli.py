"""``tahini campaign``, as a lender: review, approve, reject."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Annotated

import typer

from clients.errors import NodeError
from clients.node import Node, approve, campaign_cost
from consent.cli_support import refuse_in_one_sentence, say
from consent.code import NODE_ROOMS, room_files
from consent.documents import Campaign, Rejection
from consent.errors import Conflict, ConsentError
from consent.schema import now
from crypto.keys import replace_file
from fleet.bundle import Change, changes, files_of

app = typer.Typer(no_args_is_help=True, help="Review campaigns.", rich_markup_mode="markdown")
Home = Annotated[Path, typer.Option(help="The node's home folder.", exists=True, file_okay=False)]
CODE_FILE = "approved-code.zip"
"""What the operator signed last: every file of a node's rooms as it was then."""


def _campaign(node: Node, begins: str) -> tuple[Campaign, str]:
    """The campaign at the registry whose hash begins so, and its token; raises ConsentError."""
    client = node.registry()
    try:
        hashes = [sha256 for sha256 in client.campaigns() if sha256.startswith(begins)]
        if len(hashes) != 1 or len(begins) < 6:
            raise ConsentError(f"{len(hashes)} campaigns of this lender begin with {begins!r}; give more of the hash")
        found = client.proposed(hashes[0])
        return found.campaign, found.token
    finally:
        client.close()


def changed_code(node: Node) -> list[Change]:
    """What is other in the installed code than in what this operator signed last; everything, the first time."""
    path = node.home / CODE_FILE
    before = files_of(path.read_bytes()) if path.exists() else {}
    return changes(before, room_files(NODE_ROOMS))


def remember_code(node: Node) -> None:
    """Keep what was signed, for the next review."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(room_files(NODE_ROOMS).items()):
            archive.writestr(name, content)
    replace_file(node.home / CODE_FILE, buffer.getvalue())


@app.command("approve", epilog="Examples: `tahini campaign approve 4f1c22 --home aspen` · `… --diff` · `… --yes`")
@refuse_in_one_sentence
def approve_(
    campaign: Annotated[str, typer.Argument(help="The campaign's hash, or the first six or more of its characters.")],
    home: Home,
    diff: Annotated[bool, typer.Option("--diff", help="Show changed code line by line.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Sign without asking; for those who have reviewed it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Show what a campaign would do and what code changed since the last approval; sign it if you agree."""
    try:
        node = Node.open(home)
        proposed, token = _campaign(node, campaign)
        changed = changed_code(node)
        if not as_json:
            _review(proposed, changed, diff)
        if not yes and not typer.confirm(f"sign campaign {proposed.id!r} for {node.lender!r}?", default=False):
            raise ConsentError("nothing was signed")
        approval = approve(node, token)
        remember_code(node)
        client = node.registry()
        try:
            active = client.approve(approval, node.key)
        finally:
            client.close()
    except NodeError as error:
        raise ConsentError(str(error)) from error
    if as_json:
        say({"campaign": proposed.sha256, "active": active, "changed": [change.path for change in changed]}, as_json)
    else:
        typer.echo(f"signed; the campaign {'is active' if active else 'waits for other lenders'}")


def _review(campaign: Campaign, changed: list[Change], diff: bool) -> None:
    mechanism = campaign.mechanism
    features = campaign.features["features"]
    lines = [
        f"{campaign.title} ({campaign.id}), by {campaign.coordinator}, until {campaign.expires_at:%Y-%m-%d %H:%M} UTC",
        f"  lenders    {', '.join(campaign.lenders)}",
        f"  purpose    {campaign.purpose}",
        f"  model      {campaign.model} on {len(features)} features: {', '.join(f['name'] for f in features)}",
        f"  privacy    {mechanism.kind}, at most epsilon {campaign_cost(campaign):.4g} at delta {mechanism.delta:g}",
        f"  releases   {len(mechanism.releases)}, and {mechanism.spare_attempts} spare attempts",
        f"  collusion  {mechanism.collusion_bound} lenders may collude; at least {mechanism.threshold} take part",
        f"  bundle     {campaign.bundle_sha256 or 'none: simulation only'}",
    ]
    kinds = {kind: sum(change.kind == kind for change in changed) for kind in ("added", "changed", "removed")}
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count) or "nothing changed"
    lines.append(f"  code       since the last approval: {told}")
    typer.echo("\n".join(lines))
    for change in changed if diff else []:
        typer.echo(f"\n{change.kind}: {change.path}")
        typer.echo("\n".join(change.diff))


@app.command(epilog="Example: `tahini campaign reject 4f1c22 --home aspen --reason 'the budget is too large'`")
@refuse_in_one_sentence
def reject(
    campaign: Annotated[str, typer.Argument(help="The campaign's hash, or the first six or more of its characters.")],
    home: Home,
    reason: Annotated[str, typer.Option(help="Why, for your own records.")],
) -> None:
    """Do not take part, or no longer: from now on this node answers no release of it, approved or not."""
    try:
        node = Node.open(home)
        approved = [path.name.partition(".")[0] for path in (node.home / "approved").glob(f"{campaign}*.approval.jws")]
        sha256 = approved[0] if len(approved) == 1 else _campaign(node, campaign)[0].sha256
    except NodeError as error:
        raise ConsentError(str(error)) from error
    replace_file(node.home / "approved" / f"{sha256}.rejected.json", json.dumps({"reason": reason}).encode())
    typer.echo(f"{node.lender!r} takes no part in campaign {sha256[:12]} from now on")
    client = node.registry()
    try:
        client.reject(Rejection(campaign_sha256=sha256, lender=node.lender, rejected_at=now()), node.key)
    except ConsentError as error:
        if error.status != Conflict.status:  # it knew already: an answer was lost
            raise ConsentError(
                f"this node answers nothing of it, but the registry does not know yet: {error}"
            ) from error
    finally:
        client.close()
    typer.echo("the registry has it on the record, and authorises nothing more")
