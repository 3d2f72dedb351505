"""A registry of version 0.2.0 is brought up, down and up again with everybody in it; histories stay as they are."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from alembic.autogenerate import compare_metadata
from alembic.command import downgrade
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.exc import DatabaseError
from support.world import pseudonym

from auditlog.column_types import Base
from auditlog.database import Database
from consent.notices import Catalogue
from consent.storage import request_tables  # noqa: F401 - so that the metadata is whole
from consent.storage.consents import load_presents
from consent.storage.enrolment import read_enrolment_list
from consent.storage.migrating import MIGRATIONS, migrate
from consent.storage.tables import NoticeRow
from crypto.documents import sign_document
from crypto.keys import SigningKey
from protocol.enrolment import EnrolmentList
from protocol.states import ConsentStatus

TRAINING, MARKETING = "https://w3id.org/dpv#CreditChecking", "https://w3id.org/dpv#Marketing"
KEY = SigningKey.generate()
APPEND_ONLY = {
    "log_entries", "log_envelopes", "log_checkpoints", "log_published", "consent_events", "decisions", "commitments",
    "approvals", "rejections", "assignments", "notices", "imports", "subject_entries", "former_names", "revocations",
    "acknowledgements", "places", "models", "populations", "request_steps", "request_marks",
    "assessments", "incidents", "incident_closures", "incident_people", "audit_reports", "audit_remedies",
    "model_recalls", "recall_acknowledgements",
    "tombstones", "retention_reviews", "sample_openings", "uses", "renamings",
}  # fmt: skip


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    location = tmp_path / "old.db" if request.param == "sqlite" else request.getfixturevalue("postgresql")(empty=True)
    opened = Database(location)
    yield opened
    opened.close()


def run(database: Database, statement: str, rows: list[dict] | None = None) -> list[tuple]:
    with database.write() as session:
        done = session.execute(text(statement), rows) if rows else session.execute(text(statement))
        return [tuple(row) for row in done] if done.returns_rows else []


def put(database: Database, table: str, *rows: dict) -> None:
    names = list(rows[0])
    run(database, f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(':' + n for n in names)})", list(rows))


def back(database: Database, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["engine"] = database.engine
    downgrade(config, revision)


def notice(notice_id: str, version: int, purpose: str, recipients: list[str], day: int) -> dict:
    """As 0.2.0 signed it: without terms."""
    payload = {
        "id": notice_id, "version": version, "purpose": purpose, "recipients": recipients, "texts": {"en": "May we?"},
        "published_at": f"2026-01-{day:02}T00:00:00Z",
    }  # fmt: skip
    return {"id": notice_id, "version": version, "token": sign_document("tahini-notice", payload, KEY)}


def day(number: int) -> str:
    return f"2026-02-{number:02} 10:00:00.250000"


PEOPLE = [("aspen", pseudonym()), ("birch", pseudonym()), ("aspen", pseudonym()), ("cedar", pseudonym())]
EVENTS = [  # subject, purpose, recipient, sensitivity, event, day, decision
    (1, TRAINING, "aspen", "ordinary", "give", 1, "a" * 64),
    (1, TRAINING, "aspen", "sensitive", "refuse", 1, "a" * 64),
    (2, TRAINING, "birch", "ordinary", "give", 2, "b" * 64),
    (1, TRAINING, "aspen", "ordinary", "withdraw", 3, "c" * 64),
    (3, TRAINING, "aspen", "ordinary", "give", 4, "d" * 64),
    (1, TRAINING, "aspen", "ordinary", "give", 5, "e" * 64),
    (2, TRAINING, "birch", "ordinary", "withdraw", 6, ""),  # forgotten: no decision
    (3, MARKETING, "aspen", "ordinary", "give", 7, "f" * 64),
]
PRESENT = [  # subject, purpose, recipient, sensitivity, state, last event's day, ends on
    (1, TRAINING, "aspen", "ordinary", "given", 5, 20),
    (1, TRAINING, "aspen", "sensitive", "refused", 1, None),
    (2, TRAINING, "birch", "ordinary", "withdrawn", 6, None),
    (3, TRAINING, "aspen", "ordinary", "given", 4, None),
    (3, MARKETING, "aspen", "ordinary", "given", 7, None),
]


def populate(database: Database) -> None:
    """Rows as 0.2.0 wrote them, by statement: today's code knows other tables."""
    migrate(database, "0002")
    put(
        database,
        "notices",
        notice("joint", 1, TRAINING, ["aspen", "birch", "cedar"], 1),
        notice("joint", 2, TRAINING, ["aspen", "birch", "cedar"], 9),
        notice("zz-offers", 1, MARKETING, ["aspen"], 3),
    )
    put(
        database,
        "subjects",
        *(
            {"id": i, "lender": lender, "pseudonym": name, "ledger_pseudonym": f"ledger-{i}", "public_key": f"key-{i}"}
            for i, (lender, name) in enumerate(PEOPLE, 1)
        ),
    )
    names = ("subject_id", "purpose", "recipient", "sensitivity", "event", "event_time", "decision_sha256")
    for row in EVENTS:
        values = dict(zip(names, row, strict=True))
        put(database, "consent_events", values | {"event_time": day(values["event_time"])})
    names = ("subject_id", "purpose", "recipient", "sensitivity", "state", "event_time", "expiry_time")
    for row in PRESENT:
        values = dict(zip(names, row, strict=True))
        ends = values["expiry_time"] and day(values["expiry_time"])
        put(database, "consents", values | {"event_time": day(values["event_time"]), "expiry_time": ends})
    made = {sha: at for at, sha in enumerate(sorted({(e[6], e[0]) for e in EVENTS if e[6]}), 10)}
    put(
        database,
        "decisions",
        *({"sha256": sha, "subject_id": subject, "entry_index": at} for (sha, subject), at in made.items()),
    )
    put(database, "assignments", {"ledger_pseudonym": "ledger-1", "subject_id": 1})
    for name in ("1" * 64, "2" * 64):
        put(database, "campaigns", {"sha256": name, "token": "t", "activated_at": None})
    put(database, "approvals", {"campaign_sha256": "1" * 64, "lender": "aspen", "token": "t"})
    put(database, "key_groups", {"id": 1, "root_version": 1, "wrapped": b"w", "members": 4})
    keys = [{"subject_id": i, "group_id": 1, "key_id": f"k{i}", "wrapped": b"%d" % i} for i in (1, 3, 4)]
    put(database, "data_keys", *keys)
    put(database, "log_entries", {"idx": 0, "leaf": b"leaf", "body": b"body"})


