"""What a person asks of a lender in the portal, how they become its customer here, and what they are told of."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest
from support.incidents import make_incident
from support.pages import Visitor
from support.portal import Site
from support.visitors import answered, who
from support.waiting import until

from crypto.keys import SigningKey
from demo.borrowers import DemoBorrower
from protocol.incidents import IncidentReport
from protocol.schema import now
from protocol.tickets import link_ticket
from screens.portal.asking import KINDS, steps_of
from screens.portal.shown import PortalParties
from screens.portal.visit import SESSION


def of_registry(site: Site, person: DemoBorrower, path: str) -> list[dict[str, object]]:
    headers = {"Authorization": f"Bearer {site.token(person)}"}
    return list(httpx.get(f"{site.house.url}{path}", headers=headers).json()["items"])


def ticket_for(site: Site, person: DemoBorrower, key: SigningKey | None = None) -> str:
    key = key or site.house.node(person.lender).key
    return link_ticket(person.lender, person.pseudonym, key, now() + timedelta(minutes=10))


def test_an_objection_is_received_and_has_a_date(site: Site, visit: Callable[..., Visitor]) -> None:
    person = answered(site, "gives", True)[0]
    visitor = visit(person)
    visitor.tap("My requests", "nav.tabs")
    visitor.tap("Ask a lender something")
    assert visitor.page.locator("input[type=radio]:checked").count() == 0
    visitor.page.locator("input[value=object]").check()
    visitor.page.get_by_label("In your words").fill("<b>This</b> is not my loan.")
    visitor.tap("Send it")
    told = visitor.page.inner_text("main")
    assert "Object" in told and "must answer in writing by" in told and "<b>This</b> is not my loan." in told
    (found,) = of_registry(site, person, "/v1/me/requests")
    assert (found["kind"], found["status"], found["recipient"]) == ("object", "received", "cedar")
    visitor.tap("I ask this no more")
    assert "Over" in visitor.page.inner_text("main")
    assert of_registry(site, person, "/v1/me/requests")[0]["status"] == "closed"


def test_what_needs_words_is_not_sent_without(site: Site, visit: Callable[..., Visitor]) -> None:
    person = answered(site, "gives", True)[1]
    visitor = visit(person)
    visitor.page.goto(f"{site.url}/requests/new")
    visitor.page.locator("input[value=complain]").check()
    visitor.tap("Send it")
    assert "nothing was sent yet" in visitor.page.inner_text("main")
    assert visitor.page.locator("input[value=complain]").is_checked(), "what was chosen is not lost"
    assert of_registry(site, person, "/v1/me/requests") == []


def test_a_wrong_report_is_disputed_with_its_words(site: Site, visit: Callable[..., Visitor]) -> None:
    """A lender says that somebody said yes at a branch."""
    person = who(site, "silent")[-1]
    handed_in(site, person)
    visitor = visit(person)
    visitor.page.goto(f"{site.url}/imports")
    assert "You said yes" in visitor.page.inner_text("main")
    visitor.tap("This is wrong")
    assert visitor.page.locator("input[value=object]").is_checked()
    assert "I did not say this: ordinary data, You said yes" in visitor.page.locator("textarea").input_value()
    visitor.tap("Send it")
    assert visitor.taps == 2
    (found,) = of_registry(site, person, "/v1/me/requests")
    assert found["kind"] == "object"


def handed_in(site: Site, person: DemoBorrower) -> None:
    lender, notice = site.house.client("cedar"), site.house.notice
    record = {
        "number": lender.whole_roll().index(person.pseudonym), "sensitivity": "ordinary", "action": "give",
        "event_time": now().isoformat(), "evidence_sha256": "e" * 64,
    }  # fmt: skip
    about = {"notice_id": notice.id, "notice_version": notice.version, "notice_language": "en"}
    about |= {"notice_sha256": notice.text_sha256("en"), "channel": "branch"}
    lender._send("POST", "/v1/imports", about | {"records": [record]})


def test_to_link_takes_one_tap_after_the_invitation_is_opened(site: Site, visit: Callable[..., Visitor]) -> None:
    person = answered(site, "gives", True)[2]
    visitor = visit(person)
    token = ticket_for(site, site.person("aspen", 3))
    visitor.page.goto(f"{site.url}/link#{token}")
    until(visitor.page.locator("#by").is_visible, "the page said whose invitation it is")
    assert "Aspen" in visitor.page.inner_text("#by") and token[:30] not in visitor.page.url
    visitor.tap("Link")
    assert visitor.taps == 1
    visitor.page.goto(f"{site.url}/lenders")
    ends = visitor.page.get_by_role("button", name="End this link")
    assert ends.count() == 2
    ends.last.click()
    assert visitor.page.get_by_role("button", name="End this link").count() == 1


@pytest.mark.parametrize("copied", ["{link}", " {token}\n", "{half}\n  {rest}"])
def test_an_invitation_may_be_copied_as_it_was_sent(site: Site, visit: Callable[..., Visitor], copied: str) -> None:
    """People copy the whole link that they were sent, with line breaks of a message in it."""
    at = ["{link}", " {token}\n", "{half}\n  {rest}"].index(copied)
    person = answered(site, "gives", True)[10 + at]
    visitor, token = visit(person), ticket_for(site, site.person("aspen", 10 + at))
    link = f"{site.url}/link#{token}"
    visitor.page.goto(f"{site.url}/link")
    text = copied.format(link=link, token=token, half=token[:70], rest=token[70:])
    visitor.page.locator("textarea").fill(text)
    visitor.tap("Link")
    visitor.page.goto(f"{site.url}/lenders")
    assert visitor.page.get_by_role("button", name="End this link").count() == 2


@pytest.mark.parametrize("text", ["", "  ", "https://my.example/link#"])
def test_nothing_is_no_invitation_and_the_page_says_so(site: Site, text: str) -> None:
    for headers in ({}, {"Cookie": f"{SESSION}={site.cookie(site.person(at=9))}"}):
        form = {"once": "q" * 32, "ticket": text}
        answer = httpx.post(f"{site.url}/link", data=form, headers={"Origin": site.url, **headers})
        assert answer.status_code == 422 and "There was no invitation in it" in answer.text
        assert ("You log in next" in answer.text) == (not headers) and "set-cookie" not in answer.headers


def test_an_invitation_waits_for_the_log_in(site: Site, visit: Callable[..., Visitor]) -> None:
    person = answered(site, "gives", True)[4]
    visitor = visit(person)
    visitor.tap("Log out", "footer")
    visitor.page.goto(f"{site.url}/link#{ticket_for(site, site.person('aspen', 5))}")
    visitor.tap("Link")
    shows_who_they_are(visitor, person)
    assert re.search(r"Invitation of\s+Aspen", visitor.page.inner_text("main"))
    visitor.tap("Send it now")
    visitor.page.goto(f"{site.url}/lenders")
    assert visitor.page.get_by_role("button", name="End this link").count() == 2


def test_nobody_is_named_as_inviting_who_has_not_signed_it(site: Site) -> None:
    """Nor by a lender's name that stands in it, nor where it is no invitation at all."""
    names, person = PortalParties.known(site.house.node("aspen").consortium), site.person("aspen", 7)
    token = ticket_for(site, person)
    assert names.inviter(token) == "Aspen Finance"
    for forged in (ticket_for(site, person, SigningKey.generate()), token[:-8] + "AAAAAAAA", "a.b.c", "", "ü" * 50):
        assert names.inviter(forged) is None, forged


