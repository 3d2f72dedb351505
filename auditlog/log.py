"""The audit log: a C2SP transparency log over the registry's database.

Two steps, so that appends are never held up by hashing or witnesses:

1. :meth:`AuditLog.append` runs inside the caller's transaction and gives each entry its index and
   time. When that transaction commits, state change and entries are durable together.
2. ``auditlog.sequencer`` integrates what was appended, within milliseconds: tiles, signed head,
   cosignatures.

What is read is checked before it is served: a tile against its checksum, an entry against the tree,
a proof against the signed head it leads to. A damaged log refuses; it does not answer wrongly.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import func, insert, select, text
from sqlalchemy.orm import Session

from auditlog.database import among, bulk_insert
from auditlog.entries import Entry, leaf_time, public_time
from auditlog.lease import Lease, LogPosition, read_state
from auditlog.tables import LogCheckpointRow, LogEntryRow, LogEnvelopeRow, LogPublishedRow
from crypto.errors import ProofError, SignatureError
from crypto.keys import SigningKey
from crypto.log_tiles import entry_bundle
from crypto.merkle import (
    HASH_SIZE,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from crypto.notes import Checkpoint, InclusionProof, Verifier, open_checkpoint
from crypto.policies import Policy
from crypto.tiles import TILE_WIDTH, index_path, tile_hashes, tile_reader
from protocol.errors import ClockWrong, LogDamaged, NotFound

CLOCK_TOLERANCE_US = 2_000_000
"""A clock may be set back by this much unnoticed; by more, and appends are refused until it is
right again."""
_MAX_REMEMBERED, _HEADS_REMEMBERED = 4096, 64
_PAGE = 4096
_TILE = text("SELECT hashes, checksum FROM log_tiles WHERE level = :level AND idx = :index")
_NEWEST = text("SELECT note FROM log_published ORDER BY size DESC LIMIT 1")
_PUBLISHED = text("SELECT note FROM log_published WHERE size = :size")
_ENTRY = text("SELECT leaf, body FROM log_entries WHERE idx = :index")
_LEAVES = text("SELECT leaf FROM log_entries WHERE idx >= :start AND idx < :stop ORDER BY idx")
_ABOUT = "subject_entries"
"""Which entries are about whom: a table of the registry's, written in the same transaction."""
_ABOUT_COLUMNS = {"subject_id": "int8", "entry_index": "int8"}
_ENTRY_COLUMNS = {"idx": "int8", "leaf": "bytea", "body": "bytea"}


@dataclass(frozen=True)
class Logged:
    """An entry as it is stored."""

    leaf: bytes
    body: bytes


@dataclass
class TileStore:
    """Tiles within one transaction, each read and checked at most once."""

    session: Session
    _seen: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def load(self, level: int, index: int) -> bytes:
        """The tile so far, empty if there is none; raises LogDamaged."""
        if (level, index) not in self._seen:
            row = (
                self.session.connection()
                .execute(_TILE, {"level": level, "index": index})
                .one_or_none()
            )
            if row and not hmac.compare_digest(hashlib.sha256(row[0]).digest(), row[1]):
                raise LogDamaged(
                    f"tile {level}/{index_path(index)} is damaged; run: tahini log fsck"
                )
            self._seen[level, index] = row[0] if row else b""
        return self._seen[level, index]


