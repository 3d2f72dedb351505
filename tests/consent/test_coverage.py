"""A yes covers what its notice said, and no more: at the registry, and for each person at the node."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from support.house import everybody
from support.market import Market, open_market, shown
from support.notices import CATEGORIES
from support.world import features

from clients.consents import Consents
from law.bases import LegalBasis
from law.categories import DataCategory
from protocol.coverage import exceeds, needs_of
from protocol.parties import Role
from protocol.snapshots import CHILD
from protocol.terms import TRAINING_PURPOSE

GUARDIAN = {"age_band": "under-14", "guardian_entity_id": "g-1", "authority_evidence_hash": "a" * 64}
BEYOND = {
    "tax": {"name": "tax", "kind": "number", "category": "tax", "sensitivity": "sensitive"},
    "social": {"name": "friends", "kind": "integer", "category": "social"},
    "ethnicity": {"name": "origin", "kind": "number", "category": "ethnicity", "sensitivity": "sensitive"},
}


@pytest.fixture
def market(tmp_path):
    with open_market(tmp_path) as made:
        yield made


def schema(*more: dict) -> dict:
    said = features().model_dump(mode="json")
    return said | {"features": [*said["features"], *more]}


def usable(market: Market, campaign, folder):
    folder.mkdir(exist_ok=True)
    client = market.client("aspen")
    return Consents(folder, "aspen").sync(client, TRAINING_PURPOSE).usable(
        client.places(campaign.sha256), campaign.needs(market.registry.consortium)
    )  # fmt: skip


def hidden(found) -> dict[str, frozenset[str]]:
    return {name: found.patterns[pattern] for name, pattern in found.hidden().items()}


@pytest.mark.parametrize("category", BEYOND)
def test_a_campaign_on_what_no_notice_named_cannot_be_proposed(market, category):
    """Traced: tax, social and race were authorised under a notice that named none of them."""
    with pytest.raises(AssertionError):
        market.campaign(features=schema(BEYOND[category]))
    reason = exceeds(
        needs_of(schema(BEYOND[category]), False, market.notices[0].terms.lawful_basis), market.notices[0].terms
    )
    assert category in str(reason)


def test_a_use_that_no_notice_states_cannot_be_proposed(market):
    for changes in ({"automated_decision": True}, {"purpose": "https://w3id.org/dpv#Marketing"}):
        with pytest.raises(AssertionError):
            market.campaign(**changes)


def test_a_feature_is_as_sensitive_as_what_it_was_made_of():
    made = {"name": "debrate", "kind": "number", "category": "bureau", "derived_from": ["income"]}
    needs = needs_of(schema(made), False, LegalBasis.PIPL_CONSENT)
    assert set(needs.features["debrate"]) == {"ordinary", "income"}
    assert "debrate" in needs.of("income") and "debrate" in needs.of("ordinary")


def test_a_notice_that_was_narrowed_ends_authorisations(market):
    market.consenting("aspen")
    campaign = market.campaign()
    assert market.authorise(campaign).status_code == 201
    market.publish(2, categories=tuple(one for one in CATEGORIES if one is not DataCategory.INCOME))
    refused = market.authorise(campaign)
    assert refused.status_code == 403 and "income" in refused.text


def test_a_second_version_that_reaches_further_asks_everybody_again(market):
    """Traced: machine decisions, 30 years and location passed as not material."""
    (person,) = market.consenting("aspen")
    market.publish(
        2, automated_decision=True, retention_period_days=10_950, categories=(*CATEGORIES, DataCategory.LOCATION)
    )
    assert market.rule(person) == "notice-changed"
    listed = market.call(None, "GET", "/v1/notices").json()["items"]
    assert any("machine" in why for why in listed[-1]["reaches_further"])


def test_a_notice_that_leaves_something_out_is_not_published(market):
    """Traced: a notice "ok?" without categories, places and contacts gave full consent."""
    for left_out in ({"categories": ()}, {"storage_locations": ()}, {"complaint": {}}, {"recipients": ()}):
        with pytest.raises(AssertionError, match="cannot be published"):
            market.publish(2, **left_out)


def test_who_was_told_of_one_lender_is_not_trained_on_together_with_another(market, tmp_path):
    """A joint campaign reaches whom the notice does not name."""
    alone = market.publish(2, recipients=("aspen",))
    (person,) = market.enrol("aspen", 1)
    market.says(person, "give", notice=alone)
    with pytest.raises(AssertionError):
        market.campaign(("aspen", "birch"))
    (tmp_path / "n").mkdir()
    snapshot = Consents(tmp_path / "n", "aspen").sync(market.client("aspen"), TRAINING_PURPOSE)
    for together, members in ((["aspen"], [person.pseudonym]), (["aspen", "birch"], [])):
        told = market.registry.consortium.reached_by(together)
        found = snapshot.usable(everybody(1), needs_of(schema(), False, alone.terms.lawful_basis, told))
        assert found.members == members
    together = market.publish(3)
    assert market.rule(person) == "notice-changed"
    market.says(person, "give", notice=together)


def test_facts_are_not_used_for_longer_than_the_notice_says_they_are_kept(market, tmp_path):
    dated = {"name": "since", "kind": "number", "category": "bureau", "dated_by": "seen", "retention_days": 731}
    short = market.publish(2, retention_period_days=730)
    with pytest.raises(AssertionError):
        market.campaign(features=schema(dated))
    (person,) = market.enrol("aspen", 1)
    market.says(person, "give", ("ordinary", "income"), notice=short)
    (tmp_path / "n").mkdir()
    snapshot = Consents(tmp_path / "n", "aspen").sync(market.client("aspen"), TRAINING_PURPOSE)
    for days, masked in ((731, {"since"}), (730, set())):
        needs = needs_of(schema(dated | {"retention_days": days}), False, short.terms.lawful_basis)
        assert hidden(snapshot.usable(everybody(1), needs)).get(person.pseudonym, set()) == masked
        assert bool(masked) == ("days old" in str(exceeds(needs, short.terms)))


def test_features_that_were_held_against_another_law_cannot_be_proposed(market):
    """What China forbids, a campaign whose features are of US law alone would not be refused for."""
    with pytest.raises(AssertionError):
        market.campaign(features=schema() | {"jurisdictions": ["US"]})


def test_one_notice_at_a_time_asks_for_a_purpose(market):
    with pytest.raises(AssertionError, match="asks for 'aspen' and this purpose already"):
        market.publish(1, "another")


def test_each_person_is_held_to_the_version_that_they_answered(market, tmp_path):
    before = market.publish(2, categories=tuple(one for one in CATEGORIES if one is not DataCategory.BUREAU))
    early, late, _, ordinary = market.enrol("aspen", 4)
    market.says(early, "give", ("ordinary", "income"), notice=before)
    after = market.publish(3)
    market.says(early, "give", notice=after)  # asked again, and the income alone is not
    market.says(late, "give", ("ordinary", "income"), notice=after)
    market.says(ordinary, "give", notice=after)
    campaign = market.campaign(("aspen", "birch"))
    found = usable(market, campaign, tmp_path / "node")
    assert found.members == [early.pseudonym, late.pseudonym, ordinary.pseudonym]
    # the income of the first was given to a version that is out of date
    assert hidden(found) == {early.pseudonym: {"income"}, ordinary.pseudonym: {"income"}}


def test_what_the_answered_version_does_not_name_is_masked_even_where_it_is_not_out_of_date(market, tmp_path):
    """A notice that was narrowed and widened again: whoever answered in between is held to it."""
    wide = market.notices[-1]
    narrow = market.publish(2, categories=tuple(one for one in CATEGORIES if one is not DataCategory.BUREAU))
    first, second = market.enrol("aspen", 2)
    market.says(first, "give", ("ordinary",), notice=wide)
    market.says(second, "give", ("ordinary",), notice=narrow)
    client = market.client("aspen")
    (tmp_path / "n").mkdir()
    snapshot = Consents(tmp_path / "n", "aspen").sync(client, TRAINING_PURPOSE)
    found = snapshot.usable(everybody(2), needs_of(schema(), False, wide.terms.lawful_basis))
    assert hidden(found) == {first.pseudonym: {"income"}, second.pseudonym: {"income", "grade"}}


def test_nobody_is_used_whose_notice_said_less_of_machines_or_another_basis(market, tmp_path):
    people = market.consenting("aspen", 2)
    (tmp_path / "n").mkdir()
    snapshot = Consents(tmp_path / "n", "aspen").sync(market.client("aspen"), TRAINING_PURPOSE)
    basis = market.notices[0].terms.lawful_basis
    told = market.registry.consortium.reached_by(["aspen", "birch"])
    cases = (
        (schema(), False, basis, told, 2),
        (schema(), True, basis, told, 0),
        (schema(), False, LegalBasis.GDPR_CONSENT, told, 0),
        (schema() | {"jurisdictions": ["US"]}, False, basis, told, 0),
        (schema(), False, basis, told | {("elsewhere", Role.LENDER)}, 0),
        (schema(), False, basis, told | {("aspen", Role.COORDINATOR)}, 0),  # known, as something else
    )
    for features_of, automated, basis_of, recipients, members in cases:
        found = snapshot.usable(everybody(2), needs_of(features_of, automated, basis_of, recipients))
        assert len(found.members) == members, (automated, basis_of, recipients)
    assert len(people) == 2


def test_everything_of_a_child_is_sensitive_and_needs_the_guardian(market, tmp_path):
    child, other = market.enrol("aspen", 2)
    market.says(child, "give", authority=GUARDIAN)
    market.says(other, "give")
    assert (market.rule(child), market.rule(other)) == ("child", "given")
    campaign = market.campaign(("aspen", "birch"))
    assert usable(market, campaign, tmp_path / "a").members == [other.pseudonym]
    market.says(child, "give", ("sensitive",), authority=GUARDIAN)
    assert market.rule(child) == "given"
    campaign = market.campaign(("aspen", "birch"))
    kept = usable(market, campaign, tmp_path / "a")
    assert kept.members == [child.pseudonym, other.pseudonym]
    market.says(child, "withdraw", ("sensitive",), authority=GUARDIAN)
    assert market.rule(child) == "child"
    again = usable(market, market.campaign(("aspen", "birch")), tmp_path / "a")
    assert again.members == [other.pseudonym], "learnt of by changes alone"
    whole = Consents(tmp_path, "aspen").sync(market.client("aspen"), TRAINING_PURPOSE)
    assert (np.flatnonzero(whole.answered("ordinary") & CHILD)).tolist() == [child.number]
    assert market.call(child.pseudonym, "DELETE", "/v1/me").status_code == 200
    whole = Consents(tmp_path, "aspen").sync(market.client("aspen"), TRAINING_PURPOSE)
    assert not (whole.answered("ordinary") & CHILD).any(), "nor is it known of a tombstone"


@pytest.mark.parametrize("how", ["tap", "signed", "import", "adult"])
def test_whoever_leaves_out_the_age_does_not_make_an_adult_of_a_child(market, tmp_path, how):
    """A guardian's withdrawal said "adult" by default, and the child's ordinary yes counted."""
    (child,) = market.enrol("aspen")
    market.says(child, "give", ("ordinary", "sensitive"), authority=GUARDIAN)
    assert market.rule(child) == "given"
    if how == "tap":
        records = market.call(child.pseudonym, "GET", "/v1/me/consents").json()["items"]
        mine = next(one for one in records if one["pii_processing"]["sensitivity"] == "sensitive")
        target = f"/v1/me/consents/{mine['record_id']}/withdrawal"
        assert market.call(child.pseudonym, "POST", target).status_code == 201
    else:
        market.says(child, "withdraw", ("sensitive",))
    if how == "import":
        said = {"number": 0, "sensitivity": "income", "action": "refuse", "event_time": market.clock().isoformat(),
                "evidence_sha256": "e" * 64}  # fmt: skip
        about = shown(market.notices[-1]) | {"channel": "paper", "records": [said]}
        assert market.call("aspen", "POST", "/v1/imports", about).status_code == 201
    if how == "adult":
        assert market.says(child, "give", ("sensitive",)).status_code == 409, "a guardian says yes"
    assert market.rule(child) == "child"
    assert usable(market, market.campaign(("aspen", "birch")), tmp_path / "n").members == []


def test_what_no_guardian_gave_ends_when_the_age_is_known(market):
    (child,) = market.enrol("aspen")
    market.says(child, "give", ("ordinary", "sensitive"))
    assert market.rule(child) == "given"
    market.says(child, "refuse", ("income",), authority=GUARDIAN)
    assert (market.rule(child), market.rule(child, "sensitive")) == ("withdrawn", "withdrawn")
    older = GUARDIAN | {"age_band": "14-17"}
    market.says(child, "refuse", ("deposits",), authority=older)
    assert market.rule(child) == "withdrawn", "a guardian said, with evidence, that they are older, and gave nothing"


def test_a_childs_own_yeses_of_every_kind_and_purpose_end(market, tmp_path):
    """The ordinary one and that to income stayed, and were used once a guardian gave the sensitive one."""
    (child,) = market.enrol("aspen")
    other = market.publish(1, "other", purpose="https://w3id.org/dpv#CreditChecking")
    market.says(child, "give", notice=other)
    training = market.notices[0]
    for kinds in (("ordinary", "income"), ("deposits",)):
        market.says(child, "give", kinds, notice=training)
    market.says(child, "suspend", ("deposits",), notice=training)
    market.clock.move(seconds=60)
    before = market.clock() - timedelta(seconds=30)
    market.says(child, "give", ("sensitive", "income"), notice=training, authority=GUARDIAN, event_time=before)
    assert [market.rule(child, kind) for kind in ("ordinary", "income")] == ["withdrawn", "withdrawn"]
    assert states(market, child) == {
        (other.purpose, "ordinary"): "withdrawn", (training.purpose, "ordinary"): "withdrawn",
        (training.purpose, "income"): "given", (training.purpose, "deposits"): "withdrawn",
        (training.purpose, "sensitive"): "given",
    }  # fmt: skip
    assert usable(market, market.campaign(("aspen", "birch")), tmp_path / "n").members == []


@pytest.mark.parametrize("action", ["withdraw", "suspend", "resume"])
def test_what_a_guardian_says_of_a_childs_own_yes_is_heard(market, action):
    (child,) = market.enrol("aspen")
    market.says(child, "give")
    if action == "resume":
        market.says(child, "suspend")
    assert market.says(child, action, authority=GUARDIAN).status_code == 201


def states(market, person) -> dict[tuple[str, str], str]:
    records = market.call(person.pseudonym, "GET", "/v1/me/consents").json()["items"]
    said = [(one["pii_processing"], one["event"]["event_state"]) for one in records]
    return {(about["purpose"], about["sensitivity"]): state for about, state in said}


SHOWN_AGE = {"age_band": "adult", "authority_evidence_hash": "b" * 64}


@pytest.mark.parametrize("age", [SHOWN_AGE, GUARDIAN | {"age_band": "adult"}])
def test_a_childs_own_key_does_not_make_an_adult_of_it(market, age):
    """Traced: any 64 hex digits, under the child's own key, and everything of theirs was given."""
    (child,) = market.enrol("aspen")
    market.says(child, "give", ("ordinary",), authority=GUARDIAN)
    assert market.rule(child) == "child"
    assert market.says(child, "refuse", ("deposits",), authority=age).status_code == 201, "a no is always heard"
    assert market.rule(child) == "child"
    refused = market.says(child, "give", ("income",), authority=SHOWN_AGE)
    assert refused.status_code == 409 and "lender" in refused.text
    assert market.rule(child) == "child"


