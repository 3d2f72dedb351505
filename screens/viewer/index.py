"""The log's public entries on the auditor's own machine, in SQLite: what the pages list.

An entry is here once it was found under a head that was believed; the registry is never asked to
search. It can be thrown away at any time: the next verification makes it anew.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, overload

from auditlog.chains import ChainLink
from auditlog.entries import day_of
from crypto.log_tiles import extend_tiles
from crypto.merkle import HashReader, leaf_hash
from crypto.notes import Checkpoint
from crypto.tiles import tile_reader
from protocol.errors import AuditFailed

VERSION = 1
AT_ONCE = 4_096
"""Entries that are fetched before anybody is told how far it is."""
_TABLES = """
CREATE TABLE entries (idx INTEGER PRIMARY KEY, type TEXT NOT NULL, actor TEXT NOT NULL,
    day TEXT NOT NULL, campaign TEXT, lender TEXT, leaf BLOB NOT NULL) STRICT;
CREATE INDEX entries_by_type ON entries (type);
CREATE INDEX entries_by_actor ON entries (actor);
CREATE INDEX entries_by_campaign ON entries (campaign) WHERE campaign IS NOT NULL;
CREATE INDEX entries_by_day ON entries (day);
CREATE TABLE tiles (level INTEGER, idx INTEGER, hashes BLOB NOT NULL,
    PRIMARY KEY (level, idx)) STRICT;
CREATE TABLE links (idx INTEGER PRIMARY KEY, campaign TEXT NOT NULL, kind TEXT NOT NULL,
    actor TEXT NOT NULL, rests_on TEXT NOT NULL) STRICT;
