"""Cells out of a ledger: the same as of the whole tree, however the ledger is cut, and only what was committed to."""

from __future__ import annotations

import shutil
import sqlite3
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rosters import Tree, named

from clients import opening
from clients.budget_ledger import Attempt, BudgetLedger, PersonCaps
from clients.errors import NodeError
from clients.opening import Prover
from crypto.errors import ProofError
from crypto.memberships import stands_in
from crypto.rosters import tombstone
from privacy.charges import Budget, Charge
from protocol.schema import now

BOUNDLESS = PersonCaps(Budget(1e6, 1e-5), Budget(1e6, 1e-5))
MANY = [named(number) for number in range(9_000)]


def spend(store, people, release, campaign="c" * 64):
    about = Attempt(campaign, release, 1, "train", Charge(2.0, steps=10))
    return store.reserve(about, people, BOUNDLESS, now())


@pytest.fixture
def store(tmp_path):
    made = BudgetLedger(tmp_path / "ledger.db")
    made.create()
    return made


@pytest.fixture
def prover(store, tmp_path):
    with Prover(store.path, tmp_path / "rosters") as opened:
        yield opened


def answers(prover, names):
    """For every release in the ledger, who of these is shown to stand in its roster."""
    return [
        {name for name in names if stands_in(bytes.fromhex(release.root), name, prover.open(release, name))}
        for release in prover.releases()
    ]


def test_each_release_answers_for_everybody(store, prover):
    """Large rosters, of which blocks are kept, small ones and empty ones, all in one ledger."""
    everybody = [set(MANY), set(MANY[10:]), set(MANY[:500]), {MANY[3]}, set()]
    for release, people in enumerate(everybody):
        spend(store, sorted(people), release)
    asked = [*MANY[:25], *(named(number) for number in range(20_000, 20_025))]
    assert answers(prover, asked) == [set(asked) & people for people in everybody]


def test_a_cell_is_that_of_the_whole_tree(store, prover):
    for release, people in enumerate((MANY, MANY[:300])):
        spend(store, people, release)
    for release, people in zip(prover.releases(), (MANY, MANY[:300]), strict=True):
        tree = Tree.honest(people, release.salt)
        assert tree.hash().hex() == release.root
        for name in (people[0], people[200], named(30_000)):
            assert prover.open(release, name) == tree.opened_for(name)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sets(st.integers(0, 60), max_size=40), max_size=4))
def test_the_answers_are_true_whoever_stands_in_which_release(tmp_path_factory, rosters):
    folder = tmp_path_factory.mktemp("ledger")
    store = BudgetLedger(folder / "ledger.db")
    store.create()
    for release, numbers in enumerate(rosters):
        spend(store, [named(number) for number in sorted(numbers)], release)
    asked = [named(number) for number in range(0, 70, 7)]
    with Prover(store.path, folder / "rosters") as prover:
        expected = [{name for name in asked if name in {named(n) for n in numbers}} for numbers in rosters]
        assert answers(prover, asked) == expected
    shutil.rmtree(folder)


def test_names_of_every_version_stand_in_one_roster(store, prover):
    people = [*MANY[:5_000], *(name.replace("v1.", "v2.") for name in MANY[:4_000]), "v17." + "A" * 43]
    spend(store, people, 0)
    asked = [*people[:10], *people[-10:], MANY[5_000], "v3" + MANY[0][2:], MANY[0].replace("v1", "v17")]
    assert answers(prover, asked) == [set(asked) & set(people)]


def test_blocks_are_computed_once_and_kept_for_the_owner_alone(store, prover, tmp_path, monkeypatch):
    spend(store, MANY, 0)
    (release,) = prover.releases()
    first = prover.open(release, MANY[0])
    (kept,) = (tmp_path / "rosters").iterdir()
    assert kept.name == f"{release.root}.blocks" and kept.stat().st_size == 1 + 32 * 4_096
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600 and stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    hashed = []
    hash_cells = opening.hash_cells
    monkeypatch.setattr(opening, "hash_cells", lambda *a: (hashed.append(len(a[3])), hash_cells(*a))[1])
    with Prover(store.path, tmp_path / "rosters") as again:
        assert again.open(release, MANY[0]) == first
    assert hashed == [2], "one block of two cells, and nothing else"


