"""The office's pages as they are sent, over a real registry, node and desk; no browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.routing import Route
from support.back_office import BackOffice, open_back_office
from support.house import Ground
from support.own_forms import own_form
from support.pages import Seen
from support.plans import small_plan

from clients.approving import CampaignFigures, last_signed
from clients.budget_ledger import BudgetLedger
from clients.home import campaign_cost
from clients.syncing import MAX_ANSWERED, revocations_seen
from protocol.campaigns import Campaign, Rejection
from protocol.errors import BadSettings
from protocol.tickets import LinkTicket
from screens.house.forms import new_once
from screens.house.headers import HEADERS
from screens.house.words import FOLDER, TAGS, catalogue
from screens.office.app import create_office
from screens.office.home import OfficeListening

OFFICE_WORDS = FOLDER.parents[1] / "office" / "words"
MACHINE = ("378", "points below", "poor", "declined", "decline", "score", "probability")
"""What the machine said of whoever is looked at here, and would be told by."""


@pytest.fixture(scope="module")
def office(after_release: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackOffice]:
    with open_back_office(after_release, tmp_path_factory.mktemp("office")) as opened:
        opened.propose()
        opened.withdraws()
        yield opened


@pytest.fixture(scope="module")
def review(office: BackOffice) -> str:
    return office.contested()


@pytest.fixture(scope="module")
def waiting(office: BackOffice) -> Campaign:
    assert office.house.campaign is not None
    return office.house.campaign


@pytest.fixture(scope="module")
def paths(office: BackOffice, review: str, waiting: Campaign, after_release: Ground) -> list[str]:
    assert after_release.campaign is not None
    card = f"/campaigns/{after_release.campaign.sha256}/card"
    one, budget = f"/campaigns/{waiting.sha256}", office.house.node().store.ledger()[0].campaign
    return [
        "/", "/requests", "/doctor", "/campaigns", one, f"{one}/code", f"{one}/code/0", f"{one}/yes", f"{one}/no", card,
        "/consents", "/revocations", "/customers", "/groups", "/reviews", f"/reviews/{review}", "/portfolio",
        "/budget", f"/budget/{budget}", "/there-is-no-such-page",
    ]  # fmt: skip


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page_is_whole_and_nothing_is_left_in_english(
    office: BackOffice, paths: list[str], language: str
) -> None:
    sentences = {
        one
        for folder in (FOLDER, OFFICE_WORDS)
        for one in catalogue("zh", folder)._catalog  # type: ignore[attr-defined]
        if isinstance(one, str) and len(one) > 10 and "%(" not in one
    }
    with office.http(language) as http:
        links: set[str] = set()
        for path in paths:
            answer = http.get(path)
            assert answer.status_code == (404 if path == paths[-1] else 200), (path, answer.text)
            for name, value in HEADERS.items():
                assert answer.headers[name] == value, (path, name)
            assert answer.headers["cache-control"] == "no-store", path
            seen = Seen(answer.text)
            assert [one["lang"] for one in seen.all("html")] == [TAGS[language]], path
            assert len(seen.all("h1")) == 1 and len(seen.all("main")) == 1, path
            controls = [one for one in seen.all("input") if one["type"] != "hidden"] + seen.all("textarea")
            assert seen.labelled == len(controls), path
            for tag, attributes in seen.elements:
                assert not [name for name in attributes if name == "style" or name.startswith("on")], (path, tag)
                assert "checked" not in attributes and "required" not in attributes, path
            assert all(one.get("src") for one in seen.all("script")), path
            assert all(one["method"] == "post" and (one["action"] or "").startswith("/") for one in seen.all("form"))
            links |= {link["href"] or "" for link in seen.all("a")}
            if language == "zh" and "/code/" not in path:  # code is English
                text = " ".join(seen.text)
                assert not {one for one in sentences if one in text}, path
        for target in links - {paths[-1]}:
            if not target.startswith("#") and not re.search(r"/code/[1-9]|[?]language", target):
                assert http.get(target).status_code < 400, target


def test_who_has_not_come_in_sees_nothing(office: BackOffice, paths: list[str]) -> None:
    for path in paths[:-1]:
        answer = httpx.get(f"{office.url}{path}", timeout=300)
        assert answer.status_code == 401 and f"/enter?back={path}" in answer.text, path
    with office.http() as http:
        assert http.post("/logout", data={"once": new_once()}).status_code == 303
        assert http.get("/").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "none"}, {},
     {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"}],
)  # fmt: skip
def test_a_form_of_another_site_does_nothing(
    office: BackOffice, waiting: Campaign, review: str, headers: dict[str, str]
) -> None:
    routes = [one for one in office.app.router.routes if isinstance(one, Route) and "POST" in (one.methods or ())]
    assert len(routes) >= 10
    with office.http() as http:
        del http.headers["Sec-Fetch-Site"]
        for one in routes:
            path = one.path.replace("{sha256:hex}", waiting.sha256).replace("{review}", review)
            answer = http.post(path, data=own_form(office.app), headers=headers)
            assert answer.status_code == 403 and "did not come from this page" in answer.text, path


def test_a_form_that_a_colleague_was_shown_does_nothing(office: BackOffice, waiting: Campaign, review: str) -> None:
    filled = {
        "no": {"reason": "It costs too much."},
        "{review}": {"outcome": "decline", "reasons": "No."},
        "second": {"agrees": "yes"},
        "customers": {"pseudonym": office.lending.people[-1].pseudonym},
    }
    routes = [one for one in office.app.router.routes if isinstance(one, Route) and "POST" in (one.methods or ())]
    with office.http() as http:
        for one in routes:
            if one.path in {"/enter", "/logout"}:
                continue
            path = one.path.replace("{sha256:hex}", waiting.sha256).replace("{review}", review)
            form = own_form(office.app, whose="w" * 44, **filled.get(one.path.rpartition("/")[2], {}))
            answer = http.post(path, data=form)
            assert answer.status_code == 409 and "opened by somebody else" in answer.text, path


def test_only_this_machine_reaches_it(office: BackOffice) -> None:
    home = office.house.founded.node_home("aspen")
    for reached in ({"host": "0.0.0.0"}, {"host": "0.0.0.0", "reached_at": "http://127.0.0.1:8722"},
                    {"reached_at": "https://office.example"}):  # fmt: skip
        with pytest.raises(BadSettings, match="reached from elsewhere"):
            create_office(home, OfficeListening(**reached))  # type: ignore[arg-type]


# --- a case: the machine's answer comes after the reviewer's own


def test_the_machines_answer_is_nowhere_before_the_reviewers_own_is_recorded(office: BackOffice) -> None:
    review = office.contested()
    with office.http() as http:
        machine = office.lending.call("reader", "GET", f"/v1/reviews/{review}").json()
        for path in ("/", "/reviews", f"/reviews/{review}"):
            assert not told(http.get(path).text), path
        refused = http.get(f"/reviews/{review}/answers")
        assert refused.status_code == 403 and not told(refused.text)
        assert http.post(f"/reviews/{review}/taking", data=own_form(office.app)).status_code == 303
        page = http.get(f"/reviews/{review}")
        assert "Record my decision" in page.text and "my bank had made a mistake" in page.text
        assert not told(page.text)
        for called, shown in (("take-home pay", "CN¥10,000.00"), ("due on other loans in a month", "CN¥1,000.00")):
            assert re.search(rf"{called}</span></th><td>{shown}</td>", page.text), "fen are shown as money, by a name"
        refused = http.get(f"/reviews/{review}/answers")
        assert refused.status_code == 403 and not told(refused.text)

        bad = own_form(office.app, outcome="decline", reasons=" \n ")
        missing = http.post(f"/reviews/{review}", data=bad)
        assert missing.status_code == 422 and "one to four reasons" in missing.text and not told(missing.text)
        said = own_form(office.app, outcome="approve", reasons="The bank confirmed its mistake.")
        for _ in range(2):  # a double tap
            answer = http.post(f"/reviews/{review}", data={**said, "amount": "2000", "term_days": ""})
            assert answer.headers["location"] == f"/reviews/{review}/answers", answer.text
        page = http.get(f"/reviews/{review}/answers").text
        assert told(page) and "The bank confirmed its mistake." in page and "CN¥2,000.00" in page
        assert http.get(f"/reviews/{review}").headers["location"] == f"/reviews/{review}/answers"
    recorded = office.lending.call("reader", "GET", f"/v1/applications/{machine['application']}").json()
    assert recorded["decision"]["by"] == "person" and recorded["decision"]["offer"]["amount"] == 200_000


def told(page: str) -> set[str]:
    """What of the machine's answer stands in a page, in its text or anywhere in its source."""
    source = re.sub(r"The machine's answer is shown once yours is recorded\.", "", page)
    source = re.sub(r'value="decline"', "", source)
    return {one for one in MACHINE if one in source}


