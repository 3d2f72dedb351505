"""What a campaign's plan says, and what was chosen on the way: why each figure is what it is.

Everything here is in the signed campaign or follows from sums that were released.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from credit.binning import Binning
from credit.descent import CLIP_REACH
from credit.features import schema_from
from credit.foresight import BAD, PEOPLE, Foreseen, foreseen
from privacy.mechanism import Audience, ReleaseKind
from protocol.campaigns import Campaign
from server.home import KeptReleases
from server.run import learner_of


def planned(campaign: Campaign) -> list[dict[str, Any]]:
    """Runs of like releases: kind, how many, noise multiplier, and share of the squared mu that
    its audience's releases cost together, retries aside; None where people are sampled."""
    plan = campaign.mechanism
    together = {
        audience: sum(r.noise_multiplier**-2 for r in plan.releases if r.audience is audience)
        for audience in Audience
    }
    sampled = any(r.kind is ReleaseKind.TRAIN for r in plan.releases)
    found = []
    for release, run in groupby(plan.releases):
        times = len(list(run))
        share = times * release.noise_multiplier**-2 / together[release.audience]
        found.append(
            {
                "kind": release.kind.value,
                "times": times,
                "noise_multiplier": release.noise_multiplier,
                "audience": release.audience.value,
                "share": None if sampled and release.audience is Audience.TRAINING else share,
            }
        )
    return found


def chosen(campaign: Campaign, kept: KeptReleases, campaigns: Path) -> dict[str, Any] | None:
    """What the released histogram and second moments led to; None before both were made. A warm
    start has the moments, and what follows from them, of the model that it begins with."""
    kinds = [release.kind for release in campaign.mechanism.releases]
    if campaign.begins_with is None and ReleaseKind.GRAM not in kinds:
        return None
    needed = 1 if campaign.begins_with else kinds.index(ReleaseKind.GRAM) + 1
    if len(kept.releases) < needed:
        return None
    learner = learner_of(campaign, campaigns)
    for one in kept.releases[:needed]:
        learner.absorb(one.total, one.contributors)
    found, binning = learner.chosen, learner.binning
    if found is None or binning is None:
        return None
    return {
        "people": round(binning.population),
        "base_rate": binning.base_rate,
        "inputs": learner.embedding.width,
        "edge": found.edge,
        "resolved": found.resolved,
        "ridge": found.floor,
        "directions": found.directions,
        "clip_norm": campaign.mechanism.clip_norm / found.scale,
        "begins_with": campaign.begins_with and campaign.begins_with.model_dump(),
        "fitted": campaign.mechanism.kind == "distributed" and campaign.model != "mlp",
    }


def expected(
    campaign: Campaign, people: float | None = None, bad: float | None = None
) -> list[Foreseen]:
    """How well the model's quality will be known: of so many people if that is known, else of each
    of :data:`credit.foresight.PEOPLE`. None where nobody is held out."""
    schema = schema_from(campaign.features, f"campaign {campaign.id}")
    rate = BAD if bad is None else bad
    found = (
        foreseen((campaign.model, schema), campaign.mechanism, len(campaign.lenders), one, rate)
        for one in ((people,) if people else PEOPLE)
    )
    return [one for one in found if one is not None]


def foretold(found: Sequence[Foreseen]) -> list[str]:
    """The same in sentences, and a warning where something will not be told."""
    if not found:
        return ["nobody is held out: nothing will be known of how good the model is"]
    lines = [one.said() for one in found]
    if found[-1].untold:
        who = ", ".join(found[-1].untold)
        lines.append(f"too few, even of {found[-1].people:,.0f} people, to tell of: {who}")
    return lines


def counted(campaign: Campaign, kept: KeptReleases) -> tuple[float, float] | None:
    """People, held out included, and the share of bad, as the histogram released them; None before
    it, and of a campaign that watches a model and has none."""
    if not kept.releases or campaign.watched is not None:
        return None
    anew = campaign.model_copy(update={"begins_with": None})  # whatever it begins with
    learner = learner_of(anew, Path())
    learner.absorb(kept.releases[0].total, kept.releases[0].contributors)
    binning: Binning = learner.embedding.binning
    return binning.population / (1 - campaign.mechanism.hold_out), binning.base_rate


def because(figures: dict[str, Any] | None) -> list[str]:
    """The reasons of :func:`chosen`, in sentences."""
    if figures is None:
        return [
            "ridge and clip norm follow from the counts and second moments, once both are released"
        ]
    seen = (
        f"{figures['resolved']} of {figures['inputs']} inputs vary by more than the edge of the "
        f"noise in second moments, {figures['edge']:.2g}: of the others only their own variance is "
        "believed"
    )
    people = f"{figures['people']:,} people, {figures['base_rate']:.1%} bad, from the counts"
    begins = figures["begins_with"]
    if begins:
        people += (
            f"; bins, coordinates and first weights are those of campaign "
            f"{begins['campaign_sha256'][:12]}, and so is what follows"
        )
    ridge, clip = f"ridge {figures['ridge']:.2g}", f"clip norm {figures['clip_norm']:.2f}"
    if not figures["fitted"]:
        return [people, seen, f"{ridge}, {clip}: not fitted to this model or to noise of lenders"]
    why_ridge = "of those compared the least expected error: signal not reached, chance and noise"
    why_clip = (
        f"{CLIP_REACH:g} times the root mean square norm of a gradient of "
        f"{figures['directions']:.1f} directions at this base rate"
    )
    return [people, seen, f"{ridge}: {why_ridge}", f"{clip}: {why_clip}"]
