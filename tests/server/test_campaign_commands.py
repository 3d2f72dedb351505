"""The coordinator's and the lenders' campaign commands, against a registry: what is refused, shown, suggested."""

from __future__ import annotations

import json
import math
import shlex
from dataclasses import replace
from datetime import timedelta

import pytest
import tomli_w
from click.testing import CliRunner
from support.house import InMemoryFleet
from support.world import features

from credit.descent import CLIP_REACH, FLOORS
from credit.planning import spent
from privacy.accounting import epsilon_of
from protocol.campaigns import Campaign
from protocol.errors import NotFound
from protocol.hashes import whole_hash
from protocol.schema import now
from server.desired_state import CampaignState, Stage, request_run, write_state
from server.errors import CampaignStopped
from server.home import Progressed
from server.proposing import next_id, warning
from server.run import CampaignRun
from server.status import Answers, CampaignStatus
from tahini import main


class Desk:
    """The commands, as the house's coordinator and lenders would give them."""

    def __init__(self, house, folder):
        self.house, self.home = house, str(house.founded.coordinator_home)
        self.features = folder / "features.toml"
        self.features.write_text(tomli_w.dumps(features().model_dump(mode="json", exclude_none=True)), encoding="utf-8")
        self.said = ""
        assert house.assessment.sha256, "it is recorded by asking for it"

    def run(self, *arguments: str, code: int | None = 0) -> str:
        done = CliRunner().invoke(main, ["campaign", *arguments])
        assert code is None or done.exit_code == code, done.output
        assert not isinstance(done.exception, Exception) or isinstance(done.exception, SystemExit), done.exception
        self.said = done.output
        return done.stdout

    def propose(self, *options: str, code: int | None = 0) -> str:
        asked = {"--id": "spring", "--title": "Spring", "--features": str(self.features), "--steps": "2"}
        given = [part for name, value in asked.items() if name not in options for part in (name, value)]
        return self.run("propose", "--home", self.home, *given, *options, code=code)

    def proposed(self, *options: str) -> str:
        text = self.propose("--json", *options)
        return str(json.loads(text[text.index("{") :])["campaign"])

    def lender(self, command: str, lender: str, *arguments: str, code: int = 0) -> str:
        return self.run(command, *arguments, "--home", str(self.house.founded.node_home(lender)), code=code)

    def show(self, campaign: str) -> dict:
        return json.loads(self.run("show", campaign, "--home", self.home, "--json"))

    def claimed(self, campaign: str) -> Campaign:
        token = (self.house.coordinator().folder(campaign) / "campaign.jws").read_text(encoding="utf-8")
        return Campaign.claimed(token)

    def listed(self) -> list[dict]:
        return json.loads(self.run("list", "--home", self.home, "--json"))

    def approve_all(self, campaign: str) -> None:
        for lender in self.house.borrowers:
            self.lender("approve", lender, campaign[:8], "--yes")


@pytest.fixture
def desk(house, tmp_path) -> Desk:
    return Desk(house, tmp_path)


