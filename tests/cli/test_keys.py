"""``tahini keys`` and ``tahini witness show``: what is made, shown, backed up and restored, and what is refused."""

from __future__ import annotations

import pytest
from support.commands import ORIGIN, done, new_log, people, refused, tahini, told

from clients.witness import LenderWitness
from consent.commands.enrol_subjects import enrol_subjects
from consent.home import open_registry
from consent.provisioning import REGISTRY_HOME
from crypto.cosignatures import Cosigner, Kind
from crypto.keys import b64, load_signing_key
from crypto.notes import Checkpoint, Verifier, sign_checkpoint
from crypto.witnessing import AddCheckpoint
from demo.consortium import found
from privacy.charges import Budget

# --- keys


def test_new_keys_of_every_kind_show_their_public_half_only(tmp_path):
    for kind, size in (("signing", 32), ("recipient", 96)):
        path = tmp_path / kind
        made = told("keys", "new", kind, path)
        assert made == told("keys", "show", path)
        assert made["kind"] == kind
        secret = path.read_bytes()
        assert len(secret) == size
        assert path.stat().st_mode & 0o777 == 0o600
        assert b64(secret)[:20] not in done("keys", "show", path)
    for kind, named in (("witness", Kind.ED25519), ("witness-ml-dsa-44", Kind.ML_DSA_44)):
        path = tmp_path / kind
        made = told("keys", "new", kind, path, "--name", "aspen.example/witness")
        assert Cosigner.from_vkey(made["vkey"]).kind is named
        assert made["name"] == "aspen.example/witness"
        assert f"vkey: {made['vkey']}" in done("keys", "show", path)
    vkey = told("keys", "show", tmp_path / "signing", "--origin", ORIGIN)["vkey"]
    assert Verifier.from_vkey(vkey).key == load_signing_key(tmp_path / "signing").public


@pytest.mark.parametrize("kind", ["witness", "witness-ml-dsa-44"])
@pytest.mark.parametrize("length", [43, 44, 45])
def test_a_witness_s_key_is_a_witness_s_key_whatever_the_length_of_its_name(tmp_path, kind, length):
    made = told("keys", "new", kind, tmp_path / "key", "--name", "w" * length)
    assert made["name"] == "w" * length
    assert Cosigner.from_vkey(made["vkey"]).name == "w" * length


def test_keys_that_cannot_be_made_or_read_are_refused(tmp_path):
    path = tmp_path / "key"
    assert "--name" in refused("keys", "new", "witness", path)
    assert "not a key name" in refused("keys", "new", "witness", path, "--name", "two words")
    assert not path.exists()
    done("keys", "new", "signing", path)
    assert "exists already" in refused("keys", "new", "signing", path)
    assert "No such file" in refused("keys", "new", "signing", tmp_path / "no" / "folder")
    path.chmod(0o640)
    assert "chmod 600" in refused("keys", "show", path)
    for content in (b"", b"x" * 31, b"x" * 500, b"tahini witness key\n\x04" + b"\xff" * 40):
        other = tmp_path / f"other-{len(content)}"
        other.write_bytes(content)
        other.chmod(0o600)
        assert "witness's key" in refused("keys", "show", other)
    assert tahini("keys", "show", tmp_path / "missing").exit_code == 2
    assert tahini("keys", "new", "password", tmp_path / "x").exit_code == 2


def test_keys_status_rotate_backup_and_restore(tmp_path):
    home = new_log(tmp_path)
    registry = open_registry(home)
    enrol_subjects(registry, registry.consortium.party("aspen"), people(4))
    registry.close()
    before = told("keys", "status", "--home", home)
    assert (before["store"], before["data_keys"], before["backups"]) == ("file", 4, [])
    saved = tmp_path / "keys.json"
    assert told("keys", "backup", "--home", home, saved) == {"keys": 4, "path": str(saved)}
    assert "4 wrapped keys" in done("keys", "backup", "--home", home, saved)
    version = told("keys", "rotate", "--home", home)["root_version"]
    assert version > before["newest_root_version"]
    after = told("keys", "status", "--home", home)
    assert after["newest_root_version"] == after["oldest_root_version_in_use"] == version
    assert after["backups"] == [str(saved)]
    assert f"data keys: {after['data_keys']}" in done("keys", "status", "--home", home)
    assert told("keys", "restore", "--home", home, saved) == {"keys": 0, "erased_again": 0}
    assert "keys are back" in done("keys", "restore", "--home", home, saved)
    assert f"version {version + 1}" in done("keys", "rotate", "--home", home)


def test_backups_that_are_none_or_somebody_else_s_are_refused(tmp_path):
    home = new_log(tmp_path)
    saved = tmp_path / "keys.json"
    for content in ("", "{}", "[1]", "no json"):
        saved.write_text(content, encoding="utf-8")
        assert "not a backup" in refused("keys", "restore", "--home", home, saved)
    done("log", "init", "--home", tmp_path / "other", "--origin", "other.example/log", "--no-quorum")
    done("keys", "backup", "--home", tmp_path / "other" / REGISTRY_HOME, tmp_path / "theirs.json")
    assert "other.example/log" in refused("keys", "restore", "--home", home, tmp_path / "theirs.json")
    assert refused("keys", "backup", "--home", home, tmp_path / "no" / "folder" / "keys.json")
    assert tahini("keys", "restore", "--home", home, tmp_path / "missing").exit_code == 2


# --- witness


def test_witness_show_says_who_it_is_and_how_far_it_has_seen(tmp_path):
    founded = found(tmp_path / "all", ["aspen", "birch"], Budget(1.0, 1e-5))
    founded.connect("http://127.0.0.1:1", "http://127.0.0.1:2")
    homes = [founded.node_home(name) for name in ("aspen", "birch")]
    log = founded.consortium.log.verifier
    head = Checkpoint(log.name, 1200, b"\1" * 32)
    note = sign_checkpoint(head, load_signing_key(founded.registry_home / "log.key"))
    witness = LenderWitness.open(homes[0], log)
    witness.add_checkpoint(AddCheckpoint(0, (), note).text.encode())
    both = told("witness", "show", "--home", homes[0], "--home", homes[1])
    assert [(row["lender"], row["log"], row["size"]) for row in both] == [
        ("aspen", log.name, 1200),
        ("birch", log.name, 0),
    ]
    assert both[0]["vkey"] == witness.key.public.vkey
    said = done("witness", "show", "--home", homes[0])
    assert said.startswith(f"aspen: has seen 1,200 entries of {log.name}\n")
    assert witness.key.public.vkey in said
    memory = next(witness.folder.glob("*.checkpoint"))
    memory.write_bytes(memory.read_bytes().replace(b"1200", b"1100"))
    assert "cannot rely on its memory" in refused("witness", "show", "--home", homes[0])
    assert "not a node's home" in refused("witness", "show", "--home", tmp_path, code=2)
    (homes[1] / "witness.key").unlink()
    assert "witness.key" in refused("witness", "show", "--home", homes[1], code=2)