def old_content(database: Database) -> dict[str, list[tuple]]:
    """What 0002 holds, in a form that both databases agree on."""
    questions = {
        "notices": "SELECT id, version, token FROM notices ORDER BY id, version",
        "subjects": "SELECT id, lender, pseudonym, ledger_pseudonym, public_key FROM subjects ORDER BY id",
        "consents": "SELECT subject_id, purpose, recipient, sensitivity, state, CAST(event_time AS TEXT),"
        " CAST(expiry_time AS TEXT) FROM consents ORDER BY 1, 2, 4",
        "events": "SELECT subject_id, purpose, recipient, sensitivity, event, CAST(event_time AS TEXT),"
        " decision_sha256 FROM consent_events ORDER BY purpose, recipient, id",
        "decisions": "SELECT sha256, subject_id, entry_index FROM decisions ORDER BY 1",
        "assignments": "SELECT ledger_pseudonym, subject_id FROM assignments",
        "campaigns": "SELECT sha256, token FROM campaigns ORDER BY 1",
        "keys": "SELECT subject_id, key_id FROM data_keys ORDER BY 1",
        "log": "SELECT idx FROM log_entries",
    }
    return {name: run(database, question) for name, question in questions.items()}


def check_new(database: Database) -> None:
    """Everybody is where they were, and today's code reads it."""
    with database.read() as session:
        known = Catalogue(KEY.public).load(session)
        assert [(n.id, n.version) for _, n in sorted(known.notices.items())] == [
            ("joint", 1), ("joint", 2), ("zz-offers", 1),
        ]  # fmt: skip
        assert set(known.scopes) == {
            (TRAINING, "aspen"), (TRAINING, "birch"), (TRAINING, "cedar"), (MARKETING, "aspen"),
        }, "a notice that nobody has answered can still be answered"  # fmt: skip
        presents = load_presents(session, [1, 2, 3, 4], list(known.scopes.values()))
        assert len(presents) == len(PRESENT)
        for subject, purpose, recipient, sensitivity, state, event_day, ends in PRESENT:
            found = presents[known.scope(purpose, recipient), subject, sensitivity]
            about = [e for e in EVENTS if e[:4] == (subject, purpose, recipient, sensitivity)]
            assert (found.state, found.version) == (ConsentStatus(state), len(about))
            assert found.event_time == datetime(2026, 2, event_day, 10, 0, 0, 250_000, UTC)
            assert found.expiry_time == (ends and datetime(2026, 2, ends, 10, 0, 0, 250_000, UTC))
            answered = known.notices[found.notice]
            assert (answered.purpose, answered.version) == (purpose, 2 if purpose == TRAINING else 1)
        for lender in ("aspen", "birch", "cedar"):
            names = [name for where, name in PEOPLE if where == lender]
            assert read_enrolment_list(session, lender) == EnrolmentList().extended(names)
    for lender in ("aspen", "birch", "cedar"):
        rows = run(database, f"SELECT number, pseudonym FROM subjects WHERE lender = '{lender}' ORDER BY number")
        assert rows == list(enumerate(name for where, name in PEOPLE if where == lender))
    for scope, about in {known.scope(p, r): (p, r) for p, r in known.scopes}.items():
        mine = [e for e in EVENTS if e[1:3] == about]
        rows = run(
            database,
            "SELECT sequence, subject_id, decision_sha256 FROM consent_events"
            f" WHERE scope_id = {scope} ORDER BY sequence",
        )
        assert rows == [(at, e[0], e[6] or None) for at, e in enumerate(mine, 1)]
        assert run(database, f"SELECT events FROM scopes WHERE id = {scope}") == [(len(mine),)]
    decisions = run(database, "SELECT subject_id, entry_index FROM decisions ORDER BY 1, 2")
    assert run(database, "SELECT subject_id, entry_index FROM subject_entries ORDER BY 1, 2") == decisions
    assert run(database, "SELECT ledger_pseudonym, subject_id FROM assignments") == [("ledger-1", 1)]
    assert run(database, "SELECT number FROM campaigns ORDER BY 1") == [(1,), (2,)]


