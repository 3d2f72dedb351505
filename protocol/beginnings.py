"""What a campaign that begins with an earlier one's model may change, and what it may not. Pure;
coordinator, registry and auditor ask the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from privacy.mechanism import MechanismKind
from protocol.campaigns import Campaign

OUTCOME = ("target", "outcome_dated_by", "outcome_ended_by")


@dataclass(frozen=True)
class Unlike:
    """Why a campaign cannot begin with a model: a code for pages, and a sentence that goes on after
    "it"."""

    code: str
    sentence: str


def unlike(
    earlier: Campaign,
    model: str,
    noise: MechanismKind,
    features: Mapping[str, Any],
    lenders: Sequence[str],
) -> Unlike | None:
    """Why a campaign of this kind cannot begin with the earlier one's model; None if it can.

    The model is of the same kind, of noise added the same way, on the same features and outcome. A
    warm start shows it to every lender, so none may be new to it.
    """
    named = f"begins with the model of campaign {earlier.id!r}"
    if earlier.watched is not None:
        return Unlike("no-model", f"{named}, which released figures and no model")
    if (model, noise) != (earlier.model, earlier.mechanism.kind):
        of = f"a {earlier.model} with {earlier.mechanism.kind} noise"
        return Unlike("other-kind", f"{named}, {of}: a warm start is of the same kind")
    if any(features.get(name) != earlier.features.get(name) for name in ("features", *OUTCOME)):
        return Unlike("other-features", f"{named}, which has other features or another outcome")
    if new := sorted(set(lenders) - set(earlier.lenders)):
        return Unlike(
            "new-lender", f"{named}, in which {', '.join(new)} had no part: it would be shown it"
        )
    return None


def begins_unlike(campaign: Campaign, earlier: Campaign) -> Unlike | None:
    """The same of a campaign."""
    noise = campaign.mechanism.kind
    return unlike(earlier, campaign.model, noise, campaign.features, campaign.lenders)
