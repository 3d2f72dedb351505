"""Whom a name stands for: looked up at once or one by one, the answer is the same."""

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

NAMES = ["v1.aa", "v1.ab", "true", "12", "é", "名", "nan-ish", "x"]
written = st.sampled_from([*NAMES, "12.0", "True", "TRUE", "12.00", "nan", " ", "", "v1.ac", "v1.a", "V1.aa", "x "])


def text(values) -> pd.Series:
    return pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([pa.array(values, pa.string())])))


def expected(values) -> list[int]:
    return [NAMES.index(code(value)) if code(value) in NAMES else STRANGER for value in values]


@given(st.lists(st.lists(st.none() | written | st.text(max_size=4), min_size=1, max_size=9), max_size=5), st.booleans())
def test_what_was_learned_is_what_each_value_says(columns, learned):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(members, "ROWS_AT_ONCE", 6)
        roster = Members(NAMES)
        if learned:
            roster.learn(map(text, columns))
            patch.setattr(members, "codes", lambda _: pytest.fail("it was learned already"))
        for column in columns:
            assert roster.places(text(column)).tolist() == expected(column)


def test_columns_of_other_types_are_looked_up_as_they_come():
    roster = Members(NAMES)
    numbers = pd.Series([12, 13])
    roster.learn([numbers, text(["x"])])
    assert roster.places(numbers).tolist() == [NAMES.index("12"), STRANGER]
    assert roster.places(pd.Series(["x", None], dtype=object)).tolist() == [NAMES.index("x"), STRANGER]


def test_text_that_is_no_text_is_nobody_and_hides_nobody():
    raw = pa.array([b"x", b"\xff\xfe", b"v1.aa", b"x\xff"]).cast(pa.string(), safe=False)
    column = pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([raw])))
    assert Members(["x\ufffd"]).places(column).tolist()[-1] == 0, "what is no text is shown as such"
    roster = Members(["x\ufffd", *NAMES])
    roster.learn([column])
    assert roster.places(column).tolist()[-1] == 0
    roster = Members(NAMES)
    slowly = roster.places(column).tolist()
    roster.learn([column])
    assert slowly == roster.places(column).tolist() == [NAMES.index("x"), STRANGER, NAMES.index("v1.aa"), STRANGER]


def test_a_column_that_has_changed_since_is_looked_up_anew():
    roster = Members(NAMES)
    roster.learn([text(["x", "v1.aa"])])
    assert roster.places(text(["v1.aa", "x"])).tolist() == [0, NAMES.index("x")]
    assert roster.places(text(["x", None])).tolist() == [NAMES.index("x"), STRANGER]


@given(st.lists(st.none() | st.text(max_size=3), max_size=6), st.lists(st.none() | st.text(max_size=3), max_size=6))
def test_one_digest_never_stands_for_two_columns(one, other):
    digests = [members._digest(pa.array(values, pa.string())) for values in (one, other)]
    assert (digests[0] == digests[1]) <= (one == other)
    assert members._digest(pa.array(one, pa.string())) == digests[0]


def test_a_part_of_an_array_is_not_taken_for_another_part():
    whole = pa.array(["x", "v1.aa", "x", "v1.ab"])
    parts = [whole.slice(0, 2), whole.slice(2, 2)]
    roster = Members(NAMES)
    roster.learn(pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([part]))) for part in parts)
    found = [roster.places(pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([part])))) for part in parts]
    assert np.concatenate(found).tolist() == expected(["x", "v1.aa", "x", "v1.ab"])