@pytest.mark.parametrize(
    ("age", "rule"),
    [
        (SHOWN_AGE, "given"), (GUARDIAN | {"age_band": "14-17"}, "given"), ({"age_band": "adult"}, "child"),
        (GUARDIAN | {"age_band": "adult"}, "child"), (GUARDIAN, "child"),
    ],
)  # fmt: skip
def test_whom_the_lender_has_seen_the_papers_of_is_as_old_as_they_say(market, tmp_path, age, rule):
    (person,) = market.enrol("aspen")
    market.says(person, "give", authority=GUARDIAN)
    assert usable(market, market.campaign(("aspen", "birch")), tmp_path / "n").members == []
    assert market.hands_in("refuse", "deposits", authority=age).status_code == 201
    assert market.rule(person) == rule
    used = usable(market, market.campaign(("aspen", "birch")), tmp_path / "n").members
    assert used == ([person.pseudonym] if rule == "given" else [])


def test_of_two_papers_handed_in_together_the_one_that_protects_counts(market):
    (person,) = market.enrol("aspen")
    when, name = market.clock().isoformat(), {"number": 0, "action": "refuse", "evidence_sha256": "e" * 64}
    market.says(person, "give", authority=GUARDIAN)
    records = [
        name | {"sensitivity": kind, "event_time": when, "authority": age}
        for kind, age in (("income", GUARDIAN), ("deposits", SHOWN_AGE))
    ]
    for order in (records, records[::-1]):
        body = shown(market.notices[-1]) | {"channel": "paper", "records": order}
        market.call("aspen", "POST", "/v1/imports", body)
        assert market.rule(person) == "child"


