"""Each rule of the registry's authorisations, broken alone, refuses and is named."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from support.market import MECHANISM
from support.notices import full_terms, some_consortium
from support.world import features

from consent.authorising import RULES, Overdue, Situation, Unanswered, require
from crypto.keys import SigningKey
from protocol.campaigns import AuthorisationRequest, Campaign
from protocol.errors import NotAllowed
from protocol.notices import Notice
from protocol.parties import Consortium, Party, Role
from protocol.rules import rule_name
from protocol.schema import now
from protocol.terms import TRAINING_PURPOSE

CONSORTIUM = some_consortium("aspen", "birch")
NOTICE = Notice(
    id="n", version=1, purpose=TRAINING_PURPOSE, recipients=("aspen", "birch"), texts={}, published_at=now(),
    terms=full_terms(CONSORTIUM, ("aspen", "birch")),
)  # fmt: skip
KEY, OTHER = SigningKey.generate().public, SigningKey.generate().public


def situation() -> Situation:
    moment = now()
    campaign = Campaign(
        id="c", title="t", coordinator="coordinator", lenders=("aspen", "birch"), purpose=TRAINING_PURPOSE,
        model="scorecard", features=features().model_dump(mode="json"), mechanism=MECHANISM, code_sha256="a" * 64,
        seed=0, created_at=moment, expires_at=moment + timedelta(hours=1),
    )  # fmt: skip
    return Situation(
        consortium=CONSORTIUM,
        lender=Party(id="aspen", name="Aspen", role=Role.LENDER, signing_key=KEY.text),
        asked=AuthorisationRequest(
            node_key=KEY.thumbprint, purpose=TRAINING_PURPOSE, code_sha256="a" * 64, checkpoint="checked before"
        ),
        campaign=campaign,
        approved_by=frozenset({"aspen", "birch"}),
        active=True,
        rejected=False,
        committed=(),
        seen=8,
        acknowledged_at=7,
        notice=NOTICE,
        overdue=None,
        unanswered=None,
        moment=moment,
    )  # fmt: skip


def asked(s: Situation, **fields) -> Situation:
    return replace(s, asked=s.asked.model_copy(update=fields))


def lender(s: Situation, **fields) -> Situation:
    return replace(s, lender=Party.model_validate(s.lender.model_dump() | fields))


def renamed(consortium: Consortium, party: str, name: str) -> Consortium:
    """As an amendment leaves it: the id and the keys are the same, and the institution is another."""
    parties = tuple(one.model_copy(update={"name": name}) if one.id == party else one for one in consortium.parties)
    return consortium.model_copy(update={"parties": parties})


BREAKS = {
    "OwnNode": lambda s: asked(s, node_key=OTHER.thumbprint),
    "TakesPart": lambda s: lender(s, id="zelkova"),
    "ApprovedByAll": lambda s: replace(s, approved_by=frozenset({"aspen"})),
    "NotRejected": lambda s: replace(s, rejected=True),
    "NotLapsed": lambda s: replace(s, moment=s.campaign.expires_at),
    "SamePurpose": lambda s: asked(s, purpose="https://w3id.org/dpv#Marketing"),
    "WithinTheNotice": lambda s: replace(s, notice=None),
    "CallsThemByTheirNames": lambda s: replace(s, consortium=renamed(s.consortium, "coordinator", "Data Broker Ltd")),
    "ApprovedCode": lambda s: asked(s, code_sha256="b" * 64),
    "RevocationsAcknowledged": lambda s: replace(s, overdue=Overdue(3, s.moment - timedelta(hours=2))),
    "RequestsAnswered": lambda s: replace(s, unanswered=Unanswered(2, s.moment - timedelta(days=1))),
    "FreshCheckpoint": lambda s: replace(s, seen=7),
    "BudgetLeft": lambda s: replace(s, committed=(0,) * 100),
}


def test_a_request_that_is_in_order_passes_every_rule():
    require(situation())


@pytest.mark.parametrize("name", [*map(rule_name, RULES)])
def test_a_broken_rule_refuses_and_is_named(name):
    broken = BREAKS[name](situation())
    failing = [rule_name(rule) for rule in RULES if rule(broken) is not None]
    assert failing == [name], "broken alone"
    with pytest.raises(NotAllowed) as refused:
        require(broken)
    assert refused.value.rule == name
    assert str(refused.value).count("\n") == 0


def test_every_rule_is_broken_once():
    assert sorted(map(rule_name, RULES)) == sorted(BREAKS)


def test_only_a_lender_s_node_is_authorised():
    with pytest.raises(NotAllowed) as refused:
        require(lender(situation(), role="coordinator"))
    assert refused.value.rule == "OwnNode"


def test_approvals_without_activation_are_not_enough():
    with pytest.raises(NotAllowed, match="no quorum, no run"):
        require(replace(situation(), active=False))


def test_who_never_acknowledged_anything_needs_no_checkpoint():
    require(replace(situation(), acknowledged_at=-1, seen=0))


def test_the_last_planned_release_fits_and_the_next_does_not():
    s = situation()
    spent = list(range(len(MECHANISM.releases)))
    for done in spent:
        require(replace(s, committed=tuple(spent[:done])))
    while len(spent) < 200:
        try:
            require(replace(s, committed=tuple(spent)))
        except NotAllowed as refused:
            assert refused.rule == "BudgetLeft"
            return
        spent.append(2)
    pytest.fail("the budget never ends")
