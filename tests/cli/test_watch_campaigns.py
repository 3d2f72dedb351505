"""``tahini watch propose`` and ``report``, as coordinator and lender use them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.commands import done, refused, tahini, told
from support.watching import ask_for_watching, begin_watching, watched, write_applicants

from cli.watch_report import page
from clients.models import KeptModel
from server.folders import campaign_in
from server.home import CARD_FILE, FIGURES_FILE, Coordinator
from watching.readings import IntakeFigures, OutcomeFigures, figures_from, report


def happened(house) -> None:
    """A model, and one month of watching."""
    house.activate(epsilon=0.5)
    watched(house)
    house.trained = house.campaign
    ask_for_watching(house)
    write_applicants(house)
    begin_watching(house)
    watched(house)


@pytest.fixture(scope="module")
def grown(ground, tmp_path_factory):
    return ground.after(tmp_path_factory.mktemp("watched") / "house", happened)


@pytest.fixture
def house(grown, tmp_path):
    with grown.copy(tmp_path / "house").opened() as opened:
        yield opened


def trained(home) -> str:
    folders = (home / "campaigns").glob(f"*/{FIGURES_FILE}")
    card = json.loads(next(folders).read_text(encoding="utf-8"))
    assert card["kind"] == "intake"
    return next(folder.name for folder in (home / "campaigns").iterdir() if not (folder / FIGURES_FILE).exists())


def test_a_coordinator_reads_what_was_counted_and_a_lender_what_it_fetched(house):
    home = house.coordinator().home
    found = told("watch", "report", "--home", home)
    (month,) = found["intake"]
    assert month["period"] == "2026-10" and found["light"] == "grey", "three dozen people under noise"
    assert "too few to say" in done("watch", "report", "--home", home)
    node = house.node("birch")
    assert "no figures of such a model" in refused("watch", "report", "--home", node.home)
    kept = KeptModel.fetch(house.client("birch"), house.campaign.sha256)
    kept.write(node.home / "models" / house.campaign.sha256)
    assert told("watch", "report", "--home", node.home) == found


def test_figures_that_were_altered_are_not_read(house):
    home = house.coordinator().home
    (path,) = (home / "campaigns").glob(f"*/{FIGURES_FILE}")
    said = json.loads(path.read_text(encoding="utf-8"))
    said["groups"]["counts"][0][0] += 1
    path.write_text(json.dumps(said), encoding="utf-8")
    assert "not the file that its card names" in refused("watch", "report", "--home", home)
    (path.parent / CARD_FILE).write_text("forged", encoding="utf-8")
    assert "is damaged" in refused("watch", "report", "--home", home)


def test_a_month_is_proposed_once_it_is_over_and_with_one_way_of_saying_it(house):
    home = house.coordinator().home
    asked = ("watch", "propose", trained(home), "--home", home)
    assert "is said alone" in refused(*asked)
    assert "is said alone" in refused(*asked, "--month", "2026-10", "--since", "2026-10-01")
    assert "is to come" in refused(*asked, "--month", "2030-01")
    assert "is intake or outcomes" in refused(*asked, "--month", "2026-10", "--kind", "rolls")
    assert "released figures, and no model" in refused(
        "watch", "propose", house.campaign.sha256, "--home", home, "--month", "2026-10"
    )


def test_a_proposal_says_what_it_costs_and_lenders_see_whom_it_counts(house):
    home = house.coordinator().home
    found = told("watch", "propose", trained(home), "--home", home, "--month", "2026-10", "--id", "october")
    assert (found["since"], found["until"]) == ("2026-10-01", "2026-11-01") and found["noise_multiplier"] == 20
    said = tahini("campaign", "approve", found["campaign"][:12], "--home", house.node("aspen").home, given="n\n")
    assert "watches    everybody who applied in 2026-10" in said.stdout and "nothing was signed" in said.stderr
    assert Coordinator.open(home).folder(found["campaign"]).exists()


def test_an_alarm_proposes_the_same_training_again_and_without_one_nothing_is_proposed(house, monkeypatch):
    home = house.coordinator().home
    asked = ("campaign", "propose", "--home", home, "--id", "next", "--from-alarm", trained(home)[:12])
    assert "there is no alarm about the model" in refused(*asked)
    broken = [made_up("intake"), *[made_up("intake", (0.2, 0.8))] * 2]
    found = report([(f"2026-0{7 + at}", one) for at, one in enumerate(broken)], [])
    monkeypatch.setattr("cli.watch_campaigns._read", lambda *_: found)
    assert "another campaign than the one" in refused(*asked, "--like", house.campaign.sha256)
    result = tahini(*asked, "--json")
    assert result.exit_code == 0, result.output
    proposed = campaign_in(house.coordinator().folder(json.loads(result.stdout)["campaign"]))
    assert proposed.title == "Trained again after an alarm: population"
    assert proposed.features == campaign_in(house.coordinator().folder(trained(home))).features


def made_up(kind: str, now: tuple[float, float] = (0.6, 0.4)) -> IntakeFigures | OutcomeFigures:
    people, shares = 20_000, np.array(now)
    counts = [(people * shares * 0.4).tolist(), (people * shares * 0.6).tolist()]
    groups = {"edges": [-1.0], "counts": counts, "noise": 5.0, "expected": [0.6, 0.4], "probability": [0.4, 0.9]}
    said = {"kind": kind, "groups": groups, "reference": {"people": 3e4, "bad_rate": 0.1}}
    if kind == "intake":
        answers = {"counts": (people * shares).tolist(), "expected": [0.6, 0.4]}
        said |= {"noise": 5.0, "segments": {}, "features": {"<late>": answers}}
    else:
        said |= {"evaluation": None}
    return figures_from(json.dumps(said), "here")


@pytest.mark.parametrize(("language", "says"), [("en", "Nothing that matters"), ("zh", "没有发生重要变化")])
def test_the_page_is_one_file_without_a_script_in_both_languages(language, says):
    found = report([("2026-09", made_up("intake")), ("2026-10", made_up("intake"))], [("2026-03", made_up("outcomes"))])
    text = page(found, "Spring <model>", language)
    assert says in text and f'<html lang="{language}">' in text and "<script" not in text
    assert "Spring &lt;model&gt;" in text and "&lt;late&gt;" in text and "<late>" not in text
    assert text.count("<svg") == 2 and "2026-10" in text
