"""One definition of bad, and the loan book that is made with it."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.loan_histories import contract, day, disbursed, histories, paid

from credit.features import Feature, FeatureSchema
from lending.account.balances import Account
from lending.account.default import Definition, Label, first_bad, first_payment_default, label
from lending.account.events import (
    ChargedOff,
    ContractDue,
    Corrected,
    Extended,
    GraceGranted,
    Repaid,
    Restructured,
    Waived,
)
from lending.account.fold import opened, state
from lending.errors import PortfolioError
from lending.portfolio.labels import OPENED, BookLoan, mature_book

LOAN = contract((30, 50_000, 1_000, 0), (60, 50_000, 500, 0))
YEAR = Definition(360)


def at(number, *events, loan=LOAN) -> Account:
    return state(loan, [disbursed(loan), *events], day(number))


def labelled(*events, as_of=360, loan=LOAN, definition=YEAR):
    return label(at(as_of, *events, loan=loan), definition, day(as_of))


def performance(*events, **more):
    return labelled(*events, **more).performance


ON_TIME = (paid(30, 51_000), paid(60, 50_500))


# --- the label


def test_good_indeterminate_and_bad_by_days_past_due():
    def paid_late(days):
        return performance(paid(30 + days, 51_000 + 2 * 37 * days + 90_000, prepays=True))

    assert performance(*ON_TIME) == "good"
    assert [paid_late(days) for days in (29, 30, 89, 90)] == ["good", "indeterminate", "indeterminate", "bad"]


def test_bad_is_dated_by_the_day_on_which_it_was():
    assert first_bad(at(119)) is None
    assert first_bad(at(120)) == (day(120), "dpd")
    assert labelled() == Label("bad", day(360), day(120), "dpd", day(360))


def test_nobody_is_labelled_before_the_window_has_elapsed():
    """Trap 7: the bad show early, the good late."""
    assert [performance(*ON_TIME, as_of=n) for n in (61, 359, 360)] == ["immature", "immature", "good"]
    early = labelled(as_of=200)
    assert (early.performance, early.bad_on) == ("immature", day(120))


def test_what_happens_after_the_window_is_no_part_of_it():
    short = Definition(100)
    assert performance(as_of=400, definition=short) == "indeterminate"
    assert performance(paid(30, 51_000), paid(60, 50_500), as_of=400, definition=short) == "good"


PLAN = (ContractDue(day(350), 100_000, 0),)
HIDING = [
    (GraceGranted(id="h", day=day(29), until=day(359)),),
    (Extended(id="h", day=day(29), days=330),),
    (GraceGranted(id="h", day=day(29), until=day(60)), Extended(id="i", day=day(30), days=300)),
    (Restructured(id="h", day=day(31), amount=100_000, dues=PLAN, in_difficulty=False),),
    (Restructured(id="h", day=day(29), amount=100_000, dues=PLAN, in_difficulty=False),),
    (Waived(id="h", day=day(29), amount=100_000, component="principal"), paid(30, 1_000)),
    (Waived(id="h", day=day(110), amount=50_000, component="principal"), paid(111, 60_000, prepays=True)),
    (Repaid(id="h", day=day(110), amount=101_500, payer="lender"),),
    (Repaid(id="h", day=day(110), amount=101_500, payer="insurer"),),
]


@pytest.mark.parametrize("events", HIDING, ids=lambda events: "+".join(type(one).__name__ for one in events))
def test_no_concession_hides_a_default(events):
    """Trap 4: it leaks a good into training and into the vintage's curve."""
    assert performance(*events) == "bad"


def test_written_off_is_bad_even_if_recovered_at_once():
    assert labelled(ChargedOff(id="off", day=day(40))).reason == "charged-off"


def test_a_loan_that_the_lenders_next_loan_repaid_is_no_good_of_its_own():
    """Trap 4: or one debt is counted as two goods."""
    exact = Repaid(id="r", day=day(20), amount=at(20).outstanding.total, payer="lender")
    assert performance(exact) == "indeterminate"
    late = Repaid(id="r", day=day(40), amount=at(40).outstanding.total, payer="lender")
    assert (performance(late), labelled(late).reason) == ("bad", "forborne")


def test_a_payment_that_bounced_is_none():
    events = [*ON_TIME, Corrected(id="c", day=day(200), corrects=("paid-30-51000",))]
    assert (performance(*events, as_of=360), first_bad(at(199, *events))) == ("bad", None)


