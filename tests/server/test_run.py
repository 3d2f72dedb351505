"""A campaign from the coordinator's side: exact sums, uniform parts, retries that are charged, attacks on all of it."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from scipy.stats import chisquare
from support.house import InMemoryFleet
from support.world import features, loans

from cli.model import card_text
from clients.errors import GateClosed
from clients.releases import join, release
from credit.errors import ModelError
from credit.models import CreditModel
from credit.questions import Question
from crypto.documents import document_hash, unverified_payload
from crypto.errors import SignatureError
from crypto.keys import SigningKey, b64
from crypto.masks import unmask
from privacy.accounting import epsilon_of
from privacy.mechanism import ReleaseKind
from privacy.sums import NoisySum
from protocol.campaigns import MaskKey
from protocol.cards import ModelCard
from protocol.errors import Conflict
from server.errors import CampaignStopped, CoordinatorError
from server.fleet_app import release_card
from server.home import MODEL_FILE, load_release, load_releases
from server.run import Answers, CampaignRun, learner_of

P_VALUE = 1e-8
DROPOUTS = {"plan": {"collusion_bound": 0, "spare_attempts": 1}}
NOTHING_YET = Question(ReleaseKind.HISTOGRAM).pack()


@pytest.fixture
def spare(house):
    """A campaign that one lender may drop out of: nobody colludes, and one attempt is spare."""
    house.activate(**DROPOUTS)
    return house


@pytest.fixture
def finished(after_release, tmp_path):
    """A campaign that has ended and released its model."""
    with after_release.copy(tmp_path / "finished").opened() as house:
        yield house


class Killed(Exception):
    pass


def killed_after(release: int):
    def between(number: int) -> None:
        if number == release:
            raise Killed

    return between


class Silent(InMemoryFleet):
    """The nodes answer, and the run dies before it hears them."""

    def release(self, token, packed, roster):
        super().release(token, packed, roster)
        raise KeyboardInterrupt


def run(house, fleet=None, **kwargs) -> CampaignRun:
    events = kwargs.pop("events", [])
    between = kwargs.pop("between_releases", lambda _: None)
    return CampaignRun(house.coordinator(), house.campaign, fleet or InMemoryFleet(house), events.append, between)


def keys_of(house, *names: str) -> dict[str, str]:
    return {name: join(house.node(name), house.campaign.sha256) for name in names or house.borrowers}


def histogram_request(house, **changes) -> str:
    fields = {"parameters_sha256": NOTHING_YET.sha256, "mask_keys": changes.pop("mask_keys", None) or keys_of(house)}
    return house.asked(**(fields | changes)).sign(house.coordinator().key)


def answer(house, lender: str = "aspen", **changes) -> np.ndarray:
    """What a node answers to a request for the histogram."""
    return release(house.node(lender), histogram_request(house, **changes), NOTHING_YET)


def card_of(house) -> str:
    """The signed card that the campaign was released with."""
    return (house.coordinator().folder(house.campaign.sha256) / "model-card.jws").read_text(encoding="utf-8")


def charges(house, lender: str = "aspen") -> list[tuple[int, int]]:
    return [(r.release, r.attempt) for r in house.node(lender).store.releases(house.campaign.sha256)]


def test_a_campaign_ends_in_a_model_that_scores_and_a_signed_logged_card(active):
    events: list[dict] = []
    learner = run(active, events=events).execute()
    assert [e["event"] for e in events] == ["joined"] + ["release"] * len(active.campaign.mechanism.releases)
    assert events[-1]["epsilon"] <= active.campaign.mechanism.epsilon
    folder = active.coordinator().folder(active.campaign.sha256)
    loaded = CreditModel.load(folder / MODEL_FILE)
    table = loans(50, 9)
    assert np.allclose(loaded.probability(table), learner.model().probability(table))
    release_card(active.coordinator(), active.campaign, learner)
    card = ModelCard.verify(card_of(active), active.coordinator().key.public)
    assert [(one.band, one.least, one.pd_at_least) for one in card.bands] == [
        ("poor", 350, 0.6809), ("fair", 550, 0.1747), ("good", 600, 0.1062), ("very-good", 650, 0.0625),
        ("excellent", 700, 0.0361),
    ]  # fmt: skip
    assert "350 to 549: poor, 17.6% or more expected to be bad" in card_text(card)
    assert card.model_sha256 == hashlib.sha256((folder / MODEL_FILE).read_bytes()).hexdigest()
    client = active.client()
    assert any(card.sha256 in leaf.decode() for leaf in client.leaves(client.head().size))


def test_held_out_people_are_evaluated_on_and_never_trained_on(house):
    asked = features().model_dump(mode="json")
    next(one for one in asked["features"] if one["name"] == "late")["direction"] = "up"
    house.activate(plan={"hold_out": 0.3}, features=asked)
    learner = run(house).execute()
    release_card(house.coordinator(), house.campaign, learner)
    card = ModelCard.verify(card_of(house), house.coordinator().key.public)
    assert card.directions == {"late": "up"} and "risk rises   with late, throughout" in card_text(card)
    assert learner.evaluation is not None and learner.evaluation.untold[0] == "everybody", "they are a handful"
    store = house.node("cedar").store
    rosters = {r.kind: set(store.members(r.number)) for r in store.releases(house.campaign.sha256)}
    held = rosters.pop("evaluation")
    assert held and not any(held & trained for trained in rosters.values())
    assert held | rosters["gram"] == {p.pseudonym for p in house.consenting("cedar")}


def test_a_local_campaign_has_every_lender_train_by_itself(house):
    house.activate(plan={"kind": "local", "spare_attempts": 0})
    learner = run(house).execute()
    assert learner.mechanism.honest(3) == 1
    assert np.isfinite(learner.model().parameters).all()


def test_the_sum_is_exact_and_what_the_lenders_noised(active, monkeypatch):
    """Masks cancel to the last bit: the total is the sum of the shares as the lenders made them."""
    shares: list[np.ndarray] = []
    share = NoisySum.share
    monkeypatch.setattr(NoisySum, "share", lambda self, exact: shares.append(share(self, exact)) or shares[-1])
    run(active).execute()
    folder, lenders = active.coordinator().folder(active.campaign.sha256), len(active.borrowers)
    for number in range(len(active.campaign.mechanism.releases)):
        kept = load_release(folder, number)
        assert kept.total.tolist() == np.sum(shares[number * lenders : (number + 1) * lenders], axis=0).tolist()


def test_a_subset_of_contributions_says_nothing(active):
    """Invariant 6: whatever less than all the coordinator adds up is spread evenly over the whole ring."""
    fleet = InMemoryFleet(active)
    run(active, fleet).execute()
    for lenders in (("aspen",), ("cedar",), ("aspen", "birch"), ("birch", "cedar")):
        partial = [sum(answers[lender] for lender in lenders) for answers in fleet.seen]
        counts = np.bincount((np.concatenate(partial) >> np.uint64(56)).astype(int), minlength=256)
        assert counts.sum() > 256 * 3 and chisquare(counts).pvalue > P_VALUE
    assert np.abs(unmask(list(fleet.seen[0].values()))).max() < 2**40


def test_an_interrupted_run_goes_on_from_the_sums_it_kept(spare):
    folder = spare.coordinator().folder(spare.campaign.sha256)
    with pytest.raises(Killed):
        run(spare, between_releases=killed_after(1)).execute()
    learner = run(spare).execute()
    assert charges(spare) == [(number, 1) for number in range(len(spare.campaign.mechanism.releases))]
    again = learner_of(spare.campaign, folder.parent)
    while not again.done:
        kept = load_release(folder, again.released)
        again.absorb(kept.total, kept.contributors)
    assert again.model().parameters.tolist() == pytest.approx(learner.model().parameters.tolist()), (
        "the model is a fold over the sums"
    )


def test_a_run_that_died_while_it_asked_asks_again_under_the_next_attempt(spare):
    with pytest.raises(KeyboardInterrupt):
        run(spare, Silent(spare)).execute()
    run(spare).execute()
    assert charges(spare)[:2] == [(0, 1), (0, 2)], "both were charged"


def test_a_run_that_lost_a_lender_goes_on_without_it(spare):
    with pytest.raises(Killed):
        run(spare, InMemoryFleet(spare, leaving={1: {"birch"}}), between_releases=killed_after(2)).execute()
    run(spare, InMemoryFleet(spare, absent={"birch"})).execute()
    assert charges(spare)[:5] == [(0, 1), (1, 1), (1, 2), (2, 1), (3, 1)], "nothing was asked twice"


def test_who_was_lost_is_remembered_when_the_run_dies_while_asking_the_rest(spare):
    class DyingOnRetry(InMemoryFleet):
        def release(self, token, packed, roster):
            if "birch" not in roster:
                raise KeyboardInterrupt
            return super().release(token, packed, roster)

    with pytest.raises(KeyboardInterrupt):
        run(spare, DyingOnRetry(spare, leaving={1: {"birch"}})).execute()
    run(spare).execute()
    assert charges(spare, "birch") == [(0, 1)]
    assert (1, 3) in charges(spare) and spare.campaign.mechanism.spare_attempts == 1


def test_a_finished_campaign_needs_nobody_to_give_its_model_again(finished):
    first = CreditModel.load(finished.coordinator().folder(finished.campaign.sha256) / MODEL_FILE)
    again = run(finished, InMemoryFleet(finished, absent=set(finished.borrowers))).execute()
    assert again.model().parameters.tolist() == pytest.approx(first.parameters.tolist())


def test_an_answer_of_the_wrong_length_loses_its_sender_not_the_campaign(spare):
    class Malformed(InMemoryFleet):
        def release(self, token, packed, roster):
            answers = super().release(token, packed, roster)
            return Answers({n: w[:-1] if n == "birch" else w for n, w in answers.contributions.items()})

    events: list[dict] = []
    run(spare, Malformed(spare), events=events).execute()
    assert next(e for e in events if e["event"] == "lost")["reason"].startswith("birch sent")


def test_a_damaged_sum_is_not_gone_on_from(finished):
    path = finished.coordinator().folder(finished.campaign.sha256) / "release-001.npz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CoordinatorError, match=r"release-001\.npz is damaged"):
        run(finished).execute()


# --- dropping out


def test_a_release_is_attempted_again_among_the_rest_and_charged_twice(spare):
    events: list[dict] = []
    learner = run(spare, InMemoryFleet(spare, leaving={1: {"birch"}}), events=events).execute()
    lost = next(e for e in events if e["event"] == "lost")
    assert (lost["release"], lost["attempt"], lost["lenders"]) == (1, 1, ["birch"])
    assert charges(spare)[:4] == [(0, 1), (1, 1), (1, 2), (2, 1)]
    assert load_release(spare.coordinator().folder(spare.campaign.sha256), 1).contributors == 2
    assert learner.done
    spent = spare.node("cedar").store.spent([spare.consenting("cedar")[0].pseudonym])
    assert len(next(iter(spent.values()))) == len(spare.campaign.mechanism.releases) + 1


@pytest.mark.parametrize(("at", "hold_out"), [(1, 0.0), (3, 0.0), (5, 0.3)])
def test_the_epsilon_that_is_shown_is_what_the_ledgers_reserved_retries_included(house, at, hold_out):
    """0.949 was shown and 1.000 spent, because retries were left out."""
    campaign = house.activate(plan={"collusion_bound": 0, "spare_attempts": 1, "hold_out": hold_out})
    events: list[dict] = []
    learner = run(house, InMemoryFleet(house, leaving={at: {"birch"}}), events=events).execute()
    store = house.node("cedar").store
    of_each = store.spent(store.everybody()).values()
    ledger = max(epsilon_of(charged, campaign.mechanism.delta) for charged in of_each)
    shown = [e["epsilon"] for e in events if e["event"] == "release"]
    assert shown[-1] == pytest.approx(ledger, rel=1e-12)
    assert [e["attempts"] for e in events if e["event"] == "release"].count(2) == 1
    (lost,) = (e for e in events if e["event"] == "lost")
    assert shown[at - 1] <= lost["epsilon"] <= shown[at]
    release_card(house.coordinator(), campaign, learner)
    card = ModelCard.verify(card_of(house), house.coordinator().key.public)
    assert card.epsilon_spent == pytest.approx(ledger, rel=1e-12) and card.epsilon_spent <= card.epsilon


def test_attempts_stay_counted_when_a_run_dies(spare):
    with pytest.raises(KeyboardInterrupt):
        run(spare, Silent(spare)).execute()
    events: list[dict] = []
    run(spare, events=events).execute()
    charged = epsilon_of(spare.node().store.spent([spare.consenting()[9].pseudonym]).popitem()[1], 1e-5)
    assert events[-1]["epsilon"] == pytest.approx(charged, rel=1e-12)
    kept = load_releases(spare.coordinator().folder(spare.campaign.sha256)).progress
    assert kept.attempts == (2, *[1] * (len(spare.campaign.mechanism.releases) - 1))


def test_a_card_of_an_earlier_version_keeps_its_hash(finished):
    said = unverified_payload(card_of(finished))
    assert "directions" not in said, "none is declared"
    del said["epsilon_spent"]
    assert ModelCard.model_validate(said).sha256 == document_hash(said)


def test_what_is_left_after_a_dropout_still_carries_the_whole_noise(house):
    """Two shares of a half, or three of a third: the same variance, though one share is missing."""
    plan = house.make_campaign(**DROPOUTS).mechanism
    for contributors in (2, 3):
        form = NoisySum(4, 1.0, plan.releases[2].noise_multiplier, plan.honest(contributors))
        assert form.noise_std(contributors) == pytest.approx(plan.releases[2].noise_multiplier)


def test_fewer_lenders_than_the_threshold_stop_the_campaign(active):
    fleet = InMemoryFleet(active, leaving={1: {"birch"}})
    with pytest.raises(CampaignStopped, match="lacks the contribution of birch"):
        run(active, fleet).execute()
    assert not (active.coordinator().folder(active.campaign.sha256) / MODEL_FILE).exists()


def test_more_attempts_than_were_reserved_are_refused(spare):
    answer(spare)
    answer(spare, attempt=2)
    with pytest.raises(GateClosed, match="used up"):
        answer(spare, attempt=3)
    assert charges(spare) == [(0, 1), (0, 2)]


def test_a_second_contribution_to_the_same_attempt_is_refused(spare):
    answer(spare)
    for roster in (keys_of(spare), keys_of(spare, "aspen", "birch")):
        with pytest.raises((GateClosed, Conflict), match=r"before|already"):
            answer(spare, mask_keys=roster)
    assert charges(spare) == [(0, 1)]


def test_a_withheld_contribution_cannot_be_played_into_another_attempt(spare):
    """The coordinator keeps birch's first answer back, asks again, and puts the old one into the new sum."""
    old = answer(spare, "birch")
    fresh = [answer(spare, n, attempt=2) for n in ("aspen", "cedar")]
    assert np.abs(unmask([*fresh, old]).astype(float)).mean() > 2**60


