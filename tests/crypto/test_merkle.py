"""RFC 6962 / 9162 trees, against published vectors and against the RFC's recursion written out naively."""

from hashlib import sha256

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crypto.errors import ProofError
from crypto.merkle import (
    EMPTY_ROOT,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    leaves_reader,
    tree_root,
    verify_consistency,
    verify_inclusion,
)

# Source: google/certificate-transparency, cpp/merkletree/merkle_tree_test.cc (also transparency-dev/merkle testonly).
ENTRIES = [b"", *map(bytes.fromhex, ["00", "10", "2021", "3031", "40414243", "5051525354555657"])]
ENTRIES += [bytes.fromhex("606162636465666768696a6b6c6d6e6f")]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
N01 = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
N03 = "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"
N23 = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
N45 = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
N47 = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
N67 = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
L0 = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
L1 = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
L4 = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
PUBLISHED_PATHS = [(0, 1, []), (0, 8, [L1, N23, N47]), (5, 8, [L4, N67, N03]), (2, 3, [N01]), (1, 5, [L0, N23, L4])]
PUBLISHED_CONSISTENCY = [(1, 1, []), (1, 8, [L1, N23, N47]), (6, 8, [N45, N67, N03]), (2, 5, [N23, L4])]

slowly = settings(deadline=None, max_examples=60)
sizes = st.integers(1, 140)


