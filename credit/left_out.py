"""Scores as if the person scored had not been trained on.

Whoever was trained on ranks better than strangers do, because their own outcome moved the model
towards them. How far it did can be told from their own row and figures that are public: the
derivative of the model by one person's gradient. Taking it away is the approximate leave-one-out of
Rad & Maleki 2020 (https://arxiv.org/abs/1801.10243), and everybody who was trained on can then be
counted as held-out people are, ten times as many of them, who cost no training. What a person adds
is still one count in one group, which depends on no other row.

In coordinates in which A, the derivative by n gradients (:mod:`credit.influence`), is diagonal,
somebody with the row z, the residual p - y and the clip's factor s moved the weights by
``-s (p - y) A z / n``, so their own log-odds without them are higher by
``s (p - y) z^T A z / n``. The residual is that of the released model: to first order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from credit.errors import ModelError
from privacy.clipping import sigmoid

Floats = NDArray[np.float64]

STEPS_PER_UNIT = 2.0**10
LARGEST_ROW = 2.0**14
"""Beyond it an entry of a row is cut: the sum of 2^14 squares is exact then."""
LARGEST_INFLUENCE = 1e4


@dataclass(frozen=True)
class Influence:
    """Coordinates in which A is diagonal, its diagonal over n, and the clip norm; part of the
    question, so public."""

    matrix: Floats
    diagonal: Floats
    clip_norm: float

    def check(self, width: int) -> None:
        """Raises ModelError unless it fits inputs of this width."""
        shaped = self.diagonal.ndim == 1 and 1 <= self.diagonal.size <= width
        shaped = shaped and self.matrix.shape == (width, self.diagonal.size)
        largest = max(np.abs(self.matrix).max(initial=0), np.abs(self.diagonal).max(initial=0))
        if not (shaped and largest <= LARGEST_INFLUENCE and (self.diagonal >= 0).all()):
            raise ModelError(
                f"the influence is not a matrix of {width} rows and as many directions at most, "
                f"with a row of them, within {LARGEST_INFLUENCE:g}"
            )

    def without(self, rows: Floats, logits: Floats, labels: NDArray[np.int64]) -> Floats:
        """The log-odds of people, each without themselves.

        Args:
            rows: (people, directions) inputs times ``matrix``.

        Squares are summed in whole numbers, so that nobody's depends on who else is there.
        """
        norm, reach = _squared(rows), _squared(rows * np.sqrt(self.diagonal))
        residual = sigmoid(torch.from_numpy(logits)).numpy() - (labels > 0)
        kept = self.clip_norm / np.maximum(np.abs(residual) * np.sqrt(norm), self.clip_norm)
        return np.asarray(logits + kept * residual * reach)


def _squared(rows: Floats) -> Floats:
    """Squared norm of each row, exact but for the steps that entries are rounded to."""
    whole = np.rint(np.clip(rows, -LARGEST_ROW, LARGEST_ROW) * STEPS_PER_UNIT).astype(np.int64)
    return np.asarray((whole**2).sum(axis=1) / STEPS_PER_UNIT**2)
