"""Members of a roster, found by name among millions of rows.

A name in a dictionary of ten million costs a microsecond and a hundred bytes. Pseudonyms are all of
one length and of plain characters, so that a roster of them is a matrix of bytes, and whole columns
are looked up in it at once: each name's hash says where it could stand in a table, and it stands
there if all of its bytes do. Rosters of other names, and columns of other types than text, take the
dictionary; both ways find the same.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import cached_property
from itertools import repeat

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from credit.values import codes, plain_text

STRANGER = -1
NAMES_AT_ONCE = 1 << 16
WORD = 8
"""Bytes of a name that are hashed together."""
Places = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Words = NDArray[np.uint64]


class Members:
    """Different names; a member's place is where its name stands among them."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        rows = _matrix(names)
        self._table = None if rows is None else _Table(rows)

    def __len__(self) -> int:
        return len(self._names)

    @cached_property
    def _by_name(self) -> dict[str, int]:
        return dict(zip(self._names, range(len(self)), strict=True))

    def places(self, column: pd.Series) -> Places:
        """(rows,) the place of the member whom each value names (:func:`credit.values.code`), or
        ``STRANGER``."""
        if self._table is not None and isinstance(column.dtype, pd.ArrowDtype):
            read = pa.array(column.array)
            text = read.combine_chunks() if isinstance(read, pa.ChunkedArray) else read
            if _is_text(text.type):
                return self._table.places(text)
            if pa.types.is_dictionary(text.type) and _is_text(text.type.value_type):
                theirs = np.append(self._table.places(text.dictionary), STRANGER)
                which = text.indices.cast(pa.int64()).fill_null(len(theirs) - 1)
                return np.asarray(theirs[which.to_numpy(zero_copy_only=False)])
        return self._looked_up(codes(column))

    def _looked_up(self, names: NDArray[np.object_]) -> Places:
        return np.fromiter(map(self._by_name.get, names, repeat(STRANGER)), np.int64, len(names))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _matrix(names: Sequence[str]) -> Bytes | None:
    """(names, width) the bytes of names of one length, each of which is the code of no text but
    itself (:func:`credit.values.plain_text`); None if not all are so."""
    width = len(names[0]) if len(names) else 0
    if width < WORD:
        return None
    found = np.empty((len(names), width), np.uint8)
    for start in range(0, len(names), NAMES_AT_ONCE):
        some = names[start : start + NAMES_AT_ONCE]
        text = "".join(some)
        if {*map(len, some)} != {width} or not text.isascii():
            return None
        if not plain_text(pa.array(set(text[::width]))).all():
            return None
        found[start : start + len(some)] = np.frombuffer(text.encode(), np.uint8).reshape(-1, width)
    return found


class _Table:
    """Open addressing, at most two thirds full: a name stands in the first free place from the one
    that its hash says.

    The hash is keyed anew each time. Whoever chose names that differ in few places alone could
    still make their own node slow; what is found is compared whole, and stays right.
    """

    def __init__(self, names: Bytes) -> None:
        self._width = names.shape[1]
        self._bits = (3 * len(names) // 2).bit_length()
        self._keys = [
            np.uint64(secrets.randbits(64) | 1) for _ in range(-(-self._width // WORD) + 1)
        ]
        self._names = self._wholes(names)
        self._held = np.full(1 << self._bits, STRANGER, np.int32)
        for start in range(0, len(names), NAMES_AT_ONCE):
            self._add(start, names[start : start + NAMES_AT_ONCE])

    def _add(self, start: int, names: Bytes) -> None:
        slots = self._slots(names)
        places = np.arange(start, start + len(names), dtype=np.int32)
        while places.size:
            free = self._held[slots] == STRANGER
            self._held[slots[free]] = places[free]  # of several the last that is written stays
            waits = self._held[slots] != places
            places, slots = places[waits], self._next(slots[waits])

    def places(self, text: pa.Array) -> Places:
        found = np.full(len(text), STRANGER, np.int64)
        if not len(text):
            return found
        kind = np.int32 if pa.types.is_string(text.type) else np.int64
        _, offsets, _ = text.buffers()
        ends = np.frombuffer(offsets, kind)[text.offset : text.offset + len(text) + 1]
        fits = np.diff(ends) == self._width
        fits &= text.is_valid().to_numpy(zero_copy_only=False)
        if not fits.any():
            return found
        if not fits.all():
            found[fits] = self.places(text.filter(pa.array(fits)))
            return found
        _, _, held = text.buffers()
        rows = np.frombuffer(held, np.uint8)[ends[0] : ends[-1]].reshape(-1, self._width)
        return self._found(rows, found)

    def _found(self, rows: Bytes, found: Places) -> Places:
        wholes, slots = self._wholes(rows), self._slots(rows)
        waiting = np.arange(len(rows))
        while waiting.size:
            here = slots[waiting]
            held = self._held[here]
            waiting, held = waiting[held != STRANGER], held[held != STRANGER]
            same = self._names[held] == wholes[waiting]
            found[waiting[same]] = held[same]
            waiting = waiting[~same]
            slots[waiting] = self._next(slots[waiting])
        return found

    def _wholes(self, rows: Bytes) -> NDArray[np.bytes_]:
        """Each row as one value. All are of one length, so zeros at the end, which such values do
        without, hide no difference."""
        return np.ascontiguousarray(rows).view(f"S{self._width}")[:, 0]

    def _slots(self, rows: Bytes) -> NDArray[np.int64]:
        *keys, last = self._keys
        starts = [min(WORD * at, self._width - WORD) for at in range(len(keys))]
        mixed: Words = np.zeros(len(rows), np.uint64)
        for key, start in zip(keys, starts, strict=True):
            word = np.ascontiguousarray(rows[:, start : start + WORD]).view(np.uint64)[:, 0]
            mixed += word * key
        mixed ^= mixed >> np.uint64(32)
        mixed *= last
        return (mixed >> np.uint64(64 - self._bits)).astype(np.int64)

    def _next(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        return (slots + 1) & ((1 << self._bits) - 1)
