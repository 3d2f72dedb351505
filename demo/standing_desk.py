"""A lender's desk in a consortium that ``tahini up`` founded: no model is released yet, so people
decide."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from clients.home import Node
from crypto.keys import write_secret
from demo.borrowers import DemoBorrower
from demo.consortium import Founded
from demo.desk_homes import furnish
from demo.lending import CUSTOMERS_FILE, facts_of, own_customers
from demo.loans import Split
from demo.workspaces import DESK_FOLDER


def found_desk(root: Path, founded: Founded, lender: str) -> None:
    """Its home, before there are pages that open on it."""
    furnish(root / DESK_FOLDER, Node.open(founded.node_home(lender)))


def know_customers(
    root: Path, lender: str, borrowers: Iterable[DemoBorrower], split: Split
) -> None:
    """What its sources know of the lender's people."""
    people, loans = own_customers(borrowers, split, lender)
    write_secret(root / DESK_FOLDER / CUSTOMERS_FILE, facts_of(people, loans).to_parquet())
