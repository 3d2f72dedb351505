"""Campaigns that watch a released model: who is counted, what leaves, what it costs, who is told."""

from __future__ import annotations

import hashlib
import json
import math
from datetime import date

import numpy as np
import pandas as pd
import pytest
from support.house import House
from support.watching import SINCE, UNTIL, ask_for_watching, begin_watching, watch_asked, watched, write_applicants

from auditlog.audit import verify_log
from clients.errors import NodeError, SourceError
from clients.models import FIGURES_FILE, KeptModel, check_origin
from clients.own_counts import kept_counts
from credit.features import schema_from, within
from credit.models import CreditModel
from privacy.sums import NoisySum
from protocol.campaigns import Campaign
from protocol.cards import ModelCard
from protocol.errors import ConsentError
from protocol.evidence import PackScope
from protocol.parts import PartWriter
from protocol.periods import period_name
from protocol.schema import now
from protocol.terms import TRAINING_PURPOSE
from protocol.watched import APPLIED, WATCHING_PURPOSE
from server.assessments import assessed
from server.desired_state import Stage, write_state
from server.errors import BadOption, CoordinatorError
from server.evidence import collect
from server.folders import standing_of
from server.home import CARD_FILE, MODEL_FILE
from server.proposing import Asked


@pytest.fixture(scope="module")
def ground_released(ground, tmp_path_factory):
    """A model was released for half of what a person may spend, and everybody was asked to have it watched, but for
    the first at aspen."""
    return ground.after(tmp_path_factory.mktemp("watched") / "house", released_and_asked)


@pytest.fixture
def released(ground_released, tmp_path):
    with ground_released.copy(tmp_path / "released").opened() as house:
        house.trained = house.campaign
        yield house


def unasked(house: House) -> str:
    return house.consenting("aspen")[0].pseudonym


def released_and_asked(house: House) -> None:
    house.activate(epsilon=0.5)
    watched(house)
    ask_for_watching(house, but=(unasked(house),))


def exact_sums(monkeypatch) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    share = NoisySum.share
    monkeypatch.setattr(NoisySum, "share", lambda self, exact: found.append(np.array(exact)) or share(self, exact))
    return found


def roster(house: House, lender: str) -> set[str]:
    """Whom the newest campaign's release was charged to."""
    store = house.node(lender).store
    (only,) = store.releases(house.campaign.sha256)
    return set(store.members(only.number))


def card_of(house: House) -> ModelCard:
    folder = house.coordinator().folder(house.campaign.sha256)
    return ModelCard.claimed((folder / CARD_FILE).read_text(encoding="utf-8"))


def counted(house: House, lender: str, table) -> set[str]:
    """Who of a lender's applicants may be counted."""
    inside = table[(table.applied_on >= SINCE) & (table.applied_on < UNTIL)]
    asked = {person.pseudonym for person in house.consenting(lender)} - {unasked(house)}
    return asked & set(inside.pseudonym)


def test_an_intake_counts_each_consenting_applicant_of_the_period_once_and_charges_nobody_else(released, monkeypatch):
    tables = write_applicants(released)
    begin_watching(released)
    sums = exact_sums(monkeypatch)
    fold = watched(released)
    layout, total = fold.layout, sum(sums)
    decided, by_segment, features = layout.split(total.astype(float))
    wanted = {lender: counted(released, lender, table) for lender, table in tables.items()}
    ledger = {one.pseudonym: one.enrolment.ledger_pseudonym for group in released.borrowers.values() for one in group}
    people = len({ledger[name] for names in wanted.values() for name in names})
    assert 10 < decided.sum() <= people, "somebody at two lenders is one person, with one place"
    assert all(counts.sum() == decided.sum() for counts in features), "everybody is in one bin of each feature"
    assert by_segment.shape[0] == len(layout.segments)
    rosters = {lender: roster(released, lender) for lender in wanted}
    approved = sum(
        int(table.set_index("pseudonym").loc[sorted(rosters[lender]), "approved"].sum())
        for lender, table in tables.items()
    )
    assert decided[1].sum() == approved
    card = card_of(released)
    own = [kept_counts(released.node(lender), card) for lender in wanted]
    assert np.array_equal(np.sum(own, axis=0), total), "each lender keeps what it put in"
    lost = card.model_copy(update={"lenders": ("birch", "cedar")})
    assert kept_counts(released.node("aspen"), lost) is None, "what it kept is in no sum"
    for lender, names in wanted.items():
        assert rosters[lender] <= names, "who did not apply in the period, or was not asked, pays nothing"
    assert sum(map(len, rosters.values())) == decided.sum()


