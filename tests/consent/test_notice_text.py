"""A notice is a signed document for programs and plain text for people: the very text that a consent names by hash."""

from __future__ import annotations

import hashlib

import httpx
import pytest

from protocol.languages import chosen
from protocol.notices import Notice


@pytest.mark.parametrize(
    ("accepted", "known", "best"),
    [
        ("zh", ["en", "zh"], "zh"),
        ("zh-CN, en;q=0.5", ["en", "zh"], "zh"),
        ("ZH-hans-cn", ["en", "zh-Hans"], "zh-Hans"),
        ("zh", ["en", "zh-Hans"], "zh-Hans"),
        ("en;q=0.2, zh;q=0.9", ["en", "zh"], "zh"),
        ("zh;q=0, en", ["en", "zh"], "en"),
        ("fr", ["de", "en"], "en"),
        ("fr", ["de", "zh"], "de"),
        ("*", ["de", "en"], "en"),
        ("", ["en", "zh"], "en"),
        (";;q=,,q=9,en;q=x", ["en", "zh"], "en"),
    ],
)
def test_the_language_is_the_best_that_is_accepted(accepted, known, best):
    assert chosen(accepted, known) == best


def test_a_person_reads_the_very_text_that_is_consented_to(house):
    target = f"{house.url}/v1/notices/{house.notice.id}/{house.notice.version}"
    signed = httpx.get(target)
    assert Notice.verify(signed.text, house.founded.registry_key.public) == house.notice
    for asked, language in (("zh-CN,zh;q=0.9", "zh"), ("en", "en"), ("fr", "en")):
        answer = httpx.get(target, headers={"Accept": "text/plain", "Accept-Language": asked})
        assert answer.headers["content-language"] == language
        assert answer.text == house.notice.texts[language]
        assert hashlib.sha256(answer.content).hexdigest() == house.notice.text_sha256(language)
        assert "accept-language" in answer.headers["vary"].lower()
    browser = httpx.get(target, headers={"Accept": "text/html,text/plain;q=0.9,*/*;q=0.8"})
    assert browser.text == signed.text
