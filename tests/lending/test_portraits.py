"""Portraits: who is in one, when it is used, and what none may be made of."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from support.portraits import DAY, both, compiled, document, fact, portrait

from crypto.errors import SignatureError
from crypto.keys import SigningKey
from lending.cases import Fact
from lending.law.features import objection
from lending.policy.conditions import TableError
from lending.portraits import Because, PortraitRefused, in_use, portrait_from, verified_portrait

INCOME = fact(("income a month", "月收入"), "income", kind="fen", low=0, high=10**9)
TWO = portrait()["facts"] | {"income": INCOME}


def known(**values: object) -> dict[str, Fact]:
    return {name: Fact(name, "present", one) for name, one in values.items()}  # type: ignore[arg-type]


def test_who_fulfils_a_row_is_in_it_and_it_is_known_why():
    seen = compiled().look(known(late=3))
    assert seen.within
    assert seen.held == {"often": (Because("late", ">= 2", 3),)}
    assert not compiled().look(known(late=1)).within


@pytest.mark.parametrize("status", ["absent", "refused", "late", "disputed"])
def test_what_is_not_known_puts_nobody_in(status):
    seen = compiled().look({"late": Fact("late", status, None)})
    assert not seen.within
    assert seen.missing == ("late",)
    assert not compiled().look({}).within


def test_what_is_outside_of_what_was_declared_is_not_known():
    assert not compiled().look(known(late=101)).within
    assert not compiled().look(known(late=True)).within


def test_a_row_with_something_unknown_does_not_hold_and_hides_no_other():
    rows = [{"id": "poor", "when": {"late": ">= 1", "income": "< 300000"}}, {"id": "often", "when": {"late": ">= 2"}}]
    of_two = compiled(facts=TWO, rows=rows)
    assert not of_two.look(known(late=1)).within
    assert set(of_two.look(known(late=2)).held) == {"often"}
    assert set(of_two.look(known(late=2, income=1)).held) == {"poor", "often"}


def test_a_gap_is_no_fault_but_a_rule_that_tells_nobody_apart_is():
    with pytest.raises(TableError, match="everybody of whom its facts are known is in it"):
        compiled(rows=[{"id": "all", "when": {"late": ">= 0"}}])
    with pytest.raises(TableError, match="everybody"):
        compiled(rows=[{"id": "few", "when": {"late": "< 2"}}, {"id": "many", "when": {"late": ">= 2"}}])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"id": "never", "when": {"late": "> 500"}}], "row 'never' holds nowhere"),
        ([{"id": "a", "when": {"late": ">= 2"}}, {"id": "b", "when": {"late": ">= 5"}}], "row 'b' never counts"),
        ([{"id": "a", "when": {"late": "soon"}}], "'soon' is no whole number"),
        ([{"id": "a", "when": {"late": "> 9"}}, {"id": "a", "when": {"late": "< 2"}}], "two rows 'a'"),
    ],
)
def test_rows_that_contradict_themselves_or_never_count_are_told(rows, said):
    with pytest.raises(TableError, match=said):
        compiled(rows=rows)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"action": "raise-price"}, "action must be one of"),
        ({"action": "decline"}, "action must be one of"),
        ({"rate": 500}, "rate"),
        ({"limit": 500}, "limit"),
        ({"action": "marketing"}, "marketing is of a product"),
        ({"product": "small"}, "marketing is of a product"),
        ({"review_on": "2026-01-01"}, "looked at again after its first day"),
        ({"review_on": "2027-01-03"}, "within 366 days"),
        ({"name": {"zh": "曾经逾期还款"}}, "en"),
        ({"name": both(" ", "曾")}, "en"),
        ({"owner": ""}, "owner"),
        ({"facts": TWO}, "declares 'income', which no row reads"),
        ({"facts": TWO, "rows": [{"id": "a", "when": {"late": ">= 2", "income": "-"}}]}, "which no row reads"),
        ({"facts": TWO, "rows": [{"id": "a", "when": {"late": ">= 2", "income": " "}}]}, "which no row reads"),
        ({"rows": []}, "rows"),
        ({"rows": [{"id": "all", "when": {}}]}, "when"),
        ({"facts": {"late": {"kind": "integer", "words": both("late", "逾期"), "categories": []}}}, "categories"),
    ],
)
def test_a_malformed_portrait_is_refused_in_one_sentence(changes, said):
    with pytest.raises(PortraitRefused, match=said) as refused:
        compiled(**changes)
    assert "\n" not in str(refused.value)


def test_marketing_names_what_is_marketed():
    assert compiled(action="marketing", product="small").document.product == "small"


@pytest.mark.parametrize(
    "late",
    [
        fact(("late payments", "逾期次数"), "marital", kind="integer"),
        fact(("late payments", "逾期次数"), "repayment", "health", kind="integer"),
        fact(("of women", "次数"), "repayment", kind="integer"),
        fact(("payments", "女性逾期次数"), "repayment", kind="integer"),
        fact(("payments", "次数"), "repayment", kind="integer", about="by religion"),
    ],
)
def test_what_is_forbidden_or_protected_does_not_load_and_the_article_is_told(late):
    with pytest.raises(PortraitRefused, match=r"portrait 'late-before' names 'late'.*(PIPL 24|征信业管理条例 14)"):
        compiled(facts={"late": late})


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("name", {"name": both("Young mothers", "年轻女性")}),
        ("name", {"id": "young-women"}),
        ("purpose", {"purpose": both("We talk to women", "与您沟通")}),
        ("purpose", {"purpose": both("We talk to you", "与女性客户沟通")}),
        ("product", {"action": "marketing", "product": "women-card"}),
        ("rule", {"rows": [{"id": "women", "when": {"late": ">= 2"}}]}),
    ],
)
def test_nor_may_anything_else_of_it_say_so(what, changes):
    with pytest.raises(PortraitRefused, match=rf"the {what} of portrait '[a-z-]+' is about sex.*PIPL 24"):
        compiled(**changes)


@pytest.mark.parametrize("codes", [["female", "other"], ["女", "未知"]])
def test_nor_may_the_codes_of_a_fact(codes):
    segment = fact(("segment", "客群"), "repayment", kind="code", values=codes)
    with pytest.raises(PortraitRefused, match=r"names 'segment', which is about sex"):
        compiled(facts={"segment": segment}, rows=[{"id": "a", "when": {"segment": codes[0]}}])


def test_it_is_used_from_its_first_day_until_its_review_and_not_on_it():
    one = compiled(valid_from="2026-11-28", review_on="2026-12-28")
    assert one.idle(date(2026, 11, 27)) == (
        "portrait 'late-before' version 1 is not used before 2026-11-28, and it is 2026-11-27"
    )
    assert one.idle(date(2026, 12, 27)) is None
    assert "was to be looked at again by 2026-12-28" in str(one.idle(date(2026, 12, 28)))


def test_the_newest_version_that_has_begun_is_used_and_an_older_one_does_not_come_back():
    first = compiled()
    second = compiled(version=2, valid_from="2026-06-01", review_on="2026-09-01")
    third = compiled(version=3, valid_from="2027-01-01", review_on="2027-02-01")
    for order in ([first, second, third], [third, second, first]):
        assert in_use(order, date(2026, 5, 31)) == {"late-before": first}
        assert in_use(order, date(2026, 8, 31)) == {"late-before": second}
        assert in_use(order, date(2026, 9, 1)) == {}  # the first would still be in its time
        assert in_use(order, date(2027, 1, 1)) == {"late-before": third}


def test_a_signed_portrait_verifies_under_its_key_alone_and_has_one_hash():
    key, made = SigningKey.generate(), document()
    found = verified_portrait(made.sign(key), key.public)
    other_order = portrait_from(dict(reversed(portrait().items())), objection, DAY)
    assert found.hash == other_order.hash == compiled().hash
    assert found.hash != compiled(version=2).hash
    with pytest.raises(SignatureError):
        verified_portrait(made.sign(key), SigningKey.generate().public)


def test_the_law_is_that_of_the_day():
    silent = date(1990, 1, 1)
    with pytest.raises(Exception, match="1990"):
        compiled(day=silent)
    assert compiled(day=DAY + timedelta(days=1))
