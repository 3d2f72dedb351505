"""``tahini watch propose`` and ``report``, as coordinator and lender use them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tomli_w
from prometheus_client.parser import text_string_to_metric_families
from support.commands import done, refused, tahini, told
from support.watching import ask_for_watching, begin_watching, watched, write_applicants
from support.world import features

from cli.watch_campaigns import _read
from cli.watch_kept import KeptFigures, released_figures
from cli.watch_metrics import metrics
from cli.watch_report import page
from clients.models import KeptModel, check_origin
from protocol.cards import ModelCard
from protocol.errors import RegistryUnavailable
from protocol.watched import WatchedPeriod
from server.folders import campaign_in
from server.home import CARD_FILE, FIGURES_FILE, Coordinator
from watching.readings import report
from watching.released import IntakeFigures, OutcomeFigures, figures_from

MOVED = json.dumps(
    {
        "kind": "intake",
        "groups": {
            "edges": [-1.0],
            "counts": [[2400, 5600], [3600, 8400]],
            "noise": 5.0,
            "expected": [0.6, 0.4],
            "probability": [0.4, 0.9],
        },
        "reference": {"people": 3e4, "bad_rate": 0.1},
        "noise": 5.0,
        "segments": {},
        "features": {name: {"counts": [6000, 14000], "expected": [0.6, 0.4]} for name in "abcdefgh"},
    }
)
"""Figures of a period in which everything has moved."""


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
    exposed = node.home / "watch.prom"
    done("watch", "report", "--home", node.home, "--metrics", exposed)
    named = trained(home)[:12]
    assert f'tahini_watch_people{{campaign="{named}",kind="intake"}}' in exposed.read_text(encoding="utf-8")


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
    assert "released figures and no model" in refused(
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
    assert "the alarm would stay" in refused(*asked, "--warm-start", trained(home))


def test_the_next_model_begins_with_the_last_one_and_whoever_reads_the_campaign_is_told(house):
    home = house.coordinator().home
    earlier = trained(home)
    asked = ("campaign", "propose", "--home", home, "--id", "warm", "--warm-start", earlier[:12], "--epsilon", "0.4")
    said = tahini(*asked, "--json")
    assert said.exit_code == 0, said.output
    found = json.loads(said.stdout)
    proposed = campaign_in(house.coordinator().folder(found["campaign"]))
    assert found["begins_with"] == proposed.begins_with.model_dump()
    assert proposed.begins_with.campaign_sha256 == earlier and len(proposed.mechanism.releases) == found["releases"]
    assert proposed.title == campaign_in(house.coordinator().folder(earlier)).title
    said = tahini("campaign", "approve", found["campaign"][:12], "--home", house.node("aspen").home, given="n\n")
    assert f"begins     with the model that campaign {earlier[:12]} released" in said.stdout
    for command in (("plan", "--explain"), ("show",)):
        assert done("campaign", command[0], found["campaign"][:12], *command[1:], "--home", home)
    said = refused(*asked[:6], "--warm-start", house.campaign.sha256)
    assert "--warm-start names" in said and "released figures and no model" in said
    assert "has other features" in refused(*asked, "--features", other_features(home))


def test_figures_score_nobody_and_say_so(house, tmp_path):
    node = house.node("birch")
    kept = KeptModel.fetch(house.client("birch"), house.campaign.sha256)
    folder = node.home / "models" / house.campaign.sha256
    kept.write(folder)
    data = tmp_path / "people.csv"
    data.write_text("late,income,grade\n1,3000,a\n", encoding="utf-8")
    asked = ("score", "--home", node.home, "--data", data, "--model")
    assert "they score nobody" in refused(*asked, folder / "figures.json")
    assert "there is no model" in refused(*asked, folder / "model.safetensors", "--card", trained_card(house))


def trained_card(house) -> Path:
    return house.coordinator().folder(trained(house.coordinator().home)) / CARD_FILE


def other_features(home: Path) -> Path:
    path = home / "other.toml"
    listed = features().model_dump(mode="json", exclude_none=True)
    path.write_text(tomli_w.dumps({**listed, "features": listed["features"][:2]}), encoding="utf-8")
    return path


def test_a_lender_that_was_lost_after_it_had_counted_compares_nothing(house, monkeypatch):
    """What it kept is in no sum: the others' figures are not the released ones less its own."""
    node = house.node("birch")
    kept = KeptModel.fetch(house.client("birch"), house.campaign.sha256)
    kept.write(node.home / "models" / house.campaign.sha256)
    (one,) = released_figures(node.home)
    assert one.own and "birch" in one.card.lenders

    def without(*asked):
        found = check_origin(*asked)
        lenders = tuple(name for name in found.card.lenders if name != "birch")
        return replace(found, card=found.card.model_copy(update={"lenders": lenders}))

    monkeypatch.setattr("clients.models.check_origin", without)
    (one,) = released_figures(node.home)
    assert one.own is None


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
    assert ("below 26.9%" in text, "低于 26.9%" in text) == (language == "en", language == "zh")


