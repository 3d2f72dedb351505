"""A log of known contents, every way to damage what is stored of it, and every question that one can ask it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import text
from support.histories import roots
from support.logs import ORIGIN, Logbook

from auditlog.database import Database
from auditlog.entries import Sealer
from auditlog.sequencer import Sequencer
from crypto.keys import RecipientKey
from crypto.log_tiles import TileId, extend_tiles
from crypto.merkle import HASH_SIZE, leaf_hash, verify_consistency
from crypto.notes import Checkpoint, sign_checkpoint
from crypto.tiles import parse_entry_bundle

SIZE, HEADS, SECOND_ENVELOPE = 600, (100, 300, 512, 600), 300
TILES = {(0, 0): 256, (0, 1): 256, (0, 2): 88, (1, 0): 2}
"""Every tile of the log that is damaged, and how many hashes it holds."""


@cache
def _sealed() -> list[Any]:
    """Entries under two envelopes."""
    sealer = Sealer({name: RecipientKey.generate().public for name in ("aspen", "auditor")})
    parties = [("auditor",) if n < SECOND_ENVELOPE else ("aspen", "auditor") for n in range(SIZE)]
    return [sealer.entry("use.read", "aspen", {"counts": {"n": n}}, parties[n], b"body %d" % n) for n in range(SIZE)]


@dataclass
class Truth:
    """A log before it was damaged, and what it must have said."""

    book: Logbook
    leaves: list[bytes]
    roots: list[bytes]
    tiles: dict[TileId, bytes]

    def stored(self, table: str, column: str, where: str) -> Any:
        with self.book.database.read() as session:
            return session.execute(text(f"SELECT {column} FROM {table} WHERE {where}")).scalar_one()

    def literal(self, value: bytes | str) -> str:
        if isinstance(value, str):
            return f"'{value}'"
        return f"x'{value.hex()}'" if self.book.database.dialect == "sqlite" else f"decode('{value.hex()}', 'hex')"

    def restarted(self) -> Logbook:
        """The same writer, with nothing in memory."""
        book = self.book
        return Logbook(book.database, book.log, Sequencer(book.database, book.log, book.sequencer.witnesses))


def sound_log(database: Database) -> Truth:
    book, start = Logbook.over(database), 0
    for size in HEADS:
        with book.database.write() as session:
            book.log.append(session, _sealed()[start:size])
        assert book.settle() == size
        start = size
    leaves = book.leaves()
    return Truth(book, leaves, roots(leaves), extend_tiles(0, [leaf_hash(leaf) for leaf in leaves], lambda *_: b""))


Query = tuple[Any, ...]
QUERIES: list[Query] = [
    *(("tile", level, index, width) for (level, index), width in TILES.items()),
    ("tile", 0, 2, 40),
    ("tile", 1, 0, 1),
    ("entries", 0, 256),
    ("entries", 1, 256),
    ("entries", 2, 88),
    *(("inclusion", index) for index in (0, 17, 255, 256, 300, 511, 512, 550, 599)),
    *(("consistency", old, new) for old in HEADS for new in HEADS if old <= new),
]


def ask(truth: Truth, query: Query) -> None:
    """Whatever is answered is the truth."""
    log, (what, *about) = truth.book.log, query
    with truth.book.database.read() as session:
        if what == "tile":
            level, index, width = about
            assert log.tile(session, level, index, width) == truth.tiles[TileId(level, index)][: width * HASH_SIZE]
        elif what == "entries":
            bundle, width = about
            served = parse_entry_bundle(log.entries(session, bundle, width))
            assert served == truth.leaves[bundle * 256 : bundle * 256 + width]
        elif what == "inclusion":
            head = log.prove_inclusion(session, about[0]).verify(truth.leaves[about[0]], log.policy)
            assert head.root == truth.roots[head.size]
        else:
            old, new = about
            proof = log.prove_consistency(session, old, new)
            verify_consistency(old, new, proof, truth.roots[old], truth.roots[new])


@dataclass(frozen=True)
class Damage:
    name: str
    statements: Callable[[Truth], list[str]]
    found: str
    """What fsck says of it."""
    refused: tuple[Query, ...] = ()
    """What must not be answered any more; of everything else, nothing false."""


def flipped(value: bytes, at: int = 37) -> bytes:
    at %= len(value)
    return value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]


def change(table: str, column: str, where: str, alter: Callable[[Any], Any]) -> Callable[[Truth], list[str]]:
    def statements(truth: Truth) -> list[str]:
        altered = truth.literal(alter(truth.stored(table, column, where)))
        return [f"UPDATE {table} SET {column} = {altered} WHERE {where}"]

    return statements


def just(*statements: str) -> Callable[[Truth], list[str]]:
    return lambda _truth: list(statements)


def _tile_damages() -> Iterator[Damage]:
    broken = {
        (0, 0): (("entries", 0, 256), ("inclusion", 17), ("consistency", 100, 600)),
        (0, 1): (("entries", 1, 256), ("inclusion", 300), ("consistency", 300, 600)),
        (0, 2): (("entries", 2, 88), ("inclusion", 550), ("consistency", 512, 600)),
        (1, 0): (("inclusion", 17), ("inclusion", 550), ("consistency", 100, 600)),
    }
    for (level, index), width in TILES.items():
        where, name = f"level = {level} AND idx = {index}", f"tile {level}/00{index}"
        served = ("tile", level, index, width)
        refused = (served, *broken[level, index])
        yield Damage(f"{name} deleted", just(f"DELETE FROM log_tiles WHERE {where}"), f"{name} is missing", refused)
        yield Damage(
            f"a bit of {name}", change("log_tiles", "hashes", where, flipped), f"{name}: hash 1 is not the one", refused
        )
        yield Damage(
            f"the checksum of {name}",
            change("log_tiles", "checksum", where, lambda check: flipped(check, 3)),
            f"{name}: its checksum is wrong",
            refused,
        )

        def cut(truth: Truth, where: str = where) -> list[str]:
            kept = truth.stored("log_tiles", "hashes", where)[:-HASH_SIZE]
            check = truth.literal(hashlib.sha256(kept).digest())
            return [f"UPDATE log_tiles SET hashes = {truth.literal(kept)}, checksum = {check} WHERE {where}"]

        yield Damage(f"{name} cut short", cut, f"{name} has {width - 1} hashes, not {width}", (served,))


def replaced_head(table: str, size: int, says: int) -> Callable[[Truth], list[str]]:
    """A note that the log's own key signed, over a root that never was."""

    def statements(truth: Truth) -> list[str]:
        note = sign_checkpoint(Checkpoint(ORIGIN, says, b"\7" * 32), truth.book.log.key)
        return [
            f"DELETE FROM {table} WHERE size = {size}",
            f"INSERT INTO {table} VALUES ({size}, {truth.literal(note)})",
        ]

    return statements


