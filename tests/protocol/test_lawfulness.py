"""Rules of what a jurisdiction asks of parties: each is red once, and the demo's invented parties keep them all."""

from __future__ import annotations

import copy
from datetime import date

import pytest
from pydantic import ValidationError

from crypto.keys import SigningKey
from crypto.notes import Verifier
from crypto.policies import Log, unwitnessed
from demo.identities import TERMS, UNTIL, fictitious
from protocol.errors import Conflict, Malformed
from protocol.lawfulness import MANY_PEOPLE, RULES, Constitution, broken, require
from protocol.legal import Contact, LegalIdentity
from protocol.parties import Consortium, Party, Role
from protocol.rules import rule_name
from protocol.terms import TRAINING_PURPOSE

DAY = date(2026, 11, 27)
LENDERS = ("aspen", "birch")
ROLES = {
    "registry": Role.REGISTRY, "coordinator": Role.COORDINATOR, "auditor": Role.AUDITOR, "naming": Role.NAMING,
    "aspen": Role.LENDER, "birch": Role.LENDER,
}  # fmt: skip
STATED = {name: fictitious(name, role, LENDERS) for name, role in ROLES.items()}
KEYS = {name: SigningKey.generate().public.text for name in ROLES}
LOG = unwitnessed(Log(Verifier("log.test/x", SigningKey.generate().public))).text


def consortium(stated=STATED, terms=TERMS) -> Consortium:
    parties = tuple(
        Party(id=name, name=name, role=role, signing_key=KEYS[name], legal=stated.get(name))
        for name, role in ROLES.items()
    )
    return Consortium(
        name="test", parties=parties, log_policy=LOG, unwitnessed=True, max_epsilon=1.0, max_delta=1e-5, legal=terms
    )


def changed(*changes):
    """What is stated, with (party, field, value) put in; the field goes where the value is None."""
    stated = copy.deepcopy(STATED)
    for party, field, value in changes:
        stated[party].pop(field, None)
        if value is not None:
            stated[party][field] = value
    return stated


def names(stated, day=DAY, people=None, terms=TERMS):
    return [name for name, _ in broken(Constitution(consortium(stated, terms), day, people or {}))]


def licence(kind="personal-credit-reporting", **more):
    return {"kind": kind, "number": "X-1", "authority": "nobody", **more}


def transfer(until="2027-01-01"):
    return {
        "kind": "transfer", "sha256": "1" * 64, "parties": ["aspen"], "mechanism": "standard contract", "until": until,
    }  # fmt: skip


OWN = [{"purpose": TRAINING_PURPOSE, "role": "handler"}]
BREAKS = {
    "SuccessorsBelong": [
        changed(("aspen", "succeeded_by", "oak")),
        changed(("aspen", "succeeded_by", "aspen")),
        changed(("aspen", "former_ids", ["birch"])),
        changed(("aspen", "former_ids", ["oak"]), ("birch", "former_ids", ["oak"])),
    ],
    "LicensedCoordinator": [
        changed(("coordinator", "licence", None)),
        changed(("coordinator", "licence", licence("microloan"))),
        changed(("coordinator", "licence", licence(until="2026-11-26"))),
        changed(("coordinator", "licence", None), ("coordinator", "institution", "aspen")),  # aspen does not say so
        changed(
            ("coordinator", "licence", None), ("coordinator", "institution", "auditor"),
            ("auditor", "institution", "coordinator"),
        ),
    ],
    "LicensedLenders": [
        changed(("birch", "licence", None)),
        changed(("birch", "licence", licence("microloan", until="2026-01-01"))),
    ],
    "DataStayOrTravelByDocument": [
        changed(("naming", "country", None)),
        changed(("naming", "country", "SG")),
        changed(
            ("naming", "country", "SG"),
            ("naming", "agreements", [transfer("2026-11-26"), *STATED["naming"]["agreements"]]),
        ),
    ],
    "RolesAreStated": [
        changed(("registry", "roles", None)),
        changed(("aspen", "roles", [{"purpose": TRAINING_PURPOSE, "role": "recipient"}]), ("birch", "roles", OWN)),
    ],
    "HandlersCanBeReached": [changed(("aspen", "contact", None))],
    "JointHandlersAgreed": [
        changed(("aspen", "agreements", None)),
        changed(("aspen", "agreements", [STATED["aspen"]["agreements"][0] | {"sha256": "2" * 64}])),
        changed(("aspen", "agreements", [STATED["aspen"]["agreements"][0] | {"parties": ["oak"]}])),
        changed(("aspen", "agreements", [STATED["aspen"]["agreements"][0] | {"until": "2026-11-26"}])),
        changed(("birch", "roles", OWN)),
    ],
    "ProcessorsAreBound": [
        changed(("registry", "agreements", None)),
        changed(("registry", "agreements", [STATED["registry"]["agreements"][0] | {"parties": ["auditor"]}])),
        changed(("registry", "agreements", [STATED["registry"]["agreements"][0] | {"until": "2026-11-26"}])),
    ],
}  # fmt: skip


