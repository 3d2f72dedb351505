"""People get new names: whatever they spent goes with them, whatever happens in between."""

from __future__ import annotations

import csv
import json
import sqlite3
import stat

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.house import PEOPLE
from support.world import features, loans
from typer.testing import CliRunner

from cli.book import app as cli
from clients import renaming
from clients.budget_ledger import Attempt, BudgetLedger, PersonCaps
from clients.data.book import loan_book
from clients.data.importing import import_book, rename_book
from clients.errors import NodeError, SourceError, StoreFailed
from clients.naming import naming_client
from clients.renaming import rename_people
from crypto.keys import b64
from naming.client import Renaming
from naming.keys import NamingHome
from privacy.accounting import epsilon_of
from privacy.charges import Budget, Charge
from protocol.schema import now

CHARGE = Charge(2.0, steps=10)
BOUNDLESS = PersonCaps(Budget(1e6, 1e-5), Budget(1e6, 1e-5))


def store_in(folder):
    store = BudgetLedger(folder / "ledger.db")
    store.create()
    return store


@pytest.fixture
def store(tmp_path):
    return store_in(tmp_path)


def spend(store, people, release):
    about = Attempt("c", release, 1, "train", CHARGE)
    reserved = store.reserve(about, people, BOUNDLESS, now())
    assert reserved.members == people
    return reserved.number


def test_a_person_s_spent_budget_follows_every_name(store):
    spend(store, ["ann", "bob"], 1)
    spend(store, ["ann"], 2)
    assert store.rename({"ann": "ann2", "bob": "bob2"}, now()) == 2
    spend(store, ["ann2"], 3)
    store.rename({"ann2": "ann3"}, now())
    spent = store.spent(["ann", "ann2", "ann3", "bob", "bob2", "eve"])
    assert [len(charges) for charges in spent.values()] == [3, 3, 3, 1, 1, 0]


def test_a_person_at_the_cap_stays_there_under_a_new_name(store):
    spend(store, ["ann"], 1)
    store.rename({"ann": "ann2"}, now())
    about = Attempt("c", 2, 1, "train", CHARGE)
    once = Budget(epsilon_of([CHARGE], 1e-5), 1e-5)
    assert store.reserve(about, ["ann2", "eve"], PersonCaps(once, once), now()).members == ["eve"]


def test_rosters_stay_as_they_were_committed_to(store):
    number = spend(store, ["ann", "bob"], 1)
    store.rename({"ann": "ann2"}, now())
    assert store.members(number) == ["ann", "bob"]


def test_renaming_again_changes_nothing(store):
    spend(store, ["ann"], 1)
    assert store.rename({"ann": "ann2"}, now()) == 1
    assert store.rename({"ann": "ann2", "bob": "bob2"}, now()) == 1
    assert len(store.spent(["ann2"])["ann2"]) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"ann": "other"},  # named already
        {"eve": "ann2"},  # taken
        {"eve": "x", "kim": "x"},  # two people, one name
        {"ann2": "ann"},  # back to a name that was given up: a circle
        {"eve": "eve"},
        {"eve": "kim", "kim": "eve"},
        {"eve": "kim", "kim": "lou"},
    ],
)
def test_renamings_that_contradict_themselves_or_earlier_ones_change_nothing(store, wrong):
    store.rename({"ann": "ann2"}, now())
    with pytest.raises(NodeError, match="nobody was renamed"):
        store.rename({"zoe": "zoe2", **wrong}, now())
    assert store.rename({"zoe": "zoe3"}, now()) == 1


def test_renamings_of_whoever_has_spent_are_kept_for_ever(store):
    spend(store, ["ann"], 1)
    store.rename({"ann": "ann2"}, now())
    with sqlite3.connect(store.path) as connection:
        for statement in (
            "DELETE FROM renamings",
            "UPDATE renamings SET new = 'x'",
            "INSERT OR REPLACE INTO renamings VALUES ('ann', 'x', '')",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)


def test_an_older_ledger_is_completed_and_an_empty_file_is_none(store):
    spend(store, ["ann"], 1)
    with sqlite3.connect(store.path) as connection:
        connection.execute("DROP TABLE renamings")
    store.rename({"ann": "ann2"}, now())
    assert len(store.spent(["ann2"])["ann2"]) == 1
    store.path.unlink()
    with pytest.raises(StoreFailed):
        store.spent(["ann2"])


