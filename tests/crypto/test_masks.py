"""Secure aggregation: exact in the sum, uniform in everything less."""

from functools import reduce

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from crypto.errors import MaskError
from crypto.masks import FRACTION_BITS, Masks, decode, encode, expand, pair_seed, unmask

RELEASE = {"campaign": "c1", "release": 1, "attempt": 1, "roster": "k1 k2 k3"}
P_VALUE = 1e-8  # some ten chi-square tests in this file; all of them together fail by chance below 1e-6


class Party:
    def __init__(self, number):
        self.name = f"lender-{number}"
        self.private = X25519PrivateKey.from_private_bytes(bytes([number + 1]) * 32)

    def masked(self, values, parties, release=RELEASE):
        peers = {p.name: p.private.public_key() for p in parties if p is not self}
        return Masks.of(self.name, self.private, peers, release).apply(encode(values, len(parties)))


def consortium(size):
    return [Party(i) for i in range(size)]


def assert_uniform(words):
    """Chi-square over the top byte of each word."""
    counts = np.bincount((np.concatenate(words) >> np.uint64(56)).astype(int), minlength=256)
    assert counts.sum() >= 256 * 100
    assert chisquare(counts).pvalue > P_VALUE


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 6), st.integers(0, 50), st.data())
def test_the_sum_over_all_lenders_is_exact(size, length, data):
    value = st.floats(-1e9, 1e9)
    vectors = [np.array(data.draw(st.lists(value, min_size=length, max_size=length))) for _ in range(size)]
    parties = consortium(size)
    total = unmask([p.masked(v, parties) for p, v in zip(parties, vectors, strict=True)])
    fixed = [sum(round(float(v[i]) * 2**FRACTION_BITS) for v in vectors) for i in range(length)]
    assert total.tolist() == [number / 2**FRACTION_BITS for number in fixed]


def test_the_sum_does_not_depend_on_the_order_of_arrival():
    parties = consortium(4)
    masked = [p.masked(np.array([1.5, -2.0]), parties) for p in parties]
    assert unmask(masked[::-1]).tolist() == unmask(masked).tolist() == [6.0, -8.0]


@settings(deadline=None)
@given(st.lists(st.floats(-1e10, 1e10)))
def test_a_fixed_point_value_is_within_half_a_step_of_the_truth(values):
    assert np.abs(decode(encode(np.array(values), 2)) - values).max(initial=0) <= 2.0 ** -(FRACTION_BITS + 1)


@pytest.mark.parametrize("values", [np.zeros(2000), np.full(2000, -1.0), np.linspace(-1e9, 1e9, 2000)])
def test_one_lenders_masked_vector_is_uniform_whatever_it_holds(values):
    parties = consortium(2)
    assert_uniform([parties[0].masked(values, parties, RELEASE | {"attempt": n}) for n in range(40)])


def test_one_coordinate_is_uniform_over_many_attempts():
    parties = consortium(2)
    attempts = [RELEASE | {"attempt": n} for n in range(3000)]
    assert_uniform([parties[0].masked(np.full(10, 3.0), parties, attempt) for attempt in attempts])


@pytest.mark.parametrize("subset", [(0, 1), (0, 3), (0, 1, 2), (1, 2, 3)])
def test_the_sum_of_some_but_not_all_lenders_is_uniform(subset):
    parties = consortium(4)
    sums = []
    for attempt in range(30):
        masked = [p.masked(np.full(1000, 7.0), parties, RELEASE | {"attempt": attempt}) for p in parties]
        assert unmask(masked).tolist() == [28.0] * 1000
        sums.append(reduce(np.add, (masked[i] for i in subset)))
    assert_uniform(sums)


