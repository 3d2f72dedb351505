"""What a value says: numbers, codes and moments, each a function of that one value.

A person's values must not depend on anybody else's (invariant 10), so nothing here is inferred over
a column: no type, no unit, no format. The functions over columns give for each value what the
functions of one value give, only faster; a column's *declared* type (a Parquet schema, a
database's) may choose the way, never its rows.

Every source is read by these functions, files, databases and the demo's tables alike, and so is
every check of one: there is no second parser of numbers or dates.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Moments = NDArray[np.int64]

NO_DATE, UNREADABLE_DATE = (int(np.iinfo(np.int64).min) + place for place in (0, 1))
"""Instead of a moment: there is none (as NaT is stored), or there is something that is no date."""
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1)
DAY_US = 86_400_000_000
EARLIEST, LATEST = (
    (moment - _EPOCH) // _MICROSECOND
    for moment in (datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999))
)
"""Moments beyond these count as these: a database's ``infinity`` is the latest there is."""
UNIX_FORMATS = {"unix": 1_000_000, "unix_ms": 1_000}
"""Declared formats of whole numbers that count from 1970, with their microseconds."""

_NUMBER = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?inf(?:inity)?", re.ASCII | re.I
)
_TRUTH = {"true": 1.0, "false": 0.0}
_PLAIN = "^[A-EG-MO-SU-Za-eg-mo-su-z]"
"""Text that begins so is its own code: it is no truth value, no number, and not missing."""
_WHOLE = re.compile(r"([+-]?[0-9]+)\.0+", re.ASCII)
_ISO_DATE = re.compile(r"[0-9]{4}(?:-[0-9]{2}-[0-9]{2}|[0-9]{4})(?:[T ].*)?", re.ASCII)
_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}", re.ASCII)
_FAR_YEAR = re.compile(r"\+?[0-9]{5,}-[0-9]{2}-[0-9]{2}(?:[T ].*)?", re.ASCII)
_BEFORE_CHRIST = re.compile(r"[0-9]{4,}-[0-9]{2}-[0-9]{2}.* BC", re.ASCII)
_LONGEST_WHOLE = 400
"""Digits of a whole number beyond which it is infinite, as it is for a double."""


# --- one value


def is_missing(value: object) -> bool:
    """Nothing is there: null, not a number, or text that says so ("nan") or has no character that
    can be seen."""
    if isinstance(value, str):
        return value.strip().lower() in {"", "nan"}
    if isinstance(value, Decimal):
        return value.is_nan()
    if isinstance(value, float | np.floating):
        return bool(np.isnan(value))
    if isinstance(value, np.datetime64):
        return bool(np.isnat(value))
    return value is None or value is pd.NA or value is pd.NaT


def number(value: object) -> float:
    """The double nearest to what a value says; NaN where it says no number.

    Text is a decimal number as programs write it, with a point and no separators; ``true`` and
    ``false`` are 1 and 0.
    """
    if isinstance(value, str):
        text = value.strip()
        if _NUMBER.fullmatch(text):
            return float(text)
        return _TRUTH.get(text.lower(), math.nan)
    if isinstance(value, Decimal) and value.is_nan():
        return math.nan
    if isinstance(value, bool | int | float | Decimal | np.number | np.bool_):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    return math.nan


