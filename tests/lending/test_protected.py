"""What is protected never enters a score, whatever a column is called or declared (trap 6)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import get_args

import pytest
from support import scorecards
from support.world import schema_of

from credit.features import Feature, FeatureSchema
from law.categories import DataCategory
from law.packs import Jurisdiction
from lending import Scorer
from lending.law.features import LawOfDay
from lending.score.compiled import ScoreError, compiled
from lending.score.protected import refuse_protected

TODAY = date(2026, 11, 28)


def plain(**more):
    return schema_of({"name": "x", "kind": "number", "category": "bureau"} | more, jurisdictions=["CN"])


def of(**more):
    """A feature of a model that was trained where, or when, nobody refused it."""
    return (Feature.model_validate(plain().features[0].model_dump() | more),)


@pytest.mark.parametrize(
    "more",
    [
        {"name": "SEX", "category": "identity"},
        {"name": "x1", "category": "identity", "description": "gender of the applicant"},
        {"name": "婚姻状况", "category": "identity"},
        {"name": "MARRIAGE", "category": "identity"},
        {"name": "nationality", "category": "identity"},
        {"name": "x2", "category": "sex"},
        {"name": "x3", "category": "bureau", "derived_from": ["marital"]},
        {"name": "x4", "category": "ethnicity", "sensitivity": "sensitive"},
        {"name": "x5", "source": "crm.spouse", "category": "bureau"},
    ],
)
def test_a_protected_feature_is_refused_whatever_it_was_trained_under(more):
    with pytest.raises(ScoreError, match="can enter no score"):
        refuse_protected(of(**more), LawOfDay(("CN",), TODAY))


def test_the_refusal_names_the_feature_the_category_and_the_article():
    with pytest.raises(ScoreError, match=r"feature .SEX. is about sex, .*US: Reg B 1002.4\(a\), 1002.6"):
        refuse_protected(of(name="SEX", category="identity"), LawOfDay(("US", "CN"), TODAY))
    with pytest.raises(ScoreError, match="no law was named"):
        refuse_protected(of(name="late", category="repayment"), LawOfDay((), TODAY))


def test_what_only_the_law_of_a_place_forbids_is_refused_there():
    age = plain(name="age_years", category="age")
    refuse_protected(age.features, LawOfDay(("CN",), TODAY))
    with pytest.raises(ScoreError, match=r"US: Reg B 1002.6\(b\)\(2\)"):
        refuse_protected(age.features, LawOfDay(("US",), TODAY))
    friends = plain(name="friends", category="social")
    refuse_protected(friends.features, LawOfDay(("CN",), TODAY))
    with pytest.raises(ScoreError, match="EU: CCD2 18"):
        refuse_protected(friends.features, LawOfDay(("EU",), TODAY))


EVERYWHERE = (
    *("sex", "marital", "nationality", "ethnicity", "religion"),
    *("political", "union", "orientation", "genetic", "blood-type", "health"),
)


@pytest.mark.parametrize("place", get_args(Jurisdiction))
@pytest.mark.parametrize("category", EVERYWHERE)
def test_what_is_protected_enters_no_score_anywhere(place, category):
    feature = plain().features[0].model_copy(update={"category": DataCategory(category)})
    with pytest.raises(ScoreError, match=f"is about {category}"):
        refuse_protected([feature], LawOfDay((place,), TODAY))


def test_a_score_is_asked_again_on_the_day_on_which_it_is_given():
    schema = plain(name="friends", category="social")
    assert isinstance(schema, FeatureSchema)
    turn = date(2026, 11, 20)
    refuse_protected(schema.features, LawOfDay(("EU",), turn - timedelta(days=1)))
    with pytest.raises(ScoreError, match="EU: CCD2 18"):
        refuse_protected(schema.features, LawOfDay(("EU",), turn))


def test_no_scorer_is_made_from_a_model_with_a_protected_feature():
    model = scorecards.model()
    assert Scorer.of(model, "0" * 64, LawOfDay(("CN",), TODAY)).features == tuple(
        one["name"] for one in scorecards.FEATURES
    )
    schema = model.embedding.grid.schema
    features = (schema.features[0].model_copy(update={"description": "性别"}), *schema.features[1:])
    grid = replace(model.embedding.grid, schema=schema.model_copy(update={"features": features}))
    with pytest.raises(ScoreError, match="'late' is about sex"):
        Scorer.of(replace(model, embedding=replace(model.embedding, grid=grid)), "0" * 64, LawOfDay(("CN",), TODAY))
    look_up = compiled(replace(model, embedding=replace(model.embedding, grid=grid)))
    with pytest.raises(ScoreError, match="'late' is about sex"):
        Scorer(look_up, "0" * 64, LawOfDay(("CN",), TODAY))
