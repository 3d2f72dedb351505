"""The feature schema: where the law enters."""

from datetime import date

import pandas as pd
import pytest
from support.world import feature_of, schema_of

from credit.errors import FeatureError
from credit.features import RETENTION_DAYS, Feature, date_columns, forget, schema_from
from credit.validation import check_table, load_schema
from law.categories import LISTED, SENSITIVE_CATEGORIES
from law.packs import PACKS

TODAY = date(2026, 1, 1)


def feature(**changes):
    return feature_of(**{"name": "inquiries", "kind": "integer", "category": "bureau"} | changes)


def schema(*features, **changes):
    return schema_of(*(features or [feature()]), **changes)


def forbidden(*jurisdictions):
    return {kind for one in jurisdictions for bar in PACKS[one].barred for kind in bar.kinds}


@pytest.mark.parametrize("place", ["name", "description", "unit", "source"])
@pytest.mark.parametrize("words", ["HIV status", "religion", "bloodType", "基因"])
def test_a_registry_with_a_forbidden_feature_does_not_load(place, words):
    with pytest.raises(FeatureError, match=r"^here: feature .* is about .*, which the law forbids \(CN: 征信"):
        schema(feature(), feature(**({"name": "x"} | {place: words})))


@pytest.mark.parametrize(("jurisdiction", "kind"), [(one, kind) for one in PACKS for kind in sorted(forbidden(one))])
def test_what_a_jurisdiction_forbids_does_not_load_there_declared_or_derived(jurisdiction, kind):
    refused = rf"feature 'x' is about {kind}, which the law forbids \({jurisdiction}: "
    told = {"sensitivity": "sensitive", "name": "x"}
    with pytest.raises(FeatureError, match=refused):
        schema(feature(category=kind, **told), jurisdictions=[jurisdiction])
    with pytest.raises(FeatureError, match=refused):
        schema(feature(derived_from=[kind], **told), jurisdictions=[jurisdiction])


def test_the_strictest_of_all_named_jurisdictions_counts():
    social = feature(category="social")
    schema(social, jurisdictions=["CN"])
    schema(social, jurisdictions=["CN", "US"])
    with pytest.raises(FeatureError, match=r"is about social, which the law forbids \(EU: CCD2"):
        schema(social, jurisdictions=["CN", "EU"])
    with pytest.raises(FeatureError):
        schema(feature(), jurisdictions=[])
    with pytest.raises(FeatureError, match="must be one of"):
        schema(feature(), jurisdictions=["Atlantis"])


SPECIAL = ["race", "ethnicity", "political_party", "trade_union", "sexual_orientation"]


@pytest.mark.parametrize("name", SPECIAL)
def test_special_categories_do_not_load_in_the_union_by_whatever_name(name):
    """GDPR article 9."""
    with pytest.raises(FeatureError, match=r"which the law forbids \(EU: GDPR 9"):
        schema(feature(name=name), jurisdictions=["EU"])
    with pytest.raises(FeatureError, match=f"feature '{name}' (speaks of|is about [a-z]+, which the law forbids)"):
        schema(feature(name=name))  # nor elsewhere under a category that it is not of


@pytest.mark.parametrize(
    ("name", "category"),
    [("marital", "identity"), ("sex", "identity"), ("race", "identity"), ("x", "marital"), ("x", "sex"), ("x", "age"),
     ("age", "identity"), ("national_origin", "identity"), ("religion", "social")],
)  # fmt: skip
def test_what_equal_credit_opportunity_forbids_does_not_load_there(name, category):
    """Regulation B, 12 CFR 1002.4 and 1002.6(b). Age may be used only where the old are never worse off for it, and
    nothing holds a model to that here."""
    with pytest.raises(FeatureError, match=r"which the law forbids \(US: Reg B 1002\."):
        schema(feature(name=name, category=category), jurisdictions=["US"])


def test_what_was_computed_from_income_needs_the_consent_for_income():
    ratio = {"name": "debrate", "kind": "number", "description": "Monthly payments divided by income"}
    with pytest.raises(FeatureError, match="'debrate' speaks of income, which is neither its category nor in derived"):
        schema(feature(**ratio))
    found = schema(feature(**ratio, derived_from=["income"]), feature())
    assert found["debrate"].consents == {"income"}
    assert found["debrate"].categories == {"bureau", "income"}
    assert found.sensitive() == ("debrate",)


@pytest.mark.parametrize("source", sorted(SENSITIVE_CATEGORIES - forbidden("CN")))
def test_the_consent_follows_the_strictest_source(source):
    (found,) = schema(feature(derived_from=["consumption", source])).features
    assert found.consents == {source if source in LISTED else "sensitive"}