def test_the_invented_parties_of_the_demo_keep_every_rule():
    for day in (DAY, UNTIL):
        assert names(STATED, day, {"aspen": MANY_PEOPLE, "birch": 1}) == []
    require(Constitution(consortium(), DAY))


@pytest.mark.parametrize(("name", "stated"), [(name, one) for name, some in BREAKS.items() for one in some])
def test_each_rule_refuses_what_it_is_for_and_nothing_else_does(name, stated):
    assert names(stated) == [name]
    with pytest.raises(Conflict, match=name):
        require(Constitution(consortium(stated), DAY))


def test_no_rule_is_left_out():
    named = {rule_name(rule) for rules in RULES.values() for rule in rules}
    assert named == set(BREAKS) | {"OfficerForManyPeople"}


@pytest.mark.parametrize(("people", "amiss"), [(MANY_PEOPLE - 1, []), (MANY_PEOPLE, ["OfficerForManyPeople"])])
def test_an_officer_is_needed_from_a_million_people_on(people, amiss):
    assert names(changed(("birch", "officer", None)), people={"birch": people}) == amiss
    unreported = {name: value for name, value in STATED["birch"]["officer"].items() if name != "reported_on"}
    assert names(changed(("birch", "officer", unreported)), people={"birch": people}) == amiss
    assert names(STATED, people={"birch": people}) == []


@pytest.mark.parametrize(
    "stated",
    [
        changed(("coordinator", "licence", None), ("coordinator", "opinion_sha256", "3" * 64)),
        changed(
            ("coordinator", "licence", None), ("coordinator", "institution", "aspen"),
            ("aspen", "institution", "coordinator"),
        ),
        changed(("naming", "country", "SG"), ("naming", "agreements", [transfer(), *STATED["naming"]["agreements"]])),
        changed(("aspen", "roles", OWN), ("birch", "roles", OWN)),
        changed(("aspen", "succeeded_by", "birch"), ("birch", "former_ids", ["beech"])),
    ],
)  # fmt: skip
def test_what_the_law_lets_pass_passes(stated):
    assert names(stated) == []


def test_a_consortium_that_claims_no_jurisdiction_may_state_nothing():
    assert names({}, terms=None) == []
    assert names({"aspen": {"succeeded_by": "oak"}}, terms=None) == ["SuccessorsBelong"]


def test_in_the_union_data_stay_in_the_area_and_nobody_needs_a_bureaus_licence():
    stated = changed(*((name, "country", "FR") for name in ROLES), *((name, "licence", None) for name in ROLES))
    assert names(stated, terms={"jurisdiction": "EU"}) == []
    assert names(STATED, terms={"jurisdiction": "EU"}) == ["DataStayOrTravelByDocument"]


@pytest.mark.parametrize(
    ("legal", "said"),
    [
        ({"contact": {}}, "one of email, phone and postal"),
        ({"contact": {"email": "nobody"}}, "legal: contact.email must be an address as name@host"),
        ({"country": "China"}, "country must be"),
        ({"surplus": 1}, "surplus"),
        ({"roles": [{"purpose": "https://a.example/x", "role": "king"}]}, r"roles\[0\].role"),
        ({"roles": OWN + OWN}, "a purpose twice"),
        ({"agreements": [transfer() | {"mechanism": None}]}, "mechanism"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_field(legal, said):
    with pytest.raises(Malformed, match=said) as refused:
        broken(Constitution(consortium({"aspen": legal}), DAY))
    assert "aspen" in str(refused.value)


def test_documents_without_legal_statements_keep_their_hash():
    plain = consortium({}, None)
    assert "legal" not in plain.payload() and all("legal" not in party for party in plain.payload()["parties"])
    assert plain.sha256 != consortium().sha256


def test_what_is_stated_is_read_back_as_it_was():
    for name, told in STATED.items():
        party = next(one for one in consortium().parties if one.id == name)
        assert LegalIdentity.of(party).stated() == told
    with pytest.raises(ValidationError):
        Contact(phone="call me")