def test_kept_blocks_that_were_altered_are_not_believed(store, prover, tmp_path):
    spend(store, MANY, 0)
    (release,) = prover.releases()
    prover.prepare([release])
    kept = tmp_path / "rosters" / f"{release.root}.blocks"
    content = bytearray(kept.read_bytes())
    content[77] ^= 1
    kept.write_bytes(content)
    with pytest.raises(NodeError, match="was altered"):
        prover.open(release, MANY[0])


@pytest.mark.parametrize("count", [40, 9_000])
@pytest.mark.parametrize("prepared", [False, True])
def test_a_ledger_that_was_altered_proves_nothing(store, tmp_path, count, prepared):
    """Somebody is taken out of a roster after the fact: there is no proof that they were not in it."""
    spend(store, MANY[:count], 0)
    with Prover(store.path, tmp_path / "rosters") as prover:
        (release,) = prover.releases()
        if prepared:
            prover.prepare([release])
    with sqlite3.connect(store.path) as connection:
        connection.execute("DROP TRIGGER members_kept")
        connection.execute("DELETE FROM members WHERE pseudonym = ?", (MANY[0],))
    with Prover(store.path, tmp_path / "rosters") as prover, pytest.raises(NodeError, match="was altered"):
        prover.open(release, MANY[0])


def test_a_roster_of_an_earlier_version_proves_nothing_and_is_looked_at_once(store, tmp_path):
    spend(store, MANY[:50], 0)
    with sqlite3.connect(store.path) as connection:
        connection.execute("DROP TRIGGER releases_fixed")
        connection.execute("UPDATE releases SET root = ?", ("ab" * 32,))
    for _ in range(2):
        with Prover(store.path, tmp_path / "rosters") as prover:
            (release,) = prover.releases()
            with pytest.raises(NodeError, match="before version"):
                prover.open(release, MANY[0])
    assert (tmp_path / "rosters" / f"{'ab' * 32}.blocks").read_bytes() == b""


def test_releases_are_chosen_by_campaign_and_day(store, prover):
    spend(store, MANY[:2], 0, "a" * 64)
    spend(store, MANY[:2], 1, "b" * 64)
    assert [one.release for one in prover.releases()] == [0, 1]
    assert [one.release for one in prover.releases(campaign="bb")] == [1]
    assert prover.releases(since="2199-01-01T00:00:00+00:00") == []


def test_a_person_is_known_by_every_name_they_had(store, prover):
    store.rename({"v1.a": "v2.a", "v1.b": "v2.b"}, now())
    store.rename({"v2.a": "v3.a"}, now())
    for name in ("v1.a", "v2.a", "v3.a"):
        assert prover.names(name) == ["v1.a", "v2.a", "v3.a"]
    assert prover.names("v1.c") == ["v1.c"]


@pytest.mark.parametrize("count", [60, 9_000])
@pytest.mark.parametrize("prepared", [False, True])
def test_everybody_is_answered_after_somebody_was_erased(store, tmp_path, count, prepared):
    """What an erasure leaves in the ledger is no name; it stands where the name stood, for what the name stood for."""
    people, gone = MANY[:count], MANY[7]
    for release in range(2):
        spend(store, people[release:], release)
    with Prover(store.path, tmp_path / "rosters") as prover:
        before = [prover.open(release, gone) for release in prover.releases()] if prepared else None
    with sqlite3.connect(store.path) as connection:
        connection.execute("DROP TRIGGER members_stand")
        connection.execute("UPDATE members SET pseudonym = ? WHERE pseudonym = ?", (tombstone(gone), gone))
    with Prover(store.path, tmp_path / "rosters") as prover:
        asked = [*people[:40], named(55_555)]
        assert answers(prover, asked) == [set(people[:40]), set(people[1:40])]
        assert before in (None, [prover.open(release, gone) for release in prover.releases()])


def test_a_crowd_in_one_cell_is_not_shown(store, prover):
    spend(store, [f"v1.{number:043d}" for number in range(200)], 0)
    with pytest.raises(ProofError, match="too much about others"):
        prover.open(prover.releases()[0], "v1." + "0" * 43)


def test_a_ledger_that_is_none_is_said_to_be(tmp_path):
    (tmp_path / "ledger.db").write_bytes(b"no database at all" * 100)
    with Prover(tmp_path / "ledger.db", tmp_path / "rosters") as prover, pytest.raises(NodeError, match="cannot be"):
        prover.releases()