def test_a_populated_registry_goes_up_down_and_up_again(database):
    populate(database)
    before = old_content(database)
    migrate(database)
    check_new(database)
    back(database, "0002")
    assert old_content(database) == before
    with pytest.raises(DatabaseError, match="append-only"):
        run(database, "DELETE FROM consent_events")
    migrate(database)
    check_new(database)


def test_a_scope_that_is_opened_after_the_upgrade_gets_a_number_of_its_own(database):
    populate(database)
    migrate(database)
    put(database, "scopes", {"purpose": "https://w3id.org/dpv#New", "recipient": "aspen", "events": 0})
    put(database, "notices", {"id": "new", "version": 1, "token": "t"})
    assert run(database, "SELECT count(*), count(DISTINCT id) FROM scopes") == [(5, 5)]


def test_an_empty_registry_goes_down_to_nothing_and_up(database):
    migrate(database)
    back(database, "base")
    assert set(inspect(database.engine).get_table_names()) <= {"alembic_version"}
    migrate(database)
    assert {t.name for t in Base.metadata.sorted_tables} <= set(inspect(database.engine).get_table_names())


def test_the_migrations_arrive_at_the_tables_that_the_code_knows(database):
    migrate(database)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, Base.metadata)
    kinds = [d[0] if isinstance(d, tuple) else d[0][0] for d in differences]
    assert [d for d, kind in zip(differences, kinds, strict=True) if kind != "modify_type"] == []


