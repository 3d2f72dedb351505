"""Millions of rows as arrays, without a Python object for each: binary COPY in PostgreSQL, one
fetch in SQLite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from auditlog.database import failed

_POSTGRESQL_TYPES = {"int16": "int2", "int32": "int4", "int64": "int8", "seconds": "timestamp"}
_EPOCH_2000_S = 946_684_800
"""PostgreSQL sends times as microseconds since 2000, and infinity as the largest integer."""
NEVER = np.iinfo(np.int64).max
_HEADER_BYTES = 19
"""PostgreSQL's COPY BINARY: signature, flags, header extension length (all fixed, as the server
writes them)."""


def read_columns(
    session: Session, columns: Mapping[str, str], rest: str
) -> dict[str, NDArray[Any]]:
    """The columns of a query, none of them null but times.

    Args:
        columns: SQL expression and numpy type (int16, int32, int64) by name, as
            ``"expression": "type"`` pairs under the name: ``{"number": "s.number int32"}``. All are
            the caller's constants. Type ``seconds`` is for times: whole seconds since 1970 as
            int64, :data:`NEVER` for null.
        rest: the query from ``FROM`` on. Numbers in it are the caller's own; never text from a
            request.
    """
    parts = {name: tuple(about.rsplit(" ", 1)) for name, about in columns.items()}
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        wanted = ", ".join(
            f"COALESCE({sql}, 'infinity')"
            if kind == "seconds"
            else f"({sql})::{_POSTGRESQL_TYPES[kind]}"
            for sql, kind in parts.values()
        )
        return _copied(
            connection, f"SELECT {wanted} {rest}", {name: kind for name, (_, kind) in parts.items()}
        )
    wanted = ", ".join(
        f"COALESCE(CAST(strftime('%s', {sql}) AS INTEGER), {NEVER})" if kind == "seconds" else sql
        for sql, kind in parts.values()
    )
    cursor = connection.exec_driver_sql(f"SELECT {wanted} {rest}").cursor
    rows = cursor.fetchall() if cursor is not None else []
    table = np.array(rows, dtype=np.int64).reshape(len(rows), len(parts))
    return {
        name: table[:, at].astype("int64" if kind == "seconds" else kind)
        for at, (name, (_, kind)) in enumerate(parts.items())
    }


def _copied(connection: Any, query: str, kinds: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Every row is a field count and, for each field, its length and its big-endian value: all of
    one size."""
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for name, kind in kinds.items():
        plain = np.dtype("int64" if kind == "seconds" else kind)
        fields += [(f"{name} length", ">i4"), (name, plain.newbyteorder(">").str)]
    try:
        with (
            connection.connection.cursor() as cursor,
            cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT BINARY)") as copy,
        ):
            data = b"".join(bytes(block) for block in copy)
    except (
        psycopg.Error
    ) as error:  # COPY is the driver's own: SQLAlchemy does not see what it raises
        raise failed(error) from error
    rows = np.frombuffer(data[_HEADER_BYTES:-2], dtype=np.dtype(fields))
    return {
        name: _seconds(rows[name]) if kind == "seconds" else rows[name].astype(kind)
        for name, kind in kinds.items()
    }


def _seconds(microseconds: NDArray[Any]) -> NDArray[np.int64]:
    held = microseconds.astype(np.int64)
    return np.where(held == NEVER, NEVER, held // 1_000_000 + _EPOCH_2000_S)
