"""The catalogue says in Chinese every sentence that the pages say in English, with the same names in it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from consent.refusals import REASONS
from protocol.languages import chosen
from screens.house.problems import FIGURES, FULLER, SENTENCES
from screens.house.words import LANGUAGES, PageWords
from trials import words
from trials.words import SCREENS, apps, sentences, translations

PLACE = re.compile(r"%\((\w+)\)s")


@pytest.mark.parametrize("app", apps())
def test_every_sentence_is_there_and_no_other(app: str) -> None:
    known = translations(app)
    assert set(known) == sentences(app)
    for sentence, said in known.items():
        places = {name for form in forms(sentence) for name in PLACE.findall(form)}
        assert forms(said) and all(forms(said)), sentence
        for form in forms(said):
            assert set(PLACE.findall(form)) == places, sentence
            assert re.search(r"[一-鿿]", form), sentence


def forms(sentence: str | tuple[str, ...]) -> tuple[str, ...]:
    return (sentence,) if isinstance(sentence, str) else tuple(sentence)


def test_what_nobody_translated_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "house" / "views").mkdir(parents=True)
    (tmp_path / "house" / "views" / "one.html").write_text("{% trans %}Good day{% endtrans %}", encoding="utf-8")
    monkeypatch.setattr(words, "SCREENS", tmp_path)
    words._said.cache_clear()
    assert words.main() == 1
    assert words.rewrite("house", {"Good day": "您好"}) == []
    assert words.main() == 0
    words._said.cache_clear()


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("zh-CN, en;q=0.5", "zh"),
        ("en-GB", "en"),
        ("fr", "en"),
        ("", "en"),
        ("fr, zh-Hant;q=0.8", "zh"),
        ("en;q=0.1, zh;q=0.9", "zh"),
    ],
)
def test_a_browser_is_answered_as_it_reads(header: str, language: str) -> None:
    assert chosen(header, list(LANGUAGES)) == language


def test_times_have_a_zone_and_money_a_currency() -> None:
    moment = datetime(2026, 11, 28, 6, 5, tzinfo=UTC)
    assert PageWords("zh").time(moment) == "2026年11月28日 14:05:00 CST"
    assert PageWords("en", "UTC").time(moment) == "28 Nov 2026, 06:05:00 UTC"
    assert "¥1,234.50" in PageWords("zh").money(123450).replace("¥", "¥")
    assert set(LANGUAGES) == {"zh", "en"}


def test_every_reason_for_which_the_registry_refuses_has_a_sentence() -> None:
    assert set(REASONS) <= set(SENTENCES)


def test_what_a_refusal_states_in_figures_stands_in_its_sentence() -> None:
    for code, sentence in FULLER.items():
        (name,) = FIGURES & set(REASONS[code])
        assert f"%({name})s" in sentence and code in SENTENCES
        for language in LANGUAGES:
            said = PageWords(language).problem(code, {name: "1234", "notice": "n"})
            assert "1,234" in said and "%(" not in said, said
            for odd in ("", "-1", "1e3", "１", "1" * 10, "<b>"):
                assert PageWords(language).problem(code, {name: odd}) == PageWords(language).say(SENTENCES[code])


def test_a_word_alone_means_another_thing_elsewhere() -> None:
    """Found by looking: the console said of a campaign that runs that it repays, for one app's word was every app's."""
    said = {app: PageWords("zh", folder=SCREENS / app / "words").say("Running") for app in ("console", "counter")}
    assert said == {"console": "运行中", "counter": "还款中"}