# --- what is refused


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--lenders", "aspen,aspen,birch"), "--lenders names 'aspen' twice"),
        (("--lenders", "aspen, , birch"), "--lenders has an empty name"),
        (("--lenders", "aspen,zelkova"), "--lenders names 'zelkova'"),
        (("--lenders", "aspen"), "--lenders leaves 1 lenders"),
        (("--without", "aspen,birch"), "--without leaves 1 lenders"),
        (("--without", "zelkova"), "--without names 'zelkova'"),
        (("--id", "Spring Model"), "--id is lower-case letters, digits and hyphens, 63 at most: 'spring-model'"),
        (("--id", "s" * 64), "--id is"),
        (("--id", ""), "--id is missing"),
        (("--title", ""), "--title is missing"),
        (("--steps", "0"), "'--steps'"),
        (("--steps", "100000"), "'--steps'"),
        (("--spare-attempts", "-1"), "'--spare-attempts'"),
        (("--spare-attempts", "101"), "'--spare-attempts'"),
        (("--collusion-bound", "-1"), "'--collusion-bound'"),
        (("--collusion-bound", "2"), "--collusion-bound 2 leaves 1 of 3 lenders who do not collude"),
        (("--epsilon", "nan"), "'--epsilon'"),
        (("--epsilon", "inf"), "'--epsilon'"),
        (("--epsilon", "0"), "epsilon must be greater than 0"),
        (("--epsilon", "-1"), "epsilon must be greater than 0"),
        (("--epsilon", "20"), "--epsilon 20 is more than the consortium allows (1)"),
        (("--delta", "0.5"), "--delta 0.5 is more than the consortium allows"),
        (("--delta", "0"), "delta must lie between"),
        (("--hold-out", "nan"), "'--hold-out'"),
        (("--hold-out", "0.6"), "'--hold-out'"),
        (("--hours", "nan"), "'--hours'"),
        (("--seed", str(2**53)), "'--seed'"),
        (("--like", "f00"), "no campaign of"),
    ],
)  # fmt: skip
def test_every_wrong_option_is_named_in_one_sentence_and_nothing_is_proposed(desk, options, named):
    desk.propose(*options, code=None)
    said = " ".join(desk.said.replace("│", " ").split())
    assert named in said and "pydantic" not in said and "https://" not in said
    assert desk.listed() == []


def test_spaces_around_lenders_mean_nothing(desk):
    campaign = desk.proposed("--lenders", "aspen, birch , cedar")
    assert desk.show(campaign)["waits_for"].startswith("the approval of aspen, birch and cedar")


# --- short hashes


def test_a_hash_may_be_as_short_as_it_is_unique_and_one_that_is_not_names_what_it_could_be():
    known = {"4f1c22" + "0" * 58: "spring", "4a" + "1" * 62: "autumn", "b" * 64: ""}
    assert whole_hash("4f", known, "here") == "4f1c22" + "0" * 58
    assert whole_hash(" B… ", known, "here") == "b" * 64
    assert whole_hash("4f1c22" + "0" * 58, known, "here") == "4f1c22" + "0" * 58
    for begins, said in (
        ("4", r"2 campaigns here: 4a1111111111 \(autumn\), 4f1c22000000 \(spring\)"),
        ("c", r"no campaign here begins with 'c'; there are"),
        ("", "no campaign here begins"),
        ("*", "no campaign here begins"),
    ):
        with pytest.raises(NotFound, match=said):
            whole_hash(begins, known, "here")
    with pytest.raises(NotFound, match=r"begins with 'a'$"):
        whole_hash("a", {}, "here")


def test_every_command_takes_one_character_of_the_only_campaign(desk):
    campaign = desk.proposed()
    desk.lender("approve", "aspen", campaign[0], "--yes")
    assert desk.show(campaign[0])["approved_by"] == ["aspen"]
    desk.lender("reject", "aspen", campaign[0], "--reason", "no")
    assert desk.show(campaign[0])["rejected_by"] == ["aspen"]


# --- what a lender sees


def test_an_operator_sees_the_noise_before_it_signs(desk):
    campaign = desk.proposed("--hold-out", "0.2", "--epsilon", "0.5")
    text = desk.lender("approve", "aspen", campaign, "--yes")
    for release in desk.claimed(campaign).mechanism.releases:
        assert f"{release.kind} {release.noise_multiplier:.3g}" in text
    assert "20% of the people, drawn by every lender's lot" in text


def test_what_was_offered_to_a_lender_is_listed_with_its_answer(desk):
    assert "no campaign" in desk.lender("offered", "birch")
    first, second = desk.proposed(), desk.proposed("--id", "autumn", "--lenders", "birch,cedar")
    desk.lender("approve", "birch", first, "--yes")
    text = desk.lender("offered", "birch")
    assert f"{first[:12]}  spring" in text and "approved" in text and "waits for your answer" in text
    found = json.loads(desk.lender("offered", "aspen", "--json"))
    assert [(one["campaign"], one["answer"]) for one in found] == [(first, "none")]
    assert second not in json.dumps(found)
    desk.lender("reject", "cedar", second, "--reason", "no")
    assert "rejected by cedar" in desk.lender("offered", "birch")


# --- waiting, rejecting, going on without


