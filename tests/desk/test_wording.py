"""What a letter says of the data that a decision rests on."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from support.counter import Counter, StandInSource

from desk.sources import About, Sources
from desk.wording import OWN, Told, Tongue, Wording
from law.categories import DataCategory
from lending.law.rows import LAWS

DAY = date(2026, 11, 29)
WORDING = Wording(OWN, LAWS, "CN")
TOLD = Told(
    {"id": "a1", "received": DAY, "product": "small", "amount": 100_000, "days": 30},
    "review",
    True,
    DAY,
    None,
    None,
    (),
    used=frozenset({DataCategory.REPAYMENT}),
    refused=frozenset({DataCategory.INCOME, DataCategory.EMPLOYMENT}),
    outdated=frozenset({DataCategory.BUREAU}),
    entry_index=7,
)


@pytest.mark.parametrize(
    ("tongue", "said"),
    [
        (
            "en",
            [
                "It rests on what is known of: how you repaid loans.",
                "You did not let us ask about: your work, your income.",
                "takes what it does not know as average",
                "Some of what is known of credit reports about you is older than you agreed to",
            ],
        ),
        ("zh", ["依据的信息：还款记录。", "您未同意查询：职业信息、收入。", "按平均水平计算", "征信记录中有部分超出"]),
    ],
)
def test_data_are_called_what_people_call_them(tongue: Tongue, said: list[str]) -> None:
    letter = WORDING.letter(TOLD, tongue)
    for sentence in said:
        assert sentence in letter
    nothing = replace(TOLD, used=frozenset(), refused=frozenset(), outdated=frozenset())
    assert not [one for one in ("rests on", "did not let", "older") if one in WORDING.letter(nothing, "en")]


def letter_of(counter: Counter, late: int) -> str:
    said = counter.asks(late).json()
    return str(counter.call("origination", "GET", f"/v1/applications/{said['id']}/letter").json()["en"])


def test_a_letter_names_what_was_used_and_no_kind_that_was_agreed_to_as_refused(desk: Counter) -> None:
    about = About("payroll-adapter", DataCategory.INCOME, ("salary",), 5.0, (DataCategory.EMPLOYMENT,))
    desk.desk.sources = Sources([desk.book, StandInSource(about, {"salary": 1})])
    desk.consents.refused = {DataCategory.EMPLOYMENT}
    told = letter_of(desk, 2)
    assert "It rests on what is known of: how you repaid loans." in told
    assert "You did not let us ask about: your work." in told, "to their income they had agreed"
    for name in ("payroll-adapter", "book"):
        assert name not in told, "names of a lender's systems mean nothing to a borrower"


def test_what_is_held_for_measuring_fairness_is_nothing_that_a_decision_rests_on(desk: Counter) -> None:
    sex = StandInSource(About("register", DataCategory.SEX, ("sex",)), {"sex": "f"})
    desk.desk.sources = Sources([desk.book, desk.income, sex])
    assert "sex" not in letter_of(desk, 2)
    desk.consents.refused = {DataCategory.SEX}
    assert "sex" not in letter_of(desk, 2)


def test_a_letter_speaks_of_the_sources_as_they_were_when_it_was_decided(desk: Counter) -> None:
    said = desk.asks(2).json()
    desk.desk.sources = Sources([desk.income])
    told = desk.call("origination", "GET", f"/v1/applications/{said['id']}/letter").json()["en"]
    assert "how you repaid loans" in told
