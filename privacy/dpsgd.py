"""DP-SGD (Abadi et al. 2016) with Opacus: per-record gradients and clipping are Opacus', the noise is ours.

Opacus draws its noise from torch's seeded generator; here it comes from :mod:`privacy.noise`. Batches are Poisson
samples, as the accountant assumes, and may be empty. Large batches are clipped in slices that fit into memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer

from privacy.charges import Charge
from privacy.errors import PrivacyError
from privacy.noise import noisy_sum, poisson_sample

SLICE_VALUES = 16_000_000
"""Per-record gradient values held at once (64 MB as float32)."""


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


class OsNoiseOptimizer(DPOptimizer):  # type: ignore[misc]  # opacus ships no types
    """Opacus' optimizer, its noise replaced by the exact sampler over the whole gradient vector."""

    def add_noise(self) -> None:
        total = torch.cat([p.summed_grad.reshape(-1) for p in self.params]).double().numpy()
        noisy = noisy_sum(total, self.max_grad_norm, self.noise_multiplier)
        released = torch.from_numpy(noisy).to(self.params[0].dtype)
        sizes = [p.numel() for p in self.params]
        for parameter, part in zip(self.params, torch.split(released, sizes), strict=True):
            parameter.grad = part.view_as(parameter)


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
        features: (n, d) float tensor.
        labels: (n,) tensor of 0 and 1.
        population: how many records there are, as already *released* with noise; it turns sums into means. The exact
            count is private and is not used.
        progress: called after each step with the number of steps done.
    """
    if population < 1:
        raise PrivacyError("the released number of records must be at least 1")
    parameters = sum(p.numel() for p in model.parameters())
    slice_size = max(1, SLICE_VALUES // parameters)
    guarded = GradSampleModule(model, loss_reduction="sum", strict=True)
    expected = max(1.0, settings.sampling_rate * population)
    optimizer = OsNoiseOptimizer(
        torch.optim.SGD(model.parameters(), lr=settings.learning_rate / expected, momentum=settings.momentum),
        noise_multiplier=settings.noise_multiplier,
        max_grad_norm=settings.clip_norm,
        expected_batch_size=None,
        loss_reduction="sum",
    )
    loss = nn.BCEWithLogitsLoss(reduction="sum")
    warnings.filterwarnings("ignore", message="Full backward hook is firing")  # inputs are data and need no gradient
    try:
        for step in range(settings.steps):
            chosen = torch.from_numpy(poisson_sample(len(labels), settings.sampling_rate).nonzero()[0])
            bounds = [*range(0, max(len(chosen), 1), slice_size), len(chosen)]
            for start, stop in pairwise(bounds):
                part = chosen[start:stop]
                optimizer.signal_skip_step(do_skip=stop != bounds[-1])
                optimizer.zero_grad()
                loss(guarded(features[part]), labels[part].to(features.dtype)).backward()
                optimizer.step()
            optimizer.zero_grad()
            if progress:
                progress(step + 1)
    finally:
        guarded.remove_hooks()
