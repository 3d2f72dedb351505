"""The smallest change that reaches a score, as brute force finds it, and in words."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import scorecards
from support.effort import effort

from lending.score.compiled import NEUTRAL, ScoreError, compiled
from lending.score.glossary import Glossary
from lending.score.reasons import MOST_MOVES, Move, nearest
from lending.score.sentences import bin_words, counterfactual_sentence

NAMES = ("late", "balance", "used", "housing")
LOOK_UPS = {
    (kind, seed): compiled(scorecards.model(kind, seed, 0.4)) for kind in ("scorecard", "gam") for seed in range(3)
}


def steps(table, now, to, direction):
    """How far, or None where nobody goes."""
    if to in {now, table.missing}:
        return None
    if table.is_code:
        named = {at for known, at in table.bin_of_code.items() if known is not None}
        return 1 if to in named else None
    if now == table.missing:
        return table.missing
    if (direction == "up" and to < now) or (direction == "down" and to > now):
        return None
    return abs(to - now)


def brute_force(look_up, bins, changeable, target):
    """All combinations of all bins of up to three features."""
    places = [at for at, table in enumerate(look_up.tables) if table.name in changeable and bins[at] != NEUTRAL]
    for count in range(1, MOST_MOVES + 1):
        found = []
        for chosen in itertools.combinations(places, count):
            tables = [look_up.tables[at] for at in chosen]
            for to in itertools.product(*(range(table.missing) for table in tables)):
                far = [
                    steps(table, bins[at], one, changeable[table.name])
                    for table, at, one in zip(tables, chosen, to, strict=True)
                ]
                if None in far:
                    continue
                moved = list(bins)
                for at, one in zip(chosen, to, strict=True):
                    moved[at] = one
                raw = look_up.raw(moved)
                if look_up.score(raw) >= target:
                    found.append((sum(far), raw, chosen, to))
        if found:
            _, raw, chosen, to = min(found)
            moves = tuple(Move(look_up.tables[at].name, bins[at], one) for at, one in zip(chosen, to, strict=True))
            return moves, look_up.score(raw)
    return None


@settings(max_examples=effort(1_500, 60))
@given(
    st.sampled_from(sorted(LOOK_UPS)),
    st.integers(0, 10_000),
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["up", "down", "any"]), min_size=1),
    st.integers(1, 250),
    st.sets(st.sampled_from(NAMES), max_size=1),
)
def test_the_smallest_change_is_that_of_brute_force(which, seed, changeable, more, left_out):
    look_up = LOOK_UPS[which]
    (row,) = scorecards.people(1, seed)
    bins = look_up.bins(row, frozenset(left_out))
    target = min(look_up.score(look_up.raw(bins)) + more, 950)
    found = nearest(look_up, bins, changeable, target)
    expected = brute_force(look_up, bins, changeable, target)
    if look_up.score(look_up.raw(bins)) >= target:
        assert found is None
    else:
        assert (None if found is None else (found.moves, found.score)) == expected


def test_nothing_is_changed_that_nobody_declared_changeable():
    look_up = LOOK_UPS["scorecard", 0]
    bins = look_up.bins(scorecards.ordinary(), frozenset())
    assert nearest(look_up, bins, {}, 400) is None or look_up.score(look_up.raw(bins)) >= 400
    for target in range(look_up.score(look_up.raw(bins)) + 1, 900, 20):
        found = nearest(look_up, bins, {"late": "any", "used": "any"}, target)
        assert found is None or {move.feature for move in found.moves} <= {"late", "used"}


def test_who_has_the_score_already_or_asks_beyond_the_scale_gets_none():
    look_up = LOOK_UPS["scorecard", 0]
    bins = look_up.bins(scorecards.ordinary(), frozenset())
    everything = dict.fromkeys(NAMES, "any")
    assert nearest(look_up, bins, everything, look_up.score(look_up.raw(bins))) is None
    assert nearest(look_up, bins, everything, 951) is None


def test_a_person_is_told_what_instead_of_what():
    look_up = LOOK_UPS["scorecard", 1]
    glossary = Glossary.of(scorecards.schema(), {"changeable": {"late": "down", "housing": "any"}})
    bins = look_up.bins(scorecards.ordinary() | {"late": 60}, frozenset())
    now = look_up.score(look_up.raw(bins))
    found = nearest(look_up, bins, glossary.changeable, now + 1)
    assert found is not None
    said = counterfactual_sentence(found, look_up, glossary, "en")
    assert said.startswith("With ")
    assert f"the score would be {found.score}." in said
    assert "instead of" in said
    chinese = counterfactual_sentence(found, look_up, glossary, "zh")
    assert "而不是" in chinese
    assert str(found.score) in chinese


@pytest.mark.parametrize(
    ("feature", "at", "en", "zh"),
    [
        ("late", 0, "0 times", "0"),
        ("late", 1, "1 times", "1"),
        ("late", 2, "2 to 4 times", "2至4"),
        ("late", 3, "5 to 60 times", "5至60"),
        ("late", 4, "nothing known", "没有记录"),
        ("balance", 0, "less than -1e-300", "小于-1e-300"),
        ("balance", 3, "0.1 to less than 1,000,000", "0.1以上不足1,000,000"),
        ("balance", 6, "1e+300 or more", "1e+300或以上"),
        ("used", 3, "0.75 to 1", "0.75至1"),
        ("housing", 0, "1", "1"),
        ("housing", 5, "own's or 自有", "own's或自有"),
    ],
)
def test_bins_in_words(feature, at, en, zh):
    table = next(one for one in LOOK_UPS["scorecard", 0].tables if one.name == feature)
    plain = Glossary({}, {}, {})
    assert (bin_words(table, at, "en", plain), bin_words(table, at, "zh", plain)) == (en, zh)


def test_a_chinese_sentence_has_chinese_words_and_units_or_none():
    table = next(one for one in LOOK_UPS["scorecard", 0].tables if one.name == "late")
    said = {"features": {"late": {"en": "late payments", "zh": "逾期", "unit_en": "late ones", "unit_zh": "次"}}}
    glossary = Glossary.of(scorecards.schema(), said)
    assert bin_words(table, 2, "zh", glossary) == "2至4次" and bin_words(table, 2, "en", glossary) == "2 to 4 late ones"
    assert glossary.words["late"] == {"en": "late payments", "zh": "逾期"}
    with pytest.raises(ScoreError, match="reads no feature 'unknown'"):
        Glossary.of(scorecards.schema(), {"features": {"unknown": {"en": "xx", "zh": "无"}}})
    assert (
        Glossary.of(scorecards.schema(), {"features": {"unknown": {"en": "xx", "zh": "无"}}}, others=True).units == {}
    )
