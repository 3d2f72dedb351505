"""The node's own record of what it did with people's data, in SQLite, written before it is done.

The budget ledger is two-phase. *Reserve* puts the release and everybody in it on disk before the
roster commitment is sent; *settle* marks that the release left the node. Both count in full: a
crash in between can only over-count. Rows are never changed except from reserved to settled. When
people get new names (docs/pseudonyms.md), their history stays under the names that were committed
to; ``renamings`` says whose it is, and whoever is asked about, by any name they ever had, has spent
what they spent under all of them. An erased person's names become tombstones
(:func:`crypto.rosters.tombstone`), by which they are known if they come back.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path

from clients.errors import GateClosed, NodeError, StoreFailed
from clients.ledger_tables import BURY, ERASED, RESERVATIONS, SCHEMA
from crypto.rosters import Roster, new_salt, tombstone
from privacy.charges import Budget, Charge
from privacy.filter import affordable
from privacy.mechanism import ReleaseKind

YEAR = timedelta(days=365)


@dataclass(frozen=True)
class Attempt:
    """One release attempt and what it costs each member."""

    campaign: str
    release: int
    attempt: int
    kind: str
    charge: Charge


@dataclass(frozen=True)
class Reservation(Attempt):
    """An attempt as the ledger holds it, for the lender's own operator."""

    number: int
    """In this ledger."""
    root: str
    salt: bytes = field(repr=False)
    reserved_at: str
    settled_at: str | None


@dataclass(frozen=True)
class Reserved:
    """What a reservation made now rests on: the roster that it is committed to, and who is in
    it."""

    number: int
    members: list[str]
    roster: Roster


@dataclass(frozen=True)
class PersonCaps:
    """The most that all campaigns together may cost one borrower: ever, and within 365 days."""

    ever: Budget
    yearly: Budget


def _charge(row: sqlite3.Row) -> Charge:
    return Charge(row["noise_multiplier"], row["sampling_rate"], row["steps"])


def _reservation(row: sqlite3.Row) -> Reservation:
    own = {name: row[name] for name in Reservation.__dataclass_fields__ if name != "charge"}
    return Reservation(charge=_charge(row), **own)


def _complete(connection: sqlite3.Connection) -> None:
    """Add what a ledger of an earlier release lacks; an empty file is no ledger, and stays none."""
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    if "releases" in tables and "renamings_stand" not in tables:
        connection.executescript(SCHEMA)


def _newest(connection: sqlite3.Connection) -> Callable[[str], str]:
    """What a name's person is called now. Renamings are kept free of circles by
    :meth:`BudgetLedger.rename`."""
    later: dict[str, str] = dict(connection.execute("SELECT old, new FROM renamings").fetchall())
    buried = _buried(connection)

    def newest(name: str) -> str:
        while (following := later.get(name) or buried(name)) != name:
            name = following
        return name

    return newest


def _buried(connection: sqlite3.Connection) -> Callable[[str], str]:
    """A name, or the tombstone in its place."""
    gone = {row[0] for row in connection.execute(ERASED)}
    return lambda name: stone if gone and (stone := tombstone(name)) in gone else name


def _spent(
    connection: sqlite3.Connection, people: Sequence[str], since: datetime | None = None
) -> dict[str, tuple[Charge, ...]]:
    oldest = "" if since is None else since.isoformat()
    since_then = connection.execute("SELECT * FROM releases WHERE reserved_at >= ?", (oldest,))
    charges = {row["id"]: _charge(row) for row in since_then}
    newest = _newest(connection)
    histories = connection.execute(
        "SELECT pseudonym, group_concat(release_id) FROM members GROUP BY pseudonym"
    )
    by_ids: dict[str, tuple[Charge, ...]] = {}
    by_person: dict[str, tuple[Charge, ...]] = {}
    for pseudonym, ids in histories:
        if ids not in by_ids:
            by_ids[ids] = tuple(charges[int(i)] for i in ids.split(",") if int(i) in charges)
        person = newest(pseudonym)
        by_person[person] = by_person.get(person, ()) + by_ids[ids]
    return {name: by_person.get(newest(name), ()) for name in people}


def _on_the_other_side(
    connection: sqlite3.Connection, asked: Attempt, people: Sequence[str]
) -> set[str]:
    """Who of these was trained on in this campaign, if it now evaluates, or was evaluated on, if it
    now trains.

    Which side somebody is on is drawn from their name; a new name must not put them on both.
    """
    newest = _newest(connection)
    rows = connection.execute(
        "SELECT DISTINCT pseudonym FROM members JOIN releases ON release_id = id"
        " WHERE campaign = ? AND (kind = ?) <> (? = ?)",
        (asked.campaign, ReleaseKind.EVALUATION, asked.kind, ReleaseKind.EVALUATION),
    )
    used = {newest(row[0]) for row in rows}
    return {name for name in people if newest(name) in used}


