"""A campaign that begins with a released model: who may propose it, what runs, and what its card says."""

from __future__ import annotations

import json
from datetime import timedelta

import numpy as np
import pytest
from support.house import House, InMemoryFleet
from support.watching import watched

from auditlog.audit import verify_log
from cli.campaign_review import _rests_on
from cli.model import card_text
from clients.home import approve
from clients.models import KeptModel, _rules, check_origin
from consent.commands import propose_campaign
from credit.models import CreditModel
from credit.planning import Training, plan_mechanism
from fleet.code import installed_code
from privacy.charges import Budget
from privacy.mechanism import ReleaseKind
from protocol.campaigns import Campaign
from protocol.cards import WARM_LIMITS, ModelCard
from protocol.client.filing import recall_model
from protocol.errors import AuditFailed, ConsentError
from protocol.recalls import ModelRecall
from protocol.schema import now
from protocol.watched import ModelReference
from server.assessments import assessed
from server.errors import BadOption, CoordinatorError
from server.explaining import because, chosen, counted
from server.fleet_app import fell_behind, release_card
from server.folders import CAMPAIGN_FILE, released_by
from server.home import CARD_FILE, MODEL_FILE, load_release, load_releases, save_release
from server.proposing import Asked, as_before
from server.run import CampaignRun, fold_of


@pytest.fixture(scope="module")
def ground_released(ground, tmp_path_factory):
    return ground.after(tmp_path_factory.mktemp("warm") / "house", released_once)


@pytest.fixture
def released(ground_released, tmp_path):
    """A model was released for a part of what a person may spend."""
    with ground_released.copy(tmp_path / "released").opened() as house:
        house.trained = house.campaign
        yield house


def released_once(house: House) -> None:
    house.activate(epsilon=0.4)
    watched(house)
    keep(house)


def keep(house: House) -> None:
    """The campaign, as whoever proposes keeps it."""
    folder = house.coordinator().folder(house.campaign.sha256)
    (folder / CAMPAIGN_FILE).write_text(house.campaign_token, encoding="utf-8")


def begun(house: House) -> tuple[Campaign, ModelReference]:
    return released_by(house.coordinator(), house.trained.sha256)


def asked(house: House, **given) -> Asked:
    campaign, _ = earlier = begun(house)
    return Asked.of({"epsilon": 0.3, **given}, None, campaign, house.founded.consortium, earlier)


def warm(house: House, **given) -> Campaign:
    planned = asked(house, **given).campaign("coordinator", installed_code(), "0" * 64, now())
    return assessed(house.coordinator(), planned, None, now())


def conducted(house: House) -> Campaign:
    campaign = warm(house)
    house.propose(campaign)
    keep(house)
    assert house.approve_all()
    watched(house)
    return campaign


def audit(house: House) -> None:
    client = house.founded.auditor(house.url)
    house.clients.append(client)
    house.registry.ledger.catch_up()
    verify_log(client, client.checkpoint_note(), house.founded.auditor_recipient)


def test_it_runs_to_a_card_that_names_what_it_began_with_and_lender_and_auditor_follow_it(released):
    campaign = conducted(released)
    cold = plan_mechanism(Budget(0.3, 1e-5), Training("scorecard", 3))
    assert 2 * len(campaign.mechanism.releases) <= len(cold.releases)
    coordinator = released.coordinator()
    folder = coordinator.folder(campaign.sha256)
    card = ModelCard.verify((folder / CARD_FILE).read_text(encoding="utf-8"), coordinator.key.public)
    assert card.begins_with == campaign.begins_with == begun(released)[1]
    before = ModelCard.claimed((coordinator.folder(released.trained.sha256) / CARD_FILE).read_text(encoding="utf-8"))
    assert set(WARM_LIMITS) <= set(card.limits) and not set(WARM_LIMITS) & set(before.limits)
    kept = KeptModel.fetch(released.client("aspen"), campaign.sha256)
    found = check_origin(kept, campaign.sha256, released.founded.consortium)
    assert f"begins with  the model of campaign {released.trained.sha256[:12]}" in card_text(found.card)
    audit(released)


