"""A key of the person's own device: made in the browser, never leaving it, and what only it can say."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page
from support.pages import Visitor
from support.portal import Site
from support.visitors import answered, standing, who
from support.waiting import until

from demo.borrowers import DemoBorrower
from protocol.terms import TRAINING_PURPOSE

KEY = """async () => {
  const opening = indexedDB.open("tahini-portal");
  await new Promise((done) => { opening.onsuccess = done; });
  const store = opening.result.transaction("kept").objectStore("kept");
  const all = store.getAll();
  await new Promise((done) => { all.onsuccess = done; });
  opening.result.close();
  const key = all.result.find((one) => one.privateKey);
  if (!key) return null;
  try { await crypto.subtle.exportKey("pkcs8", key.privateKey); return "taken out"; }
  catch { return key.thumbprint; }
}"""


@pytest.fixture(autouse=True)
def on_time(site: Site) -> Iterator[None]:
    yield
    site.later = timedelta()


def newest_answer(site: Site, person: DemoBorrower) -> dict[str, Any]:
    with httpx.Client(base_url=site.house.url, headers={"Authorization": f"Bearer {site.token(person)}"}) as http:
        return dict(http.get("/v1/me/receipts").json()["items"][0]["decided"])


def with_a_key(site: Site, visitor: Visitor) -> str:
    visitor.page.goto(f"{site.url}/keys")
    visitor.tap("Add this device")
    mine = visitor.page.locator("span[data-thumbprint]:not([hidden])")
    until(mine.is_visible, "the new key was in the list")
    return str(visitor.page.evaluate(KEY))


def ask(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/ask/{site.house.notice.id}/{site.house.notice.version}")


def test_a_yes_is_signed_by_the_device_and_a_no_is_not(site: Site, visit: Callable[..., Visitor]) -> None:
    person = who(site, "silent")[0]
    visitor = visit(person)
    thumbprint = with_a_key(site, visitor)
    assert len(thumbprint) == 43, "no script can take it out of the browser"
    visitor.page.goto(site.url)
    visitor.tap("Read and answer")
    until(visitor.page.locator("#signs").is_visible, "the page said that it signs")
    visitor.choose("Cedar Finance · ordinary data", "Yes, I agree")
    visitor.choose("Cedar Finance · income", "No, I do not agree")
    visitor.tap("Save my answers")
    visitor.page.wait_for_url("**/recorded/**")
    assert standing(site, person) == {"ordinary": "given", "income": "refused"}
    assert newest_answer(site, person)["stated_by"] == "signature"
    ask(site, visitor.page)
    visitor.tap("No to all of it")
    visitor.page.wait_for_url("**/recorded/**")
    assert newest_answer(site, person)["stated_by"] == "login"
    assert standing(site, person) == {"ordinary": "withdrawn", "income": "refused"}, "a no after a yes takes it back"


def test_without_a_key_the_login_says_it(site: Site, visit: Callable[..., Visitor]) -> None:
    person = who(site, "refuses")[0]
    visitor = visit(person)
    ask(site, visitor.page)
    visitor.choose("Cedar Finance · ordinary data", "Yes, I agree")
    visitor.tap("Save my answers")
    visitor.page.wait_for_url("**/recorded/**")
    assert newest_answer(site, person)["stated_by"] == "login"


def test_what_is_signed_is_what_was_chosen(site: Site, visit: Callable[..., Visitor]) -> None:
    """A document that says more than the form is not handed on."""
    person = who(site, "refuses")[1]
    visitor = visit(person)
    with_a_key(site, visitor)
    ask(site, visitor.page)
    until(visitor.page.locator("#signs").is_visible, "the page said that it signs")
    before = standing(site, person)

    def more(route: Any) -> None:
        body = route.request.post_data.replace("cedar.ordinary=give", "cedar.ordinary=refuse")
        route.continue_(post_data=body)

    visitor.page.route("**/ask/**", more)
    visitor.choose("Cedar Finance · ordinary data", "Yes, I agree")
    visitor.tap("Save my answers")
    until(lambda: "could not be read" in visitor.page.inner_text("main"), "it was refused")
    assert standing(site, person) == before


def test_what_an_ended_key_signed_counts_for_nothing(site: Site, visit: Callable[..., Visitor]) -> None:
    person = who(site, "refuses")[2]
    visitor = visit(person)
    with_a_key(site, visitor)
    ask(site, visitor.page)
    until(visitor.page.locator("#signs").is_visible, "the page said that it signs")
    elsewhere = visit(person)
    elsewhere.page.goto(f"{site.url}/keys")
    mine = elsewhere.page.locator("section", has_text="Added by you")
    mine.get_by_role("button", name="End this key").click()
    assert "nothing that it signs counts any more" in elsewhere.page.inner_text("main")
    visitor.choose("Cedar Finance · ordinary data", "Yes, I agree")
    visitor.tap("Save my answers")
    until(lambda: "does not count here" in visitor.page.inner_text("main"), "it was refused")
    ask(site, visitor.page)
    assert visitor.page.locator("#signs").is_hidden(), "what has ended is not used again"


def test_a_device_is_added_in_a_login_of_just_now(site: Site, visit: Callable[..., Visitor]) -> None:
    person = answered(site, "gives", True)[0]
    visitor = visit(person)
    site.later = timedelta(minutes=3)
    visitor.page.goto(f"{site.url}/keys")
    assert visitor.page.get_by_role("button", name="Add this device").count() == 0
    session = [one["value"] for one in visitor.page.context.cookies() if one["name"] == "__Host-portal-session"]
    whose = visitor.page.locator("input[name=whose]").first.get_attribute("value")
    form = {"once": "o" * 32, "whose": whose, "statements": "a.b.c"}
    headers = {"Cookie": f"__Host-portal-session={session[0]}", "Origin": site.url}
    answer = httpx.post(f"{site.url}/keys", data=form, headers=headers)
    assert answer.status_code == 403 and "not older than two minutes" in answer.text
    site.later = timedelta()
    visitor.page.goto(f"{site.url}/login?how=fresh&back=/keys")
    assert "prompt=login" in visitor.page.url and "max_age=120" in visitor.page.url
    visitor.page.get_by_label("Who are you?").fill(person.pseudonym)
    visitor.page.get_by_role("button").click()
    visitor.page.wait_for_url("**/keys")
    until(visitor.page.get_by_role("button", name="Add this device").is_visible, "a device can be added")


def test_the_page_signs_documents_that_our_own_code_makes_alike(site: Site, visit: Callable[..., Visitor]) -> None:
    """Canonical JSON, header, hash: what the browser makes is what ``crypto`` would have made."""
    from base64 import urlsafe_b64decode

    from crypto.documents import canonical_json, verify_document
    from crypto.keys import PublicKey

    page = visit(answered(site, "gives", True)[1]).page
    module = site.app.state.look.assets.paths["device.js"]  # type: ignore[attr-defined]
    said = {"b": [1, {"z": "é€", "a": None}], "a": True, "purpose": TRAINING_PURPOSE}
    made = page.evaluate(
        "async ([module, said]) => { const d = await import(module); const key = await d.newKey();"
        " return [key.text, await d.sign('tahini-x', said, key), d.instant(1800000000)]; }",
        [module, said],
    )
    key, token, at = made
    assert verify_document(token, "tahini-x", PublicKey.from_text(key)) == said
    assert urlsafe_b64decode(token.split(".")[1] + "==") == canonical_json(said)
    assert json.loads(urlsafe_b64decode(token.split(".")[0] + "=="))["kid"] == PublicKey.from_text(key).thumbprint
    assert at.startswith("2027-01-15T08:00:") and at.endswith("Z")


def test_only_my_key_may_say_yes(site: Site, visit: Callable[..., Visitor]) -> None:
    person = who(site, "silent")[2]
    with_key, without = visit(person), visit(person)
    with_a_key(site, with_key)
    with_key.tap("Let only my key say yes")
    assert "Only a key says yes, since" in with_key.page.inner_text("main")

    def says_yes(visitor: Visitor) -> str:
        visitor.choose("Cedar Finance · ordinary data", "Yes, I agree")
        visitor.tap("Save my answers")
        return visitor.page.inner_text("main")

    ask(site, without.page)
    assert "Use the device that has it" in says_yes(without) and standing(site, person) == {}
    ask(site, with_key.page)
    until(with_key.page.locator("#signs").is_visible, "the page said that it signs")
    says_yes(with_key)
    assert standing(site, person)["ordinary"] == "given"
    site.later = timedelta(minutes=3)
    without.page.goto(f"{site.url}/keys")
    assert without.page.get_by_role("button", name="Let my log-in say yes, too").count() == 0, "that takes a new log-in"
    site.later = timedelta()
    without.page.goto(f"{site.url}/keys")
    without.tap("Let my log-in say yes, too")
    assert "Your log-in says yes, too." in without.page.inner_text("main")
