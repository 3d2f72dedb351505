"""What the portal asks the registry for a page: once for the first one, and the tag before what it is the tag of."""

from __future__ import annotations

import asyncio
import html
import re

import httpx
import pytest
from support.portal import Site
from support.visitors import answered, standing

from crypto.keys import SigningKey
from screens.house.services import ServiceAnswer
from screens.portal.registry import Borrower, PortalRegistry
from screens.portal.visit import SESSION

LISTS = ("notices", "consents", "revocations", "incidents")


def test_the_first_page_asks_once_and_leaves_nothing_out() -> None:
    asked: list[str] = []

    def registry(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path.decode())
        if request.url.path == "/v1/me/overview":
            long = {"consents": {"items": [1, 2], "next": "Mg"}}
            return httpx.Response(200, json={one: {"items": [], "next": None} for one in LISTS} | long)
        after = request.url.params["cursor"]
        part = {"Mg": {"items": [3, 4], "next": "NA"}, "NA": {"items": [5], "next": None}}
        return httpx.Response(200, json=part[after])

    async def overview() -> dict[str, list[int]]:
        transport = httpx.MockTransport(registry)
        async with httpx.AsyncClient(base_url="http://registry", transport=transport) as http:
            return await PortalRegistry(http, key=SigningKey.generate().public).as_borrower("token").overview()

    found = asyncio.run(overview())
    assert found == {"notices": [], "consents": [1, 2, 3, 4, 5], "revocations": [], "incidents": []}
    assert [one.partition("?")[0] for one in asked] == ["/v1/me/overview", *["/v1/me/consents"] * 2]


def test_what_changes_while_a_page_is_made_is_not_acted_on(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody opens a consent; between two answers of the registry another consent of theirs is taken back."""
    person = answered(site, "gives", True)[0]
    session = {"Cookie": f"{SESSION}={site.cookie(person)}", "Origin": site.url}
    mine = site.house.borrower_client(person).my_consents()
    shown, other = (
        next(one for one in mine if one.pii_processing.sensitivity == kind) for kind in ("ordinary", "income")
    )
    read, token = Borrower.read, site.token(person)

    async def slow(self: Borrower, path: str, **headers: str) -> ServiceAnswer:
        found = await read(self, path, **headers)
        if path == f"/v1/me/consents/{shown.record_id}":
            way = f"{site.house.url}/v1/me/consents/{other.record_id}/withdrawal"
            own = {"Authorization": f"Bearer {token}", "Idempotency-Key": "w" * 32, "If-Match": other.etag}
            async with httpx.AsyncClient(timeout=300) as http:
                assert (await http.post(way, headers=own)).status_code in (200, 201)
        return found

    page = f"{site.url}/consents/{shown.record_id}"
    with monkeypatch.context() as patch:
        patch.setattr(Borrower, "read", slow)
        text = httpx.get(page, headers=session, timeout=300).text
    sent = dict(re.findall(r'name="(once|whose|seen)" value="([^"]*)"', text))
    form = {**sent, "seen": html.unescape(sent["seen"]), "action": "suspend"}
    answer = httpx.post(page, data=form, headers=session, timeout=300)
    assert answer.status_code == 412 and "Something changed since you opened the page" in answer.text
    assert standing(site, person)["ordinary"] == "given"
