"""Groups of customers as the lender's staff see them, over a real registry, node and desk."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.back_office import BackOffice, open_back_office
from support.house import Ground
from support.pages import Seen
from support.portraits import document, portrait_notice

from desk.commands.portray import portray
from desk.consents import ConsentsUnavailable
from law.categories import DataCategory
from lending.portraits import Portrait


@pytest.fixture
def office(after_release: Ground, tmp_path: Path) -> Iterator[BackOffice]:
    with open_back_office(after_release, tmp_path) as opened:
        yield opened


def lent(office: BackOffice) -> str:
    """A borrower who has agreed to portraits, and was late since."""
    lending = office.lending
    person = lending.people[0]
    lending.knows(person)
    made = lending.asks(person).json()
    path = f"/v1/applications/{made['id']}"
    sha256 = lending.call("origination", "GET", f"{path}/disclosure").json()["sha256"]
    said = {"decision": made["decision"]["id"], "disclosure_sha256": sha256}
    assert lending.call("origination", "POST", f"{path}/acceptance", said).status_code == 201
    paid = {"payment": "pay-1", "amount": 300_000, "on": lending.desk.now().date().isoformat()}
    assert lending.call("servicing", "POST", f"{path}/disbursement", paid).status_code == 201
    lending.knows(person, late=3)
    notice = portrait_notice(office.house.founded.consortium, ["aspen"], [DataCategory.REPAYMENT])
    operator = office.house.founded.operator(office.house.url)
    operator.publish_notice(notice, office.house.founded.registry_key)
    operator.close()
    office.house.anyone().decide([person.first_answer(notice)])
    return person.pseudonym


def read(office: BackOffice, path: str, language: str = "en", status: int = 200) -> str:
    with office.http(language) as http:
        answer = http.get(path)
    assert answer.status_code == status, answer.text
    return " ".join(" ".join(Seen(answer.text).text).split())


def test_staff_see_who_is_in_which_group_what_for_and_until_when(office: BackOffice, monkeypatch) -> None:
    assert "No group was ever signed here." in read(office, "/groups")
    person, today = lent(office), office.lending.desk.now().date()
    over = {"valid_from": str(today - timedelta(days=9)), "review_on": str(today)}
    dates = {"valid_from": str(today), "review_on": str(today + timedelta(days=9))}
    office.lending.desk.portraits = (Portrait(document(**dates)), Portrait(document(**over, id="over")))
    assert portray(office.lending.desk).placed == 1
    listed = read(office, "/groups")
    for said in ("Paid late before", "Remind them before a payment falls due.", "head of servicing", "People 1",
                 "It is not in use today:", "was to be looked at again by"):  # fmt: skip
        assert said in listed, said
    assert person not in listed
    assert "在还款日之前提醒他们。" in read(office, "/groups", "zh")
    shown = read(office, "/groups/late-before")
    assert person in shown and "late payments: 3" in shown
    assert "逾期次数: 3" in read(office, "/groups/late-before", "zh")
    assert "Nobody is in it now." in read(office, "/groups/over")
    read(office, "/groups/no-such", status=404)

    def away(*_: object) -> object:
        raise ConsentsUnavailable("the registry does not answer")

    monkeypatch.setattr(office.lending.desk.portrait_permits, "check_together", away)
    for path in ("/groups", "/groups/late-before"):
        assert person not in read(office, path, status=503)