def test_figures_are_released_with_a_card_that_a_lender_fetches_and_an_auditor_checks(released):
    write_applicants(released)
    begin_watching(released)
    watched(released)
    coordinator = released.coordinator()
    folder = coordinator.folder(released.campaign.sha256)
    card = ModelCard.verify((folder / CARD_FILE).read_text(encoding="utf-8"), coordinator.key.public)
    assert card.watched == released.campaign.watched and card.watched.campaign_sha256 == released.trained.sha256
    assert period_name(card.watched) == "2026-10" and not (folder / MODEL_FILE).exists()
    told = json.loads((folder / FIGURES_FILE).read_text(encoding="utf-8"))
    assert told["kind"] == "intake" and set(told["features"]) == set(card.features)
    assert math.isclose(sum(told["groups"]["expected"]), 1) and np.array(told["groups"]["counts"]).shape[0] == 2
    client = released.client("birch")
    kept = KeptModel.fetch(client, released.campaign.sha256)
    node = released.node("birch")
    verified = check_origin(kept, released.campaign.sha256, node.consortium)
    assert hashlib.sha256(kept.model).hexdigest() == verified.card.model_sha256
    kept.write(node.home / "models" / released.campaign.sha256)
    assert KeptModel.read(node.home / "models" / released.campaign.sha256) == kept
    auditor, key = released.founded.auditor(released.url), released.founded.auditor_recipient
    released.clients.append(auditor)
    released.registry.ledger.catch_up()
    assert verify_log(auditor, auditor.checkpoint_note(), key).by_type["model.released"] == 2


def test_a_card_of_other_days_than_were_approved_is_not_believed(released):
    write_applicants(released)
    begin_watching(released)
    watched(released)
    coordinator, sha256 = released.coordinator(), released.campaign.sha256
    kept = KeptModel.fetch(released.client(), sha256)
    card = ModelCard.claimed(kept.card)
    other = card.watched.model_copy(update={"since": date(2026, 9, 1)})
    lied = card.model_copy(update={"watched": other}).sign(coordinator.key)
    leaf = json.loads(kept.leaf) | {"model_card": ModelCard.claimed(lied).sha256}
    with pytest.raises(NodeError, match="does not verify"):
        check_origin(
            KeptModel(kept.model, lied, kept.campaign, kept.approvals, json.dumps(leaf).encode(), kept.proof),
            sha256,
            released.node().consortium,
        )


def test_outcomes_say_how_good_the_model_is_of_those_whose_rows_are_of_the_period(released, monkeypatch):
    for lender, people in released.borrowers.items():
        home = released.founded.node_home(lender)
        table = write_applicants_as_book(home, [one.pseudonym for one in people])
        assert len(table)
    begin_watching(released, "outcomes")
    fold = watched(released)
    assert fold.evaluation is not None and fold.evaluation.left_out is None
    assert "everybody" in fold.evaluation.untold, "they are a handful"
    assert fold.figures()["evaluation"]["untold"]


def write_applicants_as_book(home, names):
    from support.watching import applicants

    from clients.data.description import DATA_FILE
    from clients.home import BOOK_FILE

    table = applicants(names, 7).rename(columns={"applied_on": "disbursed_on", "approved": "bad"})
    (home / BOOK_FILE).unlink(missing_ok=True)
    table.to_parquet(home / "loans.parquet")
    text = 'kind = "parquet"\npath = "loans.parquet"\nperson = "pseudonym"\nlatest_by = "disbursed_on"\n'
    (home / DATA_FILE).write_text(text, encoding="utf-8")
    return table


def test_rows_without_a_day_cannot_be_asked_for_days_and_no_row_has_a_say_in_that(released):
    write_applicants(released)
    begin_watching(released)
    file = released.founded.node_home("aspen") / "applicants.toml"
    file.write_text(file.read_text(encoding="utf-8").replace('latest_by = "applied_on"\n', ""), encoding="utf-8")
    with pytest.raises(SourceError, match="say latest_by"):
        released.open_gate()
    file.unlink()
    with pytest.raises(SourceError, match=r"no applicants\.toml"):
        released.open_gate()
    assert released.node().store.releases(released.campaign.sha256) == [], "nobody was charged"


def test_what_cannot_be_watched_is_refused_with_the_option_that_is_wrong(released):
    with pytest.raises(BadOption) as caught:
        watch_asked(released, until=SINCE)
    assert caught.value.option == "until"
    with pytest.raises(BadOption) as caught:
        watch_asked(released, collusion_bound=2)
    assert caught.value.option == "collusion-bound"
    folder = released.coordinator().folder(released.trained.sha256)
    (folder / CARD_FILE).unlink()
    with pytest.raises(CoordinatorError, match="has not released a model"):
        watch_asked(released)


