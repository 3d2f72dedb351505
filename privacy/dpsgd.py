"""DP-SGD (Abadi et al. 2016) with Opacus: per-record gradients and the optimizer are Opacus', sum
and noise are ours.

Opacus sums in float32 and draws its noise from torch's generator; here sums are exact and the noise
comes from :mod:`privacy.sums`. Batches are Poisson samples, as the accountant assumes, and may be
empty. Large batches are clipped in slices that fit into memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer

from privacy.charges import Charge
from privacy.errors import PrivacyError
from privacy.noise import poisson_sample
from privacy.sums import NoisySum

SLICE = 512
"""Records in one pass, always: the last is filled up, so that how many there are changes nobody's
gradient."""
UNIT = 2.0**-36
"""Clipped gradients are cut to whole multiples of this part of the clip norm."""
CLIP_MARGIN = 1e-9
"""So that rounding in the clip itself stays on the safe side."""


@dataclass(frozen=True)
class DpSgd:
    """One lender's local training in one round."""

    clip_norm: float
    noise_multiplier: float
    sampling_rate: float
    steps: int
    learning_rate: float
    momentum: float = 0.0

    def __post_init__(self) -> None:
        if not (self.clip_norm > 0 and self.learning_rate > 0 and 0 <= self.momentum < 1):
            raise PrivacyError(f"not settings to train with: {self}")

    @property
    def charge(self) -> Charge:
        return Charge(self.noise_multiplier, self.sampling_rate, self.steps)


class ExactOptimizer(DPOptimizer):  # type: ignore[misc]  # opacus ships no types
    """Opacus' optimizer over exact sums: clipped in double precision, summed in whole numbers,
    noised exactly."""

    def clip_and_accumulate(self) -> None:
        """Opacus' rule (each record's gradient scaled to norm ``max_grad_norm`` at most), without
        its float32 sums."""
        records = torch.cat([self._get_flat_grad_sample(p).flatten(1) for p in self.params], dim=1)
        gradients = records.double().numpy()[: self.records]
        sound = np.isfinite(gradients).all(axis=1, keepdims=True)
        gradients = np.where(sound, gradients, 0.0)
        norms = np.linalg.norm(gradients, axis=1, keepdims=True)
        units = gradients * ((1 - CLIP_MARGIN) / UNIT / np.maximum(norms, self.max_grad_norm))
        total = np.trunc(units).astype(np.int64).sum(axis=0)
        self._total = total if self._total is None else self._total + total
        for parameter in self.params:
            parameter.grad_sample = None

    def add_noise(self) -> None:
        total = self._total
        self._total = None
        if total is None:
            raise PrivacyError("a step was taken before any gradient was summed")
        form = NoisySum(total.size, 1.0, self.noise_multiplier, honest=1, unit=UNIT)
        released = torch.from_numpy(form.decode(form.share(total)) * self.max_grad_norm).to(
            self.params[0].dtype
        )
        sizes = [p.numel() for p in self.params]
        for parameter, part in zip(self.params, torch.split(released, sizes), strict=True):
            parameter.grad = part.view_as(parameter)

    _total: NDArray[np.int64] | None = None
    records = SLICE
    """How many of the slice just differentiated are people; the others fill it up."""


def train(
    model: nn.Module,
    features: torch.Tensor,
    labels: torch.Tensor,
    settings: DpSgd,
    population: float,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Train ``model`` in place on records that belong to different people.

    Args:
        model: maps (n, d) features to (n,) logits.
        features: (n, d) tensor.
        labels: (n,) tensor of 0 and 1.
        population: how many records there are, as already *released* with noise; it turns sums into
            means. The exact count is private and is not used.
        progress: called after each step with the number of steps done.
    """
    if population < 1:
        raise PrivacyError("the released number of records must be at least 1")
    guarded = GradSampleModule(model.double(), loss_reduction="sum", strict=True)
    expected = max(1.0, settings.sampling_rate * population)
    optimizer = ExactOptimizer(
        torch.optim.SGD(
            model.parameters(), lr=settings.learning_rate / expected, momentum=settings.momentum
        ),
        noise_multiplier=settings.noise_multiplier,
        max_grad_norm=settings.clip_norm,
        expected_batch_size=None,
        loss_reduction="sum",
    )
    loss = nn.BCEWithLogitsLoss(reduction="sum")
    # inputs are data and need no gradient
    warnings.filterwarnings("ignore", message="Full backward hook is firing")
    try:
        for step in range(settings.steps):
            chosen = torch.from_numpy(
                poisson_sample(len(labels), settings.sampling_rate).nonzero()[0]
            )
            for start in range(0, max(len(chosen), 1), SLICE):
                part = chosen[start : start + SLICE]
                rows = torch.zeros(SLICE, features.shape[1], dtype=torch.float64)
                targets = torch.zeros(SLICE, dtype=torch.float64)
                rows[: len(part)], targets[: len(part)] = (
                    features[part].double(),
                    labels[part].double(),
                )
                optimizer.records = len(part)
                optimizer.signal_skip_step(do_skip=start + SLICE < len(chosen))
                optimizer.zero_grad()
                loss(guarded(rows), targets).backward()
                optimizer.step()
            optimizer.zero_grad()
            if progress:
                progress(step + 1)
    finally:
        guarded.remove_hooks()
