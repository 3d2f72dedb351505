"""Sums of clipped per-person gradients of dense networks, in closed form and in exact arithmetic.

The gradient of one person's loss in a dense layer is the outer product of what flows back (delta)
and what flowed in (activation), so its norm is the product of two norms (Goodfellow 2015,
https://arxiv.org/abs/1510.01799) and no person's gradient is ever formed. Scaling the deltas by
each person's clip factor makes the ordinary matrix product the sum of clipped gradients.

Everything that a matrix product touches is a whole multiple of a power of two, small enough that a
double holds every partial sum: inputs, activations and weights of 2^-20, deltas between layers of
2^-20, scaled deltas (cut towards zero) of 2^-18. So order, slices, threads, the device and *who
else is there* change nothing, not even in the last bit: with rounding left to the library, one
person more can change the others' values, and chosen weights amplify that beyond any clip. Whatever
else is computed goes element by element, by operations that IEEE 754 rounds correctly. What one
person adds has norm ``clip_norm`` at most, as computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from privacy.charges import LARGEST_CLIP, LEAST_CLIP
from privacy.errors import PrivacyError

GRID_BITS, DELTA_BITS = 20, 18
UNIT = 2.0 ** -(GRID_BITS + DELTA_BITS)
"""What a 1 in a returned sum stands for, times the clip norm."""
LARGEST_INPUT = 16.0
LARGEST_SUM = 2.0**53 / 2.0 ** (2 * GRID_BITS)
"""A product of two grid numbers is a multiple of 2^-40; sums up to this are exact."""
LARGEST_SLICE = 1 << 14
"""People in one product: 2^14 people of norm 1 sum to 2^52 units, which a double holds exactly."""
CACHED_VALUES = 1 << 16
"""On a processor, slices of deep networks are small enough to stay in its cache; the sum is the
same."""
MARGIN = 1 - 1e-9
"""So that rounding in the norm itself stays on the safe side."""
MOST_PEOPLE = 1 << 24
LARGEST_OFFSET = 1e3
HALVINGS, TERMS = 8, 8
Elementwise = Callable[[torch.Tensor], torch.Tensor]


def _exp_of_minus(size: torch.Tensor) -> torch.Tensor:
    """e^-x for x >= 0, to about 1e-9, of additions and multiplications only.

    Those are rounded the same wherever an element stands; a library's exp may not be, at the end of
    a vector.
    """
    small = size.clamp(max=64.0) * -(0.5**HALVINGS)
    total = torch.zeros_like(small)
    for term in range(TERMS, -1, -1):
        total.mul_(small).add_(1.0 / math.factorial(term))
    for _ in range(HALVINGS):
        total.mul_(total)
    return total


def sigmoid(values: torch.Tensor) -> torch.Tensor:
    """1 / (1 + e^-x), the same for the same x wherever it stands."""
    small = _exp_of_minus(values.abs())
    share = 1 / (1 + small)
    return torch.where(values >= 0, share, small * share)


def tanh(values: torch.Tensor) -> torch.Tensor:
    """The hyperbolic tangent, the same for the same x wherever it stands."""
    small = _exp_of_minus(values.abs() * 2)
    return torch.sign(values) * ((1 - small) / (1 + small))


ACTIVATIONS: dict[str, tuple[Elementwise, Elementwise]] = {
    "tanh": (tanh, lambda a: 1 - a * a),
    "relu": (lambda z: torch.clamp(z, 0.0, LARGEST_INPUT), lambda a: (a > 0) & (a < LARGEST_INPUT)),
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


def root(values: torch.Tensor) -> torch.Tensor:
    """The square root, correctly rounded: a library's vectors of them may be a unit in the last
    place off on a processor, and differ from one to the next."""
    if values.device.type != "cpu":
        return torch.sqrt(values)
    return torch.from_numpy(np.sqrt(values.numpy()))


def device() -> torch.device:
    """CUDA where torch sees it."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def on_grid(values: torch.Tensor) -> torch.Tensor:
    """Rounded to multiples of 2^-20, in place."""
    return values.mul_(2.0**GRID_BITS).round_().mul_(2.0**-GRID_BITS)


def inputs_on_grid(rows: torch.Tensor) -> torch.Tensor:
    """Doubles within +-``LARGEST_INPUT``, on the grid; what is not a number becomes zero."""
    return on_grid(torch.nan_to_num(rows.double(), nan=0.0).clamp_(-LARGEST_INPUT, LARGEST_INPUT))


