"""The law tables: dated, sourced, silent where they end; caps of their day (trap 2); what no score may read."""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal, localcontext
from functools import partial
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.lending_cases import payload
from support.world import feature_of

from credit.features import Feature
from law.categories import DataCategory
from law.deadlines import deadlines
from law.packs import PACKS, Jurisdiction
from lending.account.balances import WATCH_DAYS
from lending.account.default import BAD_DPD
from lending.errors import LawSilent, LawTableError
from lending.law.caps import cap, longest_extension
from lending.law.features import LawOfDay, barred, objection
from lending.law.rows import LAWS, Laws
from lending.policy.document import PolicyDocument, unlawful
from lending.score.compiled import ScoreError
from lending.score.protected import refuse_protected
from lending.score.reasons import MOST_REASONS

TODAY = date(2026, 11, 27)
TURN = date(2028, 1, 1)
DAY = timedelta(days=1)
PLACES = get_args(Jurisdiction)
DOCS = Path(__file__).resolve().parents[2] / "docs"
LPR = """
[[row]]
key = "lpr-1y"
value = "{}"
from = {}
article = "1Y LPR"
source = "a test"
verified = true
"""


def with_lpr(value: str = "0.028", day: date = date(2026, 9, 20)) -> Laws:
    return LAWS.with_rows("CN", LPR.format(value, day))


def test_chinas_cap_is_24_percent_until_the_end_of_2027_and_four_times_lpr_from_then_on():
    for day in (date(2025, 12, 24), TODAY, TURN - DAY):
        assert cap(day, "CN", 360, "microloan").rate == Decimal("0.24")
    laws = with_lpr()
    assert cap(TURN, "CN", 360, "microloan", laws).rate == Decimal("0.112")
    assert cap(TURN - DAY, "CN", 360, "microloan", laws).rate == Decimal("0.24")


@pytest.mark.parametrize(
    ("day", "term", "rate"),
    [(date(2028, 1, 1), 31, "0.24"), (date(2028, 1, 1), 32, "0.112"), (date(2028, 2, 1), 29, "0.24"),
     (date(2028, 2, 1), 30, "0.112"), (date(2028, 1, 31), 29, "0.24"), (date(2028, 1, 31), 30, "0.112")],
)  # fmt: skip
def test_loans_of_at_most_one_calendar_month_stay_at_24_percent(day, term, rate):
    assert cap(day, "CN", term, "microloan", with_lpr()).rate == Decimal(rate)


def test_the_lpr_is_that_of_the_day():
    laws = LAWS.with_rows("CN", LPR.format("0.029", date(2026, 9, 20)).replace("article", f"until = {TURN}\narticle"))
    laws = laws.with_rows("CN", LPR.format("0.025", TURN))
    assert cap(TURN, "CN", 365, "microloan", laws).rate == Decimal("0.1")
    assert laws.at("CN", "lpr-1y", TURN - DAY).number == Decimal("0.029")


def test_a_table_that_ends_or_has_not_begun_is_silent_in_one_sentence():
    with pytest.raises(LawSilent, match=r"no 'lpr-1y' for 2028-01-01: its rows end before 2026-09-20; add the one"):
        cap(TURN, "CN", 360, "microloan")
    with pytest.raises(LawSilent, match=r"no 'cap.microloan' for 2017-08-03: it begins on 2017-08-04"):
        cap(date(2017, 8, 3), "CN", 360, "microloan")
    with pytest.raises(LawSilent, match=r"no 'cap.creditor' for .*: no row of that key exists"):
        cap(TODAY, "CN", 360, "creditor")
    with pytest.raises(LawSilent, match=r"no 'extension"):
        longest_extension(TODAY, "US", 30)


def test_no_cap_is_something_that_a_row_says():
    found = cap(TODAY, "EU", 360, "creditor")
    assert found.rate is None and "Member States" in found.source and "[not verified]" in found.source


@given(st.dates(date(2017, 8, 4), date(2040, 1, 1)), st.integers(1, 1800))
def test_a_cap_is_never_higher_than_24_percent_in_china(day, term):
    found = cap(day, "CN", term, "microloan", with_lpr())
    assert found.rate in {Decimal("0.24"), Decimal("0.112")} and found.source


@pytest.mark.parametrize(("term", "most"), [(30, 30), (365, 365), (366, 366), (367, 183), (730, 365)])
def test_all_extensions_together_are_no_longer_than_the_law_lets_them(term, most):
    assert longest_extension(TODAY, "CN", term) == most


def test_what_the_borrower_must_be_told_is_dated():
    with pytest.raises(LawSilent, match="begins on 2026-08-01"):
        LAWS.at("CN", "disclosure-table", date(2026, 7, 31))
    assert LAWS.at("CN", "disclosure-table", date(2026, 8, 1)).value == "required"
    assert LAWS.at("CN", "advance-deduction", TODAY).article == "民法典 670"
    assert LAWS.at("US", "reasons.most", TODAY).value == 4
    assert {LAWS.at("CN", f"exposure.{kind}", TODAY).value for kind in ("consumption", "business")} == {
        200_000_00, 10_000_000_00}  # fmt: skip


