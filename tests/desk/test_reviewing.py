"""A person decides: what they see, who they are, and what is kept of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from support.counter import BAD, HASHES, MIDDLING, Counter, StandInSource, counter
from support.world import pseudonym

from desk.commands.retain import retain
from desk.commands.show_answers import answers
from desk.commands.status import standing
from desk.errors import RulesMissing
from desk.lending_rules import Versions
from desk.records import held
from desk.rule_documents import RuleDocument
from desk.sealing import AtRest
from desk.sources import About, Reading, Sources
from desk.storage import tables
from law.categories import DataCategory
from protocol.terms import Limits
from protocol.uses import UseStatement

REASONS = ["two salaries were seen on paper"]


def queued(desk: Counter, late: int = MIDDLING, **more) -> tuple[dict, str]:
    application = desk.asks(late, **more).json()
    (review,) = [
        one for one in desk.call("reader", "GET", "/v1/reviews").json()["items"]
        if one["application"] == application["id"]
    ]  # fmt: skip
    return application, review["id"]


def takes(desk: Counter, review: str, who: str = "reviewer.li", **headers):
    return desk.call(who, "POST", f"/v1/reviews/{review}/taking", **headers)


def decides(desk: Counter, review: str, outcome: str = "approve", who: str = "reviewer.li", **more):
    body = {"outcome": outcome, "reasons": REASONS} | more
    return desk.call(who, "POST", f"/v1/reviews/{review}/decision", body)


def test_a_person_approves_with_reasons_of_their_own(either: Counter):
    application, review = queued(either)
    assert takes(either, review).status_code == 200
    assert decides(either, review).json()["status"] == "decided"
    found = either.call("reader", "GET", f"/v1/applications/{application['id']}").json()
    assert (found["status"], found["decision"]["by"]) == ("offered", "person")
    assert found["decision"]["reasons"][0]["detail"] == {"text": REASONS[0]}
    assert either.log.steps() == ["use.read", "use.scored", "use.read", "use.scored"], "stated as a machine's are"
    assert either.accepts(found).status_code == 201


def test_a_person_declines(desk: Counter):
    application, review = queued(desk)
    takes(desk, review)
    decides(desk, review, "decline")
    found = desk.call("reader", "GET", f"/v1/applications/{application['id']}").json()
    assert (found["status"], found["decision"]["offer"]) == ("declined", None)


def test_reviewers_do_not_see_what_is_protected(desk: Counter, monkeypatch):
    from desk.sources import About

    object.__setattr__(desk.book, "about", About("book", DataCategory.REPAYMENT, ("late", "sex")))
    desk.book.values["sex"] = "f"
    _, review = queued(desk)
    seen = takes(desk, review)
    assert seen.json()["case"]["facts"]["late"]["value"] == MIDDLING
    assert '"sex"' not in seen.text and "sex" not in seen.json()["case"]["facts"]


def test_that_a_person_reads_it_stands_in_the_log_first(desk: Counter):
    _, review = queued(desk)
    desk.log.away = True
    assert takes(desk, review).status_code == 503
    assert desk.call("reader", "GET", f"/v1/reviews/{review}").json()["status"] == "waiting"


def test_whoever_has_taken_consent_back_is_read_by_nobody(desk: Counter):
    _, review = queued(desk)
    desk.consents.refused = {DataCategory.REPAYMENT}
    assert takes(desk, review).status_code == 403


def test_what_a_person_decided_on_was_named_before_they_read_it(desk: Counter):
    """Else no receipt of it verifies (``protocol.uses.check_decision_receipt``)."""
    _, review = queued(desk)
    takes(desk, review)
    assert decides(desk, review).status_code == 201
    read, scored = (UseStatement.verify(token, desk.log.key.public) for token in desk.log.entries[2:])
    assert scored.sources == {"book": DataCategory.REPAYMENT, "income": DataCategory.INCOME} == read.sources
    assert scored.consents == read.consents


@pytest.mark.parametrize("lost", [DataCategory.REPAYMENT, DataCategory.INCOME])
def test_whoever_takes_back_a_part_is_read_no_further(desk: Counter, lost):
    """Even by who has read it before; and nothing is decided on what may not be used any more."""
    _, review = queued(desk)
    assert takes(desk, review).status_code == 200
    desk.consents.refused = {lost}
    again = takes(desk, review)
    assert (again.status_code, again.json()["type"]) == (403, "urn:tahini:problem:consent-missing")
    assert "4000" not in again.text
    assert decides(desk, review).status_code == 403
    desk.consents.refused = set()
    assert decides(desk, review).status_code == 201


def test_whoever_takes_back_income_before_a_review_is_not_read(desk: Counter):
    _, review = queued(desk)
    desk.consents.refused = {DataCategory.INCOME}
    assert takes(desk, review).status_code == 403
    assert desk.log.steps() == ["use.read", "use.scored"]


def test_one_person_has_it_at_a_time(desk: Counter):
    _, review = queued(desk)
    etag = desk.call("reader", "GET", f"/v1/reviews/{review}").headers["etag"]
    assert takes(desk, review, If_Match=etag).status_code == 200
    assert takes(desk, review, "reviewer.wu", If_Match=etag).status_code == 412
    assert takes(desk, review, "reviewer.wu").status_code == 409
    assert decides(desk, review, who="reviewer.wu").status_code == 403
    assert desk.call("reviewer.li", "DELETE", f"/v1/reviews/{review}/taking").status_code == 200
    assert takes(desk, review, "reviewer.wu").status_code == 200
    assert decides(desk, review, who="reviewer.wu").status_code == 201


@pytest.mark.parametrize("reasons", [[], ["  "], ["ab"], ["long enough"] * 5])
def test_a_person_says_why(desk: Counter, reasons):
    _, review = queued(desk)
    takes(desk, review)
    assert decides(desk, review, reasons=reasons).status_code == 422


def test_who_reviews_is_who_the_token_says(desk: Counter):
    _, review = queued(desk)
    for who in ("origination", "servicing", "reader"):
        assert takes(desk, review, who).status_code == 403
    assert desk.http.post(f"/v1/reviews/{review}/taking").status_code == 401
    assert desk.http.post(f"/v1/reviews/{review}/taking", headers={"Authorization": "Bearer no"}).status_code == 401


def test_four_eyes_are_two_people(tmp_path: Path):
    with counter(tmp_path / "desk.db", four_eyes=True) as desk:
        application, review = queued(desk)
        takes(desk, review)
        assert decides(desk, review).json()["status"] == "proposed"
        path = f"/v1/applications/{application['id']}"
        assert desk.call("reader", "GET", path).json()["status"] == "in-review"
        own = desk.call("reviewer.li", "POST", f"/v1/reviews/{review}/second", {"agrees": True})
        assert own.status_code == 403
        assert takes(desk, review, "reviewer.wu").json()["proposed"][0]["reasons"] == REASONS
        other = desk.call("reviewer.wu", "POST", f"/v1/reviews/{review}/second", {"agrees": True})
        assert other.json()["status"] == "decided"
        assert desk.call("reader", "GET", path).json()["status"] == "offered"
        with desk.desk.reading() as hand:
            decided = [row.by for row in hand.connection.execute(select(tables.decisions))]
        assert sorted(decided) == ["machine", "reviewer.li+reviewer.wu"]


def test_a_second_person_may_disagree(tmp_path: Path):
    with counter(tmp_path / "desk.db", four_eyes=True) as desk:
        _, review = queued(desk)
        takes(desk, review)
        decides(desk, review)
        takes(desk, review, "reviewer.wu")
        back = desk.call("reviewer.wu", "POST", f"/v1/reviews/{review}/second", {"agrees": False})
        assert back.json()["status"] == "waiting"
        for anyone in ("reviewer.li", "reviewer.wu"):
            assert answers(desk.desk, review, anyone).machine is None, "either may yet decide it"
        assert takes(desk, review, "reviewer.wu").json()["proposed"][0]["reasons"] == REASONS


def test_whoever_is_declined_by_a_machine_may_have_a_person_look(desk: Counter):
    declined = desk.asks(BAD).json()
    path = f"/v1/applications/{declined['id']}"
    review = desk.call("origination", "POST", f"{path}/contest").json()["review"]
    assert desk.call("reader", "GET", path).json()["status"] == "in-review"
    takes(desk, review)
    decides(desk, review, "decline")
    assert desk.call("reader", "GET", path).json()["status"] == "declined"
    assert desk.call("origination", "POST", f"{path}/contest").status_code == 409


def test_the_queue_is_told_page_by_page(desk: Counter):
    for _ in range(5):
        desk.asks(MIDDLING)
    found, cursor = [], ""
    while cursor is not None:
        page = desk.call("reader", "GET", f"/v1/reviews?limit=2{cursor and f'&cursor={cursor}'}").json()
        found += [one["id"] for one in page["items"]]
        cursor = page["next"]
    assert len(found) == len(set(found)) == 5


def test_a_reviewers_words_are_sealed(desk: Counter, tmp_path: Path):
    _, review = queued(desk)
    takes(desk, review)
    decides(desk, review)
    content = (tmp_path / "desk.db").read_bytes() + (tmp_path / "desk.db-wal").read_bytes()
    assert b"two salaries" not in content


# --- what they see, and under what they decide


def seconds(desk: Counter, review: str, who: str = "reviewer.wu", agrees: bool = True):
    return desk.call(who, "POST", f"/v1/reviews/{review}/second", {"agrees": agrees})


def test_nobody_agrees_to_what_they_have_not_read(tmp_path: Path):
    with counter(tmp_path / "desk.db", four_eyes=True) as desk:
        _, review = queued(desk)
        takes(desk, review)
        decides(desk, review)
        for agrees in (True, False):
            blind = seconds(desk, review, agrees=agrees)
            assert (blind.status_code, "reads the case" in blind.json()["detail"]) == (409, True)
        seen = takes(desk, review, "reviewer.wu").json()
        assert (seen["proposed"][0]["by"], seen["case"]["facts"]["late"]["value"]) == ("reviewer.li", MIDDLING)
        assert seconds(desk, review, agrees=False).status_code == 201
        takes(desk, review)
        decides(desk, review, "decline")
        assert seconds(desk, review).status_code == 409, "what is proposed now is another thing"
        takes(desk, review, "reviewer.wu")
        assert seconds(desk, review).status_code == 201


def test_what_was_asked_then_is_hidden_and_named_though_it_is_asked_no_more(desk: Counter):
    """A reviewer sees the stored case, not what today's sources would make of it."""
    about = About("office", DataCategory.SEX, ("attr",), also=(DataCategory.BUREAU,))
    desk.desk.sources = Sources([desk.book, StandInSource(about, {"attr": "f"})])
    _, review = queued(desk)
    desk.desk.sources = Sources([desk.book])
    desk.book.values["late"] = 99
    seen = takes(desk, review)
    assert "attr" not in seen.json()["case"]["facts"] and seen.json()["case"]["facts"]["late"]["value"] == MIDDLING
    assert decides(desk, review).status_code == 201
    read, scored = (UseStatement.verify(token, desk.log.key.public) for token in desk.log.entries[2:])
    named = {"book": DataCategory.REPAYMENT, "office": DataCategory.SEX, "office-bureau": DataCategory.BUREAU}
    assert read.sources == scored.sources == named


