"""The card of what a campaign released: a model, or figures that watch one; on which authority, and
what it cost. Signed by the coordinator, logged by hash."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from protocol.schema import Document, Instant, Sha256, left_out
from protocol.watched import ModelReference, WatchedPeriod

LIMITS = (
    (
        "A withdrawal ends all new use and leaves bounded influence (the recorded epsilon) in "
        "this model."
    ),
    (
        "Quality figures here are of noisy sums over people held out, and trained on as if "
        "left out; their errors are those of noise and sampling."
    ),
)
WARM_LIMITS = (
    (
        "It began with an earlier model, which some of these people may have been trained on: it "
        "may be worse than its figures say, the more so the longer the chain of such models."
    ),
    (
        "Its bins, and the shares beside which its stability is told, are those of the people of "
        "the first model of that chain."
    ),
    (
        "Whoever was in an earlier model of the chain and withdrew since keeps in this one the "
        "influence that the earlier card bounds."
    ),
)
FIGURES_LIMITS = (
    (
        "A withdrawal ends all new use and leaves bounded influence (the recorded epsilon) in "
        "these figures."
    ),
    "Figures are of noisy sums over people of the period; they are no model, and decide nothing.",
)


class ScoreBand(BaseModel):
    """Scores of a model from ``least`` to ``most``, and the probability of bad that its scale gives
    both ends. The lowest band holds whatever is worse, and the highest whatever is better."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    band: str
    least: int
    most: int
    pd_at_least: float = Field(ge=0, le=1)
    pd_at_most: float = Field(ge=0, le=1)


class ModelCard(Document):
    """After Mitchell et al. 2019 (https://arxiv.org/abs/1810.03993), for a released credit
    model."""

    typ = "tahini-model-card"

    campaign_sha256: Sha256
    campaign_title: str
    model: Literal["scorecard", "gam", "mlp"]
    model_sha256: Sha256
    """Of the released file: the model's, or the figures'."""
    watched: WatchedPeriod | None = Field(default=None, exclude_if=left_out)
    """The model that was watched, and when; absent in the card of a model. ``population_released``
    then are the people who were counted, ``base_rate_released`` the share of them that was approved
    or bad, and ``evaluation`` is of the model on them."""
    begins_with: ModelReference | None = Field(default=None, exclude_if=left_out)
    """The model that a warm start began with; absent where the descent began with nothing."""
    features: tuple[str, ...]
    directions: dict[str, Literal["up", "down"]] = Field(default_factory=dict)
    """Features with which the risk of bad was declared to rise or fall, and therefore does (the
    pairs of a GAM apart); absent in cards that name none."""
    purpose: str
    legal_basis: str
    lenders: tuple[str, ...]
    epsilon: float
    """The most that the campaign could cost a person."""
    epsilon_spent: float | None = None
    """What a person who was in every attempt spent, retries included; absent in cards of version
    0.5."""
    delta: float
    unit_of_privacy: Literal["person"] = "person"
    mechanism: dict[str, Any]
    releases: int
    population_released: float
    base_rate_released: float
    bands: tuple[ScoreBand, ...] = ()
    """What scores mean (:mod:`credit.bands`); absent in cards of version 0.6 and of figures."""
    evaluation: dict[str, Any] | None = None
    """Figures on people nobody trained on, and on those trained on as if each had been left out,
    from noisy sums over all lenders (``credit.quality``). Older cards have neither
    ``held_out`` nor ``untold``, and their errors are those of the noise alone."""
    limits: tuple[str, ...] = LIMITS
    released_at: Instant

    def payload(self) -> dict[str, Any]:
        absent = {
            *(name for name in ("directions", "bands") if not getattr(self, name)),
            *(["epsilon_spent"] if self.epsilon_spent is None else []),
        }
        return {name: said for name, said in super().payload().items() if name not in absent}
