"""Rosters: a root has one answer for every name, and shows nobody's."""

import hashlib
import re
from base64 import b64encode
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.effort import effort
from support.rosters import ALPHABET, Tree, bits, named, sha

from crypto.errors import ProofError
from crypto.memberships import MAX_MEMBERS, OpenedCell, cell_of, opened, path_above, stands_in
from crypto.merkle import leaf_hash, node_hash
from crypto.rosters import Roster, depth_for, hash_cells, member_hash, new_salt, positions, tombstone

SALT = b"\x09" * 32
NAMES = [named(i) for i in range(13)]
people = st.sets(st.integers(0, 400), max_size=60)


def proof(names, name, salt=SALT) -> OpenedCell:
    """As a prover makes it, of a whole roster."""
    depth = depth_for(len(names))
    cell = cell_of(name, depth)
    level = hash_cells(salt, depth, names, range(1 << depth))
    return opened(salt, cell, [one for one in names if cell_of(one, depth) == cell], path_above(level, cell))


@pytest.fixture
def root():
    return Roster.of(NAMES, SALT).root


# --- the root


def test_the_root_of_known_rosters_is_known():
    """By the description alone: cells ``0x02``, nodes ``0x01``, one to two people in a cell."""
    salt = bytes(range(32))
    empty = sha(b"\x02", sha(salt, bytes(4)))
    assert Roster.of([], salt).root == empty
    a, b = "v1." + "A" * 43, "v1." + "_" * 42 + "8"
    left, right = sha(salt, bytes(4)), sha(salt, b"\x00\x00\x00\x01")
    two = sha(b"\x01", sha(b"\x02", left, sha(b"\x00", a.encode())), sha(b"\x02", right, sha(b"\x00", b.encode())))
    assert Roster.of([b, a], salt).root == two
    assert two.hex() == "a339b2385989b118bc195a57bbdb28872823cdd2b495861fb5ce16869b43f4a6"


@settings(deadline=None)
@given(people, st.binary(min_size=32, max_size=32))
def test_the_root_is_what_the_description_says(numbers, salt):
    names = [named(number) for number in numbers]
    roster = Roster.of(names, salt)
    assert (roster.root, roster.size) == (Tree.honest(names, salt).hash(), len(names))


def test_a_name_s_first_bits_are_its_place():
    assert [int(place) for place in positions(NAMES)] == [int(bits(name)[:36], 2) for name in NAMES]
    assert [int(positions([f"v12.{letter}{'A' * 42}"])[0] >> np.uint64(30)) for letter in ALPHABET] == list(range(64))


def test_whatever_is_called_a_name_has_a_place():
    """What is no pseudonym at all must not stop a release: it stands in some cell, always the same."""
    odd = ["", "ann", "v1.", "v1.é", "v1.\U0001f600x", "v1.a b", "x" * 500]
    assert Roster.of(odd, SALT) == Roster.of([*odd[::-1], *odd], SALT)
    assert positions(odd).tolist() == positions(odd).tolist()


def test_a_roster_does_not_depend_on_order_or_repetition():
    assert Roster.of([*reversed(NAMES), *NAMES], SALT) == Roster.of(NAMES, SALT)
    assert Roster.of(NAMES, SALT).size == len(NAMES)


def test_a_member_more_and_another_salt_change_the_root(root):
    assert len({root, Roster.of([*NAMES, named(99)], SALT).root, Roster.of(NAMES, b"\x0a" * 32).root}) == 3


def test_a_roster_shows_no_pseudonym_and_no_salt():
    assert repr(SALT) not in repr(Roster.of(NAMES, SALT))


def test_salts_are_fresh_and_256_bits_long():
    salts = {new_salt() for _ in range(50)}
    assert len(salts) == 50
    assert {len(salt) for salt in salts} == {32}


# --- proofs of honest rosters