def test_what_a_source_is_said_to_hold_today_needs_its_consent_too(desk: Counter):
    _, review = queued(desk)
    about = About("income", DataCategory.INCOME, ("income",), also=(DataCategory.SEX,))
    object.__setattr__(desk.income, "about", about)
    desk.consents.refused = {DataCategory.SEX}
    assert takes(desk, review).status_code == 403


def test_a_fact_that_a_notice_lets_nobody_use_any_more_is_not_shown(desk: Counter):
    asked, day = desk.consents.check, desk.desk.now().date()
    limits = {DataCategory.INCOME: (Limits(data_life_days=30),)}
    desk.consents.check = lambda *who: replace(asked(*who), limits=limits)  # type: ignore[method-assign]
    desk.income.ask = lambda _: {"income": Reading(4000, day)}  # type: ignore[method-assign]
    _, review = queued(desk)
    assert takes(desk, review).json()["case"]["facts"]["income"]["value"] == 4000
    desk.clock.move(days=31)
    assert takes(desk, review).json()["case"]["facts"]["income"]["status"] == "refused"


def test_a_reviewer_is_told_what_is_new_and_when(desk: Counter):
    person = pseudonym()
    application = desk.offered(pseudonym=person)
    begun, (_, review) = desk.desk.now(), queued(desk, pseudonym=person)
    desk.clock.move(hours=1)
    desk.accepts(application)
    assert desk.pays(application["id"]).status_code == 201
    seen = takes(desk, review).json()
    read, now = (datetime.fromisoformat(when) for when in (seen["read_at"], seen["owes_now"]["at"]))
    assert begun <= read < begun + timedelta(hours=1) <= now
    assert (seen["case"]["outstanding"], seen["owes_now"]["amount"]) == (0, 500_000)