def test_watch_says_at_once_what_a_campaign_waits_for(desk):
    campaign = desk.proposed()
    watch = ("watch", campaign[:6], "--home", desk.home, "--timeout", "0")
    desk.run(*watch, code=1)
    assert "waits for the approval of aspen, birch and cedar; each runs: tahini campaign approve" in desk.said
    desk.lender("approve", "birch", campaign, "--yes")
    desk.run("launch", campaign, "--home", desk.home, code=1)
    assert "no quorum, no run; it waits for the approval of aspen and cedar" in desk.said
    for lender in ("aspen", "cedar"):
        desk.lender("approve", lender, campaign, "--yes")
    desk.run(*watch, code=1)
    assert f"waits for its launch (every lender has approved): tahini campaign launch {campaign[:12]}" in desk.said
    desk.run("launch", campaign, "--home", desk.home)
    desk.run(*watch, code=1)
    assert "waits for the coordinator's service: tahini coordinator serve --home" in desk.said


def test_a_rejection_shows_who_and_why_and_the_command_that_goes_on_without(desk):
    campaign = desk.proposed("--epsilon", "0.5", "--hold-out", "0")
    desk.lender("approve", "aspen", campaign, "--yes")
    desk.lender("reject", "cedar", campaign, "--reason", "the budget is too large")
    for command in (("show", campaign), ("watch", campaign), ("launch", campaign), ("resume", campaign)):
        desk.run(*command, "--home", desk.home, code=None)
        assert "cedar rejected it ('the budget is too large')" in desk.said, command
        assert "nothing of epsilon 0.5 was spent" in desk.said
        assert f"--like {campaign[:12]}" in desk.said and "--without cedar" in desk.said
    told = desk.show(campaign)
    assert told["rejections"] == {"cedar": "the budget is too large"} and told["over"]
    words = shlex.split(told["next"])[2:]
    desk.run(*words)
    assert "2 lenders" in desk.said
    (second,) = [one for one in desk.listed() if not one["over"]]
    assert (second["id"], second["epsilon"]) == ("spring-2", 0.5)
    before, after = desk.claimed(campaign), desk.claimed(second["campaign"])
    assert after.lenders == ("aspen", "birch") and after.features == before.features
    assert [r.kind for r in after.mechanism.releases] == [r.kind for r in before.mechanism.releases]


def test_other_lenders_are_not_told_why(desk):
    campaign = desk.proposed()
    desk.lender("reject", "cedar", campaign, "--reason", "secret reason")
    client = desk.house.client("aspen")
    assert client.proposed(campaign).rejected_by == ("cedar",) and client.proposed(campaign).rejections == ()
    assert "secret reason" not in client._send("GET", f"/v1/campaigns/{campaign}").text


# --- what was spent, and what cannot go on


def conducted(desk, campaign: str, fleet: InMemoryFleet) -> None:
    """Run it as the service's ServerApp would, with the house's nodes."""
    coordinator = desk.house.coordinator()
    folder = coordinator.folder(campaign)
    request_run(folder, True)
    write_state(folder, Stage.RUNNING)
    try:
        CampaignRun(coordinator, desk.claimed(campaign), fleet, lambda _: None, lambda _: None).execute()
    except CampaignStopped as stopped:
        write_state(folder, Stage.STOPPED, str(stopped))


def ledger(desk, lender: str) -> float:
    store = desk.house.node(lender).store
    return max(epsilon_of(charges, 1e-5) for charges in store.spent(store.everybody()).values())


