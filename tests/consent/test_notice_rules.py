"""What a notice must say before anybody is asked, rule by rule; and what a later version adds to an earlier."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from support.notices import CATEGORIES, full_terms, some_consortium, words

from consent.notice_changes import further
from consent.notice_rules import RULES, Draft, lint
from consent.notice_text import PURPOSES, particulars, with_particulars
from demo.scoring_notice import make_scoring_notice
from law.bases import LegalBasis
from law.categories import DataCategory
from law.processing import PROCESSING_WORDS, Processing, SupportingBasis
from protocol.notices import Notice, Recipient, Terms
from protocol.parties import Role
from protocol.rules import rule_name
from protocol.schema import now
from protocol.terms import TRAINING_PURPOSE, Frequency, Limits
from protocol.uses import SCORING_PURPOSE

OFFICER = {"name": "Privacy office", "contact": {"email": "dpo@aspen.example", "phone": "+86 10 1234567"}}
CONSORTIUM = some_consortium("aspen", "birch", officers={"aspen": OFFICER})
TEXTS = {"en": "May we?", "zh": "可以吗？"}
STRANGER = Recipient(id="broker", name="Broker", role=Role.LENDER, capacity="handler", contact="a@broker.example")


def notice(texts: dict[str, str] = TEXTS, **terms: Any) -> Notice:
    return with_particulars(
        Notice(
            id="credit", version=1, purpose=TRAINING_PURPOSE, recipients=("aspen", "birch"), texts=texts,
            published_at=now(),
            terms=full_terms(CONSORTIUM, ("aspen", "birch"), **terms),
        )
    )  # fmt: skip


def broken(one: Notice) -> list[str]:
    return [finding.rule for finding in lint(Draft(one, CONSORTIUM))]


NAMED = full_terms(CONSORTIUM, ("aspen", "birch")).recipients
ASPEN = next(one for one in NAMED if one.id == "aspen")
BREAKS = {
    "IsInALanguageWeCanCheck": notice(texts=TEXTS | {"fr": "Pouvons-nous ?"}),
    "NamesItsPurpose": notice().model_copy(update={"purpose": "https://example.org/sell-to-anybody"}),
    "NamesJurisdiction": notice(jurisdiction=(), lawful_basis=LegalBasis.GDPR_CONSENT),
    "HasALawfulBasisOfItsJurisdiction": notice(lawful_basis=LegalBasis.GDPR_CONSENT),
    "StatesEveryBasis": notice(bases={Processing.ENROLMENT: SupportingBasis.PIPL_DUTY}),
    "NamesOfficers": notice(
        recipients=(*(one for one in NAMED if one.id != "aspen"), ASPEN.model_copy(update={"officer": None})),
    ),
    "ExplainsDecisions": notice(automated_decision=True, logic={"en": "Points are added up and compared."}),
    "HasRulesForChildrenInEveryLanguage": notice(children={"zh": "由监护人作出同意并提供证明文件。"}),
    "NamesCategories": notice(categories=()),
    "CollectsNothingForbidden": notice(categories=(*CATEGORIES, DataCategory.RELIGION)),
    "NamesEveryRecipient": notice(recipients=NAMED[:3]),
    "NamesOnlyParties": notice(recipients=(*NAMED, STRANGER)),
    "SaysWhereDataAreKept": notice(storage_locations=()),
    "ExplainsSensitiveData": notice(effect={"en": "It has an effect on you."}),
    "TellsAdverseConsequences": notice(adverse_consequences={}),
    "AsksInWriting": notice(written_form=False),
    "PromisesEveryRight": notice(privacy_rights=("access", "withdrawal")),
    "TellsHowToWithdraw": notice(withdrawal_method={"en": "in the portal, always", "zh": "x"}),
    "TellsWhereToComplain": notice(complaint={}),
    "SaysItsTerms": notice().model_copy(update={"texts": {"en": "ok?", "zh": "好吗？"}}),
    "DescribesThemAsTheyAre": notice(
        recipients=(*(one for one in NAMED if one.id != "aspen"), ASPEN.model_copy(update={"name": "Charity"})),
    ),
    "ClaimsNothingUntrue": notice(texts=TEXTS | {"en": "Nobody can tell whether you were in it."}),
}


def test_a_notice_that_says_all_of_it_can_be_published():
    assert broken(notice()) == []
    assert {rule_name(rule) for rule in RULES} == set(BREAKS), "every rule is broken once below"


@pytest.mark.parametrize("rule", BREAKS)
def test_what_is_missing_is_named_with_its_article(rule):
    found = {finding.rule: finding for finding in lint(Draft(with_particulars_where(rule), CONSORTIUM))}
    assert rule in found
    assert found[rule].article, "each rule says where it comes from"


@pytest.mark.parametrize("left_out", [one.id for one in NAMED])
def test_everybody_who_gets_something_is_named(left_out):
    """Lenders that ask, and registry, coordinator, auditor and naming service besides (PIPL 17, 23)."""
    assert "NamesEveryRecipient" in broken(notice(recipients=tuple(one for one in NAMED if one.id != left_out)))


def with_particulars_where(rule: str) -> Notice:
    one = BREAKS[rule]
    return one if rule == "SaysItsTerms" else with_particulars(one)


@pytest.mark.parametrize("said", ["-" * 20, ". . . . . . . .", "xxxxxxxxxxxxxxxx", "一一一一一一一一一一一一"])
def test_signs_explain_nothing(said):
    """Traced: ten dashes were where to complain, and how a yes is taken back."""
    for name, rule in (("complaint", "TellsWhereToComplain"), ("withdrawal_method", "TellsHowToWithdraw")):
        assert rule in broken(notice(**{name: {"en": said, "zh": said}}))


def test_a_contact_in_which_the_stated_one_only_stands_is_another():
    """Traced: "xdpo@aspen.example.evil.com" passed for dpo@aspen.example."""
    stated = {"contact": {"email": "help@aspen.example"}}
    parties = [
        one.model_copy(update={"legal": (one.legal or {}) | stated}) if one.id == "aspen" else one
        for one in CONSORTIUM.parties
    ]
    consortium = CONSORTIUM.model_copy(update={"parties": tuple(parties)})
    others = [one for one in NAMED if one.id != "aspen"]
    for contact, right in {
        "help@aspen.example": True, "电邮help@aspen.example，电话010-1234567": True, "Mail help@aspen.example.": True,
        "xhelp@aspen.example": False, "help@aspen.example.evil.com": False, "help@aspen.example@evil.com": False,
    }.items():  # fmt: skip
        one = notice(recipients=(*others, ASPEN.model_copy(update={"contact": contact})))
        found = [finding.rule for finding in lint(Draft(one, consortium))]
        assert ("DescribesThemAsTheyAre" in found) is not right, contact


HONEST = (
    "If you refuse, your loan does not end.", "If you say no, your loan is not called in.",
    "Your account isn't closed if you withdraw.", "如果您拒绝，不会收回贷款。",
    "拒绝不会导致提前到期。", "拒绝的，贷款不会因此被收回。",
)  # fmt: skip
THREATS = (
    "If you refuse, your loan is called in.", "Your credit ends if you decline.", "若拒绝，将收回贷款。",
    "拒绝不会影响评分，但将收回贷款。",
)  # fmt: skip


@pytest.mark.parametrize("said", [*HONEST, *THREATS])
def test_a_threat_is_refused_and_that_nothing_happens_may_be_said(said):
    language = "en" if said.isascii() else "zh"
    refused = "ClaimsNothingUntrue" in broken(notice(texts=TEXTS | {language: said}))
    assert refused is (said in THREATS)


def test_a_short_yes_or_no_asks_for_nothing():
    """'ok?' gave full consent, sensitive data included."""
    assert "NamesCategories" in broken(notice(texts={"en": "ok?"}, categories=()).model_copy(update={"terms": Terms()}))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_particulars_name_everything_that_is_enforced(language):
    one = notice(retention_period_days=731, validity_days=99, automated_decision=True)
    text = particulars(one, language)
    for recipient in one.terms.recipients:
        assert recipient.name in text and recipient.contact in text
    assert "Privacy office, dpo@aspen.example" in text
    assert PROCESSING_WORDS[Processing.ENROLMENT][language == "zh"] in text
    for said in (
        one.terms.logic,
        one.terms.children,
        one.terms.necessity,
        one.terms.effect,
        one.terms.adverse_consequences,
        one.terms.complaint,
    ):
        assert said[language] in text
    assert "731" in text and "99" in text and "CN" in text
    assert ("machine may decide" if language == "en" else "可能仅由机器") in text
    assert ("income; deposits" if language == "en" else "收入；存款") in text
    assert ("To train a model" if language == "en" else "联合训练信用模型") in text
    assert ("PIPL article 13(1)(1)" if language == "en" else "《个人信息保护法》第十三条第一款第一项") in text
    assert text in one.texts[language]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(
    "changes",
    [
        {"lawful_basis": LegalBasis.PIPL_SEPARATE_CONSENT}, {"limits": Limits(fetch_type="one-time")},
        {"limits": Limits(frequency=Frequency(times=7, per="week"))}, {"limits": Limits(data_life_days=77)},
        {"limits": Limits(frequency=Frequency(times=7, per="month"))},
        {"limits": Limits(data_from=date(2024, 5, 6))}, {"limits": Limits(data_to=date(2024, 5, 6))},
    ],
)  # fmt: skip
def test_basis_and_limits_are_told_apart_in_the_particulars(language, changes):
    other, usual = notice(**changes), notice()
    assert particulars(other, language) != particulars(usual, language)
    for figure in ("77", "2024-05-06", "7"):
        if figure in str(changes):
            assert figure in particulars(other, language)
    assert broken(other) == []


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_text_says_what_for_whatever_else_it_says(purpose):
    """ "Happy birthday!" with particulars that named no purpose was published, for training and for anything else."""
    texts = {"en": "Happy birthday!", "zh": "生日快乐"}
    another = notice(texts=texts).model_copy(update={"purpose": purpose})
    assert ("SaysItsTerms" in broken(another)) is (purpose != TRAINING_PURPOSE), "it says another purpose"
    whole = with_particulars(another.model_copy(update={"texts": texts}))
    assert not {"NamesItsPurpose", "SaysItsTerms"} & {*broken(whole)}
    for at, language in enumerate(("en", "zh")):
        told = [one for one, said in PURPOSES.items() if said[at] in whole.texts[language]]
        assert told == [purpose]


@pytest.mark.parametrize(
    "changes",
    [
        {"categories": (*CATEGORIES, DataCategory.LOCATION)}, {"automated_decision": True},
        {"retention_period_days": 10_950},
        {"storage_locations": ("CN", "SG")}, {"jurisdiction": ("CN", "SG")}, {"privacy_rights": ("access",)},
        {"written_form": False}, {"lawful_basis": LegalBasis.GDPR_CONSENT},
        {"purpose_type": "https://w3id.org/dpv#Marketing"},
        {"collection_method": "bought"}, {"processing_method": "https://w3id.org/dpv#Sell"},
        {"limits": Limits(data_life_days=9)}, {"material_change": True}, {"validity_days": None},
        {"recipients": (*NAMED, STRANGER)},
        {"bases": dict.fromkeys(Processing, SupportingBasis.PIPL_CONTRACT)},
        {"recipients": tuple(one.model_copy(update={"capacity": "handler"}) for one in NAMED)},
        {"recipients": tuple(one.model_copy(update={"name": "Data Broker (Cayman) Ltd"}) for one in NAMED)},
        {"adverse_consequences": words("Your employer is told")}, {"effect": words("You lose your right")},
        {"logic": words("By throwing dice")}, {"children": words("Children need nobody")}, {"children": {}},
        {"effect": words("Effect") | {"en": words("You lose your right")["en"]}},
        {"effect": words("Effect") | {"en-AU": words("You lose it")["en"], "en": "-"}},
    ],
)  # fmt: skip
def test_whatever_reaches_further_must_be_asked_again(changes):
    before = notice(validity_days=365)
    assert further(before, notice(**{"validity_days": 365} | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"categories": CATEGORIES[:2]}, {"retention_period_days": 30}, {"validity_days": 30},
        {"recipients": NAMED[:3]}, {"complaint": words("Complain elsewhere")}, {"necessity": words("Better said")},
        {"effect": words("Effect") | {"zz": "said in one language more"}},
        {"recipients": tuple(one.model_copy(update={"contact": "+86 10 1234567"}) for one in NAMED)},
    ],
)  # fmt: skip
def test_what_narrows_or_says_it_better_asks_nobody_again(changes):
    assert further(notice(validity_days=365), notice(**{"validity_days": 365} | changes)) == ()


def test_what_was_told_to_nobody_before_is_asked_for():
    assert further(notice(logic={}), notice()) == ("how a decision comes about is another",)


def test_a_notice_of_before_is_read_and_covers_nothing():
    said = {
        "pii_type": {"ordinary": ["https://w3id.org/dpv/pd#CreditRecord"]}, "storage_locations": ["at the lender"],
        "withdrawal_method": "in the portal", "privacy_rights": ["access", "withdrawal"],
        "lawful_basis": "https://w3id.org/dpv/legal/eu/gdpr#A6-1-a",
    }  # fmt: skip
    terms = Terms.model_validate(said)
    assert terms.categories == () and terms.asked() == {}


def test_to_say_on_what_basis_one_keeps_answers_asks_nobody_again():
    before = notice(bases={})
    assert "StatesEveryBasis" in broken(before)
    assert further(before, notice()) == ()


def test_a_basis_is_of_the_law_that_the_consent_is_of():
    european = dict.fromkeys(Processing, SupportingBasis.GDPR_INTEREST)
    (found,) = lint(Draft(notice(bases=european), CONSORTIUM))
    assert found.rule == "StatesEveryBasis" and "another law" in found.reason and "GDPR 6" in found.article


@pytest.mark.parametrize(
    "officer", ["Privacy office", "Somebody, dpo@aspen.example", "Privacy office, dpo@birch.example"]
)
def test_an_officer_is_named_with_a_contact_that_is_theirs(officer):
    others = [one for one in NAMED if one.id != "aspen"]
    one = notice(recipients=(*others, ASPEN.model_copy(update={"officer": officer})))
    assert broken(one) == ["NamesOfficers"]


# --- empty and false


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        ("complaint", "TellsWhereToComplain"), ("withdrawal_method", "TellsHowToWithdraw"),
        ("necessity", "ExplainsSensitiveData"), ("effect", "ExplainsSensitiveData"),
        ("adverse_consequences", "TellsAdverseConsequences"), ("children", "HasRulesForChildrenInEveryLanguage"),
    ],
)  # fmt: skip
def test_what_is_printed_is_what_is_looked_at(said, rule):
    """Traced: "-" was printed, and a whole sentence under another tag of the same language was looked at."""
    whole = words("A whole sentence about it")
    two = {"en": "-", "en-GB": whole["en"], "zh": whole["zh"]}
    assert broken(notice(**{said: two})) == [rule]
    assert broken(notice(**{said: {"en-GB": whole["en"], "zh-CN": whole["zh"]}})) == []


LAWFUL = CONSORTIUM.model_copy(
    update={
        "legal": {"jurisdiction": "CN"},
        "parties": tuple(
            one.model_copy(
                update={
                    "legal": {
                        "contact": {"email": f"privacy@{one.id}.example"},
                        "roles": [{"purpose": TRAINING_PURPOSE, "role": "joint-handler"}],
                    }
                }
            )
            if one.id == "birch"
            else one
            for one in CONSORTIUM.parties
        ),
    }
)


def lawfully_broken(**terms: Any) -> list[str]:
    return [finding.rule for finding in lint(Draft(notice(**terms), LAWFUL))]


@pytest.mark.parametrize("field", ["name", "contact", "capacity"])
def test_a_recipient_is_who_the_consortium_says_it_is(field):
    """Traced: every recipient was "Charity (xxx; works for the others)"."""
    others = {"name": "Charity", "contact": "xxx@charity.example", "capacity": "processor"}
    named = tuple(one.model_copy(update={field: others[field]}) if one.id == "birch" else one for one in NAMED)
    assert lawfully_broken(recipients=named) == ["DescribesThemAsTheyAre"]
    assert lawfully_broken(recipients=NAMED) == []


def test_a_notice_does_not_choose_another_law_than_the_consortium_keeps():
    """Traced: a consortium under Chinese law, a notice under German: no written form, storage in the US, a month."""
    german = {
        "jurisdiction": ("DE",), "lawful_basis": LegalBasis.GDPR_CONSENT, "storage_locations": ("US", "KY"),
        "bases": dict.fromkeys(Processing, SupportingBasis.GDPR_INTEREST), "written_form": False,
    }  # fmt: skip
    assert broken(notice(**german)) == []
    assert lawfully_broken(**german) == ["NamesJurisdiction"]
    both = german | {"jurisdiction": ("DE", "CN")}
    assert {"HasALawfulBasisOfItsJurisdiction", "SaysWhereDataAreKept", "AsksInWriting"} <= {*lawfully_broken(**both)}


FALSE = [
    {"en": "Nobody can tell whether you were in it."}, {"zh": "任何人都无法判断您是否在其中。"},
    {"en": "Nobody can\u200b  tell whether you were in it."}, {"en": "The model unlearns you when you withdraw."},
    {"zh": "撤回后，模型会忘记您。"}, {"en": "It is fully compliant and certified."},
    {"en": "If you refuse, your loan is called in at once."}, {"zh": "不同意将立即收回贷款。"},
    {"en": "Your loan is called in if you withdraw."}, {"zh": "如您撤回同意，贷款将提前到期。"},
    {"en": "Nothing of what stands above applies to you."}, {"zh": "以上内容不适用于您。"},
    {"en": "The terms above do not apply."}, {"zh": "您的数据不会发送给任何人。"},
]  # fmt: skip


@pytest.mark.parametrize("false", FALSE)
def test_what_is_not_true_is_not_published_around_the_particulars_or_in_them(false):
    assert broken(notice(texts=TEXTS | false)) == ["ClaimsNothingUntrue"]
    assert broken(notice(logic=words("Points are added up") | false)) == ["ClaimsNothingUntrue"]


def test_the_particulars_come_first():
    """Traced: five thousand newlines stood before them."""
    one = notice()
    assert all(text.startswith(particulars(one, tag)) for tag, text in one.texts.items())
    padded = {tag: "\n" * 5000 + text for tag, text in one.texts.items()}
    assert broken(one.model_copy(update={"texts": padded})) == ["SaysItsTerms"]


# --- scoring, which has a notice of its own


def test_the_notice_of_scoring_can_be_published_and_says_what_it_is_not():
    one = make_scoring_notice(CONSORTIUM, ("aspen", "birch"), CATEGORIES)
    assert broken(one) == []
    assert one.purpose == SCORING_PURPOSE
    assert one.terms.automated_decision
    for language, said in {
        "en": ("goes on as agreed", "not a yes to training", "machine may decide", "a person to decide"),
        "zh": ("仍按合同履行", "不包括训练模型", "可能仅由机器", "人工"),
    }.items():
        assert [words for words in said if words not in one.texts[language]] == []


def test_who_gets_nothing_of_an_application_is_not_named_in_its_notice():
    one = make_scoring_notice(CONSORTIUM, ("aspen", "birch"), CATEGORIES)
    named = one.model_copy(update={"terms": one.terms.model_copy(update={"recipients": NAMED})})
    assert "NamesEveryRecipient" in broken(with_particulars(named))
    fewer = tuple(party for party in one.terms.recipients if party.role is not Role.AUDITOR)
    without = one.model_copy(update={"terms": one.terms.model_copy(update={"recipients": fewer})})
    assert "NamesEveryRecipient" in broken(with_particulars(without))


@pytest.mark.parametrize(
    ("jurisdiction", "basis", "reason"),
    [
        ("DE", LegalBasis.GDPR_CONSENT, "may not be used at all in EU"),
        ("FR-75", LegalBasis.GDPR_EXPLICIT_CONSENT, "may not be used at all in EU"),
        ("US", LegalBasis.GDPR_CONSENT, "of the law of EU"),
        ("XX", LegalBasis.PIPL_CONSENT, "of the law of CN"),
        ("DE", LegalBasis.PIPL_CONSENT, "of the law of CN"),
    ],
)
def test_a_member_state_has_the_law_of_the_union_and_nobody_else_has(jurisdiction, basis, reason):
    """ "DE" escaped the rules of "EU", and a basis of its law passed in the United States."""
    categories = (DataCategory.REPAYMENT, DataCategory.ETHNICITY)
    one = notice(jurisdiction=(jurisdiction,), lawful_basis=basis, storage_locations=("DE",), categories=categories)
    assert [finding.reason for finding in lint(Draft(one, CONSORTIUM)) if reason in finding.reason]
