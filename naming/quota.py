"""How many people each lender may have named in a day, per kind of name. On the disk before an
answer goes out.

A day is a UTC day. A crash between counting and answering has counted too much, never too little.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from crypto.pseudonyms import Kind
from naming.errors import QuotaSpent
from protocol.errors import StorageFailed

_SCHEMA = """CREATE TABLE IF NOT EXISTS used (
    lender TEXT NOT NULL, kind TEXT NOT NULL, day TEXT NOT NULL,
    people INTEGER NOT NULL CHECK (people >= 0),
    PRIMARY KEY (lender, kind, day)) WITHOUT ROWID"""


@dataclass
class Quota:
    """Args: ``per_day`` people, for each lender and kind of name."""

    path: Path
    per_day: int
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        try:
            if not self.path.exists():
                self.path.touch(mode=0o600)
            with self._lock:
                connection = sqlite3.connect(self.path, timeout=10, isolation_level=None)
                try:
                    connection.execute("PRAGMA journal_mode=WAL")
                    connection.execute("PRAGMA synchronous=FULL")
                    connection.execute("BEGIN IMMEDIATE")
                    with connection:
                        connection.execute(_SCHEMA)
                        yield connection
                finally:
                    connection.close()
        except (sqlite3.Error, OSError) as error:
            raise StorageFailed(
                f"the naming service's quota cannot be kept ({error}); nobody was named"
            ) from error

    def reserve(self, lender: str, people: Mapping[Kind, int], moment: datetime) -> None:
        """Count these people, by kind of name; durable when this returns.

        Raises:
            QuotaSpent: they are more than are left today for one of the kinds; nothing was counted.
        """
        day = moment.astimezone(UTC).date()
        with self._connect() as connection:
            for kind, count in people.items():
                row = connection.execute(
                    "SELECT people FROM used WHERE (lender, kind, day) = (?, ?, ?)",
                    (lender, kind, day.isoformat()),
                ).fetchone()
                left = self.per_day - (row[0] if row else 0)
                if count > left:
                    again = datetime.combine(day + timedelta(days=1), datetime.min.time(), UTC)
                    raise QuotaSpent(
                        f"{lender!r} may have {self.per_day:,} people named in a day and has "
                        f"{left:,} left for {kind} names; come back at {again:%Y-%m-%dT%H:%MZ}",
                        again,
                    )
                connection.execute(
                    "INSERT INTO used VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET people = "
                    "people + excluded.people",
                    (lender, kind, day.isoformat(), count),
                )

    def give_back(self, lender: str, people: Mapping[Kind, int], moment: datetime) -> None:
        """Undo a reservation for which no answer went out."""
        day = moment.astimezone(UTC).date().isoformat()
        with self._connect() as connection:
            connection.executemany(
                "UPDATE used SET people = people - ? WHERE (lender, kind, day) = (?, ?, ?)",
                [(count, lender, kind, day) for kind, count in people.items()],
            )

    def used(self, moment: datetime) -> dict[tuple[str, str], int]:
        """People counted on this day, by lender and kind."""
        day = moment.astimezone(UTC).date().isoformat()
        with self._connect() as connection:
            rows = connection.execute(
                "SELECT lender, kind, people FROM used WHERE day = ?", (day,)
            ).fetchall()
        return {(lender, kind): people for lender, kind, people in rows}