def narrower(market, **terms):
    """What a child's ordinary and sensitive consents answer: the sensitive one to a version that says less."""
    wide = market.notices[0]
    narrow = market.publish(2, **terms)
    child, other = market.enrol("aspen", 2)
    market.says(child, "give", notice=wide, authority=GUARDIAN)
    assert market.says(child, "give", ("sensitive",), notice=narrow, authority=GUARDIAN).status_code == 201
    market.says(other, "give", notice=wide)
    assert (market.rule(child), market.rule(other)) == ("given", "given")
    return child, other, wide


def test_of_a_child_nothing_is_used_that_the_guardians_sensitive_yes_does_not_name(market, tmp_path):
    """Traced: `grade` was used, which the version that the guardian answered does not name."""
    child, other, wide = narrower(market, categories=(DataCategory.REPAYMENT, DataCategory.INCOME))
    (tmp_path / "n").mkdir()
    snapshot = Consents(tmp_path / "n", "aspen").sync(market.client("aspen"), TRAINING_PURPOSE)
    found = snapshot.usable(everybody(2), needs_of(schema(), False, wide.terms.lawful_basis))
    assert hidden(found) == {child.pseudonym: {"income", "grade"}, other.pseudonym: {"income"}}


def test_a_guardians_sensitive_yes_is_to_who_gets_something_or_the_child_is_left_out(market, tmp_path):
    child, other, wide = narrower(market, recipients=("aspen",))
    (tmp_path / "n").mkdir()
    snapshot = Consents(tmp_path / "n", "aspen").sync(market.client("aspen"), TRAINING_PURPOSE)
    for lenders, members in ((["aspen"], [child, other]), (["aspen", "birch"], [other])):
        told = market.registry.consortium.reached_by(lenders)
        found = snapshot.usable(everybody(2), needs_of(schema(), False, wide.terms.lawful_basis, told))
        assert found.members == [one.pseudonym for one in members]


