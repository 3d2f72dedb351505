"""Keys: what a key store promises, and that forgetting reaches every backup while the living keep theirs (invariant 8).

The same tests run over the file store, over Vault's protocol, and over a real Vault where one is named by
``VAULT_ADDR`` and ``VAULT_TOKEN``.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sqlite3
import warnings
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import func, select
from support.observed import entries
from support.vault import vault_server

from auditlog.fsck import check_log
from consent.commands.forget_subject import erase_again, forget_subject
from consent.commands.read_consents import subject_key
from consent.home import DATABASE_FILE, KEYSTORE_FILE, ROOT_KEYS, open_registry
from consent.keys.backup import KeyBackup, restore_backup, write_backup
from consent.keys.datakeys import GROUP_SIZE
from consent.keys.keystore import FileKeyStore, KeyStore, Wrapped
from consent.keys.vault import VaultKeyStore
from consent.storage.subjects import Subject, find_subjects
from consent.storage.tables import DataKeyRow, KeyGroupRow, SubjectRow
from consent.transaction import reading
from crypto.bodies import SealedBody, unseal
from crypto.errors import KeyFileError, KeyStoreUnavailable, SealError
from crypto.keys import unb64
from crypto.notes import InclusionProof
from crypto.sealing import body_context, unpad
from protocol.errors import Conflict, KeysUnavailable, NotFound


@pytest.fixture(params=["file", "vault protocol", "real vault"])
def store(request, tmp_path) -> Iterator[KeyStore]:
    if request.param == "file":
        yield FileKeyStore.create(tmp_path / "roots")
        return
    if request.param == "real vault":
        url, token = os.environ.get("VAULT_ADDR"), os.environ.get("VAULT_TOKEN")
        if not url or not token:
            reason = "NO REAL VAULT WAS ASKED: set VAULT_ADDR and VAULT_TOKEN of a dev server with transit enabled"
            warnings.warn(reason, stacklevel=1)
            pytest.skip(reason)
        real = VaultKeyStore(url, "transit", f"tahini-test-{secrets.token_hex(4)}", token)
        real.create()
        yield real
        return
    with vault_server("a token") as url:
        made = VaultKeyStore(url, "transit", "tahini", "a token")
        made.create()
        yield made


def test_what_was_wrapped_opens_again_in_its_own_context_only(store):
    keys = [(f"context {i}".encode(), os.urandom(32)) for i in range(5)]
    wrapped = store.wrap(keys)
    assert store.unwrap([(context, item) for (context, _), item in zip(keys, wrapped, strict=True)]) == [
        key for _, key in keys
    ]
    with pytest.raises(SealError):
        store.unwrap([(b"another context", wrapped[0])])
    with pytest.raises(SealError):
        store.unwrap([(keys[0][0], Wrapped(wrapped[0].version, wrapped[0].ciphertext[:-8] + b"AAAAAAA="))])
    assert all(key not in item.ciphertext for (_, key), item in zip(keys, wrapped, strict=True))


def test_after_a_rotation_the_old_still_open_until_they_are_destroyed(store):
    key = os.urandom(32)
    [old] = store.wrap([(b"c", key)])
    version = store.rotate()
    assert version == store.newest() > old.version
    [new] = store.rewrap([(b"c", old)])
    assert new.version == version
    assert store.unwrap([(b"c", old), (b"c", new)]) == [key, key]
    store.destroy_before(version)
    with pytest.raises(SealError):
        store.unwrap([(b"c", old)])
    assert store.unwrap([(b"c", new)]) == [key]
    store.destroy_before(version)


def test_nothing_is_also_a_batch(store):
    assert store.wrap([]) == store.unwrap([]) == store.rewrap([]) == []


def test_a_vault_that_does_not_answer_or_refuses_is_one_sentence():
    with vault_server("right") as url, pytest.raises(KeyStoreUnavailable, match="refused create_key"):
        VaultKeyStore(url, "transit", "tahini", "wrong").create()
    with pytest.raises(KeyStoreUnavailable, match="refused read_key"):
        VaultKeyStore(url, "transit", "tahini", "right").newest()
    assert "right" not in repr(VaultKeyStore(url, "transit", "tahini", "right"))


def test_a_file_store_is_for_its_owner_only(tmp_path):
    store = FileKeyStore.create(tmp_path / "roots")
    assert (tmp_path / "roots" / "1.key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "roots" / "1.key").chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        store.wrap([(b"c", os.urandom(32))])


# --- forgetting, over a house


def sealed_decision(house, person):
    """One decision of this person as the log holds it, and its proof."""
    receipt = house.anyone().decide([person.withdrawal(house.notice)])[0]
    proof = InclusionProof.parse(receipt.proof)
    with house.registry.ledger.read() as session:
        entry = house.registry.ledger.log.entry(session, proof.index)
    return SealedBody(entry.body, unb64(json.loads(entry.leaf)["body"]["key_commitment"])), proof, receipt


def enrolled(registry, *pseudonyms: str) -> list[Subject]:
    with reading(registry) as view:
        return list(find_subjects(view, pseudonyms).values())


def readable(registry, sealed: SealedBody, pseudonym: str) -> bool:
    """Whether the registry's keys, as they are now, open this body."""
    context = body_context("consent.decided")
    return any(b"token" in unpad(unseal(who.data_key, sealed, context)) for who in enrolled(registry, pseudonym))


