"""Every page, in both languages, as it is sent: headers, language, labels, links; no browser."""

from __future__ import annotations

import hashlib
import json
import re

import pytest
from starlette.testclient import TestClient
from support.pages import Seen
from support.portal import HTTP, Site, get

from ops.logs import JsonLines
from screens.house.headers import HEADERS
from screens.house.shell import HOUSE, Look, shell
from screens.house.words import FOLDER, TAGS, catalogue
from screens.portal.visit import SESSION

PORTAL_WORDS = FOLDER.parents[1] / "portal" / "words"


@pytest.fixture(scope="module")
def session(site: Site) -> str:
    return site.cookie(site.person())


def asked_of(site: Site, session: str) -> str:
    """Where a request stands that was made just now."""
    headers = {"Cookie": f"{SESSION}={session}", "Origin": site.url}
    whose = get(site, "/erase", "en", session).text.partition('name="whose" value="')[2][:44]
    form = {"once": "q" * 32, "whose": whose, "recipient": "aspen", "kind": "object", "language": "en"}
    made = HTTP.post(f"{site.url}/requests", data=form | {"text": "Quite another matter."}, headers=headers)
    assert made.status_code == 303, made.text
    return made.headers["location"]


@pytest.fixture(scope="module")
def paths(site: Site, session: str) -> list[str]:
    """Every page there is for somebody who has answered."""
    start = get(site, "/", "en", session).text
    record = re.findall(r'"/consents/([0-9a-f]{32})"', start)[0]
    decision = re.findall(r'"/receipts/([0-9a-f]{64})"', get(site, "/receipts", "en", session).text)[0]
    notice = f"{site.house.notice.id}/{site.house.notice.version}"
    asked = asked_of(site, session)
    return [
        "/", f"/ask/{notice}", f"/texts/{notice}", f"/recorded/{notice}",
        f"/consents/{record}", f"/withdraw/{record}", "/withdraw-all",
        "/uses", "/receipts", f"/receipts/{decision}", "/export", "/erase", "/requests", "/requests/new", asked,
        "/imports", "/lenders", "/link", "/incidents", "/keys", "/verify", "/erased", "/there-is-no-such-page",
    ]  # fmt: skip


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page_is_whole_and_loads_nothing_but_our_own(
    site: Site, session: str, paths: list[str], language: str
) -> None:
    links: set[str] = set()
    for path in [*paths, None]:
        answer = get(site, path or "/", language, session if path else None)
        assert answer.status_code == (404 if path == "/there-is-no-such-page" else 200), (path, answer.text)
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
            for source in ("src", "action"):
                assert attributes.get(source, "/").startswith("/"), (path, tag)  # type: ignore[union-attr]
        assert all(one.get("src") for one in seen.all("script")), path
        for form in seen.all("form"):
            assert form["method"] == "post", path
        links |= {link["href"] or "" for link in seen.all("a")}
    for target in links:
        if not target.startswith(("#", "mailto:", "/login", paths[-1])):
            assert get(site, target, language, session).status_code < 400, target


def test_nothing_is_left_in_english(site: Site, session: str, paths: list[str]) -> None:
    sentences = {
        one
        for folder in (FOLDER, PORTAL_WORDS)
        for one in catalogue("zh", folder)._catalog
        if isinstance(one, str) and len(one) > 5 and "%(" not in one  # type: ignore[attr-defined]
    }
    for path in paths:
        text = " ".join(Seen(get(site, path, "zh", session).text).text)
        assert not {one for one in sentences if one in text}, path


def test_nobody_is_named_where_it_is_kept_or_passed_on(site: Site, session: str, paths: list[str]) -> None:
    for path in paths:
        page = get(site, path, "en", session)
        targets = [value or "" for _, attributes in Seen(page.text).elements for value in (attributes.get("href"),)]
        assert site.person().pseudonym not in " ".join([path, *targets, *page.headers.values()])


def test_who_is_not_logged_in_sees_nothing_and_is_told_what_to_do(site: Site, paths: list[str]) -> None:
    for path in paths[1:-2]:
        if path not in {"/erased", "/link", "/verify"}:
            answer = get(site, path, "en")
            assert answer.status_code == 401 and "Log in again" in answer.text, path


def test_other_peoples_records_and_receipts_are_not_there(site: Site, paths: list[str]) -> None:
    other = site.cookie(site.person(at=1))
    for path in paths:
        if re.search(r"[0-9a-f]{32}", path):
            assert get(site, path, "en", other).status_code == 404, path


def test_a_page_shows_the_notice_that_will_be_recorded(site: Site, session: str) -> None:
    notice = site.house.notice
    for language in ("en", "zh"):
        page = get(site, f"/ask/{notice.id}/{notice.version}", language, session).text
        assert notice.text_sha256(language) in page
        assert [one["lang"] for one in Seen(page).all("div") if one.get("class") == "notice"] == [language]


def test_assets_are_named_by_what_they_hold(site: Site) -> None:
    page = Seen(HTTP.get(site.url).text)
    for one in page.all("link"):
        answer = HTTP.get(f"{site.url}{one['href']}")
        assert answer.is_success and "immutable" in answer.headers["cache-control"]
    assert HTTP.get(f"{site.url}/assets/house.000000000000.css").status_code == 404


def test_what_is_served_is_told_to_the_journal_by_its_hash(caplog: pytest.LogCaptureFixture) -> None:
    look = Look.of("portal", HOUSE.parent / "portal" / "views", "UTC", {}, HOUSE.parent / "portal" / "assets")
    with caplog.at_level("INFO", "tahini.screens"), TestClient(shell(look, "http://127.0.0.1", [])) as client:
        (record,) = [one for one in caplog.records if one.getMessage() == "assets"]
        told = json.loads(JsonLines().format(record))
        said = told["sha256"]
        assert told["layout"] == look.layout, (
            "what a yes names as the layout that was shown, a journal can be asked for"
        )
        assert {"receipt.js", "house.css", "verify.js"} <= set(look.assets.paths)
        assert set(said) == set(look.assets.paths.values())
        for path, sha256 in said.items():
            assert hashlib.sha256(client.get(path).content).hexdigest() == sha256
