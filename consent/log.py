"""The audit log: a transparency log whose entries have a clear skeleton and a sealed body.

An entry's *leaf* is canonical JSON: type, time, actor, whatever public fields the type has, and for the body its
SHA-256, who it is sealed to and, for a subject's key, the key commitment. The leaf hashes ciphertext only, so
destroying a key changes no proof.

:meth:`AuditLog.append` runs inside the caller's transaction: the state change, its entries, the tiles and the signed
checkpoint commit together or not at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.orm import Session

from consent.errors import NotFound
from consent.storage.tables import LogCheckpointRow, LogEntryRow, LogTileRow
from crypto.documents import canonical_json
from crypto.errors import ProofError
from crypto.keys import RecipientPublicKey, SigningKey, b64
from crypto.merkle import HashReader, consistency_proof, inclusion_proof, leaf_hash, tree_root
from crypto.notes import Checkpoint, InclusionProof, Verifier, open_checkpoint, sign_checkpoint
from crypto.sealing import seal, seal_to
from crypto.tiles import TILE_WIDTH, TileId, TileLoader, entry_bundle, extend_tiles, tile_reader

LEAF_VERSION = 1
MAX_LEAF_BYTES = 65_535


@dataclass(frozen=True)
class Entry:
    """What is about to be logged: the leaf's clear fields, and the body as it will be stored."""

    leaf: bytes
    body: bytes


def _leaf(kind: str, time: datetime, actor: str, public: dict[str, Any], body: dict[str, Any]) -> bytes:
    leaf = canonical_json(
        {
            "v": LEAF_VERSION,
            "type": kind,
            "time": time.isoformat().replace("+00:00", "Z"),
            "actor": actor,
            **public,
            "body": body,
        }
    )
    if len(leaf) > MAX_LEAF_BYTES:
        raise ProofError(f"a {kind} entry of {len(leaf)} bytes is larger than a log entry may be")
    return leaf


PADDING_BLOCK = 4096


def pad(body: bytes) -> bytes:
    """Canonical JSON with trailing spaces up to a whole block, so that a body's length tells no count."""
    return body + b" " * (-len(body) % PADDING_BLOCK)


def body_context(kind: str) -> bytes:
    """What every sealed body is bound to besides its key: the type of the entry it belongs to."""
    return f"tahini/log-body/v1/{kind}".encode()


def entry_for_subject(
    kind: str, time: datetime, actor: str, public: dict[str, Any], data_key: bytes, body: bytes
) -> Entry:
    """An entry whose body only the holder of this subject's data key can read."""
    sealed = seal(data_key, body, body_context(kind))
    about = {
        "sealed_to": "subject",
        "sha256": hashlib.sha256(sealed.ciphertext).hexdigest(),
        "key_commitment": b64(sealed.commitment),
    }
    return Entry(_leaf(kind, time, actor, public, about), sealed.ciphertext)


def entry_with_sealed_body(
    kind: str, time: datetime, actor: str, public: dict[str, Any], to: str, body: bytes
) -> Entry:
    """An entry whose body somebody else sealed already to party ``to``."""
    about = {"sealed_to": to, "sha256": hashlib.sha256(body).hexdigest()}
    return Entry(_leaf(kind, time, actor, public, about), body)


def entry_for_party(
    kind: str, time: datetime, actor: str, public: dict[str, Any], to: str, key: RecipientPublicKey, body: bytes
) -> Entry:
    """An entry whose body is sealed to one party, such as the auditor."""
    return entry_with_sealed_body(kind, time, actor, public, to, seal_to(key, pad(body), body_context(kind)))


@dataclass
class _Tiles:
    """Tiles of one transaction, each read at most once."""

    session: Session
    cache: dict[TileId, bytes] = field(default_factory=dict)

    def load(self, level: int, index: int) -> bytes:
        tile = TileId(level, index)
        if tile not in self.cache:
            self.cache[tile] = (
                self.session.scalar(
                    select(LogTileRow.hashes).where(LogTileRow.level == level, LogTileRow.index == index)
                )
                or b""
            )
        return self.cache[tile]


