"""What is wanted of a campaign, and how it stands: whole files, whoever dies."""

import json

import pytest

from server.desired_state import (
    EVENTS_FILE,
    STATE_FILE,
    WANTED_FILE,
    Stage,
    events,
    read_state,
    record_event,
    request_run,
    run_requested,
    write_state,
)
from server.errors import CoordinatorError
from server.home import CARD_FILE


def test_nothing_is_wanted_until_somebody_says_so(tmp_path):
    assert (run_requested(tmp_path), read_state(tmp_path).stage) == (False, Stage.PROPOSED)
    request_run(tmp_path, True)
    assert run_requested(tmp_path)
    request_run(tmp_path, False)
    assert not run_requested(tmp_path)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"run"', "null"])
def test_a_damaged_wish_is_no_wish(tmp_path, damage):
    (tmp_path / WANTED_FILE).write_text(damage, encoding="utf-8")
    assert not run_requested(tmp_path)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"stage": "elsewhere"}'])
def test_a_damaged_state_is_said(tmp_path, damage):
    (tmp_path / STATE_FILE).write_text(damage, encoding="utf-8")
    with pytest.raises(CoordinatorError, match="damaged"):
        read_state(tmp_path)


def test_the_signed_card_is_the_last_word(tmp_path):
    """Whoever dies between releasing the model and saying so has released it."""
    write_state(tmp_path, Stage.RUNNING)
    assert read_state(tmp_path).stage is Stage.RUNNING
    (tmp_path / CARD_FILE).write_text("signed", encoding="utf-8")
    assert read_state(tmp_path).stage is Stage.RELEASED


def test_events_are_read_from_where_one_stopped_and_a_line_that_was_cut_off_is_none(tmp_path):
    assert list(events(tmp_path)) == []
    for number in range(5):
        record_event(tmp_path, {"event": "release", "release": number})
    assert [event["release"] for event in events(tmp_path, 3)] == [3, 4]
    with (tmp_path / EVENTS_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"event": "release", "release": 5}))
    assert [event["release"] for event in events(tmp_path)] == [0, 1, 2, 3, 4]