def test_its_first_questions_hold_the_earlier_bins_and_coordinates_and_its_sums_make_it_again(released):
    campaign = conducted(released)
    coordinator = released.coordinator()
    folder = coordinator.folder(campaign.sha256)
    again, kept = fold_of(coordinator, campaign), load_releases(folder).releases
    earlier = fold_of(coordinator, released.trained)
    for one in load_releases(coordinator.folder(released.trained.sha256)).releases:
        earlier.absorb(one.total, one.contributors)
    again.absorb(kept[0].total, kept[0].contributors)
    question = again.question()
    assert question.kind is ReleaseKind.GRADIENT and question.binning.features == earlier.binning.features
    assert question.weights == pytest.approx(earlier.weights)
    assert np.allclose(question.whitening, earlier.chosen.matrix)
    for one in kept[1:]:
        again.absorb(one.total, one.contributors)
    released_one = CreditModel.load(folder / MODEL_FILE)
    assert again.model().parameters == pytest.approx(released_one.parameters)
    assert again.model().calibration == pytest.approx(released_one.calibration)


def test_the_plan_explains_what_it_took_over(released):
    campaign = conducted(released)
    folder = released.coordinator().folder(campaign.sha256)
    kept = load_releases(folder)
    figures = chosen(campaign, kept, folder.parent)
    assert json.dumps(figures) and figures["begins_with"]["campaign_sha256"] == released.trained.sha256
    said = " ".join(because(figures))
    assert f"those of campaign {released.trained.sha256[:12]}" in said and "ridge" in said
    people, rate = counted(campaign, kept)
    assert people > 0 and 0 < rate < 1


def test_a_lender_reads_what_it_begins_with_before_it_answers(released):
    (line,) = _rests_on(warm(released))
    _, model = begun(released)
    assert model.model_sha256[:12] in line and released.trained.sha256[:12] in line and "bins" in line


@pytest.mark.parametrize("wrong", [{"model_sha256": "b" * 64}, {"campaign_sha256": "a" * 64}])
def test_a_model_that_nobody_released_is_not_begun_with(released, wrong):
    campaign = warm(released)
    lied = campaign.model_copy(update={"begins_with": campaign.begins_with.model_copy(update=wrong)})
    with pytest.raises(ConsentError, match=r"has not released|there is no campaign"):
        released.propose(lied)


def recalled(house: House, campaign: Campaign) -> None:
    """By birch."""
    card = (house.coordinator().folder(campaign.sha256) / CARD_FILE).read_text(encoding="utf-8")
    recall = ModelRecall(
        campaign_sha256=campaign.sha256, card_sha256=ModelCard.claimed(card).sha256, party="birch",
        reason="half of the incomes were monthly", recalled_at=now(),
    )  # fmt: skip
    recall_model(house.client("birch"), recall, house.node("birch").key)


RECALLED = "which 'birch' has recalled"


def test_nor_is_one_that_a_lender_has_recalled_whatever_card_it_has_by_now(released):
    campaign = warm(released)
    recalled(released, released.trained)
    with pytest.raises(ConsentError, match=RECALLED):
        released.propose(campaign)
    coordinator = released.coordinator()
    release_card(coordinator, released.trained, fold_made(released, released.trained))
    with pytest.raises(ConsentError, match=RECALLED):
        released.propose(campaign)


def fold_made(house: House, campaign: Campaign):
    coordinator = house.coordinator()
    fold = fold_of(coordinator, campaign)
    for one in load_releases(coordinator.folder(campaign.sha256)).releases:
        fold.absorb(one.total, one.contributors)
    return fold


def test_a_recall_that_comes_later_stops_approvals_and_then_the_nodes(released):
    campaign = warm(released)
    released.propose(campaign)
    keep(released)
    token = approve(released.node("aspen"), released.campaign_token)
    released.client("aspen").approve(token, released.node("aspen").key)
    recalled(released, released.trained)
    token = approve(released.node("birch"), released.campaign_token)
    with pytest.raises(ConsentError, match=RECALLED):
        released.client("birch").approve(token, released.node("birch").key)


