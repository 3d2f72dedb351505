"""People get new names: the node's ledger first, then its loan book.

The ledger records whose history is whose in one transaction, and then answers alike for either
name. So whatever happens between the two steps, nobody's spent budget is lost: until the book
follows, its people are known by their old names and have spent what they spent. Doing it again
finishes what was interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clients.data.description import DATA_FILE
from clients.data.importing import rename_book
from clients.home import BOOK_FILE, Node
from naming.client import Renaming
from protocol.client.lenders import LenderClient
from protocol.schema import now

REGISTERED_AT_ONCE = 50_000


@dataclass(frozen=True)
class Renamed:
    """How many people the ledger and the book know by a new name now."""

    ledger: int
    book: int


def rename_people(node: Node, renamings: Sequence[Renaming]) -> Renamed:
    """Re-key the node's ledger and book. Stop the node first: a release under way would find nobody
    by the old names.

    Where ``data.toml`` describes the rows, the lender itself puts the new names into its table
    before the node goes on.

    Raises:
        NodeError: the renamings contradict earlier ones; nothing was changed.
        SourceError: the book cannot be read or written; the ledger has the names, do it again.
    """
    names = {renaming.old: renaming.new for renaming in renamings}
    in_ledger = node.store.rename(names, now())
    if (
        node.home / DATA_FILE
    ).exists():  # the rows are the lender's own table, which nothing here writes to
        return Renamed(in_ledger, 0)
    return Renamed(in_ledger, rename_book(node.home / BOOK_FILE, names))


def register_renamings(node: Node, renamings: Sequence[Renaming]) -> int:
    """Tell the registry the new names of those who are on the roll under an old one; returns how
    many.

    Raises:
        ConsentError: the registry refused; nobody of that batch was renamed. Run it again, whatever
            came in between.
    """
    with node.connected(LenderClient) as client:
        on_roll = set(client.whole_roll())
        left = [renaming for renaming in renamings if renaming.old in on_roll]
        for start in range(0, len(left), REGISTERED_AT_ONCE):
            client.rename(
                [(r.old, r.new, r.ledger) for r in left[start : start + REGISTERED_AT_ONCE]]
            )
    return len(left)
