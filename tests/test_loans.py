"""How a table becomes lenders' books, and what is said of books that one lender cannot learn from."""

import numpy as np
import pandas as pd
import pytest
from support.world import schema_of

from demo.errors import DemoError
from demo.loans import Loans, split

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
