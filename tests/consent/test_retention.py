"""Retention: every kind of record has a rule, what is due goes, counted and logged, and legal holds go for good."""

from __future__ import annotations

import json
import re
import sqlite3
import tomllib
from contextlib import closing
from datetime import timedelta

import pytest
from sqlalchemy import func, select
from support.commands import done, refused, told
from support.observed import entries
from support.waiting import until

from auditlog.column_types import Base
from clients.ledger_tables import SCHEMA
from consent.commands.forget_subject import forget_subject
from consent.commands.hold_evidence import OpenedHold, open_hold, release_holds
from consent.home import DATABASE_FILE
from consent.retention import RULES_FILE, Retainer, RetentionRule, apply_retention, due_now, rules, timed_rules
from consent.storage.erasure_tables import LegalHoldRow, ReviewRow
from consent.storage.tables import AuthorisationRow, IdempotencyRow
from crypto.errors import KeyFileError, SealError
from crypto.keys import RecipientKey, b64, save_recipient_key, unb64
from protocol.errors import KeysUnavailable, NotFound
from screens.house.staff import CODE_FILE
from screens.house.staff_list import STAFF_FILE
from server.connections import CONNECTIONS_FILE
from server.evidence import STATEMENT_FILE
from server.home import CARD_FILE, MODEL_FILE, PROGRESS_FILE