def garbled(note: str) -> str:
    return note.replace(note[-20], "A" if note[-20] != "A" else "B")


def _envelope(number: int) -> str:
    return f"sha256 = '{hashlib.sha256(_sealed()[number].envelope).hexdigest()}'"


def _entry_damages() -> Iterator[Damage]:
    at = SECOND_ENVELOPE
    lost = (("entries", 1, 256), ("inclusion", at))
    leaf = lambda alter: change("log_entries", "leaf", f"idx = {at}", alter)  # noqa: E731
    yield Damage(
        "a leaf, otherwise in order",
        leaf(lambda leaf: leaf.replace(b'"n":300', b'"n":301')),
        f"tile 0/001: hash {at - 256} is not the one",
        lost,
    )
    yield Damage("a leaf that is no JSON", leaf(lambda leaf: flipped(leaf, 0)), f"entry {at} is not a leaf", lost)
    yield Damage(
        "a leaf, as JSON with a space", leaf(lambda leaf: leaf + b" "), f"entry {at} is not canonical JSON", lost
    )
    yield Damage(
        "the time of a leaf",
        leaf(lambda leaf: leaf.replace(b'"time":"2', b'"time":"1')),
        f"entry {at}: its time 1",
        lost,
    )
    yield Damage("a body", change("log_entries", "body", f"idx = {at}", flipped), f"entry {at}: its body was altered")
    yield Damage("an entry deleted", just(f"DELETE FROM log_entries WHERE idx = {at}"), f"entry {at} is missing", lost)
    yield Damage(
        "the last entry deleted",
        just("DELETE FROM log_entries WHERE idx = 599"),
        "entry 599 is missing",
        (("entries", 2, 88), ("inclusion", 599)),
    )
    envelope = _envelope(at)
    yield Damage(
        "an envelope deleted",
        just(f"DELETE FROM log_envelopes WHERE {envelope}"),
        f"entry {at}: the envelope of its body is missing",
    )
    yield Damage(
        "an envelope",
        change("log_envelopes", "header", envelope, flipped),
        f"entry {at}: the envelope of its body was altered",
    )


def _head_damages() -> Iterator[Damage]:
    signed, published = "log_checkpoints", "log_published"
    read = (("inclusion", 17), ("inclusion", 599))

    def spoilt(table: str, size: int) -> Callable[[Truth], list[str]]:
        return change(table, "note", f"size = {size}", garbled)

    never_signed = "a head of {} entries was published, but never signed"
    another_root = "the {} head of {} entries has another root"
    for name, statements, found, refused in (
        ("a signed head", spoilt(signed, 300), "the signed head of 300 entries", ()),
        ("a published head", spoilt(published, 600), "the published head of 600 entries", ()),
        ("a signed head of another tree", replaced_head(signed, 300, 300), another_root.format("signed", 300), ()),
        ("a published head of another tree", replaced_head(published, 600, 600),
         another_root.format("published", 600), read),
        ("a signed head under another size", replaced_head(signed, 300, 301),
         "the signed head of 300 entries speaks of 301", ()),
        ("a published head that was never signed", replaced_head(published, 450, 450), never_signed.format(450), ()),
        ("a published head of more entries than there are", replaced_head(published, 700, 700),
         never_signed.format(700), read),
        ("a signed head of more entries than there are", replaced_head(signed, 700, 700),
         "a head of 700 entries was signed, but there are fewer", ()),
        ("a signed head deleted", just("DELETE FROM log_checkpoints WHERE size = 600"), never_signed.format(600), ()),
    ):  # fmt: skip
        yield Damage(name, statements, found, refused)


def _state_damages() -> Iterator[Damage]:
    yield Damage("one entry too many", just("UPDATE log_state SET appended = 601"), "entry 600 is missing")
    yield Damage("fewer integrated than signed", just("UPDATE log_state SET integrated = 599"), "88 hashes, not 87|599")
    yield Damage(
        "more integrated than signed",
        just("UPDATE log_state SET integrated = 601"),
        "601 entries are integrated, but the newest signed head has another size",
    )
    yield Damage("an extra tile", just("INSERT INTO log_tiles VALUES (0, 3, '', '')"), "tile")
    yield Damage("an extra tile on top", just("INSERT INTO log_tiles VALUES (2, 0, '', '')"), "tile")


DAMAGES = [*_tile_damages(), *_entry_damages(), *_head_damages(), *_state_damages()]
