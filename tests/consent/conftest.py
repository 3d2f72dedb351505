"""What many tests of the registry begin with: a market, a site, either kind of database, and a journal."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fuzzing import Site as FuzzedSite
from support.fuzzing import fuzzed
from support.identity import Site, open_site
from support.market import Market, open_market

from ops import logs
from ops.logs import keep_journal


@pytest.fixture(params=["sqlite", "postgresql"])
def any_url(request: pytest.FixtureRequest) -> str | None:
    """A fresh PostgreSQL database, or None for SQLite: what stores differently is tested on both."""
    return request.getfixturevalue("postgresql")() if request.param == "postgresql" else None


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Market]:
    with open_market(tmp_path) as opened:
        yield opened


@pytest.fixture
def any_market(any_url: str | None, tmp_path: Path) -> Iterator[Market]:
    with open_market(tmp_path, any_url) as opened:
        yield opened


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path / "site") as opened:
        yield opened


@pytest.fixture
def any_site(any_url: str | None, tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path / "site", any_url) as opened:
        yield opened


@pytest.fixture(scope="module")
def _under_fire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FuzzedSite]:
    with fuzzed(tmp_path_factory.mktemp("fuzz") / "house") as built:
        yield built


@pytest.fixture
def under_fire(_under_fire: FuzzedSite, monkeypatch: pytest.MonkeyPatch) -> FuzzedSite:
    """One site for all tests of a file: who calls has begun a session, and nobody waits long for the log."""
    monkeypatch.setattr("consent.api.log.MAX_WAIT_S", 0.02)
    for caller in ("aspen", "coordinator", "registry", "auditor"):
        _under_fire.begin(caller)
    return _under_fire


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """All that this process writes into its journal, from now on."""
    root, stream = logging.getLogger(), io.StringIO()
    kept = root.handlers[:], root.level, logs.threading.excepthook, logs.sys.excepthook
    keep_journal(stream)
    yield stream
    root.handlers[:], root.level, logs.threading.excepthook, logs.sys.excepthook = kept
    logging.captureWarnings(False)
