"""Rosters: who was not used can be proved, who was used cannot be denied."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.errors import ProofError
from crypto.rosters import AbsenceProof, Roster, new_salt, salted, verify_absence

SALT = b"\x09" * 32
NAMES = [f"v1.person-{i}" for i in range(13)]
names = st.sets(st.integers(0, 400), max_size=40).map(lambda numbers: [f"v1.{n}" for n in numbers])


@pytest.fixture
def roster():
    return Roster.of(NAMES, SALT)


def neighbours(roster):
    return [roster._neighbour(i) for i in range(roster.size)]


def outsider(roster, gap):
    """Somebody who would stand before member ``gap``."""
    return next(
        name
        for name in (f"v1.outsider-{i}" for i in range(10_000))
        if sum(member < salted(roster.salt, name) for member in roster.members) == gap
    )


@settings(deadline=None)
@given(names, st.integers(0, 400))
def test_exactly_those_who_are_not_members_can_be_proved_absent(members, number):
    roster, name = Roster.of(members, SALT), f"v1.{number}"
    if name in members:
        with pytest.raises(ProofError, match="stands in the roster"):
            roster.prove_absence(name)
    else:
        verify_absence(roster.prove_absence(name), name, SALT, roster.root)


@pytest.mark.parametrize("gap", range(14))
def test_absence_is_provable_in_every_gap_and_at_both_ends(roster, gap):
    name = outsider(roster, gap)
    proof = roster.prove_absence(name)
    verify_absence(proof, name, SALT, roster.root)
    assert (proof.left is None, proof.right is None) == (gap == 0, gap == 13)


def test_nobody_stands_in_an_empty_roster():
    empty = Roster.of([], SALT)
    verify_absence(empty.prove_absence("v1.anybody"), "v1.anybody", SALT, empty.root)


def test_members_of_a_roster_cannot_be_denied_by_claiming_it_is_empty(roster):
    with pytest.raises(ProofError, match="not empty"):
        verify_absence(AbsenceProof(0, None, None), NAMES[0], SALT, roster.root)


def test_no_arrangement_of_true_members_denies_a_member(roster):
    beside = [None, *neighbours(roster)]
    for size in (1, 2, 4, 8, 12, 13, 14, 16, 26):
        for left in beside:
            for right in beside:
                for name in (NAMES[0], NAMES[7]):
                    with pytest.raises(ProofError):
                        verify_absence(AbsenceProof(size, left, right), name, SALT, roster.root)


def test_neighbours_that_do_not_stand_beside_each_other_are_refused(roster):
    name, beside = outsider(roster, 5), neighbours(roster)
    for left, right in ((beside[4], beside[6]), (None, beside[5]), (beside[4], None), (beside[5], beside[4])):
        with pytest.raises(ProofError, match="beside each other"):
            verify_absence(AbsenceProof(13, left, right), name, SALT, roster.root)


def test_neighbours_of_another_gap_are_refused(roster):
    beside = neighbours(roster)
    for gap, left, right in ((5, beside[7], beside[8]), (3, None, beside[0])):
        with pytest.raises(ProofError, match="between these neighbours"):
            verify_absence(AbsenceProof(13, left, right), outsider(roster, gap), SALT, roster.root)


def test_a_proof_is_bound_to_its_root_salt_and_person(roster):
    name = outsider(roster, 5)
    proof = roster.prove_absence(name)
    other_salt = next(salt for salt in (bytes([i]) * 32 for i in range(99)) if salted(salt, name) > proof.right.member)
    for somebody, salt, root in (
        (name, SALT, Roster.of(NAMES[1:], SALT).root),
        (outsider(roster, 9), SALT, roster.root),
        (name, other_salt, roster.root),
    ):
        with pytest.raises(ProofError):
            verify_absence(proof, somebody, salt, root)


def test_an_invented_neighbour_is_refused(roster):
    name = outsider(roster, 5)
    proof = roster.prove_absence(name)
    target = int.from_bytes(salted(SALT, name), "big")
    invented = replace(proof.left, member=(target - 1).to_bytes(32, "big"))
    for left in (invented, replace(proof.left, path=())):
        with pytest.raises(ProofError):
            verify_absence(replace(proof, left=left), name, SALT, roster.root)


def test_the_salt_changes_the_root(roster):
    other = Roster.of(NAMES, b"\x0a" * 32)
    assert other.root != roster.root
    assert not set(other.members) & set(roster.members)


def test_a_roster_does_not_depend_on_order_or_repetition(roster):
    assert Roster.of([*reversed(NAMES), *NAMES], SALT) == roster
    assert roster.size == len(NAMES)


def test_a_member_more_changes_the_root(roster):
    assert Roster.of([*NAMES, "v1.one-more"], SALT).root != roster.root


def test_a_roster_shows_no_pseudonym(roster):
    assert not any(name.encode() in b"".join(roster.members) for name in NAMES)
    assert "v1.person" not in repr(roster)


def test_salts_are_fresh_and_256_bits_long():
    salts = {new_salt() for _ in range(50)}
    assert len(salts) == 50
    assert {len(salt) for salt in salts} == {32}
