"""Loading what was collected elsewhere: in order for each person, once, and further where it stopped."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from support.house import House, build

from consent.commands.sync_consents import decide
from consent.errors import ConsentError, Malformed, RegistryUnavailable
from consent.load import Answered, Directly, Loader, OverHttp, Progress
from consent.schema import now
from consent.standing import RULES
from consent.terms import TRAINING_PURPOSE


@pytest.fixture
def undecided(tmp_path: Path) -> Iterator[House]:
    with build(tmp_path / "house", people=12) as house:
        yield house


def row(who: int | str, action: str = "give", day: int = 3) -> dict[str, Any]:
    moment = (now() - timedelta(days=day)).isoformat()
    name = "number" if isinstance(who, int) else "pseudonym"
    return {name: who, "sensitivity": "ordinary", "action": action, "event_time": moment, "evidence_sha256": "0" * 64}


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def over_http(house: House, count: int) -> list[OverHttp]:
    key = house.node("aspen").key
    clients = [OverHttp(house.url, house.founded.consortium, "aspen", key) for _ in range(count)]
    house.clients += clients
    return clients


def directly(house: House) -> Directly:
    return Directly(house.registry, house.registry.consortium.party("aspen"))


def load(house: House, source: Path, ways: list[Any], batch: int = 5) -> int:
    answered = Answered(house.notice, "en", "paper")
    return Loader(ways, answered, batch).load(source, Progress.of(source, "aspen", answered, len(ways)))


def rules(house: House) -> list[str]:
    lender = house.registry.consortium.party("aspen")
    return [RULES[rule] for rule in decide(house.registry, lender, TRAINING_PURPOSE, "ordinary").rules]


def entries(house: House) -> int:
    with house.registry.database.read() as session:
        return house.registry.log.size(session)


def test_over_several_connections_each_person_s_answers_keep_their_order(undecided: House, tmp_path: Path) -> None:
    answers = [row(number, "give", 3) for number in range(12)] + [row(number, "withdraw", 2) for number in range(6)]
    source = write_csv(tmp_path / "answers.csv", answers)
    assert load(undecided, source, over_http(undecided, 2)) == 18
    assert rules(undecided) == ["withdrawn"] * 6 + ["given"] * 6
    before = entries(undecided)
    assert load(undecided, source, over_http(undecided, 2)) == 0
    assert entries(undecided) == before


def test_a_parquet_file_may_name_people_and_hold_times(undecided: House, tmp_path: Path) -> None:
    named = [row(person.pseudonym) for person in undecided.borrowers["aspen"][:4]]
    table = pa.Table.from_pylist(named)
    times = pa.array([now() - timedelta(days=1)] * 4, pa.timestamp("us", "UTC"))
    table = table.set_column(table.schema.get_field_index("event_time"), "event_time", times)
    pyarrow.parquet.write_table(table, tmp_path / "answers.parquet")
    assert load(undecided, tmp_path / "answers.parquet", [directly(undecided)]) == 4
    assert rules(undecided) == ["given"] * 4 + ["never-asked"] * 8


class Unlucky:
    """A way in whose answers are lost: before anything was recorded, or after."""

    def __init__(self, way: Directly, fails_at: int, recorded: bool) -> None:
        self.way, self.fails_at, self.recorded, self.calls = way, fails_at, recorded, 0

    def hand_in(self, body: dict[str, Any]) -> None:
        self.calls += 1
        if self.calls != self.fails_at or self.recorded:
            self.way.hand_in(body)
        if self.calls == self.fails_at:
            raise RegistryUnavailable("gone")

    def numbers(self) -> dict[str, int]:
        return self.way.numbers()


@pytest.mark.parametrize("recorded", [False, True])
def test_a_load_that_was_cut_short_goes_on_and_records_nothing_twice(
    undecided: House, tmp_path: Path, recorded: bool
) -> None:
    source = write_csv(tmp_path / "answers.csv", [row(number) for number in range(12)])
    before = entries(undecided)
    with pytest.raises(ConsentError, match=r"rows 6 to 10 was refused: gone"):
        load(undecided, source, [Unlucky(directly(undecided), 2, recorded)])
    assert load(undecided, source, [directly(undecided)]) == 7
    assert rules(undecided) == ["given"] * 12
    assert entries(undecided) == before + 3


def test_progress_on_another_file_or_with_other_connections_is_refused(undecided: House, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "answers.csv", [row(number) for number in range(4)])
    load(undecided, source, [directly(undecided)])
    with pytest.raises(Malformed, match="number of connections"):
        load(undecided, source, over_http(undecided, 2))
    write_csv(source, [row(number) for number in range(5)])
    with pytest.raises(Malformed, match="another file"):
        load(undecided, source, [directly(undecided)])


@pytest.mark.parametrize("change", [{"name": "Mary"}, {"evidence_sha256": None}])
def test_a_table_of_another_form_is_refused(undecided: House, tmp_path: Path, change: dict[str, Any]) -> None:
    answer = {name: value for name, value in {**row(0), **change}.items() if value is not None}
    with pytest.raises(Malformed, match="no other"):
        load(undecided, write_csv(tmp_path / "answers.csv", [answer]), [directly(undecided)])


def test_somebody_who_is_not_on_the_roll_is_refused(undecided: House, tmp_path: Path) -> None:
    stranger = undecided.borrowers["cedar"][0].pseudonym
    with pytest.raises(Malformed, match="not on this lender's roll"):
        load(undecided, write_csv(tmp_path / "a.csv", [row(stranger)]), [directly(undecided)])
    with pytest.raises(ConsentError, match="roll"):
        load(undecided, write_csv(tmp_path / "b.csv", [row(4_000)]), over_http(undecided, 1))
    assert rules(undecided) == ["never-asked"] * 12
