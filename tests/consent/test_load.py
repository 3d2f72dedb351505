"""Loading what was collected elsewhere: in order for each person, once, and further where it stopped."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from support.house import Ground, House, build

from consent.commands.check_consents import decide
from consent.load import Answered, Directly, Loader, OverHttp, Progress
from protocol.errors import ConsentError, Malformed, RegistryUnavailable
from protocol.schema import now
from protocol.snapshots import REASONS
from protocol.terms import TRAINING_PURPOSE


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    with build(tmp_path_factory.mktemp("enrolled") / "house", people=12) as built:
        return Ground(built.founded, built.notice, built.borrowers, built.domain)


@pytest.fixture
def undecided(enrolled: Ground, tmp_path: Path) -> Iterator[House]:
    with enrolled.copy(tmp_path / "house").opened() as house:
        yield house


def row(who: int | str, action: str = "give", ago: int = 3) -> dict[str, Any]:
    moment = (now() - timedelta(seconds=ago)).isoformat()
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
    return [REASONS[rule] for rule in decide(house.registry, lender, TRAINING_PURPOSE, "ordinary").rules]


def entries(house: House) -> int:
    with house.registry.ledger.read() as session:
        return house.registry.ledger.log.size(session)


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
    times = pa.array([now()] * 4, pa.timestamp("us", "UTC"))
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
    with pytest.raises(ConsentError, match=r"rows 6 to 10 cannot be handed in: gone; rows 1 to 5 are recorded"):
        load(undecided, source, [Unlucky(directly(undecided), 2, recorded)])
    assert load(undecided, source, [directly(undecided)]) == 7
    assert rules(undecided) == ["given"] * 12
    assert entries(undecided) == before + 3


def test_progress_on_another_file_or_with_other_connections_is_refused(undecided: House, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "answers.csv", [row(number) for number in range(4)])
    load(undecided, source, [directly(undecided)])
    with pytest.raises(Malformed, match="number of connections"):
        load(undecided, source, over_http(undecided, 2))
    for others in ([row(number) for number in range(1, 5)], [row(number) for number in range(3)]):
        write_csv(source, others)
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


# --- files as people have them

HEAD = "number,sensitivity,action,event_time,evidence_sha256"
ZERO = "0" * 64


def line(number: Any, action: str = "give", when: str = "NOWZ", kind: str = "ordinary") -> str:
    return f"{number},{kind},{action},{when},{ZERO}"


@cache
def moment_of(folder: Path) -> str:
    """When people answered, the same in every file of a test: no yes is older than its notice."""
    return f"{now():%Y-%m-%dT%H:%M:%S}"


def written(path: Path, *lines: str, encoding: str = "utf-8", end: str = "\n") -> Path:
    text = end.join([*lines, ""]).replace("NOW", moment_of(path.parent))
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("lines", "encoding", "end", "loaded"),
    [
        ((HEAD, line(0), "", "", line(1)), "utf-8", "\n", 2),
        ((HEAD, line(0), line(1)), "utf-8-sig", "\r\n", 2),
        ((HEAD.replace(",", ", "), line(0).replace(",", ", ")), "utf-8", "\n", 1),
        ((HEAD, line(0), ",,,,"), "utf-8", "\n", 1),
        ((HEAD, line(0, when="NOW.123456789+00:00")), "utf-8", "\n", 1),
        ((HEAD, line(0), line(0, "withdraw", "NOW.5Z")), "utf-8", "\n", 2),
        ((HEAD,), "utf-8", "\n", 0),
    ],
    ids=["blank lines", "bom and crlf", "spaces", "empty cells", "nanoseconds", "give and withdraw", "no rows"],
)
def test_what_can_only_be_meant_in_one_way_is_loaded(undecided, tmp_path, lines, encoding, end, loaded):
    source = written(tmp_path / "answers.csv", *lines, encoding=encoding, end=end)
    assert load(undecided, source, [directly(undecided)]) == loaded


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (
            (HEAD, *(line(n) for n in range(6)), line(6, "agree"), line(7)),
            r"row 7 \(line 8\): action must be one of 'give'",
        ),
        ((HEAD, "", line(0), "", line(1, "agree")), r"row 2 \(line 5\): action must be one of"),
        ((HEAD, line(0, when="2025-11-20")), r"row 1 \(line 2\): event_time must be a time with its zone"),
        ((HEAD, line(0, when="2025-11-20 10:00:00")), r"row 1 \(line 2\): event_time must be a time with its zone"),
        ((HEAD, line(0, when="2025/11/20 10:00")), r"row 1 \(line 2\): event_time must be a time in RFC 3339"),
        ((HEAD, line(0, when="1999-11-20T10:00:00Z")), r"row 1 \(line 2\): event_time: a time between the years 2000"),
        ((HEAD, line(0), line(1, when="2150-11-20T10:00:00Z")), r"row 2 \(line 3\): event_time is in the future"),
        ((HEAD, line("276.0")), r"row 1 \(line 2\): number must be a whole number"),
        ((HEAD, line("1e3")), r"row 1 \(line 2\): number must be a whole number"),
        ((HEAD, line(-1)), r"row 1 \(line 2\): number must be a whole number"),
        ((HEAD, line(0), line(4000)), r"row 2 \(line 3\): this number is not on the lender's roll"),
        ((HEAD, line(0, "Give", kind="Ordinary")), r"row 1 \(line 2\): sensitivity must be one of"),
        ((HEAD, line(0).replace(ZERO, "AB" * 32)), r"row 1 \(line 2\): evidence_sha256 must be a SHA-256"),
        ((HEAD, line(1), line(0), line(0)), r"row 3 \(line 4\): the borrower has decided already"),
        ((HEAD, line(0, "withdraw"), line(0)), r"row 1 \(line 2\): a consent that is none cannot be changed"),
        ((HEAD, line(0), line(1) + ",x"), r"row 2 \(line 3\): 6 fields where the first line names 5"),
        ((HEAD, line(0), "1,ordinary"), r"row 2 \(line 3\): 2 fields where the first line names 5"),
        ((HEAD, '0,"ordinary,give'), r"line 2: this is not CSV"),
        ((HEAD + ",note", line(0) + ",x"), r"line 1: the column 'note' is not known"),
        ((HEAD + ",number", line(0) + ",1"), r"line 1: the column 'number' stands twice"),
        ((HEAD.replace(",", ";"), line(0).replace(",", ";")), r"line 1: columns are separated by ';' here"),
        ((line(0), line(1)), r"line 1: the column '0' is not known"),
        ((), r"answers.csv is empty"),
        ((HEAD.replace("number", "pseudonym"), line("v1." + "A" * 43)), r"row 1 \(line 2\): this pseudonym is not on"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_row_and_nothing_of_its_batch_is_recorded(undecided, tmp_path, lines, says):
    source = written(tmp_path / "answers.csv", *lines) if lines else tmp_path / "answers.csv"
    source.touch()
    with pytest.raises(ConsentError, match=says) as refused:
        load(undecided, source, over_http(undecided, 1), batch=20)
    assert str(source) in str(refused.value)
    assert "nothing is recorded twice" in str(refused.value)
    assert rules(undecided) == ["never-asked"] * 12


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (f"{HEAD},备注\n".encode("gbk"), "line 1: this is not UTF-8"),
        (f"{HEAD}\n{line(0)}\n".encode("utf-16"), "line 1: this is not UTF-8"),
        (
            f"{HEAD}\n{line(0, when='2025-11-20T10:00:00Z')}\n".encode() + line(1, "给").encode("gbk"),
            "line 3: this is not UTF-8",
        ),
    ],
    ids=["gbk", "utf-16", "further down"],
)
def test_another_encoding_is_named_with_its_line(undecided, tmp_path, content, says):
    source = tmp_path / "answers.csv"
    source.write_bytes(content)
    with pytest.raises(Malformed, match=says):
        load(undecided, source, [directly(undecided)])


@pytest.mark.parametrize("ways", [1, 2])
def test_a_row_that_was_refused_is_mended_and_the_load_goes_on(undecided, tmp_path, ways):
    """Also one that only the registry can refuse."""
    good = [line(number) for number in range(12)]
    source = tmp_path / "answers.csv"
    for wrong in ("withdraw", "agree"):
        written(source, HEAD, *good[:11], line(11, wrong))
        with pytest.raises(ConsentError, match=r"row 12 \(line 13\): .*; rows 1 to 10 are recorded"):
            load(undecided, source, over_http(undecided, ways), batch=10 // ways)
    written(source, HEAD, *good)
    assert load(undecided, source, over_http(undecided, ways), batch=10 // ways) == 2
    assert "never-asked" not in rules(undecided)


def test_a_parquet_row_that_does_not_fit_is_named(undecided, tmp_path):
    pyarrow.parquet.write_table(pa.Table.from_pylist([row(0), row(1, "agree")]), tmp_path / "a.parquet")
    with pytest.raises(Malformed, match="row 2: action must be one of"):
        load(undecided, tmp_path / "a.parquet", [directly(undecided)])
    (tmp_path / "b.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(Malformed, match="cannot be read as a table"):
        load(undecided, tmp_path / "b.parquet", [directly(undecided)])


def test_who_decided_for_a_minor_is_told_in_columns_of_its_own(undecided: House, tmp_path: Path) -> None:
    guarded = {"age_band": "under-14", "guardian_entity_id": "g-1", "authority_evidence_hash": "a" * 64}
    nobody = dict.fromkeys(guarded, "")
    source = write_csv(tmp_path / "answers.csv", [row(0) | guarded, row(1) | nobody])
    assert load(undecided, source, [directly(undecided)]) == 2
    assert rules(undecided)[:2] == ["child", "given"]
    alone = write_csv(tmp_path / "alone.csv", [row(2) | nobody | {"age_band": "14-17"}])
    with pytest.raises(Malformed, match=r"row 1 \(line 2\).*guardian_entity_id is missing"):
        load(undecided, alone, [directly(undecided)])