def test_two_views_of_the_roster_do_not_cancel(spare):
    """If lenders are shown different rosters, the sum is noise, not somebody's update."""
    both = keys_of(spare, "aspen", "birch")
    answers = [
        answer(spare, "aspen", mask_keys=both),
        answer(spare, "birch"),
        answer(spare, "cedar"),
    ]
    for some in (answers, answers[:2], answers[1:]):
        assert np.abs(unmask(some).astype(float)).mean() > 2**60


def test_a_roster_below_the_threshold_or_with_a_stranger_is_refused(active):
    keys = keys_of(active)
    for roster, said in (
        ({**keys, "zelkova": keys["birch"]}, "not of the campaign's lenders"),
        ({"birch": keys["birch"], "cedar": keys["cedar"]}, "and this one"),
        ({"aspen": keys["aspen"], "birch": keys["birch"]}, "too few to hide among"),
    ):
        with pytest.raises(GateClosed, match=said):
            answer(active, mask_keys=roster)
    assert charges(active) == []


# --- keys, signatures, parameters


def test_a_withdrawal_between_releases_is_in_force_for_the_next(active):
    person = active.consenting("cedar")[0]
    run(active, between_releases=lambda number: active.withdraw(person) if number == 1 else None).execute()
    assert person.pseudonym in active.members(0, "cedar") & active.members(1, "cedar")
    assert person.pseudonym not in active.members(2, "cedar")


