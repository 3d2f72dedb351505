"""Reports of compliance audits: signed, logged, remedied in time, and by no firm four times running."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import product

import pytest
from pydantic import ValidationError
from support.audits import FINDING, some_report
from support.observed import entries

from demo.identities import fictitious
from protocol.audits import AuditRemedy, ComplianceReport, due_again, is_late, one_too_many


def report(moment: datetime, **changes) -> ComplianceReport:
    return some_report("auditor", moment, **changes)


def hand_in(market, one: ComplianceReport):
    return market.call("auditor", "POST", "/v1/audits", {"token": one.sign(market.keys["auditor"])})


def remedy(market, one: ComplianceReport, by: str = "aspen", **changes):
    said = {
        "report_sha256": one.sha256, "finding": "late", "party": by, "done": "Two more people answer them.",
        "done_at": market.clock(),
    }  # fmt: skip
    token = AuditRemedy.model_validate(said | changes).sign(market.keys[by])
    return market.call(by, "POST", f"/v1/audits/{one.sha256}/remedies", {"token": token})


def findings(market, caller: str) -> list[dict]:
    return [one for told in market.call(caller, "GET", "/v1/audits").json()["items"] for one in told["findings"]]


def test_a_report_is_logged_once_without_its_words_and_read_by_whom_it_is_about(any_market):
    market = any_market
    made = report(market.clock())
    for _ in range(2):
        answer = hand_in(market, made)
        assert answer.status_code == 201 and answer.json()["remedy_by"] == made.remedy_by.isoformat()
    logged = [leaf for leaf in entries(market.registry) if leaf["type"] == "audit.reported"]
    assert [(leaf["actor"], leaf["report"]) for leaf in logged] == [("auditor", made.sha256)]
    assert logged[0].keys() == {"v", "type", "actor", "time", "report", "body"}
    for caller in ("aspen", "registry", "auditor"):
        got = market.call(caller, "GET", f"/v1/audits/{made.sha256}")
        assert ComplianceReport.verify(got.json()["token"], market.party("auditor").key) == made
    assert market.call("birch", "GET", f"/v1/audits/{made.sha256}").status_code == 404, "it is not about birch"
    assert market.call("birch", "GET", "/v1/audits").json()["items"] == []


def test_only_the_auditor_reports_and_only_whom_a_finding_is_about_remedies_it(market):
    made = report(market.clock())
    forged = market.call("aspen", "POST", "/v1/audits", {"token": made.sign(market.keys["aspen"])})
    assert forged.status_code == 403
    assert market.call("auditor", "POST", "/v1/audits", {"token": made.sign(market.keys["aspen"])}).status_code == 401
    assert hand_in(market, made).status_code == 201
    assert remedy(market, made, "birch").status_code == 404
    assert remedy(market, made, finding="nothing").status_code == 404
    assert remedy(market, made, done_at=market.clock() - timedelta(days=1)).status_code == 409
    assert remedy(market, made).status_code == 201
    assert remedy(market, made, done="Something else was done.").status_code == 409
    logged = [leaf for leaf in entries(market.registry) if leaf["type"] == "audit.remedied"]
    assert [(leaf["actor"], leaf["report"]) for leaf in logged] == [("aspen", made.sha256)]


def test_a_finding_is_late_after_fifteen_working_days(market):
    made = report(market.clock())
    assert hand_in(market, made).status_code == 201
    assert [(one["remedied"], one["late"]) for one in findings(market, "aspen")] == [(False, False)]
    market.clock.move(seconds=((made.remedy_by - market.clock().date()).days + 1) * 86_400)
    assert [one["late"] for one in findings(market, "aspen")] == [True]
    assert remedy(market, made).status_code == 201
    assert [(one["remedied"], one["late"]) for one in findings(market, "registry")] == [(True, False)]


def test_the_last_day_is_the_fifteenth_working_day():
    friday = datetime.fromisoformat("2026-11-27T10:00:00+00:00")
    made = report(friday)
    assert made.remedy_by == date(2026, 12, 18)
    days = [friday.date() + timedelta(days=n) for n in range(1, 40)]
    assert len([day for day in days if day.weekday() < 5 and day <= made.remedy_by]) == 15
    assert not is_late(made, datetime.fromisoformat("2026-12-18T23:59:59+00:00"))
    assert is_late(made, datetime.fromisoformat("2026-12-19T00:00:00+00:00"))


def test_no_firm_audits_an_institution_a_fourth_time_running(market):
    others = {"firm": {"name": "Other & Sons", "number": "42"}}
    renamed = {"firm": {"name": "plain  &  partners", "number": "77"}}
    for number in range(3):
        assert hand_in(market, report(market.clock(), id=f"a{number}")).status_code == 201
        market.clock.move(seconds=1)
    for again in ({}, renamed, {"firm": {"name": "Anew Ltd", "number": "9131"}}):
        refused = hand_in(market, report(market.clock(), id="fourth", **again))
        assert refused.status_code == 409 and "3 times running" in refused.text
    assert hand_in(market, report(market.clock(), id="birch", about=["birch"], findings=[])).status_code == 201
    assert hand_in(market, report(market.clock(), id="other", **others)).status_code == 201
    market.clock.move(seconds=1)
    assert hand_in(market, report(market.clock(), id="back")).status_code == 201


def test_the_count_is_by_institution_whatever_lies_between():
    """Against the definition, over every history of five audits by two firms of two institutions."""
    moment = datetime.fromisoformat("2026-11-27T10:00:00+00:00")
    firms = [{"name": name, "number": name} for name in ("Plain", "Other")]
    made = {
        (firm, party): report(moment, firm=firms[firm], about=[party], findings=[])
        for firm, party in product((0, 1), ("aspen", "birch"))
    }
    for history in product(made, repeat=5):
        earlier = [made[one] for one in history]
        of_aspen = [firm for firm, party in history if party == "aspen"]
        too_many = of_aspen[-3:] == [0, 0, 0]
        assert (one_too_many(made[0, "aspen"], earlier) == "aspen") is too_many


@pytest.mark.parametrize(
    "changes",
    [
        {"about": ["birch"]}, {"findings": [FINDING, FINDING]}, {"about": ["aspen", "aspen"]},
        {"first": date(2027, 1, 1)}, {"last": date(2100, 1, 1)},
    ],
)  # fmt: skip
def test_a_report_that_is_not_whole_is_none(changes):
    with pytest.raises(ValidationError):
        report(datetime.fromisoformat("2026-11-27T10:00:00+00:00"), **changes)


def test_each_institution_is_told_when_it_must_be_audited_again(market):
    """A licensed bureau every year (征信业务管理办法 43), whoever else every two."""
    parties = tuple(
        party.model_copy(update={"legal": fictitious(party.id, party.role, ("aspen",))})
        for party in market.registry.consortium.parties
    )
    stated = market.registry.consortium.model_copy(update={"parties": parties})
    object.__setattr__(market.registry, "consortium", stated)
    made = report(market.clock(), about=["aspen", "coordinator"])
    assert hand_in(market, made).status_code == 201
    due = {one["party"]: one["due"] for one in market.call("aspen", "GET", "/v1/audits/due").json()}
    assert due["coordinator"] == (made.last + timedelta(days=365)).isoformat() == due_again(made.last, True).isoformat()
    assert due["aspen"] == (made.last + timedelta(days=730)).isoformat()
    assert due["birch"] is None and "auditor" not in due
