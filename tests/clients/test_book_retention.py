"""What a lender's own rows hold too long is deleted in them: by order of the registry, or after five years."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta

import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from support.lender_tables import as_csv, as_parquet, lender_table, name, sql_tables
from support.observed import entries
from support.world import REGISTRY, schema_of

from cli.book_retention import BOOK_ORDERS
from clients.data.book import open_source
from clients.data.retaining import BookKeeping
from clients.erasures import ORDERS
from clients.errors import SourceError
from clients.home import BOOK_FILE
from credit.features import forget
from protocol.schema import now
from tahini import main

COLUMNS = """
[columns]
bad = { column = "dpd90", values = { Y = 1, N = 0 } }
late = "times late"
late_on = "paid_up"
bad_on = "settled"
"""
LATE = {"name": "late", "kind": "integer", "category": "repayment", "adverse": True, "ended_by": "late_on", "clean": 0}
SCHEMA = schema_of(LATE, outcome_ended_by="bad_on")
TODAY = now().date()
LIMIT = 5 * 365 + 1


def days_ago(days: int) -> str:
    return (TODAY - timedelta(days=days)).isoformat()


def table_of(count: int = 60) -> pd.DataFrame:
    """Rows 0-2 were bad too long ago, 3 nobody knows when; 10-14 were late too long ago; 15 lately; 16 undated."""
    table = lender_table(count).assign(dpd90="N", **{"times late": 0})
    table["paid_up"], table["settled"] = None, None
    table.loc[:5, "dpd90"] = "Y"
    table.loc[:5, "settled"] = days_ago(30)
    table.loc[:2, "settled"] = days_ago(LIMIT + 1)
    table.loc[3, "settled"] = None
    table.loc[10:16, "times late"] = 2
    table.loc[10:14, "paid_up"] = days_ago(LIMIT + 1)
    table.loc[15, "paid_up"] = days_ago(LIMIT)
    return table


def keeping(home, *erased: str) -> BookKeeping:
    return BookKeeping(open_source(home), SCHEMA, TODAY, frozenset(erased))


def content(home) -> pd.DataFrame:
    if (home / "loans.csv").exists():
        return pd.read_csv(home / "loans.csv", dtype=str, keep_default_na=False)
    return pd.read_parquet(home / "loans.parquet").astype(object).where(lambda found: found.notna(), "").astype(str)


@pytest.mark.parametrize("kept", [as_csv, as_parquet])
@pytest.mark.parametrize("rows", [7, 1 << 16])
def test_what_is_over_goes_from_the_file_and_everything_else_stays_as_it_was(
    tmp_path, kept, rows, chunks_of, monkeypatch
):
    monkeypatch.setattr("clients.data.retaining.CHUNK_ROWS", rows)
    home = tmp_path / "home"
    kept(home, table_of(), columns=COLUMNS)
    before, book = content(home), keeping(home, name(20), name(1), "v1.nobody")
    found = book.look()
    assert (found.rows, found.erased, found.outcomes, dict(found.records)) == (60, 2, 2, {"late": 5})
    assert found.undated == 2 and found.total == 9
    book.delete()
    after = content(home)
    gone = {name(0), name(1), name(2), name(20)}
    assert set(before["customer"]) - set(after["customer"]) == gone and len(after) == 56
    expected = before[~before["customer"].isin(gone)].reset_index(drop=True)
    cleared = expected["customer"].isin([name(one) for one in range(10, 15)])
    expected.loc[cleared, ["times late", "paid_up"]] = ["0", ""]
    pd.testing.assert_frame_equal(after, expected)
    assert book.look().total == 0


def test_who_was_late_long_ago_looks_like_who_never_was(tmp_path):
    """Which is what training makes of it (``credit.features.forget``), so that nothing that is learnt changes."""
    home = tmp_path / "home"
    as_csv(home, table_of(), columns=COLUMNS)
    people = [name(one) for one in range(60)]

    def learnt():
        rows = pd.concat(open_source(home).rows(people, SCHEMA))
        return forget(rows, SCHEMA, TODAY)[["late", "bad"]].reset_index(drop=True)

    before = learnt()
    keeping(home).delete()
    pd.testing.assert_frame_equal(learnt(), before)


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_nothing_stays_that_is_over_and_nothing_goes_that_is_not(tmp_path_factory, data):
    """An oracle that looks at each row by itself."""
    home = tmp_path_factory.mktemp("any") / "home"
    count = data.draw(st.integers(2, 12))
    ages = st.one_of(st.none(), st.integers(LIMIT - 2, LIMIT + 2))
    rows = [
        (
            data.draw(st.booleans()),
            data.draw(ages),
            data.draw(st.integers(0, 2)),
            data.draw(ages),
            data.draw(st.booleans()),
        )
        for _ in range(count)
    ]
    table = lender_table(count)
    table["dpd90"] = ["Y" if bad else "N" for bad, *_ in rows]
    table["settled"] = [None if age is None else days_ago(age) for _, age, *_ in rows]
    table["times late"] = [late for _, _, late, *_ in rows]
    table["paid_up"] = [None if age is None else days_ago(age) for *_, age, _ in rows]
    (as_csv if data.draw(st.booleans()) else as_parquet)(home, table, columns=COLUMNS)
    erased = {name(at) for at, row in enumerate(rows) if row[4]}
    keeping(home, *erased).delete()
    left = content(home).set_index("customer")
    for at, (bad, ended, late, late_ended, gone) in enumerate(rows):
        over = gone or (bad and ended is not None and ended > LIMIT)
        assert (name(at) in left.index) is not over
        if not over:
            old = late > 0 and late_ended is not None and late_ended > LIMIT
            assert left.loc[name(at), "times late"] == ("0" if old else str(late))
            assert (left.loc[name(at), "paid_up"] == "") is (old or late_ended is None)


def test_a_file_is_written_as_it_was_written(tmp_path):
    """Packed, with a byte order mark, semicolons, quoted texts and the rights that it had; untouched where nothing
    goes."""
    home = tmp_path / "home"
    table = table_of().assign(note='said "no;\nnot me"')
    as_csv(home, table, columns=COLUMNS)
    text = table.to_csv(index=False, sep=";").encode("utf-8-sig")
    as_csv(home, table, 'delimiter = ";"', COLUMNS)
    (home / "loans.csv").write_bytes(gzip.compress(text))
    (home / "loans.csv").chmod(0o640)
    keeping(home).delete()
    written = gzip.decompress((home / "loans.csv").read_bytes())
    assert written.startswith(b"\xef\xbb\xbf") and written.count(b'"said ""no;\nnot me"""') == 57
    assert (home / "loans.csv").stat().st_mode & 0o777 == 0o640
    stamp = (home / "loans.csv").stat().st_mtime_ns
    keeping(home).delete()
    assert (home / "loans.csv").stat().st_mtime_ns == stamp
    assert [path.name for path in home.iterdir() if "retained" in path.name] == []


