"""What tests of a lender's side share: a witness at an address of its own, and rows from every kind of source."""

from __future__ import annotations

import pytest
from support.lender_tables import chunks_with, sql_tables
from support.witnesses import new_street, new_witness

from clients.witness import LenderWitness, witness_app


@pytest.fixture(scope="session")
def street():
    with new_street() as move_in:
        yield move_in


@pytest.fixture
def witness(tmp_path) -> LenderWitness:
    return new_witness(tmp_path / "home")


@pytest.fixture
def url(street, witness) -> str:
    return street(witness_app({"one": witness}))


@pytest.fixture
def as_sql(postgresql, monkeypatch):
    with sql_tables(postgresql, monkeypatch) as put:
        yield put


@pytest.fixture
def chunks_of(monkeypatch):
    return chunks_with(monkeypatch)
