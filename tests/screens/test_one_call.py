"""The portal's first page asks the registry once; lists that are longer than one answer are still whole."""

from __future__ import annotations

import asyncio

import httpx

from screens.portal.registry import PortalRegistry

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
            return await PortalRegistry(http).as_borrower("token").overview()

    found = asyncio.run(overview())
    assert found == {"notices": [], "consents": [1, 2, 3, 4, 5], "revocations": [], "incidents": []}
    assert [one.partition("?")[0] for one in asked] == ["/v1/me/overview", *["/v1/me/consents"] * 2]
