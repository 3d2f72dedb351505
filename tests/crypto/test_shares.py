"""Shares of whole numbers: exact in the sum, uniform alone, and no alteration goes unseen."""

from __future__ import annotations

import doctest
from itertools import product
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

import crypto.shares
from crypto.errors import ShareError
from crypto.shares import PRIME, AdditiveShare, CheckKey, combine, split

KEY = CheckKey(bytes(range(32)))
A = KEY.coefficient("somebody")
NUMBERS = st.integers(0, PRIME - 1)
VECTORS = st.tuples(NUMBERS, NUMBERS, NUMBERS)


def test_the_example_in_the_docstring():
    assert doctest.testmod(crypto.shares).failed == 0


@given(st.lists(VECTORS, min_size=1, max_size=6))
def test_sums_of_shares_are_shares_of_sums(vectors):
    pairs = [split(vector, A) for vector in vectors]
    one, other = AdditiveShare.zero(3), AdditiveShare.zero(3)
    for left, right in pairs:
        one, other = one + left, other + right
    assert combine(one, other, A) == tuple(sum(column) % PRIME for column in zip(*vectors, strict=True))


@given(VECTORS, VECTORS.filter(any), VECTORS)
def test_every_alteration_of_a_share_is_seen(values, more, tags):
    """Whatever a server adds to its share: without the coefficient it cannot add what belongs to it."""
    one, other = split(values, A)
    forged = AdditiveShare(more, tags)
    if tags == tuple(one * A % PRIME for one in more):
        return  # the one in 2^127 that fits
    with pytest.raises(ShareError):
        combine(one + forged, other, A)


def test_an_altered_tag_alone_is_seen():
    one, other = split((1, 2, 3), A)
    with pytest.raises(ShareError):
        combine(one + AdditiveShare((0, 0, 0), (0, 0, 1)), other, A)


def test_a_forger_without_the_coefficient_hits_one_in_the_size_of_the_field():
    """In a field of 31 every change and every tag to it: exactly one of the 30 coefficients lets a change pass."""
    with patch.object(crypto.shares, "PRIME", 31):
        passed = []
        for change, tag in product(range(1, 31), range(31)):
            believed = 0
            for coefficient in range(1, 31):
                one, other = split((7,), coefficient)
                try:
                    combine(one + AdditiveShare((change,), (tag,)), other, coefficient)
                except ShareError:
                    continue
                believed += 1
            passed.append(believed)
    assert max(passed) == 1


def test_a_share_alone_is_uniform_whatever_it_is_of():
    """In a field of 7, over all draws: each server sees every pair of value and tag equally often, for every value."""
    for value in range(7):
        seen = {0: [], 1: []}
        for drawn in product(range(7), repeat=2):
            with (
                patch.object(crypto.shares, "PRIME", 7),
                patch.object(crypto.shares.secrets, "randbelow", _of(drawn)),
            ):
                for server, share in enumerate(split((value,), 3)):
                    seen[server].append((share.values[0], share.tags[0]))
        assert sorted(seen[0]) == sorted(seen[1]) == sorted(product(range(7), repeat=2))


def test_one_servers_shares_and_the_sum_tell_nothing_of_what_the_sum_is_of():
    """In a field of 5, over all draws: whatever two lenders have that adds up to 3, one server sees the shares of both
    and the answer of the other equally often. So an asker that helps a server learns the sum again."""
    seen = []
    for first in range(5):
        views = []
        for drawn in product(range(5), repeat=4):
            with (
                patch.object(crypto.shares, "PRIME", 5),
                patch.object(crypto.shares.secrets, "randbelow", _of(drawn)),
            ):
                mine, others = split((first,), 2)
                more, rest = split(((3 - first) % 5,), 2)
                answer = others + rest
            views.append((mine.values, mine.tags, more.values, more.tags, answer.values, answer.tags))
        seen.append(sorted(views))
    assert all(view == seen[0] for view in seen)


def _of(drawn):
    left = list(drawn)
    return lambda _: left.pop(0)


def test_a_mask_cancels_and_is_another_under_another_seed():
    one, other = split((5, 6), A)
    mask = AdditiveShare.mask(b"s" * 32, 2)
    assert combine(one + mask, other + -mask, A) == (5, 6)
    assert mask.values != AdditiveShare.mask(b"t" * 32, 2).values
    with pytest.raises(ShareError):
        AdditiveShare.mask(b"short", 2)


@given(VECTORS)
def test_a_share_reads_back_from_its_text(values):
    for share in split(values, A):
        assert AdditiveShare.of_text(share.text(), 3) == share


@pytest.mark.parametrize("text", ["", "A" * 10, "!" * 128, "_" * 128, AdditiveShare.zero(2).text()])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(ShareError):
        AdditiveShare.of_text(text, 3)


@pytest.mark.parametrize("values", [(), (-1,), (PRIME,)])
def test_only_elements_of_the_field_are_shared(values):
    with pytest.raises(ShareError):
        split(values, A)


def test_shares_of_different_lengths_are_not_added():
    with pytest.raises(ShareError):
        AdditiveShare.zero(2) + AdditiveShare.zero(3)


def test_handles_and_coefficients_follow_from_the_key_and_the_name():
    other = CheckKey.generate()
    assert KEY.handle("v1.x") == CheckKey(bytes(range(32))).handle("v1.x")
    assert len({KEY.handle("v1.x"), KEY.handle("v1.y"), other.handle("v1.x")}) == 3
    assert len({KEY.coefficient("x"), KEY.coefficient("y"), other.coefficient("x")}) == 3
    with pytest.raises(ShareError):
        CheckKey(b"short")


def test_neither_a_key_nor_a_share_is_printed():
    one, _ = split((123_456,), A)
    assert "CheckKey object" in repr(KEY) and "AdditiveShare object" in repr(one)