NEWER = [RuleDocument(kind, f"a newer {kind}".encode()) for kind in ("policy", "law", "release")]
LATER = Versions("1" * 64, *(one.sha256 for one in NEWER), "4" * 64)


def test_a_person_decides_under_what_is_in_force_on_their_day(desk: Counter):
    person = pseudonym()
    before = desk.offered(pseudonym=person)
    application, review = queued(desk, pseudonym=person)
    desk.rules.in_force = LATER
    desk.rules.documents = lambda: {one.sha256: one for one in NEWER}
    desk.accepts(before)
    desk.pays(before["id"])
    takes(desk, review)
    assert decides(desk, review).status_code == 201
    with desk.desk.reading() as hand:
        made = held(hand.connection, application["id"]).made(desk.desk)
        row = held(hand.connection, application["id"]).decision
        kept = set(hand.connection.scalars(select(tables.rules.c.sha256)))
    assert {one.sha256 for one in NEWER} <= kept, "whoever asks later can read by what it was decided"
    (name,) = made.reviewed.staff
    assert len(name) == 32 and "li" not in made.payload()["reviewed"]["staff"]
    assert (row.model_hash, row.policy_hash, row.law_hash) == (HASHES.model, LATER.policy, LATER.law)
    assert made.payload()["reviewed"] == {
        "staff": [name], "model_hash": HASHES.model, "policy_hash": LATER.policy, "law_hash": LATER.law,
        "product_hash": LATER.product, "outstanding": 500_000,
    }  # fmt: skip
    scored = UseStatement.verify(desk.log.entries[-1], desk.log.key.public)
    assert (scored.policy, scored.law) == (LATER.policy, LATER.law)
    found = desk.call("reader", "GET", f"/v1/applications/{application['id']}").json()
    assert desk.accepts(found).status_code == 201
    assert desk.pays(application["id"], "pay-2").status_code == 201, "the person knew what was owed"


