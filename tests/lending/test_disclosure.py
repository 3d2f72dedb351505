"""The table that a borrower is shown: every charge, who gets it, what it costs a year, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import assume, given, settings
from support.effort import effort
from support.loans import TODAY, asked, fee, product

from lending.errors import CostError, LawSilent
from lending.money import percent, shown
from lending.terms.apr import apr, aprc
from lending.terms.cost import cost, flows_of
from lending.terms.disclosure import LANGUAGES, WORDS, disclose
from lending.terms.schedule import schedule

CHARGED = [
    fee("premium", when="start", value=5_000, payee="insurer", en="Premium", zh="保险费"),
    fee("guarantee", method="of-balance", payee="guarantor", en="Guarantee", zh="担保费"),
    fee("late", when="late", method="of-overdue-a-day", value=750, payee="lender", en="Penalty", zh="罚息"),
    fee("extend", when="extension", value=10_000, payee="lender", en="Extension", zh="展期费"),
]


def shown_table(language: str = "en"):
    made = product(fees=CHARGED)
    return disclose(made, schedule(made, 1_000_000, 400, TODAY, 360)), language


def test_every_charge_is_named_with_its_method_rate_and_payee():
    table, _ = shown_table()
    rows = dict(table.rows("en"))
    assert rows["Amount lent, which you receive in full"] == "10,000.00"
    assert "14.60% a year (simple)" in rows["Interest"] and "0.04% a day, ACT/365F" in rows["Interest"]
    assert rows["Premium"] == "50.00 (0.5% of what was lent, on the day the loan is paid out; paid to the insurer)"
    assert "0.1% of what is outstanding, with each due; paid to the guarantor" in rows["Guarantee"]
    assert rows["Charged only in this case: Penalty"].startswith(
        "0.075% a day of what is overdue, if a payment is late"
    )
    assert "1% of what was lent, if the loan is extended" in rows["Charged only in this case: Extension"]
    assert rows["The most that the law of the day allows"].startswith("24.00%")
    assert list(rows)[-1] == "And nothing else"


def test_the_same_table_in_chinese():
    table, _ = shown_table()
    text = table.text("zh")
    assert text.startswith("综合融资成本明示表\n")
    for said in ("贷款本金: 10,000.00", "保险费: 50.00（按贷款本金的 0.5%，放款日收取；收取方：保险机构）", "罚息",
                 "正常履约情形下的年化综合融资成本", "除上述明示项目外，不再收取其他任何利息和费用。"):  # fmt: skip
        assert said in text
    assert len(list(table.rows("zh"))) == len(list(table.rows("en")))


def test_the_higher_figure_is_shown_first_and_both_are_named():
    table, _ = shown_table()
    said = dict(table.rows("en"))["Cost a year if everything is paid when due"]
    assert said.startswith(percent(max(table.cost.compound, table.cost.simple)))
    assert percent(table.cost.simple) in said and percent(table.cost.compound) in said


def test_in_the_union_the_aprc_is_shown_and_in_the_states_the_apr():
    for place, name, wanted in (("EU", "aprc", lambda one: aprc(flows_of(one))), ("US", "apr", apr)):
        made = product(jurisdiction=place, lender_kind="creditor", fees=CHARGED)
        loan = schedule(made, 1_000_000, 400, TODAY, 360)
        table = disclose(made, loan)
        assert (table.legal_rate.name, table.legal_rate.rate) == (name, wanted(loan))
        assert table.payload()[name] == str(table.legal_rate.rate)
        for language in LANGUAGES:
            assert dict(table.rows(language))[WORDS[name][language]] == percent(table.legal_rate.rate)
    assert table.hash != replace(table, legal_rate=None).hash, "it is confirmed with the rest"
    home, _ = shown_table()
    assert home.legal_rate is None and not {"apr", "aprc"} & set(home.payload())


@settings(max_examples=effort(1_000), deadline=None)
@given(asked())
def test_what_is_listed_is_everything_that_is_paid(case):
    made, loan = case[0], schedule(*case)
    assume(sum(one.amount for one in loan.upfront) < loan.principal)
    found = cost(made, loan)
    if not found.within:
        with pytest.raises(CostError, match=r"would cost .*%: lower its rate or its fees|above"):
            disclose(made, loan)
        return
    table = disclose(made, loan)
    assert sum(one.amount for one in table.charges) == table.cost.total == found.total
    assert sum(due.total for due in loan.dues) + sum(one.amount for one in loan.upfront) == (
        table.principal + table.cost.total
    )
    for language in LANGUAGES:
        assert shown(table.cost.total) in table.text(language)


def test_what_is_signed_holds_no_double_and_changes_with_every_term():
    table, _ = shown_table()
    assert "." not in json.dumps({key: value for key, value in table.payload().items() if isinstance(value, int)})

    def kinds(value) -> set[type]:
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return {type(value)} | {kind for one in parts for kind in kinds(one)}

    assert float not in kinds(table.payload())
    made = product(fees=CHARGED)
    others = [disclose(made, schedule(made, *terms)).hash for terms in (
        (1_000_000, 401, TODAY, 360), (1_000_001, 400, TODAY, 360), (1_000_000, 400, TODAY, 180))]  # fmt: skip
    assert len({table.hash, *others}) == 4


def test_a_loan_above_the_cap_or_under_a_cap_that_nobody_knows_is_not_shown():
    made = product()
    with pytest.raises(CostError, match=r"small would cost 26.81% a year, above 24.00%"):
        disclose(made, schedule(made, 1_000_000, 657, TODAY, 360))
    with pytest.raises(LawSilent):
        disclose(made, schedule(made, 1_000_000, 100, date(2028, 1, 1), 360))


def test_where_nothing_is_contingent_that_is_said():
    made = product()
    table = disclose(made, schedule(made, 1_000_000, 400, TODAY, 360))
    assert dict(table.rows("en"))["Charged if you are late, extend or repay early"] == "nothing"


@pytest.mark.parametrize("key", sorted(WORDS))
def test_every_word_is_there_in_every_language(key):
    assert set(WORDS[key]) == set(LANGUAGES)
