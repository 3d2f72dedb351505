"""What open requests do: objections mark, refusals stand, and who is late is not authorised."""

from __future__ import annotations

import pytest
from support.desk import MINE, answers, asked, asks, marks
from support.market import Market
from support.world import features

from consent.commands import answer_requests
from consent.commands.forget_subject import forget_subject
from consent.commands.request_marks import standing_refusals
from consent.transaction import reading
from demo.assessing import make_assessment
from law.bases import LegalBasis
from law.deadlines import due
from law.processing import Processing, SupportingBasis
from protocol.assessments import campaign_categories
from protocol.rights import (
    OBJECTIONS,
    WHOLE_PERSON,
    AnswerOutcome,
    RefusalReason,
    RequestKind,
)


@pytest.fixture
def market(any_market: Market) -> Market:
    return any_market


# --- marks


def test_an_objection_marks_until_it_is_closed(market):
    people = market.consenting("aspen", 4)
    client = market.client("aspen")
    whole = asked(market, people[1])
    feature = asked(market, people[2], "correct", features=["late", "income"])
    asked(market, people[2], "restrict", features=["late"])
    asked(market, people[3], "access", features=["late"])
    expected = {WHOLE_PERSON: [1], "late": [2], "income": [2]}
    assert marks(market) == expected
    assert marks(market, numbers=[1, 3]) == {WHOLE_PERSON: [1]}
    assert marks(market, "birch") == {}
    assert [market.rule(person) for person in people] == ["given", "suspended", "suspended", "given"]
    state = client.consent_state(market.notices[0].purpose, "c" * 16)
    assert [code & 0xFF for code in state.codes["ordinary"].tolist()] == [1, 5, 5, 1]
    for sha256 in (whole, feature):
        answers(market, sha256)
    assert marks(market) == expected, "an answer alone ends nothing"
    market.call(people[1].pseudonym, "POST", f"{MINE}/{whole}/closings")
    market.call(people[2].pseudonym, "POST", f"{MINE}/{feature}/closings")
    assert marks(market) == {"late": [2]}
    assert [market.rule(person) for person in people] == ["given", "given", "suspended", "given"]


def test_a_mark_is_in_every_change_and_its_end_too(market):
    people = market.consenting("aspen", 3)
    purpose, client = market.notices[0].purpose, market.client("aspen")
    held = client.consent_state(purpose, "c" * 16)
    market.clock.move(seconds=10)
    sha256 = asked(market, people[1])
    change = client.consent_state(purpose, "d" * 16, held.state)
    assert change.numbers is not None
    assert change.numbers.tolist() == [1]
    assert [code & 0xFF for code in change.codes["ordinary"].tolist()] == [5]
    market.clock.move(days=1)
    later = client.consent_state(purpose, "e" * 16, change.state)
    assert later.numbers is not None
    assert later.numbers.tolist() == [1], "whoever is marked is told again and again"
    market.clock.move(seconds=10)
    market.call(people[1].pseudonym, "POST", f"{MINE}/{sha256}/closings")
    over = client.consent_state(purpose, "f" * 16, later.state)
    assert over.numbers is not None
    assert over.numbers.tolist() == [1]
    assert [code & 0xFF for code in over.codes["ordinary"].tolist()] == [1]
    for _ in range(2):  # the first still looks back over what may have committed late
        market.clock.move(days=1)
        over = client.consent_state(purpose, "g" * 16, over.state)
    quiet = over
    assert quiet.numbers is not None
    assert quiet.numbers.tolist() == []


def test_marks_survive_a_restart(market):
    (person,) = market.consenting("aspen")
    asked(market, person)
    market.start()
    assert market.rule(person) == "suspended"