def test_who_grew_up_for_another_purpose_did_for_a_node_that_only_hears_of_changes(market, tmp_path):
    (child,) = market.enrol("aspen")
    market.says(child, "give", ("ordinary", "sensitive"), authority=GUARDIAN)
    market.says(child, "withdraw", ("sensitive",), authority=GUARDIAN)
    campaign = market.campaign(("aspen", "birch"))
    assert usable(market, campaign, tmp_path / "kept").members == []
    other = market.publish(1, "other", purpose="https://w3id.org/dpv#CreditChecking")
    market.clock.move(seconds=2000)
    market.says(child, "give", notice=other, authority=GUARDIAN | {"age_band": "14-17"})
    market.clock.move(seconds=2000)
    assert market.rule(child) == "given"
    assert usable(market, market.campaign(("aspen", "birch")), tmp_path / "kept").members == [child.pseudonym]


def test_a_child_that_was_said_to_be_one_for_another_purpose_is_one_for_a_node_that_only_hears_of_changes(
    market, tmp_path
):
    (child,) = market.consenting("aspen")
    campaign = market.campaign(("aspen", "birch"))
    assert usable(market, campaign, tmp_path / "kept").members == [child.pseudonym]
    other = market.publish(1, "other", purpose="https://w3id.org/dpv#CreditChecking")
    market.says(child, "give", notice=other, authority=GUARDIAN)
    market.clock.move(seconds=1200)
    assert usable(market, market.campaign(("aspen", "birch")), tmp_path / "kept").members == []


