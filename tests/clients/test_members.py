"""Whom a name stands for: looked up by the column or one by one, the answer is the same."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.data import members
from clients.data.members import STRANGER, Members
from credit.values import code

MIXED = ["v1.aa", "v1.ab", "true", "12", "é", "名", "nan-ish", "x"]
ALIKE = ["v1.aaaaaaaa", "v1.aaaaaaab", "v1.baaaaaaa", "v1.a\0aaaaaa", "v1.aaaaaa\0\0", "v1.aaaaaaa\0"]
HOSTILE = [
    *MIXED, *ALIKE, "12.0", "True", "TRUE", "12.00", "nan", " ", "", "v1.ac", "v1.a", "V1.aa", "x ", "v1.aaaaaaaé",
    "v1.aaaaaaaaa", "v1.aaaaaaa", " v1.aaaaaaaa", "V1.aaaaaaaa", "v1.aaaaaa\0", "v1.aaaaaaac",
]  # fmt: skip
written = st.none() | st.sampled_from(HOSTILE) | st.text(max_size=12)


def series(array: pa.Array) -> pd.Series:
    return pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([array])))


HOLDINGS = {
    "text": lambda values: pa.array(values, pa.string()),
    "large text": lambda values: pa.array(values, pa.large_string()),
    "a dictionary": lambda values: pa.array(values, pa.string()).dictionary_encode(),
    "a dictionary of large text": lambda values: pa.array(values, pa.large_string()).dictionary_encode(),
    "a dictionary with a null in it": lambda values: pa.DictionaryArray.from_arrays(
        pa.array(range(len(values)), pa.int32()), pa.array(values, pa.string())
    ),
    "part of an array": lambda values: pa.array(["v1.aaaaaaaa", None, *values, "x"], pa.string())[2:-1],
    "bytes": lambda values: pa.array([None if value is None else value.encode() for value in values], pa.binary()),
}


@pytest.mark.parametrize("hold", HOLDINGS.values(), ids=list(HOLDINGS))
@pytest.mark.parametrize("roster", [MIXED, ALIKE], ids=["mixed", "alike"])
@given(values=st.lists(written, max_size=40))
def test_a_column_says_whom_each_value_says(hold, roster, values):
    said = [code(value) for value in hold(values).to_pylist()]
    expected = [roster.index(one) if one in roster else STRANGER for one in said]
    assert Members(roster).places(series(hold(values))).tolist() == expected


@given(st.integers(0, 2**32), st.integers(1, 300))
def test_members_who_would_stand_in_one_place_are_told_apart(seed, count):
    chance = np.random.default_rng(seed)
    roster = [f"v1.{number:09d}" for number in chance.permutation(2 * count)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(members._Table, "_slots", lambda _, rows: np.zeros(len(rows), np.int64))
        found = Members(roster[:count])
        assert found.places(series(pa.array(roster))).tolist() == [*range(count), *[STRANGER] * count]


@pytest.mark.parametrize("size", [0, 1, 2, 5, 65_536, 200_000])
def test_everybody_is_found_at_every_size_and_nobody_else(size):
    roster = [f"v1.{number:043d}" for number in range(size)]
    others = [f"v1.{number:043d}" for number in range(size, size + 9)]
    column = series(pa.array([*roster[::-1], *others]))
    assert Members(roster).places(column).tolist() == [*range(size)[::-1], *[STRANGER] * 9]


@pytest.mark.parametrize("name", ["12345678", "true4567", "nan45678", " 2345678", "v1.aaaaé", "v1.aaaaaa"])
def test_a_roster_with_a_name_that_may_be_written_otherwise_is_looked_up_by_what_values_say(name):
    roster = ["v1.aaaaa", name]
    assert Members(roster)._table is None
    assert Members(roster).places(series(pa.array([f"{name}.0", name, "v1.aaaaa"]))).tolist()[1:] == [1, 0]


def test_columns_of_other_types_are_looked_up_one_by_one():
    roster = Members(MIXED)
    assert roster.places(pd.Series([12, 13])).tolist() == [MIXED.index("12"), STRANGER]
    assert roster.places(pd.Series(["x", None], dtype=object)).tolist() == [MIXED.index("x"), STRANGER]
    assert Members(ALIKE).places(pd.Series([ALIKE[1], None, 12], dtype=object)).tolist() == [1, STRANGER, STRANGER]


def test_text_that_is_no_text_is_nobody_and_hides_nobody():
    raw = [b"x", b"\xff\xfe", b"v1.aaaaaaaa", b"v1.aaaaaaa\xff", b"x\xff"]
    column = series(pa.array(raw).cast(pa.string(), safe=False))
    assert Members(["x\ufffd"]).places(column).tolist()[-1] == 0, "what is no text is shown as such"
    assert Members(ALIKE).places(column).tolist() == [STRANGER, STRANGER, 0, STRANGER, STRANGER]
    assert Members(MIXED).places(column).tolist() == [MIXED.index("x"), *[STRANGER] * 4]