def test_what_cannot_be_read_cannot_be_shown_to_be_gone(tmp_path):
    home = tmp_path / "home"
    as_csv(home, table_of(), columns=COLUMNS)
    with (home / "loans.csv").open("a", encoding="utf-8") as file:
        file.write(f"{name(0)},Y\n")
    before = (home / "loans.csv").read_bytes()
    for act in (keeping(home).look, keeping(home).delete):
        with pytest.raises(SourceError, match=r"line 62 .* is no row .* put it right first"):
            act()
    assert (home / "loans.csv").read_bytes() == before


def test_a_database_is_counted_until_its_owner_has_deleted(tmp_path, postgresql, monkeypatch):
    with sql_tables(postgresql, monkeypatch) as put:
        put(tmp_path / "home", table_of(), columns=COLUMNS)
        book = keeping(tmp_path / "home", name(20))
        assert book.look().total == 9
        with pytest.raises(SourceError, match="rows are in a database, which nothing here writes to"):
            book.delete()
        ((engine, _),) = put.made
        with engine.begin() as connection:
            connection.exec_driver_sql(f"DELETE FROM risk.loans WHERE customer IN ('{name(20)}')")
        assert book.look().erased == 0 and book.look().total == 8


# --- the command


def tahini(*arguments: object, code: int = 0):
    done = CliRunner().invoke(main, [str(one) for one in (*arguments, "--json")])
    assert done.exit_code == code, done.output
    return json.loads(done.output) if done.output.startswith("{") else done.output