def layers_on_grid(layers: Sequence[Dense]) -> list[Dense]:
    """The same layers with weights on the grid.

    Raises:
        PrivacyError: a weight is not a number, or they are so large that sums would not be exact.
            Depends on no data.
    """
    rounded = [
        Dense(
            on_grid(layer.weight.clone()),
            None if layer.bias is None else on_grid(layer.bias.clone()),
        )
        for layer in layers
    ]
    returned = 1.0
    for layer in reversed(rounded):
        size = layer.weight.abs()
        bias = 0.0 if layer.bias is None else float(layer.bias.abs().max())
        forward = float(size.sum(1).max()) * LARGEST_INPUT + bias
        returned *= float(size.sum(0).max())
        if not (forward < LARGEST_SUM and (returned < LARGEST_SUM or layer is rounded[0])):
            raise PrivacyError("the network's weights are too large, or not numbers")
    return rounded


def _squares(values: torch.Tensor) -> torch.Tensor:
    """Squared norm of each row, element by element: a library's reduction may depend on how many
    rows there are."""
    parts = values * values
    while (width := parts.shape[1]) > 1:
        half = width // 2
        folded = parts[:, :half] + parts[:, half : 2 * half]
        if width % 2:
            folded[:, 0] += parts[:, -1]
        parts = folded
    return parts[:, 0]


def logits(layers: Sequence[Dense], rows: torch.Tensor, activation: str = "tanh") -> torch.Tensor:
    """(people,) outputs for inputs from :func:`inputs_on_grid` and layers from
    :func:`layers_on_grid`; exact."""
    apply, _ = ACTIVATIONS[activation]
    flow = rows
    for layer in layers[:-1]:
        flow = on_grid(apply(layer(flow)))
    return layers[-1](flow)[:, 0]


def _slice_sum(
    layers: Sequence[Dense], records: Records, clip_norm: float, offset: float, activation: str
) -> torch.Tensor:
    """The sum over one slice, in units of ``clip_norm * UNIT``, exact."""
    apply, slope = ACTIVATIONS[activation]
    flow = [records.rows]
    slopes = []
    for layer in layers[:-1]:
        active = apply(layer(flow[-1]))
        slopes.append(slope(active))
        flow.append(on_grid(active))
    deltas = [sigmoid(layers[-1](flow[-1]) + offset) - records.labels[:, None]]
    for layer, slope_there in zip(reversed(layers[1:]), reversed(slopes), strict=True):
        deltas.insert(0, (on_grid(deltas[0]) @ layer.weight) * slope_there)
    norms = torch.zeros_like(records.squares)
    for i, layer in enumerate(layers):
        entering = records.squares if i == 0 else _squares(flow[i])
        norms += _squares(deltas[i]) * (entering + (layer.bias is not None))
    factor = (MARGIN / root(norms).clamp_(min=clip_norm)).mul_(2.0**DELTA_BITS)[:, None]
    parts = []
    for i, layer in enumerate(layers):
        scaled = (deltas[i] * factor).trunc_()
        parts.append(((scaled.T @ flow[i]) * 2.0**GRID_BITS).reshape(-1))
        if layer.bias is not None:
            parts.append(scaled.sum(0) * 2.0**GRID_BITS)
    return torch.cat(parts).to(torch.int64)


@dataclass(frozen=True)
class Records:
    """People's inputs on the activation grid, and what every sum needs of them: prepared once, used
    at every step."""

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
            raise PrivacyError(
                "the rows and labels do not belong together, or are more than a sum has room for"
            )
        prepared = inputs_on_grid(rows)
        return cls(prepared, _squares(prepared), (labels > 0).double())

    def __len__(self) -> int:
        return len(self.rows)


def clipped_gradient_sum(
    layers: Sequence[Dense],
    records: Records,
    clip_norm: float,
    offset: float = 0.0,
    activation: str = "tanh",
) -> NDArray[np.int64]:
    """Sum over people of the gradient of the logistic loss, each scaled to L2 norm ``clip_norm`` at
    most.

    Args:
        layers: a dense network with one output; between layers goes ``activation``.
        records: rows that belong to different people.
        offset: added to the logit.

    Returns:
        whole multiples of ``clip_norm * UNIT``; layer by layer, weight (row by row) then bias.
    """
    if not LEAST_CLIP <= clip_norm <= LARGEST_CLIP or activation not in ACTIVATIONS:
        raise PrivacyError(f"gradients are clipped to a norm in [{LEAST_CLIP:g}, {LARGEST_CLIP:g}]")
    if not abs(offset) <= LARGEST_OFFSET:
        raise PrivacyError(f"an offset lies within {LARGEST_OFFSET:g}")
    sound = layers_on_grid(layers)
    where = records.rows.device
    total = torch.zeros(sum(layer.parameters for layer in layers), dtype=torch.int64, device=where)
    widest = max(layer.weight.shape[0] for layer in layers)
    size = (
        LARGEST_SLICE
        if where.type == "cuda"
        else min(LARGEST_SLICE, max(1, CACHED_VALUES // widest))
    )
    for start in range(0, len(records), size):
        part = slice(start, start + size)
        some = Records(records.rows[part], records.squares[part], records.labels[part])
        total += _slice_sum(sound, some, clip_norm, offset, activation)
    return np.asarray(total.cpu().numpy())
