"""What one person changes, whatever a source says of them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watching.cells import EventForm, IntakeForm, IntakeQuestion, crossed, members
from watching.errors import WatchError

FORM = IntakeForm((IntakeQuestion("income", 4), IntakeQuestion("score", 3), IntakeQuestion("age", 2)))
ANYTHING = st.integers(-(2**62), 2**62)


def rows(strategy, width, least=1):
    return st.lists(st.tuples(*[strategy] * width), min_size=least, max_size=20).map(
        lambda listed: np.array(listed, np.int64)
    )


@given(rows(ANYTHING, 3))
def test_a_hostile_row_counts_once_in_each_question(answers):
    whole, without = FORM.counted(answers), FORM.counted(answers[:-1].reshape(-1, 3))
    assert np.linalg.norm(whole - without) <= FORM.sensitivity == math.sqrt(3)
    assert [one.sum() for one in FORM.split(whole.astype(float)).values()] == [len(answers)] * 3


@given(rows(ANYTHING, 2))
def test_a_hostile_row_is_one_event_at_most(given_rows):
    form = EventForm(3, 12)
    whole = form.counted(given_rows[:, 0], given_rows[:, 1])
    without = form.counted(given_rows[:-1, 0], given_rows[:-1, 1])
    assert np.abs(whole - without).sum() <= 1


@settings(max_examples=50)
@given(rows(st.integers(0, 2), 3))
def test_who_answers_is_where_they_answered(answers):
    split = FORM.split(FORM.counted(answers).astype(float))
    for column, (name, cells) in enumerate({"income": 4, "score": 3, "age": 2}.items()):
        expected = [sum(min(one, cells - 1) == cell for one in answers[:, column]) for cell in range(cells)]
        assert split[name].tolist() == expected


def test_events_are_where_they_happened():
    form = EventForm(2, 3)
    found = form.counted(np.array([0, 1, 1, 0, 5]), np.array([1, 3, 3, 0, 1]))
    assert found.tolist() == [[1, 0], [0, 0], [0, 2]]
    assert members(2, np.array([0, 1, 1, 7, -1])).tolist() == [1, 2]
    assert crossed(np.array([0, 1, 2, -1]), np.array([1, 0, 9, 0]), 2).tolist() == [1, 2, -1, -1]


def test_nobody_is_a_histogram_of_zeros():
    assert FORM.counted(np.zeros((0, 3), np.int64)).tolist() == [0] * 9


def test_forms_that_ask_nothing_or_twice_are_refused():
    one = IntakeQuestion("income", 4)
    for asked in ((), (one, one), (one, IntakeQuestion("flag", 1))):
        with pytest.raises(WatchError, match="asks each question once"):
            IntakeForm(asked)
    with pytest.raises(WatchError, match="no histogram of 9 cells"):
        FORM.split(np.zeros(8))
