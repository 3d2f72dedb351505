"""Pages about a campaign that watches a released model: they say so, and none of them says that a model is trained."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.console import ConsoleSite, open_console
from support.house import Ground
from support.watching import begin_watching, model_to_watch

from protocol.campaigns import Campaign
from server.desired_state import Stage, write_state


@pytest.fixture(scope="module")
def grown(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return ground.after(tmp_path_factory.mktemp("watched") / "house", model_to_watch)


@pytest.fixture(scope="module")
def site(grown: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleSite]:
    with open_console(grown, tmp_path_factory.mktemp("console")) as opened:
        yield opened


@pytest.fixture(scope="module")
def counted(site: ConsoleSite) -> Campaign:
    site.house.trained = site.house.campaign
    begin_watching(site.house)
    campaign = site.house.campaign
    assert campaign is not None and campaign.watched is not None
    write_state(site.folder(campaign), Stage.PROPOSED)
    site.conduct(campaign)
    return campaign


@pytest.mark.parametrize(
    ("language", "says", "lies"),
    [
        (
            "en",
            ("Everybody who applied in the period", "the figures are released"),
            ("the model is released", "held out"),
        ),
        ("zh", ("期间内的全部申请人", "已完成：数据已发布"), ("已完成：模型已发布",)),
    ],
)
def test_the_console_says_of_a_watching_campaign_what_it_counted(site, counted, language, says, lies):
    session, path = site.cookie(), f"/campaigns/{counted.sha256}"
    page = site.get(path, language, session)
    assert page.status_code == 200 and site.get(f"{path}/now", language, session).status_code == 200
    assert all(one in page.text for one in says) and not any(one in page.text for one in lies)
    assert counted.watched.campaign_sha256[:12] in page.text


def test_the_card_of_figures_offers_the_figures_and_says_nothing_of_who_did_not_repay(site, counted):
    session, path = site.cookie(), f"/campaigns/{counted.sha256}/card"
    page = site.get(path, session=session).text
    assert "were approved" in page and "did not repay" not in page and "held out in this campaign" not in page
    assert f"{path}/figures.json" in page and "model.safetensors" not in page
    assert site.get(f"{path}/figures.json", session=session).json()["kind"] == "intake"
    assert site.get(f"{path}/model.safetensors", session=session).status_code == 404
