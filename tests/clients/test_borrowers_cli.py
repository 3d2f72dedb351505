"""``tahini borrowers enrol``: a file of names becomes the lender's roll, once, whatever is done twice."""

from __future__ import annotations

import pytest
from support.commands import done, refused, tahini, told
from support.world import pseudonym


def names(path, rows, header="pairwise,ledger"):
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n", encoding="utf-8")
    return path


def test_people_are_enrolled_once_however_often_the_command_is_run(house, tmp_path):
    people = [(pseudonym(), pseudonym()) for _ in range(5)]
    file, home = names(tmp_path / "names.csv", [*people, people[0]]), house.founded.node_home("aspen")
    first = told("borrowers", "enrol", file, "--home", home)
    assert first == {"enrolled": 5, "enrolled_before": 0, "repeated_rows": 1}
    assert set(house.client("aspen").whole_roll()) >= {pairwise for pairwise, _ in people}
    again = told("borrowers", "enrol", file, "--home", home)
    assert again == {"enrolled": 0, "enrolled_before": 5, "repeated_rows": 1}
    assert "0 people enrolled, 5 were before" in done("borrowers", "enrol", file, "--home", home)


def test_what_tahini_book_name_makes_is_what_it_takes(house, tmp_path):
    people, out = tmp_path / "people.csv", tmp_path / "names.csv"
    people.write_text("id\nnobody-1\nnobody-2\n", encoding="utf-8")
    home = house.founded.node_home("birch")
    named = ("--people", people, "--column", "id", "--out", out, "--workers", 1)
    assert tahini("book", "name", "--home", home, *named).exit_code == 0
    assert told("borrowers", "enrol", out, "--home", home)["enrolled"] == 2


@pytest.mark.parametrize(
    ("rows", "header", "said"),
    [
        ([("a", "b")], "name,ledger", "no column 'pairwise'"),
        ([(pseudonym(), pseudonym()), ("310101199001011234", pseudonym())], "pairwise,ledger", "line 3: the column"),
        ([(pseudonym(),)], "pairwise,ledger", "line 2: the column 'ledger'"),
        ([], "pairwise,ledger", "names nobody"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_its_line_and_without_what_stands_there(
    house, tmp_path, rows, header, said
):
    file = names(tmp_path / "names.csv", rows, header)
    before = house.client("aspen").whole_roll()
    answer = refused("borrowers", "enrol", file, "--home", house.founded.node_home("aspen"))
    assert said in answer and "310101199001011234" not in answer
    assert house.client("aspen").whole_roll() == before


def test_one_person_under_two_names_is_refused(house, tmp_path):
    twice = pseudonym()
    file = names(tmp_path / "names.csv", [(pseudonym(), twice), (pseudonym(), twice)])
    answer = refused("borrowers", "enrol", file, "--home", house.founded.node_home("aspen"))
    assert "line 3" in answer and "another name" in answer
