"""How many edges a value has passed: each way of counting gives what a search gives, at every double."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.world import schema_of

from credit.dyadic import LARGEST, SMALLEST
from credit.edges import FEW, Edges
from credit.grid import FeatureCells

SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, SMALLEST, -SMALLEST, LARGEST, -LARGEST, 1.0, -1.0, 2.0**-1022]


def near(edges: np.ndarray) -> np.ndarray:
    """The edges, and the doubles just below and above each."""
    return np.concatenate([edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf), SPECIAL, -edges])


def searched(edges: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(values), 0, np.searchsorted(edges, values, side="right"))


def ways(edges: np.ndarray) -> str:
    return "compared" if len(edges) <= FEW else "searched" if Edges(edges)._by_bits is None else "by bits"


rising = st.lists(st.floats(allow_nan=False, allow_infinity=False), unique=True, max_size=80).map(sorted)


@given(rising, st.lists(st.floats()))
def test_any_edges_are_counted_as_a_search_counts_them(edges, values):
    edges, values = np.array(edges) + 0.0, np.concatenate([near(np.array(edges)), values])
    edges = np.unique(edges)
    assert Edges(edges).passed(values).tolist() == searched(edges, values).tolist()


GRIDS = [
    {"kind": "number"}, {"kind": "integer"}, {"kind": "number", "low": 0}, {"kind": "integer", "low": 0},
    {"kind": "number", "low": -1e300, "high": 1e-5}, {"kind": "integer", "low": -50, "high": 1e12},
    {"kind": "number", "low": 300, "high": 850}, {"kind": "integer", "low": 0, "high": 1},
    {"kind": "number", "high": -7},
]  # fmt: skip


@pytest.mark.parametrize("declared", GRIDS, ids=str)
def test_a_grids_cells_are_those_of_a_search(declared):
    schema = schema_of({"name": "x", "category": "bureau", **declared})
    cells = FeatureCells(schema.features[0])
    edges = cells.edges
    assert ways(edges) == ("by bits" if len(edges) > FEW else "compared"), "no grid needs a search"
    drawn = np.random.default_rng(1).integers(0, 2**64, 100_000, dtype=np.uint64).view(np.float64)
    values = np.concatenate([near(edges), drawn])
    assert Edges(edges).passed(values).tolist() == searched(edges, values).tolist()


@pytest.mark.parametrize("first", [-LARGEST, -1e300])
def test_minus_infinity_has_passed_nothing(first):
    edges = np.array([first, *np.ldexp(1.0, np.arange(FEW + 9))])
    assert ways(edges) == ("searched" if first == -LARGEST else "by bits")
    assert Edges(edges).passed(np.array([-np.inf, np.nan, first, np.inf])).tolist() == [0, 0, 1, len(edges)]
