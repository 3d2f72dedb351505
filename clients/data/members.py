"""Members of a roster, found by name among millions of rows.

A name in a dictionary of ten million costs a microsecond, most of it waiting for memory. Arrow
looks up whole columns many times faster, but for each call it first reads all members; so a
Parquet file's names are looked up some millions at a time, before anything else of it is read, and
kept by the digest of each chunk of names. Whoever reads the file again finds what was found,
chunk by chunk, and only where the chunk is the same to the last byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import repeat

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from credit.values import codes, is_text, plain_text

STRANGER = -1
ROWS_AT_ONCE = 1 << 22
Places = NDArray[np.int64]


class Members:
    """Different names; a member's place is where its name stands among them."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._learned: dict[bytes, NDArray[np.int32]] = {}

    def __len__(self) -> int:
        return len(self._names)

    @cached_property
    def _by_name(self) -> dict[str, int]:
        return dict(zip(self._names, range(len(self)), strict=True))

    def places(self, column: pd.Series) -> Places:
        """(rows,) the place of the member whom each value names (:func:`credit.values.code`), or
        ``STRANGER``."""
        text = _text(column)
        if text is not None and (known := self._learned.get(_digest(text))) is not None:
            return known.astype(np.int64)
        return self._looked_up(codes(column))

    def _looked_up(self, names: NDArray[np.object_]) -> Places:
        return np.fromiter(map(self._by_name.get, names, repeat(STRANGER)), np.int64, len(names))

    def learn(self, columns: Iterable[pd.Series]) -> None:
        """Find whom the values of these columns name, so that :meth:`places` of one of them
        answers at once."""
        waiting: list[pa.Array] = []
        rows = 0
        for column in columns:
            text = _text(column)
            if text is None or not is_text(text):  # bytes that are no text are read otherwise
                continue
            waiting.append(text)
            rows += len(text)
            if rows >= ROWS_AT_ONCE:
                self._learn(waiting)
                waiting, rows = [], 0
        self._learn(waiting)

    def _learn(self, texts: Sequence[pa.Array]) -> None:
        if not texts:
            return
        found = pc.index_in(pa.chunked_array(texts), value_set=pa.array(self._names, pa.string()))
        everybody = found.fill_null(STRANGER).to_numpy().astype(np.int32)
        cuts = np.cumsum([len(text) for text in texts])[:-1]
        for text, whose in zip(texts, np.split(everybody, cuts), strict=True):
            odd = ~plain_text(text)
            if odd.any():  # "12.0" is the code "12"
                whose[odd] = self._looked_up(codes(pd.Series(_series(text.filter(pa.array(odd))))))
            self._learned[_digest(text)] = whose


def _text(column: pd.Series) -> pa.Array | None:
    """A column that is declared to be text, as Arrow holds it; others are not learned."""
    if not isinstance(column.dtype, pd.ArrowDtype) or column.dtype.pyarrow_dtype != pa.string():
        return None
    read = pa.array(column.array)
    return read.combine_chunks() if isinstance(read, pa.ChunkedArray) else read


def _series(text: pa.Array) -> pd.arrays.ArrowExtensionArray:
    return pd.arrays.ArrowExtensionArray(pa.chunked_array([text]))


def _digest(text: pa.Array) -> bytes:
    """Of everything that says what is in it. The same text may have two, never one digest two
    texts."""
    hashed = hashlib.blake2b(f"{len(text)} {text.offset}".encode(), digest_size=32)
    for buffer in text.buffers():
        hashed.update(f" {-1 if buffer is None else buffer.size} ".encode())
        if buffer is not None:
            hashed.update(buffer)
    return hashed.digest()
