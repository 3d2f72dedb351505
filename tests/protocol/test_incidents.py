"""Grades and clocks of incidents, by table; and what a sound incident says."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError
from support.incidents import make_incident

from law import incidents as law
from law.incidents import Grade, clocks, grade_of, table, working_days_after
from protocol.incidents import Incident
from protocol.schema import now

CHINA = timezone(timedelta(hours=8))
MOMENT = now()


def incident(**changes) -> Incident:
    return Incident.model_validate(make_incident("aspen", discovered_at=MOMENT).payload() | changes)


@pytest.mark.parametrize(
    ("records", "sensitive", "credit", "grade"),
    [
        (0, 0, 0, "general"),
        (1, 0, 0, "general"),
        (499, 0, 499, "general"),
        (500, 0, 499, "general"),
        (500, 0, 500, "larger"),
        (49_999, 0, 0, "general"),
        (50_000, 0, 0, "larger"),
        (99_999, 0, 0, "larger"),
        (100_000, 0, 0, "major"),
        (99_999, 99_999, 0, "larger"),
        (100_000, 100_000, 0, "extremely-major"),
        (99_999_999, 0, 0, "major"),
        (100_000_000, 0, 0, "extremely-major"),
        (None, 0, 0, "larger"),  # article 12: what cannot be told is graded so at least
        (10, None, 10, "larger"),
        (10, 0, None, "larger"),
        (None, 100_000, 0, "extremely-major"),
    ],
)
def test_the_grade_follows_from_the_counts(records, sensitive, credit, grade):
    counts = {"records": records, "sensitive_records": sensitive, "credit_records": credit}
    assert grade_of(counts).grade == grade


def test_more_records_never_lower_a_grade():
    steps = (0, 1, 499, 500, 49_999, 50_000, 99_999, 100_000, 1_000_000, 100_000_000)
    ranks = [grade_of({"records": n, "sensitive_records": n, "credit_records": n}).grade.rank for n in steps]
    assert ranks == sorted(ranks)


def test_every_threshold_names_its_article_and_doubtful_digits_are_marked():
    sources = table()["sources"]
    for row in [*table()["grade"], *table()["clock"]]:
        assert row["article"].split()[0] in sources
    assert {row["name"] for row in table()["grade"] if row.get("check")} == {"extremely-major", "major"}
    assert [Grade(row["name"]).rank for row in table()["grade"]] == [3, 2, 1, 0], "from the gravest to the least"


FRIDAY = datetime(2026, 11, 27, 17, 30, tzinfo=CHINA)


@pytest.mark.parametrize(
    ("start", "days", "end"),
    [
        (FRIDAY, 1, date(2026, 11, 30)),
        (FRIDAY, 5, date(2026, 12, 4)),
        (FRIDAY, 6, date(2026, 12, 7)),
        (FRIDAY, 10, date(2026, 12, 11)),
        (datetime(2026, 11, 28, 12, tzinfo=CHINA), 10, date(2026, 12, 11)),  # a Saturday
        (datetime(2026, 11, 29, 12, tzinfo=CHINA), 10, date(2026, 12, 11)),  # a Sunday
        (datetime(2026, 11, 30, 0, tzinfo=CHINA), 10, date(2026, 12, 14)),  # a Monday
        (datetime(2026, 11, 29, 16, 30, tzinfo=UTC), 10, date(2026, 12, 14)),  # which in China has begun
    ],
)
def test_working_days_skip_weekends_and_are_chinas(start, days, end):
    """Due at the end of the last day."""
    assert working_days_after(start, days) == datetime.combine(end + timedelta(days=1), datetime.min.time(), CHINA)


def test_holidays_do_not_count_and_worked_saturdays_do(monkeypatch):
    calendar = {
        "utc_offset_hours": 8, "free": [date(2026, 11, 30), date(2026, 12, 1)], "worked": [date(2026, 11, 28)],
    }  # fmt: skip
    monkeypatch.setattr(law, "table", lambda: {"calendar": calendar})
    assert working_days_after(FRIDAY, 1).date() == date(2026, 11, 29), "Saturday the 28th was worked"
    assert working_days_after(FRIDAY, 2).date() == date(2026, 12, 3), "Monday and Tuesday were free"


@pytest.mark.parametrize(
    ("grade", "jurisdiction", "hours"),
    [
        ("general", "CN", [0]),
        ("larger", "CN", [0, 1, 4, 24]),
        ("major", "CN", [0, 1, 4, 24]),
        ("extremely-major", None, [0, 1, 4, 24, 72]),
        ("general", "EU", [72]),
    ],
)
def test_clocks_run_from_the_discovery(grade, jurisdiction, hours):
    due = clocks(Grade(grade), FRIDAY, None, jurisdiction)
    assert [one.at - FRIDAY for one in due if one.at] == [timedelta(hours=n) for n in hours]
    waiting = [one.name for one in due if one.at is None]
    assert waiting == ([] if jurisdiction == "EU" else ["summary of the investigation"])


def test_the_summary_is_due_ten_working_days_after_it_was_handled():
    (summary,) = [one for one in clocks(Grade.LARGER, FRIDAY, FRIDAY, "CN") if one.article == "pboc 17"]
    assert summary.at == datetime(2026, 12, 12, tzinfo=CHINA)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"records": 500, "credit_records": 500}, "larger at least"),
        ({"records": None}, "larger at least"),
        ({"credit_records": 11}, "more than all records"),
        ({"sensitive_records": 11}, "more than all records"),
        ({"happened_at": (MOMENT + timedelta(days=1)).isoformat()}, "before it happened"),
        ({"what": []}, "what"),
        ({"what": ["forgotten"]}, "what"),
        ({"advice": ""}, "advice"),
        ({"operator": "a name with spaces"}, "operator"),
        ({"affected": ["v1." + "A" * 43]}, "affected"),
    ],
)
def test_an_incident_that_is_not_sound_is_none(changes, said):
    with pytest.raises(ValidationError, match=said):
        incident(**changes)


def test_it_may_be_graded_higher_never_lower():
    assert incident(grade="major").grade is Grade.MAJOR
    assert incident(records=600, credit_records=600, grade="larger").graded.article == "pboc 9(3)"