def copy_database(house, copy: Path) -> None:
    house.registry.ledger.database.truncate_journal()
    shutil.copy(house.registry.home / DATABASE_FILE, copy)


def bring_back(house, copy: Path) -> None:
    """Stop the registry and put an old copy of its database in the place of the present one."""
    house.stop_registry()
    home = house.registry.home
    for name in (DATABASE_FILE, f"{DATABASE_FILE}-wal", f"{DATABASE_FILE}-shm"):
        (home / name).unlink(missing_ok=True)
    shutil.copy(copy, home / DATABASE_FILE)


def neighbours(house, person) -> list:
    """People of the same key group."""
    return [p for p in house.consenting(person.lender) if p is not person][:3]


def test_an_old_copy_of_the_database_does_not_bring_the_forgotten_back(house, tmp_path):
    person = house.consenting("cedar")[0]
    sealed, proof, receipt = sealed_decision(house, person)
    assert readable(house.registry, sealed, person.pseudonym)
    copy_database(house, tmp_path / "old.db")
    check_log(house.registry.ledger.database, house.registry.ledger.log)
    house.borrower_client(person).forget_me()
    check_log(house.registry.ledger.database, house.registry.ledger.log)
    assert not readable(house.registry, sealed, person.pseudonym)
    proof.verify(unb64(receipt.entry), house.registry.ledger.log.policy)
    bring_back(house, tmp_path / "old.db")
    restored = open_registry(house.registry.home)
    with pytest.raises(KeysUnavailable):
        readable(restored, sealed, person.pseudonym)
    restored.close()


def test_the_living_come_back_from_a_key_backup_and_the_forgotten_do_not(house, tmp_path):
    person, *_ = house.consenting("cedar")
    living = neighbours(house, person)
    bodies = {p.pseudonym: sealed_decision(house, p)[0] for p in [person, *living]}
    backup = tmp_path / "keys.json"
    stale = tmp_path / "stale.json"
    write_backup(house.registry, backup)
    shutil.copy(backup, stale)
    copy_database(house, tmp_path / "old.db")
    house.borrower_client(person).forget_me()
    bring_back(house, tmp_path / "old.db")
    home = house.registry.home
    with closing(sqlite3.connect(home / DATABASE_FILE)) as copy, copy:
        copy.execute("UPDATE log_state SET held_until = 0")  # the copy is old enough for its writer's lease to be over
    restored = open_registry(home)
    with pytest.raises(Conflict, match="before somebody was forgotten"):
        restore_backup(restored, stale)
    assert restore_backup(restored, backup) > 0
    for other in living:
        assert readable(restored, bodies[other.pseudonym], other.pseudonym)
    assert not readable(restored, bodies[person.pseudonym], person.pseudonym)
    with pytest.raises(NotFound):
        subject_key(restored, person.pseudonym, None)
    assert erase_again(restored) == 1
    assert erase_again(restored) == 0
    with restored.ledger.read() as session:
        assert person.pseudonym not in set(session.scalars(select(SubjectRow.pseudonym)))
    forget_subject(restored, living[0].pseudonym)
    assert not readable(restored, bodies[living[0].pseudonym], living[0].pseudonym)
    assert readable(restored, bodies[living[1].pseudonym], living[1].pseudonym), "a blind row stands in nobody's way"
    restored.close()


