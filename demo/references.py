"""What the consortium is compared with, computed by the demo, which owns the public table.

- *alone*: each lender trains by itself on its own consenting borrowers, same recipe, same epsilon
  and delta;
- *pooled*: logistic regression on quantile bins of all training rows, consent or not, without
  privacy: the model that nobody may train, as the ceiling.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder

from credit.features import FeatureSchema
from credit.kinds import Kind
from credit.learning import Learner
from credit.models import CreditModel
from credit.simulation import simulate
from privacy.mechanism import Audience, Mechanism

Floats = NDArray[np.float64]
POOLED_BINS = 10
POOLED_STRENGTH = 0.3


def train_alone(
    table: pd.DataFrame, schema: FeatureSchema, kind: Kind, mechanism: Mechanism, seed: int
) -> CreditModel:
    """One lender's own model under the same plan: the same releases, of its people only, with the
    whole noise."""
    torch.set_num_threads(1)
    plan = mechanism.model_copy(
        update={
            "collusion_bound": 0,
            "hold_out": 0.0,
            "releases": tuple(r for r in mechanism.releases if r.audience is Audience.TRAINING),
        }
    )
    return simulate(Learner(schema, kind, plan, seed), [table]).model()


def _quantile_bins(
    train_column: pd.Series, test_column: pd.Series, category: bool
) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    if category:
        return train_column.astype(str).to_numpy(dtype=str), test_column.astype(str).to_numpy(
            dtype=str
        )
    values = train_column.to_numpy(dtype=np.float64)
    known = values[np.isfinite(values)]
    edges = (
        np.unique(np.quantile(known, np.linspace(0, 1, POOLED_BINS + 1)[1:-1]))
        if len(known)
        else np.zeros(0)
    )

    def bins(column: pd.Series) -> NDArray[np.str_]:
        raw = column.to_numpy(dtype=np.float64)
        return np.where(
            np.isnan(raw), "missing", np.searchsorted(edges, np.nan_to_num(raw)).astype(str)
        )

    return bins(train_column), bins(test_column)


def pooled_probability(
    train_table: pd.DataFrame, test_table: pd.DataFrame, schema: FeatureSchema
) -> Floats:
    """Probability of bad on the hold-out from the pooled, non-private logistic regression."""
    pairs = [
        _quantile_bins(train_table[f.name], test_table[f.name], f.kind == "category")
        for f in schema.features
    ]
    encoder = OneHotEncoder(handle_unknown="ignore")
    inputs = encoder.fit_transform(np.stack([a for a, _ in pairs], axis=1))
    model = LogisticRegression(C=POOLED_STRENGTH, max_iter=500, tol=1e-4)
    model.fit(inputs, train_table[schema.target].to_numpy(dtype=np.int64))
    return np.asarray(
        model.predict_proba(encoder.transform(np.stack([b for _, b in pairs], axis=1)))[:, 1]
    )
