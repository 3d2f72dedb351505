"""A challenger beside the policy in use: everybody stands in one cell, and only loans speak of who is good."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from support.lending_cases import NOW

from lending.account.default import Performance
from lending.cases import Cost, Decision, LoanOffer, Outcome, Scored
from lending.errors import PortfolioError
from lending.portfolio.challengers import LEAST_OF_EACH, Tried, compared

TAKES = {"approve", "counter"}
OFFER = LoanOffer("small", 1000, 30, 300, 5000, Cost(Decimal("0.1"), Decimal("0.1"), None, "", 9), NOW)


def said(outcome: Outcome, limit: int = 5000) -> Decision:
    offer = replace(OFFER, limit=limit) if outcome in TAKES else None
    return Decision("a-1", outcome, None, offer, (), (), "0" * 64, NOW)


def one(mine: Outcome, other: Outcome, performance: Performance | None = None, **more) -> Tried:
    return Tried(said(mine), said(other, more.pop("limit", 5000)), performance=performance, **more)


outcomes = st.sampled_from(get_args(Outcome))
tried = st.builds(one, outcomes, outcomes, st.sampled_from([None, *get_args(Performance)]), explored=st.booleans())


@given(st.lists(tried, min_size=1, max_size=60))
def test_everybody_stands_in_one_cell(them: list[Tried]):
    found = compared(them)
    assert sum(cell.applications for cell in found.cells) == len(them) == found.applications
    assert found.both + found.only_champion + found.only_challenger + found.neither == len(them)
    by_hand = Counter(
        (case.champion.outcome in TAKES and not case.explored, case.challenger.outcome in TAKES) for case in them
    )
    assert (found.both, found.only_champion) == (by_hand[True, True], by_hand[True, False])
    assert (found.only_challenger, found.neither) == (by_hand[False, True], by_hand[False, False])
    for cell in found.cells:
        assert (cell.bad is None) == (cell.mature == 0)
    mature = sum(case.performance in {"good", "bad"} for case in them)
    assert sum(cell.mature for cell in found.cells) == mature
    assert found.champion_approves.low <= found.champion_approves.value <= found.champion_approves.high


def test_the_loans_that_only_a_challenger_would_have_declined():
    them = [one("approve", "decline", "bad")] * 3 + [
        one("review", "decline", "good"),
        one("approve", "approve", "good"),
    ]
    them += [one("decline", "decline", "bad"), one("approve", "decline", "immature"), one("approve", "decline")]
    them += [one("approve", "decline", "bad", explored=True)]
    found = compared(them)
    assert (found.declined_alone.value, found.others.value) == (0.75, 0.0)
    explored = next(cell for cell in found.cells if (cell.champion, cell.challenger) == ("decline", "decline"))
    assert (explored.applications, explored.mature, explored.bad.value) == (2, 2, 1.0)


def test_terms_are_compared_where_both_offer_of_themselves():
    them = [one("approve", "counter", limit=limit) for limit in (4000, 5000, 7000)]
    assert compared([*them, one("approve", "decline"), one("approve", "approve", limit=1, explored=True)]).limit == (
        compared(them).limit
    )
    limit, rate = compared(them).limit, compared(them).rate
    assert (limit.offers, limit.higher, limit.lower, limit.mean.holds(0)) == (3, 1, 1, True)
    assert (rate.higher, rate.lower, rate.mean.value, rate.mean.low) == (0, 0, 0, 0)
    assert compared(them[:1]).limit is None, "of one nothing follows"
    with pytest.raises(PortfolioError, match="no application"):
        compared([])


def scored(p: float) -> Scored:
    return Scored(500, "c", p, 500, ())


def ranked_by(pairs: list[tuple[float, float]], bad: list[bool]) -> list[Tried]:
    return [
        replace(
            one("approve", "approve", "bad" if is_bad else "good"),
            champion=replace(said("approve"), scored=scored(mine)),
            challenger=replace(said("approve"), scored=scored(other)),
        )
        for (mine, other), is_bad in zip(pairs, bad, strict=True)
    ]


tenths = st.integers(1, 9).map(lambda tenth: tenth / 10)


@given(st.lists(st.tuples(tenths, tenths, st.booleans()), min_size=2, max_size=40))
def test_both_models_are_ranked_on_the_same_mature_loans(them: list[tuple[float, float, bool]]):
    pairs, bad = [(mine, other) for mine, other, _ in them], [is_bad for *_, is_bad in them]
    more = [one("approve", "approve", "immature"), one("decline", "approve"), one("approve", "approve", "bad")]
    found = compared(ranked_by(pairs, bad) + more).ranked
    if not 0 < sum(bad) < len(bad) or all(mine == other for mine, other in pairs):
        assert found is None
        return
    by_hand = [roc_auc_score(bad, [pair[at] for pair in pairs]) for at in (0, 1)]
    assert (found.loans, found.bad) == (len(bad), sum(bad)), "who has no score, or no outcome, ranks nowhere"
    assert [found.champion, found.challenger] == pytest.approx(by_hand)
    assert found.expected == pytest.approx((sum(mine for mine, _ in pairs), sum(other for _, other in pairs)))
    assert (found.apart is None) == (min(sum(bad), len(bad) - sum(bad)) < LEAST_OF_EACH), "of few nothing follows"
    if found.apart is not None:
        assert found.apart.value == pytest.approx(by_hand[1] - by_hand[0])
        assert -1 <= found.apart.low <= found.apart.value <= found.apart.high <= 1


def test_the_interval_between_two_models_is_that_of_chance():
    """By drawing the loans again and again: 95 in 100 hold the difference behind them."""
    draw, truth, held = np.random.default_rng(1), [], []
    for _ in range(200):
        bad = draw.random(400) < 0.2
        shared = draw.normal(size=400) + bad
        pairs = 1 / (1 + np.exp(-np.stack([shared + draw.normal(size=400), shared + 0.5 * draw.normal(size=400)])))
        found = compared(ranked_by(list(zip(*pairs.tolist(), strict=True)), bad.tolist())).ranked
        truth.append(found.apart.value)
        held.append(found.apart)
    middle = float(np.mean(truth))
    assert middle > 0.02
    assert 0.9 <= np.mean([one.holds(middle) for one in held]) <= 0.99
