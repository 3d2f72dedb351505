"""A model card as pages show it, to whoever: coordinator, lender, borrower. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crypto.errors import CryptoError
from crypto.keys import PublicKey
from protocol.cards import ModelCard
from screens.common.terms import band_of
from screens.house.charts import Chart, ChartAxis, ChartBar, bar_chart
from screens.house.problems import N_
from screens.house.words import PageWords

MODELS: Mapping[str, str] = {
    "scorecard": N_("Scorecard"),
    "gam": N_("Additive model with pairs (GAM)"),
    "mlp": N_("Small neural network"),
}
WATCHED: Mapping[str, str] = {
    "intake": N_("Everybody who applied in the period"),
    "outcomes": N_("Everybody whose outcome became known in the period"),
}
"""What is watched of a released model."""
SEGMENTS: Mapping[str, str] = {
    "everybody": N_("Everybody"),
    "thin file": N_("People without a bureau history"),
    "thick file": N_("People with a bureau history"),
}
ERROR_95 = 1.96
_NOT_SAID_BEFORE: Mapping[str, Any] = {"held_out": None, "left_out": None, "untold_features": []}
"""Of an evaluation by version 0.6 and before."""


def segment_of(name: str, words: PageWords) -> str:
    """A group of people that a model is measured on."""
    if name in SEGMENTS:
        return words.say(SEGMENTS[name])
    low, _, high = name.removeprefix("age ").partition(" to ")
    return words.say(N_("Aged %(low)s to %(high)s"), low=low, high=high)


@dataclass(frozen=True)
class ShownCard:
    """A card, and whether its signature is the coordinator's. One that does not verify is shown as
    such, and is nothing to go by."""

    told: ModelCard
    signed: bool

    @classmethod
    def of(cls, token: str, coordinator: PublicKey) -> ShownCard:
        """Raises CryptoError: that is no card at all."""
        try:
            return cls(ModelCard.verify(token, coordinator), True)
        except CryptoError:
            return cls(ModelCard.claimed(token), False)

    @property
    def watched_kind(self) -> str | None:
        """A key of :data:`WATCHED` for a card of figures; None of a model's."""
        watched = self.told.watched is not None
        return str(self.told.mechanism["releases"][0]["kind"]) if watched else None

    def model(self, words: PageWords) -> str:
        return words.say(MODELS[self.told.model])

    def watches(self, words: PageWords) -> str:
        """Of a card of figures."""
        return words.say(WATCHED[self.watched_kind or ""])

    def segment(self, name: str, words: PageWords) -> str:
        return segment_of(name, words)

    def pictures(self, words: PageWords) -> list[Chart]:
        """What can be drawn of the card alone; nothing where the noise is as large as everybody who
        was held out."""
        told = any(group.get("auc") for group in self.segments)
        return [auc_picture(self.segments, words)] if told else []

    @property
    def evaluation(self) -> dict[str, Any] | None:
        return self.told.evaluation and {**_NOT_SAID_BEFORE, **self.told.evaluation}

    @property
    def segments(self) -> Sequence[Mapping[str, Any]]:
        """Groups of people, with what was measured of each."""
        return list((self.told.evaluation or {}).get("segments", ()))

    @property
    def epsilon(self) -> float:
        """What it told of anybody, at most."""
        spent = self.told.epsilon_spent
        return self.told.epsilon if spent is None else spent

    @property
    def at_most(self) -> str:
        """The same, rounded up: a bound that is told lower would be none."""
        return f"{math.ceil(1000 * self.epsilon) / 1000:.3f}"

    def band(self, code: str, language: str) -> str:
        return band_of(code, language)

    def untold(self, words: PageWords) -> list[str]:
        """Groups of whom nothing can be said, on a card of any version."""
        names = list((self.told.evaluation or {}).get("untold", ()))
        names += [str(one["name"]) for one in self.segments if not one.get("auc")]
        return [segment_of(name, words) for name in names]


def auc_picture(segments: Sequence[Mapping[str, Any]], words: PageWords) -> Chart:
    """AUC of each group of people of whom it is known, with its 95% interval."""
    bars = [
        ChartBar(
            segment_of(str(one["name"]), words),
            float(one["auc"]["value"]),
            interval_95(one["auc"]),
        )
        for one in segments
        if one.get("auc") is not None
    ]
    return bar_chart(
        words.say(N_("How well the model tells people apart, by group (AUC)")),
        words.say(N_("Group")),
        ChartAxis(words.say(N_("AUC")), 0.0, 1.0, "{:.3g}".format),
        bars,
    )


def interval_95(figure: Mapping[str, float]) -> tuple[float, float]:
    """Of a figure and its standard error."""
    half = ERROR_95 * figure["error"]
    return max(0.0, figure["value"] - half), min(1.0, figure["value"] + half)