@dataclass(frozen=True)
class AuditLog:
    """The log's signing identity and trust policy. State lives in the database, never here."""

    origin: str
    key: SigningKey = field(repr=False)
    policy: Policy
    clock: Callable[[], datetime]
    lease: Lease = field(default_factory=Lease, compare=False)
    _stored: set[str] = field(default_factory=set, compare=False, repr=False)
    """Envelopes that were seen in the database, so committed."""
    _heads: dict[str, Checkpoint] = field(default_factory=dict, compare=False, repr=False)
    """Notes that verified, the last few."""

    @property
    def verifier(self) -> Verifier:
        return Verifier(self.origin, self.key.public)

    # --- writing

    def append(self, session: Session, entries: Sequence[Entry]) -> int:
        """Append within the caller's write transaction; returns the index of the first entry.

        Raises:
            LogHeld: another process writes to this log. ClockWrong: this machine's clock went back.
        """
        state = self.lease.hold(session)
        moment = round(self.clock().timestamp() * 1_000_000)
        if moment < state.newest - CLOCK_TOLERANCE_US:
            raise ClockWrong(
                f"this machine's clock says {leaf_time(moment)}, but the log's newest entry was "
                f"made at {leaf_time(state.newest)}; set the clock, nothing was recorded"
            )
        first = state.appended
        newest = max(moment, state.newest)
        stamp = public_time(newest).encode()
        self._keep_envelopes(session, entries)
        bulk_insert(
            session,
            LogEntryRow.__tablename__,
            _ENTRY_COLUMNS,
            [(index, entry.leaf(stamp), entry.body) for index, entry in enumerate(entries, first)],
        )
        about = [
            (entry.subject_id, at)
            for at, entry in enumerate(entries, first)
            if entry.subject_id is not None
        ]
        if about:
            bulk_insert(session, _ABOUT, _ABOUT_COLUMNS, about)
        self.lease.advance(session, appended=first + len(entries), newest=newest)
        return first

    def _keep_envelopes(self, session: Session, entries: Sequence[Entry]) -> None:
        """Store the envelopes that are not there yet. What an earlier transaction stored is not
        asked for again."""
        headers = {entry.envelope for entry in entries if entry.envelope is not None}
        named = {hashlib.sha256(header).hexdigest(): header for header in headers}
        unsure = [name for name in named if name not in self._stored]
        if not unsure:
            return
        found = set(
            session.scalars(select(LogEnvelopeRow.sha256).where(LogEnvelopeRow.sha256.in_(unsure)))
        )
        if len(self._stored) > _MAX_REMEMBERED:
            self._stored.clear()
        # inserted by this very transaction, which may still fail
        mine = session.info.setdefault("envelopes", set())
        self._stored.update(found - mine)
        rows = [{"sha256": name, "header": named[name]} for name in unsure if name not in found]
        if rows:
            session.execute(insert(LogEnvelopeRow), rows)
            mine.update(row["sha256"] for row in rows)

    # --- reading

    def state(self, session: Session) -> LogPosition:
        return read_state(session)

    def size(self, session: Session) -> int:
        """Entries that have an index, integrated or not."""
        return self.state(session).appended

    def published_size(self, session: Session) -> int:
        """Entries under the newest checkpoint that the quorum has cosigned."""
        return session.scalar(select(func.max(LogPublishedRow.size))) or 0

    def signed_head(self, session: Session) -> str:
        """The newest signed checkpoint, cosigned or not; raises NotFound."""
        note = session.scalar(
            select(LogCheckpointRow.note).order_by(LogCheckpointRow.size.desc()).limit(1)
        )
        if note is None:
            raise NotFound("the log has no entries yet")
        return note

    def checkpoint(self, session: Session, size: int | None = None) -> str:
        """The cosigned checkpoint of ``size`` entries, or the newest; raises NotFound."""
        wanted = {} if size is None else {"size": size}
        note: str | None = (
            session.connection().execute(_NEWEST if size is None else _PUBLISHED, wanted).scalar()
        )
        if note is None:
            raise NotFound(
                "the log has published no "
                f"checkpoint{'' if size is None else f' of {size} entries'} yet"
            )
        return note

    def _head(self, session: Session) -> tuple[Checkpoint, str]:
        note = self.checkpoint(session)
        return self.own_head(note), note

    def own_head(self, note: str) -> Checkpoint:
        """A head that this log signed itself; raises LogDamaged when the note is not what was
        stored."""
        if note not in self._heads:
            if len(self._heads) >= _HEADS_REMEMBERED:
                self._heads.clear()
            try:
                self._heads[note] = open_checkpoint(note, self.verifier)
            except SignatureError as error:
                raise LogDamaged(
                    f"a head that was stored is damaged ({error}); run: tahini log fsck"
                ) from error
        return self._heads[note]

    def prove_inclusion(self, session: Session, index: int) -> InclusionProof:
        """Proof that entry ``index`` is under the newest published checkpoint.

        Raises:
            ProofError: not (yet) under it. LogDamaged: the proof would not verify.
        """
        head, note = self._head(session)
        if not 0 <= index < head.size:
            raise ProofError(
                f"entry {index} is not under the published checkpoint of {head.size} entries"
            )
        read = tile_reader(TileStore(session).load)
        with _damage():
            proof = InclusionProof(index, tuple(inclusion_proof(index, head.size, read)), note)
            leaf = next(self.leaves(session, index, index + 1), None)
            if leaf is None:
                raise NotFound(f"entry {index} is lost")
            verify_inclusion(leaf_hash(leaf), index, head.size, proof.path, head.root)
        return proof

    def prove_consistency(self, session: Session, old: int, new: int) -> list[bytes]:
        """Proof that the log of ``new`` entries extends that of ``old``; both roots are recomputed
        and checked.

        Raises:
            ProofError: undefined, or ``new`` is not integrated yet. LogDamaged: the proof would not
                verify.
        """
        if not 0 < old <= new:
            raise ProofError(f"consistency from {old} to {new} entries is not defined")
        if new > self.state(session).integrated:
            raise ProofError(f"the log has no {new} entries yet")
        read = tile_reader(TileStore(session).load)
        with _damage():
            proof = consistency_proof(old, new, read)
            roots = {size: tree_root(size, read) for size in (old, new)}
            verify_consistency(old, new, proof, roots[old], roots[new])
            for note in session.scalars(
                select(LogCheckpointRow.note).where(LogCheckpointRow.size.in_([old, new]))
            ):
                head = self.own_head(note)
                if not hmac.compare_digest(head.root, roots.get(head.size, b"")):
                    raise LogDamaged(
                        f"the stored tree of {head.size} entries is not the one that was signed"
                    )
        return proof

    def tile(self, session: Session, level: int, index: int, width: int) -> bytes:
        """The first ``width`` hashes of a tile; raises NotFound, or LogDamaged where it should be
        there."""
        hashes = TileStore(session).load(level, index)[: HASH_SIZE * width]
        if len(hashes) != HASH_SIZE * width:
            if (index * TILE_WIDTH + width) << (8 * level) <= self.state(session).integrated:
                raise LogDamaged(f"tile {level}/{index_path(index)} is lost; run: tahini log fsck")
            raise NotFound("the log has no such tile yet")
        return hashes

    def entries(self, session: Session, bundle: int, width: int) -> bytes:
        """An entry bundle of tlog-tiles: the leaves only, bodies are apart."""
        hashes = tile_hashes(self.tile(session, 0, bundle, width))
        start = bundle * TILE_WIDTH
        leaves = list(self.leaves(session, start, start + width))
        if [leaf_hash(leaf) for leaf in leaves] != hashes:
            raise LogDamaged(
                f"an entry between {start} and {start + width} is damaged or lost; run: tahini log "
                "fsck"
            )
        return entry_bundle(leaves)

    def leaves(self, session: Session, start: int, stop: int) -> Iterator[bytes]:
        """Leaves ``start`` to ``stop - 1`` as they are stored, unchecked."""
        for at in range(start, stop, _PAGE):
            rows = session.connection().execute(
                _LEAVES, {"start": at, "stop": min(at + _PAGE, stop)}
            )
            yield from (row[0] for row in rows.fetchall())

    def entry(self, session: Session, index: int) -> Logged:
        """Raises NotFound."""
        row = session.connection().execute(_ENTRY, {"index": index}).one_or_none()
        if row is None:
            raise NotFound(f"the log has no entry {index}")
        return Logged(row[0], row[1])

    def entries_at(self, session: Session, indexes: Sequence[int]) -> dict[int, Logged]:
        """Those of these entries that are there, by index."""
        found: dict[int, Logged] = {}
        for start in range(0, len(indexes), _PAGE):
            some = among("idx", indexes[start : start + _PAGE])
            question = f"SELECT idx, leaf, body FROM log_entries WHERE {some}"  # noqa: S608 - numbers of our own
            rows = session.connection().exec_driver_sql(question)
            found.update((row[0], Logged(row[1], row[2])) for row in rows)
        return found

    def envelope(self, session: Session, sha256: str) -> bytes:
        """The header of an envelope; raises NotFound."""
        header = session.scalar(
            select(LogEnvelopeRow.header).where(LogEnvelopeRow.sha256 == sha256)
        )
        if header is None:
            raise NotFound("the log has no such envelope")
        return header


@contextmanager
def _damage() -> Iterator[None]:
    """The question was a good one, so whatever does not verify in here is the log's fault."""
    try:
        yield
    except (ProofError, NotFound) as error:
        raise LogDamaged(f"the log is damaged ({error}); run: tahini log fsck") from error
