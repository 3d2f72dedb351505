"""A borrower reads the card of what their data may have helped to train: checked, or said to be wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from support.house import Ground
from support.pages import Seen
from support.portal import Site, get, open_portal

from crypto.errors import CryptoError
from crypto.keys import SigningKey
from protocol.cards import ModelCard
from protocol.client.filing import recall_model
from protocol.parties import Role
from protocol.recalls import ModelRecall
from protocol.schema import now
from screens.common.model_cards import ShownCard


@pytest.fixture(scope="module")
def released(after_release: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_portal(after_release, tmp_path_factory.mktemp("portal")) as site:
        yield site


@pytest.fixture(scope="module")
def session(released: Site) -> str:
    """Of somebody who had a place, so that their data may have been used; who has one is drawn."""
    gave = (one for one in released.house.borrowers["aspen"] if one.answer == "gives")
    sessions = (released.cookie(one) for one in gave)
    return next(
        one for one in sessions if "may have used" in get(released, "/uses", "en", one).text.partition("<section")[2]
    )


def sha256(site: Site) -> str:
    assert site.house.campaign is not None
    return site.house.campaign.sha256


def kept(site: Site, session: str) -> str:
    """The card as the page hands it out."""
    return get(site, f"/models/{sha256(site)}/model-card.jws", "en", session).text


def test_who_used_my_data_leads_to_what_came_of_it(released: Site, session: str) -> None:
    links = {one["href"] for one in Seen(get(released, "/uses", "en", session).text).all("a")}
    assert f"/models/{sha256(released)}" in links


@pytest.mark.parametrize(
    ("language", "said"),
    [("en", ["checked by this server", "What it may tell about you"]), ("zh", ["它可能透露您的什么", "评分卡"])],
)
def test_the_card_in_both_languages(released: Site, session: str, language: str, said: list[str]) -> None:
    answer = get(released, f"/models/{sha256(released)}", language, session)
    assert answer.status_code == 200, answer.text
    card = ModelCard.claimed(kept(released, session))
    for one in [
        *said,
        *card.features,
        *(released.house.founded.consortium.party(lender).name for lender in card.lenders),
    ]:
        assert one in answer.text, one
    assert f"{card.epsilon if card.epsilon_spent is None else card.epsilon_spent:.2f}" in answer.text
    seen = Seen(answer.text)
    assert len(seen.all("h1")) == 1 and [one["lang"] for one in seen.all("li") if "lang" in one] == ["en"] * len(
        card.limits
    )


def test_a_card_of_nothing_and_of_other_peoples_lenders_is_not_there(released: Site, session: str) -> None:
    none = get(released, f"/models/{'0' * 64}", "en", session)
    assert none.status_code == 404 and "Nothing was released by it yet" in none.text
    assert get(released, f"/models/{sha256(released)}", "en").status_code == 401


def test_one_byte_of_a_card_and_it_is_nothing_to_go_by(released: Site, session: str) -> None:
    token = kept(released, session)
    key = released.house.founded.consortium.one(Role.COORDINATOR).key
    assert ShownCard.of(token, key).signed
    head, body, signature = token.split(".")
    changed = ("A" if signature[0] != "A" else "B") + signature[1:]
    assert not ShownCard.of(f"{head}.{body}.{changed}", key).signed
    assert not ShownCard.of(token, SigningKey.generate().public).signed
    with pytest.raises(CryptoError):
        ShownCard.of("no card", key)


def test_a_page_says_of_a_wrong_signature_that_it_is_wrong(
    released: Site, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = SigningKey.generate().public
    monkeypatch.setattr(
        "screens.portal.models.ShownCard.of", lambda token, _: ShownCard(ModelCard.claimed(token), False)
    )
    page = get(released, f"/models/{sha256(released)}", "en", session).text
    assert other and re.search(r'<section class="error">\s*<p>This card does not verify', page)


def test_a_recalled_model_says_so_first(released: Site, session: str) -> None:
    house, card = released.house, kept(released, session)
    said = {"campaign_sha256": sha256(released), "card_sha256": ModelCard.claimed(card).sha256}
    recall = ModelRecall(**said, party="birch", recalled_at=now(), reason="It is wrong about the young.")
    recall_model(house.client("birch"), recall, house.node("birch").key)
    page = get(released, f"/models/{sha256(released)}", "en", session).text
    assert page.index("Recalled") < page.index("What it is") and "wrong about the young" not in page
