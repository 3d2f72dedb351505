"""The catalogue says in Chinese every sentence that the pages say in English, with the same names in it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from screens.house.words import FOLDER, LANGUAGES, PageWords, preferred

ROOT = Path(__file__).parents[2] / "screens"
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "N_": None, "say": None, "count": (1, 2)}
PLACE = re.compile(r"%\((\w+)\)s")


def sentences() -> set[str]:
    methods = [("**.html", "jinja2.ext:babel_extract"), ("**.py", "python")]
    options = {"**.html": {"newstyle_gettext": "true", "silent": "false"}}
    found = extract_from_dir(str(ROOT), methods, options, KEYWORDS)
    return {text if isinstance(text, str) else text[0] for _, _, text, _, _ in found}


def test_every_sentence_is_there_and_no_other() -> None:
    with (FOLDER / "zh.po").open("rb") as file:
        messages = {message.id: message for message in read_po(file) if message.id}
    assert set(messages) == sentences()
    for id_, message in messages.items():
        assert message.string and not message.fuzzy, id_
        assert set(PLACE.findall(str(message.string))) == set(PLACE.findall(str(id_))), id_
        assert re.search(r"[一-鿿]", str(message.string)), id_


@pytest.mark.parametrize(
    ("header", "language"),
    [("zh-CN, en;q=0.5", "zh"), ("en-GB", "en"), ("fr", "en"), ("", "en"), ("fr, zh-Hant;q=0.8", "zh")],
)
def test_a_browser_is_answered_as_it_reads(header: str, language: str) -> None:
    assert preferred(header) == language


def test_times_have_a_zone_and_money_a_currency() -> None:
    moment = datetime(2026, 11, 28, 6, 5, tzinfo=UTC)
    assert PageWords("zh").time(moment) == "2026年11月28日 14:05:00 CST"
    assert PageWords("en", "UTC").time(moment) == "28 Nov 2026, 06:05:00 UTC"
    assert "¥1,234.50" in PageWords("zh").money(123450).replace("¥", "¥")
    assert set(LANGUAGES) == {"zh", "en"}