CREATE TABLE outcome (one INTEGER PRIMARY KEY CHECK (one = 1), told TEXT NOT NULL) STRICT;
"""
Fetch = Callable[[int, int], list[bytes]]
"""(stop, start): leaves as they are served."""


@dataclass(frozen=True)
class EntryQuery:
    """Which entries are wanted; all of them where nothing is said. Days are both included, UTC."""

    type: str | None = None
    actor: str | None = None
    campaign: str | None = None
    first: str | None = None
    last: str | None = None

    @property
    def where(self) -> tuple[str, list[str]]:
        """Conditions, and the values in them."""
        asked = {
            "type = ?": self.type,
            "? IN (actor, lender)": self.actor,
            "campaign = ?": self.campaign,
            "day >= ?": self.first,
            "day <= ?": self.last,
        }
        said = {condition: value for condition, value in asked.items() if value}
        return " AND ".join(["1", *said]), list(said.values())


@dataclass(frozen=True)
class IndexedEntry:
    """One entry as it stands in the log."""

    index: int
    leaf: bytes

    @cached_property
    def fields(self) -> dict[str, Any]:
        return dict(json.loads(self.leaf))

    @property
    def who(self) -> str:
        """Who wrote it, and about which lender."""
        actor, lender = str(self.fields["actor"]), self.fields.get("lender")
        return f"{actor} → {lender}" if lender and lender != actor else actor

    @property
    def campaign(self) -> str | None:
        found = self.fields.get("campaign")
        return found if isinstance(found, str) else None


class IndexedLeaves(Sequence[bytes]):
    """The leaves of the index, read as they are asked for."""

    def __init__(self, connection: sqlite3.Connection, size: int) -> None:
        self._connection, self._size = connection, size

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        rows = self._connection.execute(
            "SELECT leaf FROM entries WHERE idx < ? ORDER BY idx", [self._size]
        )
        yield from (leaf for (leaf,) in rows)

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> list[bytes]: ...
    def __getitem__(self, at: int | slice) -> bytes | list[bytes]:
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(self._size))]
        row = self._connection.execute("SELECT leaf FROM entries WHERE idx = ?", [at]).fetchone()
        if row is None:
            raise IndexError(at)
        return bytes(row[0])


class Growing:
    """The index while it grows, in one transaction; nothing stays unless :meth:`keep` is called."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def up_to(self, head: Checkpoint, fetch: Fetch, told: Callable[[int], None]) -> IndexedLeaves:
        """All leaves under a head, those that are not here yet as ``fetch`` has them.

        Raises:
            AuditFailed: the log has fewer entries than were found under an earlier head.
                ValueError, KeyError: something served is no entry.
        """
        size = _size(self._connection)
        if size > head.size:
            raise AuditFailed(
                f"the log shows {head.size:,} entries, and {size:,} were under an earlier head: it "
                "was rolled back"
            )
        told(size)
        while size < head.size:
            stop = min(head.size, (size // AT_ONCE + 1) * AT_ONCE)
            self._add(size, fetch(stop, size))
            size = stop
            told(size)
        return IndexedLeaves(self._connection, head.size)

    def keep(self) -> None:
        self._connection.execute("COMMIT")
        self._connection.execute("BEGIN IMMEDIATE")

    def clear(self) -> None:
        """Everything goes: what is here was altered on this machine, or is another log's."""
        for table in ("entries", "tiles", "links"):
            self._connection.execute(f"DELETE FROM {table}")  # noqa: S608 - names of our own

    def _add(self, size: int, leaves: Sequence[bytes]) -> None:
        rows = [_row(index, leaf) for index, leaf in enumerate(leaves, size)]
        self._connection.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        changed = extend_tiles(
            size, [leaf_hash(leaf) for leaf in leaves], _loader(self._connection)
        )
        tiles = [(name.level, name.index, hashes) for name, hashes in changed.items()]
        self._connection.executemany("INSERT OR REPLACE INTO tiles VALUES (?, ?, ?)", tiles)


def _row(index: int, leaf: bytes) -> tuple[Any, ...]:
    fields = json.loads(leaf)
    if not isinstance(fields, dict):
        raise ValueError(f"entry {index} is no entry")
    named = [fields.get(name) for name in ("campaign", "lender")]
    known = [one if isinstance(one, str) else None for one in named]
    return (index, str(fields["type"]), str(fields["actor"]), day_of(fields), *known, leaf)


def _size(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(idx) + 1, 0) FROM entries").fetchone()[0])


def _loader(connection: sqlite3.Connection) -> Callable[[int, int], bytes]:
    def load(level: int, index: int) -> bytes:
        row = connection.execute(
            "SELECT hashes FROM tiles WHERE level = ? AND idx = ?", [level, index]
        ).fetchone()
        return b"" if row is None else bytes(row[0])

    return load


class LeafIndex:
    """The index in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._connected() as connection:
            if connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                self._made_anew(connection)

    def _made_anew(self, connection: sqlite3.Connection) -> None:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in names:
            connection.execute(f"DROP TABLE {name}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_TABLES)
        connection.execute(f"PRAGMA user_version = {VERSION}")

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=30, isolation_level=None)) as connection:
            yield connection

    # --- while the log is verified

    @contextmanager
    def growing(self) -> Iterator[Growing]:
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield Growing(connection)
            connection.execute("ROLLBACK")

    def conclude(self, told: Mapping[str, Any], links: Mapping[str, Sequence[ChainLink]]) -> None:
        """Keep what came of a verification, instead of what came of the one before."""
        rows = [
            (one.index, campaign, one.kind, one.actor, json.dumps(one.rests_on))
            for campaign, chain in links.items()
            for one in chain
        ]
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("DELETE FROM links")
            connection.executemany("INSERT INTO links VALUES (?, ?, ?, ?, ?)", rows)
            connection.execute("INSERT OR REPLACE INTO outcome VALUES (1, ?)", [json.dumps(told)])
            connection.execute("COMMIT")

    def concluded(self) -> dict[str, Any] | None:
        with self._connected() as connection:
            row = connection.execute("SELECT told FROM outcome").fetchone()
        return None if row is None else dict(json.loads(row[0]))

    # --- what pages show

    def size(self) -> int:
        with self._connected() as connection:
            return _size(connection)

    def entry(self, index: int) -> IndexedEntry | None:
        with self._connected() as connection:
            row = connection.execute("SELECT leaf FROM entries WHERE idx = ?", [index]).fetchone()
        return None if row is None else IndexedEntry(index, bytes(row[0]))

    def newest(self, query: EntryQuery, before: int | None, limit: int) -> list[IndexedEntry]:
        """At most so many of the wanted entries below an index, the newest first."""
        where, values = query.where
        below = "" if before is None else f" AND idx < {before:d}"
        with self._connected() as connection:
            rows = connection.execute(
                f"SELECT idx, leaf FROM entries WHERE {where}{below} ORDER BY idx DESC "  # noqa: S608
                f"LIMIT {limit:d}",
                values,
            ).fetchall()
        return [IndexedEntry(index, bytes(leaf)) for index, leaf in rows]

    def count(self, query: EntryQuery) -> int:
        where, values = query.where
        with self._connected() as connection:
            sql = f"SELECT count(*) FROM entries WHERE {where}"  # noqa: S608 - conditions of our own
            return int(connection.execute(sql, values).fetchone()[0])

    def walk(self, query: EntryQuery) -> Iterator[IndexedEntry]:
        """Every wanted entry, in the order of the log."""
        where, values = query.where
        with self._connected() as connection:
            sql = f"SELECT idx, leaf FROM entries WHERE {where} ORDER BY idx"  # noqa: S608
            for index, leaf in connection.execute(sql, values):
                yield IndexedEntry(index, bytes(leaf))

    def grouped(self, column: str) -> dict[str, int]:
        """How many entries there are of each type, actor, campaign or day."""
        if column not in {"type", "actor", "campaign", "day"}:
            raise ValueError(f"entries are not grouped by {column}")
        with self._connected() as connection:
            rows = connection.execute(
                f"SELECT {column}, count(*) FROM entries WHERE {column} IS NOT NULL "  # noqa: S608
                f"GROUP BY {column} ORDER BY {column}"
            ).fetchall()
        return {str(name): int(number) for name, number in rows}

    def chain(self, campaign: str) -> dict[int, ChainLink]:
        """The checked entries about a campaign."""
        with self._connected() as connection:
            rows = connection.execute(
                "SELECT idx, kind, actor, rests_on FROM links WHERE campaign = ? ORDER BY idx",
                [campaign],
            ).fetchall()
        return {
            index: ChainLink(index, kind, actor, tuple(json.loads(rests)))
            for index, kind, actor, rests in rows
        }

    @contextmanager
    def tree(self) -> Iterator[HashReader]:
        """Reads hashes of the tree over the entries."""
        with self._connected() as connection:
            yield tile_reader(_loader(connection))