def code(value: object) -> str | None:
    """A category as text, the same whether it is held as text, whole number, decimal, double or
    truth value."""
    if is_missing(value):
        return None
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, str):
        if value.lower() in _TRUTH:
            return value.lower()
        whole = _WHOLE.fullmatch(value)
        return whole[1] if whole else value
    if isinstance(value, int | np.integer):
        if abs(int(value)) < 10**_LONGEST_WHOLE:
            return str(int(value))
        return "inf" if value > 0 else "-inf"
    if isinstance(value, float | np.floating):
        return str(int(value)) if float(value).is_integer() else repr(float(value))
    if isinstance(value, Decimal):
        return _decimal_code(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return str(value)


def _decimal_code(value: Decimal) -> str:
    if not value.is_finite() or abs(value.adjusted()) > _LONGEST_WHOLE:
        return str(float(value))
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def moment(value: object, form: str | None = None) -> int:
    """Microseconds since 1970 in UTC, ``NO_DATE`` or ``UNREADABLE_DATE``.

    Args:
        form: what text and whole numbers are written in: codes of ``strptime`` ("%d/%m/%Y",
            "%Y年%m月%d日"), "unix" or "unix_ms". Without it text is ISO 8601 (a date, a date and
            time, a month) and a whole number is a date written in eight digits (20260630). What has
            no zone is in UTC.
    """
    if is_missing(value):
        return NO_DATE
    if isinstance(value, datetime):
        return _since_epoch(value)
    if isinstance(value, date):
        return _since_epoch(datetime(value.year, value.month, value.day))
    if isinstance(value, np.datetime64):
        return int(_scaled_moments(np.array([value]))[0])
    if isinstance(value, bool):
        return UNREADABLE_DATE
    if form in UNIX_FORMATS:
        counted = number(value)
        return _clamped(counted * UNIX_FORMATS[form]) if math.isfinite(counted) else UNREADABLE_DATE
    text = code(value)
    if text is None:
        return UNREADABLE_DATE
    if form is not None and not isinstance(value, str):  # a number has lost the zeros before it
        text = text.zfill(len(datetime(2000, 12, 31).strftime(form)))
    return _parsed(text.strip(), form)


def _parsed(text: str, form: str | None) -> int:
    try:
        if form is not None:
            return _since_epoch(datetime.strptime(text, form))  # without a zone it is UTC
        if _ISO_DATE.fullmatch(text):
            return _since_epoch(datetime.fromisoformat(text))
        if _MONTH.fullmatch(text):
            return _since_epoch(datetime.fromisoformat(f"{text}-01"))
    except (ValueError, OverflowError):
        return UNREADABLE_DATE
    if text.lower() in {"infinity", "+infinity"} or _FAR_YEAR.fullmatch(text):
        return LATEST
    return (
        EARLIEST
        if text.lower() == "-infinity" or _BEFORE_CHRIST.fullmatch(text)
        else UNREADABLE_DATE
    )


def _since_epoch(value: datetime) -> int:
    if value.tzinfo is None:
        return (value.replace(fold=0) - _EPOCH) // _MICROSECOND
    return _clamped((value - _EPOCH.replace(tzinfo=UTC)) // _MICROSECOND)


def _clamped(microseconds: float) -> int:
    return int(min(max(microseconds, EARLIEST), LATEST))


# --- columns


class Numbers(NamedTuple):
    """``values`` (rows,), NaN where there is none; ``unreadable`` says where something is there
    that is no number."""

    values: Floats
    unreadable: NDArray[np.bool_]


def numbers(column: pd.Series) -> Numbers:
    """:func:`number` of each value."""
    read = _typed(column)
    if isinstance(read, np.ndarray) and read.dtype.kind in "biuf":
        values = read.astype(np.float64)
        return Numbers(values, np.zeros(len(values), dtype=bool))
    if isinstance(read, pa.Array) and _is_numeric(read.type):
        return Numbers(_doubles(read), np.zeros(len(read), dtype=bool))
    values = _each(read, number, np.float64)
    present = _each(read, lambda value: not is_missing(value), np.bool_)
    return Numbers(values, present & np.isnan(values))


def _doubles(read: pa.Array) -> Floats:
    if read.null_count == 0:
        return np.asarray(read.to_numpy(zero_copy_only=False), np.float64)
    absent = read.is_null().to_numpy(zero_copy_only=False)
    there = read.fill_null(pa.scalar(0).cast(read.type)).to_numpy(zero_copy_only=False)
    return np.where(absent, np.nan, there.astype(np.float64))


def by_code(
    column: pd.Series, one: Callable[[str | None], object], kind: type[np.generic]
) -> NDArray[Any]:
    """``one`` of the code of each value, which is asked once where values are alike."""
    return np.asarray(_each(_typed(column), lambda value: one(code(value)), kind))


def codes(column: pd.Series) -> NDArray[np.object_]:
    """:func:`code` of each value: text or None."""
    read = _typed(column)
    if isinstance(read, pa.Array) and pa.types.is_string(read.type) and is_text(read):
        found = read.to_numpy(zero_copy_only=False)
        odd = ~plain_text(read)
        if odd.any():
            found[odd] = _each(read.filter(pa.array(odd)), code, np.object_)
    else:
        found = _each(read, code, np.object_)
    return np.asarray(found)


def plain_text(read: pa.Array) -> NDArray[np.bool_]:
    """Where text is its own code, by how it begins."""
    found = pc.fill_null(pc.match_substring_regex(read, _PLAIN), False)
    return np.asarray(found.to_numpy(zero_copy_only=False))


def is_text(read: pa.Array) -> bool:
    """Whether it holds what it is declared to hold; a file may not."""
    try:
        read.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def moments(column: pd.Series, form: str | None = None) -> Moments:
    """:func:`moment` of each value."""
    read = _typed(column)
    if isinstance(read, np.ndarray) and read.dtype.kind == "M":
        return _scaled_moments(read)
    if isinstance(read, pa.Array) and (
        pa.types.is_timestamp(read.type) or pa.types.is_date(read.type)
    ):
        unit = (
            read.type.unit
            if pa.types.is_timestamp(read.type)
            else "D"
            if read.type == pa.date32()
            else "ms"
        )
        counted = (
            read.cast(pa.int32() if unit == "D" else pa.int64()).cast(pa.int64()).fill_null(NO_DATE)
        )
        return _scaled_moments(counted.to_numpy(zero_copy_only=False).view(f"datetime64[{unit}]"))
    found: Moments = _each(read, partial(moment, form=form), np.int64)
    return found


def as_dates(found: Moments) -> NDArray[np.datetime64]:
    """Moments as a column of dates; whatever is no date is missing there."""
    return np.where(found == UNREADABLE_DATE, NO_DATE, found).view("datetime64[us]")


def _scaled_moments(values: NDArray[np.datetime64]) -> Moments:
    """Microseconds, whatever the unit, without overflow."""
    unit, step = np.datetime_data(values.dtype)
    if unit not in {"D", "s", "ms", "us", "ns"} or step != 1:
        raise ValueError(f"a column of dates in units of {step} {unit}")
    counted = values.view(np.int64)
    if unit == "ns":
        found = counted // 1000
    else:
        each = {"D": DAY_US, "s": 1_000_000, "ms": 1_000, "us": 1}[unit]
        found = np.clip(counted, -(-EARLIEST // each), LATEST // each) * each
    return np.where(counted == NO_DATE, NO_DATE, np.clip(found, EARLIEST, LATEST))


def _is_numeric(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    )


def _typed(column: pd.Series) -> np.ndarray[Any, Any] | pa.Array:
    """A column as it is declared: numbers or dates of numpy, an array of Arrow, or objects."""
    kind = column.dtype
    if isinstance(kind, pd.ArrowDtype):
        read = pa.array(column.array)
        return read.combine_chunks() if isinstance(read, pa.ChunkedArray) else read
    if isinstance(kind, pd.DatetimeTZDtype):
        return column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
    if isinstance(kind, np.dtype) and kind.kind in "biufM":
        return column.to_numpy()
    return column.astype(object).to_numpy()


def _each(
    read: np.ndarray[Any, Any] | pa.Array, one: Callable[[Any], object], kind: type[np.generic]
) -> Any:
    """``one`` of every value. Values that are alike in type and all else are looked at once."""
    if isinstance(read, pa.Array):
        if (
            pa.types.is_string(read.type)
            or pa.types.is_large_string(read.type)
            or pa.types.is_dictionary(read.type)
        ):
            coded = read if pa.types.is_dictionary(read.type) else read.dictionary_encode()
            became = [one(value) for value in _objects(coded.dictionary)] + [one(None)]
            which = (
                coded.indices.cast(pa.int64())
                .fill_null(len(became) - 1)
                .to_numpy(zero_copy_only=False)
            )
            return np.array(became, dtype=kind)[which]
        values = _objects(read)
    elif read.dtype.kind == "M":
        values = _moment_texts(_scaled_moments(read))
    elif read.dtype == object and pd.api.types.infer_dtype(read, skipna=True) == "string":
        which, different = pd.factorize(read)  # what is missing is the last, at -1
        return np.array([*map(one, different), one(None)], dtype=kind)[which]
    else:
        values = read.tolist()
    known: dict[tuple[type, Any], Any] = {}

    def remembered(value: Any) -> Any:
        # equal ones may be written differently
        plain = type(value) in (str, int, float, bool, bytes)
        key = (type(value), value if plain else repr(value))
        try:
            if key not in known:
                known[key] = one(value)
            return known[key]
        except TypeError:  # it cannot be hashed: a list, a mapping
            return one(value)

    return np.fromiter((remembered(value) for value in values), dtype=kind, count=len(values))


def _objects(read: pa.Array) -> list[Any]:
    """Python's objects; text instead of those that Python may not be able to hold."""
    kind = read.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _moment_texts(moments(pd.Series(pd.arrays.ArrowExtensionArray(read))))
    if pa.types.is_nested(kind) or pa.types.is_temporal(kind):
        return [
            None if absent else "(neither text nor number)" for absent in read.is_null().to_pylist()
        ]
    # a file may hold what is no text
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return [
            None if one is None else one.decode(errors="replace")
            for one in read.cast(pa.large_binary()).to_pylist()
        ]
    return list(read.to_pylist())


def _moment_texts(found: Moments) -> list[str | None]:
    """In ISO 8601."""
    return [
        None if one == NO_DATE else text
        for one, text in zip(found, as_dates(found).astype(str), strict=True)
    ]
