"""Identity numbers from files: one person has one spelling, and what a spreadsheet lost is not guessed."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from clients.data.identities import Identities, NoIdentity, has_valid_check, identity
from demo.loans import identity_numbers

VALID = identity_numbers(50, np.random.default_rng(1))


def test_the_check_character_is_that_of_the_standard():
    """The example of GB 11643-1999."""
    assert has_valid_check("11010519491231002X") and has_valid_check("440524188001010014")
    assert not has_valid_check("110105194912310021")
    assert all(has_valid_check(number) for number in VALID)


@pytest.mark.parametrize("number", VALID[:5])
def test_every_spelling_of_a_number_is_one_number(number):
    wide = "".join(chr(ord(one) + 0xFEE0) for one in number)
    for written in (number, f" {number} ", f"'{number}", f'="{number}"', wide, number.lower()):
        assert identity(written)[0] == number
    assert identity(number) == (number, "")
    if number[-1] != "X":
        for written in (int(number), Decimal(number), f"{number}.0"):
            assert identity(written)[0] == number


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("9.90101E+17", "power of ten"),
        ("9,90101E+17", "power of ten"),
        (9.90101e17, "floating-point"),
        (None, "no identity"),
        ("  ", "no identity"),
        ("12", "at least"),
        ("ab cdefg", "blanks"),
        (float("nan"), "no identity"),
    ],
)
def test_what_names_nobody_is_refused_and_not_quoted(value, said):
    with pytest.raises(NoIdentity, match=said) as refused:
        identity(value)
    assert value is None or not str(value).strip() or str(value) not in str(refused.value)


def test_rows_and_counts_are_said():
    found = Identities.of([VALID[0], f"'{VALID[1]}", "1E5", VALID[0], None])
    assert found.numbers == [VALID[0], VALID[1], VALID[0]]
    assert found.refusal.startswith("2 rows name nobody (row 3, 5); row 3: a spreadsheet")
    assert found.remarks == [
        "1 identity numbers had an apostrophe before it, which was taken off",
        "1 identity numbers stand in several rows and have the same name there",
    ]
    assert "1 resident numbers have a wrong check digit" in Identities.of(["110105194912310021"]).remarks[0]
    assert Identities.of([12345, 67890.0]).numbers == ["12345", "67890"]