def test_every_kind_of_record_has_a_rule():
    named = {rule.of for rule in rules()}
    assert len(named) == len(rules())
    tables = {f"registry.{table.name}" for table in Base.metadata.sorted_tables}
    assert {name for name in named if name.startswith("registry.")} == tables
    with closing(sqlite3.connect(":memory:")) as ledger:
        ledger.executescript(SCHEMA)
        of_nodes = {f"node.{name}" for (name,) in ledger.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert {name for name in named if name.startswith("node.")} == of_nodes
    assert {f"{whose}:{CODE_FILE}" for whose in ("coordinator", "node", "auditor")} <= named
    assert f"node:{STAFF_FILE}" in named
    kept = (
        CODE_FILE,
        STAFF_FILE,
        MODEL_FILE,
        CARD_FILE,
        PROGRESS_FILE,
        STATEMENT_FILE,
        CONNECTIONS_FILE,
        "release-*.npz",
    )
    files = {f"coordinator:{name}" for name in kept}
    assert {name for name in named if name.startswith("coordinator:")} == files


def test_every_rule_names_its_law_and_says_how_long_or_why():
    for rule in rules():
        assert re.search(r"[0-9]|own duties", rule.law), rule.of
        assert rule.what
        assert (rule.days is None) == bool(rule.keep)
    for rule in timed_rules():
        assert rule.since in rule.table.c
    with pytest.raises(ValueError, match="how long"):
        RetentionRule(of="registry.used_once", what="x", law="y", level="none", source="nobody")
    assert tomllib.loads(RULES_FILE.read_text(encoding="utf-8"))


def test_logs_outlast_six_months_and_what_was_provided_three_years(market):
    """PBOC 数据安全办法 30, 网络数据安全管理条例 12: counted from when each was over."""
    by = {rule.of: rule for rule in rules()}
    for of in ("log_entries", "log_envelopes", "log_tiles", "commitments", "acknowledgements"):
        assert by[f"registry.{of}"].days is None, f"{of} are never deleted"
    market.consenting("aspen", 2)
    assert market.authorise(market.campaign()).status_code == 201
    market.clock.move(days=3 * 365)
    apply_retention(market.registry)
    assert rows(market, AuthorisationRow) == 1, "records of providing data are kept three years"
    market.clock.move(days=2)
    apply_retention(market.registry)
    assert rows(market, AuthorisationRow) == 0


def rows(market, table) -> int:
    with market.registry.ledger.read() as session:
        return session.scalar(select(func.count()).select_from(table))


def test_kept_answers_go_after_a_day_without_a_next_command(any_market):
    market = any_market
    body = market.statement([("aspen", "ordinary", "give")])
    (person,) = market.enrol("aspen")
    market.clock.move(seconds=1)
    market.call(person.pseudonym, "POST", "/v1/me/consents", body, Idempotency_Key="one")
    apply_retention(market.registry)
    assert rows(market, IdempotencyRow) == 1
    market.clock.move(hours=25)
    size = market.log_size()
    due = due_now(market.registry)
    assert due.deleted["registry.idempotency"] == 1
    assert rows(market, IdempotencyRow) == 1, "looking deletes nothing"
    assert apply_retention(market.registry).deleted["registry.idempotency"] == 1
    assert rows(market, IdempotencyRow) == 0
    (entry,) = entries(market.registry)[size:]
    assert entry["type"] == "retention.applied"
    assert set(entry) == {"v", "type", "time", "actor", "body"}
    assert apply_retention(market.registry).total == 0
    assert market.log_size() == size + 1, "nothing done is nothing logged"


def test_the_review_is_logged_once_a_year(market):
    def reviews() -> int:
        return [entry["type"] for entry in entries(market.registry)].count("retention.reviewed")

    assert apply_retention(market.registry).reviewed
    market.clock.move(days=364)
    assert not apply_retention(market.registry).reviewed
    market.clock.move(days=1)
    assert apply_retention(market.registry).reviewed
    assert reviews() == rows(market, ReviewRow) == 2


def test_the_service_applies_the_rules_by_itself(market):
    retainer = Retainer(market.registry, every_s=0.01)
    retainer.start()
    try:
        until(lambda: rows(market, ReviewRow) == 1, "the rules were applied")
    finally:
        retainer.stop()


# --- legal holds


@pytest.fixture
def auditor(market, monkeypatch) -> RecipientKey:
    """The market's auditor, with a key that the test holds."""
    key = RecipientKey.generate()
    party = market.party("auditor")
    parties = tuple(
        p if p.id != party.id else p.model_copy(update={"recipient_key": key.public.text})
        for p in market.registry.consortium.parties
    )
    object.__setattr__(
        market.registry, "consortium", market.registry.consortium.model_copy(update={"parties": parties})
    )
    return key


def test_what_was_signed_can_be_opened_by_registry_and_auditor_together_only(market, auditor):
    (person,) = market.enrol("aspen")
    market.clock.move(seconds=1)
    token = market.decision(person, {"ordinary": "give"})
    assert market.decide(token).status_code == 201
    forget_subject(market.registry, person.pseudonym)
    market.registry.ledger.database.truncate_journal()
    assert person.pseudonym.encode() not in (market.registry.home / DATABASE_FILE).read_bytes()
    with market.registry.ledger.read() as session:
        held = session.scalars(select(LegalHoldRow)).one()
    with pytest.raises(SealError):
        open_hold(
            OpenedHold(hold=held.id, sealed=b64(held.sealed)).model_dump_json(), auditor
        )  # with the database alone
    size = market.log_size()
    (released,) = release_holds(market.registry, person.pseudonym, "court order 1/2027")
    with pytest.raises(SealError):
        open_hold(released.model_dump_json(), RecipientKey.generate())  # the registry without the auditor
    for shown in (person.pseudonym, token, "pii_principal_id"):
        assert shown.encode() not in unb64(released.sealed), "the registry's half shows nothing"
    found = open_hold(released.model_dump_json(), auditor)
    assert found["pii_principal_id"] == person.pseudonym
    assert [one["token"] for one in found["decisions"]] == [token]
    (entry,) = entries(market.registry)[size:]
    assert (entry["type"], set(entry)) == ("hold.opened", {"v", "type", "time", "actor", "body"})
    with pytest.raises(NotFound):
        release_holds(market.registry, "v1." + "x" * 43, "court order 2/2027")


def test_holds_of_every_life_are_found_by_one_name(market, auditor):
    (person,) = market.consenting("aspen")
    for _ in range(2):
        forget_subject(market.registry, person.pseudonym)
        market.clock.move(seconds=1)
        answer = market.call("aspen", "POST", "/v1/subjects", {"subjects": [person.enrolment.model_dump(mode="json")]})
        assert answer.status_code == 201
        market.says(person, "give")
    assert len(release_holds(market.registry, person.pseudonym, "court order 1/2027")) == 2


def test_a_hold_that_is_over_is_destroyed_for_old_copies_too(market, auditor, tmp_path):
    first, second = market.consenting("aspen", 2)
    forget_subject(market.registry, first.pseudonym)
    market.clock.move(days=30)
    forget_subject(market.registry, second.pseudonym)
    with market.registry.ledger.read() as session:
        old = session.scalars(select(LegalHoldRow).order_by(LegalHoldRow.expires_at)).first()
        session.expunge(old)
    market.clock.move(days=3 * 366 - 29)
    assert apply_retention(market.registry).deleted["registry.legal_holds"] == 1
    with pytest.raises(NotFound):
        release_holds(market.registry, first.pseudonym, "court order 1/2027")
    assert len(release_holds(market.registry, second.pseudonym, "court order 2/2027")) == 1
    from consent.commands.hold_evidence import _context
    from consent.keys.enclosures import disclose

    with market.registry.ledger.read() as session, pytest.raises((KeysUnavailable, KeyFileError)):
        disclose(market.registry.keys, session, old, _context(old.id))
    assert market.registry.keys.store.oldest() == market.registry.keys.store.newest()


def test_whoever_never_answered_leaves_no_hold(market):
    (person,) = market.enrol("aspen")
    forget_subject(market.registry, person.pseudonym)
    assert rows(market, LegalHoldRow) == 0


def test_an_order_that_waits_is_no_reason_to_keep_an_answer(market):
    (person,) = market.consenting("aspen")
    forget_subject(market.registry, person.pseudonym)
    market.clock.move(seconds=timedelta(days=9).total_seconds())
    applied = apply_retention(market.registry)
    assert applied.deleted["registry.used_once"] >= 1, "decisions of the erased are remembered for a week"
    assert [r.event_type for r in market.client("aspen").revocations()] == ["erase"]


# --- by hand


def test_the_operator_looks_applies_and_releases_and_the_auditor_opens(market, auditor, tmp_path):
    key = tmp_path / "auditor.recipient.key"
    save_recipient_key(key, auditor)
    (person,) = market.consenting("aspen")
    forget_subject(market.registry, person.pseudonym)
    home = market.registry.home
    market.registry.ledger.sequencer.stop()  # what it had still to publish would take the lease again
    with market.registry.ledger.database.write() as session:
        market.registry.ledger.log.lease.release(session)
    looked = told("registry", "retain", "--home", home, "--dry-run")
    assert looked["deleted"]["registry.used_once"] == 0
    assert looked["reviewed"] is True
    assert told("registry", "retain", "--home", home)["reviewed"] is True
    assert "0 deleted" in done("registry", "retain", "--home", home)
    released = tmp_path / "held.json"
    asked = ("registry", "release-hold", person.pseudonym, "--home", home, "--out", released)
    assert "by whose order" in refused(*asked, "--reason", " ")
    assert told(*asked, "--reason", "court order 1/2027") == {"released": 1}
    assert released.stat().st_mode & 0o777 == 0o600
    assert "exists already" in refused(*asked, "--reason", "court order 1/2027")
    (opened,) = json.loads(done("log", "open-hold", released, "--recipient-key", key))
    assert opened["pii_principal_id"] == person.pseudonym
    assert "held about this name" in refused(
        *asked[:2], "v1." + "x" * 43, *asked[3:-1], tmp_path / "other.json", "--reason", "court order 1/2027"
    )