def test_another_model_than_the_one_that_was_approved_is_not_watched(released):
    write_applicants(released)
    begin_watching(released)
    folder = released.coordinator().folder(released.trained.sha256)
    model = CreditModel.load(folder / MODEL_FILE)
    CreditModel(model.kind, model.embedding, model.parameters * 2, model.calibration, model.pairs).save(
        folder / MODEL_FILE
    )
    with pytest.raises(CoordinatorError, match="is not the model that the campaign names"):
        watched(released)


def test_the_plan_charges_what_its_mu_says_spare_attempts_included(released):
    mechanism = watch_asked(released, mu=0.1, spare_attempts=1).mechanism()
    from privacy.accounting import epsilon_of
    from privacy.charges import Charge

    assert mechanism.watches and mechanism.releases[0].noise_multiplier == pytest.approx(10)
    assert mechanism.epsilon == pytest.approx(epsilon_of([Charge(10.0)] * 2, mechanism.delta))


def test_watching_is_charged_to_the_same_person_as_training_and_nobody_pays_beyond_the_cap(released):
    write_applicants(released)
    begin_watching(released, mu=0.2, spare_attempts=0)
    watched(released)
    first = {lender: roster(released, lender) for lender in released.borrowers}
    begin_watching(released, mu=0.2, spare_attempts=0, name="again", since=date(2026, 9, 1))
    watched(released)
    second = {lender: roster(released, lender) for lender in released.borrowers}
    assert all(first.values())
    assert not any(second.values()), "training and twice this is more than a life may cost; the registry counts places"


def test_whose_consent_has_an_end_is_counted_by_the_day_on_which_they_applied(released):
    schema = schema_from(watch_asked(released).features(), "here")
    table = pd.DataFrame({"late": 1.0, "income": 5.0, "grade": "a", "approved": 1, APPLIED: [SINCE, date(2019, 1, 1)]})
    assert len(within(table, schema, date(2020, 1, 1), None)) == 1


def test_no_other_purpose_watches_and_watching_trains_nothing(released):
    planned = watch_asked(released).campaign("coordinator", "0" * 64, "0" * 64, now())
    with pytest.raises(ValueError, match="purpose of its own"):
        Campaign.model_validate({**planned.model_dump(), "purpose": TRAINING_PURPOSE})
    with pytest.raises(ValueError, match="purpose of its own"):
        Campaign.model_validate({**released.trained.model_dump(), "purpose": WATCHING_PURPOSE})
    with pytest.raises(ValueError, match="which one and when"):
        Campaign.model_validate({**planned.model_dump(), "watched": None})


def test_a_watching_campaign_that_ended_says_how_the_next_one_is_proposed_and_trains_nothing(released):
    write_applicants(released)
    begin_watching(released)
    coordinator = released.coordinator()
    folder = coordinator.folder(released.campaign.sha256)
    write_state(folder, Stage.STOPPED, "no attempt was spare")
    stands = standing_of(coordinator, folder, None)
    said = f"tahini watch propose {released.trained.sha256[:12]} --kind intake --since 2026-10-01 --until 2026-11-01"
    assert stands.next_one.startswith(said)
    with pytest.raises(BadOption, match="tahini watch propose"):
        Asked.of({}, None, released.campaign, coordinator.consortium)


def test_a_model_that_nobody_released_is_not_put_before_lenders(released):
    planned = watch_asked(released).campaign("coordinator", "0" * 64, "0" * 64, now())
    campaign = assessed(released.coordinator(), planned, None, now())
    for wrong in ({"model_sha256": "b" * 64}, {"campaign_sha256": "a" * 64}):
        lied = campaign.model_copy(update={"watched": campaign.watched.model_copy(update=wrong)})
        with pytest.raises(ConsentError, match=r"has not released|there is no campaign"):
            released.propose(lied)
    assert released.propose(campaign)


def test_an_evidence_pack_has_the_figures_and_no_bill_of_materials_of_a_model(released, tmp_path):
    write_applicants(released)
    begin_watching(released)
    watched(released)
    part = PartWriter(tmp_path)
    collect(released.coordinator(), PackScope.parse("period:2026-01-01..2099-12-31"), part)
    of = {
        one.sha256: {path.rpartition("/")[2] for path in part.files if one.sha256 in path}
        for one in (released.trained, released.campaign)
    }
    assert {"figures.json", "model-card.jws"} <= of[released.campaign.sha256]
    assert "bom.cdx.json" in of[released.trained.sha256] and "bom.cdx.json" not in of[released.campaign.sha256]
