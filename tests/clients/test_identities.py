"""Identity numbers from files: one person has one spelling, and what a spreadsheet lost is not guessed."""

from __future__ import annotations

import datetime as dt
import unicodedata
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clients.data.identities import Identities, NoIdentity, has_valid_check, identity, identity_numbers_of
from clients.errors import SourceError
from crypto.pseudonyms import normal_identity
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
        ("12", "5 to 200"),
        ("ab cdefg", "no digit"),
        ("\u200b\ufeff", "no identity"),
        ("12345\ufe0f", "no letter, digit"),
        ("\ud80012345", "no letter, digit"),
        ("-12345", "sign"),
        (-12345, "sign"),
        (Decimal("Infinity"), "5 to 200"),
        (Decimal("1E+999999999"), "5 to 200"),
        (Decimal("12345.5"), "fraction"),
        (10**300, "5 to 200"),
        (np.float32(16777217), "floating-point"),
        (b"\xff12345", "UTF-8"),
        (True, "neither text"),
        (dt.date(2026, 1, 31), "neither text"),
        (["12345"], "neither text"),
        (float("nan"), "no identity"),
    ],
)
def test_what_names_nobody_is_refused_and_not_quoted(value, said):
    with pytest.raises(NoIdentity, match=said) as refused:
        identity(value)
    assert value is None or not str(value).strip() or str(value) not in str(refused.value)


SEPARATORS = [*"\u200b\u200d\u200e\u202a\u202e\u2060\ufeff\u00ad\u00a0\u3000 -\u2011"]


@pytest.mark.parametrize("between", SEPARATORS, ids=[f"U+{ord(one):04X}" for one in SEPARATORS])
@pytest.mark.parametrize("places", [(0,), (6,), (18,), (0, 6, 14, 18)])
def test_what_separates_digits_or_cannot_be_seen_makes_no_other_person(between, places):
    number = next(one for one in VALID if one[-1] == "X")
    written = "".join(between * (at in places) + one for at, one in enumerate(f"{number} "))
    found = Identities.of([number, written])
    assert found.numbers == [number, number] and found.repeated == 1 and not found.refusal
    assert found.remarks[0].startswith("1 identity numbers had ")


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.decimals(), st.text(), st.binary(), st.dates(),
    st.datetimes(), st.fractions(), st.complex_numbers(), st.lists(st.integers()), st.builds(dict),
    st.integers(0, 2**64 - 1).map(np.uint64), st.floats(width=32).map(np.float32),
    st.integers(0, 2**16 - 1).map(lambda bits: np.uint16(bits).view(np.float16)),
    st.text(st.sampled_from("0123456789Xx.'=\"-+Ee, \u200b\ufeff\u3000\uff11\u0661\u2212")),
    st.builds(object), st.uuids(), st.just(5000).map(lambda digits: 10**digits),
    st.text(st.characters(codec=None)),
)  # fmt: skip


@example("''0000")
@example("12-345.0")
@example("12345.0-")
@example("12345.-0")
@example("-'12345")
@example("''00000")
@example('\'="110101199003071233"')
@example('="\'110101199003071233.0"')
@given(ANYTHING)
def test_whatever_a_file_holds_names_somebody_in_one_spelling_or_nobody(value):
    try:
        found, _ = identity(value)
    except NoIdentity:
        return
    assert normal_identity(found) == found, "what is checked is what is named"
    assert 5 <= len(found) <= 200 and identity(found) == (found, "")
    assert not any(unicodedata.category(one)[0] in "CZM" for one in found)


def test_rows_and_counts_are_said():
    found = Identities.of([VALID[0], f"'{VALID[1]}", "1E5", VALID[0], None])
    assert found.numbers == [VALID[0], VALID[1], VALID[0]]
    assert found.refusal.startswith("2 rows name nobody (row 3, 5); row 3: a spreadsheet")
    assert found.remarks == [
        "1 identity numbers had an apostrophe before it, which was taken off",
        "1 identity numbers stand in several rows and have the same name there",
    ]
    assert Identities.of(["A123456(7)"]).remarks == [
        "1 identity numbers hold marks beside letters and digits; they are named as they are"
    ]
    assert "1 resident numbers have a wrong check digit" in Identities.of(["110105194912310021"]).remarks[0]
    assert Identities.of([12345, 67890.0]).numbers == ["12345", "67890"]


def of_parquet(path, kind: pa.DataType, held: pa.Array) -> Identities:
    """A file whose column is declared to be of a type, whatever its bytes are."""
    pq.write_table(pa.table({"id": pa.Array.from_buffers(kind, len(held), held.buffers())}), path)
    return Identities.of(identity_numbers_of(path, "id", "utf-8"))


def test_no_value_of_a_parquet_file_ends_in_an_exception(tmp_path):
    path = tmp_path / "people.parquet"
    found = of_parquet(path, pa.string(), pa.array([b"12345", b"\xff12345", b" nan"]))
    assert found.numbers == ["12345"]
    assert [why for _, why in found.refused] == ["its bytes are not UTF-8", "there is no identity number"]
    found = of_parquet(path, pa.float32(), pa.array([12345.0, 110105194.0], type=pa.float32()))
    assert found.numbers == ["12345"] and "floating-point" in found.refusal
    for kind in (pa.timestamp("us"), pa.duration("s"), pa.date64(), pa.time64("us")):
        with pytest.raises(SourceError, match="identity numbers are none"):
            of_parquet(path, kind, pa.array([2**62, 86_400_000]))
