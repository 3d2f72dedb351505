"""What a borrower reads is what the registry has signed, and not what it says."""

from __future__ import annotations

import asyncio
import hashlib

import httpx
import pytest
from support.portal import Site

from crypto.keys import SigningKey
from protocol.notices import Notice
from screens.house.errors import PageError
from screens.portal.registry import NoticeText, PortalRegistry


@pytest.fixture(scope="module")
def notice(site: Site) -> Notice:
    return site.house.notice


def read(said: str, name: str, version: int, key: SigningKey, language: str = "zh") -> NoticeText:
    async def asked() -> NoticeText:
        transport = httpx.MockTransport(lambda _: httpx.Response(200, text=said))
        async with httpx.AsyncClient(base_url="http://registry", transport=transport) as http:
            return await PortalRegistry(http, key=key.public).as_borrower("token").notice(name, version, language)

    return asyncio.run(asked())


def test_the_text_and_its_hash_are_those_that_were_signed(notice: Notice) -> None:
    key = SigningKey.generate()
    for language in ("zh", "en"):
        found = read(notice.sign(key) + "\n", notice.id, notice.version, key, language)
        assert found == NoticeText(notice.texts[language], language, notice.text_sha256(language))
        assert found.sha256 == hashlib.sha256(found.text.encode()).hexdigest()


def test_a_text_that_nobody_signed_is_not_shown(notice: Notice) -> None:
    key = SigningKey.generate()
    signed = notice.sign(key)
    head, body, signature = signed.split(".")
    other = notice.model_copy(update={"version": notice.version + 1})
    for said in (notice.texts["zh"], f"{head}.{body}.{'A' * len(signature)}", notice.sign(SigningKey.generate()),
                 Notice.model_validate(other.model_dump()).sign(key), ""):  # fmt: skip
        with pytest.raises(PageError) as refused:
            read(said, notice.id, notice.version, key)
        assert refused.value.code == "notice-unsigned"