def mth(entries):
    """RFC 6962 section 2.1, word for word."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0]).digest()
    k = split(len(entries))
    return sha256(b"\x01" + mth(entries[:k]) + mth(entries[k:])).digest()


def split(n):
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def naive_path(m, entries):
    """RFC 6962 section 2.1.1."""
    if len(entries) == 1:
        return []
    k = split(len(entries))
    if m < k:
        return [*naive_path(m, entries[:k]), mth(entries[k:])]
    return [*naive_path(m - k, entries[k:]), mth(entries[:k])]


def naive_proof(m, entries, whole=True):
    """RFC 6962 section 2.1.2: SUBPROOF."""
    if m == len(entries):
        return [] if whole else [mth(entries)]
    k = split(len(entries))
    if m <= k:
        return [*naive_proof(m, entries[:k], whole), mth(entries[k:])]
    return [*naive_proof(m - k, entries[k:], False), mth(entries[:k])]


def numbered(size):
    """Distinct entries."""
    return [b"entry %d" % i for i in range(size)]


def reader(entries):
    return leaves_reader([leaf_hash(entry) for entry in entries])


def flipped(value, bit):
    return (int.from_bytes(value, "big") ^ 1 << bit).to_bytes(len(value), "big")


def hexes(proof):
    return [value.hex() for value in proof]


@pytest.fixture(params=range(1, 9), ids=lambda size: f"size{size}")
def known(request):
    return ENTRIES[: request.param]


def test_the_empty_tree_has_the_hash_of_nothing():
    assert tree_root(0, reader([])) == EMPTY_ROOT == bytes.fromhex(ROOTS[0])


def test_roots_are_the_published_ones(known):
    assert tree_root(len(known), reader(known)).hex() == ROOTS[len(known)] == mth(known).hex()


@pytest.mark.parametrize(("index", "size", "path"), PUBLISHED_PATHS)
def test_inclusion_paths_are_the_published_ones(index, size, path):
    assert hexes(inclusion_proof(index, size, reader(ENTRIES[:size]))) == path


@pytest.mark.parametrize(("old", "new", "proof"), PUBLISHED_CONSISTENCY)
def test_consistency_proofs_are_the_published_ones(old, new, proof):
    assert hexes(consistency_proof(old, new, reader(ENTRIES[:new]))) == proof


def test_every_known_answer_path_and_proof_is_that_of_the_recursion(known):
    read, size = reader(known), len(known)
    assert [inclusion_proof(i, size, read) for i in range(size)] == [naive_path(i, known) for i in range(size)]
    assert [consistency_proof(m, size, read) for m in range(1, size + 1)] == [
        naive_proof(m, known) for m in range(1, size + 1)
    ]


def test_published_proofs_verify():
    for index, size, path in PUBLISHED_PATHS:
        proof = [bytes.fromhex(value) for value in path]
        verify_inclusion(leaf_hash(ENTRIES[index]), index, size, proof, bytes.fromhex(ROOTS[size]))
    for old, new, hashes in PUBLISHED_CONSISTENCY:
        proof = [bytes.fromhex(value) for value in hashes]
        verify_consistency(old, new, proof, bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[new]))


def test_a_proof_can_be_made_for_an_old_tree_out_of_a_newer_one():
    read = reader(numbered(20))
    assert tree_root(13, read) == mth(numbered(13))
    assert inclusion_proof(4, 13, read) == naive_path(4, numbered(13))


@slowly
@given(st.lists(st.binary(max_size=40), max_size=90))
def test_roots_and_proofs_of_random_trees_are_those_of_the_recursion(entries):
    read, size = reader(entries), len(entries)
    assert tree_root(size, read) == mth(entries)
    for i in range(0, size, 7):
        assert inclusion_proof(i, size, read) == naive_path(i, entries)
        assert consistency_proof(i + 1, size, read) == naive_proof(i + 1, entries)


@slowly
@given(sizes)
def test_every_inclusion_proof_of_a_tree_verifies(size):
    entries = numbered(size)
    read, root = reader(entries), mth(entries)
    for index, entry in enumerate(entries):
        verify_inclusion(leaf_hash(entry), index, size, inclusion_proof(index, size, read), root)


@slowly
@given(sizes)
def test_every_consistency_proof_of_a_tree_verifies(size):
    read = reader(numbered(size))
    for old in range(1, size + 1):
        proof = consistency_proof(old, size, read)
        verify_consistency(old, size, proof, tree_root(old, read), tree_root(size, read))


@slowly
@given(st.data())
def test_an_altered_inclusion_proof_fails(data):
    size = data.draw(sizes)
    index = data.draw(st.integers(0, size - 1))
    read = reader(numbered(size))
    proof, leaf, root = inclusion_proof(index, size, read), leaf_hash(numbered(size)[index]), tree_root(size, read)
    bit, at = data.draw(st.integers(0, 255)), data.draw(st.integers(0, len(proof)))
    wrong_proofs = [[*proof[:at], bytes([bit]) * 32, *proof[at:]]]
    if at < len(proof):
        wrong_proofs.append([*proof[:at], flipped(proof[at], bit), *proof[at + 1 :]])
        wrong_proofs.append([*proof[:at], *proof[at + 1 :]])
    for wrong in wrong_proofs:
        with pytest.raises(ProofError):
            verify_inclusion(leaf, index, size, wrong, root)
    with pytest.raises(ProofError):
        verify_inclusion(flipped(leaf, bit), index, size, proof, root)
    with pytest.raises(ProofError):
        verify_inclusion(leaf, index, size, proof, flipped(root, bit))


@slowly
@given(sizes, sizes, st.integers(0, 139), st.integers(0, 139))
def test_an_inclusion_proof_holds_for_no_other_index_and_no_other_tree(size, other_size, drawn, other_index):
    read = reader(numbered(140))
    index = drawn % size
    leaf, proof = leaf_hash(numbered(size)[index]), inclusion_proof(index, size, read)
    if other_index != index:
        with pytest.raises(ProofError):
            verify_inclusion(leaf, other_index, size, proof, tree_root(size, read))
    if other_size != size:
        with pytest.raises(ProofError):
            verify_inclusion(leaf, index, other_size, proof, tree_root(other_size, read))


@slowly
@given(st.data())
def test_an_altered_consistency_proof_fails(data):
    new = data.draw(st.integers(2, 140))
    old = data.draw(st.integers(1, new - 1))
    read = reader(numbered(new))
    proof, before, after = consistency_proof(old, new, read), tree_root(old, read), tree_root(new, read)
    bit, at = data.draw(st.integers(0, 255)), data.draw(st.integers(0, len(proof) - 1))
    wrong_proofs = [
        [*proof[:at], flipped(proof[at], bit), *proof[at + 1 :]],
        [*proof[:at], *proof[at + 1 :]],
        [*proof[:at], bytes([bit]) * 32, *proof[at:]],
        [*proof, bytes([bit]) * 32],
    ]
    for wrong in wrong_proofs:
        with pytest.raises(ProofError):
            verify_consistency(old, new, wrong, before, after)
    with pytest.raises(ProofError):
        verify_consistency(old, new, proof, flipped(before, bit), after)
    with pytest.raises(ProofError):
        verify_consistency(old, new, proof, before, flipped(after, bit))


@slowly
@given(st.data())
def test_a_consistency_proof_holds_for_no_other_sizes(data):
    read = reader(numbered(70))
    new = data.draw(st.integers(2, 70))
    old = data.draw(st.integers(1, new - 1))
    other_old, other_new = data.draw(st.integers(1, 70)), data.draw(st.integers(1, 70))
    assume(other_old < other_new and (other_old, other_new) != (old, new))
    proof = consistency_proof(old, new, read)
    with pytest.raises(ProofError):
        verify_consistency(other_old, other_new, proof, tree_root(other_old, read), tree_root(other_new, read))


@slowly
@given(sizes, st.data())
def test_a_rewritten_history_is_noticed(new, data):
    old = data.draw(st.integers(1, new))
    changed = data.draw(st.integers(0, old - 1))
    rewritten = numbered(new)
    rewritten[changed] = b"something else"
    read = reader(rewritten)
    with pytest.raises(ProofError, match="history was rewritten"):
        verify_consistency(
            old, new, consistency_proof(old, new, read), tree_root(old, reader(numbered(old))), tree_root(new, read)
        )


def test_a_tree_extends_itself_with_an_empty_proof_only():
    root = mth(numbered(5))
    verify_consistency(5, 5, [], root, root)
    with pytest.raises(ProofError):
        verify_consistency(5, 5, [root], root, root)


def test_consistency_with_an_empty_tree_proves_nothing_and_is_refused():
    read = reader(numbered(4))
    with pytest.raises(ProofError, match="not defined"):
        consistency_proof(0, 4, read)
    with pytest.raises(ProofError, match="not defined"):
        verify_consistency(0, 4, [], EMPTY_ROOT, tree_root(4, read))
    with pytest.raises(ProofError, match="not defined"):
        verify_consistency(0, 0, [], EMPTY_ROOT, EMPTY_ROOT)


@pytest.mark.parametrize(("old", "new"), [(5, 4), (-1, 4)])
def test_a_shrinking_log_is_refused(old, new):
    with pytest.raises(ProofError, match="not defined"):
        consistency_proof(old, new, reader(numbered(4)))
    with pytest.raises(ProofError, match="not defined"):
        verify_consistency(old, new, [bytes(32)], bytes(32), bytes(32))


@pytest.mark.parametrize("index", [-1, 4, 5, 1 << 70])
def test_an_index_outside_the_tree_is_refused(index):
    read = reader(numbered(4))
    with pytest.raises(ProofError, match="not in a tree"):
        inclusion_proof(index, 4, read)
    with pytest.raises(ProofError, match="not in a tree"):
        verify_inclusion(leaf_hash(b""), index, 4, inclusion_proof(0, 4, read), tree_root(4, read))


def test_an_empty_list_of_hashes_proves_nothing():
    read = reader(numbered(6))
    with pytest.raises(ProofError):
        verify_inclusion(leaf_hash(b"entry 2"), 2, 6, [], tree_root(6, read))
    with pytest.raises(ProofError, match="empty"):
        verify_consistency(2, 6, [], tree_root(2, read), tree_root(6, read))
    with pytest.raises(ProofError, match="empty"):
        verify_consistency(4, 6, [], tree_root(4, read), tree_root(4, read))


def test_a_proof_of_a_small_tree_does_not_pass_for_one_of_a_larger_tree_with_its_root():
    read = reader(numbered(2))
    root = tree_root(2, read)
    with pytest.raises(ProofError, match="shorter"):
        verify_inclusion(leaf_hash(b"entry 0"), 0, 4, inclusion_proof(0, 2, read), root)
    with pytest.raises(ProofError, match="shorter"):
        verify_consistency(1, 4, consistency_proof(1, 2, read), tree_root(1, read), root)


def test_a_hash_of_another_length_is_refused():
    read = reader(numbered(2))
    with pytest.raises(ProofError, match="32 bytes"):
        verify_inclusion(leaf_hash(b"entry 0"), 0, 2, [leaf_hash(b"entry 1") + b"\0"], tree_root(2, read))
    with pytest.raises(ProofError, match="32 bytes"):
        verify_inclusion(b"", 0, 1, [], b"")


def test_an_inner_node_cannot_pass_for_an_entry():
    read = reader(numbered(4))
    joined = read(0, 0) + read(0, 1)
    with pytest.raises(ProofError):
        verify_inclusion(leaf_hash(joined), 0, 2, [read(1, 1)], tree_root(4, read))


def test_a_tree_of_negative_size_is_refused():
    with pytest.raises(ProofError):
        tree_root(-1, reader([]))
