"""``tahini model``: fetch, verify and read the models that a lender helped to train."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.institution import institution
from cli.quality import quality_lines
from cli.shared import AnyHome, AsJson, CampaignHash, NodeHome, Noun, opened_node, say
from cli.staff import As, acting
from protocol.client.filing import (
    acknowledge_recall,
    recall_model,
    recalls_of,
    released_card,
)
from protocol.errors import ConsentError
from protocol.periods import period_name

if TYPE_CHECKING:
    from clients.home import Node
    from clients.models import Verified
    from protocol.cards import ModelCard
    from protocol.client.institutions import InstitutionClient

app = Noun("Fetch, verify and read the models of a lender's campaigns, each with its signed card.")


def _one(campaign: str, known: list[str], where: str) -> str:
    """The one hash that begins so; raises ConsentError."""
    found = [sha256 for sha256 in known if campaign and sha256.startswith(campaign)]
    if len(found) != 1:
        many = f"{len(found)} campaigns" if found else "no campaign"
        raise ConsentError(
            f"{many} {where} begin{'' if found else 's'} with {campaign!r}; say its hash"
        )
    return found[0]


def _card(home: Path, client: InstitutionClient, sha256: str) -> ModelCard:
    """The card of a campaign's model that is kept in a node's home, else the newest released."""
    from clients.models import MODELS_FOLDER

    if (home / MODELS_FOLDER / sha256).is_dir():
        return _kept(opened_node(home), sha256, recalled_too=True)[1].card
    return released_card(client, sha256)


def _kept(node: Node, campaign: str, recalled_too: bool = False) -> tuple[Path, Verified]:
    """The folder of a model that was fetched, and what was verified of it; raises ConsentError,
    NodeError: also where it was recalled."""
    from clients.models import MODELS_FOLDER, KeptModel, check, check_origin

    folders = [folder.name for folder in (node.home / MODELS_FOLDER).glob("*") if folder.is_dir()]
    sha256 = _one(campaign, folders, f"whose model was fetched to {node.home}")
    folder = node.home / MODELS_FOLDER / sha256
    verify_kept = check_origin if recalled_too else check
    return folder, verify_kept(KeptModel.read(folder), sha256, node.consortium)


@app.command(epilog="Example: `tahini model fetch 4f1c22 --home lenders/aspen`")
def fetch(campaign: CampaignHash, home: NodeHome, as_json: AsJson = False) -> None:
    """Fetch a campaign's model and card from the registry, verify both, and keep them in the node's
    home."""
    from clients.errors import NodeError
    from clients.models import MODELS_FOLDER, KeptModel, check, check_origin, released_file
    from protocol.client.lenders import LenderClient

    node = opened_node(home)
    with node.connected(LenderClient) as client:
        sha256 = _one(campaign, list(client.campaigns()), f"of {node.lender!r}")
        kept = KeptModel.fetch(client, sha256)
    try:
        verified = check_origin(kept, sha256, node.consortium)
        kept.write(node.home / MODELS_FOLDER / sha256)
    except NodeError as error:
        raise ConsentError(f"{error}; nothing was kept") from error
    check(kept, sha256, node.consortium)  # that it was recalled is kept, too
    path = released_file(node.home / MODELS_FOLDER / sha256)
    found = {"campaign": sha256, "model": str(path), "card_sha256": verified.card.sha256}
    say(found if as_json else f"fetched and verified: {path}", as_json)


@app.command(
    epilog=(
        "Example: `tahini model verify 4f1c22 --home lenders/aspen --json`; exit code 1 if "
        "anything is wrong"
    )
)
def verify(campaign: CampaignHash, home: NodeHome, as_json: AsJson = False) -> None:
    """Verify a model that was fetched, without a network: signatures, approvals, hash, log entry,
    and that it loads."""
    folder, verified = _kept(opened_node(home), campaign)
    from clients.models import released_file

    card, head, file = verified.card, verified.head, released_file(folder)
    holds = _loaded(file, card)
    found: dict[str, Any] = {
        "verified": True,
        "campaign": card.campaign_sha256,
        "model_sha256": card.model_sha256,
        "card_sha256": card.sha256,
        "approved_by": sorted(verified.campaign.lenders),
        "entry_index": verified.entry_index,
        "log_size": head.size,
    }
    if as_json:
        say(found, as_json)
        return
    for line in (
        (
            f"the card is signed by {verified.campaign.coordinator}, and the file is the one that "
            "it names"
        ),
        (
            f"campaign {card.campaign_sha256[:12]} was approved by all of its lenders: "
            f"{', '.join(found['approved_by'])}"
        ),
        (
            f"the card is entry {verified.entry_index} of the log {head.origin}, cosigned at "
            f"{head.size:,} entries"
        ),
        f"the file {holds} the {len(card.features)} features of the card",
    ):
        typer.echo(f"  ok  {line}")
    typer.echo(f"verified {file}")


def _loaded(file: Path, card: ModelCard) -> str:
    """What the file holds, in words; raises ConsentError, ModelError, WatchError if it is not what
    its card says."""
    if card.watched is not None:
        from watching.released import IntakeFigures, figures_from

        found = figures_from(file.read_bytes(), str(file))
        names = set(found.features) if isinstance(found, IntakeFigures) else set(card.features)
        if names != set(card.features):
            raise ConsentError(f"{file} has figures of other features than its card says")
        return f"has figures of {found.kind}, of"
    from credit.models import CreditModel

    loaded = CreditModel.load(file)
    if (loaded.kind, loaded.embedding.grid.schema.names) != (card.model, card.features):
        raise ConsentError(
            f"{file} is another kind of model than its card says, or on other features"
        )
    return f"is a {card.model} on"


@app.command(epilog="Example: `tahini model show 4f1c22 --home lenders/aspen`, or with `--json`")
def show(campaign: CampaignHash, home: NodeHome, as_json: AsJson = False) -> None:
    """Print the card of a model that was fetched: what it was trained on, by whose leave, at what
    cost, how good."""
    _, verified = _kept(opened_node(home), campaign, recalled_too=True)
    recalls = [recall.payload() for recall in verified.recalls]
    if as_json:
        say({**verified.card.payload(), **({"recalls": recalls} if recalls else {})}, as_json)
        return
    for recall in verified.recalls:
        typer.echo(f"RECALLED     {recall.told}")
    typer.echo(card_text(verified.card))


@app.command(
    epilog="Example: `tahini model instructions 4f1c22 --home lenders/aspen --language zh > use.md`"
)
def instructions(
    campaign: CampaignHash,
    home: NodeHome,
    language: Annotated[str, typer.Option(help="en or zh.")] = "en",
) -> None:
    """Print how a model that was fetched is to be used: for what, by whom, how good it is for whom,
    where to cut off, who watches, until when. A recalled one has none."""
    from law.vocabulary import LANGUAGES
    from protocol import instructions as written

    if language not in LANGUAGES:
        raise ConsentError(f"--language is one of {', '.join(LANGUAGES)}")
    _, verified = _kept(opened_node(home), campaign)
    if verified.card.watched is not None:
        raise ConsentError("these are figures, and no model that could be used")
    typer.echo(written.instructions(verified.card, language), nl=False)


@app.command(
    epilog="Example: `tahini model recall 4f1c22 --home lenders/aspen --reason 'Approves nobody "
    "under 25.'`; the coordinator's home does as well"
)
def recall(
    campaign: CampaignHash,
    home: AnyHome,
    reason: Annotated[str, typer.Option(help="What is wrong with it, in a sentence.")],
    card: Annotated[
        str | None,
        typer.Option(help="SHA-256 of the card; else the one in this home, else the newest."),
    ] = None,
    fallback: Annotated[
        str | None,
        typer.Option(help="SHA-256 of the card of the model to use meanwhile; else people decide."),
    ] = None,
    given: As = None,
    as_json: AsJson = False,
) -> None:
    """Recall a released model, for everybody and for good: signed, logged, and told to whoever
    fetches or verifies it from now on."""
    from protocol.recalls import ModelRecall
    from protocol.schema import now

    with institution(home) as me:
        sha256 = _one(campaign, list(me.client.campaigns()), f"of {me.party.id!r}")
        said = ModelRecall(
            campaign_sha256=sha256,
            card_sha256=card or _card(home, me.client, sha256).sha256,
            party=me.party.id,
            reason=reason,
            fallback_card_sha256=fallback,
            recalled_at=now(),
            operator=acting(given, me.client.consortium),
        )
        index = recall_model(me.client, said, me.key)
    found = {"campaign": sha256, "card_sha256": said.card_sha256, "entry_index": index}
    say(found if as_json else said.told, as_json)


@app.command(
    epilog="Example: `tahini model recalls 4f1c22 --home lenders/aspen --json`; exit code 3 if a "
    "lender has not acknowledged a recall"
)
def recalls(campaign: CampaignHash, home: AnyHome, as_json: AsJson = False) -> None:
    """Who recalled a campaign's model and why, and which of its lenders said that they use it no
    more. A desk that serves hears of a recall within a minute, and says so by itself."""
    with institution(home) as me:
        sha256 = _one(campaign, list(me.client.campaigns()), f"of {me.party.id!r}")
        proposed, _ = me.client.campaign(sha256)
        held = recalls_of(me.client, proposed, _card(home, me.client, sha256))
    heard = {one.lender: one.acknowledged_at for one in held.acknowledgements}
    silent = [name for name in proposed.lenders if name not in heard] if held.recalls else []
    found = {
        "campaign": sha256,
        "recalls": [one.payload() for one in held.recalls],
        "acknowledged": {name: said.isoformat() for name, said in sorted(heard.items())},
        "not_acknowledged": silent,
    }
    if as_json:
        say(found, as_json)
    else:
        for one in held.recalls or ():
            typer.echo(one.told)
        for name, said in sorted(heard.items()):
            typer.echo(f"  {name:<20} uses it no more, {said:%Y-%m-%d %H:%M:%S} UTC")
        for name in silent:
            typer.echo(f"  {name:<20} has not said that it stopped")
        if not held.recalls:
            typer.echo("nobody recalled it")
    if silent:
        raise typer.Exit(3)


@app.command(epilog="Example: `tahini model acknowledge 4f1c22 --home lenders/aspen`")
def acknowledge(
    campaign: CampaignHash, home: NodeHome, given: As = None, as_json: AsJson = False
) -> None:
    """Say that this lender uses a recalled model no more: where it is used elsewhere than at a
    desk, which says so by itself."""
    from clients.models import MODELS_FOLDER, keep_recalls
    from protocol.recalls import RecallAcknowledgement
    from protocol.schema import now

    node = opened_node(home)
    with institution(home) as me:
        sha256 = _one(campaign, list(me.client.campaigns()), f"of {me.party.id!r}")
        card = _card(home, me.client, sha256)
        held = recalls_of(me.client, me.client.campaign(sha256)[0], card)
        if not held.recalls:
            raise ConsentError(f"nobody recalled model {card.sha256[:12]} of {sha256[:12]}")
        if (node.home / MODELS_FOLDER / sha256).is_dir():
            keep_recalls(node.home / MODELS_FOLDER / sha256, held.tokens)
        said = RecallAcknowledgement(
            campaign_sha256=sha256,
            card_sha256=card.sha256,
            lender=node.lender,
            acknowledged_at=now(),
            operator=acting(given, me.client.consortium),
        )
        index = acknowledge_recall(me.client, said, me.key)
    found = {"campaign": sha256, "card_sha256": card.sha256, "entry_index": index}
    say(found if as_json else f"logged: {node.lender} uses it no more", as_json)


def _meaning(card: ModelCard) -> Iterator[str]:
    """What scores mean; the outermost bands hold whatever is worse, and better."""
    for one in card.bands:
        expected = f"{one.pd_at_most:.1%} to {one.pd_at_least:.1%}"
        if one is card.bands[0]:
            expected = f"{one.pd_at_most:.1%} or more"
        elif one is card.bands[-1]:
            expected = f"{one.pd_at_least:.1%} or less"
        yield f"{one.least} to {one.most}: {one.band}, {expected} expected to be bad"


def card_text(card: ModelCard) -> str:
    """A model card in words; every figure with what it is of."""
    features = ", ".join(card.features)
    bad = f"{card.base_rate_released:.1%}"
    kind = card.mechanism.get("kind", "unknown")
    told = {
        "released": f"{card.released_at:%Y-%m-%d %H:%M} UTC, trained by {', '.join(card.lenders)}",
        "features": features,
        "purpose": f"{card.purpose}, on the basis of {card.legal_basis}",
        "privacy": f"epsilon {card.epsilon:g} at delta {card.delta:g} per {card.unit_of_privacy}",
        "releases": f"{card.releases}, {kind} noise",
        "population": (
            f"about {card.population_released:,.0f} people trained on, {bad} of them bad (both "
            "noisy)"
        ),
    }
    if card.watched is not None:
        told |= {
            "released": told["released"].replace("trained by", "counted by"),
            "watched": (
                f"{period_name(card.watched)}, with the model of campaign "
                f"{card.watched.campaign_sha256[:12]}; read with: tahini watch report"
            ),
            "population": (
                f"about {card.population_released:,.0f} people counted, {bad} of them approved or, "
                "of outcomes, bad (both noisy)"
            ),
        }
    if card.begins_with is not None:
        told["begins with"] = f"the model of campaign {card.begins_with.campaign_sha256[:12]}"
    lines = [f"{card.campaign_title}: {card.model} on {len(card.features)} features"]
    for way, said in (("up", "rises"), ("down", "falls")):
        if named := [name for name, declared in card.directions.items() if declared == way]:
            told[f"risk {said}"] = f"with {', '.join(named)}, throughout (declared)"
    lines += [f"  {name:<12} {text}" for name, text in told.items()]
    lines += [f"  score        {line}" for line in _meaning(card)]
    if card.watched is None or card.evaluation is not None:
        lines += quality_lines(card.evaluation)
    lines += [
        f"  campaign     {card.campaign_sha256}",
        f"  {'model file' if card.watched is None else 'figures'}   sha256 {card.model_sha256}",
    ]
    lines += [f"  limit        {limit}" for limit in card.limits]
    return "\n".join(lines)
