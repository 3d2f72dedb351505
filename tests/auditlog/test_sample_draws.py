"""Who is drawn: nobody chooses, everybody is as likely as everybody else, and a cell is one of the committed roster."""

from __future__ import annotations

from collections import Counter
from math import comb

import pytest
from support.rosters import Tree, named

from auditlog.authority import LoggedCommitment
from auditlog.sample_answers import Unproved
from auditlog.sampling import upper_bound, who_stands_in
from crypto.memberships import cell_of
from crypto.rosters import depth_for, member_hash
from protocol.campaigns import RosterCommitment
from protocol.samples import OpenedCellOfRoster, cells, drawn, seed_of, shares


def test_a_draw_is_the_same_for_everybody_and_another_for_another_seed():
    one, other = seed_of("a" * 64, "b" * 64, "c" * 64), seed_of("a" * 64, "d" * 64, "c" * 64)
    assert cells(one, "aspen", (0, 1), 1000, 20) == cells(one, "aspen", (0, 1), 1000, 20)
    assert cells(one, "aspen", (0, 1), 1000, 20) != cells(other, "aspen", (0, 1), 1000, 20)
    assert cells(one, "aspen", (0, 1), 1000, 20) != cells(one, "birch", (0, 1), 1000, 20)
    assert cells(one, "aspen", (0, 1), 1000, 20) != cells(one, "aspen", (1, 1), 1000, 20)


def test_a_draw_is_of_different_people_and_of_all_where_there_are_no_more():
    assert drawn(b"seed", "x", 5, 9) == (0, 1, 2, 3, 4)
    assert drawn(b"seed", "x", 0, 9) == ()
    found = drawn(b"seed", "x", 100, 60)
    assert len(set(found)) == 60
    assert found == tuple(sorted(found)) and found[0] >= 0 and found[-1] < 100


def test_every_person_is_as_likely_as_every_other():
    """Of two rosters with 4 and 8 cells, however many stand in each: 3,000 draws of 3 of the 12 cells open everybody
    about 750 times (deviation: 4.5 standard errors)."""
    rosters = {"a": [named(number) for number in range(7)], "b": [named(number) for number in range(50, 58)]}
    times = Counter()
    for seed in (number.to_bytes(4, "big") for number in range(3000)):
        for lender, count in shares(seed, 3, {name: len(people) for name, people in rosters.items()}).items():
            people = rosters[lender]
            for at in cells(seed, lender, (0, 1), len(people), count):
                times.update(name for name in people if cell_of(name, depth_for(len(people))) == at)
    everybody = [name for people in rosters.values() for name in people]
    assert set(times) == set(everybody)
    assert all(abs(times[name] - 750) < 4.5 * (3000 * 0.25 * 0.75) ** 0.5 for name in everybody)


def test_every_number_is_as_likely_as_every_other():
    """3,000 draws of 2 of 10: each stands in about a fifth of them (deviation: 4 standard errors)."""
    times = Counter(at for seed in range(3000) for at in drawn(seed.to_bytes(4, "big"), "x", 10, 2))
    assert all(abs(times[at] - 600) < 4 * (3000 * 0.2 * 0.8) ** 0.5 for at in range(10))


def test_shares_are_as_the_rosters_have_cells():
    sizes = {"a": 900, "empty": 0, "b": 127}
    found = Counter()
    for seed in range(200):
        found.update(shares(seed.to_bytes(4, "big"), 50, sizes))
    assert found.total() == 200 * 50 and "empty" not in found
    share = 64 / (512 + 64)
    assert abs(found["b"] - 10_000 * share) < 4 * (10_000 * share * (1 - share)) ** 0.5
    assert shares(b"x", 50, {"a": 3, "b": 2}) == {"a": 2, "b": 2}
    assert shares(b"x", 50, {"a": 1}) == {"a": 1}


@pytest.mark.parametrize(("bad", "of"), [(0, 300), (1, 300), (3, 60), (10, 100)])
def test_the_bound_is_where_so_few_bad_ones_would_be_seen_one_time_in_twenty(bad, of):
    rate = upper_bound(bad, of)
    tail = sum(comb(of, k) * rate**k * (1 - rate) ** (of - k) for k in range(bad + 1))
    assert abs(tail - 0.05) < 1e-9
    assert upper_bound(0, 300) < 0.01
    assert upper_bound(5, 5) == 1.0


# --- cells of a roster


def committed_to(tree: Tree, size: int) -> LoggedCommitment:
    """A commitment of a lender that made this tree and says that so many stand in it."""
    return LoggedCommitment(0, {}, RosterCommitment.model_construct(root=tree.hash().hex(), size=size))


def shown_of(tree: Tree, name: str, number: int, *names: str) -> OpenedCellOfRoster:
    cell = tree.opened_for(name)
    path = tuple(step.hex() for step in cell.path)
    return OpenedCellOfRoster(number=number, salt=cell.salt.hex(), names=names, path=path)


def test_a_tree_that_puts_people_where_they_do_not_belong_is_found():
    """Two cells. Who belongs in the first stands in the second: their own proof would say that they are in neither."""
    here, there = named(1, "0"), named(2, "1")
    honest = Tree.honest([here, there], b"s" * 32)
    assert who_stands_in(committed_to(honest, 2), shown_of(honest, there, 1, there)) == (there,)
    hashes = tuple(sorted(map(member_hash, (here, there))))
    forged = Tree(honest.salts, {"0": (), "1": hashes})
    with pytest.raises(Unproved, match="do not belong"):
        who_stands_in(committed_to(forged, 2), shown_of(forged, there, 1, *sorted((here, there))))


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_a_tree_of_another_depth_than_the_stated_size_has_is_found(size):
    """Fewer cells than are drawn from would show some people twice as often, and others never."""
    people = [named(1, "0"), named(2, "1")]
    tree = Tree.honest(people, b"s" * 32)
    with pytest.raises(Unproved, match="none of the roster"):
        who_stands_in(committed_to(tree, size), shown_of(tree, people[0], 0, people[0]))