def test_a_yes_to_sensitive_data_is_to_a_notice_that_explains_their_use(market):
    market.publish(
        2, categories=("repayment", "consumption"), necessity={}, effect={}, adverse_consequences={}, written_form=False
    )
    (person,) = market.enrol("aspen")
    assert market.says(person, "give", ("sensitive",)).status_code == 409


def test_a_child_without_a_guardian_is_refused_in_imports_too(market):
    (child,) = market.enrol("aspen")
    said = {"number": 0, "sensitivity": "ordinary", "action": "give", "event_time": market.clock().isoformat(),
            "evidence_sha256": "e" * 64}  # fmt: skip
    body = {name: getattr(market.notices[-1], at) for name, at in (("notice_id", "id"), ("notice_version", "version"))}
    body |= {"notice_language": "en", "notice_sha256": market.notices[-1].text_sha256("en"), "channel": "paper"}
    alone = market.call(
        "aspen", "POST", "/v1/imports", body | {"records": [said | {"authority": {"age_band": "under-14"}}]}
    )
    assert alone.status_code == 422 and "guardian" in alone.text
    answer = market.call("aspen", "POST", "/v1/imports", body | {"records": [said | {"authority": GUARDIAN}]})
    assert answer.status_code == 201, answer.text
    assert market.rule(child) == "child"