def test_a_backup_holds_no_key_in_clear(house, tmp_path):
    backup = tmp_path / "keys.json"
    write_backup(house.registry, backup)
    text = backup.read_text(encoding="utf-8")
    assert backup.stat().st_mode & 0o777 == 0o600
    subjects = enrolled(house.registry, *(p.pseudonym for p in house.consenting()))
    assert not any(b64encode(s.data_key).decode()[:20] in text for s in subjects)


@pytest.mark.parametrize("crash_at", ["before the transaction commits", "after it, before the old root is destroyed"])
def test_a_crash_in_the_middle_of_forgetting_loses_nobody_else(house, monkeypatch, crash_at):
    person, *_ = house.consenting("cedar")
    living = neighbours(house, person)
    bodies = {p.pseudonym: sealed_decision(house, p)[0] for p in [person, *living]}
    registry = house.registry

    class Crash(BaseException):
        pass

    def crash(*_args, **_options):
        raise Crash

    with monkeypatch.context() as patch:
        if crash_at.startswith("before"):
            patch.setattr(type(registry.ledger.log), "append", crash)
        else:
            patch.setattr(FileKeyStore, "destroy_before", crash)
        with pytest.raises(Crash):
            forget_subject(registry, person.pseudonym)
    registry.keys._cache.clear()
    for other in living:
        assert readable(registry, bodies[other.pseudonym], other.pseudonym)
    gone = not crash_at.startswith("before")
    assert readable(registry, bodies[person.pseudonym], person.pseudonym) is not gone
    if gone:
        home = registry.home
        house.stop_registry()
        reopened = open_registry(home)
        assert len(list((home / ROOT_KEYS).glob("*.key"))) == 1, "what the crash left is destroyed at the next start"
        for other in living:
            assert readable(reopened, bodies[other.pseudonym], other.pseudonym)
        reopened.close()


def test_a_key_store_that_fails_after_the_commit_is_told_and_finished_later(house, monkeypatch):
    """The person is forgotten here at once; the old root goes as soon as the store does what it should."""
    person, other, *_ = house.consenting("cedar")
    registry = house.registry

    def refuse(*_args):
        raise KeyStoreUnavailable("the key store sleeps")

    with monkeypatch.context() as patch:
        patch.setattr(FileKeyStore, "destroy_before", refuse)
        with pytest.raises(KeysUnavailable, match="ask again"):
            forget_subject(registry, person.pseudonym)
        assert registry.keys.store.oldest() == 1
    with pytest.raises(NotFound):
        forget_subject(registry, person.pseudonym)
    assert registry.keys.store.oldest() == 2
    sealed, *_ = sealed_decision(house, other)
    assert readable(registry, sealed, other.pseudonym)


def test_restoring_beside_a_living_registry_harms_nobody(house, tmp_path, monkeypatch):
    """Not even when the key store fails in the middle, and not those who came after the backup."""
    people = house.consenting("cedar")[:3]
    bodies = {p.pseudonym: sealed_decision(house, p)[0] for p in people}
    backup = tmp_path / "keys.json"
    write_backup(house.registry, backup)
    late = house.late("cedar")
    assert restore_backup(house.registry, backup) == 0
    with monkeypatch.context() as patch:
        patch.setattr(FileKeyStore, "unwrap", lambda *_: (_ for _ in ()).throw(KeyStoreUnavailable("asleep")))
        with pytest.raises(KeyStoreUnavailable):
            restore_backup(house.registry, backup)
    for person in people:
        assert readable(house.registry, bodies[person.pseudonym], person.pseudonym)
    assert enrolled(house.registry, late)


