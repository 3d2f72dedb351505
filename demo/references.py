"""What the consortium is compared with, computed by the demo, which owns the public table.

- *alone*: each lender trains by itself on its own consenting borrowers, same recipe, same epsilon and delta;
- *pooled*: logistic regression on quantile bins of all training rows, consent or not, without privacy: the model that
  nobody may train, as the ceiling.
"""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder

from consent.documents import Mechanism
from credit.binning import Embedding, Grid, make_binning
from credit.features import FeatureRegistry
from credit.models import CreditModel, Kind, binning_from, build, flat, learning_rate
from privacy.dpsgd import DpSgd, train
from privacy.noise import noisy_sum

Floats = NDArray[np.float64]
POOLED_BINS = 10
POOLED_STRENGTH = 0.3


def train_alone(
    table: pd.DataFrame, registry: FeatureRegistry, kind: Kind, mechanism: Mechanism, seed: int
) -> CreditModel:
    """One lender's own model under the same mechanism: histogram, then all steps, averaged like the consortium's."""
    torch.set_num_threads(1)
    grid = Grid(registry)
    cells, labels = grid.cells(table), table[registry.target].to_numpy(dtype=np.int64)
    noisy = noisy_sum(grid.histogram(cells, labels), grid.sensitivity, mechanism.histogram_noise_multiplier)
    noise_std = mechanism.histogram_noise_multiplier * grid.sensitivity
    binning = binning_from(json.loads(json.dumps(asdict(make_binning(grid, noisy, noise_std, mechanism.bins)))))
    embedding = Embedding(grid, binning)
    model = build(kind, embedding, seed=seed)
    steps = mechanism.rounds * mechanism.local_steps
    settings = DpSgd(
        clip_norm=mechanism.clip_norm,
        noise_multiplier=mechanism.noise_multiplier,
        sampling_rate=mechanism.sampling_rate,
        steps=steps,
        learning_rate=learning_rate(kind, binning, mechanism.noise_multiplier, steps, lenders=1),
    )
    iterates: list[Floats] = []

    def keep(step: int) -> None:
        if step % mechanism.local_steps == 0:
            iterates.append(flat(model))

    rows = torch.from_numpy(embedding.rows(cells))
    train(model, rows, torch.from_numpy(labels.astype(np.float32)), settings, binning.population, keep)
    return CreditModel(kind, embedding, np.mean(iterates[len(iterates) // 2 :], axis=0))


def _quantile_bins(
    train_column: pd.Series, test_column: pd.Series, category: bool
) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    if category:
        return train_column.astype(str).to_numpy(dtype=str), test_column.astype(str).to_numpy(dtype=str)
    values = train_column.to_numpy(dtype=np.float64)
    known = values[np.isfinite(values)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, POOLED_BINS + 1)[1:-1])) if len(known) else np.zeros(0)

    def bins(column: pd.Series) -> NDArray[np.str_]:
        raw = column.to_numpy(dtype=np.float64)
        return np.where(np.isnan(raw), "missing", np.searchsorted(edges, np.nan_to_num(raw)).astype(str))

    return bins(train_column), bins(test_column)


def pooled_probability(train_table: pd.DataFrame, test_table: pd.DataFrame, registry: FeatureRegistry) -> Floats:
    """Probability of bad on the hold-out from the pooled, non-private logistic regression."""
    pairs = [_quantile_bins(train_table[f.name], test_table[f.name], f.kind == "category") for f in registry.features]
    encoder = OneHotEncoder(handle_unknown="ignore")
    inputs = encoder.fit_transform(np.stack([a for a, _ in pairs], axis=1))
    model = LogisticRegression(C=POOLED_STRENGTH, max_iter=500, tol=1e-4)
    model.fit(inputs, train_table[registry.target].to_numpy(dtype=np.int64))
    return np.asarray(model.predict_proba(encoder.transform(np.stack([b for _, b in pairs], axis=1)))[:, 1])