@settings(deadline=None)
@given(people, st.integers(0, 400))
def test_members_are_proved_to_be_in_and_all_others_to_be_out(numbers, number):
    names, name = [named(n) for n in numbers], named(number)
    made, root = proof(names, name), Roster.of(names, SALT).root
    assert stands_in(root, name, made) is (number in numbers)
    assert made == Tree.honest(names, SALT).opened_for(name)


@pytest.mark.parametrize("names", [[], NAMES[:1], NAMES[:2], NAMES[:3]])
def test_rosters_of_nobody_and_of_few_answer_too(names):
    root = Roster.of(names, SALT).root
    for name in NAMES:
        assert stands_in(root, name, proof(names, name)) is (name in names)


@pytest.mark.parametrize("start", ["000000", "111111"])
def test_the_first_and_the_last_cell_answer_too(start):
    names = [*NAMES, named(1, start)]
    root = Roster.of(names, SALT).root
    for number in (1, 2):
        name = named(number, start)
        assert stands_in(root, name, proof(names, name)) is (number == 1)


# --- forgeries


@settings(deadline=None, max_examples=effort(300, 60))
@given(people.filter(bool), st.data())
def test_a_proof_that_was_changed_anywhere_is_refused(numbers, data):
    names, name = [named(n) for n in numbers], named(data.draw(st.integers(0, 400)))
    made, root = proof(names, name), Roster.of(names, SALT).root
    parts = [made.salt, *made.members, *made.path]
    which = data.draw(st.integers(0, len(parts) - 1))
    byte = data.draw(st.integers(0, 31))
    flipped = bytearray(parts[which])
    flipped[byte] ^= data.draw(st.integers(1, 255))
    parts[which] = bytes(flipped)
    count = len(made.members)
    forged = OpenedCell(parts[0], tuple(sorted(parts[1 : count + 1])), tuple(parts[count + 1 :]))
    with pytest.raises(ProofError):
        stands_in(root, name, forged)


def test_members_cannot_be_left_out_added_or_disordered(root):
    name = next(n for n in NAMES if len(proof(NAMES, n).members) > 1)
    made = proof(NAMES, name)
    mine = member_hash(name)
    without = tuple(one for one in made.members if one != mine)
    for members in (without, (), (*made.members, b"\xff" * 32), made.members[::-1], (*made.members, mine)):
        with pytest.raises(ProofError):
            stands_in(root, name, replace(made, members=members))


def test_a_longer_and_a_shorter_path_are_refused(root):
    made = proof(NAMES, NAMES[0])
    for path in (made.path[:-1], made.path[1:], (), (*made.path, made.path[0]), (*made.path, *[SALT] * 40)):
        with pytest.raises(ProofError):
            stands_in(root, NAMES[0], replace(made, path=path))


def test_a_hash_of_another_length_is_refused(root):
    """Otherwise the boundary between salt and members could be moved: 31 bytes here, 33 there."""
    made = proof(NAMES, next(n for n in NAMES if len(proof(NAMES, n).members) == 1))
    text = made.salt + made.members[0]
    for moved in (
        replace(made, salt=text[:31], members=(text[31:],)),
        replace(made, salt=text, members=()),
        replace(made, path=(made.path[0] + b"x", *made.path[1:])),
    ):
        with pytest.raises(ProofError, match="32 bytes"):
            stands_in(root, NAMES[0], moved)


def test_the_cell_of_somebody_else_answers_for_nobody_but_its_own(root):
    """Neither a no out of another cell, nor a yes."""
    depth = depth_for(len(NAMES))
    for name in NAMES:
        for other in NAMES:
            if cell_of(name, depth) != cell_of(other, depth):
                with pytest.raises(ProofError):
                    stands_in(root, name, proof(NAMES, other))


def test_the_proof_of_another_roster_is_refused(root):
    without = proof(NAMES[1:], NAMES[0])
    salted = proof(NAMES, NAMES[0], b"\x0a" * 32)
    for made in (without, salted):
        with pytest.raises(ProofError):
            stands_in(root, NAMES[0], made)


