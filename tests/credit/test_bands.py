"""Five bands as data, what they mean, and what is no set of bands."""

from __future__ import annotations

import numpy as np
import pytest

from credit.bands import BANDS, Bands, probability_of_bad, require_these
from credit.errors import ModelError
from credit.scaling import HIGHEST, LOWEST, score


def one(least, code="a"):
    return {"code": code, "least": least, "en": "a", "zh": "甲"}


def test_the_shipped_bands_are_the_five_that_people_know():
    assert BANDS.starts == (350, 550, 600, 650, 700)
    found = [BANDS.band(score).code for score in range(LOWEST, HIGHEST + 1)]
    assert [found.index(band.code) + LOWEST for band in BANDS.bands] == list(BANDS.starts)
    assert len(set(found)) == 5


def test_the_probability_of_each_bound_is_that_of_the_scale():
    told = {row["least"]: row["pd_at_least"] for row in BANDS.table()}
    assert told == {350: 0.6809, 550: 0.1747, 600: 0.1062, 650: 0.0625, 700: 0.0361}
    assert BANDS.table()[-1]["pd_at_most"] == 0.0021
    for points in range(LOWEST, HIGHEST + 1):
        assert score(np.array([probability_of_bad(points)])) == [points]


@pytest.mark.parametrize(
    "data",
    [
        [],
        [one(400)],
        [one(350), one(350, "b")],
        [one(350), one(600, "b"), one(500, "c")],
        [one(350), one(600)],
        [one(350), one(950, "b")],
        [{"code": "a"}],
        [one(350) | {"colour": "red"}],
    ],
)
def test_what_is_no_set_of_bands_is_refused(data):
    with pytest.raises(ModelError):
        Bands.of(data)


def test_a_score_is_not_read_by_other_bands_than_the_cards():
    require_these(BANDS.table())
    require_these([])
    for change in ({"least": 351}, {"pd_at_most": 0.5}, {"band": "fine"}):
        with pytest.raises(ModelError, match="other bands"):
            require_these([{**BANDS.table()[0], **change}, *BANDS.table()[1:]])
