"""Models made by hand, on features of every kind, and people who are awkward to score."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from support.world import schema_of

from credit.binning import Binning, FeatureBins
from credit.boosting import levels_of
from credit.embedding import Embedding
from credit.features import FeatureSchema
from credit.grid import Grid
from credit.models import KNOTS, CreditModel
from credit.pairs import PairTerm
from credit.values import numbers
from lending.law.features import LawOfDay

UNDER = LawOfDay(("CN",), date(2026, 11, 28))
LONG_CODE = "12345678901234567"  # 17 digits: a double would hold another
CODES = ("1", "2", "true", "2026-01-01", LONG_CODE, "own's", "自有")
BENT = tuple((KNOTS + 0.02 * KNOTS**2 / 2 - 0.3).tolist())
FEATURES: tuple[Mapping[str, Any], ...] = (
    {"name": "late", "kind": "integer", "category": "repayment", "low": 0, "high": 60, "unit": "times"},
    {"name": "balance", "kind": "number", "category": "bureau"},
    {"name": "used", "kind": "number", "category": "bureau", "low": 0.0, "high": 1.0},
    {"name": "fine", "kind": "number", "category": "bureau", "description": "seconds since the last query"},
    {"name": "housing", "kind": "category", "category": "bureau", "values": list(CODES)},
    {"name": "mono", "kind": "category", "category": "bureau", "values": ["x"]},
)
EDGES = {
    "late": (1.0, 2.0, 5.0),
    "balance": (-1e-300, 0.0, 0.1, 1e6, 2.0**53, 1e300),
    "used": (0.25, 0.5, 0.75),
    "fine": tuple(np.linspace(-3, 7, 41).tolist()),  # more than are compared one by one
}
BIN_OF_CODE = {"housing": (0, 1, 2, 3, 4, 5, 5, 5), "mono": (0, 1)}
ODD_NUMBERS: tuple[Any, ...] = (
    *(None, float("nan"), "", " nan ", 0.0, -0.0, 5e-324, 1.5, 3, 59, 60, 61, -1, 10**400, 2**53 + 1, 1e308),
    *(float("inf"), -float("inf"), "1e3", " 12 ", "-inf", "true", True, np.float32(0.1), np.int64(4)),
    *(Decimal("0.1"), Decimal("NaN"), np.datetime64("NaT")),
)
ODD_CODES: tuple[Any, ...] = (
    *(
        None,
        float("nan"),
        "",
        "  ",
        "\u3000",
        "NaN",
        "1",
        "1.0",
        "1.00",
        "01",
        " 1",
        1,
        1.0,
        Decimal("1.0"),
        np.int64(1),
    ),
    *("+1", "TRUE", True, False, "other", LONG_CODE, int(LONG_CODE), float(LONG_CODE), LONG_CODE + ".0"),
    *(date(2026, 1, 1), "2026-01-01", "own's", "自有", "自有 ", 1.5, "x", b"x", 2, "2.0"),
)


def schema() -> FeatureSchema:
    return schema_of(*FEATURES)


def model(kind: str = "scorecard", seed: int = 0, size: float = 0.6) -> CreditModel:
    """A model with random weights, and as a GAM with pairs of each sort of features."""
    generator = np.random.default_rng(seed)
    bins = []
    for one in FEATURES:
        name = one["name"]
        count = len(EDGES[name]) + 1 if name in EDGES else max(BIN_OF_CODE[name]) + 1
        frequency = generator.dirichlet(np.ones(count + 1))
        bins.append(FeatureBins(EDGES.get(name, ()), BIN_OF_CODE.get(name, ()), tuple(frequency.tolist())))
    embedding = Embedding(Grid(schema()), Binning(tuple(bins), 1000.0, 0.1))
    pairs = []
    for first, second in ((0, 1), (1, 4), (5, 2)) if kind == "gam" else ():
        levels = [levels_of(bins[at], 3, at < 4) for at in (first, second)]
        cells = (max(levels[0]) + 1) * (max(levels[1]) + 1)
        pairs.append(PairTerm(first, second, *levels, tuple(generator.normal(size=cells).tolist())))
    weights = generator.normal(size=embedding.width) * size
    return CreditModel(kind, embedding, weights, BENT, tuple(pairs))


def around(edges: tuple[float, ...]) -> list[float]:
    """Every edge, and the doubles beside it."""
    found = np.array(edges)
    return [*found, *np.nextafter(found, -np.inf), *np.nextafter(found, np.inf)]


def awkward(column: str) -> list[Any]:
    """What one column may be asked to say, at and beside every edge."""
    if column in BIN_OF_CODE:
        return list(ODD_CODES)
    return [*ODD_NUMBERS, *around(EDGES[column])]


def ordinary() -> dict[str, Any]:
    return {"late": 1, "balance": 2500.0, "used": 0.3, "fine": 2.5, "housing": "1", "mono": "x"}


def people(count: int, seed: int) -> list[dict[str, Any]]:
    """People with awkward values and ordinary ones, mixed."""
    generator = np.random.default_rng(seed)
    picked = {}
    for one in FEATURES:
        values = awkward(one["name"])
        picked[one["name"]] = [values[at] for at in generator.integers(0, len(values), count)]
    return [dict(zip(picked, row, strict=True)) for row in zip(*picked.values(), strict=True)]


def as_a_node_reads(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The table on which a node would train or score: numbers as doubles, codes as they stand."""
    table = {}
    for one in FEATURES:
        column = pd.Series([row[one["name"]] for row in rows], dtype=object)
        table[one["name"]] = column if one["kind"] == "category" else numbers(column).values
    return pd.DataFrame(table)


def many(count: int, seed: int) -> pd.DataFrame:
    """As many random people as one likes, quickly; a sixth of each column is missing."""
    generator = np.random.default_rng(seed)
    gone = {one["name"]: generator.random(count) < 1 / 6 for one in FEATURES}
    table = {
        "late": generator.poisson(2, count).astype(float),
        "balance": generator.lognormal(4, 6, count) - 1.0,
        "used": generator.random(count) * 1.2,
        "fine": generator.normal(2, 4, count),
        "housing": generator.choice([*CODES, "other"], count).astype(object),
        "mono": generator.choice(["x", "y"], count).astype(object),
    }
    return pd.DataFrame(
        {name: np.where(gone[name], None if name in BIN_OF_CODE else np.nan, column) for name, column in table.items()}
    )