def test_metrics_are_the_latest_figures_each_with_its_error_and_nothing_that_cannot_be_told():
    moved = report([("2026-09", made_up("intake")), ("2026-10", made_up("intake", (0.2, 0.8)))], [])
    (light, index, _) = (
        {tuple(sorted(one.labels.items())): one.value for one in family.samples}
        for family in text_string_to_metric_families(metrics(moved, "4f1c22").decode())
        if family.name in {"tahini_watch_light", "tahini_watch_stability_index", "tahini_watch_stability_index_error"}
    )
    assert light[("campaign", "4f1c22"), ("light", "amber")] == 1 and sum(light.values()) == 1
    latest = moved.intake[-1].features["<late>"]
    assert index[("campaign", "4f1c22"), ("figure", "<late>")] == pytest.approx(latest.psi)
    quiet = metrics(report([], [("2026-03", made_up("outcomes"))]), "4f1c22").decode()
    assert 'light="grey"} 1.0' in quiet and "tahini_watch_auc" not in quiet and "stability" not in quiet


def test_figures_of_another_campaign_are_not_read_as_those_of_this_one(house):
    first = house.coordinator().folder(house.campaign.sha256)
    house.trained = campaign_in(first.parent / trained(house.coordinator().home))
    begin_watching(house, name="september", since=date(2026, 9, 1), until=date(2026, 10, 1), mu=0.02)
    watched(house)
    second = house.coordinator().folder(house.campaign.sha256)
    for name in (CARD_FILE, FIGURES_FILE):
        (second / name).write_bytes((first / name).read_bytes())
    assert "card of another campaign" in refused("watch", "report", "--home", house.coordinator().home)


def test_figures_that_were_recalled_are_left_out_and_named(house, monkeypatch):
    node = house.node("birch")
    home = house.coordinator().home
    assert "was recalled" not in tahini("watch", "report", "--home", home).stderr
    done("model", "recall", house.campaign.sha256, "--home", house.coordinator().home, "--reason", "A wrong month.")
    kept = KeptModel.fetch(house.client("birch"), house.campaign.sha256)
    kept.write(node.home / "models" / house.campaign.sha256)
    said = tahini("watch", "report", "--home", node.home)
    assert said.exit_code == 1 and "left out: " in said.stderr and "A wrong month" in said.stderr
    said = tahini("watch", "report", "--home", home)
    assert said.exit_code == 1 and "left out: " in said.stderr and "A wrong month" in said.stderr

    def away(*_):
        raise RegistryUnavailable("the registry does not answer")

    monkeypatch.setattr("protocol.client.filing.recalls_of", away)
    said = tahini("watch", "report", "--home", home)
    assert said.exit_code == 0 and "is not known: the registry does not answer" in said.stderr


def test_figures_are_no_model_that_could_be_used_meanwhile(house):
    home = house.coordinator().home
    figures = ModelCard.claimed((Coordinator.open(home).folder(house.campaign.sha256) / CARD_FILE).read_text("utf-8"))
    asked = ("model", "recall", trained(home), "--home", home, "--reason", "It is wrong.", "--fallback", figures.sha256)
    assert "could be used meanwhile" in refused(*asked)


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (("--month", "9999-12"), "9999-12 is to come"),
        (("--month", "2026-10", "--mu", "0"), "no mu that can be charged"),
        (("--month", "2026-10", "--mu", "nan"), "no mu that can be charged"),
        (("--month", "2026-10", "--hours", "nan"), "--hours is 0.1 to 2160"),
    ],
)
def test_a_number_that_is_none_gets_a_sentence(house, option, says):
    home = house.coordinator().home
    assert says in refused("watch", "propose", trained(home), "--home", home, *option)


def test_the_plan_of_a_watching_campaign_is_told_before_and_after_it_ran(house):
    asked = ("campaign", "plan", house.campaign.sha256[:12], "--home", house.coordinator().home)
    assert "counts people of 2026-10" in done(*asked, "--explain") and "held out" not in done(*asked)
    assert told(*asked)["chosen"] is None


@pytest.mark.parametrize(
    ("days", "alarms"),
    [
        (((date(2026, 8, 1), date(2026, 9, 1)), (date(2026, 9, 1), date(2026, 10, 1))), True),
        (((date(2026, 7, 1), date(2026, 10, 1)), (date(2026, 9, 1), date(2026, 10, 1))), False),
        (((date(2024, 9, 1), date(2024, 10, 1)), (date(2026, 9, 1), date(2026, 10, 1))), False),
    ],
    ids=["months that follow each other", "the same people twice", "two years apart"],
)
def test_an_alarm_takes_two_periods_of_which_one_follows_the_other(days, alarms):
    released = [
        KeptFigures(
            WatchedPeriod(campaign_sha256="0" * 64, model_sha256="0" * 64, since=since, until=until),
            "intake",
            SimpleNamespace(campaign_sha256="0" * 64),
            MOVED.encode(),
            "here",
        )
        for since, until in days
    ]
    found = _read(released)
    assert bool(found.alarms) == alarms and found.intake[-1].moved
    assert found.light.value == ("red" if alarms else "amber")
