"""CSV row by row: RFC 4180, and a row that is none costs itself and nobody else."""

from __future__ import annotations

import csv
import gzip
import io

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clients.data.columns import NoRow, OddQuotes
from clients.data.files import FileReader
from clients.data.lines import Lines, QuotedRecord
from clients.errors import SourceError

text = st.text(st.sampled_from('ab,;"\n \t中'), max_size=6)


def read(path, columns=("a", "b"), rows=3, **how) -> tuple[list[tuple[str, ...]], list[NoRow]]:
    told: list[NoRow | OddQuotes] = []
    lines = Lines(path, how.get("delimiter", ","), how.get("encoding", "utf-8"), how.get("quoting", "rfc4180"))
    found = [tuple(row) for part in lines.batches(columns, told.append, rows) for row in part.itertuples(index=False)]
    return found, [one for one in told if isinstance(one, NoRow)]


@given(st.lists(st.tuples(text, text), max_size=8))
def test_what_a_careful_program_wrote_is_read_as_it_was(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    assert read(path) == (rows, [])


@given(st.lists(st.tuples(text, text), max_size=6))
@example([("a", "a,b"), ("b", "")])
def test_fields_are_those_of_the_standard_library_where_it_is_strict(rows):
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(rows)
    for line in written.getvalue().splitlines():
        found = fields_of_or_none(line)
        if line and found is not None:
            assert [found] == list(csv.reader([line], strict=True))


def fields_of_or_none(line: str) -> list[str] | None:
    record = QuotedRecord(",")
    try:
        return record.fields if record.ends_with(line) else None
    except ValueError:
        return None


BAD = {
    "one field too many": b"1,2,3",
    "one field too few": b"1",
    "an open quotation mark": b'"1,2',
    "an open quotation mark at the end": b'1,"2',
    "a quotation mark within": b'1,2"3',
    "something after a quotation mark": b'"1"x,2',
    "not UTF-8": b"1,\xc4\xe3",
    "a zero byte too many fields": b"\x00,,,",
    "nothing but delimiters": b",,,,,,",
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("place", [1, 2, 4])
def test_a_row_that_is_none_is_left_out_and_every_other_one_stays(tmp_path, bad, place):
    good = [b"a,b", b"x,1", b'"y",2', b'"z\nz",3', b"w,4"]
    (tmp_path / "good.csv").write_bytes(b"\n".join(good) + b"\n")
    (tmp_path / "bad.csv").write_bytes(b"\n".join([*good[:place], bad, *good[place:]]) + b"\n")
    whole, none = read(tmp_path / "good.csv")
    assert len(whole) == 4 and not none
    found, told = read(tmp_path / "bad.csv")
    assert (found, [one.file for one in told]) == (whole, [str(tmp_path / "bad.csv")])
    assert told[0].line == b"\n".join(good[:place]).count(b"\n") + 2


def test_an_open_quotation_mark_before_many_lines_costs_one_row(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + 'x,"1\n' + "y,2\n" * 300, encoding="utf-8")
    found, told = read(path, rows=50)
    assert found == [("y", "2")] * 300
    assert [(one.line, one.why) for one in told] == [(2, "a quotation mark is not closed")]


@pytest.mark.parametrize("text", ['a,b\n1,"' + '""\n' * 2000 + '"\n', 'a,b\n"x,1\n' + 'p,""\n' * 2000])
def test_what_one_person_typed_is_looked_at_once_however_many_quotation_marks_it_has(tmp_path, monkeypatch, text):
    """However long it is, the node's time grows as the file does: else one note could stop a campaign."""
    looked = []
    ends_with = QuotedRecord.ends_with
    monkeypatch.setattr(QuotedRecord, "ends_with", lambda self, line: looked.append(len(line)) or ends_with(self, line))
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    found, told = read(tmp_path / "t.csv")
    assert sum(looked) <= 2 * len(text)
    assert (len(found), len(told)) in {(1, 0), (2000, 1)}


def test_encodings_delimiters_packing_and_marks_are_declared_or_plain(tmp_path):
    (tmp_path / "gbk.csv").write_bytes("a;b\n甲;乙\n".encode("gb18030"))
    assert read(tmp_path / "gbk.csv", delimiter=";", encoding="gb18030") == ([("甲", "乙")], [])
    (tmp_path / "bom.csv").write_bytes("\ufeffa,b\r\n1,2\r\n".encode())
    assert read(tmp_path / "bom.csv")[0] == [("1", "2")]
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n"))
    assert read(tmp_path / "t.csv.gz")[0] == [("1", "2")]
    (tmp_path / "names.csv").write_bytes("姓名,b\n1,2\n".encode("gb18030"))
    (tmp_path / "utf16.csv").write_bytes("a,b\n1,2\n".encode("utf-16"))
    (tmp_path / "torn.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 9999)[:40])
    (tmp_path / "twice.csv").write_bytes(b"a,a\n1,2\n")
    (tmp_path / "none.csv").write_bytes(b"")
    for name, said in (
        ("names.csv", "line 1 .* is not UTF-8.*gb18030"), ("utf16.csv", "UTF-16"), ("torn.csv.gz", "cannot read"),
        ("twice.csv", "two columns are named 'a'"), ("none.csv", "is empty"), ("away.csv", "cannot read"),
    ):  # fmt: skip
        with pytest.raises(SourceError, match=said):
            read(tmp_path / name)


def test_files_belong_together_by_the_names_of_their_columns_and_paths_may_hold_brackets(tmp_path):
    folder = tmp_path / "home [1]" / "loans [2026]"
    folder.mkdir(parents=True)
    (folder / "1.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    (folder / "2.csv").write_text("b,c,a\n4,9,3\n", encoding="utf-8")
    for home, pattern in ((folder.parent, "loans [2026]/*.csv"), (folder.parent, f"{folder}/[12].csv")):
        reader = FileReader(home, pattern, "csv")
        assert set(reader.columns()) == {"a", "b"}
        assert pd.concat(reader.batches(["a", "b"])).to_numpy().tolist() == [["1", "2"], ["3", "4"]]
    assert FileReader(folder, "1.csv", "csv").files() == [folder / "1.csv"]


@pytest.mark.parametrize("typed", ["x\ny,999", "x\n" * 150 + "y,999\n", "x\ny,999\xff", 'x\n"y",999'])
@pytest.mark.parametrize("rest", ["", ",extra"])
def test_what_somebody_typed_is_never_read_as_somebody_elses_row(tmp_path, typed, rest):
    """A field with line breaks, as a careful program writes it: a row, or none, with all of its lines."""
    quoted = typed.replace('"', '""')
    text = f'a,b\ny,1\nz,"{quoted}"{rest}\nw,2\n'
    (tmp_path / "t.csv").write_bytes(text.encode("latin-1"))
    found, told = read(tmp_path / "t.csv")
    assert [row for row in found if row[0] != "z"] == [("y", "1"), ("w", "2")]
    assert len(told) == (rest != "" or "\xff" in typed)


@given(st.lists(st.tuples(*[st.text(st.sampled_from('ab" \t中'), max_size=6)] * 2), max_size=8))
def test_where_nothing_is_quoted_each_line_is_a_record(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_text("a,b\n" + "".join(f"{a},{b}\n" for a, b in rows), encoding="utf-8", newline="")
    assert read(path, quoting="none") == (rows, [])


def test_records_that_quotation_marks_make_odd_are_told_with_their_lines(tmp_path):
    (tmp_path / "t.csv").write_text('a,b\n"x",1\n"y\nz",2\nw"w,3\nv,4\nu,"5\n', encoding="utf-8")
    told: list[NoRow | OddQuotes] = []
    list(Lines(tmp_path / "t.csv", ",", "utf-8").batches(["a"], told.append, 9))
    assert [one.line for one in told if isinstance(one, OddQuotes)] == [3, 5, 7]
    assert [one.line for one in told if isinstance(one, NoRow)] == [5, 7]
    told.clear()
    list(Lines(tmp_path / "t.csv", ",", "utf-8", "none").batches(["a"], told.append, 9))
    assert [(type(one), one.line) for one in told] == [(NoRow, 3)], "each line by itself"
