"""The node's own record of what it did with people's data, in SQLite, written before it is done.

The budget ledger is two-phase. *Reserve* puts the release and everybody in it on disk before the roster commitment is
sent; *settle* marks that the release left the node. Both count in full: a crash in between can only over-count. Rows
are never changed except from reserved to settled. When people get new names (docs/pseudonyms.md), their history stays
under the names that were committed to; ``renamings`` says whose it is, and whoever is asked about, by any name they
ever had, has spent what they spent under all of them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from clients.errors import GateClosed, NodeError, StoreFailed
from privacy.charges import Charge
from privacy.mechanism import ReleaseKind

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
CREATE TRIGGER IF NOT EXISTS releases_fixed BEFORE UPDATE ON releases WHEN
    OLD.settled_at IS NOT NULL OR NEW.settled_at IS NULL OR
    (NEW.id, NEW.campaign, NEW.release, NEW.attempt, NEW.kind, NEW.noise_multiplier, NEW.sampling_rate, NEW.steps,
     NEW.root, NEW.salt, NEW.reserved_at) IS NOT
    (OLD.id, OLD.campaign, OLD.release, OLD.attempt, OLD.kind, OLD.noise_multiplier, OLD.sampling_rate, OLD.steps,
     OLD.root, OLD.salt, OLD.reserved_at)
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TABLE IF NOT EXISTS renamings (
    old TEXT PRIMARY KEY, new TEXT NOT NULL UNIQUE, renamed_at TEXT NOT NULL, CHECK (old <> new)
) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS renamings_kept BEFORE DELETE ON renamings
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS renamings_fixed BEFORE UPDATE ON renamings
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS renamings_not_replaced BEFORE INSERT ON renamings WHEN EXISTS (
    SELECT 1 FROM renamings WHERE old = NEW.old OR new = NEW.new)
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS releases_not_replaced BEFORE INSERT ON releases WHEN EXISTS (
    SELECT 1 FROM releases WHERE id = NEW.id OR
    (campaign = NEW.campaign AND release = NEW.release AND attempt = NEW.attempt))
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""


YEAR = timedelta(days=365)


@dataclass(frozen=True)
class LedgerLine:
    """One reserved attempt, for the lender's own operator: how many people it charged never leaves the node."""

    campaign: str
    release: int
    attempt: int
    kind: str
    charge: Charge
    people: int
    reserved_at: str
    settled_at: str | None


@dataclass(frozen=True)
class Attempt:
    """One release attempt and what it costs each member."""

    campaign: str
    release: int
    attempt: int
    kind: str
    charge: Charge


@dataclass(frozen=True)
class Reservation:
    """A release attempt as the ledger holds it."""

    release: int
    attempt: int
    kind: str
    charge: Charge
    root: str
    salt: bytes


def _complete(connection: sqlite3.Connection) -> None:
    """Add what a ledger of an earlier release lacks; an empty file is no ledger, and stays none."""
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "releases" in tables and "renamings" not in tables:
        connection.executescript(_SCHEMA)


def _newest(connection: sqlite3.Connection) -> Callable[[str], str]:
    """What a name's person is called now. Renamings are kept free of circles by :meth:`NodeStore.rename`."""
    later: dict[str, str] = dict(connection.execute("SELECT old, new FROM renamings").fetchall())

    def newest(name: str) -> str:
        while name in later:
            name = later[name]
        return name

    return newest


def _spent(
    connection: sqlite3.Connection, people: Sequence[str], since: datetime | None = None
) -> dict[str, tuple[Charge, ...]]:
    oldest = "" if since is None else since.isoformat()
    charges = {
        row[0]: Charge(row[1], row[2], row[3])
        for row in connection.execute(
            "SELECT id, noise_multiplier, sampling_rate, steps FROM releases WHERE reserved_at >= ?", (oldest,)
        )
    }
    newest = _newest(connection)
    histories = connection.execute("SELECT pseudonym, group_concat(release_id) FROM members GROUP BY pseudonym")
    by_ids: dict[str, tuple[Charge, ...]] = {}
    by_person: dict[str, tuple[Charge, ...]] = {}
    for pseudonym, ids in histories:
        if ids not in by_ids:
            by_ids[ids] = tuple(charges[int(i)] for i in ids.split(",") if int(i) in charges)
        person = newest(pseudonym)
        by_person[person] = by_person.get(person, ()) + by_ids[ids]
    return {name: by_person.get(newest(name), ()) for name in people}


