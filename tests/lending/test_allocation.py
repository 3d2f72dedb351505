"""In which order a payment is used: every order is data, and none loses a fen."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.effort import effort

from lending.account.allocation import BUCKETS, COMPONENTS, STANDARD, STEPS, OpenClaim, Order, allocate
from lending.errors import AccountError

CLAIMS = (
    OpenClaim(0, "past-due", "principal", 100),
    OpenClaim(0, "past-due", "interest", 10),
    OpenClaim(0, "past-due", "penalty", 5),
    OpenClaim(1, "past-due", "interest", 20),
    OpenClaim(2, "due", "fees", 3),
    OpenClaim(3, "advance", "principal", 50),
    OpenClaim(4, "advance", "principal", 60),
)
PRINCIPAL_FIRST = [step for what in reversed(COMPONENTS) for step in STEPS if step[1] == what]


def used(amount, order):
    met, left = allocate(amount, CLAIMS, order)
    return [(claim.place, claim.component, part) for claim, part in met], left


def test_the_standard_order_clears_the_oldest_due_first():
    assert used(120, STANDARD) == (
        [(0, "penalty", 5), (0, "interest", 10), (0, "principal", 100), (1, "interest", 5)],
        0,
    )


def test_each_step_over_all_dues_before_the_next():
    assert used(40, Order(STEPS, by_due=False))[0] == [
        (0, "penalty", 5),
        (0, "interest", 10),
        (1, "interest", 20),
        (0, "principal", 5),
    ]


def test_principal_first_as_some_law_has_it_of_old_arrears():
    assert used(110, Order(tuple(PRINCIPAL_FIRST)))[0] == [(0, "principal", 100), (0, "interest", 10)]


def test_one_order_for_past_due_due_and_in_advance():
    assert Order.alike(COMPONENTS) == STANDARD
    assert used(110, Order.alike(COMPONENTS[::-1]))[0] == [(0, "principal", 100), (0, "interest", 10)]
    with pytest.raises(AccountError, match="12 steps once"):
        Order.alike(COMPONENTS[:3])


def test_in_advance_from_the_end():
    def ahead(order):
        return [one for one in used(188, order)[0] if one[0] > 2]

    assert ahead(STANDARD) == [(3, "principal", 50)]
    assert ahead(Order(STEPS, last_first=True)) == [(4, "principal", 50)]


def test_what_is_left_is_told():
    assert used(1_000, STANDARD)[1] == 1_000 - sum(one.amount for one in CLAIMS)
    assert used(0, STANDARD) == ([], 0)


claims = st.lists(
    st.builds(OpenClaim, st.integers(0, 9), st.sampled_from(BUCKETS), st.sampled_from(COMPONENTS), st.integers(0, 999)),
    max_size=12,
)
orders = st.builds(Order, st.permutations(STEPS).map(tuple), st.booleans(), st.booleans())


@settings(max_examples=effort(100, 50), deadline=None)
@given(st.integers(0, 9_999), claims, orders)
def test_every_fen_meets_a_claim_or_is_left(amount, claims, order):
    met, left = allocate(amount, claims, order)
    assert sum(part for _, part in met) + left == amount
    assert all(0 < part <= claim.amount for claim, part in met)
    assert left == max(amount - sum(claim.amount for claim in claims), 0)
    partly = [claim for claim, part in met if part < claim.amount]
    assert len(partly) <= 1


@settings(max_examples=30, deadline=None)
@given(orders)
def test_an_order_is_data(order):
    assert Order.read(order.written(), order.by_due, order.last_first) == order


def test_an_order_that_forgets_a_step_or_has_one_twice_is_refused():
    written = STANDARD.written()
    for wrong, named in (
        (written[1:], "past-due-penalty"),
        ((*written, written[0]), "each of its 12 steps once"),
        (("soon-penalty", *written[1:]), "past-due-penalty"),
    ):
        with pytest.raises(AccountError, match=named):
            Order.read(wrong)
