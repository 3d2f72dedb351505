"""A notice that says otherwise than before: what has changed is shown first, and the earlier words stay readable."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from support.house import Ground
from support.pages import Seen
from support.portal import HTTP, Site, get, open_portal, said_otherwise

from screens.common.parties import PartyNames
from screens.portal.differences import Difference, differences
from screens.portal.visit import SESSION


@pytest.mark.parametrize(
    ("before", "now", "found"),
    [
        ("One. Two.", "One. Two.", []),
        ("One. Two.", "One. Three.", [Difference("Two.", "Three.")]),
        ("One. Two.", "One.", [Difference("Two.", "")]),
        ("One.\nTwo.", "One. Two. Three.", [Difference("", "Three.")]),
        ("我们读收入。谢谢。", "我们读收入和存款。谢谢。", [Difference("我们读收入。", "我们读收入和存款。")]),
        ("A  line\nbroken", "A line\nbroken", []),
    ],
)
def test_differences_are_by_sentence(before: str, now: str, found: list[Difference]) -> None:
    assert differences(before, now) == found


@pytest.fixture(scope="module")
def changed(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The notice that everybody has answered has a second version, which keeps data for longer."""
    with open_portal(ground, tmp_path_factory.mktemp("portal")) as site:
        longer = site.house.notice.terms.retention_period_days + 1000
        said_otherwise(site.house, site.house.notice, retention_period_days=longer)
        yield site


@pytest.fixture(scope="module")
def session(changed: Site) -> str:
    return changed.cookie(changed.person())


@pytest.mark.parametrize(("language", "said"), [("en", "Now it is said otherwise."), ("zh", "现在换了一种说法。")])
def test_what_has_changed_is_shown_before_the_whole_text(changed: Site, session: str, language: str, said: str) -> None:
    page = get(changed, f"/ask/{changed.house.notice.id}/2", language, session).text
    shown = page[page.index('<ul class="changes"') : page.index("</ul>", page.index('<ul class="changes"'))]
    assert f"<ins>{said}" in shown and "<del>" in shown
    assert page.index("<ins>") < page.index('class="notice"')
    same = changed.house.notice.texts[language].splitlines()[-1].strip()
    assert f"<del>{same}</del>" not in shown, "what is said as before is no difference"


def test_the_earlier_words_stay_readable_and_lead_to_the_newer(changed: Site, session: str) -> None:
    notice = changed.house.notice
    record = re.findall(r'"/consents/([0-9a-f]{32})"', get(changed, "/", "en", session).text)[0]
    link = f"/texts/{notice.id}/1"
    assert link in get(changed, f"/consents/{record}", "en", session).text
    for language in ("en", "zh"):
        page = get(changed, link, language, session)
        assert page.status_code == 200 and notice.text_sha256(language)[:16] in page.text
        assert f"/ask/{notice.id}/2" in page.text
        assert [one["lang"] for one in Seen(page.text).all("div") if one.get("class") == "notice"] == [language]
    assert get(changed, f"/texts/{notice.id}/3", "en", session).status_code == 404
    assert get(changed, "/texts/joint-model-monitoring/1", "en", session).status_code == 404


def test_another_language_keeps_what_the_page_was_asked_for(changed: Site, session: str) -> None:
    page = get(changed, "/requests/new?kind=object&recipient=aspen&language=en", "en", session).text
    links = [one["href"] for one in Seen(page).all("a") if one.get("hreflang") == "zh"]
    assert links == ["?kind=object&recipient=aspen&language=zh"]


def test_a_no_to_all_is_heard_however_many_questions_there_are(changed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("screens.portal.consents.AT_ONCE", 1)
    site, notice = changed, changed.house.notice
    cookie = site.cookie(site.person(at=1))
    page = get(site, f"/ask/{notice.id}/2", "en", cookie).text
    own = {str(one["name"]): str(one["value"]) for one in Seen(page).all("input") if one.get("type") == "hidden"}
    assert page.count("<fieldset>") > 1
    headers = {"Cookie": f"{SESSION}={cookie}", "Origin": site.url}
    answer = HTTP.post(f"{site.url}/ask/{notice.id}/2", data={**own, "all": "refuse"}, headers=headers)
    assert answer.status_code == 303, answer.text
    after = get(site, f"/recorded/{notice.id}/2", "en", cookie).text
    assert "You said yes" not in after


def test_a_party_is_called_as_it_states_in_the_readers_language_else_by_its_name(changed: Site) -> None:
    consortium = changed.house.founded.consortium
    parties = {party.id: party for party in consortium.parties}
    aspen = parties["aspen"].model_copy(update={"legal": {"names": {"zh": "白杨小额贷款"}}})
    birch = parties["birch"].model_copy(update={"name": "白桦金融"})
    told = [*(one for one in consortium.parties if one.id not in ("aspen", "birch")), aspen, birch]
    names = PartyNames.of(consortium.model_copy(update={"parties": tuple(told)}))
    assert [names.of_party("aspen", one) for one in ("zh", "en")] == ["白杨小额贷款", aspen.name]
    assert [names.language_of("aspen", one) for one in ("zh", "en")] == ["zh", "en"]
    assert names.of_party("birch", "en") == "白桦金融" and names.language_of("birch", "en") == "zh"
    assert names.of_party("gone", "en") == "gone"
