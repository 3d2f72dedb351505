"""Who answers for what, and who succeeded whom: told to everybody, and to each person whose lender it is."""

from __future__ import annotations

import pytest
from support.notices import some_consortium

from consent.arrangement import ANSWERED_BY, arrangement, in_words, successions
from consent.commands.publish_notice import read_arrangement
from demo.identities import fictitious
from law.vocabulary import words
from protocol.lawfulness import Constitution, broken
from protocol.legal import LegalTerms
from protocol.notices import RIGHTS
from protocol.parties import Consortium
from protocol.schema import now
from protocol.terms import BROADER_PURPOSE

LENDERS = ("aspen", "birch", "cedar")


def stated(of: Consortium, **changes: dict) -> Consortium:
    """The consortium with what the demo's parties state of themselves, and changes to it."""
    parties = [
        party.model_copy(update={"legal": fictitious(party.id, party.role, LENDERS) | changes.get(party.id, {})})
        for party in of.parties
    ]
    terms = LegalTerms(jurisdiction="CN").model_dump(mode="json", exclude_defaults=True)
    return of.model_copy(update={"parties": tuple(parties), "legal": terms})


CONSORTIUM = stated(some_consortium(*LENDERS))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_essence_says_who_is_what_who_answers_and_what_was_agreed(language):
    """GDPR 26(2), PIPL 20: everything that the rules of law ask the document for is told to people."""
    assert broken(Constitution(CONSORTIUM, now().date())) == []
    found = arrangement(CONSORTIUM, language)
    assert found["jurisdiction"] == "CN" and found["consortium_sha256"] == CONSORTIUM.sha256
    told = {one["party"]: one for one in found["parties"]}
    assert set(told) == {party.id for party in CONSORTIUM.parties}
    for party in CONSORTIUM.parties:
        assert f"privacy@{party.id}.example" in told[party.id]["contact"]
        assert told[party.id]["officer"]["name"] and told[party.id]["does"]
    roles = {name: set(one["in_law"].values()) for name, one in told.items()}
    assert roles["aspen"] == {"joint-handler"} and roles["registry"] == {"processor"}
    joint = [one for one in found["agreements"] if one["kind"] == "joint-handling"]
    assert [one["between"] for one in joint] == [list(LENDERS)]
    assert [one["right"] for one in found["who_answers"]] == list(RIGHTS) == list(ANSWERED_BY)
    text = in_words(found, language)
    assert all(one["how"] in text for one in found["who_answers"]) and joint[0]["sha256"] in text
    assert ("each of them" if language == "en" else "任何一方") in text


def test_a_successor_is_named_whether_the_former_party_is_still_there_or_not():
    still = stated(some_consortium(*LENDERS), aspen={"succeeded_by": "birch"})
    gone = stated(some_consortium(*LENDERS), birch={"former_ids": ["oak"]})
    assert successions(CONSORTIUM, "en", None) == []
    for consortium, former in ((still, "aspen"), (gone, "oak")):
        (one,) = successions(consortium, "zh", None)
        assert (one["former"], one["successor"]) == (former, "birch") and "privacy@birch.example" in one["contact"]
        assert successions(consortium, "en", ["cedar"]) == []
        assert one["said"] in in_words(arrangement(consortium, "zh"), "zh")


def test_each_person_learns_who_succeeded_their_lender_and_nobody_elses(market):
    """PIPL 22: name and contact, to the person; a yes to one recipient is none to another."""
    (mine,), (other,) = market.consenting("aspen"), market.consenting("cedar")
    for person in (mine, other):
        assert market.call(person.pseudonym, "GET", "/v1/me/successions").json() == []
    after = stated(market.registry.consortium, aspen={"succeeded_by": "birch"})
    object.__setattr__(market.registry, "consortium", after)
    got = market.call(mine.pseudonym, "GET", "/v1/me/successions", Accept_Language="zh-CN")
    (one,) = got.json()
    assert one["successor"] == "birch" and "privacy@birch.example" in one["said"] and "承继" in one["said"]
    assert market.call(other.pseudonym, "GET", "/v1/me/successions").json() == []
    export = market.call(mine.pseudonym, "GET", "/v1/me/export").json()
    assert [told["former"] for told in export["successions"]] == ["aspen"]
    assert "A yes to" in market.call(mine.pseudonym, "GET", "/v1/me/export?format=html").text
    assert market.rule(mine) == "given", "to the lender that they answered, and to no other"
    public = market.call(None, "GET", "/v1/arrangement").json()
    assert [told["former"] for told in public["successions"]] == ["aspen"]


def test_everybody_reads_the_essence_in_words_without_a_login(market):
    object.__setattr__(market.registry, "consortium", stated(market.registry.consortium))
    for wanted, language in (("zh-CN", "zh"), ("fr", "en")):
        got = market.call(None, "GET", "/v1/arrangement", Accept="text/plain", Accept_Language=wanted)
        assert got.status_code == 200 and got.headers["content-language"] == language
        assert got.text == in_words(read_arrangement(market.registry, language), language)


def test_what_is_collected_and_how_soon_an_objection_is_answered_is_public(market):
    """征信业务管理办法 31, 42: categories, from where, the way of an objection."""
    market.publish(1, "checking", ("birch",), BROADER_PURPOSE, categories=("repayment",))
    found = market.call(None, "GET", "/v1/arrangement", Accept_Language="zh").json()
    checking, credit = found["collected"]
    terms = market.notices[0].terms
    assert credit["categories"] == [words(one, "zh") for one in terms.categories]
    assert credit["how"] == terms.collection_method and credit["lenders"] == list(market.notices[0].recipients)
    assert (checking["lenders"], len(checking["categories"])) == (["birch"], 1)
    objecting = [one for one in found["answered_within"] if "object" in one["requests"]]
    assert objecting[0]["within"] == "20 calendar-days" and "25" in objecting[0]["article"]
    text = market.call(None, "GET", "/v1/arrangement", Accept="text/plain", Accept_Language="zh").text
    assert "20 calendar-days" in text and words(terms.categories[0], "zh") in text
    market.publish(2, categories=terms.categories[:2])
    later = market.call(None, "GET", "/v1/arrangement").json()["collected"]
    assert [len(one["categories"]) for one in later] == [1, 2], "the live version alone"


def test_a_party_is_called_as_it_says_in_the_language_that_is_read_and_names_who_hears_complaints():
    more = {"names": {"zh-Hans": "山杨小额贷款"}, "complaints": {"phone": "+86 10 0000 0001"}}
    found = {
        language: arrangement(stated(some_consortium(*LENDERS), aspen=more), language) for language in ("en", "zh")
    }
    en, zh = ({one["party"]: one for one in found[language]["parties"]} for language in ("en", "zh"))
    assert en["aspen"]["called"] == en["aspen"]["name"] == zh["aspen"]["name"]
    assert (zh["aspen"]["called"], zh["birch"]["called"]) == ("山杨小额贷款", zh["birch"]["name"])
    assert en["aspen"]["complaints"] == "+86 10 0000 0001" != en["aspen"]["contact"]
    assert en["birch"]["complaints"] == en["birch"]["contact"]
    assert "山杨小额贷款 (" in in_words(found["zh"], "zh")