def shows_who_they_are(visitor: Visitor, person: DemoBorrower) -> None:
    visitor.page.get_by_label("Who are you?").fill(person.pseudonym)
    visitor.page.get_by_role("button").click()
    visitor.page.wait_for_url("**/again")


def test_to_link_needs_a_log_in_of_just_now(site: Site, visit: Callable[..., Visitor]) -> None:
    """Whoever finds a device unlocked lets nobody in."""
    person = answered(site, "gives", True)[5]
    visitor = visit(person)
    visitor.page.goto(f"{site.url}/link#{ticket_for(site, site.person('aspen', 6))}")
    site.later = timedelta(minutes=3)
    try:
        visitor.tap("Link")
        site.later = timedelta()
        shows_who_they_are(visitor, person)
    finally:
        site.later = timedelta()
    assert "nothing was recorded" in visitor.page.inner_text("main")
    visitor.tap("Send it now")
    visitor.page.goto(f"{site.url}/lenders")
    assert visitor.page.get_by_role("button", name="End this link").count() == 2


def test_a_second_customer_of_one_lender_is_refused_in_words(site: Site, visit: Callable[..., Visitor]) -> None:
    person, other = answered(site, "gives", True)[10:12]
    visitor = visit(person)
    visitor.page.goto(f"{site.url}/link#{ticket_for(site, other)}")
    visitor.tap("Link")
    assert "another customer of this lender" in visitor.page.inner_text("main")


def test_who_is_linked_to_nobody_is_told_what_to_do(site: Site, visit: Callable[..., Visitor]) -> None:
    person = answered(site, "gives", True)[9]
    visitor = visit(person)
    visitor.page.goto(f"{site.url}/lenders")
    visitor.tap("End this link")
    assert "linked to no lender" in visitor.page.inner_text("main")
    visitor.page.goto(site.url)
    assert visitor.page.url == f"{site.url}/lenders"
    visitor.page.goto(f"{site.url}/keys")
    assert "Ask your lender for an invitation" in visitor.page.inner_text("main")


def test_an_invitation_that_nobody_gave_links_nobody(site: Site, visit: Callable[..., Visitor]) -> None:
    visitor = visit(answered(site, "gives", True)[6])
    forged = ticket_for(site, answered(site, "gives", True)[7], SigningKey.generate())
    visitor.page.goto(f"{site.url}/link#{forged}")
    visitor.page.locator("#by[data-looked]").wait_for(state="attached")
    assert visitor.page.locator("#by").is_hidden(), "nobody is named who has not signed it"
    visitor.tap("Link")
    assert "not valid any more, or not for you" in visitor.page.inner_text("main")
    assert visitor.page.locator("nav.tabs").count() == 1, "and nobody is logged out by it"


def test_an_incident_is_told_on_the_first_page(site: Site, visit: Callable[..., Visitor]) -> None:
    person = answered(site, "gives", True)[8]
    node = site.house.node("cedar")
    token = make_incident("cedar", advice="<img src=x> watch for calls").sign(node.key)
    report = IncidentReport(token=token, affected=(person.pseudonym,))
    site.house.client("cedar")._send("POST", "/v1/incidents", report.model_dump(mode="json"))
    visitor = visit(person)
    assert "Something happened to data about you" in visitor.page.inner_text("main")
    visitor.tap("What happened, and what you can do")
    told = visitor.page.inner_text("main")
    assert "Data got out" in told and "<img src=x> watch for calls" in told and "privacy@aspen.example" in told


def test_every_step_is_told_in_words() -> None:
    step = {"event": "answer", "at": "2026-01-01T00:00:00+00:00", "evidence": {"token": "a.b.c"}}
    (told,) = steps_of({"steps": [{"number": 2, "step": step}]})
    assert told["said"] == "The lender answered" and told["text"] == ""
    assert all(re.fullmatch(r"[A-Z].*[^.]", name) for name, _ in KINDS.values())
