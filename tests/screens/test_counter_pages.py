"""Every page of the counter, in both languages, as it is sent; no browser."""

from __future__ import annotations

import re

import httpx
import pytest
from starlette.routing import Route
from support.front import SESSION, Front, everything
from support.pages import Seen

from law.categories import DataCategory
from screens.counter.shown import name_of, told_apart
from screens.house.forms import new_once
from screens.house.headers import HEADERS
from screens.house.pace import Pace
from screens.house.sessions import cookie
from screens.house.words import FOLDER, TAGS, catalogue

HTTP = httpx.Client(timeout=300)
WORDS = FOLDER.parents[1] / "counter" / "words"


def get(front: Front, path: str, language: str, session: str | None = None) -> httpx.Response:
    cookies = {cookie("counter", "language"): language} | ({} if session is None else {SESSION: session})
    sent = "; ".join(f"{name}={value}" for name, value in cookies.items())
    return HTTP.get(f"{front.url}{path}", headers={"Cookie": sent})


def post(front: Front, path: str, session: str, **fields: str) -> httpx.Response:
    headers = {"Cookie": f"{SESSION}={session}", "Sec-Fetch-Site": "same-origin"}
    own = {"once": new_once(), "whose": front.app.state.door.visits.find(session).whose}
    return HTTP.post(f"{front.url}{path}", data={**own, **fields}, headers=headers)


@pytest.fixture(scope="module")
def paths(front: Front) -> list[str]:
    return everything(front, front.lending.people[0])


@pytest.fixture(scope="module")
def session(front: Front, paths: list[str]) -> str:
    """Of somebody who has begun to apply."""
    found = front.cookie(front.lending.people[0])
    begun = post(front, "/apply", found, amount="3000", terms="monthly-12/360", purpose="shopping")
    assert begun.headers["location"] == "/apply/data", begun.text
    return found


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page_is_whole_and_loads_nothing_but_our_own(
    front: Front, session: str, paths: list[str], language: str
) -> None:
    links: set[str] = set()
    for path in [*paths, "/apply/data", "/apply/check", None]:
        answer = get(front, path or "/", language, session if path else None)
        assert answer.status_code == (404 if path == "/there-is-no-such-page" else 200), (path, answer.text)
        for name, value in HEADERS.items():
            assert answer.headers[name] == value, (path, name)
        assert answer.headers["cache-control"] == "no-store", path
        seen = Seen(answer.text)
        assert [one["lang"] for one in seen.all("html")] == [TAGS[language]], path
        assert len(seen.all("h1")) == 1 and len(seen.all("main")) == 1, path
        filled_in = [*seen.all("textarea"), *(one for one in seen.all("input") if one["type"] != "hidden")]
        assert seen.labelled == len(filled_in), path
        for tag, attributes in seen.elements:
            assert not [name for name in attributes if name == "style" or name.startswith("on")], (path, tag)
            assert "checked" not in attributes and "required" not in attributes, path
            for source in ("src", "action"):
                assert attributes.get(source, "/").startswith("/"), (path, tag)  # type: ignore[union-attr]
        assert all(one.get("src") for one in seen.all("script")), path
        assert all(form["method"] == "post" for form in seen.all("form")), path
        links |= {link["href"] or "" for link in seen.all("a")}
    for target in links:
        if not target.startswith(("#", "mailto:", "/login", "/there-is-no-such-page")):
            assert get(front, target, language, session).status_code < 400, target


def test_nothing_is_left_in_english(front: Front, session: str, paths: list[str]) -> None:
    sentences = {
        one
        for folder in (FOLDER, WORDS)
        for one in catalogue("zh", folder)._catalog  # type: ignore[attr-defined]
        if isinstance(one, str) and len(one) > 5 and "%(" not in one
    }
    for path in [*paths, "/apply/data", "/apply/check"]:
        text = " ".join(Seen(get(front, path, "zh", session).text).text)
        assert not {one for one in sentences if one in text}, path


def test_nobody_is_named_where_it_is_kept_or_passed_on(front: Front, session: str, paths: list[str]) -> None:
    for path in paths:
        page = get(front, path, "en", session)
        targets = [attributes.get("href") or "" for _, attributes in Seen(page.text).elements]
        assert front.lending.people[0].pseudonym not in " ".join([path, *targets, *page.headers.values()])


def test_who_is_not_logged_in_sees_nothing(front: Front, paths: list[str]) -> None:
    for path in [*paths[1:-1], "/apply/data", "/apply/check"]:
        answer = get(front, path, "en")
        assert answer.status_code == 401 and "Log in again" in answer.text, path


def test_other_peoples_applications_loans_and_receipts_are_not_there(front: Front, paths: list[str]) -> None:
    other = front.cookie(front.lending.people[1])
    for path in paths:
        if re.search(r"/[A-Za-z0-9_-]{22}", path):
            assert get(front, path, "en", other).status_code == 404, path