def test_a_cell_with_a_crowd_in_it_is_not_shown():
    """Names that do not come from the naming service may all begin alike: a proof would show everybody."""
    crowd = [f"v1.{number:043d}" for number in range(MAX_MEMBERS + 1)]
    with pytest.raises(ProofError, match="too much about others"):
        proof(crowd, crowd[0])


# --- a lender that cheats when it commits


def everything(tree: Tree) -> list[OpenedCell]:
    return [tree.open(place) for place in tree.cells]


def test_no_root_whatever_answers_both_yes_and_no_for_one_name():
    """The lender makes any tree at all: people in cells where they do not belong, twice, or in none, cells of
    different depths, salts of its choice. What answers for a name is one cell, with one answer."""
    name, other = named(1, "0101"), named(2, "1100")
    salt, own = b"\x01" * 32, b"\x02" * 32
    mine = (member_hash(name),)
    for cells in (
        {"0": mine, "1": mine},
        {"0": (), "1": mine},
        {"00": mine, "01": (), "10": mine, "11": mine},
        {"0": tuple(sorted([member_hash(name), member_hash(other)])), "1": ()},
        {"00": (), "010": mine, "0110": (), "0111": mine, "1": mine},
    ):
        tree = Tree(dict.fromkeys(cells, own), cells)
        answers = set()
        for made in everything(tree):
            for tried in (made, replace(made, salt=salt), replace(made, members=())):
                try:
                    answers.add(stands_in(tree.hash(), name, tried))
                except ProofError:
                    continue
        assert len(answers) == 1, cells


def test_another_salt_cannot_be_stated_afterwards(root):
    """With the salt beside the root and not in it, every member could be denied: under another salt their hash is
    another one, and is in no cell."""
    made = proof(NAMES, NAMES[0])
    for number in range(50):
        with pytest.raises(ProofError):
            stands_in(root, NAMES[0], replace(made, salt=bytes([number]) * 32))


def test_a_sorted_tree_of_earlier_versions_is_none_of_these():
    """Its leaves are ``0x00 || 32 bytes``: were cells hashed so, each would read as an empty cell, and deny anybody."""
    members = sorted(hashlib.sha256(SALT + name.encode()).digest() for name in NAMES[:2])
    old = node_hash(leaf_hash(members[0]), leaf_hash(members[1]))
    for name in NAMES:
        for salt, sibling in (members, members[::-1]):
            with pytest.raises(ProofError):
                stands_in(old, name, OpenedCell(salt, (), (leaf_hash(sibling),)))


# --- others


def test_what_a_proof_shows_of_others_is_their_salted_hashes_in_one_cell(root):
    """Nobody who is not in the cell can be tested against it, even by somebody who knows every name and this salt."""
    made = proof(NAMES, NAMES[0])
    depth = depth_for(len(NAMES))
    beside = {name for name in NAMES if cell_of(name, depth) == cell_of(NAMES[0], depth)}
    known = {member_hash(name): name for name in NAMES}
    assert {known[member] for member in made.members} == beside
    shown = b"".join(made.path)
    for name in set(NAMES) - beside:
        for tried in (member_hash(name), sha(b"\x02", made.salt, member_hash(name))):
            assert tried not in shown
    assert b64encode(SALT) not in b64encode(made.salt + shown)


def test_cells_hold_one_or_two_people_on_average_and_never_a_crowd():
    names = [named(number) for number in range(5_000)]
    sizes = [len(proof(names[:4_097], name).members) for name in names[:40]]
    assert max(sizes) < 10
    depth = depth_for(len(names))
    assert len(names) / 2 <= (1 << depth) * 1.0 <= len(names)


def test_a_tombstone_stands_where_and_for_what_the_name_stood_and_is_none():
    gone = NAMES[4]
    stone = tombstone(gone)
    assert Roster.of([*NAMES[:4], stone, *NAMES[5:]], SALT) == Roster.of(NAMES, SALT)
    assert gone.partition(".")[2][:12] not in stone
    assert tombstone(stone) == stone
    assert not re.fullmatch(r"v[0-9]{1,3}\..*", stone), "nobody can enrol under it"