OF_0002 = {
    "commitments": {"entry_index": 1, "campaign_sha256": "1" * 64, "lender": "a", "release": 0, "attempt": 1},
    "log_envelopes": {"sha256": "s", "header": b"h"},
    "log_checkpoints": {"size": 1, "note": "n"},
    "log_published": {"size": 1, "note": "n"},
}
LATER = {
    "imports": {
        "id": 1, "lender": "aspen", "entry_index": 1, "salt": b"s", "leaves": b"l", "evidence": b"e", "about": "{}",
    },
    "revocations": {
        "recipient": "aspen", "number": 1, "scope_id": 1, "subject_id": 1, "sensitivity": 0, "event": 2,
        "revoked_at": day(1), "recorded_at": day(1),
    },
    "rejections": {"campaign_sha256": "1" * 64, "lender": "aspen", "token": "t"},
    "models": {"card_sha256": "2" * 64, "campaign_sha256": "1" * 64, "entry_index": 1, "card": "c", "model": b"m"},
    "assessments": {"sha256": "3" * 64, "author": "coordinator", "token": "t", "entry_index": 1},
    "incidents": {"sha256": "4" * 64, "institution": "aspen", "token": "t", "entry_index": 1},
    "incident_closures": {"incident_sha256": "4" * 64, "token": "t", "entry_index": 2},
    "incident_people": {"incident_sha256": "4" * 64, "subject_id": 1, "entry_index": 3},
    "uses": {
        "lender": "aspen", "application": "5" * 64, "step": 0, "statement_sha256": "6" * 64, "entry_index": 4,
        "logged_at": day(1),
    },
    "audit_reports": {"sha256": "6" * 64, "auditor": "auditor", "token": "t", "entry_index": 1},
    "audit_remedies": {"report_sha256": "6" * 64, "finding": "one", "token": "t", "entry_index": 2},
    "model_recalls": {"card_sha256": "2" * 64, "party": "aspen", "token": "t", "entry_index": 2},
    "recall_acknowledgements": {"card_sha256": "2" * 64, "lender": "aspen", "token": "t", "entry_index": 3},
    "acknowledgements": {"recipient": "aspen", "number": 1, "entry_index": 1},
    "former_names": {"pseudonym": "v1." + "o" * 43, "subject_id": 1},
    "places": {"campaign_sha256": "1" * 64, "lender": "aspen", "bitmap": b"b", "sensitive": b"s"},
    "rights_requests": {
        "id": 1, "sha256": "3" * 64, "subject_id": 1, "lender": "aspen", "kind": 0, "status": 1, "received_at": day(1),
        "due_at": day(2),
    },
    "request_steps": {"request_id": 1, "number": 1, "event": 0, "at": day(1), "entry_index": 1},
    "request_marks": {"request_id": 1, "feature": "late"},
    "tombstones": {"name_mac": "m" * 43, "subject_id": 1},
    "retention_reviews": {"day": "2026-02-01", "entry_index": 1},
    "sample_openings": {
        "entry_index": 5, "lender": "aspen", "sample_sha256": "5" * 64, "answer_sha256": "6" * 64,
    },
    "renamings": {"entry_index": 6, "lender": "aspen", "salt": b"s" * 32, "leaves": b"l" * 32},
    "populations": {"question_sha256": "q", "day": "2026-02-01", "coordinator": "c", "count": 1},
}  # fmt: skip


def one_row_each(database: Database) -> None:
    """A row in every table whose rows stay: a trigger for each row needs one to fire."""
    populate(database)
    for table, row in OF_0002.items():
        put(database, table, row)
    migrate(database)
    for table, row in LATER.items():
        put(database, table, row)


