"""The node's own record of what it did with people's data, in SQLite, written before it is done.

The budget ledger is two-phase. *Reserve* puts the release and everybody in it on disk before the roster commitment is
sent; *settle* marks that the release left the node. Both count in full: a crash in between can only over-count.
Rows are never changed except from reserved to settled.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from clients.errors import GateClosed, NodeError
from privacy.charges import Charge

_SCHEMA = """
CREATE TABLE IF NOT EXISTS releases (
    id INTEGER PRIMARY KEY,
    campaign TEXT NOT NULL, release INTEGER NOT NULL, attempt INTEGER NOT NULL, kind TEXT NOT NULL,
    noise_multiplier REAL NOT NULL, sampling_rate REAL NOT NULL, steps INTEGER NOT NULL,
    root TEXT NOT NULL, salt BLOB NOT NULL, reserved_at TEXT NOT NULL, settled_at TEXT,
    UNIQUE (campaign, release, attempt)
);
CREATE TABLE IF NOT EXISTS members (
    pseudonym TEXT NOT NULL, release_id INTEGER NOT NULL REFERENCES releases (id),
    PRIMARY KEY (pseudonym, release_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mask_keys (campaign TEXT PRIMARY KEY, private BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS populations (campaign TEXT PRIMARY KEY, released REAL NOT NULL);
CREATE TRIGGER IF NOT EXISTS releases_kept BEFORE DELETE ON releases
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS members_kept BEFORE DELETE ON members
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS members_fixed BEFORE UPDATE ON members
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS releases_fixed
    BEFORE UPDATE OF campaign, release, attempt, kind, noise_multiplier, sampling_rate, steps, root, salt ON releases
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""


@dataclass(frozen=True)
class Reservation:
    """One release attempt and what it costs each member."""

    campaign: str
    release: int
    attempt: int
    kind: str
    charge: Charge
    root: str
    salt: bytes


@dataclass(frozen=True)
class NodeStore:
    path: Path

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is on disk when it ends; raises NodeError when the disk does not take it."""
        try:
            connection = sqlite3.connect(self.path, timeout=10, isolation_level=None)
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute("BEGIN IMMEDIATE")
                with connection:
                    yield connection
            finally:
                connection.close()
        except sqlite3.OperationalError as error:
            raise NodeError(
                f"the node's ledger {self.path} did not accept the write ({error}); no row was read"
            ) from error

    def create(self) -> None:
        self.path.touch(mode=0o600)
        with sqlite3.connect(self.path) as connection:
            connection.executescript(_SCHEMA)

    def spent(self, people: Sequence[str]) -> dict[str, tuple[Charge, ...]]:
        """Every release each of these people was reserved for, in any campaign."""
        with self._connect() as connection:
            charges = {
                row[0]: Charge(row[1], row[2], row[3])
                for row in connection.execute("SELECT id, noise_multiplier, sampling_rate, steps FROM releases")
            }
            histories = connection.execute("SELECT pseudonym, group_concat(release_id) FROM members GROUP BY pseudonym")
            by_ids: dict[str, tuple[Charge, ...]] = {}
            spent: dict[str, tuple[Charge, ...]] = dict.fromkeys(people, ())
            for pseudonym, ids in histories:
                if pseudonym in spent:
                    if ids not in by_ids:
                        by_ids[ids] = tuple(charges[int(i)] for i in ids.split(","))
                    spent[pseudonym] = by_ids[ids]
        return spent

    def reserve(self, reservation: Reservation, members: Sequence[str], moment: datetime) -> int:
        """Charge every member; returns the release's number in this ledger.

        Raises:
            GateClosed: this release attempt was reserved before; contributing twice would break the masks.
        """
        charge = reservation.charge
        with self._connect() as connection:
            try:
                row = connection.execute(
                    "INSERT INTO releases (campaign, release, attempt, kind, noise_multiplier, sampling_rate, steps,"
                    " root, salt, reserved_at) VALUES (?,?,?,?,?,?,?,?,?,?)",
                    (
                        reservation.campaign,
                        reservation.release,
                        reservation.attempt,
                        reservation.kind,
                        charge.noise_multiplier,
                        charge.sampling_rate,
                        charge.steps,
                        reservation.root,
                        reservation.salt,
                        moment.isoformat(),
                    ),
                )
            except sqlite3.IntegrityError as error:
                raise GateClosed(
                    f"release {reservation.release} attempt {reservation.attempt} was reserved before; no row was read"
                ) from error
            number = int(row.lastrowid or 0)
            connection.executemany("INSERT INTO members VALUES (?, ?)", ((name, number) for name in members))
        return number

    def settle(self, number: int, moment: datetime) -> None:
        with self._connect() as connection:
            connection.execute("UPDATE releases SET settled_at = ? WHERE id = ?", (moment.isoformat(), number))

    def releases(self, campaign: str) -> list[tuple[int, Reservation]]:
        """Every release attempt of a campaign, with its number, oldest first."""
        with self._connect() as connection:
            rows = connection.execute(
                "SELECT id, campaign, release, attempt, kind, noise_multiplier, sampling_rate, steps, root, salt"
                " FROM releases WHERE campaign = ? ORDER BY id",
                (campaign,),
            ).fetchall()
        return [(r[0], Reservation(r[1], r[2], r[3], r[4], Charge(r[5], r[6], r[7]), r[8], bytes(r[9]))) for r in rows]

    def members(self, number: int) -> list[str]:
        with self._connect() as connection:
            rows = connection.execute("SELECT pseudonym FROM members WHERE release_id = ?", (number,)).fetchall()
        return [row[0] for row in rows]

    def mask_key(self, campaign: str, fresh: bytes) -> bytes:
        """The private X25519 key of this campaign; ``fresh`` becomes it if there is none yet."""
        with self._connect() as connection:
            connection.execute("INSERT OR IGNORE INTO mask_keys VALUES (?, ?)", (campaign, fresh))
            row = connection.execute("SELECT private FROM mask_keys WHERE campaign = ?", (campaign,)).fetchone()
        return bytes(row[0])

    def remember_population(self, campaign: str, released: float) -> None:
        """The noisy number of people this node contributed: already private, used as weight and normaliser."""
        with self._connect() as connection:
            connection.execute("INSERT OR REPLACE INTO populations VALUES (?, ?)", (campaign, released))

    def population(self, campaign: str) -> float:
        with self._connect() as connection:
            row = connection.execute("SELECT released FROM populations WHERE campaign = ?", (campaign,)).fetchone()
        if row is None:
            raise NodeError("this node has not taken part in the campaign's histogram release")
        return float(row[0])
