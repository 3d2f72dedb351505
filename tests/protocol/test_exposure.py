"""Joint exposure is off unless a consortium names a licensed operator, and documents of before keep their hashes."""

from __future__ import annotations

from datetime import date

import pytest
from pydantic import TypeAdapter, ValidationError
from support.exposure import LICENCE, TERMS, consortium

from crypto.documents import document_hash
from crypto.sentences import one_sentence
from protocol.errors import Malformed, NotAllowed
from protocol.exposure import ExposureTerms
from protocol.parties import Consortium
from protocol.schema import KeyText, Sha256

DAY = date(2026, 11, 28)


def test_a_consortium_that_says_nothing_of_it_has_the_hash_that_it_had():
    members = consortium(exposure=None)
    assert "exposure" not in members.payload()
    earlier = {name: value for name, value in consortium().payload().items() if name != "exposure"}
    assert members.sha256 == document_hash(earlier)
    assert Consortium.model_validate(earlier).sha256 == members.sha256 != consortium().sha256


def test_off_by_default():
    with pytest.raises(NotAllowed, match="names no licensed operator"):
        ExposureTerms.of(consortium(exposure=None), DAY)


def test_what_is_in_force():
    terms = ExposureTerms.of(consortium({**TERMS, "answers_per_person": 5}), DAY)
    assert (terms.operator, terms.answers_per_person, terms.window_days) == ("registry", 5, 30)
    assert ExposureTerms.of(consortium({**TERMS, "licence": {**LICENCE, "until": "2026-11-28"}}), DAY)


@pytest.mark.parametrize(
    "exposure, said",
    [
        ({**TERMS, "operator": "oak"}, "not a party"),
        ({**TERMS, "operator": "aspen"}, "is a lender"),
        ({**TERMS, "licence": {**LICENCE, "kind": "microloan"}}, "not one to report on persons"),
        ({**TERMS, "licence": {**LICENCE, "until": "2026-11-27"}}, "ended on 2026-11-27"),
    ],
)
def test_who_may_not_run_it(exposure, said):
    with pytest.raises(NotAllowed, match=said):
        ExposureTerms.of(consortium(exposure), DAY)


@pytest.mark.parametrize("one, other", [("registry", "naming"), ("naming", "registry")])
def test_the_two_servers_are_two_institutions(one, other):
    with pytest.raises(NotAllowed, match="one institution"):
        ExposureTerms.of(consortium(legal={one: {"institution": other}}), DAY)


@pytest.mark.parametrize(
    "same",
    [
        {"registry": "aspen", "naming": "aspen"},
        {"registry": "birch", "birch": "naming"},
        {"birch": "registry", "naming": "birch"},
        {"registry": "elsewhere", "naming": "elsewhere"},
    ],
)
def test_the_two_servers_are_not_one_institution_by_way_of_a_third(same):
    legal = {name: {"institution": other} for name, other in same.items()}
    with pytest.raises(NotAllowed, match="one institution"):
        ExposureTerms.of(consortium({**TERMS, "operator": "auditor"}, legal=legal), DAY)


@pytest.mark.parametrize("one, other", [("registry", "aspen"), ("aspen", "registry")])
def test_an_operator_that_is_a_lender_under_another_name_is_one(one, other):
    with pytest.raises(NotAllowed, match="is a lender"):
        ExposureTerms.of(consortium(legal={one: {"institution": other}}), DAY)


def test_there_are_two_servers():
    with pytest.raises(NotAllowed, match="needs a naming service"):
        ExposureTerms.of(consortium(roles={"naming": None}), DAY)


@pytest.mark.parametrize(
    "exposure", [{}, {"operator": "registry"}, {**TERMS, "answers_per_person": 0}, {**TERMS, "more": 1}]
)
def test_terms_that_are_none_are_refused_in_a_sentence(exposure):
    with pytest.raises(Malformed, match="consortium 'test': exposure: "):
        ExposureTerms.of(consortium(exposure), DAY)


@pytest.mark.parametrize("kind, said", [(KeyText, "a public key: 43 characters"), (Sha256, "a SHA-256: 64 lower-case")])
def test_shapes_of_its_own_change_no_sentence_about_other_documents(kind, said):
    """What a refusal says goes by the pattern alone, all over the house."""
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(kind).validate_python("x")
    assert said in one_sentence(refused.value)
