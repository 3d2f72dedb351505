"""Behind every commit: integrate what was appended, sign the head, have it cosigned, publish it.

One thread integrates (tiles and signed head, within milliseconds of the commit), another publishes (witnesses may be
slow). Both steps can also be taken by hand, :meth:`Sequencer.settle`, where no thread runs. Whoever needs a proof
waits for publication: :meth:`Sequencer.wait_for`.

Where several processes serve one log, one of them at a time takes both steps (``auditlog.leadership``); the others
follow what it publishes, more closely while somebody waits.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from sqlalchemy import insert
from sqlalchemy.orm import Session

from auditlog.database import Database, upsert
from auditlog.leadership import Alone, Standing, Turn
from auditlog.lease import LEASE_S
from auditlog.log import AuditLog, TileStore
from auditlog.tables import LogCheckpointRow, LogPublishedRow, LogTileRow
from auditlog.witnesses import WitnessAhead, Witnesses
from crypto.errors import CryptoError, ProofError, SignatureError
from crypto.merkle import leaf_hash, tree_root
from crypto.notes import Checkpoint, claimed_checkpoint, sign_checkpoint
from crypto.policies import NO_QUORUM
from crypto.tiles import TILE_WIDTH, TileId, TileLoader, extend_tiles, tile_reader
from ops import metrics
from protocol.errors import ConsentError, LogDamaged, LogHeld, NotFound, NotWitnessed

MOST_AT_ONCE = 32 * 1024
"""Entries integrated in one step: bounds memory and how long the writer's lock is held."""
PUBLICATION_TIMEOUT_S = 15.0
MOST_WAITING = 24
"""Threads that may wait for publication: fewer than a server has, so that readers are still answered."""
_RETRY_S = (0.1, 2.0)
_REST, _LONGEST_REST_S = 4.0, 0.05
_IDLE_S, _SHARED_S = 1.0, 0.02
"""How often to look for what another process did: with nothing to expect; where other workers append, or wait."""
_WELL: Mapping[str, str] = MappingProxyType({})
logger = logging.getLogger("tahini.log")


class _Edge:
    """The tiles at the right edge of the tree: all that the next integration needs. At most one per level."""

    def __init__(self) -> None:
        self.size = -1
        self._tiles: dict[TileId, bytes] = {}

    def loader(self, store: TileStore) -> TileLoader:
        return lambda level, index: self._tiles.get(TileId(level, index)) or store.load(level, index)

    def move(self, size: int, changed: dict[TileId, bytes]) -> None:
        self.size = size
        known = {**self._tiles, **changed}
        self._tiles = {
            tile: hashes for tile, hashes in known.items() if tile.index >= (size >> (8 * tile.level)) // TILE_WIDTH - 1
        }