@pytest.mark.parametrize(("kind", "channel", "status"), [
    ("income", "phone", 409), ("income", "app", 201), ("ordinary", "phone", 409), ("sensitive", "phone", 409),
    ("ordinary", "branch", 201), ("tax", "app", 409), ("tax", "paper", 409),
])  # fmt: skip
def test_a_yes_is_to_what_was_asked_in_the_form_that_it_needs(market, kind, channel, status):
    (person,) = market.enrol("aspen")
    assert market.says(person, "give", (kind,), channel=channel).status_code == status


def test_no_yes_is_taken_for_a_child_to_rules_that_are_not_for_children(market):
    """PIPL 31(2): rules of processing of their own; in imports too (``refuse_alone``)."""
    (child,) = market.enrol("aspen")
    adults = market.publish(2, children={})
    refused = market.says(child, "give", ("ordinary", "sensitive"), notice=adults, authority=GUARDIAN)
    assert refused.status_code == 409 and "rules of their own for children" in refused.text
    assert market.says(child, "refuse", notice=adults, authority=GUARDIAN).status_code == 201, "a no is always heard"
    for_all = market.publish(3)
    assert "Children" not in for_all.texts["en"] and "For children under 14:" in for_all.texts["en"]
    said = market.says(child, "give", ("ordinary", "sensitive"), notice=for_all, authority=GUARDIAN)
    assert said.status_code == 201 and market.rule(child, "sensitive") == "given"
