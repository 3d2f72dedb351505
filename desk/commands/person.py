"""Everything that a desk keeps of one person, for whom they ask: PIPL 45, GDPR 15.

What was known and from whom, score with the points that it is the sum of, which rules were looked
at and whether they held (the logic that was actually applied, CJEU C-203/22), reasons, letters,
reviews, what a policy that was tried beside the one in use said, what they were offered, accepted,
were lent and paid, which portraits they are in and why. Reviewers and staff are not named: they are
other people.
"""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import Connection, Row, Table, select

from crypto.errors import SealError
from desk.accounts import events_of
from desk.challenging import SILENT
from desk.commands.letters import LETTER
from desk.commands.portray import WHY as PORTRAIT
from desk.office import MACHINE, Desk
from desk.records import REST
from desk.reviewing import STEP, steps
from desk.sealing import ApplicationKey
from desk.storage import tables
from lending.account.records import record_of
from protocol.errors import NotFound

KEPT = ("acceptances", "lapses", "verifications")
NOT_THEIRS = {"sealed", "wrapped_key", "by", "asked_by"}
"""Sealed contents are opened; who of the staff did something is about somebody else."""


def person_file(desk: Desk, pseudonym: str) -> dict[str, Any]:
    """By application, the oldest first; a forgotten one says so.

    Raises:
        NotFound: the desk keeps nothing of this person.
    """
    of_them = tables.applications.c.pseudonym == pseudonym
    with desk.reading() as hand:
        query = select(tables.applications).where(of_them).order_by(tables.applications.c.number)
        rows = hand.connection.execute(query).all()
        if not rows:
            raise NotFound("the desk keeps nothing of this person")
        found = [_application(desk, hand.connection, row) for row in rows]
        portraits = _portraits(desk, hand.connection, pseudonym)
    return {"pseudonym": pseudonym, "applications": found, "portraits": portraits}


def _portraits(desk: Desk, connection: Connection, pseudonym: str) -> dict[str, Any]:
    """Which ones they are in and why, by what was stored; and which they objected to."""
    table, objections = tables.memberships, tables.portrait_objections
    placed = connection.execute(select(table).where(table.c.pseudonym == pseudonym)).all()
    no = connection.execute(select(objections).where(objections.c.pseudonym == pseudonym)).all()
    return {
        "placed": [
            _plain(one) | desk.at_rest.of(one.id, one.wrapped_key).open(PORTRAIT, one.sealed)
            for one in placed
        ],
        "objections": [_plain(one) for one in no],
    }


def _application(desk: Desk, connection: Connection, row: Row[Any]) -> dict[str, Any]:
    said = _plain(row)
    try:
        key = desk.at_rest.of(row.id, row.wrapped_key)
    except SealError:
        return said | {"forgotten": True, "loans": _loans(connection, row.id)}
    made = _of(connection, tables.decisions, row.id)
    queue = _of(connection, tables.reviews, row.id)
    return {
        **said,
        "decisions": [_decision(connection, one, key) for one in made],
        "reviews": [
            _plain(one)
            | {
                "steps": [
                    _plain(step) | key.open(STEP, step.sealed) for step in steps(connection, one.id)
                ]
            }
            for one in queue
        ],
        **{
            name: [_plain(one) for one in _of(connection, tables.METADATA.tables[name], row.id)]
            for name in KEPT
        },
        "loans": _loans(connection, row.id),
    }


def _decision(connection: Connection, row: Row[Any], key: ApplicationKey) -> dict[str, Any]:
    query = select(tables.letters.c.sealed).where(tables.letters.c.decision == row.id)
    written = connection.scalar(query)
    offered = connection.execute(
        select(tables.offers).where(tables.offers.c.decision == row.id)
    ).one_or_none()
    disclosed = connection.execute(
        select(tables.disclosures).where(tables.disclosures.c.decision == row.id)
    ).one_or_none()
    silent = connection.execute(
        select(tables.silent_decisions).where(tables.silent_decisions.c.decision == row.id)
    ).one_or_none()
    return {
        **_plain(row),
        "decided_by": "machine" if row.by == MACHINE else "person",
        "rested_on": key.open(REST, row.sealed),
        "offer": None if offered is None else _plain(offered),
        "disclosure": None if disclosed is None else _plain(disclosed),
        "tried_beside": None
        if silent is None
        else _tried(silent) | key.open(SILENT, silent.sealed),
        "letter": None if written is None else key.open(LETTER, written),
    }


def _tried(row: Row[Any]) -> dict[str, Any]:
    """``challenger`` is the hash of a policy, or of a model with what its reasons compare with."""
    told = _plain(row)
    return {"challenger": told.pop("policy_hash"), **told}


def _loans(connection: Connection, application: str) -> list[dict[str, Any]]:
    return [
        _plain(loan)
        | {
            "contract": orjson.loads(loan.contract),
            "settled_on": _settled_on(connection, loan.id),
            "events": [record_of(event) for event in events_of(connection, loan.id)],
        }
        for loan in _of(connection, tables.loans, application)
    ]


def _settled_on(connection: Connection, loan: str) -> str | None:
    query = select(tables.settled_loans.c.settled_on).where(tables.settled_loans.c.loan == loan)
    found = connection.scalar(query)
    return None if found is None else str(found)


def _of(connection: Connection, table: Table, application: str) -> list[Row[Any]]:
    return list(connection.execute(select(table).where(table.c.application == application)).all())


def _plain(row: Row[Any]) -> dict[str, Any]:
    """The columns of a row that are about its person, times and days as text."""
    return {
        name: value.isoformat() if hasattr(value, "isoformat") else value
        for name, value in row._mapping.items()
        if name not in NOT_THEIRS and not name.startswith("taken_")
    }
