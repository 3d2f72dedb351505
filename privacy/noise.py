"""Noise and sampling on which the guarantee rests: exact, in bulk, and from the operating system.

The discrete Gaussian and the discrete Laplace distribution are drawn as Canonne, Kamath & Steinke
2020 (https://arxiv.org/abs/2004.00010, algorithms 1 to 3) draw them, many at a time. Everything is
comparisons of whole numbers: nothing is rounded, so no artefact of floating point can leak (Mironov
2012). A scale that is a double is a fraction, and is taken as the fraction that it is.

Why it is exact, step by step:

1. ``_below`` rejects the words beyond the last whole multiple of its bound, so that every remainder
   has the same number of words.
2. ``_exp_coins``: tosses of probability x/1, x/2, x/3, … until the first tails, at toss k. It is
   P(k > j) = x^j / j!, so that an odd k has probability 1 - x + x^2/2 - … = exp(-x) (von Neumann
   1951). For x = g + r, with g whole, it is g times exp(-1) and then exp(-r).
3. ``_laplace``: u is uniform below t and kept with exp(-u/t); v counts tosses of exp(-1). So u + tv
   has probability proportional to exp(-(u + tv)/t); with a random sign, and without the second
   zero, it is the discrete Laplace of scale t.
4. ``discrete_gaussian``: y of the discrete Laplace of scale t is kept with exp(-(|y| - s/t)^2 /
   2s), where s is the squared scale. The product is proportional to exp(-y^2 / 2s).

Draws that are kept are independent of those that are not, so the first ``size`` that are kept are
``size`` independent draws.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from privacy.errors import PrivacyError

Whole = NDArray[np.int64]

LEAST_SCALE, LARGEST_SCALE = 2.0**-16, 2.0**30
SCALE_BITS = 25
"""Of the numerator of a scale."""
FAR = 64
"""Times t, which a draw reaches with probability exp(-64): so far its distance fits into
``ROOT_BITS``, up to a scale of 2^24."""
ROOT_BITS = 31
"""Of what is squared in a machine's whole numbers. What is larger is squared in Python's, which
never overflow."""


def discrete_gaussian(size: int, scale: float) -> Whole:
    """``size`` independent draws of the discrete Gaussian with parameter ``scale`` (in integer
    units).

    The squared scale is rounded up, by less than a part in 2^22 where it is 1 or more, so that
    distances fit into a machine's whole numbers: more noise, never less.

    Raises:
        PrivacyError: the scale is not in [2^-16, 2^30].
    """
    _check(scale)
    near, bits, centre = parameters(scale)
    twice = 2 ** (bits + 1) * centre * near

    def some(count: int) -> Whole:
        drawn = _laplace(near, count)
        distance = (_widened(np.abs(drawn), bits) << bits) - centre
        squared = distance * distance
        kept = np.flatnonzero(_exp_coins((squared % twice).astype(np.int64), twice))
        return drawn[kept[_exp_wholes(squared[kept] // twice)]]

    return _first(size, some)


def parameters(scale: float) -> tuple[int, int, int]:
    """t, and s/t as a fraction: how many bits its denominator has, and its numerator."""
    near = int(scale) + 1
    bits = max(0, ROOT_BITS - (FAR * near - 1).bit_length())
    return near, bits, -int(-(Fraction(scale) ** 2) * 2**bits // near)


def discrete_laplace(size: int, scale: float) -> Whole:
    """``size`` independent draws of the discrete Laplace distribution (Ghosh, Roughgarden &
    Sundararajan 2009): P(k) proportional to exp(-|k| / scale).

    The scale is rounded up, by less than a part in 2^24: more noise, never less.

    Raises:
        PrivacyError: the scale is not in [2^-16, 2^30].
    """
    _check(scale)
    bits, numerator = laplace_parameters(scale)

    def some(count: int) -> Whole:
        return _signed(_exponential(numerator, count) >> bits)

    return _first(size, some)


def laplace_parameters(scale: float) -> tuple[int, int]:
    """The scale as a fraction: how many bits its denominator has, and its numerator. Where |y| has
    scale t, the floor of |y| / n has scale t/n (algorithm 2)."""
    bits = max(0, SCALE_BITS - math.frexp(scale)[1])
    return bits, -int(-Fraction(scale) * 2**bits // 1)


def _check(scale: float) -> None:
    if not LEAST_SCALE <= scale <= LARGEST_SCALE:
        raise PrivacyError(
            f"noise has a scale of {LEAST_SCALE:g} to {LARGEST_SCALE:g} steps, not {scale:g}"
        )


def _first(size: int, some: Callable[[int], Whole]) -> Whole:
    """The first ``size`` of the draws that ``some`` keeps."""
    kept = [some(size + size // 2 + 8)] if size else [np.zeros(0, np.int64)]
    while (missing := size - sum(map(len, kept))) > 0:
        kept.append(some(2 * missing + 8))
    return np.concatenate(kept)[:size]


def _laplace(scale: int, count: int) -> Whole:
    """At most ``count`` draws of the discrete Laplace of a whole scale."""
    return _signed(_exponential(scale, count))


def _exponential(scale: int, count: int) -> Whole:
    """At most ``count`` draws of P(k) proportional to exp(-k / scale), for k of 0 and above."""
    rest = _below(scale, count)
    rest = rest[_exp_coins(rest, scale)]
    return rest + scale * _runs(len(rest))


def _signed(sizes: Whole) -> Whole:
    """Each with a random sign; a zero is kept with one sign only."""
    negative = _below(2, len(sizes)) == 1
    signed = np.where(negative, -sizes, sizes)
    return np.asarray(signed[~(negative & (sizes == 0))])


def _widened(sizes: Whole, bits: int) -> Whole:
    """Whole numbers that can be squared, ``bits`` to the left: Python's where a machine's could
    overflow."""
    large = len(sizes) > 0 and int(sizes.max()) << bits >= 1 << ROOT_BITS
    return sizes.astype(object) if large else sizes


def _runs(count: int) -> Whole:
    """How many coins of exp(-1) show heads before the first that shows tails."""
    heads = np.zeros(count, np.int64)
    running = np.arange(count)
    while len(running):
        running = running[_exp_coins(np.ones(len(running), np.int64), 1)]
        heads[running] += 1
    return heads


def _exp_wholes(times: Whole) -> NDArray[np.bool_]:
    """Heads with probability exp(-times): so many coins of exp(-1), all of which show heads."""
    heads = np.ones(len(times), np.bool_)
    tossed = np.flatnonzero(times > 0)
    done = 0
    while len(tossed):
        done += 1
        shown = _exp_coins(np.ones(len(tossed), np.int64), 1)
        heads[tossed[~shown]] = False
        tossed = tossed[shown]
        tossed = tossed[times[tossed] > done]
    return heads


def _exp_coins(parts: Whole, whole: int) -> NDArray[np.bool_]:
    """Heads with probability exp(-parts / whole), each by itself; parts are 0 to ``whole``."""
    heads = np.zeros(len(parts), np.bool_)
    tossed = np.arange(len(parts))
    toss = 0
    while len(tossed):
        toss += 1
        on = _below(whole, len(tossed)) < parts[tossed]
        on[on] = _below(toss, int(on.sum())) == 0
        heads[tossed[~on]] = toss % 2 == 1
        tossed = tossed[on]
    return heads


def _below(bound: int, count: int) -> Whole:
    """Independent uniform whole numbers of 0 up to, but not, ``bound``, which is at most 2^63."""
    if bound == 1:
        return np.zeros(count, np.int64)
    words = _words(count)
    last = np.uint64(2**64 // bound * bound - 1)
    while len(beyond := np.flatnonzero(words > last)):
        words[beyond] = _words(len(beyond))
    return np.asarray(words % np.uint64(bound)).astype(np.int64)


def _words(count: int) -> NDArray[np.uint64]:
    """Uniform words of 64 bits from the operating system."""
    return np.frombuffer(bytearray(os.urandom(8 * count)), np.uint64)


def poisson_sample(size: int, rate: float) -> NDArray[np.bool_]:
    """Include each of ``size`` records independently with probability ``rate`` (to within
    2^-64)."""
    if not 0 < rate <= 1:
        raise PrivacyError(f"a sampling rate lies in (0, 1], not {rate}")
    if rate == 1:
        return np.ones(size, dtype=np.bool_)
    return _words(size) < np.uint64(int(rate * 2.0**64))
