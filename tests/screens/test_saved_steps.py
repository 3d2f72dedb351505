"""The receipt of a step of a request is one file that verifies itself, as that of an answer is."""

from __future__ import annotations

import base64
import json
import random
import re
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from support.commands import tahini
from support.effort import effort
from support.pages import Visitor, barriers, fits
from support.portal import HTTP, Site, get
from support.saved import held, verdict, with_other
from support.visitors import who
from support.waiting import until

from crypto.documents import sign_document
from protocol.rights import RightsReceipt
from screens.portal.visit import SESSION


@pytest.fixture(scope="module")
def asked(site: Site) -> tuple[str, str]:
    """Where a request stands, and the session of whoever made it."""
    return ask(site, "<b>Not</b> mine.", "s" * 32)


def ask(site: Site, text: str, once: str) -> tuple[str, str]:
    session = site.cookie(site.person(at=4))
    headers = {"Cookie": f"{SESSION}={session}", "Origin": site.url}
    whose = get(site, "/erase", "en", session).text.partition('name="whose" value="')[2][:44]
    form = {"once": once, "whose": whose, "recipient": "aspen", "kind": "object", "language": "en", "text": text}
    made = HTTP.post(f"{site.url}/requests", data=form, headers=headers)
    assert made.status_code == 303, made.text
    return made.headers["location"], session


@pytest.fixture(scope="module")
def saved(site: Site, asked: tuple[str, str]) -> str:
    answer = get(site, f"{asked[0]}/receipts/1/file", "en", asked[1])
    assert answer.status_code == 200 and answer.headers["content-disposition"].endswith('-1.html"'), answer.text
    return answer.text


def test_it_verifies_from_the_disk_and_says_what_was_asked(saved: str, opened: Callable[[str], Page]) -> None:
    page = opened(saved)
    assert verdict(page) == "verified"
    assert page.locator("#steps").inner_text().count("✓") == 6
    said = page.inner_text("#said")
    assert "The request was received" in said and "An answer is due by" in said
    assert "Aspen Finance · Object" in said and "“<b>Not</b> mine.”" in said


@pytest.mark.parametrize("text", ["given", "withdrawn", "due", "constructor", "__proto__"])
def test_ones_own_words_are_never_replaced_by_those_of_the_page(
    site: Site, opened: Callable[[str], Page], text: str
) -> None:
    """Traced: whoever asked "withdrawn" was shown, as verified, that they had taken something back."""
    where, session = ask(site, text, text[0] * 32)
    page = opened(get(site, f"{where}/receipts/1/file", "en", session).text)
    assert verdict(page) == "verified" and f"“{text}”" in page.inner_text("#said")


def test_another_requests_receipt_is_not_this_ones(site: Site, asked: tuple[str, str], saved: str, opened: Any) -> None:
    """A receipt of another request, under this one's name, verifies by itself: that it is another is said."""
    where, session = ask(site, "Another matter.", "t" * 32)
    other = held(get(site, f"{where}/receipts/1/file", "en", session).text)["receipt"]
    page = opened(with_other(saved, receipt=other))
    assert verdict(page) == "refused" and page.locator("#facts").is_hidden()
    assert asked[0].rpartition("/")[2][:12] in opened(saved).inner_text("#said")


def test_with_one_character_changed_it_is_refused(saved: str, opened: Callable[[str], Page]) -> None:
    token, letters = held(saved)["receipt"], string.ascii_letters + string.digits + "-_"
    seeded = random.Random(12)
    places = seeded.sample([at for at, letter in enumerate(token) if letter != "."], effort(183, 8))
    for at in places:
        other = seeded.choice([one for one in letters if one != token[at]])
        altered = opened(with_other(saved, receipt=token[:at] + other + token[at + 1 :]))
        assert verdict(altered) == "refused", at
        assert altered.locator("#facts").is_hidden()


def test_the_command_and_the_page_for_files_read_it_too(
    site: Site, saved: str, tmp_path: Path, chromium: Browser
) -> None:
    file, anchor = tmp_path / "step.html", site.house.founded.node_home("aspen") / "consortium.jws"
    file.write_text(saved, encoding="utf-8")
    key = site.house.founded.registry_key.public.text
    said = tahini("receipt", "verify", "--consortium", str(anchor), "--registry-key", key, file)
    assert said.exit_code == 0 and "is on record: receive" in said.stdout, said.output
    context = chromium.new_context(locale="en-GB")
    page = context.new_page()
    page.goto(f"{site.url}/verify")
    until(lambda: page.locator("#file").is_enabled(), "its script ran")
    page.set_input_files("#file", file)
    assert verdict(page) == "verified" and "Object" in page.inner_text("#said")
    page.set_input_files(
        "#file", {"name": "d.html", "mimeType": "text/html", "buffer": a_lenders(file.read_text(encoding="utf-8"))}
    )
    page.wait_for_selector("#lenders:not([hidden])")
    assert page.locator("#checked").is_hidden() and page.locator("#none").is_hidden()
    context.close()


def a_lenders(text: str) -> bytes:
    """The same file with the head of a decision's receipt."""
    head = base64.urlsafe_b64encode(b'{"typ":"tahini-decision-receipt"}').decode().rstrip("=")
    return with_other(text, receipt=f"{head}.e30.AA").encode()


def test_on_the_portal_it_is_two_taps_to_the_check_and_three_to_the_file(
    site: Site, visit: Callable[..., Visitor]
) -> None:
    person = who(site, "gives")[0]
    visitor = visit(person)
    visitor.page.goto(f"{site.url}/requests/new?kind=access&recipient=cedar")
    visitor.tap("Send it")
    visitor.taps = 0
    visitor.tap("Check the receipt")
    assert verdict(visitor.page) == "verified" and not barriers(visitor.page) and fits(visitor.page, 360)
    download = visitor.saves("Save the receipt")
    assert visitor.taps == 2 and re.fullmatch(r"request-[0-9a-f]{12}-1\.html", download.suggested_filename)


@pytest.mark.parametrize(
    "lie",
    [
        {"at": "2020-01-01T00:00:00Z"},
        {"due_at": "2099-01-01T00:00:00Z"},
        {"event": "mark"},
        {"evidence": {"request": {"asked": {"kind": "erase"}}}},
        {"request_sha256": "0" * 64},
    ],
)
def test_a_step_that_the_log_says_nothing_of_is_refused_though_the_registry_signed_it(
    site: Site, saved: str, opened: Callable[[str], Page], lie: dict[str, Any]
) -> None:
    """A registry that signs a lie: the entry in the witnessed log commits to what was."""
    body = held(saved)["receipt"].split(".")[1]
    said = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    step = {**said["step"], **lie}
    token = sign_document(RightsReceipt.typ, {**said, "step": step}, site.house.founded.registry_key)
    text = with_other(saved, receipt=token).replace(
        f'id="about" value="{said["step"]["request_sha256"]}"', f'id="about" value="{step["request_sha256"]}"'
    )
    page = opened(text)
    assert verdict(page) == "refused" and page.locator("#facts").is_hidden()
    assert "✗" in page.locator("#steps li[data-step=commitment]").inner_text()