@settings(deadline=None, max_examples=25)
@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), max_size=4), st.integers(0, 3))
def test_no_order_of_releases_and_renamings_loses_a_charge(tmp_path_factory, steps, person):
    store = store_in(tmp_path_factory.mktemp("ledger"))
    names, counts = [f"p{i}" for i in range(4)], [0] * 4
    for generation, renamed in enumerate(steps):
        spend(store, names, generation)
        counts = [count + 1 for count in counts]
        fresh = {n: f"{n}.{generation}" for n, wanted in zip(names, renamed, strict=True) if wanted}
        store.rename(fresh, now())
        names = [fresh.get(name, name) for name in names]
    assert len(store.spent(names)[names[person]]) == counts[person]


# --- the book


def book_at(path, names):
    import_book(path, loans(len(names), 1), names, features(), "aspen")
    return loan_book(path)


def test_a_book_keeps_its_rows_under_new_names(tmp_path):
    path = tmp_path / "book.parquet"
    book = book_at(path, ["a", "b", "c"])
    before = pd.concat(book.rows(["a", "b", "c"], features()))
    assert rename_book(path, {"a": "z", "b": "y"}) == 2
    after = pd.concat(book.rows(["z", "y", "c"], features()))
    pd.testing.assert_frame_equal(before, after)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert rename_book(path, {"a": "z", "b": "y"}) == 0


def test_two_people_never_share_a_name_in_a_book(tmp_path):
    path = tmp_path / "book.parquet"
    book = book_at(path, ["a", "b"])
    with pytest.raises(SourceError, match="one name"):
        rename_book(path, {"a": "b"})
    assert book.people() == ["a", "b"]


def test_a_book_needs_a_name_for_each_loan(tmp_path):
    with pytest.raises(SourceError, match="2 loans and 1 names"):
        import_book(tmp_path / "book.parquet", loans(2, 1), ["a"], features(), "aspen")


# --- both, in a node's home, with the real service


def identities(lender="aspen", count=PEOPLE):
    return [f"{lender}-{i}" for i in range(count)]


def rotated(house):
    NamingHome.open(house.founded.naming_home).seeds.rotate()
    node = house.node()
    with naming_client(node, workers=1) as naming:
        return node, naming.renamings(identities(), 1, 2)


def test_a_crash_between_ledger_and_book_loses_no_charge_and_is_finished_by_doing_it_again(house, monkeypatch):
    old = loan_book(house.node().home / "book.parquet").people()
    spend(house.node().store, old, 1)
    node, renamings = rotated(house)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(renaming, "rename_book", killed)
    with pytest.raises(KeyboardInterrupt):
        rename_people(node, renamings)
    monkeypatch.undo()
    book = loan_book(node.home / "book.parquet")
    assert book.people() == old
    everybody = [*old, *(r.new for r in renamings)]
    assert {len(charges) for charges in node.store.spent(everybody).values()} == {1}
    done = rename_people(node, renamings)
    assert (done.ledger, done.book) == (0, PEOPLE)
    assert set(book.people()) == {r.new for r in renamings}
    assert {len(charges) for charges in node.store.spent(book.people()).values()} == {1}


def test_the_mapping_for_the_registry_names_each_person_s_old_and_new_names(house):
    _, renamings = rotated(house)
    known = {person.pseudonym for person in house.borrowers["aspen"]}
    assert {r.old for r in renamings} == known
    assert all(isinstance(r, Renaming) and r.new.startswith("v2.") and r.ledger.startswith("v2.") for r in renamings)


def test_a_node_s_home_holds_nothing_that_names_could_be_computed_with(house):
    home = house.node().home
    assert {p.name for p in home.iterdir() if p.suffix == ".key"} == {
        "fleet.key", "node.key", "recipient.key", "witness.key",
    }  # fmt: skip
    text = b"".join(p.read_bytes() for p in home.rglob("*") if p.is_file())
    assert b"aspen-1" not in text
    for seed in (house.founded.naming_home / "seeds").iterdir():
        assert seed.read_bytes() not in text
        assert b64(seed.read_bytes()).encode() not in text


