"""The receipt of a decision is one file that verifies itself, without the lender that made it."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page
from support.commands import tahini
from support.effort import effort
from support.front import SESSION, Front
from support.saved import held, verdict, with_other

from screens.house.sessions import cookie


@pytest.fixture(scope="module")
def saved(front: Front) -> dict[str, str]:
    """The file by language."""
    person = front.lending.people[6]
    made, session = front.applied(person), front.cookie(person)
    found = {"application": made["id"]}
    for language in ("en", "zh"):
        headers = {"Cookie": f"{SESSION}={session}; {cookie('counter', 'language')}={language}"}
        path = f"{front.url}/decisions/{made['decision']['id']}/receipt/file"
        answer = httpx.get(path, headers=headers, timeout=300)
        assert answer.status_code == 200 and answer.headers["content-disposition"].endswith('.html"'), answer.text
        found[language] = answer.text
    return found


@pytest.mark.parametrize(("language", "said"), [("en", "A loan was offered"), ("zh", "提供了一笔贷款")])
def test_it_verifies_from_the_disk_and_says_what_was_decided(
    saved: dict[str, str], opened: Callable[[str], Page], language: str, said: str
) -> None:
    page = opened(saved[language])
    assert verdict(page) == "verified"
    assert page.locator("#steps").inner_text().count("✓") == 5 and page.inner_text("#said") == said
    assert page.inner_text("#by") == "Aspen Finance" and page.inner_text("#of") == saved["application"]


def test_with_one_character_changed_it_is_refused(saved: dict[str, str], opened: Callable[[str], Page]) -> None:
    text = saved["en"]
    token, letters = held(text)["receipt"], string.ascii_letters + string.digits + "-_"
    seeded = random.Random(13)
    places = seeded.sample([at for at, letter in enumerate(token) if letter != "."], effort(183, 8))
    for at in places:
        other = seeded.choice([one for one in letters if one != token[at]])
        altered = opened(with_other(text, receipt=token[:at] + other + token[at + 1 :]))
        assert verdict(altered) == "refused", at
        assert altered.locator("#facts").is_hidden()


def test_a_tool_of_somebody_elses_reads_the_same_file(front: Front, saved: dict[str, str], tmp_path: Path) -> None:
    founded, file = front.lending.house.founded, tmp_path / "decision.html"
    file.write_text(saved["zh"], encoding="utf-8")
    pinned = ["--consortium", str(founded.node_home("aspen") / "consortium.jws")]
    said = tahini("receipt", "verify", *pinned, "--registry-key", founded.registry_key.public.text, file)
    assert said.exit_code == 0, said.output
