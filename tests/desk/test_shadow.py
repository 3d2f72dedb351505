"""A model that is tried in shadow scores whoever is decided about: kept, compared, made again, told to nobody, and
stopped like the one in use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import select
from support.commands import done, told
from support.house import Ground, House, InMemoryFleet
from support.lending_house import PROFILES, LendingHouse, clear, lending_house
from support.world import features

from clients.models import MODELS_FOLDER, RECALLS_FILE, KeptModel
from credit.features import FeatureSchema
from desk.commands.challenge import challengers
from desk.commands.person import person_file
from desk.commands.replay import replay, replay_beside
from desk.commands.status import standing
from desk.errors import RulesMissing, SourceFailed
from desk.home import DeskSettings, fits_beside, open_desk
from desk.lending_rules import ReleasedRules
from desk.records import held
from desk.released import TRIED_FILE
from desk.score_rules import ScoreRules, Trial
from desk.storage.tables import decisions, silent_decisions
from law.categories import DataCategory
from lending.account.default import Definition
from lending.cases import Fact
from lending.errors import LawSilent
from lending.score.compiled import ScoreError
from lending.score.glossary import Glossary
from lending.score.reasons import just_above
from protocol.errors import BadSettings
from protocol.schema import now
from server.fleet_app import release_card
from server.run import CampaignRun

REASON = "It declines whoever lives by the river."


@pytest.fixture(scope="module")
def ground_of_two(after_release: Ground, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """A second campaign released another model."""

    def happens(house: House) -> None:
        coordinator, campaign = house.coordinator(), house.activate(id="the-next-one")
        run = CampaignRun(coordinator, campaign, InMemoryFleet(house), lambda _: None, lambda _: None)
        release_card(coordinator, campaign, run.execute())

    return after_release.after(tmp_path_factory.mktemp("two") / "house", happens)


def rules_of(lender: LendingHouse) -> ReleasedRules:
    assert isinstance(lender.desk.lending, ReleasedRules)
    return lender.desk.lending


def tried(lender: LendingHouse, folder: Path, tilt: float = 1.5) -> ScoreRules:
    """Another model, in shadow from now on."""
    folder.mkdir()
    scorer, file = clear(folder, tilt)
    used = rules_of(lender).model
    assert used is not None
    sample = [scorer.score(profile) for profile in PROFILES]
    found = replace(used, scorer=scorer, file=file, reference=just_above(sample, 350, 601))
    lender.desk.lending = replace(rules_of(lender), tried=found)
    lender.desk.kept_rules.clear()  # as in a process that opens the home anew
    return found


def silent(lender: LendingHouse) -> list[str]:
    with lender.desk.reading() as hand:
        return list(hand.connection.scalars(select(silent_decisions.c.policy_hash)))


def test_it_scores_beside_the_model_in_use_and_changes_no_decision(lender: LendingHouse, tmp_path: Path):
    good, bad, plain = lender.people[:3]
    lender.knows(good)
    lender.knows(bad, **lender.worst)
    lender.knows(plain)
    before = lender.asks(plain).json()
    other = tried(lender, tmp_path / "other")
    said = [lender.asks(one).json() for one in (good, bad)]
    assert said[0]["decision"]["score"] == before["decision"]["score"]
    assert [one["decision"]["outcome"] for one in said] == ["approve", "decline"]
    (seen,) = challengers(lender.desk, Definition(180), lender.desk.day(lender.house.clock()))
    used = rules_of(lender).model
    assert (seen.model, seen.champion, seen.failed) == (other.scorer.model_sha256, used.scorer.model_sha256, 0)
    assert seen.challenger == other.trial.sha256 and seen.found.applications == 2
    by_hand = [other.scorer.score(dict(PROFILES[0]) | person).score for person in (lender.best, lender.worst)]
    file = person_file(lender.desk, bad.pseudonym)["applications"][0]["decisions"][0]["tried_beside"]
    assert file["decision"]["scored"]["score"] == by_hand[1] != used.scorer.score(lender.worst).score
    assert file["challenger"] == other.trial.sha256
    assert standing(lender.desk, ["daily-30"]).challengers == {"daily-30": other.trial.sha256}
    with lender.desk.reading() as hand:
        assert set(hand.connection.scalars(select(decisions.c.model_hash))) == {used.scorer.model_sha256}
    shown = told("desk", "monitor", "--home", lender.home)["challengers"]
    assert [one["model"] for one in shown] == [other.scorer.model_sha256]


def test_what_it_said_is_made_again_whatever_is_tried_later(lender: LendingHouse, tmp_path: Path):
    people = lender.people[:3]
    for person, known in zip(people, (lender.best, lender.worst, lender.best), strict=True):
        lender.knows(person, **known)
    first = tried(lender, tmp_path / "first")
    lender.asks(people[0])
    lender.asks(people[1])
    second = tried(lender, tmp_path / "second", 2.5)
    lender.asks(people[2])
    lender.desk.lending = rules_of(lender).untried
    assert (replay(lender.home).same, replay_beside(lender.home).same) == (3, 3)
    assert sorted(silent(lender)) == sorted([first.trial.sha256] * 2 + [second.trial.sha256])
    assert Trial.read(first.trial.content) == first.trial


def test_a_policy_that_is_tried_comes_before_a_model_that_is(lender: LendingHouse, tmp_path: Path):
    """So that what differs has one cause."""
    other, rules = tried(lender, tmp_path / "other"), rules_of(lender)
    (champion,), day = rules.policies, lender.desk.day(lender.house.clock())
    assert rules.challenger("daily-30", champion.hash, day) == other.trial.sha256
    document = champion.document.model_copy(update={"id": "other", "challenges": champion.hash})
    both = replace(rules, policies=[champion, type(champion)(document)])
    assert both.challenger("daily-30", champion.hash, day) == both.policies[1].hash
    assert both.untried.challenger("daily-30", champion.hash, day) == both.policies[1].hash
    assert rules.by_hand().challenger("daily-30", champion.hash, day) is None, "people decide: nothing to compare with"


def aged(schema: FeatureSchema, days: int) -> FeatureSchema:
    """The same, but that nothing may be used for longer than this."""
    changed = [one.model_copy(update={"dated_by": "on", "retention_days": days}) for one in schema.features]
    return schema.model_copy(update={"features": tuple(changed)})


def test_it_changes_no_case_and_reads_what_it_may_alone(lender: LendingHouse, tmp_path: Path):
    """What is too old for it is not there for it; the case that is kept is that of the model in use."""
    other, rules = tried(lender, tmp_path / "other"), rules_of(lender)
    strict, day = replace(other, schema=aged(features(), 10)), now().date()
    old = {
        name: Fact(name, "present", value, "bureau", day - timedelta(days=30))
        for name, value in {**lender.best, "more": 5}.items()
    }
    with_it = replace(rules, tried=strict)
    assert with_it.kept(old, "daily-30", day) == rules.untried.kept(old, "daily-30", day)
    assert (with_it.made_of, with_it.declared_sensitive) == (rules.untried.made_of, rules.untried.declared_sensitive)
    lender.knows(lender.people[0])
    made = lender.asks(lender.people[0]).json()
    with lender.desk.reading() as hand:
        case = held(hand.connection, made["id"]).made(lender.desk).case
    theirs = strict.instead(replace(case, facts=old))
    assert {fact.status for name, fact in theirs.facts.items() if name != "more"} == {"absent"}
    assert theirs.scored == strict.scorer.score_facts(theirs.facts) != other.instead(case).scored


def test_what_does_not_fit_beside_the_model_in_use_is_not_tried(lender: LendingHouse, tmp_path: Path):
    """It would change what the one in use is given: another consent asked for, or another source barred."""
    other, rules = tried(lender, tmp_path / "other"), rules_of(lender)
    sources, all_features = lender.desk.sources, other.schema.features
    fits_beside(other, rules, sources)
    for changed, error, said in (
        ({"category": DataCategory.SOCIAL}, SourceFailed, "social"),
        ({"sensitivity": "sensitive"}, RulesMissing, "consent apart"),
    ):
        of_them = tuple(one.model_copy(update=changed) for one in all_features)
        with pytest.raises(error, match=said):
            fits_beside(replace(other, schema=other.schema.model_copy(update={"features": of_them})), rules, sources)


def test_from_the_day_on_that_bars_it_nothing_is_tried_and_what_was_is_made_again(lender: LendingHouse, tmp_path: Path):
    """The law of a later day bars what it alone reads; the model in use decides on, and a replay ends."""
    other = tried(lender, tmp_path / "other")
    lender.knows(lender.people[0])
    assert lender.asks(lender.people[0]).json()["status"] == "offered"
    day, rules = lender.desk.day(lender.house.clock()), rules_of(lender)
    (policy,) = rules.policies

    class Silent:
        """As where a law table has no word for the day."""

        def __init__(self, error: Exception) -> None:
            self.error, self.model_sha256 = error, other.scorer.model_sha256

        def require(self, _: object) -> None:
            raise self.error

    for error in (ScoreError("it reads what is protected"), LawSilent("no row for that day")):
        lender.desk.lending = replace(rules, tried=replace(other, scorer=Silent(error)))  # type: ignore[arg-type]
        assert rules_of(lender).challenger("daily-30", policy.hash, day) is None
        assert standing(lender.desk, ["daily-30"]).untried == str(error)
        assert lender.asks(lender.people[0]).json()["status"] == "offered", "the one in use decides on"
    assert (replay(lender.home).same, replay_beside(lender.home).same) == (3, 1)


def test_families_of_what_it_does_not_read_are_left_out():
    said = {
        "families": {
            "record": {"features": ["late", "elsewhere"], "en": "record", "zh": "记录"},
            "others": {"features": ["clicks"], "en": "clicks", "zh": "点击"},
        },
        "changeable": {"clicks": "down", "income": "up"},
    }
    with pytest.raises(ScoreError, match="reads no feature"):
        Glossary.of(features(), said)
    found = Glossary.of(features(), said, others=True)
    assert (dict(found.families), dict(found.changeable)) == ({"late": "record"}, {"income": "up"})


def test_what_its_source_makes_of_sex_is_not_tried_and_that_is_said(lender: LendingHouse, tmp_path: Path):
    """Such a fact only the model in shadow reads; whoever replays has no sources to ask."""
    other = tried(lender, tmp_path / "other")
    (policy,), name = rules_of(lender).policies, other.schema.names[0]
    held = {name: frozenset({DataCategory.BUREAU, DataCategory.SEX})}
    lender.desk.lending = replace(rules_of(lender), held=held)
    day = lender.desk.day(lender.house.clock())
    assert rules_of(lender).challenger("daily-30", policy.hash, day) is None
    told_now = standing(lender.desk, ["daily-30"])
    assert name in (told_now.untried or "") and told_now.challengers == {}


# --- a model of the consortium's, and its end


@pytest.fixture
def two(ground_of_two: Ground, tmp_path: Path, asked_by_hand: None) -> Iterator[LendingHouse]:
    """Two campaigns have released; the newer one's model is in use."""
    with lending_house(ground_of_two, tmp_path) as opened:
        yield opened