def test_bad_behaviour_ends_when_nothing_is_late_any_more():
    """征信业管理条例 16 counts from there."""
    cured = labelled(paid(125, 51_000 + 3_000), paid(140, 60_000, prepays=True))
    assert (cured.performance, cured.ended_on) == ("bad", day(140))
    forborne = labelled(Restructured(id="r", day=day(29), amount=100_000, dues=PLAN), paid(350, 110_000))
    assert (forborne.reason, forborne.ended_on) == ("forborne", day(350))


def test_the_first_payment_has_its_own_early_label():
    assert [first_payment_default(at(n), day(n)) for n in (59, 60)] == ["immature", "bad"]
    assert first_payment_default(at(90, paid(58, 60_000)), day(90)) == "good"
    assert first_payment_default(at(90, paid(61, 60_000)), day(90)) == "bad"


def test_a_window_in_which_nobody_can_be_bad_and_a_loan_that_is_not_known():
    with pytest.raises(PortfolioError, match="choose a longer one"):
        Definition(90)
    for account in (opened(LOAN), at(10)):
        with pytest.raises(PortfolioError, match="up to"):
            label(account, YEAR, day(20))


@settings(max_examples=40, deadline=None)
@given(histories, st.integers(0, 500))
def test_a_mature_label_never_changes_unless_the_past_is_corrected(history, later):
    """What comes after the window changes no label; and monitoring sees what training sees."""
    if any(isinstance(one, Corrected) for one in history.events):
        return
    short = Definition(120)
    first = label(state(history.loan, history.events, day(120)), short, day(120))
    then = label(state(history.loan, history.events, day(120 + later)), short, day(120 + later))
    known = label(state(history.loan, history.events, day(120 + later)), short, day(120))
    assert first.performance == then.performance == known.performance != "immature"
    assert first.bad_on == then.bad_on


# --- the loan book


def schema(**dates):
    told = {"source": "form.income", "relevance": "What instalments are paid from."}
    income = Feature(name="income", kind="number", category="income", sensitivity="sensitive", **told)
    return FeatureSchema(name="own", target="is_bad", features=(income,), **dates)


def test_a_loan_book_holds_the_mature_only_with_their_dates():
    book = [
        BookLoan("p1", at(400, *ON_TIME), {"income": 5_000, "sex": "f"}),
        BookLoan("p2", at(400, paid(130, 200_000)), {"income": None}),
        BookLoan("p3", at(400, paid(70, 51_000 + 90_000)), {}),
        BookLoan("p4", opened(LOAN), {}),
    ]
    made = mature_book(book, schema(outcome_dated_by="told", outcome_ended_by="ended"), "person", YEAR, day(400))
    assert made.rows == (
        {"person": "p1", OPENED: day(0), "income": 5_000, "is_bad": 0, "told": day(360), "ended": None},
        {"person": "p2", OPENED: day(0), "income": None, "is_bad": 1, "told": day(360), "ended": day(130)},
    )
    assert made.left_out == {"indeterminate": 1}
    young = mature_book(book, schema(outcomes_since=date(2020, 1, 1)), "person", YEAR, day(359))
    assert (young.rows, young.left_out) == ((), {"immature": 3})


def test_a_loan_book_says_of_which_day_each_fact_was():
    """Without it a node takes an adverse record for one of an unknown day, and may not use it."""
    told = {"source": "book", "relevance": "Who paid late pays late again.", "category": "repayment"}
    late = {"kind": "integer", "adverse": True, "ended_by": "late_ended", "clean": 0}
    features = (
        Feature(name="due30", **late, **told),
        Feature(name="due90", **late, dated_by="asked_on", **told),
        Feature(name="seen", kind="integer", dated_by="seen_on", **told),
    )
    asked = FeatureSchema(name="own", target="is_bad", features=features, outcome_ended_by="ended")
    ended = {"due30": day(-30), "due90": day(-90), "seen": day(-5)}
    book = [
        BookLoan("p1", at(400, *ON_TIME), {"due30": 1, "due90": 1, "seen": 2}, ended),
        BookLoan("p2", at(400, *ON_TIME), {"due30": 0, "due90": 0}, {}),
    ]
    first, second = mature_book(book, asked, "person", YEAR, day(400)).rows
    assert (first["late_ended"], first["asked_on"], first["seen_on"]) == (day(-90), None, day(-5))
    assert (second["late_ended"], second["seen_on"]) == (None, None)


@pytest.mark.parametrize("named", ["ended", OPENED])
def test_no_column_of_a_loan_book_is_two_things(named: str):
    with pytest.raises(PortfolioError, match="rename it"):
        mature_book([], schema(outcome_ended_by=named), "ended", YEAR, day(1))
