"""Whom the registry orders to erase: what goes, what stays and by which law, and that it is confirmed truthfully."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError
from support.challenged import Challenged
from support.counter import BAD, GOOD, HASHES, MIDDLING, Counter
from support.erasures import ordered
from support.house import Ground
from support.lending_house import lending_house
from support.world import pseudonym, schema_of

from desk.commands.challenge import challengers
from desk.commands.erase import erase_ordered
from desk.commands.export_book import export_book
from desk.commands.monitor import monitor
from desk.commands.person import person_file
from desk.commands.replay import Replayed, Replaying
from desk.commands.retain import retain
from desk.commands.status import standing
from desk.home import erasure_orders
from desk.storage import tables
from lending.account.default import Definition
from protocol.errors import BadSettings, NotFound
from tahini import main


def everything(desk: Counter) -> dict[str, str]:
    """All that stands in each table."""
    with desk.desk.reading() as hand:
        return {
            name: json.dumps([[str(one) for one in row] for row in hand.connection.execute(select(table))])
            for name, table in tables.METADATA.tables.items()
        }


def status(desk: Counter, application: dict) -> str:
    return desk.call("reader", "GET", f"/v1/applications/{application['id']}").json()["status"]


def kept(desk: Counter, name: str) -> list[bool]:
    with desk.desk.reading() as hand:
        query = select(tables.applications.c.wrapped_key).where(tables.applications.c.pseudonym == name)
        return [key is not None for (key,) in hand.connection.execute(query)]


def test_cases_go_and_a_loan_is_serviced_on(either: Counter, tmp_path: Path):
    person, other = pseudonym(), pseudonym()
    either.asks(BAD, pseudonym=other)
    no, waits, offered = (either.asks(late, pseudonym=person).json() for late in (BAD, MIDDLING, GOOD))
    taken = either.offered(pseudonym=person)
    either.accepts(taken)
    loan = either.lent("pay-1", pseudonym=person)
    either.clock.move(seconds=1)
    order = ordered(tmp_path / "orders", person, either.clock())
    found = erase_ordered(either.desk, tmp_path / "orders")
    assert (found.people, found.applications, found.kept, found.loans) == (1, 5, 0, 1)
    assert order.read_bytes() == b"", "done, and nobody is named there any more"
    assert kept(either, person) == [False] and kept(either, other) == [True]
    where = [name for name, said in everything(either).items() if person in said]
    assert sorted(where) == ["applications", "erasures", "loans"], "the loan's, and for a day the order"
    assert [status(either, one) for one in (no, waits, offered, taken)] == ["declined"] + ["withdrawn"] * 3
    assert either.pays(taken["id"], "pay-2").status_code == 409
    assert standing(either.desk, []).reviews_waiting == 0
    letter = either.call("origination", "GET", f"/v1/applications/{no['id']}/letter")
    assert (letter.status_code, letter.json()["type"]) == (410, "urn:tahini:problem:forgotten")
    assert either.repays(loan["id"], "in-1", 1000).status_code == 201
    assert [one["forgotten"] for one in person_file(either.desk, person)["applications"]] == [True]
    here, found = Replaying(either.desk.transactions.database, either.desk.at_rest), Replayed()
    for numbers in here.spans:
        found.add(here.span(numbers))
    assert found.forgotten == 5
    either.clock.move(days=2)
    retain(either.desk, 3650)
    assert person not in everything(either)["erasures"]


def test_whoever_has_no_loan_is_nobody_there(desk: Counter, tmp_path: Path):
    person = pseudonym()
    desk.asks(BAD, pseudonym=person)
    desk.clock.move(seconds=1)
    ordered(tmp_path / "orders", person, desk.clock())
    erase_ordered(desk.desk, tmp_path / "orders")
    with pytest.raises(NotFound):
        person_file(desk.desk, person)
    assert erase_ordered(desk.desk, tmp_path / "orders").people == 0


def test_whoever_comes_back_is_somebody_new(desk: Counter, tmp_path: Path):
    person = pseudonym()
    desk.asks(BAD, pseudonym=person)
    at = desk.clock() + timedelta(seconds=1)
    desk.clock.move(seconds=3)
    desk.asks(BAD, pseudonym=person)
    ordered(tmp_path / "orders", person, at)
    assert erase_ordered(desk.desk, tmp_path / "orders").applications == 1
    assert kept(desk, person) == [True]


def test_what_a_law_has_kept_goes_when_its_time_is_over(desk: Counter, tmp_path: Path):
    """Reg B 1002.12: and what is open ends at once."""
    person = pseudonym()
    no, offered = desk.asks(BAD, pseudonym=person).json(), desk.asks(GOOD, pseudonym=person).json()
    desk.desk.wording = replace(desk.desk.wording, jurisdiction="US")
    desk.clock.move(seconds=1)
    ordered(tmp_path / "orders", person, desk.clock())
    found = erase_ordered(desk.desk, tmp_path / "orders")
    assert (found.applications, found.kept) == (0, 2)
    assert [status(desk, one) for one in (no, offered)] == ["declined", "withdrawn"]
    desk.clock.move(days=762)
    assert retain(desk.desk, 3650).forgotten == 0 and kept(desk, person) == [True, True]
    desk.clock.move(days=1)
    retain(desk.desk, 3650)
    assert kept(desk, person) == [] and person not in json.dumps(everything(desk))


def test_what_is_no_order_erases_nobody(desk: Counter, tmp_path: Path):
    person = pseudonym()
    desk.asks(BAD, pseudonym=person)
    ordered(tmp_path / "orders", person, desk.clock() + timedelta(seconds=1))
    (tmp_path / "orders" / "2").write_text("{}", encoding="utf-8")
    with pytest.raises(BadSettings, match="no order"):
        erase_ordered(desk.desk, tmp_path / "orders")
    assert kept(desk, person) == [True]


@pytest.mark.parametrize("name", ["erased.x", "v1.somebody-else"])
def test_nobody_is_renamed_who_is_not_erased(either: Counter, name: str):
    either.asks(BAD)
    statement = update(tables.applications).values(pseudonym=name)
    with pytest.raises(DBAPIError, match="append-only"), either.desk.transactions.database.write() as connection:
        connection.execute(statement)
    with pytest.raises(DBAPIError, match="append-only"), either.desk.transactions.database.write() as connection:
        connection.execute(update(tables.outbox).values(token="another"))


# --- with the registry


def test_the_registry_hears_of_it_when_the_desk_has_erased(after_release: Ground, tmp_path: Path):
    with lending_house(after_release, tmp_path) as lender:
        person, house = lender.people[0], lender.house
        lender.knows(person)
        assert lender.asks(person).status_code == 201
        house.clock.move(seconds=2)
        house.borrower_client(person).forget_me()
        node, client = house.node("aspen"), house.client("aspen")
        sync = CliRunner().invoke(main, ["consents", "sync", "--home", str(node.home), "--json"])
        assert sync.exit_code == 0, sync.output
        assert json.loads(sync.stdout)["waiting_for_a_desk"] is True
        assert len(client.revocations()) > 0, "nothing is confirmed that the desk has not done"
        orders = erasure_orders(node, lender.desk.at_rest)
        assert person.pseudonym in "".join(path.read_text(encoding="utf-8") for path in orders.iterdir())
        done = CliRunner().invoke(main, ["desk", "erase", "--home", str(lender.home), "--json"])
        assert done.exit_code == 0, done.output
        found = json.loads(done.stdout)
        assert (found["people"], found["applications"], found["acknowledged"]) == (1, 1, True)
        assert client.revocations() == []
        assert not any(path.read_bytes() for path in orders.iterdir())


def test_what_a_law_still_has_kept_is_used_for_nothing(desk: Counter, tmp_path: Path):
    """Neither to train on, nor to watch a model by."""
    person, other = pseudonym(), pseudonym()
    for number, name in enumerate((person, other)):
        desk.lent(f"pay-{number}", pseudonym=name)
    desk.desk.wording = replace(desk.desk.wording, jurisdiction="US")
    desk.clock.move(seconds=1)
    ordered(tmp_path / "orders", person, desk.clock())
    assert erase_ordered(desk.desk, tmp_path / "orders").kept == 1 and kept(desk, person) == [True]
    desk.clock.move(days=200)
    schema, today = schema_of({"name": "late", "kind": "integer", "category": "repayment"}), desk.desk.now().date()
    found = export_book(desk.desk, schema, Definition(120), today, tmp_path / "book.csv")
    assert (found.rows, found.left_out) == (1, {"forgotten": 1})
    assert person not in (tmp_path / "book.csv").read_text(encoding="utf-8")
    watched = monitor(desk.desk, HASHES.model, {"late": 1}, Definition(120), today)
    assert (sum(watched.months.values()), watched.forgotten) == (1, 1)


def test_an_order_that_comes_after_a_later_one_takes_nothing_of_it_back(desk: Counter, tmp_path: Path):
    """They are read in the order of their names, which is not that of their times."""
    person = pseudonym()
    before = desk.clock()
    desk.clock.move(seconds=2)
    desk.asks(BAD, pseudonym=person)
    desk.clock.move(seconds=2)
    ordered(tmp_path / "orders", person, desk.clock(), 10)
    ordered(tmp_path / "orders", person, before, 9)
    assert erase_ordered(desk.desk, tmp_path / "orders").applications == 1
    assert kept(desk, person) == []


def test_no_challenger_is_judged_by_what_a_law_still_has_kept(desk: Counter, tmp_path: Path):
    desk.desk.lending = desk.rules = Challenged()
    person = pseudonym()
    for name in (person, pseudonym()):
        assert desk.asks(GOOD, pseudonym=name).status_code == 201
    desk.desk.wording = replace(desk.desk.wording, jurisdiction="US")
    desk.clock.move(seconds=1)
    ordered(tmp_path / "orders", person, desk.clock())
    assert erase_ordered(desk.desk, tmp_path / "orders").kept == 1 and kept(desk, person) == [True]
    [one] = challengers(desk.desk, Definition(120), desk.desk.now().date())
    assert one.found is not None
    assert (one.found.applications, one.forgotten) == (1, 1)
