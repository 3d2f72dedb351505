"""Secure aggregation: exact in the sum modulo 2^64, uniform in everything less."""

from functools import reduce

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from crypto.errors import MaskError
from crypto.masks import Masks, expand, pair_seed, unmask

RELEASE = {"campaign": "c1", "release": 1, "attempt": 1, "roster": "k1 k2 k3", "parameters": "p1"}
P_VALUE = 1e-8  # some twenty chi-square tests in this file; all of them together fail by chance below 1e-6
LOW_ORDER = {
    "zero": 0,
    "one": 1,
    "order 8": 325606250916557431795983626356110631294008115727848805560023387167927233504,
    "order 8, the other": 39382357235489614581723060781553021112529911719440698176882885853963445705823,
    "minus one": 2**255 - 20,
    "zero, not reduced": 2**255 - 19,
    "one, not reduced": 2**255 - 18,
    "zero with the unused bit": 2**255,
}
"""Curve25519's points of small order, and other ways to write them (https://cr.yp.to/ecdh.html#validate)."""


class Party:
    def __init__(self, number):
        self.name = f"lender-{number}"
        self.private = X25519PrivateKey.from_private_bytes(bytes([number + 1]) * 32)

    def masks(self, parties, release=RELEASE):
        peers = {p.name: p.private.public_key() for p in parties if p is not self}
        return Masks.of(self.name, self.private, peers, release)

    def masked(self, steps, parties, release=RELEASE):
        return self.masks(parties, release).apply(np.asarray(steps, dtype=np.int64).view(np.uint64))


def consortium(size):
    return [Party(i) for i in range(size)]


def signed(number):
    """A whole number as 64 bits hold it."""
    return (number + 2**63) % 2**64 - 2**63


def assert_uniform(words):
    """Chi-square over the top byte and the bottom byte of each word."""
    joined = np.concatenate(words)
    for shift in (56, 0):
        counts = np.bincount((joined >> np.uint64(shift)).astype(np.uint8), minlength=256)
        assert counts.sum() >= 256 * 100
        assert chisquare(counts).pvalue > P_VALUE


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 6), st.integers(0, 50), st.data())
def test_the_sum_over_all_lenders_is_exact(size, length, data):
    steps = st.lists(st.integers(-(2**60), 2**60), min_size=length, max_size=length)
    vectors = [data.draw(steps) for _ in range(size)]
    parties = consortium(size)
    total = unmask([p.masked(v, parties) for p, v in zip(parties, vectors, strict=True)])
    assert total.dtype == np.int64
    assert total.tolist() == [sum(column) for column in zip(*vectors, strict=True)]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=6))
def test_a_sum_that_wraps_is_exact_modulo_2_to_the_64(steps):
    parties = consortium(len(steps))
    total = unmask([p.masked([step], parties) for p, step in zip(parties, steps, strict=True)])
    assert total.tolist() == [signed(sum(steps))]


def test_the_largest_and_the_smallest_whole_number_wrap_as_integers_do():
    parties = consortium(3)
    for steps, expected in (
        ((2**63 - 1, 1, 0), -(2**63)),
        ((-(2**63), -1, 0), 2**63 - 1),
        ((2**62, 2**62, 2**62), signed(3 * 2**62)),
        ((-(2**63), 2**63 - 1, 1), 0),
    ):
        masked = [p.masked([step], parties) for p, step in zip(parties, steps, strict=True)]
        assert unmask(masked).tolist() == [expected]


def test_the_sum_does_not_depend_on_the_order_of_arrival():
    parties = consortium(4)
    masked = [p.masked([15, -20], parties) for p in parties]
    assert unmask(masked[::-1]).tolist() == unmask(masked).tolist() == [60, -80]


@pytest.mark.parametrize("steps", [np.zeros(2000), np.full(2000, -1), np.arange(2000) * 10**12, np.full(2000, 2**62)])
def test_one_lenders_masked_vector_is_uniform_whatever_it_holds(steps):
    parties = consortium(2)
    assert_uniform([parties[0].masked(steps, parties, RELEASE | {"attempt": n}) for n in range(40)])


def test_one_coordinate_is_uniform_over_many_attempts():
    parties = consortium(2)
    attempts = [RELEASE | {"attempt": n} for n in range(3000)]
    assert_uniform([parties[0].masked(np.full(10, 3), parties, attempt) for attempt in attempts])


@pytest.mark.parametrize("subset", [(0,), (3,), (0, 1), (0, 3), (0, 1, 2), (1, 2, 3)])
def test_the_sum_of_some_but_not_all_lenders_is_uniform(subset):
    parties = consortium(4)
    sums = []
    for attempt in range(30):
        masked = [p.masked(np.full(1000, 7), parties, RELEASE | {"attempt": attempt}) for p in parties]
        assert unmask(masked).tolist() == [28] * 1000
        sums.append(reduce(np.add, (masked[i] for i in subset)))
    assert_uniform(sums)