def test_a_recall_after_all_approved_leaves_nobody_authorised(released):
    campaign = warm(released)
    released.propose(campaign)
    keep(released)
    assert released.approve_all()
    recalled(released, released.trained)
    before = authorisations(released)
    with pytest.raises(ConsentError, match=RECALLED):
        released.open_gate()
    assert authorisations(released) == before


def authorisations(house: House) -> int:
    with house.registry.ledger.read() as session:
        log = house.registry.ledger.log
        return sum(b"use.authorised" in log.entry(session, at).leaf for at in range(log.size(session)))


def test_a_recall_reaches_what_was_begun_with_a_model_that_was_begun_with_it(released):
    first, second = released.trained, conducted(released)
    recalled(released, first)
    released.trained = second
    with pytest.raises(ConsentError, match=RECALLED):
        released.propose(warm(released, epsilon=0.1))


def test_the_auditor_finds_a_recalled_model_and_one_of_another_kind(released, monkeypatch):
    """Registry and coordinator agree to let them pass."""
    campaign = warm(released)
    recalled(released, released.trained)
    for name in ("_require_released", "require_unrecalled"):
        monkeypatch.setattr(f"consent.commands.propose_campaign.{name}", lambda *_: None)
    released.propose(campaign)
    with pytest.raises(AuditFailed, match="begins with a model that was recalled"):
        audit(released)


def test_the_auditor_finds_a_warm_start_on_other_features(released, monkeypatch):
    campaign = warm(released)
    monkeypatch.setattr("consent.commands.propose_campaign._require_released", lambda *_: None)
    fewer = {**campaign.features, "features": campaign.features["features"][:2]}
    released.propose(Campaign.model_validate({**campaign.model_dump(), "features": fewer}))
    with pytest.raises(AuditFailed, match="a model of another kind, outcome, coordinator or lender"):
        audit(released)


def test_the_auditor_finds_a_card_that_hides_what_the_model_began_with(released, monkeypatch):
    monkeypatch.setattr("server.fleet_app.ModelCard", lambda **said: ModelCard(**{**said, "begins_with": None}))
    conducted(released)
    with pytest.raises(AuditFailed, match="the model card says another begins_with"):
        audit(released)


def test_nor_is_it_shown_to_a_lender_who_had_no_part_in_it(released, monkeypatch):
    campaign = warm(released)
    fewer = released.trained.model_copy(update={"lenders": ("aspen", "birch")})
    with pytest.raises(BadOption, match="in which cedar had no part"):
        Asked.of({}, None, released.trained, released.founded.consortium, (fewer, campaign.begins_with))
    loaded = propose_campaign.load_campaign
    trained = released.trained.sha256
    monkeypatch.setattr(
        propose_campaign, "load_campaign", lambda *asked: (fewer, None) if asked[1] == trained else loaded(*asked)
    )
    with pytest.raises(ConsentError, match="in which cedar had no part"):
        released.propose(campaign)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model": "gam", "mechanism": plan_mechanism(Budget(0.3, 1e-5), Training("gam", 3))}, "a gam with"),
        ({"mechanism": plan_mechanism(Budget(0.3, 1e-5), Training("scorecard", 3, "local"))}, "with local noise"),
        ({"features": {"features": []}}, "other features"),
    ],
)
def test_it_is_of_the_same_kind_on_the_same_features(released, changed, said):
    other = released.trained.model_copy(update=changed)
    with pytest.raises(BadOption, match=said):
        Asked.of({}, None, released.trained, released.founded.consortium, (other, begun(released)[1]))


def test_and_of_the_same_outcome_also_where_only_the_registry_looks(released):
    campaign, model = begun(released)
    another = {**campaign.features, "target": "bad_90"}
    with pytest.raises(BadOption, match="another outcome"):
        Asked.of({}, another, campaign, released.founded.consortium, (campaign, model))
    fewer = {**campaign.features, "features": campaign.features["features"][:2]}
    planned = Campaign.model_validate({**warm(released).model_dump(), "features": fewer})
    with pytest.raises(ConsentError, match="which has other features"):
        released.propose(planned)


