"""A dictionary for a table that has none."""

from datetime import date
from decimal import Decimal
from functools import partial

import numpy as np
import pandas as pd
import pytest

from credit import schema_inference
from credit.errors import FeatureError
from credit.schema_inference import GUESSED, LEAST_ROWS, MAX_CATEGORIES, guess_category, read_as
from credit.validation import check_table
from law.categories import SENSITIVE_CATEGORIES

SINCE = date(2025, 1, 1)
describe = partial(schema_inference.describe, since=SINCE)


@pytest.fixture
def table():
    four = pd.DataFrame(
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
    return pd.concat([four] * LEAST_ROWS, ignore_index=True).astype({"grade": "category"})


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
    assert "blood-type" in left_out["bloodType"]


def test_a_described_table_fits_its_own_dictionary(table):
    schema, *_ = describe(table, "bad", "lender")
    check_table(table, schema, "lender")
    table["housing"] = ["castle", *table["housing"][1:]]
    check_table(read_as(schema, table), schema, "lender")
    assert read_as(schema, table)["housing"].isna()[:3].tolist() == [True, False, True]


def test_what_looks_like_money_earned_or_owned_is_declared_sensitive(table):
    schema, *_ = describe(table, "bad", "lender")
    assert schema.sensitive() == ("annualIncome", "housing")
    assert schema["annualIncome"].sensitivity == "sensitive"


def test_the_dictionary_says_nothing_of_the_range_of_values(table):
    schema, *_ = describe(table, "bad", "lender")
    assert {(f.low, f.high) for f in schema.features} == {(None, None)}
    other = table.assign(inquiries=[99, 5, 6, 7] * LEAST_ROWS, utilisation=[0.9, 8.1, None, 4.2] * LEAST_ROWS)
    assert describe(other, "bad", "lender").schema == schema


def test_text_with_too_many_codes_is_a_name_in_disguise_and_left_out():
    size = MAX_CATEGORIES + 1
    table = pd.DataFrame({"bad": 0, "n": range(size), "name": [f"person {i}" for i in range(size)]})
    table = pd.concat([table] * LEAST_ROWS)
    schema, left_out, _ = describe(table, "bad", "lender")
    assert schema.names == ("n",)
    assert left_out == {"name": f"text with {size} distinct values"}
    shorter, *_ = describe(table[table["n"] < MAX_CATEGORIES], "bad", "lender")
    assert len(shorter["name"].values) == MAX_CATEGORIES


def test_a_missing_target_is_named(table):
    with pytest.raises(FeatureError, match="lender: column 'default' is missing; the columns are bad, inquiries"):
        describe(table, "default", "lender")


def test_a_table_with_nothing_to_learn_from_is_refused(table):
    with pytest.raises(FeatureError, match="no column is left"):
        describe(table[["bad", "religion", "opened"]], "bad", "lender")


GUESSES = {
    "income": "annual_inc MonthlyIncome 月收入 turnover dti",
    "deposits": "savings_balance 存款 公积金 bank_flow 流水 cashFlow",
    "securities": "stocks_held wealth fund_holdings 理财",
    "insurance": "insurance_premium",
    "property": "house_value mortgage net_worth totalAssets",
    "tax": "tax_paid 个税",
    "repayment": "NumberOfTime30-59DaysPastDue pay_0",
    "bureau": "open_accounts",
    "age": "age",
    "sex": "gender",
    "marital": "marriage",
    "consumption": "favourite_colour",
}


@pytest.mark.parametrize(
    ("name", "category"), [(name, category) for category, names in GUESSES.items() for name in names.split()]
)
def test_the_category_of_a_column_is_guessed_from_its_name(name, category):
    assert guess_category(name) == category


UNKNOWN_MONEY = "balance total_amount AMT3 cash 余额 现金 金额 capital equity_value worth spend_amounts"
OWED = "loan_amount overdue_balance credit_limit BILL_AMT1 LIMIT_BAL 贷款金额"


@pytest.mark.parametrize("name", UNKNOWN_MONEY.split())
def test_money_of_an_unknown_kind_is_guessed_to_be_of_a_sensitive_one(name):
    assert guess_category(name) in SENSITIVE_CATEGORIES


@pytest.mark.parametrize("name", OWED.split())
def test_money_that_is_owed_is_not(name):
    assert guess_category(name) not in SENSITIVE_CATEGORIES


def test_what_is_guessed_says_so(table):
    """Neither a reason nor a date is made up silently."""
    found = describe(table, "bad", "lender")
    assert {one.relevance[: len(GUESSED)] for one in found.schema.features} == {GUESSED}
    assert {one.name: one.source for one in found.schema.features} == {one: one for one in found.schema.names}
    assert found.schema.outcomes_since == SINCE
    (said,) = (remark for remark in found.remarks if remark.startswith(GUESSED))
    assert "reasons" in said and "2025-01-01" in said


def test_a_name_of_two_kinds_is_declared_both():
    found = describe(rows(tax_to_income=np.random.default_rng(5).random(400)), "bad", "lender")
    assert found.schema["tax_to_income"].categories == {"income", "tax"}
    assert found.schema["tax_to_income"].consents == {"income", "tax"}


def test_a_name_that_suggests_two_categories_gets_the_stricter():
    assert guess_category("loan_to_income") == "income"
    assert guess_category("age_of_savings_account") == "deposits"


MOBILE = 15900000000


def rows(**columns):
    return pd.DataFrame({"bad": np.arange(400) % 4 == 0, "n": np.arange(400) % 7, **columns})


def test_one_cell_that_is_no_number_leaves_a_column_of_numbers_and_is_said():
    incomes = [f"{1000 + n}.5" for n in range(399)]
    found = describe(rows(income=["n.a.", *incomes]), "bad", "lender")
    assert found.schema["income"].kind == "number"
    assert found.remarks[0] == "income: 1 of 400 values are no numbers and count as missing"
    many = describe(rows(income=["n.a."] * 8 + incomes[:392]), "bad", "lender")
    assert many.left_out == {"income": "text with 393 distinct values, of which 1 have 5 rows or more"}


def test_decimals_are_numbers():
    found = describe(rows(income=[Decimal(n) / 4 for n in range(400)]), "bad", "lender")
    assert found.schema["income"].kind == "number" and len(found.remarks) == 1


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
        ("a gap", [*range(200), *range(201, 401)], "numbers the rows"),
        ("twice", [0, *range(399)], "numbers the rows"),
        ("some missing", [None if n % 20 == 0 else n for n in range(400)], "numbers the rows"),
        ("one far away", [*range(399), 10**9], "numbers the rows"),
        ("one broken", [*range(399), 0.5], "numbers the rows"),
        ("客户编号", np.arange(400) // 3 * 7, "as its name says"),
        ("客户号", [f"C{n // 10}" for n in range(400)], "as its name says"),
        ("序号", np.arange(400) // 2 * 5, "as its name says"),
        ("合同编号", np.arange(400) // 3 * 7, "as its name says"),
        ("CustomerID", np.arange(400) // 3 * 7, "as its name says"),
        ("CUST_NO", [f"C{n // 10}" for n in range(400)], "as its name says"),
        ("borrowerid", np.arange(400) // 3 * 7, "as its name says"),
        ("serial no", np.arange(400) // 3 * 7, "as its name says"),
        ("phones", [MOBILE + n if n % 7 else 1062000000 + n for n in range(400)], "mobile phone"),
        ("phone text", [f"+86 {MOBILE + n}" if n % 7 else f"010-6200-{n:04d}" for n in range(400)], "mobile phone"),
        ("phones or none", [MOBILE + n if n % 5 == 0 else 0 for n in range(400)], "mobile phone"),
        ("papers unseen", [f"99000019900101{n:03d}X\u200b" for n in range(400)], "15 digits"),
        ("papers apart", [f"990000-19900101\u00a0{n:03d}x" for n in range(400)], "15 digits"),
        (
            "papers abroad",
            [f"E{12345678 + n}" if n % 9 == 0 else f"99000019900101{n:03d}X" for n in range(400)],
            "15 digits",
        ),
        ("nothing", [None] * 400, "no value at all"),
        ("blanks", [" "] * 400, "no value at all"),
        ("mostly rare", ["a"] * 200 + ["b"] * 150 + [f"c{n}" for n in range(50)], "2 have 5 rows or more"),
    ],
)
def test_what_tells_rows_or_people_apart_is_no_feature(name, values, why):
    found = describe(rows(**{name: list(values)}), "bad", "lender")
    assert why in found.left_out[name] and name not in found.schema.names


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("是否有手机号", np.arange(400) % 2),
        ("telephone", np.arange(400) % 2),
        ("paid", np.arange(400) % 9),
        ("product_code", np.arange(400) % 9),
        ("price_index", np.arange(400) % 90 * 3),
        ("share", np.random.default_rng(3).random(400)),
        ("amount", np.random.default_rng(3).random(400) * 1e6),
        ("手机在网时长", np.arange(400) % 60),
        ("days", np.random.default_rng(3).integers(0, 2000, 400)),
        ("dong", np.random.default_rng(3).integers(5, 300, 400) * 100_000),
    ],
)
def test_what_only_sounds_or_looks_a_little_like_a_number_of_somebody_is_a_feature(name, values):
    assert name in describe(rows(**{name: list(values)}), "bad", "lender").schema.names


def test_no_single_row_changes_what_is_declared():
    """Neither a code nor a type, nor whether a column is a feature."""
    table = rows(
        grade=[("a", "b", "c")[n % 3] for n in range(400)],
        whole=np.arange(400) % 50,
        written=[str(n % 40) for n in range(400)],
        number_of_rows=range(400),
        empty=[None] * 400,
    ).astype({"grade": object, "empty": object, "whole": float})
    before = describe(table, "bad", "lender")
    assert set(before.left_out) == {"number_of_rows", "empty"}
    changes = {
        "grade": ["somebody's own", None, 7], "written": ["n.a.", "0.5"], "whole": [0.5, float("nan"), 1e300],
        "number_of_rows": [10**9, 1, 0.5],
    }  # fmt: skip
    for column, values in changes.items():
        for value in values:
            changed = table.astype({column: object if column != "whole" else float})
            changed.loc[9, column] = value
            found = describe(changed, "bad", "lender")
            assert (found.schema, found.left_out) == (before.schema, before.left_out), (column, value)
    table.loc[9, "grade"] = "somebody's own"
    found = describe(table, "bad", "lender")
    assert found.remarks[0] == "grade: 1 codes that fewer than 5 rows have are not declared; 1 values count as missing"


def test_whole_amounts_that_happen_to_differ_are_features():
    amounts = np.arange(400) * 3 + 1000
    assert "amount" in describe(rows(amount=amounts), "bad", "lender").schema.names
