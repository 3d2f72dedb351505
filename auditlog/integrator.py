"""Integration: from appended entries to Merkle tiles and a signed head (C2SP tlog-tiles).

Nothing is signed on top of a tree that was not signed itself: before its first step, and after
another process has integrated, the stored tree is compared with the head signed last.
"""

from __future__ import annotations

import hashlib
import threading

from sqlalchemy import text
from sqlalchemy.orm import Session

from auditlog.database import Database, upsert
from auditlog.log import AuditLog, TileStore
from auditlog.tables import LogTileRow
from crypto.errors import ProofError
from crypto.log_tiles import TileId, extend_tiles
from crypto.merkle import leaf_hash, tree_root
from crypto.notes import Checkpoint, sign_checkpoint
from crypto.policies import NO_QUORUM
from crypto.tiles import TILE_WIDTH, TileLoader, tile_reader
from ops import metrics
from protocol.errors import LogDamaged, LogHeld, NotFound

_SIGNED = text("INSERT INTO log_checkpoints (size, note) VALUES (:size, :note)")
_PUBLISHED = text("INSERT INTO log_published (size, note) VALUES (:size, :note)")
MAX_AT_ONCE = 32 * 1024
"""Entries integrated in one step: bounds memory and how long the writer's lock is held."""


class _Edge:
    """The tiles at the right edge of the tree: all that the next integration needs. At most one per
    level."""

    def __init__(self) -> None:
        self.size = -1
        self._tiles: dict[TileId, bytes] = {}

    def loader(self, store: TileStore) -> TileLoader:
        return lambda level, index: (
            self._tiles.get(TileId(level, index)) or store.load(level, index)
        )

    def move(self, size: int, changed: dict[TileId, bytes]) -> None:
        self.size = size
        known = {**self._tiles, **changed}
        self._tiles = {
            tile: hashes
            for tile, hashes in known.items()
            if tile.index >= (size >> (8 * tile.level)) // TILE_WIDTH - 1
        }


class Integrator:
    """Extends the tree by what was appended, and signs its head. Steps of several threads follow
    one another."""

    def __init__(self, database: Database, log: AuditLog) -> None:
        self.database = database
        self.log = log
        self._edge = _Edge()
        self._lock = threading.Lock()

    def integrate(self) -> Checkpoint | None:
        """Sign one head over what was appended; None when there is nothing new.

        Raises:
            LogHeld: another process writes to this log. LogDamaged: what is stored is not what was
                signed.
        """
        with self._lock:
            with self.database.read() as session:
                state = self.log.state(session)
                start = state.integrated
                stop = min(state.appended, start + MAX_AT_ONCE)
                metrics.stage("appended", state.appended)
                metrics.stage("integrated", state.integrated)
                if start == stop:
                    return None
                # the first time, or another process has written since
                fresh = self._edge.size != start
                if fresh:
                    self._edge = _Edge()
                load = self._edge.loader(TileStore(session))
                if fresh:
                    self._check_edge(session, start, load)
                changed, head = self._extend(session, start, stop, load)
            with self.database.write() as session:
                self._record(session, start, changed, head)
            self._edge.move(stop, changed)
        metrics.stage("integrated", head.size)
        return head

    def _check_edge(self, session: Session, size: int, load: TileLoader) -> None:
        """Before anything is signed on top of it: the stored tree is the one that was signed
        last."""
        if size == 0:
            return
        try:
            signed = self.log.own_head(self.log.signed_head(session))
        except NotFound as error:
            raise LogDamaged(
                f"every head of {size} integrated entries is lost; run: tahini log fsck"
            ) from error
        try:
            root = tree_root(size, tile_reader(load))
        except ProofError as error:
            raise LogDamaged(f"the log is damaged ({error}); run: tahini log fsck") from error
        if (signed.size, signed.root) != (size, root):
            raise LogDamaged(
                f"the stored tree of {size} entries is not the one that was signed; nothing is "
                "signed on top of it; run: tahini log fsck"
            )

    def _extend(
        self, session: Session, start: int, stop: int, load: TileLoader
    ) -> tuple[dict[TileId, bytes], Checkpoint]:
        """The tiles that change when entries ``start`` to ``stop - 1`` are added, and the head over
        all of them."""
        hashes = [leaf_hash(leaf) for leaf in self.log.leaves(session, start, stop)]
        if len(hashes) != stop - start:
            raise LogDamaged(f"an entry between {start} and {stop} is lost; run: tahini log fsck")
        changed = extend_tiles(start, hashes, load)

        def load_changed(level: int, index: int) -> bytes:
            return changed.get(TileId(level, index)) or load(level, index)

        return changed, Checkpoint(
            self.log.origin, stop, tree_root(stop, tile_reader(load_changed))
        )

    def _record(
        self, session: Session, start: int, changed: dict[TileId, bytes], head: Checkpoint
    ) -> None:
        """Store tiles and signed head; where no quorum is asked for, the head is published with
        that."""
        state = self.log.lease.hold(session)
        if state.integrated != start:
            raise LogHeld("another process integrated these entries")
        rows = [
            {
                "level": tile.level,
                "idx": tile.index,
                "hashes": hashes,
                "checksum": hashlib.sha256(hashes).digest(),
            }
            for tile, hashes in changed.items()
        ]
        upsert(session, LogTileRow.__table__, ["level", "idx"], ["hashes", "checksum"], rows)
        note = sign_checkpoint(head, self.log.key)
        signed = {"size": head.size, "note": note}
        session.connection().execute(_SIGNED, signed)
        if self.log.policy.quorum == NO_QUORUM:
            session.connection().execute(_PUBLISHED, signed)
        self.log.lease.advance(session, integrated=head.size)
