"""A campaign that watches a released model before a lender's office: a yes is signed for what it is."""

from __future__ import annotations

import pytest
from support.back_office import open_back_office
from support.house import Ground
from support.watching import begin_watching, model_to_watch


def test_who_signs_a_yes_in_the_office_reads_that_a_model_is_watched_and_of_which_days(
    ground: Ground, tmp_path_factory: pytest.TempPathFactory
) -> None:
    grown = ground.after(tmp_path_factory.mktemp("watched") / "house", model_to_watch)
    with open_back_office(grown, tmp_path_factory.mktemp("office")) as office:
        office.house.trained = office.house.campaign
        begin_watching(office.house)
        campaign = office.house.campaign
        assert campaign is not None and campaign.watched is not None
        with office.http() as http:
            page = http.get(f"/campaigns/{campaign.sha256}").text
        assert "watches a released model" in page and "trains one credit model" not in page
        assert (
            "everybody who applied from October 1, 2026" in page or "everybody who applied from 1 October 2026" in page
        )
        assert campaign.watched.model_sha256[:12] in page
