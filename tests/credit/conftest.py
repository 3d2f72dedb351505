"""A small market on which every part of a campaign can be tried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from support.questions import sound_question
from support.world import schema_of

from credit.cutting import make_binning
from credit.embedding import Embedding
from credit.features import FeatureSchema
from credit.grid import Grid
from credit.questions import Question
from privacy.mechanism import LEAST_HONEST, WATCHING, Mechanism, PlannedRelease, ReleaseKind


def market_registry() -> FeatureSchema:
    return schema_of(
        {"name": "late", "kind": "integer", "category": "repayment", "low": 0, "high": 60},
        {"name": "balance", "kind": "number", "category": "bureau"},
        {"name": "inquiries", "kind": "integer", "category": "bureau", "low": 0, "high": 50},
        {"name": "housing", "kind": "category", "category": "bureau", "values": ["own", "rent", "free"]},
        {"name": "age", "kind": "integer", "category": "identity", "low": 18, "high": 100},
    )


@dataclass(frozen=True)
class Market:
    """People whose risk rises with late payments, inquiries and youth; one in six has no bureau history."""

    schema: FeatureSchema = field(default_factory=market_registry)

    def people(self, size: int, seed: int = 0) -> pd.DataFrame:
        generator = np.random.default_rng(seed)
        late = np.where(generator.random(size) < 0.5, 0, generator.poisson(5, size)).astype(float)
        balance = generator.lognormal(6, 2, size)
        inquiries = generator.poisson(3, size).astype(float)
        housing = generator.choice(["own", "rent", "free"], size, p=[0.5, 0.4, 0.1]).astype(object)
        age = generator.integers(18, 80, size).astype(float)
        risk = -3.2 + 0.35 * late + 0.3 * inquiries - 0.02 * (age - 45) + 0.6 * (housing == "rent")
        thin = generator.random(size) < 1 / 6
        return pd.DataFrame(
            {
                "late": late,
                "balance": np.where(thin, np.nan, balance),
                "inquiries": np.where(thin, np.nan, inquiries),
                "housing": np.where(thin, None, housing),
                "age": age,
                "bad": (generator.random(size) < expit(risk)).astype(int),
            }
        )

    def embedding(self, bins: int = 8) -> Embedding:
        grid, table = Grid(self.schema), self.people(2000, seed=99)
        histogram = grid.histogram(table, table["bad"].to_numpy(dtype=np.int64)).astype(float)
        return Embedding(grid, make_binning(grid, histogram, 1.0, bins))

    def plan(self, *kinds: ReleaseKind, noise: float = 1.0, bound: int = 1) -> Mechanism:
        """A histogram, unless they watch a model, and these releases, each as noisy; what they cost is no matter
        here."""
        first = () if WATCHING.intersection(kinds) else (ReleaseKind.HISTOGRAM,)
        local = ReleaseKind.TRAIN in kinds
        return Mechanism(
            kind="local" if local else "distributed",
            epsilon=1.0,
            delta=1e-5,
            releases=tuple(PlannedRelease(kind=k, noise_multiplier=noise) for k in (*first, *kinds)),
            clip_norm=2.0,
            bins=8,
            collusion_bound=bound,
            threshold=bound + LEAST_HONEST,
            hold_out=0.2 if ReleaseKind.EVALUATION in kinds else 0.0,
        )


@pytest.fixture(scope="session")
def market() -> Market:
    return Market()


@pytest.fixture(scope="session")
def embedding(market: Market) -> Embedding:
    return market.embedding()


@pytest.fixture(scope="session")
def asked(embedding: Embedding) -> Callable[..., Question]:
    """A sound question of every kind."""
    return partial(sound_question, embedding)
