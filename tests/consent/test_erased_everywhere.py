"""A search for erased people: in every file of a registry, in every row, in its log and in what it wrote, finds nobody.

Twenty of them; a hundred with TAHINI_EFFORT=1 (the bar of the project).
"""

from __future__ import annotations

import io
import random
import shutil
from pathlib import Path

import pytest
from sqlalchemy import text
from support.effort import effort
from support.killing import Killer
from support.market import open_market, shown
from support.world import pseudonym

from auditlog.fsck import check_log
from auditlog.lease import Lease
from consent.commands.forget_subject import forget_subject
from consent.home import open_registry
from consent.keys.backup import write_backup
from consent.keys.keystore import FileKeyStore
from consent.storage.subjects import find_subjects
from consent.transaction import reading
from crypto.errors import KeyStoreUnavailable
from crypto.keys import unb64
from crypto.pseudonyms import sealed_ledger_pseudonym
from protocol.errors import KeysUnavailable

ERASED = effort(100, 20)


def rows_as_text(database) -> bytes:
    """Every row of every table, as the database itself writes it; bytes as hex and as they are."""
    found = io.BytesIO()
    with database.read() as session:
        postgresql = database.dialect == "postgresql"
        names = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        if not postgresql:
            names = "SELECT name FROM sqlite_master WHERE type = 'table'"
        for name in session.scalars(text(names)).all():
            for row in session.execute(text(f"SELECT * FROM {name}")):
                for value in row:
                    found.write(bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode())
                    found.write(b"\n")
    return found.getvalue()


def files_under(*folders: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for one in folders for path in one.rglob("*") if path.is_file()}


def traces(market, people) -> set[bytes]:
    """All by which these people could be found."""
    named = [name for person in people for name in (person.pseudonym, person.ledger, *getattr(person, "former", ()))]
    sealed = [sealed_ledger_pseudonym(market.registry.ledger_key, p.ledger) for p in people]
    keys = [person.key.public.text for person in people]
    raw = [unb64(key) for key in keys] + [unb64(name.partition(".")[2]) for name in named]
    return {one.encode() for one in (*named, *sealed, *keys)} | set(raw)


def lives(market, count: int):
    """People to whom all that can happen has happened: half of them will be erased."""
    people = market.consenting("aspen", 2 * count, kinds=("ordinary", "sensitive"))
    for person in people:
        person.former = [
            person.pseudonym,
            person.ledger,
            sealed_ledger_pseudonym(market.registry.ledger_key, person.ledger),
        ]
    assert market.rename(people, [pseudonym(2) for _ in people]).status_code == 201
    market.clock.move(seconds=1)
    for person in people[::3]:
        headers = market.login(person)
        said = market.statement([("aspen", "sensitive", "suspend")])
        assert market.call(headers, "POST", "/v1/me/consents", said, Idempotency_Key="k").status_code == 201
    for person in people[1::3]:
        market.says(person, "withdraw")
    records = [
        {"number": p.number, "sensitivity": "sensitive", "action": "withdraw", "evidence_sha256": "ab" * 32,
         "event_time": market.clock().isoformat()}
        for p in people[2::3]
    ]  # fmt: skip
    body = shown(market.notices[-1], "zh") | {"channel": "paper", "records": records}
    assert market.call("aspen", "POST", "/v1/imports", body).status_code == 201
    market.campaign(lenders=("aspen", "birch"))
    return people[::2], people[1::2]


def test_a_search_for_the_erased_finds_nobody_and_the_log_still_verifies(any_market, tmp_path, written):
    market = any_market
    database, log = market.registry.ledger.database, market.registry.ledger.log
    backup = tmp_path / "backups" / "keys.json"
    backup.parent.mkdir()
    erased, kept = lives(market, ERASED)
    write_backup(market.registry, backup)
    head = market.checkpoint()
    for at, person in enumerate(erased):
        asked = {"Idempotency_Key": "e"} if at % 2 else {}
        answer = market.call(person.pseudonym, "DELETE", "/v1/me", **asked)
        assert answer.status_code == 200, answer.text
    newest = market.client("aspen").revocations()[-1].number
    assert market.acknowledge("aspen", newest).status_code == 201
    if database.dialect == "postgresql":
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM FULL")
    database.truncate_journal()
    searched = {**files_under(market.registry.home, backup.parent), "rows": rows_as_text(database)}
    searched["journal"] = written.getvalue().encode()
    needles = traces(market, erased)
    found = {(name, needle) for name, content in searched.items() for needle in needles if needle in content}
    assert found == set()
    others = traces(market, kept[:1])
    assert any(needle in content for content in searched.values() for needle in others), "the search finds the living"
    check_log(database, log)
    assert market.checkpoint() != head
    for person in kept[:3]:
        assert market.call(person.pseudonym, "GET", "/v1/me/consents").json()["items"]


def test_an_old_copy_of_the_database_does_not_tell_who_was_erased(market, tmp_path):
    """The copy holds their names, as it did; it opens no body, no hold, no order, and knows no tombstone."""
    first, second = market.consenting("aspen", 2)
    forget_subject(market.registry, first.pseudonym)
    market.registry.ledger.database.truncate_journal()
    copy = tmp_path / "old" / "registry.db"
    shutil.copytree(market.registry.home, copy.parent)
    forget_subject(market.registry, second.pseudonym)
    shutil.rmtree(copy.parent / "root-keys")
    shutil.copytree(market.registry.home / "root-keys", copy.parent / "root-keys")
    restored = open_registry(copy.parent, Lease("restored")).at(market.clock)
    try:
        with reading(restored) as view, pytest.raises(KeysUnavailable):
            find_subjects(view, [second.pseudonym])
        from consent.commands.enrol_subjects import enrol_subjects

        with pytest.raises(KeysUnavailable):  # who was erased cannot be told: nobody is enrolled
            enrol_subjects(restored, market.party("birch"), [market.enrol("birch")[0].enrolment])
    finally:
        restored.close()


def test_a_kill_in_the_middle_of_an_erasure_leaves_before_or_after(tmp_path):
    """And after the next start the old root key is gone, and everybody else can read."""
    with open_market(tmp_path) as market:
        people = market.consenting("aspen", effort(60, 12))
        home = market.registry.home
        numbers = {person.pseudonym: person.number for person in people}
    killer = Killer(random.Random(), 4)
    gone: set[str] = set()

    def live(tell) -> None:
        registry = open_registry(home, Lease("one", shared=True))
        tell("opened", None)
        for name in [name for name in numbers if name not in gone]:
            forget_subject(registry, name)
            tell("erased", name)
        raise KeyStoreUnavailable("nobody is left")

    for _ in range(effort(12, 3)):
        said = killer.life(live)
        gone |= {name for kind, name in said if kind == "erased"}
        registry = open_registry(home, Lease("one", shared=True))
        try:
            assert isinstance(registry.keys.store, FileKeyStore)
            with reading(registry) as view:
                # a newer version that nothing is wrapped under yet may be left of a life that was cut off
                assert registry.keys.store.oldest() == registry.keys.oldest_root(view.session)
                readable = find_subjects(view, list(numbers))
                assert not gone & set(readable)
                left = view.session.execute(text("SELECT pseudonym, id, erased_at FROM subjects")).all()
                events = dict(
                    view.session.execute(text("SELECT subject_id, count(*) FROM consent_events GROUP BY 1")).all()
                )
            for name, subject, erased_at in left:
                assert (name in readable) == (erased_at is None) == (subject in events)
            gone |= set(numbers) - set(readable)
            check_log(registry.ledger.database, registry.ledger.log)
        finally:
            registry.close()
