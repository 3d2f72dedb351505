"""A notice that must be shown for a while before a yes: on a page one can say it, truly, with script and without."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.house import Ground
from support.pages import Seen, Visitor
from support.portal import HTTP, Site, get, open_portal, said_otherwise
from support.visitors import who
from support.waiting import until

import screens.house.shell
from crypto.keys import SigningKey
from demo.borrowers import DemoBorrower
from protocol.consents import ConsentDecision
from protocol.terms import TRAINING_PURPOSE
from screens.house.errors import PageError
from screens.house.forms import new_once
from screens.house.reading import LONGEST_S, NoticeForm, Readings
from screens.house.shell import layout_of
from screens.portal.signing import signed_answers
from screens.portal.visit import SESSION

LEAST = 2
AT = datetime(2026, 11, 29, 12, tzinfo=UTC)
READINGS = Readings("a" * 64, b"k" * 32)
WHOSE, TEXT = "w" * 44, "b" * 64


def form(**said: Any) -> NoticeForm:
    told = {
        "once": new_once(),
        "whose": WHOSE,
        "language": "en",
        "sha256": TEXT,
        "since": READINGS.stamp(WHOSE, TEXT, AT),
    }
    return NoticeForm.model_validate(told | said)


@given(gone=st.floats(-1e6, 1e6), looked=st.none() | st.integers(0, 99_999))
def test_the_shorter_of_what_server_and_browser_count(gone: float, looked: int | None) -> None:
    sent = form(looked="" if looked is None else str(looked))
    seconds = READINGS.seconds(sent, AT + timedelta(seconds=gone))
    assert seconds <= max(gone, 0) and seconds <= LONGEST_S and (looked is None or seconds <= looked)
    assert seconds >= min(max(int(gone), 0) - 1, LONGEST_S, LONGEST_S if looked is None else looked)


@pytest.mark.parametrize(
    "altered",
    [
        {"whose": "x" * 44},
        {"sha256": "c" * 64},
        {"since": ""},
        {"since": "1"},
        {"since": "1." + "0" * 64},
        {"since": Readings("a" * 64, b"other").stamp(WHOSE, TEXT, AT)},
        {"since": READINGS.stamp(WHOSE, TEXT, AT).replace("1", "2", 1)},
        {"since": "十.é"},
    ],
)
def test_a_stamp_that_is_none_of_ours_counts_nothing(altered: dict[str, str]) -> None:
    assert READINGS.seconds(form(), AT + timedelta(seconds=9)) == 9
    assert READINGS.seconds(form(**altered), AT + timedelta(seconds=9)) == 0


def test_the_layout_is_what_sha256sum_finds() -> None:
    folders = [Path(screens.house.shell.__file__).parent / name for name in ("views", "assets")]
    root = folders[0].parent
    files = [f"{one.name}/{path.name}" for one in folders for path in one.iterdir()]
    lines = subprocess.run(["sha256sum", *files], cwd=root, check=True, capture_output=True, encoding="utf-8").stdout
    told = "".join(sorted(lines.splitlines(keepends=True)))
    assert layout_of(*folders) == hashlib.sha256(told.encode()).hexdigest()


SHOWN = {"layout_sha256": "a" * 64, "seconds": 9, "to_the_end": True, "own_controls": True}


@pytest.mark.parametrize(
    ("signed", "known", "holds"),
    [
        (SHOWN, SHOWN, True),
        (SHOWN | {"seconds": 8}, SHOWN, True),
        (None, None, True),
        (SHOWN | {"seconds": 10}, SHOWN, False),
        (SHOWN | {"layout_sha256": "b" * 64}, SHOWN, False),
        (SHOWN, SHOWN | {"to_the_end": False}, False),
        (None, SHOWN, False),
        (SHOWN, None, False),
    ],
)
def test_a_signed_answer_says_of_how_it_was_shown_what_the_page_knows(
    signed: dict[str, Any] | None, known: dict[str, Any] | None, holds: bool
) -> None:
    choice = {"recipient": "cedar", "sensitivity": "ordinary", "action": "give"}
    about = {"notice_id": "n", "notice_version": 2, "notice_language": "en", "notice_sha256": TEXT}
    decision = ConsentDecision.model_validate(
        {
            **about,
            "pii_principal_id": "v1." + "p" * 43,
            "choices": [{"purpose": TRAINING_PURPOSE, **choice}],
            "event_time": AT.isoformat(),
            "presentation": signed,
            "nonce": "n" * 22,
        }
    )
    token = decision.sign(SigningKey.generate())
    statement = {**about, "choices": [choice], **({} if known is None else {"presentation": known})}
    if holds:
        assert signed_answers(token, statement, TRAINING_PURPOSE) == [token]
    else:
        with pytest.raises(PageError):
            signed_answers(token, statement, TRAINING_PURPOSE)


@pytest.fixture(scope="module")
def site(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The notice's second version must be shown for two seconds."""
    with open_portal(ground, tmp_path_factory.mktemp("portal")) as site:
        said_otherwise(site.house, site.house.notice, reading_seconds=LEAST)
        yield site


