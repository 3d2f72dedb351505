"""A person decides: what they see, who they are, and what is kept of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select
from support.counter import BAD, MIDDLING, Counter, counter

from desk.storage import tables
from law.categories import DataCategory
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
        back = desk.call("reviewer.wu", "POST", f"/v1/reviews/{review}/second", {"agrees": False})
        assert back.json()["status"] == "waiting"
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