def test_a_blind_backup_never_replaces_a_good_one(house, tmp_path, monkeypatch):
    backup = tmp_path / "keys.json"
    write_backup(house.registry, backup)
    good = backup.read_text(encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(FileKeyStore, "unwrap", lambda *_: (_ for _ in ()).throw(SealError("gone")))
        with pytest.raises(Conflict, match="do not open"):
            write_backup(house.registry, backup)
    assert backup.read_text(encoding="utf-8") == good


def test_forgettings_at_the_same_moment_leave_a_backup_that_restores(house, tmp_path):
    backup = tmp_path / "keys.json"
    write_backup(house.registry, backup)
    gone = house.consenting("cedar")[:4]
    with ThreadPoolExecutor(len(gone)) as crowd:
        list(crowd.map(lambda person: forget_subject(house.registry, person.pseudonym), gone))
    held = KeyBackup.model_validate_json(backup.read_text(encoding="utf-8"))
    assert {g.root_version for g in held.groups} == {house.registry.keys.store.newest()}
    assert not {p.pseudonym for p in gone} & {key.pseudonym for key in held.keys}


def test_a_half_made_root_key_is_no_root_key(tmp_path, monkeypatch):
    store = FileKeyStore.create(tmp_path / "roots")

    def crash(*_args):
        raise OSError(5, "the power went")

    with monkeypatch.context() as patch:
        patch.setattr("crypto.keys.os.link", crash)
        with pytest.raises(OSError):
            store.rotate()
    assert store.newest() == 1
    assert [path.name for path in store.folder.iterdir()] == ["1.key"]


def test_forgetting_rewraps_one_group_and_the_list_of_groups_not_the_list_of_people(house):
    registry = house.registry
    with registry.ledger.read() as session:
        before = dict(session.execute(select(DataKeyRow.subject_id, DataKeyRow.wrapped)).tuples().all())
        groups = session.scalar(select(func.count()).select_from(KeyGroupRow))
    people = sum(len(p) for p in house.borrowers.values())
    assert groups == -(-people // GROUP_SIZE)
    person = house.consenting("aspen")[0]
    forget_subject(registry, person.pseudonym)
    with registry.ledger.read() as session:
        after = dict(session.execute(select(DataKeyRow.subject_id, DataKeyRow.wrapped)).tuples().all())
        versions = set(session.scalars(select(KeyGroupRow.root_version)))
    assert len(before) - len(after) == 1
    assert len({subject for subject in after if after[subject] != before[subject]}) < GROUP_SIZE
    assert versions == {registry.keys.store.newest()}


def test_the_log_names_the_destroyed_key_and_nobody(house):
    person = house.consenting("aspen")[0]
    with house.registry.ledger.read() as session:
        known = set(session.scalars(select(DataKeyRow.key_id)))
    forget_subject(house.registry, person.pseudonym)
    leaf = entries(house.registry)[-1]
    assert leaf["type"] == "subject.forgotten"
    assert leaf["key"] in known
    assert set(leaf) == {"v", "type", "time", "actor", "body", "key"}


def test_a_registry_whose_root_key_lives_in_vault(house, monkeypatch):
    """Forgetting works the same, and the root key is nowhere in the home."""
    person, other, *_ = house.consenting("cedar")
    home = house.registry.home
    house.stop_registry()
    with vault_server("a token") as url:
        monkeypatch.setenv("VAULT_TOKEN", "a token")
        vault = VaultKeyStore(url, "transit", "roots", "a token")
        vault.create()
        files = FileKeyStore(home / ROOT_KEYS)
        registry = open_registry(home)
        with registry.ledger.database.write() as session:
            for group in session.scalars(select(KeyGroupRow)):
                context = f"tahini/key-group/{group.id}".encode()
                [key] = files.unwrap([(context, Wrapped(group.root_version, group.wrapped))])
                [moved] = vault.wrap([(context, key)])
                group.root_version, group.wrapped = moved.version, moved.ciphertext
        registry.close()
        shutil.rmtree(home / ROOT_KEYS)
        (home / KEYSTORE_FILE).write_text(json.dumps({"kind": "vault", "url": url, "key": "roots"}), encoding="utf-8")
        moved_registry = open_registry(home)
        assert enrolled(moved_registry, person.pseudonym)
        forget_subject(moved_registry, person.pseudonym)
        assert not enrolled(moved_registry, person.pseudonym)
        assert enrolled(moved_registry, other.pseudonym)
        assert vault.newest() == 2
        moved_registry.close()
        monkeypatch.delenv("VAULT_TOKEN")
        with pytest.raises(KeyStoreUnavailable, match="VAULT_TOKEN"):
            open_registry(home)


def test_vaults_token_may_come_as_a_file(tmp_path, monkeypatch):
    """As containers are given secrets; what is in the environment still counts first."""
    monkeypatch.delenv("VAULT_TOKEN", raising=False)
    monkeypatch.setenv("VAULT_TOKEN_FILE", str(tmp_path / "token"))
    with pytest.raises(KeyStoreUnavailable, match="VAULT_TOKEN_FILE"):
        VaultKeyStore.from_environment("http://127.0.0.1:1", "transit", "roots")
    (tmp_path / "token").write_text("a token\n", encoding="utf-8")
    assert VaultKeyStore.from_environment("http://127.0.0.1:1", "transit", "roots").token == "a token"