def test_a_form_of_another_site_does_nothing(front: Front, session: str) -> None:
    unsafe = [one.path for one in front.app.router.routes if isinstance(one, Route) and "POST" in (one.methods or ())]
    assert len(unsafe) >= 8
    for path in unsafe:
        target = re.sub(r"\{[a-z]+:own\}", "A" * 22, path)
        headers = {"Cookie": f"{SESSION}={session}", "Sec-Fetch-Site": "cross-site"}
        answer = HTTP.post(f"{front.url}{target}", data={"once": new_once()}, headers=headers)
        assert answer.status_code == 403 and "did not come from this page" in answer.text, path


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"amount": "3000", "purpose": "shopping"}, "for how long"),
        ({"amount": "", "terms": "monthly-12/360", "purpose": "shopping"}, "amount is not lent"),
        ({"amount": "3,000.005", "terms": "monthly-12/360", "purpose": "shopping"}, "amount is not lent"),
        ({"amount": "99", "terms": "monthly-12/360", "purpose": "shopping"}, "amount is not lent"),
        ({"amount": "3000", "terms": "monthly-12/7", "purpose": "shopping"}, "for how long"),
        ({"amount": "3000", "terms": "monthly-12/360"}, "what the loan is for"),
    ],
)
def test_what_cannot_be_asked_for_is_said_and_what_was_typed_stays(front: Front, fields, says: str) -> None:
    session = front.cookie(front.lending.people[2])
    answer = post(front, "/apply", session, **fields)
    assert answer.status_code == 422 and says in answer.text
    assert f'value="{fields["amount"]}"' in answer.text


def test_what_changed_after_it_was_shown_is_not_sent(front: Front) -> None:
    person = front.lending.people[3]
    session = front.cookie(person)
    wanted = {"amount": "3000", "terms": "monthly-12/360", "purpose": "shopping"}
    assert post(front, "/apply", session, **wanted).is_redirect
    page = get(front, "/apply/check", "en", session).text
    once = re.findall(r'name="once" value="([^"]+)"', page)[0]
    assert post(front, "/apply", session, **{**wanted, "amount": "5000"}).is_redirect
    answer = post(front, "/apply/check", session, once=once)
    assert answer.status_code == 409 and "Something changed" in answer.text
    mine = httpx.get(f"{front.desk_url}/v1/me/applications", headers=front.at_desk(person)).json()
    assert mine == {"items": []}


def test_whoever_is_no_customer_here_is_told_so(front: Front) -> None:
    stranger = front.lending.house.borrowers["birch"][0]
    front.link(stranger)
    headers = {"Authorization": f"Bearer {front.registry_token(stranger)}"}
    refused = httpx.post(f"{front.desk_url}/v1/me/sessions", headers=headers)
    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (403, "not-a-customer")


def test_a_form_that_was_shown_to_somebody_else_does_nothing(front: Front) -> None:
    shown, here = front.cookie(front.lending.people[2]), front.cookie(front.lending.people[4])
    whose = front.app.state.door.visits.find(shown).whose
    unsafe = [one.path for one in front.app.router.routes if isinstance(one, Route) and "POST" in (one.methods or ())]
    begun = post(front, "/apply", here, amount="3000", terms="monthly-12/360", purpose="shopping")
    assert begun.headers["location"] == "/apply/data"
    filled = {
        "/apply": {"amount": "5000", "terms": "monthly-12/360", "purpose": "travel"},
        "/apply/data": {"language": "en", "sha256": "0" * 64},
        "/groups": {"group": "late-before"},
        "/apply/check": {"once": front.app.state.door.visits.find(here).draft.once},
    }
    for path in sorted(set(unsafe) - {"/logout"}):
        if ":own" not in path:
            answer = post(front, path, here, **filled[path], whose=whose)
            assert answer.status_code == 409 and "somebody else" in answer.text, path
    assert front.app.state.door.visits.find(here).draft.amount == 300_000, "nothing was changed"


def test_one_visit_asks_no_more_often_than_people_do(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    session = front.cookie(front.lending.people[2])
    visit = front.app.state.door.visits.find(session)
    monkeypatch.setattr(visit, "pace", Pace(per_minute=3))
    codes = [get(front, "/apply/no", "en", session).status_code for _ in range(4)]
    assert codes == [200, 200, 200, 429]
    monkeypatch.setattr(visit, "pace", Pace(per_minute=1))
    assert get(front, "/apply", "en", session).status_code == 200, "one page counts once, whatever it asks of the desk"


def test_facts_of_one_kind_are_told_apart_in_either_language() -> None:
    """A lender that has words in English alone."""
    fact = {"words": {"en": "loans not yet repaid"}, "data": [str(DataCategory.BUREAU)]}
    named = {"words": {"en": "loans not yet repaid", "zh": "未还清的贷款"}, "data": [str(DataCategory.BUREAU)]}
    assert (name_of(fact, "zh"), told_apart(fact, "zh")) == ("征信记录", "loans not yet repaid")
    assert (name_of(fact, "en"), told_apart(fact, "en")) == ("loans not yet repaid", None)
    assert (name_of(named, "zh"), told_apart(named, "zh")) == ("未还清的贷款", None)
    assert told_apart({"words": {"en": "income"}, "data": []}, "zh") is None, "it is the name already"
