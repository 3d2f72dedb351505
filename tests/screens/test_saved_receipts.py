"""A receipt that was saved is one file that verifies itself: from a disk, without a network, and without us."""

from __future__ import annotations

import hashlib
import random
import string
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page
from support.commands import tahini
from support.effort import effort
from support.portal import Site
from support.saved import forged, held, saved_by, verdict, with_other

from crypto.keys import SigningKey
from protocol.receipts import kept, verify_kept
from screens.house.shell import Assets
from screens.house.standalone import Standalone


@pytest.fixture(scope="module")
def saved(site: Site) -> str:
    return saved_by(site, site.person(at=4))


def test_a_saved_receipt_verifies_from_the_disk_without_a_network(
    site: Site, saved: str, opened: Callable[[str], Page]
) -> None:
    page = opened(saved)
    assert verdict(page) == "verified"
    assert page.locator("#steps").inner_text().count("✓") == 6
    key = site.house.founded.registry_key.public
    assert page.inner_text("#fingerprint") == fingerprint(key.raw)
    assert "ordinary data: You said yes" in page.inner_text("#said")
    assert len(saved.encode()) < 64_000


def fingerprint(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def test_with_one_character_changed_it_is_refused(saved: str, opened: Callable[[str], Page]) -> None:
    """All 183 are put to the same module in test_verify; these are files, opened."""
    page = opened(saved)
    verdict(page)
    token, letters = held(saved)["receipt"], string.ascii_letters + string.digits + "-_"
    seeded = random.Random(11)
    places = seeded.sample([at for at, letter in enumerate(token) if letter != "."], effort(183, 8))
    for at in places:
        other = seeded.choice([one for one in letters if one != token[at]])
        altered = opened(with_other(saved, receipt=token[:at] + other + token[at + 1 :]))
        assert verdict(altered) == "refused", at
        assert altered.locator("#facts").is_hidden(), "what does not verify is not told"
    consortium = held(saved)["consortium"]
    assert verdict(opened(with_other(saved, consortium=consortium[:-9] + "AAAAAAAAA"))) == "refused"


def test_with_its_check_changed_it_says_nothing(saved: str, opened: Callable[[str], Page]) -> None:
    """The file's policy knows its script by the hash: another one does not run."""
    page = opened(saved.replace("throw new Refused(step);", "return;", 1))
    page.wait_for_load_state("load")
    assert page.get_attribute("#verdict", "data-verdict") == "unchecked" and page.locator("#facts").is_hidden()


def test_another_registry_in_the_file_has_another_fingerprint(
    site: Site, saved: str, opened: Callable[[str], Page]
) -> None:
    """Somebody makes all of it again with a key of their own: it verifies, and is found out by who compares."""
    thief, own = SigningKey.generate(), site.house.founded.registry_key
    made = forged(site, saved, thief)
    assert verdict(opened(with_other(saved, receipt=made["receipt"]))) == "refused"
    page = opened(with_other(saved, **made))
    assert verdict(page) == "verified"
    assert page.inner_text("#fingerprint") == fingerprint(thief.public.raw) != fingerprint(own.public.raw)


def test_a_tool_of_somebody_elses_reads_the_same_file(site: Site, saved: str, tmp_path: Path) -> None:
    (token,) = kept(saved)
    assert token == held(saved)["receipt"] and verify_kept(token, site.house.founded.consortium)
    file, anchor = tmp_path / "receipt.html", site.house.founded.node_home("aspen") / "consortium.jws"
    key = site.house.founded.registry_key.public.text
    command = ["receipt", "verify", "--consortium", str(anchor), "--registry-key", key]
    file.write_text(saved, encoding="utf-8")
    said = tahini(*command, file)
    assert said.exit_code == 0 and "Your answer is on record" in said.stdout, said.output
    file.write_text("<!doctype html><p>nothing</p>", encoding="utf-8")
    assert tahini(*command, file).exit_code == 1


def test_a_module_that_would_end_its_element_is_not_put_into_a_page() -> None:
    paths = {"one.js": "/one.js", "one.css": "/one.css"}
    ends = Assets(paths, {"/one.js": b'const a = "</script>";', "/one.css": b""})
    with pytest.raises(ValueError, match="cannot stand in a page"):
        Standalone.of(ends, ["one.js"], "one.css")