def test_a_case_is_read_by_whoever_took_it_alone(office: BackOffice) -> None:
    review = office.contested()
    taken = office.lending.call("reviewer.b", "POST", f"/v1/reviews/{review}/taking")
    assert taken.status_code == 200
    with office.http() as http:
        page = http.get(f"/reviews/{review}").text
        assert "my bank had made" not in page and "somebody is at it" in page
        said = own_form(office.app, outcome="decline", reasons="No.")
        assert http.post(f"/reviews/{review}", data=said).status_code in {403, 409}
        assert http.post(f"/reviews/{review}/taking", data=own_form(office.app)).status_code == 409


# --- campaigns


def test_a_campaign_is_shown_with_our_own_cost_and_four_differences(office: BackOffice) -> None:
    campaign = office.propose(lenders=("aspen", "birch"), mechanism=small_plan(0.5, 2))
    before = last_signed(office.house.node(), but=campaign.sha256)
    assert before is not None and before.sha256 != campaign.sha256
    with office.http() as http:
        page = http.get(f"/campaigns/{campaign.sha256}").text
    assert f"at most epsilon {campaign_cost(campaign):.4g}" in page
    old, new = (CampaignFigures.of(one) for one in (before, campaign))
    assert f"<del>{old.cost:.4g}</del> <ins>{new.cost:.4g}</ins>" in page
    for name in ("code", "features", "budget", "lenders"):
        assert f'id="diff-{name}"' in page
    assert "<del>" in page.partition('id="diff-lenders"')[2] and "Cedar" in page.partition('id="diff-lenders"')[2]
    assert "If you say no" in page and "impact assessment" in page


