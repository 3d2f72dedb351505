"""What a duty of law says is in a pack of evidence is in one."""

from __future__ import annotations

import pytest

from trials.duties import load

POINTING = [duty for duty in load() if duty.pack]


def test_many_duties_are_shown_in_a_pack():
    assert len(POINTING) > 30


@pytest.mark.parametrize("duty", POINTING, ids=[duty.id for duty in POINTING])
def test_what_a_duty_points_to_is_in_a_pack(whole, duty):
    for pattern in duty.pack:
        found = list(whole.glob(pattern))
        assert found and all(path.stat().st_size for path in found), f"{duty.id}: no {pattern} in a whole pack"
