"""Sums of clipped per-person gradients of dense networks, in closed form and in exact arithmetic.

The gradient of one person's loss in a dense layer is the outer product of what flows back (delta) and what flowed in
(activation), so its norm is the product of two norms (Goodfellow 2015, https://arxiv.org/abs/1510.01799) and no
person's gradient is ever formed. Scaling the deltas by each person's clip factor makes the ordinary matrix product the
sum of clipped gradients.

The sum is exact: activations are rounded to multiples of 2^-20 *before* the norm is taken, scaled deltas are cut
towards zero to multiples of 2^-18, and products of the two are whole multiples of 2^-38 that a double holds without
rounding for as many people as one slice has. Order, slices, threads and the device change nothing, and what one person
adds has norm ``clip_norm`` at most as computed. Works on whatever device the tensors are on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from privacy.errors import PrivacyError

ACTIVATION_BITS, DELTA_BITS, MOMENT_BITS = 20, 18, 14
UNIT = 2.0 ** -(ACTIVATION_BITS + DELTA_BITS)
"""What a 1 in a returned sum stands for, times the clip norm."""
LARGEST_SLICE = 1 << 14
"""People in one product: 2^14 people of norm 1 sum to 2^52 units, which a double holds exactly."""
CACHED_VALUES = 1 << 16
"""On a processor, slices of deep networks are small enough to stay in its cache; the sum is the same."""
LARGEST_INPUT = 1e6
MARGIN = 1 - 1e-9
"""So that rounding in the norm itself stays on the safe side."""
MOST_PEOPLE = 1 << 24
Elementwise = Callable[[torch.Tensor], torch.Tensor]
ACTIVATIONS: dict[str, tuple[Elementwise, Elementwise]] = {
    "tanh": (torch.tanh, lambda a: 1 - a * a),
    "relu": (torch.relu, lambda a: a > 0),
}
"""Each with its derivative, as a function of its value."""


@dataclass(frozen=True)
class Dense:
    """One layer: ``weight`` is (outputs, inputs), ``bias`` (outputs,) or absent. Doubles."""

    weight: torch.Tensor
    bias: torch.Tensor | None = None

    @property
    def parameters(self) -> int:
        return self.weight.numel() + (0 if self.bias is None else self.bias.numel())

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        out = inputs @ self.weight.T
        return out if self.bias is None else out + self.bias


def device() -> torch.device:
    """CUDA where torch sees it."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def on_activation_grid(values: torch.Tensor) -> torch.Tensor:
    """Rounded to multiples of 2^-20, in place."""
    return values.mul_(2.0**ACTIVATION_BITS).round_().mul_(2.0**-ACTIVATION_BITS)


