"""Three ways into the database: reading, writing, and aside of both."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from auditlog.database import Database

COUNT, INSERT = text("SELECT count(*) FROM used_once"), text("INSERT INTO used_once VALUES (:sha, '2026-01-01')")


def count(database: Database) -> int:
    with database.read() as session:
        return session.execute(COUNT).scalar_one()


def test_each_statement_aside_is_committed_by_itself(make_database):
    database = make_database()
    with pytest.raises(ZeroDivisionError), database.aside() as connection:
        connection.execute(INSERT, {"sha": "a" * 64})
        _ = 1 / 0
    assert count(database) == 1


def test_a_transaction_that_failed_wrote_nothing(make_database):
    database = make_database()
    with pytest.raises(ZeroDivisionError), database.write() as session:
        session.execute(INSERT, {"sha": "a" * 64})
        _ = 1 / 0
    assert count(database) == 0


def test_a_reading_sees_one_moment_and_keeps_what_it_read(make_database):
    database = make_database()
    with database.read() as session:
        assert session.execute(COUNT).scalar_one() == 0
        with database.write() as other:
            other.execute(INSERT, {"sha": "b" * 64})
        assert session.execute(COUNT).scalar_one() == 0
    assert count(database) == 1