def test_each_of_two_has_a_name_of_their_own_in_the_decision(tmp_path: Path):
    with counter(tmp_path / "desk.db", four_eyes=True) as desk:
        application, review = queued(desk)
        takes(desk, review)
        decides(desk, review)
        takes(desk, review, "reviewer.wu")
        seconds(desk, review)
        with desk.desk.reading() as hand:
            staff = held(hand.connection, application["id"]).made(desk.desk).reviewed.staff
        assert staff == [desk.desk.at_rest.alias(who) for who in ("reviewer.li", "reviewer.wu")]
        assert len(set(staff)) == 2 and AtRest(b"x" * 32).alias("reviewer.li") not in staff


def test_a_person_may_decline_where_nothing_is_in_force_and_not_approve(desk: Counter, monkeypatch):
    _, review = queued(desk)
    takes(desk, review)

    def missing(*_):
        raise RulesMissing("no policy is in force")

    monkeypatch.setattr(type(desk.rules), "versions", missing)
    assert decides(desk, review).status_code == 503
    assert decides(desk, review, "decline").status_code == 201


def test_a_review_is_part_of_the_use_that_the_application_is(desk: Counter):
    _, review = queued(desk)
    takes(desk, review)
    decides(desk, review)
    said = [UseStatement.verify(token, desk.log.key.public) for token in desk.log.entries]
    assert [one.follows for one in said] == [None, None, said[0].application, said[0].application]
    assert said[2].application == said[3].application != said[0].application


def test_nobody_waits_for_a_decision_that_is_void(desk: Counter):
    desk.log.refuses = "use.scored"
    application, review = queued(desk)
    assert desk.call("reader", "GET", f"/v1/applications/{application['id']}").json()["status"] == "void"
    assert desk.call("reader", "GET", f"/v1/reviews/{review}").json()["status"] == "void"
    assert desk.call("reader", "GET", "/v1/reviews?status=waiting").json()["items"] == []
    assert [one["id"] for one in desk.call("reader", "GET", "/v1/reviews?status=void").json()["items"]] == [review]
    assert takes(desk, review).status_code == 409
    desk.asks(BAD)
    found = standing(desk.desk, [])
    assert (found.reviews_waiting, found.letters_waiting) == (0, 0)
    desk.clock.move(days=31)
    assert retain(desk.desk, 30).forgotten == 2


def test_nobody_is_offered_more_than_they_asked_for(desk: Counter):
    application, review = queued(desk)
    takes(desk, review)
    more = decides(desk, review, amount=500_001)
    assert (more.status_code, "500000 fen were asked for" in more.json()["detail"]) == (422, True)
    assert decides(desk, review, amount=400_000).status_code == 201
    found = desk.call("reader", "GET", f"/v1/applications/{application['id']}").json()
    assert found["decision"]["offer"]["amount"] == 400_000


def test_who_cannot_take_a_case_is_not_said_to_have_read_it(desk: Counter):
    application, review = queued(desk)
    assert desk.call("origination", "POST", f"/v1/applications/{application['id']}/withdrawal").status_code == 200
    before = len(desk.log.entries)
    assert takes(desk, review).status_code == 409
    assert len(desk.log.entries) == before


def test_what_is_agreed_to_is_what_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """While one who agrees is still being asked about by the registry, the first takes it back and proposes anew."""
    with counter(tmp_path / "desk.db", four_eyes=True) as desk:
        _, review = queued(desk)
        takes(desk, review)
        decides(desk, review)
        takes(desk, review, "reviewer.wu")
        asked = desk.consents.check_again

        def meanwhile(before):
            monkeypatch.setattr(desk.consents, "check_again", asked)
            assert seconds(desk, review, agrees=False).status_code == 201
            takes(desk, review)
            decides(desk, review, "decline")
            takes(desk, review, "reviewer.wu")
            return asked(before)

        monkeypatch.setattr(desk.consents, "check_again", meanwhile)
        late = seconds(desk, review)
        assert (late.status_code, "something else is proposed" in late.json()["detail"]) == (409, True)
        assert desk.call("reader", "GET", f"/v1/reviews/{review}").json()["status"] == "proposed"