def test_most_features_need_one_consent_and_some_several():
    def needs(**fields):
        return schema(feature(**fields)).features[0].consents

    assert needs() == needs(derived_from=["repayment"]) == {"ordinary"}
    assert needs(sensitivity="sensitive") == {"sensitive"}
    assert needs(category="income", sensitivity="sensitive") == {"income"}
    assert needs(derived_from=["income", "tax"]) == {"income", "tax"}
    assert needs(derived_from=["income", "location"]) == {"income", "sensitive"}
    assert needs(derived_from=["income"], sensitivity="sensitive") == {"income", "sensitive"}


@pytest.mark.parametrize("missing", ["category", "source", "relevance"])
def test_every_feature_says_what_it_is_whence_and_why(missing):
    told = {key: value for key, value in feature().items() if key != missing}
    with pytest.raises(FeatureError, match=f"feature 'inquiries', {missing} is missing"):
        schema_from({"name": "t", "target": "bad", "outcomes_since": "2025-01-01", "features": [told]}, "here")
    for empty in ("", None):
        with pytest.raises(FeatureError, match=f"feature 'inquiries', {missing} must be"):
            schema(feature(**{missing: empty}))


@pytest.mark.parametrize("category", sorted(SENSITIVE_CATEGORIES))
def test_what_needs_a_consent_of_its_own_must_be_declared_sensitive(category):
    with pytest.raises(FeatureError, match="must be declared sensitive"):
        schema(feature(category=category))
    if category not in forbidden("CN"):
        assert schema(feature(category=category, sensitivity="sensitive")).sensitive() == ("inquiries",)


def test_income_is_sensitive_and_repayment_need_not_be():
    assert {"income", "deposits", "securities", "insurance", "property", "tax"} <= set(SENSITIVE_CATEGORIES)
    assert {"repayment", "consumption", "bureau", "identity"}.isdisjoint(SENSITIVE_CATEGORIES)
    assert schema(feature(category="repayment")).features[0].sensitivity == "ordinary"


def test_adverse_records_are_kept_five_years_and_no_longer():
    adverse = {"adverse": True, "ended_by": "over"}
    schema(feature(**adverse, retention_days=RETENTION_DAYS))
    with pytest.raises(FeatureError, match="the law keeps those 5 years"):
        schema(feature(**adverse, retention_days=RETENTION_DAYS + 1))
    schema(feature(**adverse, retention_days=RETENTION_DAYS + 1), jurisdictions=["US"])
    with pytest.raises(FeatureError, match="the law keeps those 5 years"):
        schema(feature(**adverse, retention_days=RETENTION_DAYS + 1), jurisdictions=["US", "CN"])
    schema(feature(adverse=False, retention_days=RETENTION_DAYS + 1))
    assert RETENTION_DAYS in (5 * 365 + 1, 5 * 365 + 2)


@pytest.mark.parametrize("dates", [{}, {"dated_by": "recorded"}, {"ended_by": None}])
def test_an_adverse_record_without_the_date_of_its_end_does_not_load(dates):
    """征信业管理条例 16 counts from the end of the behaviour, not from when it was written down."""
    with pytest.raises(FeatureError, match=r"feature 'inquiries' is an adverse record, so it must name in ended_by"):
        schema(feature(adverse=True, **dates))
    assert schema(feature(adverse=True, ended_by="over")).features[0].ended_by == "over"


def test_a_bad_outcome_without_the_date_of_its_end_does_not_load():
    for dates in ({"outcomes_since": None}, {"outcomes_since": None, "outcome_dated_by": "recorded"}):
        with pytest.raises(FeatureError, match=r"^here: a bad outcome is an adverse record: name in outcome_ended_by"):
            schema(**dates)
    with pytest.raises(FeatureError, match="not both"):
        schema(outcome_ended_by="over", outcomes_since="2025-01-01")
    assert date_columns(schema(outcome_ended_by="over", outcome_dated_by="seen")) == ("over", "seen")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "category"}, "lists no values"),
        ({"values": ("a",)}, "is not a category"),
        ({"low": 1.0, "high": 1.0}, "empty range"),
        ({"low": 2.0, "high": 1.0}, "empty range"),
        ({"retention_days": 0}, "at least 1"),
        ({"name": ""}, "at least 1 character"),
        ({"category": "horoscope"}, "must be one of"),
        ({"kind": "text"}, "must be one of"),
        ({"surprise": 1}, "is not known"),
        ({"ended_by": "over"}, "has an end but is not an adverse record"),
        ({"clean": 0}, "has an end but is not an adverse record"),
        (
            {"kind": "category", "values": ("a",), "adverse": True, "ended_by": "over", "clean": 0},
            "cannot be one of it",
        ),
        ({"derived_from": ["horoscope"]}, "must be one of"),
        ({"relevance": "money"}, "at least 6 characters"),
    ],
)
def test_a_feature_that_makes_no_sense_is_refused_with_its_place(wrong, message):
    with pytest.raises(FeatureError, match=f"here: .*feature.*{message}"):
        schema(feature(**wrong))