def test_histories_cannot_be_changed_deleted_or_emptied(database):
    one_row_each(database)
    postgresql = database.dialect == "postgresql"
    for table in sorted(APPEND_ONLY):
        column = inspect(database.engine).get_columns(table)[0]["name"]
        before = run(database, f"SELECT count(*) FROM {table}")
        assert before != [(0,)], table
        statements = [f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"]
        if postgresql:
            statements.append(f"TRUNCATE {table} CASCADE")
        else:
            statements.append(f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}")
        for statement in statements:
            with pytest.raises(DatabaseError, match="append-only"):
                run(database, statement)
        assert run(database, f"SELECT count(*) FROM {table}") == before, json.dumps(table)


def erased(database: Database, subject: int) -> None:
    run(
        database,
        f"UPDATE subjects SET pseudonym = 'v1.{'n' * 43}', ledger_pseudonym = 'v1.{'t' * 43}', public_key = '',"
        f" erased_at = '2026-02-01 00:00:00' WHERE id = {subject}",
    )


GONE_WITH_SUBJECT = ("consent_events", "decisions", "subject_entries", "former_names", "assignments")


def test_only_the_history_of_a_tombstone_can_go(database):
    one_row_each(database)
    put(database, "assignments", {"ledger_pseudonym": f"v1.{'t' * 43}", "subject_id": 1})
    for statement in (
        "UPDATE subjects SET erased_at = '2026-02-01 00:00:00' WHERE id = 1",
        "UPDATE subjects SET erased_at = '2026-02-01 00:00:00', public_key = '' WHERE id = 1",
        "UPDATE subjects SET erased_at = '2026-02-01 00:00:00', public_key = '', pseudonym = 'x' WHERE id = 1",
    ):
        with pytest.raises(DatabaseError, match="append-only"):
            run(database, statement)
    for table in GONE_WITH_SUBJECT:
        with pytest.raises(DatabaseError, match="append-only"):
            run(database, f"DELETE FROM {table} WHERE subject_id = 1")
    erased(database, 1)
    for statement in (
        "DELETE FROM consent_events WHERE subject_id = 3",
        "DELETE FROM decisions WHERE subject_id = 3",
        "DELETE FROM revocations WHERE number = 2",
        f"DELETE FROM assignments WHERE ledger_pseudonym = 'v1.{'t' * 43}'",
        "UPDATE consent_events SET event = 0 WHERE subject_id = 1",
        "UPDATE decisions SET entry_index = 0 WHERE subject_id = 1",
        "UPDATE subjects SET public_key = 'k' WHERE id = 1",
        "UPDATE subjects SET pseudonym = 'again' WHERE id = 1",
        "UPDATE subjects SET erased_at = NULL WHERE id = 1",
        "UPDATE subjects SET number = 9 WHERE id = 1",
        "DELETE FROM subjects WHERE id = 1",
        "DELETE FROM tombstones",
        "UPDATE imports SET evidence = leaves",
    ):
        if "number = 2" in statement:
            put(database, "revocations", LATER["revocations"] | {"number": 2})
        with pytest.raises(DatabaseError, match="append-only"):
            run(database, statement)
    for table in GONE_WITH_SUBJECT:
        tombstones = table == "assignments"
        run(database, f"DELETE FROM {table} WHERE subject_id = 1{' AND ledger_pseudonym = :l' if tombstones else ''}",
            [{"l": "ledger-1"}] if tombstones else None)  # fmt: skip
        assert run(database, f"SELECT count(*) FROM {table} WHERE subject_id = 1") == [(int(tombstones),)]
    run(database, "DELETE FROM revocations WHERE subject_id = 1 AND number = 1")


def test_of_an_import_only_the_evidence_of_the_erased_can_be_blanked(database):
    one_row_each(database)
    sizes = bytes(range(96))
    put(database, "imports", LATER["imports"] | {"id": 2, "evidence": sizes, "leaves": sizes})
    event = {"scope_id": 1, "subject_id": 4, "sensitivity": 0, "event": 0, "notice": 1, "event_time": day(1)}
    put(database, "consent_events", event | {"sequence": 100, "import_id": 2, "position": 1})
    blank = sizes[:32] + bytes(32) + sizes[64:]
    change = "UPDATE imports SET evidence = :evidence WHERE id = 2"
    with pytest.raises(DatabaseError, match="append-only"):
        run(database, change, [{"evidence": blank}])
    erased(database, 4)
    for other in (bytes(96), sizes[:32] + bytes(64), bytes(32) + sizes[32:], blank + b"x", sizes[:64]):
        with pytest.raises(DatabaseError, match="append-only"):
            run(database, change, [{"evidence": other}])
    with pytest.raises(DatabaseError, match="append-only"):
        run(database, "UPDATE imports SET evidence = :evidence, salt = :evidence WHERE id = 2", [{"evidence": blank}])
    run(database, change, [{"evidence": blank}])
    assert [bytes(row[0]) for row in run(database, "SELECT evidence FROM imports WHERE id = 2")] == [blank]


def test_every_table_that_says_it_is_append_only_is(database):
    said = {
        mapper.local_table.name
        for mapper in Base.registry.mappers
        if mapper.class_.__doc__ and "Append-only." in mapper.class_.__doc__
    }
    assert said <= APPEND_ONLY
    assert NoticeRow.__tablename__ in said