def test_a_yes_is_what_the_registry_recorded_and_is_signed_once(office: BackOffice) -> None:
    campaign = office.propose()
    node = office.house.node()
    with office.http() as http:
        for _ in range(2):
            answer = http.post(f"/campaigns/{campaign.sha256}/yes", data=own_form(office.app))
            assert answer.headers["location"] == f"/campaigns/{campaign.sha256}"
        page = http.get(f"/campaigns/{campaign.sha256}").text
        assert "You said yes" in page and "it waits for other lenders" in page
        assert "/yes" not in page
        again = http.get(f"/campaigns/{office.propose().sha256}").text
        assert "No line of what your node runs is other" in again
    found = office.house.client().proposed(campaign.sha256)
    assert found.approved_by == (node.lender,)


def test_a_no_needs_a_reason_and_stays(office: BackOffice) -> None:
    campaign = office.propose()
    path = f"/campaigns/{campaign.sha256}"
    with office.http() as http:
        missing = http.post(f"{path}/no", data=own_form(office.app, reason=""))
        assert missing.status_code == 422 and "Give a reason" in missing.text
        assert office.house.client().proposed(campaign.sha256).rejected_by == ()
        assert http.post(f"{path}/no", data=own_form(office.app, reason="It costs too much.")).is_redirect
        page = http.get(path).text
        assert "You said no" in page and "It costs too much." in page
        refused = http.post(f"{path}/yes", data=own_form(office.app))
        assert refused.status_code == 409 and "a no stays" in refused.text
    with office.house.coordinator().registry() as client:
        (told_,) = client.proposed(campaign.sha256).rejections
    assert isinstance(told_, Rejection) and told_.reason == "It costs too much."


def test_what_is_known_stays_while_the_registry_is_away(office: BackOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    office.contested()
    monkeypatch.setattr("protocol.log_client.LogClient._send", away)
    with office.http() as http:
        page = http.get("/")
        assert page.status_code == 200 and page.text.count("Not known now") == 3
        assert "A case waits for a person" in page.text
        assert http.get("/campaigns").status_code == 503
        assert "epsilon" in http.get("/budget").text


def away(*_: object, **__: object) -> None:
    from protocol.errors import RegistryUnavailable

    raise RegistryUnavailable("the consent registry does not answer")


# --- consents, revocations, customers, budget


def test_revocations_are_acknowledged_by_hand_and_it_says_so(office: BackOffice) -> None:
    office.withdraws(1)
    node = office.house.node()
    assert [one for one in revocations_seen(node) if one.open]
    with office.http() as http:
        assert "minutes left" in http.get("/revocations").text
        assert http.post("/revocations", data=own_form(office.app)).is_redirect
        page = http.get("/revocations").text
    assert "Nothing is open" in page and "by hand (operator)" in page
    seen = revocations_seen(node)
    assert seen and not [one for one in seen if one.open] and len(seen) <= MAX_ANSWERED
    assert office.house.client().revocations() == []


def test_counts_are_those_of_the_copy_and_a_trend_begins(office: BackOffice) -> None:
    with office.http() as http:
        for _ in range(2):
            assert http.post("/consents", data=own_form(office.app)).is_redirect
        page = http.get("/consents").text
    assert "How many may be used" in page and "never answered" in page


def test_a_ticket_is_shown_once_and_stands_in_no_address(office: BackOffice, caplog: pytest.LogCaptureFixture) -> None:
    person = office.lending.people[-1]
    with office.http() as http:
        assert http.post("/consents", data=own_form(office.app)).is_redirect
        for wrong, said in (
            ("nobody", "It begins with v and a number"),
            (person.pseudonym[:-4] + "AAAA", "No customer of ours"),
        ):
            answer = http.post("/customers", data=own_form(office.app, pseudonym=wrong))
            assert answer.status_code == 422 and said in answer.text, wrong
        made = http.post("/customers", data=own_form(office.app, pseudonym=person.pseudonym))
        target = made.headers["location"]
        assert person.pseudonym not in target and person.pseudonym not in caplog.text
        page = http.get(target)
        assert page.status_code == 200 and 'class="qr"' in page.text and LinkTicket.typ not in page.text
        assert http.get(target).status_code == 404


def test_the_budget_is_the_ledgers(office: BackOffice) -> None:
    node = office.house.node()
    (campaign,) = {line.campaign for line in node.store.ledger()}
    with office.http() as http:
        page = http.get("/budget").text
        assert f"{len(node.store.everybody())}" in page and campaign in page
        rows = http.get(f"/budget/{campaign}").text
    assert rows.count("<tr><td") == len(BudgetLedger(Path(node.home) / "ledger.db").releases(campaign))
