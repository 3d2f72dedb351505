"""Check a log at its source: rebuild every hash from the raw entries, and name the first thing that
is wrong.

In order, as one pass over the entries with memory that does not grow with the log:

1. entries stand at 0, 1, 2, …, each leaf is canonical JSON, times never run backwards;
2. every body hashes to what its leaf states; every envelope that is named is there and hashes to
   its name;
3. every tile holds exactly the hashes that the entries give, and no tile is missing or too many;
4. every signed head (and every published one, with its quorum) is signed by the log's key and is
   the tree's root at its size;
5. the log's own account of itself (appended, integrated) fits what is there.

What was forgotten stays forgotten: bodies are checked as ciphertext, no key is needed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from auditlog.database import Database
from auditlog.entries import leaf_time
from auditlog.log import AuditLog
from auditlog.tables import (
    LogCheckpointRow,
    LogEntryRow,
    LogEnvelopeRow,
    LogPublishedRow,
    LogTileRow,
)
from crypto.documents import canonical_json
from crypto.errors import SignatureError
from crypto.log_tiles import Frontier
from crypto.merkle import HASH_SIZE, leaf_hash, leaves_reader, tree_root
from crypto.notes import open_checkpoint
from crypto.tiles import TILE_WIDTH, index_path
from protocol.errors import LogDamaged

_CHUNK = 4096


@dataclass(frozen=True)
class Fsck:
    """What was checked."""

    entries: int
    integrated: int
    published: int
    tiles: int
    heads: int
    root: str
    """Root of the integrated tree, hex."""


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise LogDamaged(what)


@dataclass
class _Tiles:
    """Compares stored tiles with the hashes of the entries, as the tree grows."""

    session: Session
    rows: list[list[bytes]] = field(default_factory=list)
    """The unfinished tile of each level."""
    count: int = 0
    finished: list[int] = field(default_factory=list)

    def add(self, leaf: bytes) -> None:
        level = 0
        value = leaf
        while True:
            if level == len(self.rows):
                self.rows.append([])
                self.finished.append(0)
            row = self.rows[level]
            row.append(value)
            if len(row) < TILE_WIDTH:
                return
            self._compare(level)
            value = tree_root(TILE_WIDTH, leaves_reader(row))
            self.rows[level], self.finished[level] = [], self.finished[level] + 1
            level += 1

    def _compare(self, level: int) -> None:
        index = self.finished[level]
        expected = b"".join(self.rows[level])
        name = f"tile {level}/{index_path(index)}"
        stored = self.session.execute(
            select(LogTileRow.hashes, LogTileRow.check).where(
                LogTileRow.level == level, LogTileRow.index == index
            )
        ).one_or_none()
        if stored is None:
            raise LogDamaged(f"{name} is missing")
        _require(
            len(stored[0]) == len(expected),
            f"{name} has {len(stored[0]) // HASH_SIZE} hashes, not {len(expected) // HASH_SIZE}",
        )
        for i in range(0, len(expected), HASH_SIZE):
            same = hmac.compare_digest(stored[0][i : i + HASH_SIZE], expected[i : i + HASH_SIZE])
            _require(same, f"{name}: hash {i // HASH_SIZE} is not the one that the entries give")
        _require(
            hmac.compare_digest(hashlib.sha256(stored[0]).digest(), stored[1]),
            f"{name}: its checksum is wrong",
        )
        self.count += 1

    def finish(self) -> None:
        for level, row in enumerate(self.rows):
            if row:
                self._compare(level)
        stored = self.session.scalar(select(func.count()).select_from(LogTileRow)) or 0
        _require(
            stored == self.count,
            f"there are {stored - self.count} tiles more than the entries give",
        )


@dataclass
class _Heads:
    """Compares signed heads with the tree's roots, in order of their sizes."""

    log: AuditLog
    session: Session
    count: int = 0

    def __post_init__(self) -> None:
        self._waiting = self._notes()
        self._next = next(self._waiting, None)

    def _notes(self) -> Iterator[tuple[int, str, bool]]:
        """(size, note, published) of every head, smallest first; a page at a time."""
        last = -1
        while True:
            page = self.session.execute(
                select(LogCheckpointRow.size, LogCheckpointRow.note, LogPublishedRow.note)
                .outerjoin(LogPublishedRow, LogPublishedRow.size == LogCheckpointRow.size)
                .where(LogCheckpointRow.size > last)
                .order_by(LogCheckpointRow.size)
                .limit(_CHUNK)
            ).all()
            for size, note, published in page:
                yield size, note, False
                if published is not None:
                    yield size, published, True
            if not page:
                return
            last = page[-1][0]

    def at(self, size: int, root: Callable[[], bytes]) -> None:
        """Every head that is due when the tree has ``size`` entries."""
        while self._next is not None and self._next[0] == size:
            _, note, published = self._next
            name = f"the {'published' if published else 'signed'} head of {size} entries"
            try:
                head = (
                    self.log.policy.open(note)
                    if published
                    else open_checkpoint(note, self.log.verifier)
                )
            except SignatureError as error:
                raise LogDamaged(f"{name}: {error}") from error
            _require(head.size == size, f"{name} speaks of {head.size} entries")
            _require(
                hmac.compare_digest(head.root, root()),
                f"{name} has another root than the entries give",
            )
            self.count += 1
            self._next = next(self._waiting, None)

    def finish(self) -> None:
        if self._next is not None:
            raise LogDamaged(f"a head of {self._next[0]} entries was signed, but there are fewer")
        alone = self.session.scalar(
            select(func.min(LogPublishedRow.size)).where(
                LogPublishedRow.size.not_in(select(LogCheckpointRow.size))
            )
        )
        _require(alone is None, f"a head of {alone} entries was published, but never signed")


