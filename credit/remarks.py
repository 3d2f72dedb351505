"""What a model's users should know before they trust it, said from released figures alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from credit.binning import Binning, FeatureBins
from credit.cutting import exact_bins
from credit.features import Feature, FeatureSchema
from credit.grid import FeatureCells
from credit.quality import Figure

FEW = 0.025
"""A feature hardly tells people apart if no bin but its largest has this share; smaller ones may be
noise."""
DETERMINED = 0.5
"""The largest error of the number of bad (or good) people, as a share of it, at which a level of
risk is determined."""


@dataclass(frozen=True)
class RiskLevel:
    """Good and bad people as they were released, each with the standard error of its noise."""

    good: Figure
    bad: Figure

    @property
    def base_rate(self) -> Figure:
        """The share of bad and its standard error, from noise and chance."""
        good, bad = max(self.good.value, 0.0), max(self.bad.value, 0.0)
        people = max(good + bad, 1.0)
        rate = bad / people
        noise = math.hypot((1 - rate) * self.bad.error, rate * self.good.error) / people
        return Figure(
            rate, math.hypot(noise, math.sqrt(max(rate * (1 - rate), 1 / people) / people))
        )

    @property
    def determined(self) -> bool:
        """Whether the rarer outcome was counted well enough to say how large a probability is."""
        rarer = min(self.good, self.bad, key=lambda figure: figure.value)
        return math.hypot(rarer.error, math.sqrt(max(rarer.value, 0.0))) <= DETERMINED * rarer.value

    def said(self) -> tuple[str, ...]:
        """Sentences; none where there is nothing to say."""
        rate = self.base_rate
        found = []
        if not self.determined:
            rarer, figure = (
                ("good", self.good) if self.good.value < self.bad.value else ("bad", self.bad)
            )
            counted = max(figure.value, 0.0)
            found.append(
                f"the level of risk is not determined: {counted:,.0f} ± {figure.error:,.0f} "
                f"{rarer} people were "
                "counted; use probabilities to rank people only, or train with more people or a "
                "larger epsilon"
            )
        elif rate.value - 2 * rate.error > 0.5:
            found.append(
                f"more people are bad than good ({rate.value:.1%} ± {rate.error:.1%}): "
                "look whether the outcome is the right way round (1 is bad)"
            )
        return tuple(found)


def indistinct(feature: Feature, bins: FeatureBins) -> str | None:
    """Why a feature hardly tells people apart in these bins; None if it does."""
    known = np.array(bins.frequency[:-1])
    if known.sum() <= FEW:
        return f"{feature.name} hardly tells people apart: nearly nobody has a value"
    if (np.sort(bins.frequency)[:-1] >= FEW).any():
        return None
    place = int(known.argmax())
    if feature.kind == "category":
        return (
            f"{feature.name} hardly tells people apart: nearly everybody has one code, or one that "
            "is rare"
        )
    if not bins.edges:
        return f"{feature.name} hardly tells people apart: nothing in it stands out of the noise"
    ends = [-math.inf if feature.low is None else feature.low, *bins.edges]
    ends.append(math.inf if feature.high is None else feature.high)
    low, high = ends[place : place + 2]
    return (
        f"{feature.name} hardly tells people apart: nearly all values are between {low:.10g} and "
        f"{high:.10g}"
    )


def indistinct_values(feature: Feature, counts: NDArray[np.int64]) -> str | None:
    """The same of exact :meth:`credit.grid.FeatureCells.counts`, summed over any tables, for
    their owner alone."""
    return indistinct(feature, exact_bins(FeatureCells(feature), counts))


def remarks(schema: FeatureSchema, binning: Binning, level: RiskLevel) -> tuple[str, ...]:
    """All that should be said of a model whose histogram release became this."""
    pairs = zip(schema.features, binning.features, strict=True)
    found = (indistinct(feature, bins) for feature, bins in pairs)
    return (*level.said(), *(sentence for sentence in found if sentence))
