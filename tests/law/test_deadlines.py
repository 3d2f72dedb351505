"""When an answer is late: the table is whole, dated, and says where it comes from."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, time, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from law.deadlines import Deadline, deadlines, due, first_due, jurisdiction_of
from protocol.rights import RequestKind

JURISDICTIONS = ("CN", "EU")


@pytest.mark.parametrize("jurisdiction", JURISDICTIONS)
@pytest.mark.parametrize("kind", RequestKind)
def test_every_right_is_due_by_exactly_one_law_of_the_day(kind, jurisdiction):
    today = date(2026, 11, 27)
    mine = [one for one in deadlines() if one.jurisdiction == jurisdiction and kind.value in one.rights]
    assert len([one for one in mine if one.in_force(today)]) == 1
    assert due(kind.value, jurisdiction, datetime(2026, 11, 27, tzinfo=UTC)).at > datetime(2026, 12, 1, tzinfo=UTC)


def test_every_entry_says_where_it_was_read_and_names_rights_that_there_are():
    for one in deadlines():
        assert one.article
        assert one.source in {"src", "know"}
        assert one.rights <= {kind.value for kind in RequestKind}
        assert one.jurisdiction in JURISDICTIONS


@pytest.mark.parametrize(
    ("right", "jurisdiction", "received", "late"),
    [
        ("object", "CN", "2026-03-01T08:00+08:00", "2026-03-22T00:00+08:00"),  # 20 days
        ("object", "CN", "2026-03-01T23:59+08:00", "2026-03-22T00:00+08:00"),
        ("object", "CN", "2026-03-01T16:00+00:00", "2026-03-23T00:00+08:00"),  # it is the second of March in Beijing
        ("correct", "CN", "2028-02-10T08:00+08:00", "2028-03-02T00:00+08:00"),  # a leap year
        ("access", "CN", "2026-03-02T08:00+08:00", "2026-03-24T00:00+08:00"),  # a Monday: three weeks
        ("access", "CN", "2026-03-06T08:00+08:00", "2026-03-28T00:00+08:00"),  # a Friday
        ("access", "CN", "2026-03-07T08:00+08:00", "2026-03-28T00:00+08:00"),  # a Saturday counts from Monday
        ("access", "EU", "2026-01-31T08:00+00:00", "2026-03-01T00:00+04:00"),  # no 31 of February: its last day
        ("access", "EU", "2026-12-15T08:00+00:00", "2027-01-16T00:00+04:00"),
        ("object", "EU", "2026-03-01T08:00+00:00", "2026-04-02T00:00+04:00"),
        ("access", "EU", "2027-01-31T23:30+01:00", "2027-03-01T00:00+04:00"),  # the evening in Berlin is of that day
        ("access", "EU", "2027-01-31T23:30-04:00", "2027-03-01T00:00+04:00"),  # and that in Martinique
        ("access", "EU", "2027-02-01T00:30-04:00", "2027-03-02T00:00+04:00"),
    ],
)
def test_a_period_begins_the_day_after_and_lasts_until_the_end_of_its_last_day(right, jurisdiction, received, late):
    found = due(right, jurisdiction, datetime.fromisoformat(received))
    assert found.at == datetime.fromisoformat(late)
    assert found.at.tzinfo is UTC


@given(
    st.sampled_from([kind.value for kind in RequestKind]),
    st.sampled_from(JURISDICTIONS),
    st.datetimes(datetime(2022, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
)
def test_whatever_comes_later_is_due_no_earlier(right, jurisdiction, received):
    found = due(right, jurisdiction, received).at
    assert timedelta(days=19) <= found - received <= timedelta(days=33)
    assert due(right, jurisdiction, received + timedelta(hours=7)).at >= found
    by_count = {one.unit: one for one in deadlines()}
    assert set(by_count) == {"calendar-days", "working-days", "months"}


@given(
    st.datetimes(datetime(2022, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
    st.sampled_from((-4, -3, -1, 0, 1, 2, 3, 4)),
)
def test_an_answer_is_late_nowhere_in_the_union_before_the_registry_says_so(received, offset):
    """Traced: late four hours and a day after the month was over in Berlin."""
    place = timezone(timedelta(hours=offset))
    day = received.astimezone(place).date()
    month = date(day.year + day.month // 12, day.month % 12 + 1, 1)
    last = min(day.day, calendar.monthrange(month.year, month.month)[1])
    over = datetime.combine(month.replace(day=last) + timedelta(days=1), time(), place)
    assert due("access", "EU", received).at <= over


def test_a_law_counts_while_it_is_in_force():
    first, last = date(2020, 1, 1), date(2020, 12, 31)
    old = Deadline(frozenset({"access"}), "CN", 5, "calendar-days", first, last, "x", "src", True)
    day = timedelta(days=1)
    assert [old.in_force(when) for when in (first - day, first, last, last + day)] == [False, True, True, False]
    with pytest.raises(LookupError, match="no law of CN says when 'access' is due on 2012-01-01"):
        due("access", "CN", datetime(2012, 1, 1, tzinfo=UTC))


def test_which_law_applies_is_what_the_notice_names_and_china_s_where_it_names_none():
    assert jurisdiction_of([]) == ("CN",)
    assert jurisdiction_of(["US-CA"]) == ("CN",), "no table of its own"
    assert jurisdiction_of(["DE", "CN-31", "EU"]) == ("CN", "EU")
    moment = datetime(2026, 3, 2, 8, tzinfo=UTC)
    assert first_due("object", ["DE", "CN"], moment) == due("object", "CN", moment)
    assert first_due("object", ["FR"], moment) == due("object", "EU", moment)