def test_a_desk_opens_with_it_and_without_it_says_what_is_missing(two: LendingHouse, tmp_path: Path):
    home, house, newest = two.home, two.house, two.house.campaign.sha256
    first = next(path for path in (house.founded.coordinator_home / "campaigns").iterdir() if path.name != newest)
    node = house.node()
    KeptModel.fetch(house.client(), first.name).write(node.home / MODELS_FOLDER / first.name)
    said = json.loads((home / "desk.json").read_text(encoding="utf-8"))
    (home / "desk.json").write_text(json.dumps(said | {"challenger": first.name}), encoding="utf-8")
    missing = told("desk", "status", "--home", home)
    assert "tahini desk reference" in missing["untried"] and missing["challengers"] == {}, "and the desk decides on"
    sample = tmp_path / "sample.parquet"
    pd.DataFrame(PROFILES).to_parquet(sample)
    done("desk", "reference", "--home", home, "--data", sample, "--cut-off", "350", "--challenger", "--width", "600")
    assert (home / TRIED_FILE).exists()
    desk = open_desk(home, house.clock)
    try:
        rules = desk.lending
        assert isinstance(rules, ReleasedRules) and rules.tried is not None and rules.tried.card is not None
        assert rules.tried.card.campaign_sha256 == first.name
        assert len(desk.standings) == 2 and desk.tried_by(rules) is rules
        recall = ("--home", house.founded.node_home("birch"), "--reason", REASON)
        done("model", "recall", first.name, *recall)
        desk.trying.hear()
        assert desk.tried_by(rules).tried is None, "it scores nobody"
        assert desk.heed_standing() is None, "and the other one does as before"
        told_now = standing(desk, ["daily-30"])
        assert REASON in (told_now.untried or "") and told_now.challengers == {} and told_now.stopped is None
        damaged = node.home / MODELS_FOLDER / first.name / RECALLS_FILE
        damaged.write_bytes(damaged.read_bytes()[:-9])
        assert "fetch it again" in (standing(desk, ["daily-30"]).untried or ""), "what it says cannot be read any more"
    finally:
        desk.close()
    shown = done("desk", "status", "--home", home)
    assert "the challenger scores nobody" in shown and "fetch it again" in shown


def test_a_decision_that_was_under_way_when_it_was_recalled_stands_without_it(
    lender: LendingHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    class Recalled:
        """Of a model in shadow that is recalled once it has scored."""

        asked = 0

        def barred(self) -> str | None:
            self.asked += 1
            return "recalled" if self.asked > 1 else None

    first, second = lender.people[:2]
    lender.knows(first)
    lender.knows(second)
    tried(lender, tmp_path / "other")
    lender.desk.trying = Recalled()
    assert lender.asks(first).json()["status"] == "offered"
    assert silent(lender) == []
    lender.desk.trying = None
    assert lender.asks(second).json()["status"] == "offered"
    assert len(silent(lender)) == 1


@pytest.mark.parametrize("model", [None, "a" * 64])
def test_nothing_is_tried_beside_no_model_or_beside_itself(tmp_path: Path, model: str | None):
    with pytest.raises((BadSettings, ValueError), match="tried beside another model"):
        DeskSettings(node=tmp_path, risk_key="ed25519:" + "A" * 43, model=model, challenger="a" * 64)