@dataclass(frozen=True)
class AuditLog:
    """The log's signing identity. State lives in the database, never here."""

    origin: str
    key: SigningKey

    @property
    def verifier(self) -> Verifier:
        return Verifier(self.origin, self.key.public)

    def size(self, session: Session) -> int:
        return session.scalar(select(func.max(LogCheckpointRow.size))) or 0

    def append(self, session: Session, entries: Sequence[Entry]) -> int:
        """Append within the caller's write transaction; returns the index of the first entry."""
        size = self.size(session)
        tiles = _Tiles(session)
        changed = extend_tiles(size, [leaf_hash(entry.leaf) for entry in entries], tiles.load)
        session.execute(
            insert(LogEntryRow),
            [{"index": size + i, "leaf": entry.leaf, "body": entry.body} for i, entry in enumerate(entries)],
        )
        statement = upsert(LogTileRow)
        session.execute(
            statement.on_conflict_do_update(
                index_elements=["level", "idx"], set_={"hashes": statement.excluded.hashes}
            ),
            [{"level": tile.level, "index": tile.index, "hashes": hashes} for tile, hashes in changed.items()],
        )
        tiles.cache.update(changed)
        head = size + len(entries)
        checkpoint = Checkpoint(self.origin, head, tree_root(head, tile_reader(tiles.load)))
        session.execute(insert(LogCheckpointRow), [{"size": head, "note": sign_checkpoint(checkpoint, self.key)}])
        return size

    def checkpoint(self, session: Session, size: int | None = None) -> str:
        """The signed checkpoint of ``size`` entries, or the newest; raises NotFound."""
        wanted = self.size(session) if size is None else size
        note = session.scalar(select(LogCheckpointRow.note).where(LogCheckpointRow.size == wanted))
        if note is None:
            raise NotFound(f"the log has no checkpoint of {wanted} entries")
        return note

    def _tiles(self, session: Session) -> TileLoader:
        return _Tiles(session).load

    def _reader(self, session: Session) -> HashReader:
        return tile_reader(self._tiles(session))

    def prove_inclusion(self, session: Session, index: int) -> InclusionProof:
        """Proof that entry ``index`` is under the newest checkpoint."""
        note = self.checkpoint(session)
        size = open_checkpoint(note, self.verifier).size
        return InclusionProof(index, tuple(inclusion_proof(index, size, self._reader(session))), note)

    def prove_consistency(self, session: Session, old: int, new: int) -> list[bytes]:
        if new > self.size(session):
            raise ProofError(f"the log has no {new} entries yet")
        return consistency_proof(old, new, self._reader(session))

    def tile(self, session: Session, level: int, index: int, width: int) -> bytes:
        """The first ``width`` hashes of a tile; raises NotFound."""
        hashes = self._tiles(session)(level, index)[: 32 * width]
        if len(hashes) != 32 * width:
            raise NotFound("the log has no such tile yet")
        return hashes

    def entries(self, session: Session, bundle: int, width: int) -> bytes:
        """An entry bundle of tlog-tiles: the leaves only, bodies are apart."""
        start = bundle * TILE_WIDTH
        leaves = session.scalars(
            select(LogEntryRow.leaf)
            .where(LogEntryRow.index >= start, LogEntryRow.index < start + width)
            .order_by(LogEntryRow.index)
        ).all()
        if len(leaves) != width:
            raise NotFound("the log has no such entry bundle yet")
        return entry_bundle(leaves)

    def entry(self, session: Session, index: int) -> Entry:
        row = session.get(LogEntryRow, index)
        if row is None:
            raise NotFound(f"the log has no entry {index}")
        return Entry(row.leaf, row.body)