def test_a_coordinator_without_all_lenders_does_not_start(active):
    fleet = InMemoryFleet(active, absent={"cedar"})
    with pytest.raises(CampaignStopped, match="missing: cedar"):
        run(active, fleet).execute()


def test_a_mask_key_that_its_lender_did_not_sign_is_refused_by_coordinator_and_nodes(active):
    forged = MaskKey(campaign_sha256=active.campaign.sha256, lender="birch", public="A" * 43).sign(
        SigningKey.generate()
    )
    fleet = InMemoryFleet(active, mask_keys=lambda keys: {**keys, "birch": forged})
    with pytest.raises(CampaignStopped, match="birch's mask key"):
        run(active, fleet).execute()
    with pytest.raises(SignatureError):
        mixed = {**keys_of(active), "birch": forged}
        answer(active, mask_keys=mixed)


def test_a_mask_key_under_another_name_is_refused(active):
    keys = keys_of(active)
    with pytest.raises(SignatureError):
        swapped = {**keys, "birch": keys["cedar"]}
        answer(active, mask_keys=swapped)


def test_a_mask_key_of_an_earlier_campaign_is_refused(active):
    keys = keys_of(active)
    active.activate(id="the-next")
    mixed = {**keys_of(active), "birch": keys["birch"]}
    with pytest.raises(SignatureError, match="another campaign's"):
        answer(active, mask_keys=mixed)


