"""Four lenders' tables, small enough to attack a whole campaign in seconds."""

import numpy as np
import pandas as pd
from support.world import schema_of

from credit.planning import Training, plan_mechanism
from privacy.charges import Budget

REGISTRY = schema_of(
    *({"name": f"n{i}", "kind": "number", "category": "bureau"} for i in range(6)),
    {"name": "late", "kind": "integer", "category": "repayment"},
    {"name": "grade", "kind": "category", "category": "bureau", "values": ["a", "b", "c"]},
)
PLAN = plan_mechanism(Budget(1.0, 1e-5), Training("scorecard", 4, collusion_bound=0, spare_attempts=2, steps=3))


def people(count, seed):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({f"n{i}": rng.lognormal(3, 1, count) for i in range(6)})
    frame["late"], frame["grade"] = rng.poisson(1, count), rng.choice(["a", "b", "c"], count)
    return frame.assign(bad=(rng.random(count) < 0.2).astype(int))


TABLES = [people(400, seed) for seed in range(4)]