def test_the_days_for_objections_are_those_that_requests_are_answered_in():
    asked = [one for one in deadlines() if one.jurisdiction == "CN" and "object" in one.rights]
    assert [one.count for one in asked] == [LAWS.at("CN", "objection.days", TODAY).value]


@pytest.mark.parametrize("place", PLACES)
def test_whatever_training_may_not_read_no_score_may_read(place):
    """There is one list of both."""
    found = barred(place, TODAY)
    assert {category for category in DataCategory if PACKS[place].article_against(category)} == set(found)
    assert {row.key for row in LAWS.rows[place] if row.bars} == {f"{one.bar}.{one.key}" for one in PACKS[place].barred}


LISTED = [(place, bar, kind) for place in PLACES for bar in PACKS[place].barred for kind in bar.kinds]


@pytest.mark.parametrize(("place", "bar", "kind"), LISTED)
def test_what_the_list_bars_enters_no_score_and_no_policy_from_its_day_on(place, bar, kind):
    feature = Feature.model_validate(feature_of(name="x1", kind="number", category="bureau"))
    feature = feature.model_copy(update={"category": kind})
    facts = payload()["facts"] | {"x1": {"kind": "integer", "low": 0, "high": 9, "categories": [kind]}}
    document = PolicyDocument.model_validate(payload(facts=facts)).model_copy(update={"jurisdiction": place})
    document = document.model_copy(update={"facts": {"x1": document.facts["x1"]}})
    law = partial(objection, laws=LAWS)
    for day in (bar.since, (bar.until or date(2200, 1, 1)) - DAY):
        with pytest.raises(ScoreError, match=f"is about {kind}, .*{place}: "):
            refuse_protected([feature], LawOfDay((place,), day))
        assert f"is about {kind}, " in str(unlawful(document, law, day))
    if not any(one.since <= bar.since - DAY and kind in one.kinds for one in PACKS[place].barred):
        before = bar.since - DAY
        try:
            refuse_protected([feature], LawOfDay((place,), before))
        except LawSilent:
            assert not barred_then(place, before)
        else:
            assert unlawful(document, law, before) is None


def barred_then(place: Jurisdiction, day: date) -> bool:
    return any(row.bars and row.holds(day) for row in LAWS.rows[place])


@pytest.mark.parametrize("since", ["2026-12-01", "2013-03-15"])
def test_a_lender_adds_to_what_is_barred_and_never_takes_from_it(since):
    """A row of the same key would end the one that is there."""
    row = '[[row]]\nkey = "{}"\nvalue = {}\nfrom = {}\narticle = "a"\nsource = "s"\nverified = true\n'
    with pytest.raises(LawTableError, match="needs a key of its own"):
        LAWS.with_rows("CN", row.format("protected.unrelated", '["orientation"]', since))
    more = LAWS.with_rows("CN", row.format("protected.own", '["age"]', since))
    assert {"sex", "age"} <= set(barred("CN", date(2026, 12, 1), more))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("category", ["sex", "marital", "religion", "ethnicity", "nationality"])
def test_what_people_are_protected_by_enters_no_score_anywhere(place, category):
    found = objection([place], TODAY, [DataCategory(category)], "x1")
    assert found is not None and found.row.article in found.why and category in found.why


def test_a_name_that_gives_a_protected_category_away_is_barred_whatever_is_declared():
    found = objection(["CN"], TODAY, [DataCategory.IDENTITY], "applicantGender")
    assert found is not None and found.bar == "protected" and "measure fairness" in found.why
    assert objection(["CN", "US"], TODAY, [DataCategory.AGE], "age").jurisdiction == "US"
    assert objection(["CN"], TODAY, [DataCategory.REPAYMENT], "late_30", "times 30 days late") is None


def test_social_data_is_barred_in_the_union_from_its_day_on():
    turn = date(2026, 11, 20)
    assert objection(["EU"], turn - DAY, [DataCategory.SOCIAL]) is None
    assert objection(["EU"], turn, [DataCategory.SOCIAL]).row.article == "CCD2 18(3), 19(5)"
    assert objection(["EU"], turn - DAY, [DataCategory.HEALTH]).bar == "forbidden"


def test_features_before_the_table_begins_are_not_simply_allowed():
    with pytest.raises(LawSilent):
        objection(["CN"], date(2000, 1, 1), [DataCategory.SEX])


