"""What a letter says of the data that a decision rests on."""

from __future__ import annotations

from datetime import date

import pytest

from desk.commands.apply import EXPLORED
from desk.wording import OWN, Told, Tongue, Wording
from law.categories import DataCategory
from lending.cases import Fact
from lending.law.rows import LAWS

DAY = date(2026, 11, 29)
WORDING = Wording(
    OWN,
    LAWS,
    "CN",
    kinds={
        "late": frozenset({DataCategory.REPAYMENT}),
        "salary": frozenset({DataCategory.INCOME, DataCategory.EMPLOYMENT}),
        "score_of_bureau": frozenset({DataCategory.BUREAU}),
    },
)
FACTS = {
    "late": Fact("late", "present", 0, "book-of-2024"),
    "salary": Fact("salary", "refused", None, "payroll-adapter"),
    "score_of_bureau": Fact("score_of_bureau", "late", None, "bureau-2"),
    EXPLORED: Fact(EXPLORED, "present", True, "desk"),
}


def letter(tongue: Tongue) -> str:
    asked = {"id": "a1", "received": DAY, "product": "small", "amount": 100_000, "days": 30}
    return WORDING.letter(Told(asked, "review", True, DAY, None, None, (), FACTS, 7), tongue)


@pytest.mark.parametrize(
    ("tongue", "rests", "refused"),
    [
        ("en", "what is known of: how you repaid loans.", "You did not let us ask about: your work, your income."),
        ("zh", "依据的信息：还款记录。", "您未同意查询：职业信息、收入。"),
    ],
)
def test_data_are_called_what_people_call_them(tongue: Tongue, rests: str, refused: str) -> None:
    told = letter(tongue)
    assert rests in told and refused in told
    for name in ("book-of-2024", "payroll-adapter", "bureau-2", "desk", EXPLORED):
        assert name not in told, "names of a lender's systems mean nothing to a borrower"


def test_it_says_what_a_no_does_and_promises_no_more() -> None:
    assert "takes what it does not know as average" in letter("en") and "按平均水平计算" in letter("zh")