def test_a_feature_declared_twice_is_refused():
    with pytest.raises(FeatureError, match="declared twice: inquiries"):
        schema(feature(), feature())


def test_the_target_cannot_be_learnt_from():
    with pytest.raises(FeatureError, match="cannot also be a feature"):
        schema(feature(name="bad"))


def test_a_registry_without_features_is_refused():
    with pytest.raises(FeatureError):
        schema_of()


def test_a_registry_is_read_from_its_file(tmp_path):
    path = tmp_path / "registry.toml"
    path.write_text(
        'name = "test"\ntarget = "bad"\noutcomes_since = 2025-01-01\n[[features]]\nname = "收入"\nkind = "number"\n'
        'category = "income"\nsensitivity = "sensitive"\nsource = "核心系统.收入"\nrelevance = "分期由收入偿还。"\n',
        encoding="utf-8",
    )
    assert load_schema(path).sensitive() == ("收入",)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot read"), (b"\xff\xfe", "cannot read"), (b"= 3", "not TOML"), (b"", "registry")],
)
def test_a_registry_file_that_is_none_is_refused(tmp_path, content, message):
    path = tmp_path / "registry.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FeatureError, match=message):
        load_schema(path)


@pytest.fixture
def mixed():
    return schema(
        feature(name="inquiries"),
        feature(name="balance", kind="number"),
        feature(name="housing", kind="category", values=("own", "rent")),
    )


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "inquiries": [0, 1, 2],
            "balance": [1.5, None, float("inf")],
            "housing": ["own", None, "rent"],
            "bad": [0, 1, 0],
            "not declared": ["x", "y", "z"],
        }
    )


def test_a_table_that_fits_passes(table, mixed):
    check_table(table, mixed, "lender")


@pytest.mark.parametrize("column", ["inquiries", "balance", "housing", "bad"])
def test_a_missing_column_is_named(table, mixed, column):
    with pytest.raises(FeatureError, match=f"lender: column '{column}' is missing; the columns are"):
        check_table(table.drop(columns=column), mixed, "lender")


def test_an_unknown_category_is_refused(table, mixed):
    table["housing"] = ["own", "castle", "rent"]
    with pytest.raises(FeatureError, match="lender: column 'housing' holds an unknown category"):
        check_table(table, mixed, "lender")


def test_codes_that_are_numbers_match_by_their_text():
    codes = schema(feature(name="housing", kind="category", values=("1", "2")))
    check_table(pd.DataFrame({"housing": [1, 2], "bad": [0, 1]}), codes, "lender")


@pytest.mark.parametrize(
    "labels", [[0, 1, 2], [0, 1, None], [0, 0, 0], [1, 1, 1], ["0", "1", "0"], [0.5, 0, 1], [-1, 1, 1]]
)
def test_a_target_that_is_not_zero_and_one_is_refused(table, mixed, labels):
    table["bad"] = labels
    with pytest.raises(FeatureError, match="lender: the target 'bad' must hold 0"):
        check_table(table, mixed, "lender")


@pytest.mark.parametrize(("column", "kind"), [("inquiries", "integer"), ("balance", "number")])
def test_text_where_a_number_belongs_is_refused_without_quoting_it(table, mixed, column, kind):
    table[column] = ["1", "2", "three"]
    said = f"lender: column '{column}' is declared a {kind} but holds something else in"
    with pytest.raises(FeatureError, match=said) as refusal:
        check_table(table, mixed, "lender")
    assert "three" not in str(refusal.value)


@pytest.fixture
def dated():
    return schema(
        feature(name="late", adverse=True, dated_by="seen", ended_by="late_on", clean=0, retention_days=365),
        feature(name="tone", kind="category", values=("calm", "rude"), adverse=True, ended_by="late_on"),
        feature(name="address", dated_by="seen", retention_days=365),
        feature(name="limit"),
        outcome_dated_by="seen",
        outcome_ended_by="outcome_on",
    )


def loans(**columns):
    size = len(next(iter(columns.values())))
    whole = {
        "late": [3] * size, "tone": ["rude"] * size, "address": [5] * size, "limit": [7] * size, "bad": [0] * size,
        **dict.fromkeys(("late_on", "outcome_on", "seen"), ["2025-12-01"] * size),
    }  # fmt: skip
    return pd.DataFrame(whole | columns)