def test_colluders_who_take_their_masks_off_again_still_see_a_uniform_vector():
    a, b, *colluders = parties = consortium(4)
    seen = []
    for attempt in range(30):
        release = RELEASE | {"attempt": attempt}
        with_colluders = [Masks.of(a.name, a.private, {c.name: c.private.public_key()}, release) for c in colluders]
        known = reduce(np.add, (masks.apply(np.zeros(1000, np.uint64)) for masks in with_colluders))
        seen.append(a.masked(np.full(1000, 7), parties, release) - known)
        of_b = Masks.of(a.name, a.private, {b.name: b.private.public_key()}, release)
        assert (seen[-1] == of_b.apply(np.full(1000, 7, np.uint64))).all()
    assert_uniform(seen)


OTHER = {"attempt": 2, "release": 2, "campaign": "c2", "roster": "k1 k2 k4", "parameters": "p2", "more": 1}


@pytest.mark.parametrize("change", [{"attempt": "1"}, *({name: value} for name, value in OTHER.items())], ids=str)
def test_another_attempt_release_roster_or_question_gives_unrelated_masks(change):
    parties = consortium(2)
    first = parties[0].masked(np.zeros(64), parties)
    second = parties[0].masked(np.zeros(64), parties, RELEASE | change)
    assert not (first == second).any()
    assert first.tolist() == parties[0].masked(np.zeros(64), parties, dict(reversed(RELEASE.items()))).tolist()


def test_every_lender_has_unrelated_masks_with_each_of_its_peers():
    parties = consortium(4)
    seeds = [{seed for _, seed in p.masks(parties).signs_and_seeds} for p in parties]
    assert [len(mine) for mine in seeds] == [3] * 4
    assert len(set.union(*seeds)) == 6


def test_masks_of_different_views_of_a_release_do_not_cancel():
    a, b = parties = consortium(2)
    for change in ({"roster": "forged"}, {"parameters": "forged"}, {"attempt": 2}):
        total = unmask([a.masked(np.zeros(8), parties), b.masked(np.zeros(8), parties, RELEASE | change)])
        assert (np.abs(total.astype(float)) > 2**32).any()


def test_two_lenders_share_one_seed_of_32_bytes_per_pair():
    a, b, c = consortium(3)

    def seed(me, peer, low, high):
        return pair_seed(me.private.exchange(peer.private.public_key()), RELEASE, low, high)

    ab = seed(a, b, a.name, b.name)
    assert ab == seed(b, a, a.name, b.name)
    assert len(ab) == 32
    others = {seed(a, c, a.name, c.name), seed(b, c, b.name, c.name), seed(a, b, b.name, a.name)}
    assert len(others | {ab}) == 4


def test_one_key_under_two_names_does_not_give_one_mask_twice():
    me, other = consortium(2)
    key = other.private.public_key()
    masks = Masks.of(me.name, me.private, {"lender-1": key, "lender-2": key}, RELEASE)
    assert len({seed for _, seed in masks.signs_and_seeds}) == 2


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
    me, other = consortium(2)
    for peers in ({me.name: me.private.public_key()}, {p.name: p.private.public_key() for p in (me, other)}):
        with pytest.raises(MaskError, match="hides nothing"):
            Masks.of(me.name, me.private, peers, RELEASE)


@pytest.mark.parametrize("point", LOW_ORDER.values(), ids=LOW_ORDER)
def test_a_peers_key_of_low_order_is_refused(point):
    peers = {"b": Party(1).private.public_key(), "c": X25519PublicKey.from_public_bytes(point.to_bytes(32, "little"))}
    with pytest.raises(MaskError, match="'c' is of low order"):
        Masks.of("a", Party(0).private, peers, RELEASE)


def test_masking_leaves_the_input_alone():
    words = np.arange(3, dtype=np.uint64)
    Masks.of("a", Party(0).private, {"b": Party(1).private.public_key()}, RELEASE).apply(words)
    assert words.tolist() == [0, 1, 2]


def test_adding_up_leaves_the_contributions_alone():
    words = [np.ones(3, np.uint64), np.ones(3, np.uint64)]
    assert unmask(words).tolist() == [2, 2, 2]
    assert [w.tolist() for w in words] == [[1, 1, 1], [1, 1, 1]]


def test_masks_do_not_show_their_seeds():
    parties = consortium(2)
    masks = parties[0].masks(parties)
    assert repr(masks.signs_and_seeds[0][1]) not in repr(masks)


def test_masked_vectors_of_different_lengths_are_refused():
    with pytest.raises(MaskError, match="length"):
        unmask([np.zeros(2, np.uint64), np.zeros(3, np.uint64)])
    with pytest.raises(MaskError):
        unmask([])
