"""Loan tables made up for benchmarks, each difficult in its own way: latent factors behind
correlated features, effects that bend, spikes, missing values. Drawn from a fixed seed.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from demo.loans import Loans, read_loans

Floats = NDArray[np.float64]
FACTORS, LOADED, COMMON = 5, 0.4, 0.6
BISECTIONS = 60


@dataclass(frozen=True)
class Made:
    """Size, share of bad people, standard deviation of the log-odds, and whether all features
    matter about alike."""

    people: int
    features: int
    bad: float
    signal: float
    weak: bool
    seed: int


TABLES = {
    "balanced": Made(10_000, 23, 0.5, 1.35, False, 1),
    "weak": Made(32_000, 37, 0.2, 0.8, True, 2),
    "rare": Made(30_000, 15, 0.03, 1.3, False, 3),
    "small": Made(6_250, 15, 0.25, 1.2, False, 5),
}
"""``small`` leaves 5,000 people to train on."""


def made(name: str) -> Loans:
    """One of :data:`TABLES`, with a schema written from it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.parquet"
        drawn(TABLES[name]).to_parquet(path)
        return read_loans(path, "target", None, None)


def drawn(table: Made) -> pd.DataFrame:
    rng = np.random.default_rng(table.seed)
    load = rng.normal(size=(table.features, FACTORS)) * (
        rng.random((table.features, FACTORS)) < LOADED
    )
    load *= math.sqrt(COMMON) / np.maximum(np.linalg.norm(load, axis=1, keepdims=True), 1e-9)
    own = np.sqrt(np.maximum(1 - (load**2).sum(axis=1), 0.05))
    values = rng.normal(size=(table.people, FACTORS)) @ load.T
    values += rng.normal(size=values.shape) * own
    strength = (
        0.5 + rng.random(table.features) if table.weak else rng.exponential(size=table.features)
    )
    logit = np.zeros(table.people)
    columns = {}
    for j in range(table.features):
        effect = _effect(values[:, j], rng)
        logit += rng.choice([-1, 1]) * strength[j] * (effect - effect.mean())
        columns[f"x{j}"] = _column(values[:, j], rng)
    logit *= table.signal / logit.std()
    outcome = rng.random(table.people) < expit(logit + _intercept(logit, table.bad))
    return pd.DataFrame(columns | {"target": outcome.astype(int)})


def _effect(values: Floats, rng: np.random.Generator) -> Floats:
    """Bent, from a point on, or straight; every fourth turns back for large values."""
    effect = [np.tanh(1.5 * values), np.maximum(values, 0), values][rng.integers(3)]
    return effect - 0.5 * np.maximum(values - 1, 0) * (rng.random() < 0.25)


def _column(values: Floats, rng: np.random.Generator) -> Floats:
    """Amounts, counts, counts that are mostly zero, or marks; some with a tenth missing."""
    shapes = [
        np.round(np.exp(values) * 1000, 2),
        np.round(np.exp(1 + values)),
        np.maximum(np.round(2 * values), 0),
        np.round(50 + 15 * values),
    ]
    column = np.asarray(shapes[rng.integers(4)], dtype=np.float64)
    if rng.random() < 0.3:
        column[rng.random(len(column)) < 0.1] = np.nan
    return column


def _intercept(logit: Floats, bad: float) -> float:
    """With which so many are bad on average."""
    low, high = -20.0, 20.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if expit(logit + middle).mean() > bad else (middle, high)
    return low