def test_three_lenders_have_a_spare_attempt_and_go_on_when_the_lost_one_is_back(desk):
    campaign = desk.proposed("--hold-out", "0")
    assert "one that drops out stops the campaign; it goes on when that lender is back" in desk.said
    desk.approve_all(campaign)
    conducted(desk, campaign, InMemoryFleet(desk.house, leaving={2: {"birch"}}))
    told = desk.show(campaign)
    assert (told["stage"], told["over"], told["spare_attempts_left"]) == ("stopped", "", 1)
    assert told["epsilon_spent"] == pytest.approx(ledger(desk, "cedar"), rel=1e-12)
    desk.run("show", campaign, "--home", desk.home)
    assert f"go on with: tahini campaign resume {campaign[:12]}" in desk.said
    assert "that takes one of 1 spare attempts" in desk.said
    desk.run("resume", campaign, "--home", desk.home)
    conducted(desk, campaign, InMemoryFleet(desk.house))
    (found,) = desk.listed()
    assert (found["releases"], found["planned"]) == (found["planned"], found["planned"])
    assert found["epsilon_spent"] == pytest.approx(ledger(desk, "cedar"), rel=1e-12)
    assert found["spare_attempts_left"] == 0


def test_a_campaign_without_attempts_left_says_so_and_what_it_spent_and_proposes_the_next(desk):
    campaign = desk.proposed("--hold-out", "0", "--spare-attempts", "0")
    assert "no attempt is spare, so for good" in desk.said
    desk.approve_all(campaign)
    conducted(desk, campaign, InMemoryFleet(desk.house, leaving={2: {"birch"}}))
    told = desk.show(campaign)
    assert "no attempt was spare" in told["over"] and told["next"].startswith("tahini campaign propose --like")
    assert told["epsilon_spent"] == pytest.approx(ledger(desk, "aspen"), rel=1e-12)
    desk.run("watch", campaign, "--home", desk.home, code=3)
    assert "cannot go on" in desk.said and f"epsilon {told['epsilon_spent']:.3f} of 1 was spent" in desk.said
    assert "propose the next one: tahini campaign propose --like" in desk.said
    text = desk.run("list", "--home", desk.home)
    assert campaign[:12] in text and "cannot go on" in text


def test_a_plan_says_what_each_release_takes_and_once_released_what_was_chosen_and_why(desk):
    campaign = desk.proposed("--hold-out", "0")
    told = json.loads(desk.run("plan", campaign, "--home", desk.home, "--json"))
    kinds = [(row["kind"], row["times"]) for row in told["releases"]]
    assert kinds == [("histogram", 1), ("gram", 1), ("gradient", 2), ("calibration", 1)]
    assert sum(row["share"] for row in told["releases"]) == pytest.approx(1)
    assert [row["share"] for row in told["releases"]] == pytest.approx([0.1, 0.1, 0.69, 0.11])
    assert told["chosen"] is None
    assert "once both are released" in desk.run("plan", campaign, "--home", desk.home, "--explain")
    desk.approve_all(campaign)
    conducted(desk, campaign, InMemoryFleet(desk.house))
    found = json.loads(desk.run("plan", campaign, "--home", desk.home, "--json"))["chosen"]
    residual = found["base_rate"] * (1 - found["base_rate"])
    assert found["clip_norm"] == pytest.approx(CLIP_REACH * math.sqrt(residual * found["directions"]))
    assert found["ridge"] in FLOORS and found["fitted"]
    text = desk.run("plan", campaign, "--home", desk.home, "--explain")
    assert f"clip norm {found['clip_norm']:.2f}: 1.5 times" in text
    assert f"ridge {found['ridge']:.2g}: of those compared" in text
    assert "clip norm" not in desk.run("plan", campaign, "--home", desk.home)


def test_how_well_quality_will_be_known_is_said_before_anybody_approves(desk):
    text = desk.propose()
    assert text.count("AUC will be known to ± ") == 3 and "5,000 people" in text and "50,000 people" in text
    expected = desk.propose("--id", "more", "--people", "20000", "--bad", "0.1")
    assert "with about 2,000 held out of 20,000 people, 10.0% of them bad, AUC will be known to ± 0.0" in expected
    assert desk.propose("--id", "none", "--hold-out", "0").count("nobody is held out") == 1
    assert "nothing will be known" in desk.propose("--id", "few", "--people", "500")


