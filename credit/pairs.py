"""Pairwise terms of a generalised additive model, as tables on coarse bins of two features.

What two features say together that they do not say apart (GA2M: Lou, Caruana, Gehrke & Hooker
2013). One release sums residuals and curvatures over a table for each pair that is asked about;
which are, and what comes of it, is in :mod:`credit.boosting`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from credit.embedding import Bins, Embedding
from credit.errors import ModelError
from crypto.sentences import one_sentence
from privacy.clipping import MARGIN, sigmoid

Floats = NDArray[np.float64]
Steps = NDArray[np.int64]
PAIR_UNIT = 2.0**-20
CURVATURE_WEIGHT = 2
"""``(1 - p)^2 + (2 p (1 - p))^2 <= 1``, so that curvatures come with the residuals for nothing."""
MOST_PAIRS, MOST_LEVELS = 28, 5
LARGEST_EFFECT = 8.0


@dataclass(frozen=True)
class PairTerm:
    """What two features add together to the log-odds of bad, on coarse levels of their bins.

    ``first_levels`` and ``second_levels`` have a level for each bin; ``effects`` is (first levels,
    second levels), row by row.
    """

    first: int
    second: int
    first_levels: tuple[int, ...]
    second_levels: tuple[int, ...]
    effects: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, int]:
        return max(self.first_levels) + 1, max(self.second_levels) + 1

    def places(self, bins: Bins) -> NDArray[np.int64]:
        """(people,) places in ``effects``."""
        first = np.asarray(self.first_levels)[bins[:, self.first]]
        return np.asarray(
            first * self.shape[1] + np.asarray(self.second_levels)[bins[:, self.second]]
        )


Pairs = tuple[PairTerm, ...]


def pairs_from(data: object) -> Pairs:
    """Pairs out of JSON data; raises ModelError if they are not pairs. Whether they fit,
    :func:`check_pairs` says."""
    try:
        return TypeAdapter(Pairs).validate_python(data)
    except ValidationError as error:
        raise ModelError(f"not pairwise terms: {one_sentence(error)}") from error


def as_data(pairs: Pairs) -> list[dict[str, object]]:
    """Inverse of :func:`pairs_from`."""
    return [asdict(pair) for pair in pairs]


def check_pairs(pairs: Pairs, embedding: Embedding) -> None:
    """Raises ModelError unless each is a table on two different features of this embedding. Depends
    on no data."""
    if len(pairs) > MOST_PAIRS:
        raise ModelError(f"a model has at most {MOST_PAIRS} pairwise terms, not {len(pairs)}")
    bins = [len(feature.frequency) for feature in embedding.binning.features]
    for pair in pairs:
        inside = (
            0 <= pair.first < len(bins)
            and 0 <= pair.second < len(bins)
            and pair.first != pair.second
        )
        levels = (pair.first_levels, pair.second_levels)
        if not inside or [len(part) for part in levels] != [bins[pair.first], bins[pair.second]]:
            raise ModelError("a pairwise term does not belong to the bins")
        if any(min(part) < 0 or max(part) > MOST_LEVELS for part in levels):
            raise ModelError(f"a pairwise term has levels beyond {MOST_LEVELS}")
        bounded = all(abs(effect) <= LARGEST_EFFECT for effect in pair.effects)
        if len(pair.effects) != math.prod(pair.shape) or not bounded:
            raise ModelError(f"a pairwise term is not a table of effects within {LARGEST_EFFECT:g}")


def added(pairs: Pairs, bins: Bins) -> Floats:
    """(people,) what the pairs add to the log-odds; nobody's depends on who else is there."""
    total = np.zeros(len(bins))
    for pair in pairs:
        total += np.asarray(pair.effects)[pair.places(bins)]
    return total


def sums_size(pairs: Pairs) -> int:
    """Coordinates of :func:`residual_sums`."""
    return 2 * sum(len(pair.effects) for pair in pairs)


def sensitivity(pairs: Pairs) -> float:
    """L2 norm of what one person adds to :func:`residual_sums`, at most: one for each pair."""
    return math.sqrt(max(len(pairs), 1))


def residual_sums(pairs: Pairs, bins: Bins, logits: Floats, labels: NDArray[np.int64]) -> Steps:
    """Sums over people of ``label - p`` and of ``2 p (1 - p)`` in each cell of each pair; not yet
    private.

    Whole multiples of :data:`PAIR_UNIT`, cut towards zero person by person, so that order changes
    nothing.
    """
    bad = sigmoid(torch.from_numpy(np.clip(np.nan_to_num(logits), -60.0, 60.0))).numpy()
    residual = np.trunc((labels - bad) * (MARGIN / PAIR_UNIT)).astype(np.int64)
    curvature = np.trunc(CURVATURE_WEIGHT * bad * (1 - bad) * (MARGIN / PAIR_UNIT)).astype(np.int64)
    total = np.zeros(sums_size(pairs), dtype=np.int64)
    start = 0
    for pair in pairs:
        places = pair.places(bins)
        np.add.at(total, start + places, residual)
        start += len(pair.effects)
        np.add.at(total, start + places, curvature)
        start += len(pair.effects)
    return total
