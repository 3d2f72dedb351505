"""In what form a yes must come, and when: in writing, as it was shown, and no earlier than what it answers."""

from __future__ import annotations

import pytest
from support.notices import CATEGORIES

from law.categories import DataCategory


@pytest.mark.parametrize("kind", ["ordinary", "sensitive", "income"])
def test_no_yes_by_telephone_is_handed_in_where_the_notice_says_in_writing(market, kind):
    """Traced: "A yes must be in writing", and what a lender had heard on the telephone counted."""
    market.enrol("aspen", 2)
    assert "A yes must be in writing." in market.notices[-1].texts["en"]
    for action, status in (("give", 409), ("refuse", 201)):
        assert market.hands_in(action, kind, channel="phone").status_code == status


def test_to_go_on_is_a_yes_too_and_by_telephone_there_is_none(market):
    """Whichever version a decision names: the one that was answered in writing counts."""
    spoken = market.publish(2, categories=("repayment", "consumption"), adverse_consequences={}, written_form=False)
    written = market.publish(3, categories=("repayment", "consumption"), adverse_consequences={})
    (person,) = market.consenting("aspen")
    assert market.says(person, "suspend", channel="phone").status_code == 201, "a no is always heard"
    for notice in (written, spoken):
        assert market.says(person, "resume", notice=notice, channel="phone").status_code == 409
    assert market.rule(person) == "suspended"
    assert market.says(person, "resume").status_code == 201


def test_where_nothing_must_be_in_writing_a_telephone_will_do(market):
    market.publish(2, categories=("repayment", "consumption"), adverse_consequences={}, written_form=False)
    (person,) = market.enrol("aspen")
    assert market.says(person, "give", channel="phone").status_code == 201


def test_no_yes_is_older_than_the_notice_that_it_answers(market):
    """Traced: a yes of ten years before the notice counted, and so did one that was signed the day before."""
    asker, paper = market.enrol("aspen", 2)
    before = market.clock()
    market.clock.move(days=3)
    market.publish(2, categories=(*CATEGORIES, DataCategory.LOCATION))
    assert market.hands_in("give", "ordinary", days=3650, number=1).status_code == 409
    assert market.decide(market.decision(asker, {"ordinary": "give"}, event_time=before)).status_code == 409
    assert market.hands_in("refuse", "income", days=3650, number=1).status_code == 201, "a no is always heard"
    assert (market.rule(asker), market.rule(paper)) == ("never-asked", "never-asked")
    assert market.says(asker, "give").status_code == 201
    assert market.hands_in("give", "ordinary", number=1).status_code == 201


@pytest.mark.parametrize("channel", ["web", "app", "api"])
def test_what_was_shown_on_a_screen_is_not_handed_in_where_it_must_be_shown_for_long(market, channel):
    """Traced: an import over "web" said nothing of how the notice was shown, and counted, income too."""
    market.publish(2, reading_seconds=60)
    market.enrol("aspen", 2)
    for kind in ("ordinary", "income"):
        refused = market.hands_in("give", kind, channel=channel)
        assert refused.status_code == 409 and "shown for 60 seconds" in refused.text
        assert market.hands_in("refuse", kind, number=1, channel=channel).status_code == 201
    assert market.hands_in("give", "ordinary").status_code == 201, "on paper nothing is shown on a screen"