def test_a_lender_ends_an_objection_only_when_its_person_was_silent_long_enough(market):
    (person,) = market.consenting("aspen")
    sha256 = asked(market, person)
    target = f"/v1/requests/{sha256}/closings"
    assert market.call("aspen", "POST", target).status_code == 409, "nothing was answered"
    answers(market, sha256, outcome=AnswerOutcome.REFUSED, reason=RefusalReason.VERIFIED_CORRECT)
    market.clock.move(days=answer_requests.SILENCE.days, seconds=-1)
    assert market.call("aspen", "POST", target).status_code == 409
    market.clock.move(seconds=1)
    assert market.call("aspen", "POST", target).status_code == 201
    assert market.rule(person) == "given"


@pytest.mark.parametrize("kind", ["restrict", "object"])
@pytest.mark.parametrize("outcome", [AnswerOutcome.GRANTED, AnswerOutcome.PARTLY])
def test_what_a_lender_granted_it_cannot_take_back_alone(market, kind, outcome):
    """It granted a restriction, closed it 15 days later, and used the person again without telling them."""
    (person,) = market.consenting("aspen")
    sha256 = asked(market, person, kind)
    reason = None if outcome is AnswerOutcome.GRANTED else RefusalReason.LEGAL_RETENTION
    answers(market, sha256, outcome=outcome, reason=reason)
    market.clock.move(days=400)
    assert market.call("aspen", "POST", f"/v1/requests/{sha256}/closings").status_code == 409
    assert market.rule(person) == "suspended"
    assert market.call(person.pseudonym, "POST", f"{MINE}/{sha256}/closings").status_code == 201
    assert market.rule(person) == "given"


def test_a_restriction_that_was_refused_lasts_as_well(market):
    (person,) = market.consenting("aspen")
    sha256 = asked(market, person, "restrict")
    answers(market, sha256, outcome=AnswerOutcome.REFUSED, reason=RefusalReason.UNFOUNDED)
    market.clock.move(days=400)
    assert market.call("aspen", "POST", f"/v1/requests/{sha256}/closings").status_code == 409
    assert market.rule(person) == "suspended"


def test_whom_a_lender_says_it_erased_it_does_not_go_on_using(market):
    """It answered that all was deleted; the consent stood, and the person was used in the next release."""
    (person,) = market.consenting("aspen")
    sha256 = asked(market, person, "erase")
    assert market.rule(person) == "given", "the lender has not said anything yet"
    assert answers(market, sha256, text="All of it was deleted.").status_code == 201
    assert market.rule(person) == "suspended" and marks(market) == {"*": [0]}
    market.clock.move(days=400)
    assert market.call("aspen", "POST", f"/v1/requests/{sha256}/closings").status_code == 409
    market.call(person.pseudonym, "POST", f"{MINE}/{sha256}/closings")
    assert market.rule(person) == "given"


def test_an_erasure_that_was_refused_marks_nothing(market):
    (person,) = market.consenting("aspen")
    sha256 = asked(market, person, "erase")
    answers(market, sha256, outcome=AnswerOutcome.REFUSED, reason=RefusalReason.LEGAL_RETENTION)
    assert market.rule(person) == "given"


def test_a_correction_that_was_made_is_closed_like_any_other(market):
    (person,) = market.consenting("aspen")
    sha256 = asked(market, person, "correct")
    answers(market, sha256, corrected=("late",))
    market.clock.move(days=answer_requests.SILENCE.days)
    assert market.call("aspen", "POST", f"/v1/requests/{sha256}/closings").status_code == 201
    assert market.rule(person) == "given"


def test_a_refusal_of_automated_decisions_stands_until_it_is_taken_back(market):
    people = market.enrol("aspen", 3)
    refusal = asked(market, people[2], "refuse-automated")
    asked(market, people[0], "review")

    def standing():
        with reading(market.registry) as view:
            return {kind.value: found.tolist() for kind, found in standing_refusals(view, "aspen").items()}

    assert standing() == {"refuse-automated": [2], "review": [0]}
    answers(market, refusal, outcome=AnswerOutcome.REFUSED, reason=RefusalReason.UNFOUNDED)
    market.clock.move(days=400)
    refused = market.call("aspen", "POST", f"/v1/requests/{refusal}/closings")
    assert (refused.status_code, "takes it back" in refused.text) == (409, True)
    assert standing()["refuse-automated"] == [2], "a lender's no does not end it"
    market.call(people[2].pseudonym, "POST", f"{MINE}/{refusal}/closings")
    assert standing() == {"review": [0]}


