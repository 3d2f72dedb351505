"""How a table becomes lenders' books, and what is said of books that one lender cannot learn from."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tomli_w
from support.world import schema_of

from credit.errors import FeatureError
from crypto.errors import TahiniError
from demo.errors import DemoError
from demo.loans import CsvForm, Loans, read_loans, split

ROWS = 1500


def loans(bad: np.ndarray) -> Loans:
    table = pd.DataFrame(
        {"bad": bad.astype(int), "late": np.arange(ROWS) % 7, "branch": np.repeat(["n", "e", "s"], 500)}
    )
    registry = schema_of({"name": "late", "kind": "integer", "category": "repayment"})
    return Loans(table, registry, "branch", "tests", {})


def test_a_branch_whose_borrowers_all_turned_out_good_is_named():
    """Second accounts of other branches bring it a few bad ones: that it has none of its own is said all the same."""
    bad = (np.arange(ROWS) % 3 == 0) & (np.repeat([1, 0, 1], 500) == 1)
    (remark,) = split(loans(bad), 3, 1).remarks
    assert "(branch 'e') has no bad borrower among its own" in remark


def test_nothing_is_said_where_every_branch_has_both():
    assert split(loans(np.arange(ROWS) % 3 == 0), 3, 1).remarks == ()


def test_a_lender_that_would_have_none_at_all_is_refused_by_branch():
    bad = np.zeros(ROWS, dtype=bool)
    bad[:8] = True
    with pytest.raises(DemoError, match=r"\(branch '[es]'\) would have none"):
        split(loans(bad), 3, 1)


BRANCHES = ["None", "Car", "01", "002", "NA"]


def written(path: Path, rows: list[str], encoding: str = "utf-8", delimiter: str = ",") -> Path:
    header = "late;branch;number;bad".replace(";", delimiter)
    path.write_bytes("\n".join([header, *rows, ""]).encode(encoding))
    return path


def late(n: int) -> int:
    return 1000 + n * 37 % 911


def lines_of(count: int, delimiter: str = ",", branches: list[str] = BRANCHES) -> list[str]:
    """Numbers, branches whose names look like something else, 17 digits, outcomes."""
    return [
        delimiter.join([str(late(n)), branches[n % len(branches)], str(10**16 + n % 3), str(int(n % 4 == 0))])
        for n in range(count)
    ]


def test_a_table_is_read_as_a_node_reads_it(tmp_path: Path):
    """No value is a number, missing or a code because of the others."""
    found = read_loans(written(tmp_path / "t.csv", lines_of(400)), "bad", None, None)
    (branch,) = [one for one in found.schema.features if one.name == "branch"]
    assert branch.kind == "category" and set(branch.values) == set(BRANCHES)
    assert found.table["late"].tolist() == [late(n) for n in range(400)]
    assert set(found.table["bad"]) == {0.0, 1.0}
    torn = read_loans(written(tmp_path / "torn.csv", [*lines_of(400), "1,2", ",Car,,0"]), "bad", None, None)
    assert torn.table["branch"].tolist()[:400] == found.table["branch"].tolist()
    assert "1 lines are no rows and left out; the first is line 402: it has 2 fields" in torn.remarks[0]


def test_encoding_and_delimiter_are_said_and_not_guessed(tmp_path: Path):
    branches = ["车贷", "现金贷"]
    path = written(tmp_path / "gbk.csv", lines_of(300, ";", branches), "gb18030", ";")
    found = read_loans(path, "bad", None, None, CsvForm(";", "gb18030"))
    assert set(found.table["branch"]) == set(branches)
    for form, said in [
        (CsvForm(";", "no-such"), "no encoding"), (CsvForm('"'), "delimiter"), (CsvForm(), "Excel.*--encoding"),
        (CsvForm(";"), "no row"),
    ]:  # fmt: skip
        with pytest.raises(TahiniError, match=said):
            read_loans(path, "bad", None, None, form)


def test_a_declared_table_that_does_not_fit_is_refused(tmp_path: Path):
    registry = tmp_path / "features.toml"
    schema = schema_of({"name": "late", "kind": "number", "category": "repayment"})
    registry.write_text(tomli_w.dumps(schema.model_dump(mode="json", exclude_none=True)), encoding="utf-8")
    fits = read_loans(written(tmp_path / "t.csv", lines_of(40)), "bad", "branch", registry)
    assert fits.table["late"].dtype == np.float64
    with pytest.raises(FeatureError, match="late"):
        read_loans(written(tmp_path / "n.csv", [*lines_of(40), "n.a.,Car,1,0"]), "bad", None, registry)
