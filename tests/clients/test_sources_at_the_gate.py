"""A lender's rows at the gate: from a file as from a book, and nobody who is twice in them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from support.lender_tables import as_csv, lender_table

from clients.data.book import open_source
from clients.errors import SourceError
from clients.renaming import rename_people
from naming.client import Renaming


def moved(home: Path, more: str = "") -> None:
    """A node's book becomes a CSV file of its own system."""
    book = pd.read_parquet(home / "book.parquet").rename(columns={"pseudonym": "customer", "late": "n_late"})
    book.to_csv(home / "loans.csv", index=False)
    (home / "book.parquet").unlink()
    (home / "data.toml").write_text(
        f'kind = "csv"\npath = "loans.csv"\nperson = "customer"\n{more}\n[columns]\nlate = "n_late"\n',
        encoding="utf-8",
    )


def test_the_gate_lets_the_same_rows_through_from_a_file(active, chunks_of):
    book = active.open_gate(0, "cedar").table
    chunks_of(7)
    again = active.open_gate(1, "cedar").table
    pd.testing.assert_frame_equal(book, again, check_dtype=False)
    moved(active.founded.node_home("cedar"))
    batch = active.open_gate(2, "cedar")
    from_file = batch.table
    order = ["late", "income", "grade", "bad"]
    assert active.members(2, "cedar") == active.members(0, "cedar")
    pd.testing.assert_frame_equal(
        book.sort_values(order, ignore_index=True), from_file.sort_values(order, ignore_index=True), check_dtype=False
    )
    assert from_file["income"].isna().sum() == sum(not p.sensitive for p in active.consenting("cedar"))
    assert list(from_file.columns) == ["bad", "late", "income", "grade"], "no name leaves the gate"


def test_somebody_twice_in_a_file_is_a_member_without_rows_at_the_gate(active):
    home = active.founded.node_home("cedar")
    moved(home)
    table = pd.read_csv(home / "loans.csv")
    first = active.open_gate(0, "cedar").table
    consenting = next(iter(active.members(0, "cedar")))
    twice = pd.concat([table, table[table["customer"] == consenting]])
    twice.to_csv(home / "loans.csv", index=False)
    second = active.open_gate(1, "cedar").table
    assert active.members(1, "cedar") == active.members(0, "cedar")
    assert len(second) == len(first) - 1


def test_a_book_and_a_description_together_are_refused(tmp_path):
    as_csv(tmp_path / "home", lender_table(10))
    (tmp_path / "home" / "book.parquet").touch()
    with pytest.raises(SourceError, match="imported loan book"):
        open_source(tmp_path / "home")


def test_renaming_re_keys_the_ledger_and_leaves_the_lender_s_own_table_alone(house):
    node = house.node("cedar")
    moved(node.home)
    before = (node.home / "loans.csv").read_bytes()
    person = house.borrowers["cedar"][0].pseudonym
    done = rename_people(node, [Renaming(person, "v2." + "x" * 43, "v2." + "y" * 43)])
    assert (done.ledger, done.book) == (1, 0)
    assert (node.home / "loans.csv").read_bytes() == before
