"""The feature schema: where the law enters."""

from datetime import date

import pandas as pd
import pytest
from support.world import schema_of

from credit.errors import FeatureError
from credit.features import (
    ADVERSE_RECORD_DAYS,
    Feature,
    Sensitivity,
    check_table,
    forbidden_kind,
    forget,
    load_schema,
)
from law.categories import SENSITIVE_CATEGORIES

TODAY = date(2026, 1, 1)


def feature(**changes):
    return {"name": "inquiries", "kind": "integer", "category": "bureau"} | changes


def schema(*features, **changes):
    return schema_of(*(features or [feature()]), **changes)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("religion", ["religion", "Religion", "religious_group", "church member", "宗教", "宗教信仰", "faith"]),
        ("genes", ["gene", "genes", "genetic_risk", "genome", "DNA", "dna_test", "基因检测"]),
        ("fingerprints", ["fingerprint", "finger_print", "fingerPrint", "finger print", "指纹"]),
        ("blood type", ["bloodType", "blood_type", "blood-type", "BLOOD TYPE", "BloodGroup", "bloodtype", "血型"]),
        ("disease history", ["HIV status", "hiv", "HIV_positive", "diseases", "illness", "medical_history"]),
        ("disease history", ["cancer", "healthRecord", "diagnosis", "health history", "既往病史", "疾病"]),
    ],
)
def test_what_the_law_forbids_is_recognised(kind, names):
    assert {name: forbidden_kind(name) for name in names} == dict.fromkeys(names, kind)


ALLOWED = (
    "gender agency agenda oxygen hydrogen_car engine_size urgency archive shiver blood_relatives "
    "health_insurance_premium finger 年龄 收入 类型"
)


@pytest.mark.parametrize("name", ["", *ALLOWED.split()])
def test_words_that_only_look_alike_are_allowed(name):
    assert forbidden_kind(name) is None


@pytest.mark.parametrize("place", ["name", "description"])
@pytest.mark.parametrize("words", ["HIV status", "religion", "bloodType", "基因"])
def test_a_registry_with_a_forbidden_feature_does_not_load(place, words):
    with pytest.raises(FeatureError, match=r"here: feature .* which credit-reporting law forbids"):
        schema(feature(), feature(**({"name": "x"} | {place: words})))


@pytest.mark.parametrize("category", sorted(SENSITIVE_CATEGORIES))
def test_what_needs_a_consent_of_its_own_must_be_declared_sensitive(category):
    with pytest.raises(FeatureError, match="must be declared sensitive"):
        schema(feature(category=category))
    assert schema(feature(category=category, sensitivity="sensitive")).sensitive() == ("inquiries",)


def test_income_is_sensitive_and_repayment_need_not_be():
    assert {"income", "deposits", "securities", "insurance", "property", "tax"} <= set(SENSITIVE_CATEGORIES)
    assert {"repayment", "consumption", "bureau", "identity"}.isdisjoint(SENSITIVE_CATEGORIES)
    assert schema(feature(category="repayment")).features[0].sensitivity is Sensitivity.ORDINARY


def test_adverse_records_are_kept_five_years_and_no_longer():
    schema(feature(adverse=True, retention_days=ADVERSE_RECORD_DAYS))
    with pytest.raises(FeatureError, match="5 years"):
        schema(feature(adverse=True, retention_days=ADVERSE_RECORD_DAYS + 1))
    schema(feature(adverse=False, retention_days=ADVERSE_RECORD_DAYS + 1))
    assert ADVERSE_RECORD_DAYS in (5 * 365 + 1, 5 * 365 + 2)


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


def test_a_registry_can_be_restricted_to_named_features():
    whole = schema(feature(name="a"), feature(name="b"), feature(name="c"))
    assert whole.only(["c", "a"]).names == ("c", "a")
    with pytest.raises(FeatureError, match="'d' is not in the registry"):
        whole.only(["a", "d"])


def test_a_registry_is_read_from_its_file(tmp_path):
    path = tmp_path / "registry.toml"
    path.write_text(
        'name = "test"\ntarget = "bad"\n[[features]]\nname = "收入"\nkind = "number"\n'
        'category = "income"\nsensitivity = "sensitive"\n',
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
        feature(name="late", adverse=True, dated_by="late_on", retention_days=365),
        feature(name="limit"),
        outcome_dated_by="outcome_on",
    )


def loans(**columns):
    size = len(next(iter(columns.values())))
    whole = {"late": [3] * size, "late_on": ["2025-12-01"] * size, "limit": [7] * size}
    return pd.DataFrame(whole | {"outcome_on": ["2025-12-01"] * size, "bad": [0] * size} | columns)


def test_bad_outcomes_older_than_five_years_vanish_and_good_ones_stay(dated):
    ended = ["2020-12-30", "2021-01-02", "2020-12-30", "2010-01-01", "2025-06-01"]
    kept = forget(loans(outcome_on=ended, bad=[1, 1, 0, 1, 1]), dated, TODAY)
    assert kept.index.tolist() == [1, 2, 4]


def test_a_bad_outcome_without_a_date_counts_as_stale(dated):
    assert forget(loans(outcome_on=[None, None, "2025-01-01"], bad=[1, 0, 1]), dated, TODAY).index.tolist() == [1, 2]


def test_stale_values_become_missing_and_fresh_ones_stay(dated):
    kept = forget(loans(late_on=["2024-12-31", "2025-01-01", "2025-12-31"]), dated, TODAY)
    assert kept["late"].isna().tolist() == [True, False, False]
    assert kept["late"].tolist()[1:] == [3, 3]
    assert kept["limit"].tolist() == [7, 7, 7]


def test_undated_values_count_as_stale(dated):
    assert forget(loans(late_on=[None, "2025-12-01"]), dated, TODAY)["late"].isna().tolist() == [True, False]
    everything_undated = forget(loans(late_on=[None, None]), dated, TODAY)
    assert everything_undated["late"].isna().all()


def test_forgetting_leaves_the_lenders_own_table_alone(dated):
    table = loans(late_on=["2001-01-01"], outcome_on=["2001-01-01"], bad=[1])
    before = table.copy()
    forget(table, dated, TODAY)
    pd.testing.assert_frame_equal(table, before)


def test_where_nothing_is_dated_nothing_is_forgotten(table, mixed):
    pd.testing.assert_frame_equal(forget(table, mixed, TODAY), table)


def test_a_feature_is_frozen():
    with pytest.raises(ValueError):
        Feature(**feature()).name = "another"