@pytest.mark.parametrize(
    "change", [{"attempt": 2}, {"release": 2}, {"campaign": "c2"}, {"roster": "k1 k2 k4"}, {"more": 1}]
)
def test_another_attempt_release_or_roster_gives_unrelated_masks(change):
    parties = consortium(2)
    first = parties[0].masked(np.zeros(64), parties)
    second = parties[0].masked(np.zeros(64), parties, RELEASE | change)
    assert not (first == second).any()
    assert first.tolist() == parties[0].masked(np.zeros(64), parties, dict(reversed(RELEASE.items()))).tolist()


def test_masks_of_different_views_of_a_release_do_not_cancel():
    a, b = parties = consortium(2)
    total = unmask([a.masked(np.zeros(8), parties), b.masked(np.zeros(8), parties, RELEASE | {"roster": "forged"})])
    assert (np.abs(total) > 1).any()


def test_two_lenders_share_one_seed_of_32_bytes_per_pair():
    a, b, c = consortium(3)

    def seed(me, peer, low, high):
        return pair_seed(me.private.exchange(peer.private.public_key()), RELEASE, low, high)

    ab = seed(a, b, a.name, b.name)
    assert ab == seed(b, a, a.name, b.name)
    assert len(ab) == 32
    others = {seed(a, c, a.name, c.name), seed(b, c, b.name, c.name), seed(a, b, b.name, a.name)}
    assert len(others | {ab}) == 4


def test_words_come_from_the_chacha20_key_stream():
    # Source: RFC 8439 appendix A.1, test vector 1 (key, nonce and counter zero).
    stream = "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
    assert expand(bytes(32), 4).astype("<u8").tobytes().hex() == stream


@pytest.mark.parametrize("length", [0, 4, 16, 31, 33])
def test_a_seed_of_fewer_or_more_bits_is_refused(length):
    with pytest.raises(ValueError):
        expand(bytes(length), 1)


def test_a_lender_alone_is_refused():
    with pytest.raises(MaskError, match="hides nothing"):
        Masks.of("lender-0", Party(0).private, {}, RELEASE)


def test_a_lender_among_its_own_peers_is_refused():
    me = Party(0)
    with pytest.raises(MaskError, match="hides nothing"):
        Masks.of(me.name, me.private, {me.name: me.private.public_key()}, RELEASE)


def test_masking_leaves_the_input_alone():
    words = encode(np.ones(3), 2)
    before = words.tolist()
    Masks.of("a", Party(0).private, {"b": Party(1).private.public_key()}, RELEASE).apply(words)
    assert words.tolist() == before


@pytest.mark.parametrize("parties", [2, 5])
def test_a_value_beyond_fixed_point_is_cut_and_never_refused(parties):
    """A refusal would depend on this lender's value alone, and so tell it."""
    limit = 2.0 ** (62 - FRACTION_BITS) / parties
    values = np.array([float("nan"), float("inf"), float("-inf"), 1e300, -1e300])
    assert decode(encode(values, parties)) == pytest.approx([0.0, limit, -limit, limit, -limit])


def test_a_peer_s_key_of_low_order_is_refused():
    with pytest.raises(MaskError, match="low order"):
        Masks.of("a", Party(0).private, {"b": X25519PublicKey.from_public_bytes(bytes(32))}, RELEASE)


@pytest.mark.parametrize("parties", [2, 3, 6])
def test_the_sum_of_the_largest_values_does_not_wrap(parties):
    largest = 2.0 ** (62 - FRACTION_BITS) / parties
    total = reduce(np.add, [encode(np.array([largest, -largest]) * (1 - 1e-12), parties)] * parties)
    assert decode(total) == pytest.approx([2.0**38, -(2.0**38)])
    cut = reduce(np.add, [encode(np.array([1e300]), parties)] * parties)
    assert decode(cut) == pytest.approx([2.0**38])


def test_masked_vectors_of_different_lengths_are_refused():
    with pytest.raises(MaskError, match="length"):
        unmask([np.zeros(2, np.uint64), np.zeros(3, np.uint64)])
    with pytest.raises(MaskError):
        unmask([])
