"""The receipt of a step of a request is one file that verifies itself, as that of an answer is."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from support.commands import tahini
from support.effort import effort
from support.pages import Visitor, barriers, fits
from support.portal import HTTP, Site, get
from support.saved import held, verdict, with_other
from support.visitors import who
from support.waiting import until

from screens.portal.visit import SESSION


@pytest.fixture(scope="module")
def asked(site: Site) -> tuple[str, str]:
    """Where a request stands, and the session of whoever made it."""
    session = site.cookie(site.person(at=4))
    headers = {"Cookie": f"{SESSION}={session}", "Origin": site.url}
    whose = get(site, "/erase", "en", session).text.partition('name="whose" value="')[2][:44]
    form = {"once": "s" * 32, "whose": whose, "recipient": "aspen", "kind": "object", "language": "en"}
    made = HTTP.post(f"{site.url}/requests", data=form | {"text": "<b>Not</b> mine."}, headers=headers)
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
    assert "You asked" in said and "Object: <b>Not</b> mine." in said and "An answer is due by" in said


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
    context.close()


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
