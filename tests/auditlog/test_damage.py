"""A log whose stored bytes decay or are altered: fsck names them, and nothing false is answered or signed."""

from __future__ import annotations

import contextlib
import hashlib

import pytest
from sqlalchemy import select
from support.damages import DAMAGES, QUERIES, SIZE, Truth, ask, change, flipped, garbled, replaced_head, sound_log
from support.effort import part_of
from support.faults import append
from support.histories import FAR, check_whole, published
from support.waiting import until

from auditlog.fsck import check_log
from auditlog.tables import LogCheckpointRow
from crypto.errors import CryptoError
from protocol.errors import ConsentError, LogDamaged


@pytest.fixture
def truth(make_database) -> Truth:
    return sound_log(make_database())


def test_a_sound_log_answers_every_question(truth):
    for query in QUERIES:
        ask(truth, query)
    check_log(truth.book.database, truth.book.log)


@pytest.mark.parametrize("damage", part_of(DAMAGES), ids=lambda damage: damage.name)
def test_fsck_names_what_is_damaged_and_nothing_false_is_answered(truth, damage):
    truth.book.tamper(*damage.statements(truth))
    with pytest.raises(LogDamaged, match=damage.found):
        check_log(truth.book.database, truth.book.log)
    refused = set()
    for query in QUERIES:
        try:
            ask(truth, query)
        except LogDamaged:
            refused.add(query)
        except (ConsentError, CryptoError):
            pass  # refused in other words
    assert set(damage.refused) <= refused


EDGE = [
    damage for damage in DAMAGES if damage.name.endswith(("tile 0/002", "tile 1/000", "0/002 deleted", "1/000 deleted"))
]


@pytest.mark.parametrize("damage", EDGE, ids=lambda damage: damage.name)
def test_nothing_is_signed_on_top_of_a_damaged_edge(truth, damage):
    truth.book.tamper(*damage.statements(truth))
    check_signs_nothing(truth)


def check_signs_nothing(truth: Truth) -> None:
    book = truth.restarted()
    with book.database.read() as session:
        before = session.scalars(select(LogCheckpointRow.note)).all()
    append(book, SIZE)
    for _ in range(2):
        with pytest.raises(LogDamaged):
            book.sequencer.integrate()
    with book.database.read() as session:
        assert session.scalars(select(LogCheckpointRow.note)).all() == before
        assert book.log.state(session).integrated == SIZE


@pytest.mark.parametrize(("level", "index"), [(0, 2), (1, 0)])
def test_a_tile_altered_together_with_its_checksum_proves_nothing(truth, level, index):
    """Not decay but an operator's hand: what is proved is compared with what was signed."""
    alter_consistently(truth, level, index)
    with pytest.raises(LogDamaged, match=f"tile {level}/00{index}: hash 1 is not the one"):
        check_log(truth.book.database, truth.book.log)
    for query in QUERIES:
        if query[0] in {"inclusion", "entries"}:
            with contextlib.suppress(LogDamaged):
                ask(truth, query)
    check_signs_nothing(truth)


def alter_consistently(truth: Truth, level: int, index: int) -> None:
    where = f"level = {level} AND idx = {index}"
    altered = flipped(truth.stored("log_tiles", "hashes", where))
    check = truth.literal(hashlib.sha256(altered).digest())
    truth.book.tamper(f"UPDATE log_tiles SET hashes = {truth.literal(altered)}, checksum = {check} WHERE {where}")


def test_a_consistency_proof_is_between_heads_that_were_signed(truth):
    """A tile altered together with its checksum gives roots that nobody signed."""
    alter_consistently(truth, 1, 0)
    with pytest.raises(LogDamaged), truth.book.database.read() as session:
        truth.book.log.prove_consistency(session, 512, 600)


def test_a_repaired_edge_is_signed_on_again(truth):
    where = "level = 0 AND idx = 2"
    sound = truth.literal(truth.stored("log_tiles", "hashes", where))
    truth.book.tamper(*change("log_tiles", "hashes", where, flipped)(truth))
    check_signs_nothing(truth)
    truth.book.tamper(f"UPDATE log_tiles SET hashes = {sound} WHERE {where}")
    check_whole(truth.restarted(), [*range(SIZE), SIZE])


def test_nothing_is_signed_on_top_of_a_head_that_does_not_verify(truth):
    truth.book.tamper(*change("log_checkpoints", "note", "size = 600", garbled)(truth))
    check_signs_nothing(truth)


def test_nothing_is_signed_on_top_of_a_head_of_another_tree(truth):
    truth.book.tamper(*replaced_head("log_checkpoints", 600, 600)(truth))
    check_signs_nothing(truth)


def test_nothing_is_signed_where_every_head_is_lost(truth):
    truth.book.tamper("DELETE FROM log_checkpoints", "DELETE FROM log_published")
    check_signs_nothing(truth)


def test_fsck_says_so_where_every_head_is_lost(truth):
    truth.book.tamper("DELETE FROM log_checkpoints", "DELETE FROM log_published")
    with pytest.raises(LogDamaged, match="600 entries are integrated"):
        check_log(truth.book.database, truth.book.log)


@pytest.mark.parametrize(
    ("entry", "statement"),
    [
        (599, "UPDATE log_state SET appended = 599"),
        (600, "INSERT INTO log_entries SELECT 600, leaf, body FROM log_entries WHERE idx = 599"),
    ],
)
def test_fsck_names_an_entry_that_the_state_does_not_count(truth, entry, statement):
    truth.book.tamper(statement)
    with pytest.raises(LogDamaged, match=f"entry {entry} is there"):
        check_log(truth.book.database, truth.book.log)


@pytest.mark.parametrize("newest", [0, FAR * 1_000_000])
def test_fsck_finds_a_newest_time_that_is_not_the_newest_entrys(truth, newest):
    truth.book.tamper(f"UPDATE log_state SET newest = {newest}")
    with pytest.raises(LogDamaged):
        check_log(truth.book.database, truth.book.log)


def test_a_lost_state_row_is_damage(truth):
    truth.book.tamper("DELETE FROM log_state")
    with pytest.raises(LogDamaged):
        check_log(truth.book.database, truth.book.log)


def test_a_damaged_published_head_is_the_logs_fault_not_the_callers(truth):
    truth.book.tamper(*change("log_published", "note", "size = 600", garbled)(truth))
    with pytest.raises(LogDamaged), truth.book.database.read() as session:
        truth.book.log.prove_inclusion(session, 0)


def test_the_sequencer_outlives_a_damaged_head_and_goes_on_when_it_is_repaired(truth):
    sound = truth.literal(truth.stored("log_checkpoints", "note", "size = 600"))
    truth.book.tamper(*change("log_checkpoints", "note", "size = 600", garbled)(truth))
    book = truth.restarted()
    append(book, SIZE)
    book.sequencer.start()
    book.sequencer.notify()
    try:
        until(lambda: book.sequencer.reporter.failures.get("integrate"), "the damage was met")
        truth.book.tamper(f"UPDATE log_checkpoints SET note = {sound} WHERE size = 600")
        book.sequencer.notify()
        until(lambda: published(book)[-1] == SIZE + 1, "it went on")
    finally:
        book.sequencer.stop()
