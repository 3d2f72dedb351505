"""A dictionary for a table that has none."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from credit.dictionary import MAX_CATEGORIES, describe, guess_category
from credit.errors import FeatureError
from credit.features import Sensitivity, check_table


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "bad": [0, 1, 0, 1],
            "inquiries": [0, 1, 2, 3],
            "utilisation": [0.1, None, 0.5, 2.0],
            "whole_floats": [1.0, None, 2.0, 3.0],
            "annualIncome": [1.5, 2.5, 3.5, 4.5],
            "housing": ["own", "rent", None, "own"],
            "owns_car": [True, False, True, False],
            "grade": pd.Categorical(["b", "a", "a", "b"]),
            "opened": pd.to_datetime(["2020-01-01"] * 4),
            "constant_text": ["x"] * 4,
            "religion": ["a", "b", "a", "b"],
            "bloodType": ["A", "B", "A", "B"],
            "customer": [1, 2, 3, 4],
        }
    )


def test_a_mixed_table_is_described_by_type(table):
    schema, left_out, _ = describe(table, "bad", "lender", exclude=["customer"])
    assert {f.name: (f.kind, f.values) for f in schema.features} == {
        "inquiries": ("integer", ()),
        "utilisation": ("number", ()),
        "whole_floats": ("integer", ()),
        "annualIncome": ("number", ()),
        "housing": ("category", ("own", "rent")),
        "owns_car": ("category", ("false", "true")),
        "grade": ("category", ("a", "b")),
    }
    assert set(left_out) == {"opened", "constant_text", "religion", "bloodType"}
    assert left_out["opened"] == "a date"
    assert left_out["constant_text"] == "text with 1 distinct values"
    assert "religion" in left_out["religion"]
    assert "blood type" in left_out["bloodType"]


def test_a_described_table_fits_its_own_dictionary(table):
    schema, *_ = describe(table, "bad", "lender")
    check_table(table, schema, "lender")


def test_what_looks_like_money_earned_or_owned_is_declared_sensitive(table):
    schema, *_ = describe(table, "bad", "lender")
    assert schema.sensitive() == ("annualIncome", "housing")
    assert schema["annualIncome"].sensitivity is Sensitivity.SENSITIVE


def test_the_dictionary_says_nothing_of_the_range_of_values(table):
    schema, *_ = describe(table, "bad", "lender")
    assert {(f.low, f.high) for f in schema.features} == {(None, None)}
    other = table.assign(inquiries=[99, 5, 6, 7], utilisation=[0.9, 8.1, None, 4.2])
    assert describe(other, "bad", "lender").schema == schema


def test_text_with_too_many_codes_is_a_name_in_disguise_and_left_out():
    size = MAX_CATEGORIES + 1
    table = pd.DataFrame({"bad": [0] * size, "n": range(size), "name": [f"person {i}" for i in range(size)]})
    schema, left_out, _ = describe(table, "bad", "lender")
    assert schema.names == ("n",)
    assert left_out == {"name": f"text with {size} distinct values"}
    shorter, *_ = describe(table[:MAX_CATEGORIES], "bad", "lender")
    assert len(shorter["name"].values) == MAX_CATEGORIES


def test_a_missing_target_is_named(table):
    with pytest.raises(FeatureError, match="lender: column 'default' is missing; the columns are bad, inquiries"):
        describe(table, "default", "lender")


def test_a_table_with_nothing_to_learn_from_is_refused(table):
    with pytest.raises(FeatureError, match="no column is left"):
        describe(table[["bad", "religion", "opened"]], "bad", "lender")


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("annual_inc", "income"),
        ("MonthlyIncome", "income"),
        ("月收入", "income"),
        ("savings_balance", "deposits"),
        ("存款", "deposits"),
        ("stocks_held", "securities"),
        ("insurance_premium", "insurance"),
        ("house_value", "property"),
        ("mortgage", "property"),
        ("tax_paid", "tax"),
        ("个税", "tax"),
        ("NumberOfTime30-59DaysPastDue", "repayment"),
        ("pay_0", "repayment"),
        ("open_accounts", "bureau"),
        ("age", "identity"),
        ("gender", "identity"),
        ("favourite_colour", "consumption"),
    ],
)
def test_the_category_of_a_column_is_guessed_from_its_name(name, category):
    assert guess_category(name) == category


def test_a_name_that_suggests_two_categories_gets_the_stricter():
    assert guess_category("loan_to_income") == "income"
    assert guess_category("age_of_savings_account") == "deposits"


def rows(**columns):
    return pd.DataFrame({"bad": np.arange(400) % 4 == 0, "n": np.arange(400) % 7, **columns})


def test_one_cell_that_is_no_number_leaves_a_column_of_numbers_and_is_said():
    incomes = [f"{1000 + n}.5" for n in range(399)]
    found = describe(rows(income=["n.a.", *incomes]), "bad", "lender")
    assert found.schema["income"].kind == "number"
    assert found.remarks == ("income: 1 of 400 values are no numbers and count as missing",)
    many = describe(rows(income=["n.a."] * 8 + incomes[:392]), "bad", "lender")
    assert many.left_out == {"income": "text with 393 distinct values"}


def test_decimals_are_numbers():
    found = describe(rows(income=[Decimal(n) / 4 for n in range(400)]), "bad", "lender")
    assert found.schema["income"].kind == "number" and not found.remarks


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("id_card_no", [990000000000000000 + n for n in range(400)], "15 digits"),
        ("papers", [f"99000019900101{n:03d}X" for n in range(400)], "15 digits"),
        ("mobile", [15900000000 + n for n in range(400)], "mobile phone"),
        ("Unnamed: 0", range(400), "numbers the rows"),
        ("", range(400, 0, -1), "numbers the rows"),
        ("shuffled", np.random.default_rng(1).permutation(400) + 7, "numbers the rows"),
        ("customerId", np.arange(400) * 3, "numbers the rows"),
        ("name", [f"person {n}" for n in range(400)], "400 distinct"),
    ],
)
def test_what_tells_rows_or_people_apart_is_no_feature(name, values, why):
    found = describe(rows(**{name: list(values)}), "bad", "lender")
    assert why in found.left_out[name] and name not in found.schema.names


def test_whole_amounts_that_happen_to_differ_are_features():
    amounts = np.arange(400) * 3 + 1000
    assert "amount" in describe(rows(amount=amounts), "bad", "lender").schema.names
