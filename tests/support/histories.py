"""What must be true of a log whatever happened to it: one history, whole, in order, under heads that it signed."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from support.faults import numbers
from support.logs import ORIGIN, Logbook

from auditlog.fsck import check_log
from auditlog.tables import LogCheckpointRow, LogPublishedRow
from crypto.log_tiles import Frontier
from crypto.merkle import leaf_hash, verify_consistency
from crypto.notes import Checkpoint, open_checkpoint

FAR = 4_000_000_000


def roots(leaves: Sequence[bytes]) -> list[bytes]:
    """Root of the tree of every size, from nothing but the leaves."""
    tree = Frontier()
    found = [tree.root]
    for leaf in leaves:
        tree.append(leaf_hash(leaf))
        found.append(tree.root)
    return found


def check_heads(book: Logbook) -> None:
    """Every head that was ever signed is one of this history, by its root and by a consistency proof to the last."""
    expected = roots(book.leaves())
    with book.database.read() as session:
        rows = session.execute(select(LogCheckpointRow.size, LogCheckpointRow.note)).all()
        final = open_checkpoint(book.log.signed_head(session), book.log.verifier)
        assert final == Checkpoint(ORIGIN, len(expected) - 1, expected[-1])
        for size, note in rows:
            head = open_checkpoint(note, book.log.verifier)
            assert (head.size, head.root) == (size, expected[size])
            proof = book.log.prove_consistency(session, size, final.size)
            verify_consistency(size, final.size, proof, head.root, final.root)


def check_whole(book: Logbook, expected: Sequence[int]) -> None:
    """These entries in this order, all integrated and published, and nothing that fsck objects to."""
    assert book.settle() == len(expected)
    assert numbers(book) == list(expected)
    found = check_log(book.database, book.log)
    assert (found.entries, found.integrated, found.published) == (len(expected),) * 3
    check_heads(book)


def one_sentence(error: BaseException, *words: str) -> None:
    said = str(error)
    assert said, "a refusal says why"
    assert "\n" not in said
    for word in words:
        assert word in said


def published(book: Logbook) -> list[int]:
    with book.database.read() as session:
        return list(session.scalars(select(LogPublishedRow.size).order_by(LogPublishedRow.size)))