def _entries(session: Session, stop: int) -> Iterator[tuple[int, bytes, bytes]]:
    start = 0
    while start < stop:
        page = session.execute(
            select(LogEntryRow.index, LogEntryRow.leaf, LogEntryRow.body)
            .where(LogEntryRow.index >= start, LogEntryRow.index < min(start + _CHUNK, stop))
            .order_by(LogEntryRow.index)
        ).all()
        yield from ((index, leaf, body) for index, leaf, body in page)
        start += _CHUNK


class _Envelopes:
    """Envelopes that were found in order, the last few thousand of them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known = set[str]()

    def check(self, name: str, where: str) -> None:
        if name in self._known:
            return
        header = self._session.scalar(
            select(LogEnvelopeRow.header).where(LogEnvelopeRow.sha256 == name)
        )
        _require(header is not None, f"{where}: the envelope of its body is missing")
        same = hmac.compare_digest(hashlib.sha256(header or b"").hexdigest(), name)
        _require(same, f"{where}: the envelope of its body was altered")
        if len(self._known) > _CHUNK:
            self._known.clear()
        self._known.add(name)


def _check_entry(where: str, leaf: bytes, body: bytes, latest: str, envelopes: _Envelopes) -> str:
    """One entry by itself; returns its time."""
    try:
        fields = json.loads(leaf)
        time = str(fields["time"])
        about = fields["body"]
        stated = str(about["sha256"])
        digest = hashlib.sha256(body).hexdigest()
        _require(canonical_json(fields) == leaf, f"{where} is not canonical JSON")
    except (ValueError, KeyError, TypeError) as error:
        raise LogDamaged(f"{where} is not a leaf: {type(error).__name__}") from error
    _require(
        time[:10] >= latest[:10],
        f"{where}: its day {time[:10]} is before the one of the entry in front of it",
    )
    _require(hmac.compare_digest(digest, stated), f"{where}: its body was altered")
    if "envelope" in about:
        envelopes.check(str(about["envelope"]), where)
    return time


def check_log(
    database: Database,
    log: AuditLog,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Fsck:
    """Check the whole log.

    Args:
        progress: called with (entries checked, entries in all), every few thousand entries.

    Raises:
        LogDamaged: with the first thing that is wrong, in the order of the entries.
    """
    with database.read() as session:
        state = log.state(session)
        tiles = _Tiles(session)
        heads = _Heads(log, session)
        frontier = Frontier()
        envelopes = _Envelopes(session)
        latest = ""
        expected = 0
        for index, leaf, body in _entries(session, state.appended):
            _require(index == expected, f"entry {expected} is missing")
            latest = _check_entry(f"entry {index}", leaf, body, latest, envelopes)
            expected += 1
            if index < state.integrated:
                hashed = leaf_hash(leaf)
                frontier.append(hashed)
                tiles.add(hashed)
                heads.at(expected, lambda: frontier.root)
            if expected % _CHUNK == 0:
                progress(expected, state.appended)
        _require(expected == state.appended, f"entry {expected} is missing")
        beyond = session.scalar(
            select(func.min(LogEntryRow.index)).where(LogEntryRow.index >= state.appended)
        )
        _require(
            beyond is None,
            f"entry {beyond} is there, but the log says that it has only {state.appended}",
        )
        told = leaf_time(state.newest)
        _require(
            expected == 0 or told[:10] == latest[:10],
            f"the log says that its newest entry is of {told}, which it is not",
        )
        tiles.finish()
        heads.finish()
        signed = session.scalar(select(func.max(LogCheckpointRow.size))) or 0
        _require(
            signed == state.integrated,
            f"the log says that {state.integrated} entries are integrated, but the newest signed "
            "head has another size",
        )
        progress(expected, state.appended)
        return Fsck(
            entries=state.appended,
            integrated=state.integrated,
            published=log.published_size(session),
            tiles=tiles.count,
            heads=heads.count,
            root=frontier.root.hex(),
        )