@pytest.fixture
def registry_file(tmp_path):
    """The features of the test house."""
    lines = [
        f"{key} = {json.dumps(value)}" for key, value in REGISTRY.items() if key not in ("features", "outcomes_since")
    ]
    lines += [f"outcomes_since = {REGISTRY['outcomes_since']}"]
    for one in REGISTRY["features"]:
        lines += ["[[features]]", *(f"{key} = {json.dumps(value)}" for key, value in one.items())]
    path = tmp_path / "registry.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def names_in(node) -> set[str]:
    return set(pq.read_table(node.home / BOOK_FILE)["pseudonym"].to_pylist())


def test_an_order_reaches_the_loan_book_before_it_is_acknowledged(house, registry_file):
    house.activate()
    person, other, *_ = house.consenting("aspen")
    node = house.node("aspen")
    dry = tahini("book", "retain", "--home", node.home, "--features", registry_file, "--dry-run")
    assert dry["left"] == 0 and dry["rows"] == len(names_in(node))
    house.borrower_client(person).forget_me()
    house.open_gate(0)
    assert [one.event_type for one in house.client("aspen").revocations()] == ["erase"], "the book is waited for"
    before = names_in(node)
    assert (
        tahini("book", "retain", "--home", node.home, "--features", registry_file, "--dry-run", code=1)["erased"] == 1
    )
    assert names_in(node) == before
    done = tahini("book", "retain", "--home", node.home, "--features", registry_file, "--as", "e-17")
    assert (done["erased"], done["orders"], done["left"], done["acknowledged"]) == (1, 1, 0, True)
    assert before - names_in(node) == {person.pseudonym} and other.pseudonym in names_in(node)
    assert house.client("aspen").revocations() == []
    assert person.pseudonym.encode() not in b"".join(
        path.read_bytes() for path in node.home.rglob("*") if path.is_file()
    )
    leaf = next(one for one in entries(house.registry) if one.get("type") == "use.deleted")
    assert leaf["actor"] == "aspen" and person.pseudonym not in json.dumps(leaf)
    again = tahini("book", "retain", "--home", node.home, "--features", registry_file)
    assert "entry_index" not in again


def test_nothing_goes_from_the_book_that_the_log_was_not_told_of(house, registry_file, monkeypatch):
    house.activate()
    person = house.consenting("aspen")[0]
    node = house.node("aspen")
    tahini("book", "retain", "--home", node.home, "--features", registry_file)
    house.borrower_client(person).forget_me()

    def fails(*_: object, **__: object) -> int:
        raise SourceError("the log is full")

    monkeypatch.setattr("cli.book_retention.tell", fails)
    tahini("book", "retain", "--home", node.home, "--features", registry_file, code=1)
    assert person.pseudonym in names_in(node)
    assert house.client("aspen").revocations() != []


def test_what_a_contract_has_kept_stays_with_its_reason(house, registry_file):
    house.activate()
    person = house.consenting("aspen")[0]
    node = house.node("aspen")
    tahini("book", "retain", "--home", node.home, "--features", registry_file)
    house.borrower_client(person).forget_me()
    assert "which law or contract" in tahini(
        "book", "retain", "--home", node.home, "--features", registry_file, "--keep", "we", code=1
    )
    reason = "PIPL 47(2): the loan runs until 2028"
    done = tahini("book", "retain", "--home", node.home, "--features", registry_file, "--keep", reason)
    assert done["kept_because"] == reason and done["acknowledged"] and done["left"] == 0
    assert person.pseudonym in names_in(node)
    assert not [path for path in (node.home / ORDERS / BOOK_ORDERS).iterdir() if path.stat().st_size]