def _on_the_other_side(connection: sqlite3.Connection, about: Attempt, people: Sequence[str]) -> set[str]:
    """Who of these was trained on in this campaign, if it now evaluates, or was evaluated on, if it now trains.

    Which side somebody is on is drawn from their name; a new name must not put them on both.
    """
    newest = _newest(connection)
    rows = connection.execute(
        "SELECT DISTINCT pseudonym FROM members JOIN releases ON release_id = id"
        " WHERE campaign = ? AND (kind = ?) <> (? = ?)",
        (about.campaign, ReleaseKind.EVALUATION, about.kind, ReleaseKind.EVALUATION),
    )
    used = {newest(row[0]) for row in rows}
    return {name for name in people if newest(name) in used}


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
                connection.execute("PRAGMA foreign_keys=ON")
                _complete(connection)
                connection.execute("BEGIN IMMEDIATE")
                with connection:
                    yield connection
            finally:
                connection.close()
        except sqlite3.OperationalError as error:
            raise StoreFailed(f"the node's ledger {self.path.name} did not accept the write ({error})") from error

    def create(self) -> None:
        self.path.touch(mode=0o600)
        with sqlite3.connect(self.path) as connection:
            connection.executescript(_SCHEMA)

    def ledger(self) -> list[LedgerLine]:
        """Every attempt ever reserved, oldest first."""
        with self._connect() as connection:
            rows = connection.execute(
                "SELECT campaign, release, attempt, kind, noise_multiplier, sampling_rate, steps,"
                " (SELECT count(*) FROM members WHERE release_id = id), reserved_at, settled_at"
                " FROM releases ORDER BY id"
            ).fetchall()
        return [LedgerLine(r[0], r[1], r[2], r[3], Charge(*r[4:7]), r[7], r[8], r[9]) for r in rows]

    def everybody(self) -> list[str]:
        """Everybody who was ever charged, by their newest name."""
        with self._connect() as connection:
            newest = _newest(connection)
            return sorted({newest(row[0]) for row in connection.execute("SELECT DISTINCT pseudonym FROM members")})

    def spent(self, people: Sequence[str]) -> dict[str, tuple[Charge, ...]]:
        """Every release each of these people was reserved for, in any campaign."""
        with self._connect() as connection:
            return _spent(connection, people)

    def reserve(
        self,
        about: Attempt,
        people: Sequence[str],
        affordable: Callable[[Mapping[str, tuple[Charge, ...]]], set[str]],
        commit_to: Callable[[Sequence[str]], tuple[str, bytes]],
        moment: datetime,
        why_not: Callable[[Sequence[int]], str] = lambda _: "",
        this_year: Callable[[Mapping[str, tuple[Charge, ...]]], set[str]] = set,
    ) -> tuple[int, list[str]]:
        """Charge everybody of ``people`` who can afford it, in one transaction with the look at what they spent.

        Args:
            affordable: of the histories it is given, who may be charged once more; ``this_year`` the same of the last
                365 days.
            commit_to: root and salt of the roster of those members.
            why_not: why the campaign may not have all these releases (each named as often as it was attempted, this one
                last); "" if it may.

        Returns:
            the release's number in this ledger and its members, who may be none.

        Raises:
            GateClosed: this release attempt was reserved before, and contributing twice would break the masks; or
                ``why_not`` has a reason.
        """
        with self._connect() as connection:
            taken = connection.execute(
                "SELECT 1 FROM releases WHERE campaign = ? AND release = ? AND attempt = ?",
                (about.campaign, about.release, about.attempt),
            ).fetchone()
            if taken:
                raise GateClosed(
                    f"release {about.release} attempt {about.attempt} was reserved before; no row was read"
                )
            rows = connection.execute(
                "SELECT release FROM releases WHERE campaign = ? ORDER BY id", (about.campaign,)
            ).fetchall()
            if reason := why_not([*(row[0] for row in rows), about.release]):
                raise GateClosed(f"release {about.release} attempt {about.attempt}: {reason}; no row was read")
            able = affordable(_spent(connection, people)) & this_year(_spent(connection, people, moment - YEAR))
            able -= _on_the_other_side(connection, about, people)
            members = [name for name in people if name in able]
            root, salt = commit_to(members)
            charge = about.charge
            row = connection.execute(
                "INSERT INTO releases (campaign, release, attempt, kind, noise_multiplier, sampling_rate, steps,"
                " root, salt, reserved_at) VALUES (?,?,?,?,?,?,?,?,?,?)",
                (
                    about.campaign, about.release, about.attempt, about.kind, charge.noise_multiplier,
                    charge.sampling_rate, charge.steps, root, salt, moment.isoformat(),
                ),
            )  # fmt: skip
            number = int(row.lastrowid or 0)
            connection.executemany("INSERT INTO members VALUES (?, ?)", ((name, number) for name in members))
        return number, members

    def rename(self, names: Mapping[str, str], moment: datetime) -> int:
        """Record people's new names by their old ones, all or none; returns how many were new to the ledger.

        From then on a person has spent the same under either name. Doing it again changes nothing.

        Raises:
            NodeError: one of them has another new name already, two people would get one name, or a name would lead
                back to itself; nothing was recorded.
        """
        with self._connect() as connection:
            known: dict[str, str] = dict(connection.execute("SELECT old, new FROM renamings").fetchall())
            fresh = {old: new for old, new in names.items() if known.get(old) != new}
            if fresh.keys() & known.keys() or any(old == new for old, new in fresh.items()):
                raise NodeError("one of these people has another new name already; nobody was renamed")
            taken = list(known.values()) + list(fresh.values())
            if len(set(taken)) != len(taken):
                raise NodeError("two people would get the same new name; nobody was renamed")
            if (fresh.keys() | known.keys()) & set(fresh.values()):
                raise NodeError("a person would get a name back that was given up before; nobody was renamed")
            connection.executemany(
                "INSERT INTO renamings VALUES (?, ?, ?)",
                ((old, new, moment.isoformat()) for old, new in fresh.items()),
            )
        return len(fresh)

    def settle(self, number: int, moment: datetime) -> None:
        with self._connect() as connection:
            connection.execute("UPDATE releases SET settled_at = ? WHERE id = ?", (moment.isoformat(), number))

    def releases(self, campaign: str) -> list[tuple[int, Reservation]]:
        """Every release attempt of a campaign, with its number, oldest first."""
        with self._connect() as connection:
            rows = connection.execute(
                "SELECT id, release, attempt, kind, noise_multiplier, sampling_rate, steps, root, salt"
                " FROM releases WHERE campaign = ? ORDER BY id",
                (campaign,),
            ).fetchall()
        return [(r[0], Reservation(r[1], r[2], r[3], Charge(r[4], r[5], r[6]), r[7], bytes(r[8]))) for r in rows]

    def members(self, number: int) -> list[str]:
        with self._connect() as connection:
            rows = connection.execute("SELECT pseudonym FROM members WHERE release_id = ?", (number,)).fetchall()
        return [row[0] for row in rows]

    def mask_key(self, campaign: str, fresh: bytes | None = None) -> bytes:
        """The private X25519 key of this campaign; ``fresh`` becomes it if there is none yet."""
        with self._connect() as connection:
            if fresh is not None:
                connection.execute("INSERT OR IGNORE INTO mask_keys VALUES (?, ?)", (campaign, fresh))
            row = connection.execute("SELECT private FROM mask_keys WHERE campaign = ?", (campaign,)).fetchone()
        if row is None:
            raise NodeError("this node has not joined the campaign")
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