def test_a_key_of_one_s_own_that_one_did_not_make_is_refused(active):
    """A lender's identity key stolen elsewhere must not put another mask key in its own place unnoticed."""
    other = b64(X25519PrivateKey.generate().public_key().public_bytes_raw())
    planted = MaskKey(campaign_sha256=active.campaign.sha256, lender="aspen", public=other).sign(active.node().key)
    with pytest.raises(SignatureError, match="not the one it made"):
        mixed = {**keys_of(active), "aspen": planted}
        answer(active, mask_keys=mixed)


def test_a_request_that_the_coordinator_did_not_sign_is_refused(active):
    request = active.asked(parameters_sha256=NOTHING_YET.sha256, mask_keys=keys_of(active))
    with pytest.raises(SignatureError):
        release(active.node(), request.sign(active.node("birch").key), NOTHING_YET)


def test_parameters_that_were_not_signed_are_refused(active):
    with pytest.raises(SignatureError, match="parameters"):
        release(active.node(), histogram_request(active), Question(ReleaseKind.HISTOGRAM, weights=np.ones(3)).pack())


def test_parameters_that_do_not_fit_are_refused_before_a_row_is_read_or_anybody_charged(finished):
    binning = run(finished).execute().binning
    bad = Question(ReleaseKind.GRADIENT, binning, np.eye(3), np.ones(3)).pack()
    before = charges(finished)
    asked = histogram_request(finished, release=2, attempt=2, kind=ReleaseKind.GRADIENT, parameters_sha256=bad.sha256)
    with pytest.raises(ModelError, match="not a matrix"):
        release(finished.node(), asked, bad)
    assert charges(finished) == before