@dataclass(frozen=True)
class BudgetLedger:
    """The ledger in one file."""

    path: Path

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is on disk when it ends; raises NodeError when the disk does not take
        it."""
        try:
            there = f"{self.path.absolute().as_uri()}?mode=rw"  # a missing ledger is not made anew
            connection = sqlite3.connect(there, timeout=10, isolation_level=None, uri=True)
            connection.row_factory = sqlite3.Row
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute("PRAGMA foreign_keys=ON")
                connection.execute("PRAGMA secure_delete=ON")
                _complete(connection)
                connection.execute("BEGIN IMMEDIATE")
                with connection:
                    yield connection
            finally:
                connection.close()
        except sqlite3.DatabaseError as error:
            raise StoreFailed(
                f"the node's ledger {self.path.name} cannot be used ({error})"
            ) from error

    def create(self) -> None:
        self.path.touch(mode=0o600)
        with sqlite3.connect(self.path) as connection:
            connection.executescript(SCHEMA)

    def ledger(self) -> list[Reservation]:
        """Every attempt ever reserved, oldest first."""
        with self._connect() as connection:
            rows = connection.execute(f"{RESERVATIONS} ORDER BY id").fetchall()
        return [_reservation(row) for row in rows]

    def everybody(self) -> list[str]:
        """Everybody who was ever charged, by their newest name."""
        with self._connect() as connection:
            newest = _newest(connection)
            return sorted(
                {
                    newest(row[0])
                    for row in connection.execute("SELECT DISTINCT pseudonym FROM members")
                }
            )

    def spent(self, people: Sequence[str]) -> dict[str, tuple[Charge, ...]]:
        """Every release each of these people was reserved for, in any campaign."""
        with self._connect() as connection:
            return _spent(connection, people)

    def reserve(
        self,
        asked: Attempt,
        people: Sequence[str],
        caps: PersonCaps,
        moment: datetime,
        why_not: Callable[[Sequence[int]], str] = lambda _: "",
    ) -> Reserved:
        """Charge everybody of ``people`` who can afford it, in one transaction with the look at
        what they spent.

        Args:
            caps: whoever one more such charge would take beyond them is left out.
            why_not: why the campaign may not have all these releases (each named as often as it was
                attempted, this one last); "" if it may.

        Returns:
            the reservation, whose members may be none.

        Raises:
            GateClosed: this release attempt was reserved before, and contributing twice would break
                the masks; or ``why_not`` has a reason.
        """
        with self._connect() as connection:
            self._require_new(connection, asked, why_not)
            spent = _spent(connection, people)
            this_year = _spent(connection, people, moment - YEAR)
            able = affordable(spent, asked.charge, caps.ever)
            able &= affordable(this_year, asked.charge, caps.yearly)
            able -= _on_the_other_side(connection, asked, people)
            members = [name for name in people if name in able]
            roster = Roster.of(members, new_salt())
            number = self._insert(connection, asked, roster, moment)
            connection.executemany(
                "INSERT INTO members VALUES (?, ?)", ((name, number) for name in members)
            )
        return Reserved(number, members, roster)

    def _require_new(
        self,
        connection: sqlite3.Connection,
        asked: Attempt,
        why_not: Callable[[Sequence[int]], str],
    ) -> None:
        """Raises GateClosed."""
        rows = connection.execute(
            "SELECT release, attempt FROM releases WHERE campaign = ? ORDER BY id",
            (asked.campaign,),
        ).fetchall()
        attempts = [tuple(row) for row in rows]
        if (asked.release, asked.attempt) in attempts:
            raise GateClosed(
                f"release {asked.release} attempt {asked.attempt} was reserved before; no row was "
                "read"
            )
        if reason := why_not([*(release for release, _ in attempts), asked.release]):
            raise GateClosed(
                f"release {asked.release} attempt {asked.attempt}: {reason}; no row was read"
            )

    def _insert(
        self, connection: sqlite3.Connection, asked: Attempt, roster: Roster, moment: datetime
    ) -> int:
        """Write the reservation; returns its number."""
        columns = {
            "campaign": asked.campaign,
            "release": asked.release,
            "attempt": asked.attempt,
            "kind": asked.kind,
            **asdict(asked.charge),
            "root": roster.root.hex(),
            "salt": roster.salt,
            "reserved_at": moment.isoformat(),
        }
        names = ", ".join(columns)
        places = ", ".join("?" * len(columns))
        row = connection.execute(
            f"INSERT INTO releases ({names}) VALUES ({places})",  # noqa: S608
            tuple(columns.values()),
        )
        return int(row.lastrowid or 0)

    def rename(self, names: Mapping[str, str], moment: datetime) -> int:
        """Record people's new names by their old ones, all or none; returns how many were new to
        the ledger.

        From then on a person has spent the same under either name. Doing it again changes nothing.

        Raises:
            NodeError: one of them has another new name already, two people would get one name, or a
                name would lead back to itself; nothing was recorded.
        """
        with self._connect() as connection:
            known: dict[str, str] = dict(
                connection.execute("SELECT old, new FROM renamings").fetchall()
            )
            buried = _buried(connection)
            names = {buried(old): new for old, new in names.items()}
            fresh = {old: new for old, new in names.items() if known.get(old) != new}
            if fresh.keys() & known.keys() or any(old == new for old, new in fresh.items()):
                raise NodeError(
                    "one of these people has another new name already; nobody was renamed"
                )
            taken = list(known.values()) + list(fresh.values())
            if len(set(taken)) != len(taken):
                raise NodeError("two people would get the same new name; nobody was renamed")
            if (fresh.keys() | known.keys()) & set(fresh.values()):
                raise NodeError(
                    "a person would get a name back that was given up before; nobody was renamed"
                )
            connection.executemany(
                "INSERT INTO renamings VALUES (?, ?, ?)",
                ((old, new, moment.isoformat()) for old, new in fresh.items()),
            )
        return len(fresh)

    def erase(self, name: str) -> None:
        """Put tombstones in the place of this person, whatever they were called here; once more is
        no more."""
        with self._connect() as connection:
            newest = _newest(connection)
            renamed = connection.execute(
                "SELECT old FROM renamings UNION SELECT new FROM renamings"
            )
            names = [row[0] for row in renamed if newest(row[0]) == newest(name)]
            for one in {name, *names}:
                for statement in BURY:
                    connection.execute(statement, (tombstone(one), one))

    def settle(self, number: int, moment: datetime) -> None:
        with self._connect() as connection:
            connection.execute(
                "UPDATE releases SET settled_at = ? WHERE id = ?", (moment.isoformat(), number)
            )

    def releases(self, campaign: str) -> list[Reservation]:
        """Every release attempt of a campaign, oldest first."""
        with self._connect() as connection:
            rows = connection.execute(
                f"{RESERVATIONS} WHERE campaign = ? ORDER BY id", (campaign,)
            ).fetchall()
        return [_reservation(row) for row in rows]

    def charged(self) -> Counter[int]:
        """How many people each attempt charged, by its number: one pass over the whole ledger. It
        never leaves the node."""
        with self._connect() as connection:
            rows = connection.execute(
                "SELECT group_concat(release_id) FROM members GROUP BY pseudonym"
            )
            histories = Counter(chain.from_iterable(rows))
        found = Counter[int]()
        for numbers, people in histories.items():
            found.update(dict.fromkeys(map(int, numbers.split(",")), people))
        return found

    def members(self, number: int) -> list[str]:
        with self._connect() as connection:
            rows = connection.execute(
                "SELECT pseudonym FROM members WHERE release_id = ?", (number,)
            ).fetchall()
        return [row[0] for row in rows]

    def mask_key(self, campaign: str, fresh: bytes | None = None) -> bytes:
        """The private X25519 key of this campaign; ``fresh`` becomes it if there is none yet."""
        with self._connect() as connection:
            if fresh is not None:
                connection.execute(
                    "INSERT OR IGNORE INTO mask_keys VALUES (?, ?)", (campaign, fresh)
                )
            row = connection.execute(
                "SELECT private FROM mask_keys WHERE campaign = ?", (campaign,)
            ).fetchone()
        if row is None:
            raise NodeError("this node has not joined the campaign")
        return bytes(row[0])

    def remember_population(self, campaign: str, released: float) -> None:
        """The noisy number of people this node contributed: already private, used as weight and
        normaliser."""
        with self._connect() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO populations VALUES (?, ?)", (campaign, released)
            )

    def population(self, campaign: str) -> float:
        with self._connect() as connection:
            row = connection.execute(
                "SELECT released FROM populations WHERE campaign = ?", (campaign,)
            ).fetchone()
        if row is None:
            raise NodeError("this node has not taken part in the campaign's histogram release")
        return float(row[0])
