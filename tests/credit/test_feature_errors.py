"""What is wrong in a feature schema is said of the feature by its name, as its author wrote it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.world import OUTCOMES_SINCE, feature_of

from credit.errors import FeatureError
from credit.features import schema_from
from credit.reference import reference

GOOD = feature_of(name="late", kind="integer", category="repayment")


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ([GOOD, {**GOOD, "name": "income", "kind": "numeric"}], "feature 'income', kind must be"),
        ([GOOD, {"kind": "number", "category": "bureau"}], "the 2. feature, name is missing"),
        ([GOOD, {**GOOD, "name": "colour", "shade": 1}], "feature 'colour', shade is not known"),
        ([GOOD, "income"], "the 2. feature must be"),
        ([{**GOOD, "name": "tax", "category": "tax"}], "feature 'tax' is about tax"),
        ([{**GOOD, "low": float("nan")}], "feature 'late', low must be"),
        ([], "features must be"),
    ],
)
def test_errors_name_the_feature(features, said):
    with pytest.raises(FeatureError) as refusal:
        schema_from(
            {"name": "loans", "target": "bad", "features": features, "outcomes_since": OUTCOMES_SINCE}, "features.toml"
        )
    assert str(refusal.value).startswith(f"features.toml: {said}")
    assert str(refusal.value).count("feature '") <= 1
    assert "\n" not in str(refusal.value)


def test_the_reference_page_is_what_the_code_says():
    """Write it anew with: python -m credit.reference > docs/features.md"""
    page = Path(__file__).resolve().parents[2] / "docs" / "features.md"
    assert page.read_text(encoding="utf-8") == reference()
