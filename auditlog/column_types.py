"""Column types that SQLite and PostgreSQL store alike, and the base of every mapped table."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    Integer,
    SmallInteger,
)
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

BigId = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only where the column is called INTEGER."""


class UtcDateTime(TypeDecorator[datetime]):
    """SQLite forgets time zones; what goes in as UTC comes out as UTC."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC).replace(tzinfo=None) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value else None


class Coded(TypeDecorator[Any]):
    """One of a fixed list of words, stored as its place in the list. The list only ever grows at
    its end."""

    impl = SmallInteger
    cache_ok = True

    def __init__(self, words: tuple[Any, ...]) -> None:
        super().__init__()
        self.words = words

    def process_bind_param(self, value: Any, dialect: Dialect) -> int | None:
        return None if value is None else self.words.index(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> Any:
        return None if value is None else self.words[value]


class Base(DeclarativeBase):
    pass
