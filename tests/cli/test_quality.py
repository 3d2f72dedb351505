"""How good a model is, in lines."""

from __future__ import annotations

from cli.quality import quality_lines


def figure(value: float) -> dict[str, float]:
    return {"value": value, "error": value / 100}


def segment(name: str, auc: float | None = 0.75) -> dict[str, object]:
    told = None if auc is None else figure(auc)
    return {"name": name, "people": figure(1500.0)} | dict.fromkeys(("auc", "ks", "bad_rate", "ece"), told)


def evaluation(**changes: object) -> dict[str, object]:
    found = {
        "segments": [segment("everybody"), segment("thick file", 0.7)], "untold": ["thin file", "age 0 to 24"],
        "untold_features": ["late", "income"], "held_out": figure(1500.0), "left_out": 13_500.0,
    }  # fmt: skip
    return found | changes


def test_a_line_for_each_group_that_can_be_told_and_one_for_the_others():
    lines = quality_lines(evaluation())
    assert lines[0].split()[:5] == ["quality", "AUC", "0.750", "±", "0.007,"]
    assert lines[1].startswith("  thick file   AUC 0.700")
    assert "about 1,500 people held out and 13,500 trained on, each scored as if left out" in lines[2]
    assert [line for line in lines if "age 0 to 24" in line] == [
        "  not told     too few people: thin file, age 0 to 24"
    ]
    assert lines[-1] == "  not told     too few people: stability of 2 features"


def test_where_nothing_can_be_told_one_line_says_so():
    assert quality_lines(None) == ["  quality      not measured: nobody was held out"]
    lines = quality_lines(evaluation(segments=[], untold=["everybody"], untold_features=[], left_out=None))
    assert lines[0] == "  quality      too few people to say"
    assert len(lines) == 2 and "trained on" not in lines[1]


def test_older_cards_are_read():
    old = {"segments": [segment("everybody"), segment("thin file", None)], "psi_score": None, "psi_features": {}}
    lines = quality_lines(old)
    assert len(lines) == 2 and lines[1] == "  not told     too few people: thin file"
