"""Each rule of an authorisation, broken alone, closes the gate and is named."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from support.plans import small_plan
from support.world import features

from clients.errors import GateClosed
from clients.rules import RULES, Use, require
from crypto.documents import document_hash
from privacy.charges import Charge
from privacy.mechanism import ReleaseKind
from protocol.campaigns import Approval, Authorisation, Campaign, DataUse, ReleaseRequest
from protocol.rules import rule_name
from protocol.schema import now
from protocol.snapshots import ConsentSnapshot, Places, packed
from protocol.terms import TRAINING_PURPOSE

PURPOSE = TRAINING_PURPOSE
MECHANISM = small_plan(lenders=2)


CONSORTIUM = "d" * 64


def use() -> Use:
    moment = now()
    campaign = Campaign(
        id="c", title="t", coordinator="coordinator", lenders=("aspen", "birch"), purpose=PURPOSE, model="scorecard",
        consortium_sha256=CONSORTIUM, features=features().model_dump(mode="json"), mechanism=MECHANISM,
        code_sha256="a" * 64, seed=0,
        created_at=moment, expires_at=moment + timedelta(hours=1),
    )  # fmt: skip
    sha = campaign.sha256
    return Use(
        lender="aspen",
        node_key="k" * 43,
        code_sha256="a" * 64,
        moment=moment,
        campaign=campaign,
        approval=Approval(campaign_sha256=sha, lender="aspen", lot="l" * 43, approved_at=moment),
        request=ReleaseRequest(
            campaign_sha256=sha, release=1, attempt=1, kind=ReleaseKind.GRAM, parameters_sha256="0" * 64, mask_keys={}
        ),
        charge=MECHANISM.releases[1].charge,
        authorisation=Authorisation(
            jti="0" * 32, iss="registry", aud="aspen", iat=moment, exp=moment + timedelta(minutes=10),
            authorization_details=(
                DataUse(
                    actions=tuple(ReleaseKind), datatypes=features().names, identifier=sha, purpose=PURPOSE,
                    node_key="k" * 43, first_release=0, last_release=4, code_sha256="a" * 64,
                    mechanism_sha256=document_hash(MECHANISM.model_dump(mode="json")), max_epsilon=1, delta=1e-5,
                    consent_sequence=7, consent_checkpoint="",
                ),
            ),
        ),
        authorisation_size=10,
        state_size=10,
        state=ConsentSnapshot(
            lender="aspen", purpose=PURPOSE, people=0, names_sha256="0" * 64, sequence=7, notices={},
            codes_sha256="0" * 64, checkpoint="", challenge="c" * 16, issued_at=moment,
        ),
        places=Places(
            campaign_sha256=sha, lender="aspen", people=0, bitmap=packed(np.zeros(0, np.uint8)),
            issued_at=moment,
        ),
        consortium_sha256=CONSORTIUM,
    )  # fmt: skip


def changed(document, **fields):
    return document.model_copy(update=fields)


def authorised(u, **fields):
    """The use with another authorisation."""
    return replace(
        u, authorisation=changed(u.authorisation, authorization_details=(changed(u.authorisation.use, **fields),))
    )


BREAKS = {
    "UnderThePinnedConsortium": lambda u: replace(u, consortium_sha256="e" * 64),
    "LenderTakesPart": lambda u: replace(u, lender="zelkova"),
    "ApprovedByOwnOperator": lambda u: replace(u, approval=None),
    "ForThisCampaign": lambda u: authorised(u, identifier="b" * 64),
    "IssuedToThisNode": lambda u: authorised(u, node_key="o" * 43),
    "InForceNow": lambda u: replace(u, authorisation=changed(u.authorisation, exp=u.moment)),
    "KindIsAuthorised": lambda u: authorised(u, actions=(ReleaseKind.HISTOGRAM,)),
    "ReleaseInRange": lambda u: replace(u, request=changed(u.request, release=5)),
    "ForThisPurpose": lambda u: replace(u, state=changed(u.state, purpose="https://w3id.org/dpv#Marketing")),
    "OnTheseFeatures": lambda u: authorised(u, datatypes=("late",)),
    "ByThisCode": lambda u: replace(u, code_sha256="c" * 64),
    "ByThisMechanism": lambda u: authorised(u, mechanism_sha256="d" * 64),
    "NoLessNoise": lambda u: replace(u, charge=Charge(u.charge.noise_multiplier * 0.99)),
    "WithinAuthorisedSpend": lambda u: authorised(u, max_epsilon=0.5),
    "ConsentIsFresh": lambda u: replace(u, state=changed(u.state, issued_at=u.moment - timedelta(minutes=3))),
}


def test_a_use_that_is_in_order_passes_every_rule():
    require(use())


@pytest.mark.parametrize("name", [*map(rule_name, RULES)])
def test_a_broken_rule_closes_the_gate(name):
    broken = BREAKS[name](use())
    with pytest.raises(GateClosed, match=name):
        require(broken, [rule for rule in RULES if rule_name(rule) == name])
    with pytest.raises(GateClosed):
        require(broken)


@pytest.mark.parametrize("older", [{"state_size": 9}, {"state": changed(use().state, sequence=6)}])
def test_a_state_from_before_the_authorisation_is_refused(older):
    with pytest.raises(GateClosed, match="older than the authorisation"):
        require(replace(use(), **older))


@pytest.mark.parametrize("foreign", ["state", "places"])
def test_another_lender_s_consents_are_refused(foreign):
    u = use()
    with pytest.raises(GateClosed, match="another lender"):
        require(replace(u, **{foreign: changed(getattr(u, foreign), lender="birch")}))


def test_another_lender_s_authorisation_is_refused():
    u = use()
    with pytest.raises(GateClosed, match="issued to 'birch'"):
        require(replace(u, authorisation=changed(u.authorisation, aud="birch")))


def test_an_approval_of_another_campaign_is_no_approval():
    u = use()
    with pytest.raises(GateClosed, match="ApprovedByOwnOperator"):
        require(replace(u, approval=changed(u.approval, campaign_sha256="b" * 64)))


def test_an_authorisation_from_the_future_is_refused():
    u = use()
    future = changed(u.authorisation, iat=u.moment + timedelta(minutes=5))
    with pytest.raises(GateClosed, match="future"):
        require(replace(u, authorisation=future))


def test_the_histogram_is_release_zero_and_nothing_else_is():
    u = use()
    with pytest.raises(GateClosed, match="ReleaseInRange"):
        require(replace(u, request=changed(u.request, kind=ReleaseKind.HISTOGRAM)))
