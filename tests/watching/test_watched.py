"""Counts of a consortium made up, from rows to a named cause, without noise and with fixed seeds: what noise does to
it is for ``benchmarks.watching``."""

import pytest

from benchmarks.watched import EXACT, LENDERS, TERM, Counts, Planted, applicants, expectation, figures, own_counts
from watching.causes import Cause, Where, of_lender

ONSET = 3
PLANTED = {
    "quiet": (Planted(), None),
    "shock": (Planted("shock", ONSET), (Cause.CALIBRATION, Where.EVERYWHERE)),
    "broken": (Planted("broken", ONSET, (1,)), (Cause.DATA_FAULT, Where.HERE)),
    "policy": (Planted("policy", ONSET, (1,)), (Cause.POLICY, Where.HERE)),
    "population": (Planted("population", ONSET), (Cause.POPULATION, Where.EVERYWHERE)),
}


@pytest.fixture(scope="module")
def expected():
    return expectation(100_000)


def added(counts):
    return Counts(*(sum(parts) for parts in zip(*(vars(one).values() for one in counts), strict=True)))


@pytest.mark.parametrize("name", PLANTED)
def test_what_changed_is_named_by_the_lender_that_it_concerns(name, expected):
    planted, cause = PLANTED[name]
    them = applicants(range(-TERM, ONSET + 2), 3_333, planted, seed=5)
    own, others, told = [], [], []
    mine = {month: own_counts(them, month, 1) for month in range(-TERM, ONSET + 2)}
    rest = {
        month: added([own_counts(them, month, one) for one in range(LENDERS) if one != 1])
        for month in range(-TERM, ONSET + 2)
    }
    for month in range(ONSET + 2):
        span = range(month - TERM, month + 1)
        own.append(figures(expected, [mine[one] for one in span], EXACT))
        others.append(figures(expected, [rest[one] for one in span], EXACT))
        told += [(month, one.cause, one.where) for one in of_lender(own, others)]
    assert told == ([(ONSET + 1, *cause)] if cause else [])