@dataclass
class Sequencer:
    """Brings the log's signed head up to what was appended.

    ``halted`` says why nothing is signed any more, once a witness has seen more of the log than is here; ``failing``
    why the last step failed, while it is being tried again. ``turn`` says which process takes the steps.
    """

    database: Database
    log: AuditLog
    witnesses: Witnesses
    turn: Turn = field(default_factory=Alone)
    read_only: bool = False
    _edge: _Edge = field(default_factory=_Edge, repr=False)
    _work: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _waiting: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(MOST_WAITING), repr=False)
    _moved: threading.Condition = field(default_factory=threading.Condition, repr=False)
    _publishing_lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _appended: threading.Event = field(default_factory=threading.Event, repr=False)
    _integrated: threading.Event = field(default_factory=threading.Event, repr=False)
    _failures: dict[str, str] = field(default_factory=dict, repr=False)
    _telling: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _wanted: threading.Event = field(default_factory=threading.Event, repr=False)
    _published: int = 0
    _threads: list[threading.Thread] = field(default_factory=list, repr=False)
    _stopping: bool = False

    @property
    def published(self) -> int:
        """Entries under a published checkpoint, as far as this process knows; whoever asks makes it look again soon."""
        self._wanted.set()
        return self._published

    @property
    def halted(self) -> str:
        return self.turn.told().halted

    @property
    def failing(self) -> str:
        return self.turn.told().failing

    def _fares(self, halted: str = "", failing: Mapping[str, str] = _WELL) -> None:
        """Say why the log halted, or what a step, by its name, failed of; once halted, it stays so."""
        with self._telling:
            self._failures.update(failing)
            first = next(filter(None, self._failures.values()), "")
            standing = Standing(halted or self.halted, first)
            if standing != self.turn.told():
                self.turn.tell(standing)
                metrics.troubled(bool(standing.halted), bool(standing.failing))

    # --- one step of each kind

    def integrate(self) -> Checkpoint | None:
        """Sign one head over what was appended; None when there is nothing new.

        Raises:
            LogHeld: another process writes to this log. LogDamaged: what is stored is not what was signed.
        """
        with self._work:
            with self.database.read() as session:
                state = self.log.state(session)
                start, stop = state.integrated, min(state.appended, state.integrated + MOST_AT_ONCE)
                metrics.stage("appended", state.appended)
                metrics.stage("integrated", state.integrated)
                if start == stop:
                    return None
                fresh = self._edge.size != start  # the first time, or another process has written since
                if fresh:
                    self._edge = _Edge()
                loader = self._edge.loader(TileStore(session))
                if fresh:
                    self._check_edge(session, start, loader)
                changed, checkpoint = self._extend(session, start, stop, loader)
            with self.database.write() as session:
                self._record(session, start, changed, checkpoint)
            self._edge.move(stop, changed)
        metrics.stage("integrated", checkpoint.size)
        if self.log.policy.quorum == NO_QUORUM:
            self._tell(checkpoint.size)
        self._integrated.set()
        return checkpoint

    def _check_edge(self, session: Session, size: int, load: TileLoader) -> None:
        """Before anything is signed on top of it: the stored tree is the one that was signed last."""
        if size == 0:
            return
        try:
            signed = self.log.own_head(self.log.signed_head(session))
        except NotFound as error:
            raise LogDamaged(f"every head of {size} integrated entries is lost; run: tahini log fsck") from error
        try:
            root = tree_root(size, tile_reader(load))
        except ProofError as error:
            raise LogDamaged(f"the log is damaged ({error}); run: tahini log fsck") from error
        if (signed.size, signed.root) != (size, root):
            raise LogDamaged(
                f"the stored tree of {size} entries is not the one that was signed; nothing is signed on top of it; "
                "run: tahini log fsck"
            )

    def _extend(
        self, session: Session, start: int, stop: int, load: TileLoader
    ) -> tuple[dict[TileId, bytes], Checkpoint]:
        hashes = [leaf_hash(leaf) for leaf in self.log.leaves(session, start, stop)]
        if len(hashes) != stop - start:
            raise LogDamaged(f"an entry between {start} and {stop} is lost; run: tahini log fsck")
        changed = extend_tiles(start, hashes, load)
        root = tree_root(
            stop, tile_reader(lambda level, index: changed.get(TileId(level, index)) or load(level, index))
        )
        return changed, Checkpoint(self.log.origin, stop, root)

    def _record(self, session: Session, start: int, changed: dict[TileId, bytes], checkpoint: Checkpoint) -> None:
        state = self.log.lease.hold(session)
        if state.integrated != start:
            raise LogHeld("another process integrated these entries")
        rows = [
            {"level": tile.level, "idx": tile.index, "hashes": hashes, "checksum": hashlib.sha256(hashes).digest()}
            for tile, hashes in changed.items()
        ]
        upsert(session, LogTileRow.__table__, ["level", "idx"], ["hashes", "checksum"], rows)
        note = sign_checkpoint(checkpoint, self.log.key)
        session.execute(insert(LogCheckpointRow), [{"size": checkpoint.size, "note": note}])
        if self.log.policy.quorum == NO_QUORUM:
            session.execute(insert(LogPublishedRow), [{"size": checkpoint.size, "note": note}])
        self.log.lease.advance(session, integrated=checkpoint.size)

    def publish(self) -> int:
        """Have the newest signed head cosigned and publish it; returns the published size.

        Raises:
            NotWitnessed: no quorum.
        """
        with self._publishing_lock:
            with self.database.read() as session:
                published = self.log.published_size(session)
                try:
                    note = self.log.signed_head(session)
                except NotFound:
                    return 0
            head = self._claimed(note)
            if head.size > published:
                self._cosign(note, self.log.own_head(note))
                published = head.size
        self._tell(published)
        return published

    def _claimed(self, note: str) -> Checkpoint:
        """What a stored head says of itself; its signature is checked where it matters."""
        try:
            return claimed_checkpoint(note)
        except SignatureError as error:
            raise LogDamaged(f"the newest signed head is damaged ({error}); run: tahini log fsck") from error

    def _tell(self, published: int) -> None:
        metrics.stage("published", published)
        with self._moved:
            if published > self._published:
                self._published = published
                self._moved.notify_all()

    def _cosign(self, note: str, head: Checkpoint) -> None:
        if self.halted:
            raise NotWitnessed(self.halted)
        with self.database.write() as session:  # only who may write asks the witnesses
            epoch = self.log.lease.hold(session).epoch
        try:
            cosigned = self.witnesses.cosign(note, head, self._prove)
        except NotWitnessed as error:
            metrics.asked_witnesses("refused")
            if isinstance(error, WitnessAhead):
                with self.database.read() as session:
                    state = self.log.state(session)
                if (state.epoch, state.integrated) == (epoch, head.size):
                    self._fares(halted=str(error))
            raise
        finally:
            for submitter in self.witnesses.submitters:
                metrics.witnessed(submitter.witness.name, submitter.size)
        metrics.asked_witnesses("cosigned")
        self.log.policy.open(cosigned)
        with self.database.write() as session:
            if self.log.state(session).epoch != epoch:
                raise LogHeld("another process has taken over this log; it publishes")
            if session.get(LogPublishedRow, head.size) is None:
                session.execute(insert(LogPublishedRow), [{"size": head.size, "note": cosigned}])

    def _prove(self, old: int, new: int) -> list[bytes]:
        with self.database.read() as session:
            return self.log.prove_consistency(session, old, new)

    def settle(self) -> int:
        """Integrate and publish everything that was appended; returns the published size."""
        while self.integrate() is not None:
            pass
        return self.publish()

    # --- as a service

    def start(self, read_only: bool = False) -> None:
        """Run both steps in the background until :meth:`stop`; with ``read_only`` only follow what others publish."""
        self._stopping, self.read_only = False, read_only
        steps = [(self._follow, self._wanted, "follow")] if read_only or self.turn.shared else []
        if not read_only:
            steps += [
                (self._integrate_all, self._appended, "integrate"),
                (self._publish_once, self._integrated, "publish"),
            ]
            self._appended.set()  # whoever starts first takes the lease at once
        self._threads = [
            threading.Thread(target=self._loop, args=(step, event), name=name, daemon=True)
            for step, event, name in steps
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._appended.set()
        self._integrated.set()
        self._wanted.set()
        for thread in self._threads:
            thread.join(10)
        self._threads = []
        self.witnesses.close()

    def notify(self) -> None:
        """Something was committed."""
        self._appended.set()

    def wait_for(self, index: int) -> None:
        """Return once entry ``index`` is under a published checkpoint.

        Raises:
            NotWitnessed: not within 15 s; the entry is durable all the same.
        """
        if not self._threads:
            self.settle()
            return
        self.notify()
        if not self._waiting.acquire(blocking=False):
            raise NotWitnessed(f"entry {index} is recorded; too many others wait for the witnesses already")
        try:
            self._await(index)
        finally:
            self._waiting.release()

    def _await(self, index: int) -> None:
        deadline = time.monotonic() + PUBLICATION_TIMEOUT_S
        look_again = _SHARED_S if self.turn.shared else _IDLE_S
        with self._moved:
            while not (self.published > index or self.halted):
                left = deadline - time.monotonic()
                if left > 0:
                    self._moved.wait(min(left, look_again))
                    continue
                raise NotWitnessed(
                    f"entry {index} is recorded, but no quorum of witnesses has cosigned it within "
                    f"{PUBLICATION_TIMEOUT_S:.0f} s; its proof will be there once they do"
                )
        if self.halted and self._published <= index:
            raise NotWitnessed(f"entry {index} is recorded, but nothing is signed any more: {self.halted}")

    def _integrate_all(self) -> None:
        if not self.turn.mine():
            return
        while self.integrate() is not None:
            pass
        self._renew()

    def _publish_once(self) -> None:
        if self.turn.mine():
            self.publish()

    def _follow(self) -> None:
        if not self.read_only and self.turn.mine():
            return
        with self.database.read() as session:
            self._tell(self.log.published_size(session))

    def _renew(self) -> None:
        """Keep the lease of an idle log, a few times in its lifetime."""
        if time.monotonic() - self._renewed < LEASE_S / 3:
            return
        self._renewed = time.monotonic()
        with self.database.write() as session:
            self.log.lease.hold(session)
            self.log.lease.advance(session)

    _renewed: float = 0.0

    def _pause(self, event: threading.Event) -> float:
        """How long a step that nobody asks for may wait: the one that signs looks for other workers' appends."""
        return _SHARED_S if event is self._appended and self.turn.shared and self.turn.mine() else _IDLE_S

    def _loop(self, step: Callable[[], None], event: threading.Event) -> None:
        """Do ``step`` whenever there is something new, and now and then; what fails is tried again, more slowly.

        A step rests for as long as it worked, a few times over: under load it does more at once, not more often.
        """
        retry, name, pause = _RETRY_S[0], threading.current_thread().name, _IDLE_S
        while not self._stopping:
            event.wait(pause)
            event.clear()
            if self._stopping:
                return
            started = time.monotonic()
            try:
                step()
                retry, pause = _RETRY_S[0], self._pause(event)
            except LogHeld as error:
                logger.info("reading only: %s", error)
                pause = _IDLE_S
            except Exception as error:
                # Whatever it was, this thread is the only one that signs: it says so and tries again.
                failing = str(error) if isinstance(error, ConsentError | CryptoError) else type(error).__name__
                logger.warning("%s", failing, exc_info=not isinstance(error, ConsentError | CryptoError))
                self._fares(failing={name: failing})
                time.sleep(retry)
                retry = min(2 * retry, _RETRY_S[1])
                event.set()
            else:
                self._fares(failing={name: ""})
                time.sleep(min(_REST * (time.monotonic() - started), _LONGEST_REST_S))
