"""Sums of clipped per-person gradients of dense networks, in closed form and in exact arithmetic.

The gradient of one person's loss in a dense layer is the outer product of what flows back (delta) and what flowed in
(activation), so its norm is the product of two norms (Goodfellow 2015, https://arxiv.org/abs/1510.01799) and no
person's gradient is ever formed. Scaling the deltas by each person's clip factor makes the ordinary matrix product the
sum of clipped gradients.

The sum is exact: activations are rounded to multiples of 2^-14 *before* the norm is taken, scaled deltas are cut
towards zero to multiples of 2^-22, and products of the two are whole multiples of 2^-36 that a double holds without
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

ACTIVATION_BITS, DELTA_BITS = 14, 22
UNIT = 2.0 ** -(ACTIVATION_BITS + DELTA_BITS)
"""What a 1 in a returned sum stands for, times the clip norm."""
SLICE = 1 << 16
"""People in one product: 2^16 people of norm 1 sum to 2^52 units, which a double holds exactly."""
MARGIN = 1 - 1e-9
"""So that rounding in the norm itself stays on the safe side."""
MOST_PEOPLE = 1 << 26
Elementwise = Callable[[torch.Tensor], torch.Tensor]
ACTIVATIONS: dict[str, tuple[Elementwise, Elementwise]] = {
    "tanh": (torch.tanh, lambda a: 1 - a * a),
    "relu": (torch.relu, lambda a: (a > 0).to(a.dtype)),
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
    """Doubles, rounded to multiples of 2^-14; what is not finite becomes zero."""
    scaled = torch.nan_to_num(values.double(), nan=0.0, posinf=0.0, neginf=0.0).mul_(2.0**ACTIVATION_BITS)
    return scaled.round_().mul_(2.0**-ACTIVATION_BITS)


def forward(layers: Sequence[Dense], rows: torch.Tensor, activation: str = "tanh") -> list[torch.Tensor]:
    """What flows into each layer, then the logits; every entry (people, width)."""
    apply, _ = ACTIVATIONS[activation]
    flow = [rows]
    for layer in layers[:-1]:
        flow.append(on_activation_grid(apply(layer(flow[-1]))))
    return [*flow, layers[-1](flow[-1])]


def _slice_sum(
    layers: Sequence[Dense], rows: torch.Tensor, squares: torch.Tensor, labels: torch.Tensor, clip_norm: float,
    offset: float, activation: str,
) -> torch.Tensor:  # fmt: skip
    """The sum over one slice, in units of ``clip_norm * UNIT``, exact."""
    flow = forward(layers, rows, activation)
    _, slope = ACTIVATIONS[activation]
    delta = torch.sigmoid(flow[-1] + offset) - labels[:, None]
    deltas = [delta]
    for layer, inputs in zip(reversed(layers[1:]), reversed(flow[1:-1]), strict=True):
        deltas.insert(0, (deltas[0] @ layer.weight) * slope(inputs))
    norms = torch.zeros_like(squares)
    for i, layer in enumerate(layers):
        entering = squares if i == 0 else flow[i].square().sum(1)
        norms += deltas[i].square().sum(1) * (entering + (layer.bias is not None))
    factor = (MARGIN / torch.sqrt(norms).clamp_(min=clip_norm)).mul_(2.0**DELTA_BITS)[:, None]
    parts = []
    for i, layer in enumerate(layers):
        scaled = torch.nan_to_num((deltas[i] * factor).trunc_(), nan=0.0, posinf=0.0, neginf=0.0)
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
        prepared = on_activation_grid(rows)
        return cls(prepared, prepared.square().sum(1), labels.double())

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
    where = records.rows.device
    total = torch.zeros(sum(layer.parameters for layer in layers), dtype=torch.int64, device=where)
    for start in range(0, len(records), SLICE):
        part = slice(start, start + SLICE)
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
    fit = min(SLICE, int(2 ** (52 - 2 * ACTIVATION_BITS) / clip_norm**2))
    if fit < 1:
        raise PrivacyError(f"second moments of vectors of norm {clip_norm:g} cannot be summed exactly")
    for start in range(0, len(doubles), fit):
        part = doubles[start : start + fit]
        factor = (MARGIN * clip_norm / torch.linalg.vector_norm(part, dim=1).clamp_(min=clip_norm))[:, None]
        whole = (part * factor * 2.0**ACTIVATION_BITS).trunc_()
        total += (whole.T @ whole).to(torch.int64)
    weights = torch.triu(torch.full((width, width), 181), 1) + torch.eye(width, dtype=torch.int64) * 128
    upper = (total.cpu() * weights)[tuple(torch.triu_indices(width, width))]
    return np.asarray(upper.numpy())


MOMENT_UNIT = 2.0 ** -(2 * ACTIVATION_BITS + 7)
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