def test_a_released_campaign_shows_how_good_its_model_is_and_tells_the_next_what_to_expect(desk):
    from server.fleet_app import release_card  # imports what only servers need

    campaign = desk.proposed("--hold-out", "0.3")
    desk.approve_all(campaign)
    foreseen = json.loads(desk.run("plan", campaign, "--home", desk.home, "--people", "900", "--json"))["foreseen"]
    assert [one["people"] for one in foreseen] == [900]
    assert desk.show(campaign)["evaluation"] is None
    coordinator, claimed = desk.house.coordinator(), desk.claimed(campaign)
    fleet = InMemoryFleet(desk.house)
    learner = CampaignRun(coordinator, claimed, fleet, lambda _: None, lambda _: None).execute()
    release_card(coordinator, claimed, learner)
    write_state(coordinator.folder(campaign), Stage.RELEASED)
    assert desk.show(campaign)["evaluation"] == json.loads(json.dumps(learner.evaluation.as_dict()))
    text = desk.run("show", campaign, "--home", desk.home)
    assert "  quality  " in text and "after ± one standard error" in text
    (seen,) = json.loads(desk.run("plan", campaign, "--home", desk.home, "--json"))["foreseen"]
    people = learner.embedding.binning.population / 0.7
    assert seen["people"] == pytest.approx(people), "of those who were counted"
    (asked,) = json.loads(desk.run("plan", campaign, "--home", desk.home, "--people", "900", "--json"))["foreseen"]
    assert asked["people"] == 900, "unless somebody asks about others"
    assert f"of {people:,.0f} people" in desk.propose("--id", "next", "--like", campaign)


@pytest.fixture
def standing(house) -> CampaignStatus:
    campaign = house.make_campaign(plan={"collusion_bound": 0, "spare_attempts": 1})
    return CampaignStatus(
        campaign, house.founded.coordinator_home, CampaignState(stage=Stage.STOPPED, reason="r", at=now()),
        Progressed((1, 1), ()), 1, True, True, Answers(True, campaign.lenders), now(),
    )  # fmt: skip


def test_what_can_never_go_on_and_what_can(standing):
    assert standing.over == "" and "resume" in standing.sentences[-1]
    lost = replace(standing, progress=Progressed((1, 1), ("birch", "cedar")))
    assert "1 lenders are fewer than the 2" in lost.over and lost.next_one == ""
    assert "there is no other campaign" in lost.sentences[-1]
    expired = replace(standing, moment=standing.campaign.expires_at + timedelta(seconds=1))
    assert expired.over.startswith("its approvals ended at") and expired.next_one.endswith("coordinator")
    used = replace(standing, progress=Progressed((2, 1), ()))
    assert "1 spare attempts are used up" in used.over and not used.ended, "a node may not have seen one of them"
    assert replace(used, progress=Progressed((2,), ())).over == "", "the next release was not asked for yet"
    released = replace(lost, state=CampaignState(stage=Stage.RELEASED, at=now()))
    assert released.over == released.waits_for == ""
    unknown = replace(standing, answers=None, state=CampaignState(stage=Stage.PROPOSED, at=now()), wanted=False)
    assert "once every lender has approved" in unknown.waits_for
    assert standing.epsilon_spent == spent(standing.campaign.mechanism, (1, 1))


def test_a_home_with_a_space_can_be_pasted(standing, tmp_path):
    spaced = replace(standing, home=tmp_path / "my home", moment=standing.campaign.expires_at)
    assert shlex.split(spaced.next_one)[-1] == str(tmp_path / "my home")


@pytest.mark.parametrize(
    ("before", "after"),
    [("spring", "spring-2"), ("spring-2", "spring-3"), ("spring-9", "spring-10"), ("a-b", "a-b-2"), ("7", "7-2")],
)
def test_the_next_campaign_has_the_next_name(before, after):
    assert next_id(before) == after
    assert len(next_id("s" * 63)) <= 63


def test_a_warning_is_given_where_a_dropout_stops_a_campaign(house):
    for plan, said in (
        ({"collusion_bound": 0, "spare_attempts": 1}, ""),
        ({"collusion_bound": 0, "spare_attempts": 0}, "no attempt is spare"),
        ({"collusion_bound": 1, "spare_attempts": 2}, "when that lender is back"),
        ({"collusion_bound": 1, "spare_attempts": 0}, "so for good"),
    ):
        care = warning(house.make_campaign(plan=plan))
        assert (said in care) if said else care == "", care
