"""What a value says depends on that value alone, whatever stands beside it and however its column is held."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from credit.values import (
    EARLIEST,
    LATEST,
    NO_DATE,
    UNREADABLE_DATE,
    as_dates,
    by_code,
    code,
    codes,
    moment,
    moments,
    number,
    numbers,
)

EAST = timezone(timedelta(hours=8))
DAY = 86_400_000_000

awkward = st.sampled_from([
    None, math.nan, math.inf, -math.inf, -0.0, 0, 1, 1.0, True, False, 20260630, 1_700_000_000, 10**17 + 1,
    float(10**17), 10**500, Decimal("1e400"), Decimal("NaN"), Decimal("1.50"), b"\xff", [1], {},
    "", " ", "1", "1.0", "01", "true", "True", "n.a.", "1,234", "9999-12-31", "2026-06-30T10:00:00.1234567Z",
    "30/06/2026", "2026年6月30日", "20260630", "infinity", "-infinity", "10000-01-01", "\U0001f600",
    datetime(9999, 12, 31), datetime(1, 1, 1), date(2026, 6, 30), datetime(2026, 6, 30, tzinfo=UTC),
    time(12, tzinfo=UTC), time(20, tzinfo=EAST), (1,), (1.0,),
    pd.NaT, pd.NA, pd.Timestamp("2026-06-30 10:00:00.123456789"),
])  # fmt: skip
anything = awkward | st.text(max_size=6) | st.integers() | st.floats() | st.decimals() | st.datetimes() | st.booleans()


def same(one: object, other: object) -> bool:
    return one == other or (one != one and other != other)


@example([1, True, 1.0, Decimal(1)])
@example([False, 0])
@example([time(12, tzinfo=UTC), time(20, tzinfo=EAST)])
@example([time(20, tzinfo=EAST), time(12, tzinfo=UTC)])
@given(st.lists(anything, min_size=1, max_size=8))
def test_an_object_says_the_same_whatever_stands_beside_it(values):
    column = pd.Series(values, dtype=object)
    read, unreadable = numbers(column)
    for place, value in enumerate(values):
        alone = pd.Series([value], dtype=object)
        assert same(read[place], number(value)) and same(read[place], numbers(alone).values[0])
        assert unreadable[place] == numbers(alone).unreadable[0]
        assert codes(column)[place] == code(value) == codes(alone)[0] == by_code(column, lambda one: one, object)[place]
        for form in (None, "%d/%m/%Y", "unix"):
            assert moments(column, form)[place] == moment(value, form) == moments(alone, form)[0]


TYPES = {
    pa.int64(): st.integers(-(2**63), 2**63 - 1), pa.uint64(): st.integers(0, 2**64 - 1), pa.int8(): st.integers(-9, 9),
    pa.float64(): st.floats(), pa.float32(): st.floats(width=32), pa.bool_(): st.booleans(),
    pa.string(): st.text(max_size=5) | awkward.filter(lambda v: isinstance(v, str)), pa.binary(): st.binary(max_size=4),
    pa.decimal128(38, 2): st.decimals(-(10**30), 10**30, places=2), pa.timestamp("us"): st.datetimes(),
    pa.timestamp("s"): st.integers(-(2**62), 2**62), pa.timestamp("ns"): st.integers(-(2**62), 2**62),
    pa.timestamp("ms", "Asia/Shanghai"): st.integers(-(2**62), 2**62), pa.date32(): st.integers(-(2**31), 2**31 - 1),
    pa.date64(): st.dates(), pa.list_(pa.int64()): st.lists(st.integers(0, 3), max_size=2), pa.time64("us"): st.times(),
    pa.duration("s"): st.integers(0, 9), pa.null(): st.none(),
    pa.dictionary(pa.int32(), pa.string()): st.sampled_from(["a", "b", " "]),
}  # fmt: skip


@given(st.data(), st.sampled_from(list(TYPES)))
def test_a_value_of_a_declared_type_says_the_same_whatever_stands_beside_it(data, kind):
    values = data.draw(st.lists(TYPES[kind] | st.none(), min_size=1, max_size=6))
    if pa.types.is_timestamp(kind) or kind == pa.date32():
        plain = pa.int32() if kind == pa.date32() else pa.int64()
        array = pa.array(values, type=plain).cast(kind) if isinstance(values[0], int) else pa.array(values, type=kind)
    else:
        array = pa.array(values, type=kind)
    whole = pd.Series(pd.arrays.ArrowExtensionArray(array))
    for place in range(len(values)):
        alone = whole.iloc[[place]]
        assert same(numbers(whole).values[place], numbers(alone).values[0])
        assert numbers(whole).unreadable[place] == numbers(alone).unreadable[0]
        assert codes(whole)[place] == codes(alone)[0] == by_code(whole, lambda one: one, object)[place]
        assert moments(whole)[place] == moments(alone)[0]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@given(st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=5))
def test_dates_of_numpy_keep_their_own_moments(unit, values):
    column = pd.Series(np.array(values).view(f"M8[{unit}]"))
    for place in range(len(values)):
        assert moments(column)[place] == moments(column.iloc[[place]])[0]
    assert (moments(column) >= EARLIEST).all() and (moments(column) <= LATEST).all()


def test_one_moment_in_nanoseconds_takes_no_far_date_from_anybody():
    """At 0.5.0 a single row with seven fractional digits made 9999-12-31 missing for everybody else."""
    beside = ["9999-12-31"] * 3 + ["2026-01-01T00:00:00.0000001"]
    assert moments(pd.Series(beside, dtype=object))[:3].tolist() == [moment("9999-12-31")] * 3
    assert as_dates(moments(pd.Series(beside)))[0] == np.datetime64("9999-12-31")


def test_a_missing_value_changes_no_code_beside_it():
    whole = pa.array([12345678901234567, None])
    assert codes(pd.Series(pd.arrays.ArrowExtensionArray(whole)))[0] == "12345678901234567"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        *((text, math.nan) for text in ("1_000", "1,000", "0,5", "１２", "nan", "NaN ", "$5", "0x10")),
        *((value, math.nan) for value in (Decimal("sNaN"), b"1")),
        ("12", 12),
        (" 1.5e3 ", 1500),
        ("-.5", -0.5),
        ("inf", math.inf),
        ("True", 1),
        (True, 1),
        (10**400, math.inf),
        (-(10**400), -math.inf),
        (Decimal("0.1"), 0.1),
    ],
)
def test_numbers(value, said):
    assert same(number(value), said)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        *((one, "1") for one in (1, 1.0, "1.0", "1", Decimal("1.00"))),
        (1.5, "1.5"),
        (Decimal("1.50"), "1.5"),
        (-0.0, "0"),
        (True, "true"),
        ("TRUE", "true"),
        ("v2.0", "v2.0"),
        ("a ", "a "),
        (" ", None),
        (math.inf, "inf"),
        (Decimal("1e999999"), "inf"),
        (10**500, "inf"),
        (-(10**500), "-inf"),
        (date(2026, 6, 30), "2026-06-30"),
    ],
)
def test_codes(value, said):
    assert code(value) == said


JUNE = (date(2026, 6, 30) - date(1970, 1, 1)).days * DAY


@pytest.mark.parametrize(
    ("value", "form", "said"),
    [
        *((value, None, JUNE) for value in ("2026-06-30", "20260630", 20260630, 20260630.0, date(2026, 6, 30))),
        *((text, None, JUNE) for text in ("2026-06-30T08:00:00+08:00", "2026-06-30 00:00:00+00")),
        (datetime(2026, 6, 30, 8, tzinfo=EAST), None, JUNE),
        *((text, None, UNREADABLE_DATE) for text in ("30/06/2026", "2026", "20261301", "0044-03-15 BC")),
        *((value, None, UNREADABLE_DATE) for value in (1_782_777_600, 2026, 0, True)),
        *((nothing, None, NO_DATE) for nothing in ("", None, pd.NaT)),
        ("2026-06", None, JUNE - 29 * DAY),
        ("30/6/2026", "%d/%m/%Y", JUNE),
        ("2026年6月30日", "%Y年%m月%d日", JUNE),
        ("2026-06-30", "%d/%m/%Y", UNREADABLE_DATE),
        ("1782777600", "unix", JUNE),
        (1_782_777_600_000, "unix_ms", JUNE),
        ("infinity", None, LATEST),
        ("10000-01-01", None, LATEST),
        ("-infinity", None, EARLIEST),
        ("2026-06-30 12", "%Y-%m-%d", UNREADABLE_DATE),
        ("9999-12-31T23:59:59.999999", None, LATEST),
    ],
)
def test_moments(value, form, said):
    assert moment(value, form) == said


def test_text_that_is_no_text_is_a_value_like_any_other():
    """Parquet files do not promise that their text is UTF-8."""
    offsets, held = pa.array([0, 1, 2], pa.int32()).buffers()[1], pa.py_buffer(b"1\xff")
    array = pa.StringArray.from_buffers(2, offsets, held)
    column = pd.Series(pd.arrays.ArrowExtensionArray(array))
    assert codes(column).tolist() == ["1", "\ufffd"] and numbers(column).values[0] == 1


def test_a_whole_number_in_a_declared_format_has_its_zeros():
    assert moment(1122026, "%d%m%Y") == moment("01122026", "%d%m%Y") == moment("2026-12-01")
    assert moment("Vancouver BC") == UNREADABLE_DATE
