"""A consortium's naming service on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.namers import Site
from support.wire import serve

from ops.processes import free_port


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    with serve(made.app, free_port()) as made.url:
        yield made
