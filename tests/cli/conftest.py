"""A log that is served for every command about logs."""

from __future__ import annotations

import pytest
from support.commands import served_book


@pytest.fixture(scope="session")
def book(tmp_path_factory):
    with served_book(tmp_path_factory.mktemp("cli") / "mylog") as made:
        yield made
