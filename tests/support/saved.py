"""Receipts that people have saved, and such as somebody has made over."""

from __future__ import annotations

import html
import re

import httpx
from playwright.sync_api import Page
from support.portal import Site
from support.waiting import until

from crypto.keys import SigningKey
from protocol.consents import Receipt
from protocol.parties import Consortium
from screens.portal.visit import SESSION

HELD = re.compile(r'(<data id="(receipt|consortium)" value=")([^"]+)')


def saved_by(site: Site, person) -> str:
    """The file that a person saves."""
    cookie = {"Cookie": f"{SESSION}={site.cookie(person)}"}
    with httpx.Client(base_url=site.url, headers=cookie, timeout=300) as http:
        path = re.findall(r'"(/receipts/[0-9a-f]{64})"', http.get("/receipts").text)[0]
        answer = http.get(f"{path}/file")
    assert answer.headers["content-disposition"].endswith('.html"')
    return answer.text


def held(text: str) -> dict[str, str]:
    return {name: html.unescape(value) for _, name, value in HELD.findall(text)}


def with_other(text: str, **other: str) -> str:
    return HELD.sub(lambda match: match[1] + other.get(match[2], match[3]), text)


def forged(site: Site, text: str, thief: SigningKey) -> dict[str, str]:
    """All of it made again with a key of somebody else's."""
    own, parts = site.house.founded.registry_key.public, held(text)
    document = Consortium.verify(parts["consortium"], own)
    parties = tuple(
        one.model_copy(update={"signing_key": thief.public.text}) if one.role == "registry" else one
        for one in document.parties
    )
    return {
        "receipt": Receipt.verify(parts["receipt"], own).sign(thief),
        "consortium": document.model_copy(update={"parties": parties}).sign(thief),
    }


def verdict(page: Page) -> str:
    """What a saved file that was opened says of itself."""
    line = page.locator("#verdict")
    until(lambda: line.get_attribute("data-verdict") != "unchecked", "the file had checked itself")
    return str(line.get_attribute("data-verdict"))