def test_bad_outcomes_older_than_five_years_vanish_and_good_ones_stay(dated):
    ended = ["2020-12-30", "2021-01-02", "2020-12-30", "2010-01-01", "2025-06-01"]
    kept = forget(loans(outcome_on=ended, bad=[1, 1, 0, 1, 1]), dated, TODAY)
    assert kept.index.tolist() == [1, 2, 4]


def test_five_years_are_counted_from_the_end_and_not_from_the_record(dated):
    """What was written down long ago and ended lately stays; what ended long ago and was written down lately goes."""
    moments = {"seen": ["2015-01-01", "2025-12-31"], "outcome_on": ["2025-01-01", "2015-01-01"]}
    kept = forget(loans(bad=[1, 1], late_on=["2025-06-01", "2015-01-01"], **moments), dated, TODAY)
    assert kept.index.tolist() == [0] and kept["late"].tolist() == [3]
    good = forget(loans(late_on=["2025-06-01", "2015-01-01"], **moments), dated, TODAY)
    assert good["late"].tolist() == [3, 0] and good["tone"].isna().tolist() == [False, True]


def test_a_bad_outcome_without_a_date_counts_as_stale(dated):
    assert forget(loans(outcome_on=[None, None, "2025-01-01"], bad=[1, 0, 1]), dated, TODAY).index.tolist() == [1, 2]


def test_undated_bad_outcomes_go_when_the_first_of_them_may_be_too_old():
    table = pd.DataFrame({"inquiries": [1, 2], "bad": [1, 0]})
    assert len(forget(table, schema(outcomes_since="2021-01-02"), TODAY)) == 2
    assert forget(table, schema(outcomes_since="2020-12-30"), TODAY).index.tolist() == [1]


def test_who_was_forgotten_looks_like_who_never_had_anything(dated):
    kept = forget(loans(late=[3, 0, 0], late_on=["2024-12-31", "2025-06-01", None]), dated, TODAY)
    assert kept["late"].tolist() == [0, 0, 0]


def test_an_undated_adverse_value_becomes_missing_and_not_clean(dated):
    """Nothing shows that it is old, and nothing shows that it is not."""
    kept = forget(loans(late=[3, 3], late_on=[None, "2025-06-01"]), dated, TODAY)
    assert kept["late"].isna().tolist() == [True, False] and kept["tone"].isna().tolist() == [True, False]


def test_no_adverse_record_outlives_the_law_where_laws_change(dated):
    """The strictest law of the day counts, not what the schema declared."""
    longer = schema(
        feature(name="late", adverse=True, ended_by="late_on", retention_days=7 * 365), jurisdictions=["US"]
    )
    table = loans(late_on=["2019-06-01", "2018-01-01"])
    assert forget(table, longer, TODAY)["late"].isna().tolist() == [False, True]
    here = longer.model_copy(update={"jurisdictions": ("US", "CN")})
    assert forget(table, here, TODAY)["late"].isna().all()


def test_stale_values_become_missing_and_fresh_ones_stay(dated):
    kept = forget(loans(seen=["2024-12-31", "2025-01-01", "2025-12-31"]), dated, TODAY)
    assert kept["address"].isna().tolist() == [True, False, False]
    assert kept["address"].tolist()[1:] == [5, 5]
    assert kept["limit"].tolist() == [7, 7, 7]


def test_undated_values_count_as_stale(dated):
    assert forget(loans(seen=[None, "2025-12-01"]), dated, TODAY)["address"].isna().tolist() == [True, False]
    everything_undated = forget(loans(seen=[None, None]), dated, TODAY)
    assert everything_undated["address"].isna().all()


def test_forgetting_leaves_the_lenders_own_table_alone(dated):
    table = loans(late_on=["2001-01-01"], outcome_on=["2001-01-01"], bad=[1])
    before = table.copy()
    forget(table, dated, TODAY)
    pd.testing.assert_frame_equal(table, before)


def test_where_nothing_is_dated_and_no_outcome_can_be_old_nothing_is_forgotten(table, mixed):
    pd.testing.assert_frame_equal(forget(table, mixed, TODAY), table)


def test_a_feature_is_frozen():
    with pytest.raises(ValueError):
        Feature(**feature()).name = "another"


@pytest.mark.parametrize("place", ["CN", "EU", "US"])
@pytest.mark.parametrize("name", ["SEX", "gender", "marital_status", "国籍", "race", "性别"])
def test_what_is_protected_is_no_feature_anywhere_under_whatever_category(place, name):
    """It may be held for measuring fairness, apart; no model reads it."""
    with pytest.raises(FeatureError, match=rf"which the law forbids \({place}: "):
        schema(feature(name=name, category="identity"), jurisdictions=[place])