def test_sums_that_make_another_model_are_no_beginning(released):
    """The file is the one that was released; what it is folded from is not."""
    folder = released.coordinator().folder(released.trained.sha256)
    sums = sorted(folder.glob("release-*.npz"))
    kept = load_release(folder, 2)
    save_release(folder, 2, -kept.total, kept.lenders)
    with pytest.raises(CoordinatorError, match="do not make its model"):
        fold_of(released.coordinator(), warm(released))
    sums[-1].unlink()
    with pytest.raises(CoordinatorError, match="do not make its model"):
        fold_of(released.coordinator(), warm(released))


def test_whether_to_begin_warm_is_never_taken_over_from_an_earlier_campaign(released):
    campaign = warm(released)
    again = Asked.of({}, None, campaign, released.founded.consortium)
    assert again.begins_with is None and as_before(campaign)["steps"] is None
    assert ReleaseKind.GRAM in {release.kind for release in again.mechanism().releases}
    chosen_steps = warm(released, steps=5)
    assert as_before(chosen_steps)["steps"] == 5


def test_a_campaign_that_asks_for_moments_or_watches_begins_with_nothing(released):
    campaign = warm(released)
    cold = released.trained.mechanism
    with pytest.raises(ValueError, match="warm start trains"):
        Campaign.model_validate({**campaign.model_dump(), "mechanism": cold})


def test_without_the_earlier_model_or_with_another_file_nothing_is_asked(released):
    campaign = warm(released)
    released.propose(campaign)
    assert released.approve_all()
    file = released.coordinator().folder(released.trained.sha256) / MODEL_FILE
    content = file.read_bytes()
    for damaged, said in ((content + b"\0", "is not the model"), (None, "holds no released model")):
        file.unlink() if damaged is None else file.write_bytes(damaged)
        fleet = InMemoryFleet(released)
        run = CampaignRun(released.coordinator(), campaign, fleet, lambda _: None, lambda _: None)
        with pytest.raises(CoordinatorError, match=said):
            run.execute()
        assert not fleet.seen


def test_the_auditor_finds_a_model_that_was_not_released_when_it_was_begun_with(released, monkeypatch):
    """Registry and coordinator agree to let it pass."""
    monkeypatch.setattr("consent.commands.propose_campaign._require_released", lambda *_: None)
    campaign = warm(released)
    wrong = campaign.begins_with.model_copy(update={"model_sha256": "b" * 64})
    released.propose(campaign.model_copy(update={"begins_with": wrong}))
    with pytest.raises(AuditFailed, match="rests on a model that was not released before it"):
        audit(released)


def test_a_card_that_hides_what_the_model_began_with_is_no_card_of_the_campaign(released):
    campaign = conducted(released)
    coordinator = released.coordinator()
    kept = KeptModel.fetch(released.client("aspen"), campaign.sha256)
    honest = ModelCard.claimed(kept.card)
    hides = ModelCard.model_validate({**honest.model_dump(), "begins_with": None})
    broken = {
        card.sha256: [
            said for holds, said in _rules(kept, campaign.sha256, campaign, card, {}, coordinator.id) if not holds
        ]
        for card in (honest, hides)
    }
    assert "the card begins with another model" in broken[hides.sha256]
    assert "the card begins with another model" not in broken[honest.sha256]


def measured(auc: float, error: float = 0.01) -> dict:
    return {"segments": [{"name": "everybody", "auc": {"value": auc, "error": error}}]}


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (measured(0.80), measured(0.74), True), (measured(0.80), measured(0.78), False), (None, measured(0.6), False),
        (measured(0.80), measured(0.84), False), (measured(0.8), {"segments": []}, False), (measured(0.8), None, False),
    ],
)  # fmt: skip
def test_a_card_says_where_a_warm_model_ranks_worse_than_the_one_that_it_began_with(before, after, said):
    found = fell_behind(before, after)
    assert bool(found) is said
    assert not said or ("0.740 ± 0.010 after 0.800 ± 0.010" in found[0] and "begins anew" in found[0])


def test_a_card_that_is_dated_ahead_is_not_taken(released, monkeypatch):
    """A model's age is told by it, and after a year it scores nobody."""
    monkeypatch.setattr("server.fleet_app.now", lambda: now() + timedelta(hours=1))
    with pytest.raises(ConsentError, match="which is still to come"):
        release_card(released.coordinator(), released.trained, fold_made(released, released.trained))
