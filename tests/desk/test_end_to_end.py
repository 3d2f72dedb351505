"""One lender from application to label: a real registry and log, a model that was trained there, a signed policy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from sqlalchemy import select
from support.house import Ground
from support.lending_house import LendingHouse, lending_house, with_policies
from support.world import features

from crypto.documents import unverified_payload
from desk.commands.challenge import challengers
from desk.commands.export_applicants import export_applicants
from desk.commands.export_book import export_book
from desk.commands.replay import replay, replay_beside
from desk.commands.status import standing
from desk.described import SOURCES_FILE
from desk.errors import RulesMissing, SourceFailed
from desk.home import open_desk
from desk.released import POLICIES
from desk.storage.tables import silent_decisions
from lending.account.default import Definition
from lending.policy.document import CreditPolicy, PolicyDocument
from protocol.errors import Malformed
from tahini import main


@pytest.fixture
def lender(after_release: Ground, tmp_path: Path) -> Iterator[LendingHouse]:
    with lending_house(after_release, tmp_path) as opened:
        yield opened


def accepted(lender: LendingHouse, application: dict) -> None:
    path = f"/v1/applications/{application['id']}"
    table = lender.call("origination", "GET", f"{path}/disclosure").json()
    body = {"decision": application["decision"]["id"], "disclosure_sha256": table["sha256"]}
    taken = lender.call("origination", "POST", f"{path}/acceptance", body)
    assert taken.status_code == 201, taken.text


def lent(lender: LendingHouse, person, payment: str, less: int = 0) -> dict:
    lender.knows(person)
    said = lender.asks(person).json()
    assert said["status"] == "offered", said
    accepted(lender, said)
    body = {"payment": payment, "amount": said["decision"]["offer"]["amount"] - less, "on": today(lender).isoformat()}
    paid = lender.call("servicing", "POST", f"/v1/applications/{said['id']}/disbursement", body)
    assert paid.status_code == 201, paid.text
    return paid.json()


def today(lender: LendingHouse) -> date:
    return lender.desk.now().date()


def test_from_application_to_label(lender: LendingHouse, tmp_path: Path):
    good, late, looked, declined = lender.people[:4]
    first = lent(lender, good, "pay-1")
    second = lent(lender, late, "pay-2")
    lender.knows(looked, applications_7d=7)
    lender.knows(declined, **lender.worst)
    waits, no = lender.asks(looked).json(), lender.asks(declined).json()
    assert (waits["status"], no["status"]) == ("in-review", "declined")
    assert [one["code"] for one in waits["decision"]["reasons"]] == ["many-applications"]
    assert no["decision"]["reasons"], "a decline has reasons"

    letter = lender.call("origination", "GET", f"/v1/applications/{no['id']}/letter").json()
    assert "征" in letter["zh"] or "申请" in letter["zh"]
    assert "contest it" in letter["en"] and "20 days" in letter["en"]
    again = lender.call("origination", "GET", f"/v1/applications/{no['id']}/letter").json()
    assert again == letter
    receipt = lender.call("origination", "GET", f"/v1/decisions/{no['decision']['id']}/receipt")
    assert receipt.status_code == 200, receipt.text

    offer = lender.call("reader", "GET", f"/v1/applications/{first['application']}").json()["decision"]["offer"]
    assert float(offer["annual_cost"]["compound"]) <= 0.24
    lender.house.clock.move(days=30)
    due = first["schedule"][0]
    paid = {"event": "in-1", "amount": due["principal"] + due["interest"], "on": today(lender).isoformat()}
    done = lender.call("servicing", "POST", f"/v1/loans/{first['id']}/repayments", paid).json()
    assert (done["status"], done["days_past_due"]["worst"]) == ("settled", 0)
    lender.house.clock.move(days=95)
    bad = lender.call("reader", "GET", f"/v1/loans/{second['id']}").json()
    assert (bad["days_past_due"]["contractual"], bad["owed"]["penalty"] > 0) == (95, True)

    lender.house.clock.move(days=60)
    out = tmp_path / "book.parquet"
    found = export_book(lender.desk, features(), Definition(180), today(lender) - timedelta(days=1), out)
    book = pd.read_parquet(out).set_index("pseudonym")
    assert found.rows == 2
    assert book.loc[good.pseudonym, "bad"] == 0 and book.loc[late.pseudonym, "bad"] == 1
    assert book.loc[good.pseudonym, "late"] == lender.best["late"]
    replayed = replay(lender.home)
    assert (replayed.same, replayed.seen, replayed.sound) == (4, 4, True)

    days = today(lender) - timedelta(days=200), today(lender)
    came = export_applicants(lender.desk, features(), *days, tmp_path / "applicants.parquet")
    assert (came.rows, came.undecided, came.forgotten) == (3, 1, 0), "one still waits for a person"
    table = pd.read_parquet(tmp_path / "applicants.parquet").set_index("pseudonym")
    assert table.approved.to_dict() == {good.pseudonym: 1, late.pseudonym: 1, declined.pseudonym: 0}
    assert table.loc[declined.pseudonym, "late"] == lender.worst["late"]
    assert set(table.columns) == {*features().names, "approved", "applied_on"}
    empty = export_applicants(lender.desk, features(), days[0], days[0] + timedelta(days=1), tmp_path / "none.csv")
    assert empty.rows == 0 and (tmp_path / "none.csv").read_text(encoding="utf-8").startswith('"pseudonym"')
    for wrong in ((days[1], days[0]), (days[0], today(lender) + timedelta(days=1))):
        with pytest.raises(Malformed, match="no period that is over"):
            export_applicants(lender.desk, features(), *wrong, tmp_path / "applicants.parquet")


def all_signed(token: str) -> list[dict]:
    """What a signed document says, and those that stand in it."""
    said = unverified_payload(token)
    inner = re.findall(r"[\w-]{20,}\.[\w-]{20,}\.[\w-]{20,}", json.dumps(said))
    return [said, *(one for found in inner for one in all_signed(found))]


def test_a_signed_challenger_among_the_policies_decides_silently_beside_the_one_in_use(lender: LendingHouse):
    """It asks for less and sets the limit lower; whom it would decline is lent to."""
    (champion,) = lender.desk.lending.policies
    payload = champion.document.model_dump(mode="json", exclude_defaults=True)
    tables = deepcopy(payload["tables"])
    tables["pricing"]["rows"] = [row | {"then": row["then"] | {"rate": 200}} for row in tables["pricing"]["rows"]]
    tables["knock_outs"]["rows"].append({"id": "m", "when": {"open_loans": "3"}, "then": {"reason": "in-arrears"}})
    changes = {"id": "challenger", "challenges": champion.hash, "tables": tables}
    other = PolicyDocument.model_validate(payload | changes)
    later = PolicyDocument.model_validate(
        payload | changes | {"id": "later", "valid_from": (today(lender) + timedelta(days=1)).isoformat()}
    )
    stranger = PolicyDocument.model_validate(payload | changes | {"id": "stranger", "challenges": "f" * 64})
    for document in (other, later, stranger):
        (lender.home / POLICIES / f"{document.id}.jws").write_text(document.sign(lender.risk), encoding="utf-8")
    with_policies(lender.desk, lender.home)
    first, second = lender.people[:2]
    lender.knows(second, open_loans=3)
    loan = lent(lender, first, "pay-1")
    said = [lender.call("reader", "GET", f"/v1/applications/{loan['application']}").json(), lender.asks(second).json()]
    assert [one["decision"]["offer"]["rate_ppm_day"] for one in said] == [300, 300]
    day = today(lender)
    (seen,) = challengers(lender.desk, Definition(180), day)
    assert (seen.champion, seen.challenger) == (champion.hash, CreditPolicy(other).hash)
    assert (seen.failed, seen.found.both, seen.found.only_champion) == (0, 1, 1)
    receipt = lender.call("origination", "GET", f"/v1/decisions/{said[1]['decision']['id']}/receipt")
    assert receipt.status_code == 200
    told = json.dumps(all_signed(receipt.json()["receipt"]))
    assert champion.hash in told and seen.challenger not in told
    with lender.desk.reading() as hand:
        assert standing(lender.desk, ["daily-30"]).challengers == {"daily-30": seen.challenger}
        assert {row.outcome for row in hand.connection.execute(select(silent_decisions))} == {"approve", "decline"}
    assert (replay(lender.home).same, replay_beside(lender.home).same) == (2, 2)
    shown = CliRunner().invoke(main, ["desk", "monitor", "--home", str(lender.home), "--loss-given-default", "0.6"])
    assert shown.exit_code in {0, 1} and f"challenger {seen.challenger[:16]}" in shown.stdout, shown.output
    assert "both approve 1, only what is in use 1" in shown.stdout and "stage 1: 1 loans" in shown.stdout
    assert "1 lower of" not in shown.stdout, "of one offer nothing follows"
    lender.desk.lending = replace(lender.desk.lending, policies=[champion])
    assert (replay(lender.home).same, replay_beside(lender.home).same) == (2, 2), "kept by its hash"


def test_what_a_person_refuses_is_neutral_and_no_machine_declines_for_it(lender: LendingHouse):
    person = next(one for one in lender.house.borrowers["aspen"] if one.answer == "gives" and not one.sensitive)
    lender.knows(person)
    said = lender.asks(person).json()
    assert said["status"] == "in-review", said
    assert "too-much-neutral" in {one["code"] for one in said["decision"]["reasons"]}
    with lender.desk.reading() as hand:
        from desk.records import held

        case = held(hand.connection, said["id"]).made(lender.desk).case
    assert case.facts["income"].status == "refused"
    assert any(one.neutral for one in case.scored.points if one.feature == "income")


def test_whoever_withdraws_between_offer_and_acceptance_is_not_lent_to(lender: LendingHouse):
    person = lender.people[0]
    lender.knows(person)
    said = lender.asks(person).json()
    table = lender.call("origination", "GET", f"/v1/applications/{said['id']}/disclosure").json()
    lender.house.anyone().decide([person.withdrawal(lender.notice)])
    body = {"decision": said["decision"]["id"], "disclosure_sha256": table["sha256"]}
    taken = lender.call("origination", "POST", f"/v1/applications/{said['id']}/acceptance", body)
    assert (taken.status_code, taken.json()["type"]) == (403, "urn:tahini:problem:consent-missing")


def test_what_is_confirmed_is_the_table_that_the_desk_made(lender: LendingHouse):
    person = lender.people[0]
    lender.knows(person)
    said = lender.asks(person).json()
    table = lender.call("origination", "GET", f"/v1/applications/{said['id']}/disclosure").json()
    body = {"decision": said["decision"]["id"], "disclosure_sha256": "0" * 64}
    taken = lender.call("origination", "POST", f"/v1/applications/{said['id']}/acceptance", body)
    assert taken.status_code == 409 and "is not the table" in taken.json()["detail"]
    assert "综合融资成本明示表" in table["zh"] and table["table"]["nothing_else"]


def test_a_person_approves_at_the_policys_price_under_the_cap(lender: LendingHouse):
    person = lender.people[0]
    lender.knows(person, applications_7d=7)
    said = lender.asks(person).json()
    (review,) = lender.call("reader", "GET", "/v1/reviews").json()["items"]
    path = f"/v1/reviews/{review['id']}"
    seen = lender.call("reviewer.li", "POST", f"{path}/taking").json()
    assert seen["case"]["facts"]["applications_7d"]["value"] == 7
    body = {"outcome": "approve", "reasons": ["the applications were one lender's tests"]}
    assert lender.call("reviewer.li", "POST", f"{path}/decision", body).status_code == 201
    now = lender.call("reader", "GET", f"/v1/applications/{said['id']}").json()
    assert (now["status"], now["decision"]["offer"]["rate_ppm_day"]) == ("offered", 300)
    accepted(lender, now)
    letter = lender.call("origination", "GET", f"/v1/applications/{said['id']}/letter").json()
    assert "the applications were one lender's tests" in letter["en"]
    receipt = lender.call("origination", "GET", f"/v1/decisions/{now['decision']['id']}/receipt")
    assert receipt.status_code == 200, receipt.text


def test_no_desk_opens_whose_source_hides_a_kind_of_data(lender: LendingHouse):
    """Income, read under the consent to repayment."""
    path = lender.home / SOURCES_FILE
    said = path.read_text(encoding="utf-8")
    path.write_text(said.replace('category = "income"', 'category = "repayment"'), encoding="utf-8")
    with pytest.raises(SourceFailed, match=r"'payroll'.*made of income"):
        open_desk(lender.home, lender.house.clock)
    path.write_text(said.replace('income = "income", ', ""), encoding="utf-8")
    open_desk(lender.home, lender.house.clock).close()
    path.write_text(said.replace('income = "income", ', "").replace('"income"', '"repayment"'), encoding="utf-8")
    with pytest.raises(SourceFailed, match=r"'payroll'.*'monthly_income'"):
        open_desk(lender.home, lender.house.clock)


def test_nothing_is_decided_by_a_fact_that_its_source_makes_of_sex(lender: LendingHouse):
    path = lender.home / SOURCES_FILE
    said = path.read_text(encoding="utf-8")
    path.write_text(said.replace('category = "bureau"', 'categories = ["bureau", "sex"]'), encoding="utf-8")
    opened = open_desk(lender.home, lender.house.clock)
    with pytest.raises(RulesMissing, match="comes from a source that is about sex"):
        opened.lending.versions("daily-30", opened.now().date())
    opened.close()


def test_an_extension_is_asked_before_the_due_day_and_never_moves_the_contractual_clock(lender: LendingHouse):
    loan = lent(lender, lender.people[0], "pay-1")
    lender.house.clock.move(days=20)
    body = {"event": "x-1", "on": today(lender).isoformat(), "days": 30}
    path = f"/v1/loans/{loan['id']}/extensions"
    put_off = lender.call("servicing", "POST", path, body)
    assert (put_off.status_code, put_off.json()["status"]) == (201, "extended")
    again = lender.call("servicing", "POST", path, body)
    assert again.headers["idempotent-replayed"] == "true"
    second = lender.call("servicing", "POST", path, {**body, "event": "x-2"})
    assert second.status_code == 409
    lender.house.clock.move(days=15)
    found = lender.call("reader", "GET", f"/v1/loans/{loan['id']}").json()["days_past_due"]
    assert (found["contractual"], found["after_grace"]) == (5, 0)


def test_what_a_bank_kept_of_the_money_is_not_owed(lender: LendingHouse):
    """The product lends in steps of 100 fen; what was received is what it is."""
    loan = lent(lender, lender.people[0], "pay-1", less=1)
    assert (loan["principal"], loan["owed"]["principal"]) == (299_999, 299_999)


def test_no_extension_is_dated_back_to_before_another(lender: LendingHouse):
    """Each, folded as of its own day, would be the first: so often, so long and so dear as nobody may."""
    loan = lent(lender, lender.people[0], "pay-1")
    path = f"/v1/loans/{loan['id']}/extensions"
    lender.house.clock.move(days=20)
    last = today(lender)
    for back in range(4):
        body = {"event": f"x-{back}", "on": (last - timedelta(days=back)).isoformat(), "days": 1}
        assert lender.call("servicing", "POST", path, body).status_code == (422 if back else 201)
    kinds = [one["kind"] for one in lender.call("reader", "GET", f"/v1/loans/{loan['id']}/events").json()["items"]]
    assert kinds == ["disbursed", "extended"]