def test_the_hash_changes_with_every_row_and_with_nothing_else():
    assert with_lpr().hash != LAWS.hash and len(LAWS.hash) == 64
    assert Laws({place: tuple(reversed(rows)) for place, rows in LAWS.rows.items()}).hash == LAWS.hash
    hashes = set()
    for place, rows in LAWS.rows.items():
        for at in range(len(rows)):
            hashes.add(Laws(dict(LAWS.rows) | {place: rows[:at] + rows[at + 1 :]}).hash)
    assert len(hashes) == sum(map(len, LAWS.rows.values())) and LAWS.hash not in hashes


ROW = 'key = "a"\nvalue = 1\nfrom = 2026-01-01\narticle = "b"\nsource = "c"\nverified = true\n'


@pytest.mark.parametrize(
    ("change", "said"),
    [(("value = 1", "value = 0.24"), "a decimal as text"), (("value = 1", "value = true"), "a decimal as text"),
     (('article = "b"\n', ""), "article is missing"), (("verified = true\n", ""), "verified is missing"),
     (("from = 2026-01-01", "from = 2026-01-01\nuntil = 2026-01-01"), "not after its first day"),
     (("from = 2026-01-01", 'from = "soon"'), "from must be a date"),
     (('key = "a"', 'key = "A b"'), "key must be"), (("[[row]]", "[[rows]]"), "knows no 'rows'"),
     (('key = "a"', 'key = "protected.a"'), "no category of data is called '1'"),
     (("from = ", "from "), "is no TOML"), (('key = "a"', 'key = "cap.microloan"'), "twice of 2026-01-01")],
)  # fmt: skip
def test_a_table_that_makes_no_sense_is_refused_in_one_sentence(change, said):
    with pytest.raises(LawTableError, match=said):
        LAWS.with_rows("CN", f"[[row]]\n{ROW}".replace(*change))
    assert LAWS.with_rows("CN", f"[[row]]\n{ROW}").at("CN", "a", TODAY).number == 1


def test_a_row_without_an_end_ends_where_the_next_one_begins():
    row = ROW.replace('"a"', '"cap.bank"').replace("value = 1", 'value = "0.20"').replace("2026-01-01", "2027-01-01")
    laws = LAWS.with_rows("CN", f"[[row]]\n{row}")
    assert [cap(day, "CN", 90, "bank", laws).rate for day in (date(2026, 12, 31), date(2027, 1, 1))] == [
        Decimal("0.24"), Decimal("0.20")]  # fmt: skip
    assert LAWS.at("CN", "cap.bank", date(2027, 1, 1)).value == "0.24", "those that are shipped stay as they are"


def test_words_are_no_number():
    with pytest.raises(LawTableError, match="no number"):
        _ = LAWS.at("CN", "purpose.forbidden", TODAY).number


def test_no_context_of_the_caller_changes_a_cap():
    with localcontext(prec=1):
        assert cap(TURN, "CN", 360, "microloan", with_lpr("0.0305")).rate == Decimal("0.122")


def test_every_row_has_its_article_and_what_nobody_verified_is_listed_in_the_docs():
    page = (DOCS / "lending-law.md").read_text(encoding="utf-8")
    listed = {tuple(found) for found in re.findall(r"^\| (\w+) \| `([\w.-]+)` \| ([\d-]+) \| ([^|]+) \|", page, re.M)}
    known = {(place, row.key, str(row.since), row.article) for place, row in LAWS.unverified()}
    assert listed == known


def test_rows_that_nothing_reads_are_listed_in_the_docs():
    """A row that somebody changes, and that changes nothing, would be worse than none."""
    rooms = ("clients", "consent", "credit", "demo", "desk", "law", "lending", "protocol", "server", "watching")
    source = "\n".join(path.read_text(encoding="utf-8") for one in rooms for path in (DOCS.parent / one).rglob("*.py"))
    asked = re.compile(r"(cap|forbidden|protected)\..+|exposure\.(business|consumption)")  # names are put together
    unread = {
        (place, key)
        for place, key in {(place, row.key) for place, rows in LAWS.rows.items() for row in rows}
        if f'"{key}"' not in source and not asked.fullmatch(key)
    }
    page = (DOCS / "lending-law.md").read_text(encoding="utf-8")
    part = page[page.index("## Rows that nothing reads") : page.index("## What nobody has verified")]
    assert unread == set(re.findall(r"^\| (\w+) \| `([\w.-]+)` \|", part, re.M))


@pytest.mark.parametrize(
    "place, key, constant",
    [("CN", "restructured.watch-days", WATCH_DAYS), ("CN", "substandard.days-past-due", BAD_DPD),
     ("US", "reasons.most", MOST_REASONS), ("US", "key-factors.most", MOST_REASONS)],
)  # fmt: skip
def test_a_constant_that_stands_for_a_row_says_what_the_row_says(place: Jurisdiction, key: str, constant: int):
    assert [int(row.number) for row in LAWS.rows[place] if row.key == key] == [constant]