def _squares(rows: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vector_norm(rows, dim=1).square_()


def _slice_sum(
    layers: Sequence[Dense], rows: torch.Tensor, squares: torch.Tensor, labels: torch.Tensor, clip_norm: float,
    offset: float, activation: str,
) -> torch.Tensor:  # fmt: skip
    """The sum over one slice, in units of ``clip_norm * UNIT``, exact."""
    apply, slope = ACTIVATIONS[activation]
    flow, slopes = [rows], []
    for layer in layers[:-1]:
        active = apply(layer(flow[-1]))
        slopes.append(slope(active))
        flow.append(on_activation_grid(active))
    deltas = [torch.sigmoid(layers[-1](flow[-1]) + offset) - labels[:, None]]
    for layer, slope_there in zip(reversed(layers[1:]), reversed(slopes), strict=True):
        deltas.insert(0, (deltas[0] @ layer.weight) * slope_there)
    norms = torch.zeros_like(squares)
    for i, layer in enumerate(layers):
        entering = squares if i == 0 else _squares(flow[i])
        norms += _squares(deltas[i]) * (entering + (layer.bias is not None))
    factor = (MARGIN / torch.sqrt(norms).clamp_(min=clip_norm)).mul_(2.0**DELTA_BITS)[:, None]
    parts = []
    for i, layer in enumerate(layers):
        scaled = (deltas[i] * factor).trunc_()
        parts.append(((scaled.T @ flow[i]) * 2.0**ACTIVATION_BITS).reshape(-1))
        if layer.bias is not None:
            parts.append(scaled.sum(0) * 2.0**ACTIVATION_BITS)
    return torch.cat(parts).to(torch.int64)


@dataclass(frozen=True)
class Records:
    """People's inputs on the activation grid, and what every sum needs of them: prepared once, used at every step."""

    rows: torch.Tensor
    squares: torch.Tensor
    labels: torch.Tensor

    @classmethod
    def of(cls, rows: torch.Tensor, labels: torch.Tensor) -> Records:
        """From (n, d) inputs and (n,) labels of 0 and 1.

        Raises:
            PrivacyError: more people than sums have room for, or not one label each.
        """
        if len(rows) > MOST_PEOPLE or labels.shape != (len(rows),):
            raise PrivacyError("the rows and labels do not belong together, or are more than a sum has room for")
        finite = torch.nan_to_num(rows.double(), nan=0.0).clamp(-LARGEST_INPUT, LARGEST_INPUT)
        prepared = on_activation_grid(finite)
        return cls(prepared, _squares(prepared), labels.double())

    def __len__(self) -> int:
        return len(self.rows)


def clipped_gradient_sum(
    layers: Sequence[Dense], records: Records, clip_norm: float, offset: float = 0.0, activation: str = "tanh"
) -> NDArray[np.int64]:
    """Sum over people of the gradient of the logistic loss, each scaled to L2 norm ``clip_norm`` at most.

    Args:
        layers: a dense network with one output; between layers goes ``activation``.
        records: rows that belong to different people.
        offset: added to the logit.

    Returns:
        whole multiples of ``clip_norm * UNIT``; layer by layer, weight (row by row) then bias.
    """
    if not clip_norm > 0 or activation not in ACTIVATIONS:
        raise PrivacyError("gradients are clipped to a positive norm, in networks of known activations")
    if not all(
        torch.isfinite(part).all() for layer in layers for part in (layer.weight, layer.bias) if part is not None
    ):
        raise PrivacyError("the network has weights that are not numbers")
    where = records.rows.device
    total = torch.zeros(sum(layer.parameters for layer in layers), dtype=torch.int64, device=where)
    widest = max(layer.weight.shape[0] for layer in layers)
    size = LARGEST_SLICE if where.type == "cuda" else min(LARGEST_SLICE, CACHED_VALUES // widest)
    for start in range(0, len(records), size):
        part = slice(start, start + size)
        total += _slice_sum(
            layers, records.rows[part], records.squares[part], records.labels[part], clip_norm, offset, activation
        )
    return np.asarray(total.cpu().numpy())


def clipped_second_moments(rows: torch.Tensor, clip_norm: float) -> NDArray[np.int64]:
    """Sum over people of x x^T, each x scaled to norm ``clip_norm`` at most: the upper triangle, row by row.

    Off the diagonal entries count 181/128 times (just below the square root of 2), so that what one person adds has
    norm ``clip_norm**2`` at most and the noise in both triangles together is that of the whole matrix.

    Returns:
        (d (d + 1) / 2,) whole multiples of :data:`MOMENT_UNIT`; undo the weights with :func:`second_moments`.
    """
    doubles = torch.nan_to_num(rows.double(), nan=0.0, posinf=0.0, neginf=0.0)
    width = doubles.shape[1]
    total = torch.zeros(width, width, dtype=torch.int64, device=rows.device)
    fit = min(LARGEST_SLICE, int(2 ** (52 - 2 * MOMENT_BITS) / clip_norm**2))
    if fit < 1:
        raise PrivacyError(f"second moments of vectors of norm {clip_norm:g} cannot be summed exactly")
    for start in range(0, len(doubles), fit):
        part = doubles[start : start + fit]
        factor = (MARGIN * clip_norm / torch.linalg.vector_norm(part, dim=1).clamp_(min=clip_norm))[:, None]
        whole = (part * factor * 2.0**MOMENT_BITS).trunc_()
        total += (whole.T @ whole).to(torch.int64)
    weights = torch.triu(torch.full((width, width), 181), 1) + torch.eye(width, dtype=torch.int64) * 128
    upper = (total.cpu() * weights)[tuple(torch.triu_indices(width, width))]
    return np.asarray(upper.numpy())


MOMENT_UNIT = 2.0 ** -(2 * MOMENT_BITS + 7)
OFF_DIAGONAL = 128 / 181
"""Undoes the weight of an entry off the diagonal."""


def second_moments(upper: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """The symmetric (width, width) matrix of a released sum of :func:`clipped_second_moments`, weights undone."""
    if upper.shape != (width * (width + 1) // 2,):
        raise PrivacyError(f"{upper.size} second moments do not make a matrix of width {width}")
    matrix = np.zeros((width, width))
    rows, columns = np.triu_indices(width)
    matrix[rows, columns] = np.where(rows == columns, upper, upper * OFF_DIAGONAL)
    return np.asarray(matrix + np.triu(matrix, 1).T)
