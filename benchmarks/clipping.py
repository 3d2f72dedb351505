"""Clipped gradient sums beside Opacus, in one run on one thread.

    python -m benchmarks.clipping
    python -m benchmarks.clipping --json

The network is an MLP 23-64-32-1 (ReLU), batches of 4,096. Opacus is run as its documentation shows:
``make_private`` with Poisson sampling through its DataLoader, forward, backward, step.
``ratio_to_opacus`` is records per second of ours over that; ``max_abs_difference`` is the largest
difference, in any coordinate of the mean clipped gradient, to Opacus' per-sample clipping of the
same batch. For logistic regression the yardstick is a plain torch step without privacy
(``ratio_to_plain``: seconds of ours over seconds of torch).
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Iterator

import torch
from torch import nn

from benchmarks.report import machine, parser, show
from privacy.clipping import UNIT, Dense, Records, clipped_gradient_sum, device

warnings.simplefilter("ignore")
from opacus import GradSampleModule, PrivacyEngine  # noqa: E402

FEATURES, BATCH, RECORDS, CLIP_NORM = 23, 4096, 24_576, 1.0


def mlp() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(FEATURES, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1)
    )


def dense(model: nn.Module, where: torch.device) -> list[Dense]:
    def moved(values: torch.Tensor) -> torch.Tensor:
        return values.detach().double().to(where)

    found = [module for module in model.modules() if isinstance(module, nn.Linear)]
    return [Dense(moved(m.weight), None if m.bias is None else moved(m.bias)) for m in found]


def rate(work: Callable[[], int], repeats: int) -> float:
    """Median records per second."""
    work()
    rates = []
    for _ in range(repeats):
        started = time.perf_counter()
        done = work()
        rates.append(done / (time.perf_counter() - started))
    return statistics.median(rates)


def opacus_epoch(rows: torch.Tensor, labels: torch.Tensor) -> Callable[[], int]:
    model = mlp()
    dataset = torch.utils.data.TensorDataset(rows, labels)
    loader = torch.utils.data.DataLoader(dataset, batch_size=BATCH)
    private, optimizer, batches = PrivacyEngine().make_private(
        module=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        data_loader=loader,
        noise_multiplier=1.0,
        max_grad_norm=CLIP_NORM,
    )
    loss = nn.BCEWithLogitsLoss()

    def run() -> int:
        done = 0
        for inputs, targets in batches:
            optimizer.zero_grad()
            loss(private(inputs).squeeze(1), targets).backward()
            optimizer.step()
            done += len(inputs)
        return done

    return run


def batches_of(rows: torch.Tensor, labels: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    return zip(torch.split(rows, BATCH), torch.split(labels, BATCH), strict=True)


def plain_step(model: nn.Module, rows: torch.Tensor, labels: torch.Tensor) -> Callable[[], int]:
    loss = nn.BCEWithLogitsLoss(reduction="sum")
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)

    def run() -> int:
        for inputs, targets in batches_of(rows, labels):
            optimizer.zero_grad()
            loss(model(inputs).squeeze(1), targets).backward()
            optimizer.step()
        return len(rows)

    return run


def ours(model: nn.Module, rows: torch.Tensor, labels: torch.Tensor) -> Callable[[], int]:
    where = device()
    layers = dense(model, where)
    batches = [Records.of(x.to(where), y.to(where)) for x, y in batches_of(rows, labels)]

    def run() -> int:
        for batch in batches:
            clipped_gradient_sum(layers, batch, CLIP_NORM, activation="relu")
        return len(rows)

    return run


def difference(rows: torch.Tensor, labels: torch.Tensor) -> float:
    """Largest difference in the mean clipped gradient of one batch to Opacus' per-sample gradients,
    clipped."""
    model = mlp().double()
    inputs, targets = rows[:BATCH].double(), labels[:BATCH].double()
    exact = clipped_gradient_sum(
        dense(model, torch.device("cpu")), Records.of(inputs, targets), CLIP_NORM, 0.0, "relu"
    )
    sampled = GradSampleModule(model, loss_reduction="sum")
    nn.BCEWithLogitsLoss(reduction="sum")(sampled(inputs).squeeze(1), targets).backward()
    each = torch.cat([p.grad_sample.flatten(1) for p in sampled.parameters()], dim=1)
    clipped = each * (CLIP_NORM / each.norm(dim=1, keepdim=True).clamp(min=CLIP_NORM))
    return float((torch.from_numpy(exact) * UNIT * CLIP_NORM - clipped.sum(0)).abs().max() / BATCH)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--repeats", type=int, default=7)
    chosen = options.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(chosen.seed)
    rows = torch.randn(RECORDS, FEATURES)
    labels = (torch.rand(RECORDS) < 0.2).float()
    network = mlp()
    line = nn.Linear(FEATURES, 1, bias=False)
    ours_mlp = rate(ours(network, rows, labels), chosen.repeats)
    opacus_mlp = rate(opacus_epoch(rows, labels), 3)
    plain_mlp = rate(plain_step(network, rows, labels), chosen.repeats)
    ours_logistic = rate(ours(line, rows, labels), chosen.repeats)
    plain_logistic = rate(plain_step(line, rows, labels), chosen.repeats)
    report = {
        "machine": machine(),
        "seed": chosen.seed,
        "ours_mlp_records_per_s": ours_mlp,
        "opacus_mlp_records_per_s": opacus_mlp,
        "plain_mlp_records_per_s": plain_mlp,
        "ours_logistic_records_per_s": ours_logistic,
        "plain_logistic_records_per_s": plain_logistic,
        "max_abs_difference": difference(rows, labels),
        "device": str(device()),
        "ratio_to_opacus": ours_mlp / opacus_mlp,
        "ratio_to_plain": plain_logistic / ours_logistic,
    }
    show(report, chosen.json)


if __name__ == "__main__":
    main()
