"""A product is data; whatever is wrong with it is said, a sentence each."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import tomli_w
from pydantic import ValidationError
from support.loans import BASE, TODAY, fee, product

from lending.errors import ProductError, TermsError
from lending.money import compound_year, nominal_year, percent, simple_year
from lending.terms.cost import price
from lending.terms.products import read_product

DOCS = Path(__file__).resolve().parents[2] / "docs"


def read(**changes):
    return read_product(tomli_w.dumps(BASE | changes), TODAY)


LATE = {"when": "late", "method": "of-overdue-a-day", "payee": "lender"}


def test_a_product_is_read_as_it_is_written():
    made = read(fees=[fee("guarantee"), fee("late", **LATE)])
    assert made == product(fees=[fee("guarantee"), fee("late", **LATE)])
    assert [one.code for one in made.usual_fees] == ["guarantee"] and made.contingent_fees[0].when == "late"
    assert made.hash == read(fees=[fee("guarantee"), fee("late", **LATE)]).hash != product().hash


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"amounts": {"least": 1000.0, "most": 2000}}, "amounts.least must be a whole number"),
     ({"amounts": {"least": 0, "most": 2000}}, "amounts.least must be greater than 0"),
     ({"amounts": {"least": 3000, "most": 2000}}, r"amounts: most \(2000\) is below least"),
     ({"rates": {"least": 0.05, "most": 700}}, "rates.least must be a whole number"),
     ({"rates": {"least": 800, "most": 700}}, r"rates: most \(700\) is below least \(800\)"),
     ({"kind": "balloon"}, "kind must be one of 'annuity'"), ({"day_count": "ACT/366"}, "day_count must be one of"),
     ({"terms": []}, "terms must be a list of at least 1"), ({"terms": [90, 30]}, "the shortest first"),
     ({"terms": [14, 30]}, "a term of 14 days has no monthly due"), ({"dues": "once"}, "write dues = 'monthly'"),
     ({"allocation": ["principal", "fee"]}, "allocation names penalty, fee, interest and principal once each"),
     ({"fees": [fee("a"), fee("a")]}, "two fees have one code"), ({"surprise": 1}, "surprise is not known"),
     ({"fees": [fee("a", value=1_000_001)]}, "a share is at most 1000000 ppm"),
     ({"fees": [fee("a", method="of-overdue-a-day")]}, "write when = 'late'"),
     ({"fees": [fee("a", when="late")]}, "pays for every day overdue; write method"),
     ({"fees": [fee("a", value=1.5)]}, r"fees\[0\].value must be a whole number"),
     ({"lender_kind": "creditor"}, "no lender in CN is of kind creditor"),
     ({"grace_days": -1}, "grace_days must be at least 0")],
)  # fmt: skip
def test_what_is_wrong_is_said(changes, said):
    with pytest.raises(ProductError, match=said):
        read(**changes)


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(ProductError) as refused:
        read(kind="balloon", terms=[], rates={"least": 1.5, "most": 2})
    assert str(refused.value).count(";") == 2
    with pytest.raises(ProductError, match="is no TOML"):
        read_product("name = ", TODAY)


def test_no_product_is_offered_on_a_day_of_which_the_law_tables_say_nothing():
    with pytest.raises(ProductError, match=r"cannot be offered: the law table of CN has no 'cap.microloan'"):
        read_product(tomli_w.dumps(BASE), date(2000, 1, 1))


def test_nothing_is_deducted_for_the_lender_before_the_borrower_had_the_money():
    """Civil Code 670; what a third party takes first is no deduction, and counts as cost."""
    with pytest.raises(ProductError, match=r"a deduction in advance \(民法典 670\)"):
        read(fees=[fee("service", when="start", payee="lender")])
    assert read(fees=[fee("premium", when="start", payee="insurer")]).usual_fees
    taken = product(fees=[fee("service", when="start", payee="lender")])
    assert len(taken.against_law(TODAY)) == 1 and taken.against_law(date(2020, 12, 31)) == ()


@pytest.mark.parametrize(
    ("terms", "said"),
    [((9_999, 90, 500), "lends 10000 to 20000000 fen, not 9999"), ((10_000.0, 90, 500), "whole fen"),
     ((True, 90, 500), "whole fen"), ((10_001, 90, 500), "in steps of 100 fen"),
     ((10_000, 91, 500), "terms of"), ((10_000, 90, 2_001), "0 to 2000 ppm a day")],
)  # fmt: skip
def test_what_a_product_does_not_offer_is_refused(terms, said):
    made = product(amounts={"least": 10_000, "most": 20_000_000, "step": 100})
    with pytest.raises(TermsError, match=said):
        made.require(*terms)
    made.require(10_100, 90, 500)


@pytest.mark.parametrize(
    ("days", "count"),
    [(28, 1), (30, 1), (31, 1), (60, 2), (90, 3), (91, 3), (180, 6), (360, 12), (365, 12), (366, 12), (720, 24)],
)
def test_a_term_in_days_has_the_nearest_number_of_monthly_dues(days, count):
    assert product().instalments(days) == count


def test_products_cannot_be_changed():
    with pytest.raises(ValidationError):
        product().grace_days = 5


def test_the_example_of_the_docs_is_a_product_and_its_table_of_rates_is_true():
    page = (DOCS / "lending-products.md").read_text(encoding="utf-8")
    made = read_product(page.partition("```toml\n")[2].partition("```")[0], TODAY)
    priced = price(made, 1_000_000, 360, TODAY, wanted=600)
    assert priced.rate_ppm_day < 600 and priced.cost.within
    for said, year, simple, compound in re.findall(r"^\| ([\d.]+)% \| (.+?) \| (.+?) \| (.+?) \|$", page, re.M):
        rate = int(Decimal(said) * 10_000)
        figures = (nominal_year(rate, 360), simple_year(rate), compound_year(rate))
        assert [percent(one) for one in figures] == [year, simple, compound]