def test_who_refuses_a_machine_alone_has_no_place_where_one_may_decide(market):
    """The refusal stood, and they were used all the same."""
    people = market.enrol("aspen", 2)
    notice = market.publish(2, automated_decision=True)
    for person in people:
        market.says(person, "give", notice=notice)
    asked(market, people[1], "refuse-automated")
    campaigns = [market.campaign(automated_decision=machine, assessment_sha256=by_machine(market, machine))
                 for machine in (True, False)]  # fmt: skip
    places = [market.client("aspen").places(campaign.sha256).flags().tolist() for campaign in campaigns]
    assert places == [[True, False], [True, True]]


def by_machine(market: Market, machine: bool) -> str:
    """The hash of an assessment of such a campaign."""
    made = make_assessment("coordinator", campaign_categories(features().model_dump(mode="json")), market.clock())
    made = made.model_copy(update={"automated_decision": machine})
    market.call("coordinator", "POST", "/v1/assessments", {"token": made.sign(market.keys["coordinator"])})
    return made.sha256


# --- overdue


@pytest.mark.parametrize("kind", sorted(OBJECTIONS - {RequestKind.RESTRICT}))
def test_day_21_without_an_answer_stops_the_next_authorisation(market, kind):
    (person,) = market.consenting("aspen")
    campaign = market.campaign(hours=24 * 90)
    sha256 = asked(market, person, kind)
    market.clock.move(days=20)
    assert market.authorise(campaign).status_code == 201, "the twentieth day is not over"
    market.clock.move(days=1)
    refused = market.authorise(campaign)
    assert (refused.status_code, "has not answered 1 requests" in refused.text) == (403, True)
    assert person.pseudonym not in refused.text
    assert market.authorise(campaign, "birch").status_code == 201, "it is aspen that did not answer"
    assert market.call("aspen", "POST", f"/v1/requests/{sha256}/marks").status_code == 201
    assert market.authorise(campaign).status_code == 403, "a mark is no answer"
    (late,) = market.call("aspen", "GET", "/v1/requests").json()["items"]
    assert late["overdue"] is True
    assert answers(market, sha256).status_code == 201
    assert market.authorise(campaign).status_code == 201
    (counted,) = market.call("auditor", "GET", "/v1/requests/statistics").json()["items"]
    assert (counted["overdue"], counted["answered_late"]) == (0, 1)


def test_what_its_person_takes_back_or_whose_person_is_forgotten_is_not_overdue(market):
    first, second = market.consenting("aspen", 2)
    campaign = market.campaign(hours=24 * 90)
    taken_back, _ = asked(market, first), asked(market, second)
    market.clock.move(days=22)
    market.call(first.pseudonym, "POST", f"{MINE}/{taken_back}/closings")
    assert market.authorise(campaign).status_code == 403
    forget_subject(market.registry, second.pseudonym)
    assert market.authorise(campaign).status_code == 201


def test_the_law_that_the_notice_names_says_when(market):
    european = dict.fromkeys(Processing, SupportingBasis.GDPR_DUTY)
    market.publish(2, jurisdiction=["DE"], lawful_basis=LegalBasis.GDPR_CONSENT, bases=european)
    (person,) = market.enrol("aspen")
    answer = asks(market, person.pseudonym).json()
    assert (answer["law"], answer["due_at"]) == ("GDPR 12(3)", due("object", "EU", market.clock()).at.isoformat())
    market.publish(1, "other", purpose="https://w3id.org/dpv#CreditChecking", jurisdiction=["CN-31"])
    answer = asks(market, person.pseudonym).json()
    assert answer["law"] == "征信业管理条例 25", "the earlier of the two"
    assert (asks(market, person.pseudonym, "access").json()["policy"]) is True