# --- the commands


def run(*arguments, typed=""):
    return CliRunner().invoke(cli, [str(a) for a in arguments], input=typed)


def people_csv(tmp_path):
    path = tmp_path / "people.csv"
    pd.DataFrame({"id": identities(), "name": "x"}).to_csv(path, index=False)
    return path


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_table_or_a_list_is_named_row_by_row(house, tmp_path):
    home, csv_file, parquet = house.node().home, people_csv(tmp_path), tmp_path / "people.parquet"
    pd.read_csv(csv_file).to_parquet(parquet)
    said = run("name", "--home", home, "--people", csv_file, "--column", "id", "--out", tmp_path / "1.csv", "--json")
    assert json.loads(said.stdout)["people"] == PEOPLE
    run("name", "--home", home, "--people", parquet, "--column", "id", "--out", tmp_path / "2.csv")
    run("name", "--home", home, "--people", "-", "--out", tmp_path / "3.csv", typed="\n".join(identities()) + "\n")
    first = rows(tmp_path / "1.csv")
    assert [row["pairwise"] for row in first] == [p.pseudonym for p in house.borrowers["aspen"]]
    assert [row["ledger"] for row in first] == [p.ledger_pseudonym for p in house.borrowers["aspen"]]
    assert first == rows(tmp_path / "2.csv") == rows(tmp_path / "3.csv")
    assert stat.S_IMODE((tmp_path / "1.csv").stat().st_mode) == 0o600


def test_an_interrupted_naming_goes_on_where_it_stopped(house, tmp_path, monkeypatch):
    monkeypatch.setattr("cli.book.BATCH", 16)
    command = ("name", "--home", house.node().home, "--people", people_csv(tmp_path), "--column", "id", "--out")
    run(*command, tmp_path / "whole.csv")
    text = (tmp_path / "whole.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    torn = "".join(text[:41]) + text[41][:20]  # 40 rows and a piece of one
    (tmp_path / "part.csv.partial").write_text(torn, encoding="utf-8")
    said = run(*command, tmp_path / "part.csv", "--json")
    assert json.loads(said.stdout)["resumed_at"] == 32
    assert (tmp_path / "part.csv").read_text(encoding="utf-8") == "".join(text)
    (tmp_path / "other.csv.partial").write_text(text[0] + "".join(text[20:41]), encoding="utf-8")
    assert "other people" in run(*command, tmp_path / "other.csv").stderr


def test_rename_rekeys_the_home_and_leaves_the_mapping(house, tmp_path):
    home, people = house.node().home, people_csv(tmp_path)
    NamingHome.open(house.founded.naming_home).seeds.rotate()
    command = ("rename", "--home", home, "--people", people, "--column", "id", "--from", 1, "--to", 2)
    said = run(*command, "--out", tmp_path / "renamings.csv", "--json")
    assert json.loads(said.stdout)["book"] == PEOPLE
    mapping = {row["old"]: row["new"] for row in rows(tmp_path / "renamings.csv")}
    assert set(loan_book(home / "book.parquet").people()) == set(mapping.values())
    assert set(mapping) == {p.pseudonym for p in house.borrowers["aspen"]}
    assert set(house.client().whole_roll()) == set(mapping.values()), "and the registry knows"
    snapshot = house.node().consents.sync(house.client(), house.notice.purpose)
    assert set(snapshot.names) == set(mapping.values())
    again = run(*command, "--out", tmp_path / "again.csv", "--json")
    assert (json.loads(again.stdout)["ledger"], json.loads(again.stdout)["book"]) == (0, 0)


@pytest.mark.parametrize(
    "options",
    [
        ("--people", "nowhere.csv", "--column", "id"),
        ("--people", "people.csv"),
        ("--people", "people.csv", "--column", "nothing"),
        ("--people", "-"),
    ],
)
def test_refusals_are_one_sentence_without_any_identity(house, tmp_path, monkeypatch, options):
    monkeypatch.chdir(tmp_path)
    people_csv(tmp_path)
    said = run("name", "--home", house.node().home, *options, "--out", tmp_path / "o.csv", typed="aspen-1\n\n")
    assert said.exit_code == 1
    assert said.stderr.count("\n") == 1
    assert "aspen-1" not in said.stderr