@pytest.fixture(autouse=True)
def on_time(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "site" in request.fixturenames:
        request.getfixturevalue("site").later = timedelta()


def layout(site: Site) -> str:
    return str(site.app.state.look.layout)  # type: ignore[attr-defined]


def fields(page: str) -> dict[str, str]:
    """What a browser would send of the form with the answers, as the page comes."""
    start = page.index(">", page.index('id="answers"')) + 1
    own = Seen(page[start : page.index("</form>", start)]).all("input")
    return {str(one["name"]): str(one["value"]) for one in own if one.get("type") == "hidden" or "checked" in one}


def shown_to(site: Site, person: DemoBorrower, action: str = "given") -> dict[str, Any] | None:
    """How the newest answers of this kind were shown, by the registry's record."""
    records = site.house.borrower_client(person).my_consents()
    (one,) = [
        record
        for record in records
        if record.pii_processing.purpose == TRAINING_PURPOSE
        and record.pii_processing.sensitivity == "ordinary"
        and record.event.event_state == action
    ]
    told = one.served and one.served.presentation
    return None if told is None else told.model_dump()


def test_without_script_time_and_the_line_at_the_end_are_what_counts(site: Site) -> None:
    person = who(site, "silent")[1]
    session, path = site.cookie(person), f"/ask/{site.house.notice.id}/2"
    headers = {"Cookie": f"{SESSION}={session}", "Origin": site.url}
    page = get(site, path, "en", session).text
    assert page.index('class="notice"') < page.index('name="reached"') < page.index("<fieldset>")
    assert "checked" not in page
    yes = {"cedar.ordinary": "give", "cedar.income": "refuse"}

    def send(page: str, **more: str) -> Any:
        return HTTP.post(f"{site.url}{path}", data={**fields(page), **yes, **more}, headers=headers)

    refused = send(page, reached="yes")
    assert refused.status_code == 422 and "must be shown for 2 seconds" in refused.text
    assert fields(refused.text).items() >= {**yes, "reached": "yes", "since": fields(page)["since"]}.items()
    site.later = timedelta(seconds=LEAST)
    assert send(page).status_code == 422, "the end of the text was not reached"
    assert send(page, reached="yes", looked="1").status_code == 422, "another page was looked at meanwhile"
    assert not [one for one in site.house.borrower_client(person).my_consents() if one.event.event_state == "given"]
    done = send(refused.text)
    assert done.status_code == 303, done.text
    shown = shown_to(site, person)
    assert shown is not None and LEAST <= shown.pop("seconds") < 600
    assert shown == {"layout_sha256": layout(site), "to_the_end": True, "own_controls": True}


def test_a_no_is_heard_at_once(site: Site) -> None:
    person = who(site, "silent")[2]
    session, path = site.cookie(person), f"/ask/{site.house.notice.id}/2"
    headers = {"Cookie": f"{SESSION}={session}", "Origin": site.url}
    sent = {**fields(get(site, path, "en", session).text), "cedar.ordinary": "refuse"}
    assert HTTP.post(f"{site.url}{path}", data=sent, headers=headers).status_code == 303
    assert shown_to(site, person, "refused") is None, "of a no nothing is kept but the no"


@pytest.mark.parametrize("with_key", [False, True])
def test_in_a_browser_it_costs_no_tap(site: Site, visit: Callable[..., Visitor], with_key: bool) -> None:
    person = who(site, "silent")[3 + with_key]
    visitor = visit(person)
    if with_key:
        visitor.page.goto(f"{site.url}/keys")
        visitor.tap("Add this device")
        until(visitor.page.locator("span[data-thumbprint]:not([hidden])").is_visible, "the new key was in the list")
        visitor.page.goto(site.url)
        visitor.taps = 0
    visitor.tap("Read and answer")
    told = visitor.page.locator("#told")
    assert "A no counts at once" in told.inner_text() and not visitor.page.locator("#end").is_visible()
    visitor.choose("Cedar Finance · ordinary data", "Yes, I agree")
    visitor.choose("Cedar Finance · income", "No, I do not agree")
    until(lambda: "A yes counts now" in told.inner_text(), "the page said that a yes counts")
    visitor.tap("Save my answers")
    visitor.arrives("/recorded/**")
    assert visitor.taps == 4, "as many as for a notice that asks for no time"
    shown = shown_to(site, person)
    assert shown is not None and LEAST <= shown.pop("seconds") < 600
    assert shown == {"layout_sha256": layout(site), "to_the_end": True, "own_controls": True}


def test_to_go_on_after_a_pause_is_a_yes_and_is_said_below_the_text(site: Site, visit: Callable[..., Visitor]) -> None:
    person = who(site, "silent")[5]
    visitor = visit(person)
    visitor.tap("Read and answer")
    visitor.choose("Cedar Finance · ordinary data", "Yes, I agree")
    until(lambda: "A yes counts now" in visitor.page.inner_text("#told"), "the page said that a yes counts")
    visitor.tap("Save my answers")
    visitor.page.goto(site.url)
    visitor.tap("See all of it")
    visitor.tap("Pause")
    visitor.tap("Go on with it")
    visitor.arrives("/ask/**/2")
    assert "Paused by you" in visitor.page.inner_text("main")
    visitor.choose("Cedar Finance · ordinary data", "Yes, I agree")
    until(lambda: "A yes counts now" in visitor.page.inner_text("#told"), "the page said that a yes counts")
    visitor.tap("Save my answers")
    visitor.arrives("/recorded/**")
    assert shown_to(site, person) is not None


def test_a_pause_before_the_text_changed_ends_with_a_yes_to_the_new_one(
    site: Site, visit: Callable[..., Visitor]
) -> None:
    """Traced: what was paused under one text was gone on with below the next, and stayed a yes to the old one."""
    person = next(one for one in site.house.borrowers["cedar"] if one.answer == "gives" and not one.sensitive)
    visitor = visit(person)
    visitor.tap("See all of it")
    visitor.tap("Pause")
    visitor.page.goto(f"{site.url}/ask/{site.house.notice.id}/2")
    visitor.choose("Cedar Finance · ordinary data", "Yes, I agree")
    until(lambda: "A yes counts now" in visitor.page.inner_text("#told"), "the page said that a yes counts")
    visitor.tap("Save my answers")
    visitor.arrives("/recorded/**")
    (record,) = [
        one
        for one in site.house.borrower_client(person).my_consents()
        if one.pii_processing.purpose == TRAINING_PURPOSE and one.pii_processing.sensitivity == "ordinary"
    ]
    assert record.event.event_state == "given" and record.pii_processing.privacy_notice.version == 2


def test_to_go_on_leads_to_the_newest_text(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the registry wants the text shown first, though that was said of a version which is asked no more."""
    person = next(one for one in site.house.borrowers["birch"] if one.answer == "gives")
    session = site.cookie(person)
    start = get(site, "/", "en", session).text
    path = re.findall(r'"(/consents/[0-9a-f]{32})"', start)[0]
    headers = {"Cookie": f"{SESSION}={session}", "Origin": site.url}

    def step(action: str) -> Any:
        page = get(site, path, "en", session).text
        own = {str(one["name"]): str(one["value"]) for one in Seen(page).all("input") if one.get("type") == "hidden"}
        return HTTP.post(f"{site.url}{path}", data={**own, "action": action}, headers=headers)

    assert step("suspend").headers["location"] == path

    async def refuses(*_: Any, **__: Any) -> None:
        raise PageError("not-shown-long-enough", 409)

    monkeypatch.setattr("screens.portal.registry.Borrower.act", refuses)
    assert step("resume").headers["location"] == f"/ask/{site.house.notice.id}/2"
