"""The log as the Go team's checksum-database client sees it: ``checklog.go`` over golang.org/x/mod/sumdb.

That client shares no code with ours. It accepts the honest log, and refuses what a lying log, or somebody between,
could make of it. Sources: c2sp.org/signed-note, tlog-checkpoint, tlog-tiles, tlog-proof; RFC 6962.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import warnings
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from support.house import House, build
from support.wire import plain_server

from crypto.keys import SigningKey

SOURCE = Path(__file__).with_name("checklog.go")
GOPATH = Path("/usr/share/gocode")  # where Debian puts the sources of Go libraries
INSTALL = "apt install golang-go golang-golang-x-mod-dev"
Edit = Callable[[bytes], bytes]


@pytest.fixture(scope="session")
def checklog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go client, compiled once."""
    go = shutil.which("go")
    if go is None or not (GOPATH / "src/golang.org/x/mod/sumdb/tlog").is_dir():
        reason = f"NO INDEPENDENT CLIENT CHECKED THE LOG: Go or golang.org/x/mod is missing; {INSTALL}"
        warnings.warn(reason, stacklevel=1)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("checklog")
    settings = {"GO111MODULE": "off", "GOPATH": str(GOPATH), "GOFLAGS": "", "GOCACHE": str(folder / "cache")}
    binary = folder / "checklog"
    subprocess.run([go, "build", "-o", str(binary), str(SOURCE)], env=os.environ | settings, check=True)
    return binary


def resigned(note: str, key: SigningKey, key_id: bytes | None = None) -> str:
    """The text of ``note`` under the log's name with another key's signature, under that key's id or a given one."""
    text = note.rpartition("\n\n")[0]
    name = text.split("\n")[0]
    own_id = hashlib.sha256(name.encode() + b"\n\x01" + key.public.raw).digest()[:4]
    signature = (key_id or own_id) + key.sign(f"{text}\n".encode())
    return f"{text}\n\n— {name} {b64encode(signature).decode()}\n"


def log_key_id(vkey: str) -> bytes:
    return bytes.fromhex(vkey.split("+")[1])


@dataclass
class Grown:
    """A log, and a checkpoint of it from before its newest entries."""

    house: House
    older: str

    @property
    def vkey(self) -> str:
        """The log's key as other clients take it."""
        return self.house.registry.ledger.log.verifier.vkey

    @property
    def newest(self) -> str:
        return httpx.get(f"{self.house.url}/checkpoint").text


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grown]:
    """As the fixture ``active``, once for this module and of more than a full tile; no test here changes the log."""
    with build(tmp_path_factory.mktemp("grown") / "house", people=110, http=True) as house:
        house.decide_first()
        house.activate()
        older = house.anyone().checkpoint_note()
        for person in house.consenting()[:3]:
            house.withdraw(person)
        yield Grown(house, older)


@contextmanager
def between(url: str, pattern: str, edit: Edit) -> Iterator[str]:
    """Somebody between log and client, who edits what is at the paths that match."""

    def answer(path: str, _: bytes) -> tuple[int, bytes]:
        heard = log.get(path)
        return heard.status_code, edit(heard.content) if re.match(pattern, path) else heard.content

    with httpx.Client(base_url=url) as log, plain_server(answer) as middle:
        yield middle


@dataclass
class Auditor:
    """Whoever runs the Go client, with the older checkpoint kept in a file."""

    binary: Path
    kept: Path

    def run(self, url: str, vkey: str, older: str) -> subprocess.CompletedProcess[str]:
        self.kept.write_text(older, encoding="utf-8")
        command = [str(self.binary), url, vkey, str(self.kept)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, encoding="utf-8")

    def refuses(self, because: str, url: str, vkey: str, older: str) -> None:
        done = self.run(url, vkey, older)
        assert done.returncode == 1, done.stdout
        assert not done.stdout
        assert re.search(because, done.stderr)


@pytest.fixture
def auditor(checklog: Path, tmp_path: Path) -> Auditor:
    return Auditor(checklog, tmp_path / "older-checkpoint")


def flipped(data: bytes, at: int = 0) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def flipped_text(hash64: str) -> str:
    return b64encode(flipped(b64decode(hash64))).decode()


def edited_note(edit: Callable[[str], str]) -> Edit:
    return lambda note: edit(note.decode()).encode()


def edited_consistency(edit: Callable[[list[str]], list[str]]) -> Edit:
    return lambda answer: json.dumps({"proof": edit(json.loads(answer)["proof"])}).encode()


def edited_inclusion(edit: Callable[[list[str]], list[str]]) -> Edit:
    """Edit the hashes of a proof file, between its two head lines and the blank line."""

    def changed(answer: bytes) -> bytes:
        head, _, note = answer.decode().partition("\n\n")
        header, index, *hashes = head.split("\n")
        return "\n".join([header, index, *edit(hashes), "", note]).encode()

    return changed


def one_entry_more(note: str) -> str:
    origin, size, rest = note.split("\n", 2)
    return f"{origin}\n{int(size) + 1}\n{rest}"


def first_flipped(hashes: list[str]) -> list[str]:
    return [flipped_text(hashes[0]), *hashes[1:]] if hashes else hashes


def last_flipped(hashes: list[str]) -> list[str]:
    return [*hashes[:-1], flipped_text(hashes[-1])] if hashes else hashes


def another_index(proof: bytes) -> bytes:
    return proof.replace(b"index 0\n", b"index 1\n")


UNLIKE = "consistency proof"
UNPROVED = "inconsistent tile|not what the tiles hold"  # the second: x/mod before v0.40.0, CVE-2026-56865
INCLUSION, CONSISTENCY = r"/v1/log/inclusion/", r"/v1/log/consistency"


def test_an_independent_client_accepts_the_honest_log(grown, auditor):
    done = auditor.run(grown.house.url, grown.vkey, grown.older)
    assert (done.returncode, done.stderr) == (0, "")
    summary = json.loads(done.stdout)
    size = int(grown.newest.split("\n")[1])
    assert summary == {"ok": True, "size": size, "inclusion": 9, "consistency": 10}
    assert size > 256, "the log has a full tile and a tile above it"
    assert size > int(grown.older.split("\n")[1])


def test_a_checkpoint_is_consistent_with_itself(grown, auditor):
    assert auditor.run(grown.house.url, grown.vkey, grown.newest).returncode == 0


@pytest.mark.parametrize(
    ("pattern", "edit", "because"),
    [
        pytest.param(r"/tile/0/000$", flipped, UNPROVED, id="a_full_tile_flipped"),
        pytest.param(r"/tile/0/001\.p/", flipped, "inconsistent tile", id="a_partial_tile_flipped"),
        pytest.param(r"/tile/1/000\.p/", flipped, "inconsistent tile", id="an_upper_tile_flipped"),
        pytest.param(r"/tile/0/001\.p/", lambda tile: tile[:-32], "bad result slice", id="a_tile_too_short"),
        pytest.param(r"/tile/entries/000$", lambda b: flipped(b, 2), "not what the tiles hold", id="an_entry_flipped"),
        pytest.param(r"/tile/entries/001\.p/", lambda b: b[:-1], "truncated", id="an_entry_bundle_cut"),
        pytest.param(INCLUSION, edited_inclusion(first_flipped), "inclusion proof", id="an_inclusion_hash_flipped"),
        pytest.param(INCLUSION, edited_inclusion(last_flipped), "inclusion proof", id="the_last_inclusion_hash"),
        pytest.param(INCLUSION, edited_inclusion(lambda h: h[1:]), "inclusion proof", id="an_inclusion_hash_gone"),
        pytest.param(INCLUSION, edited_inclusion(lambda h: h[::-1]), "inclusion proof", id="inclusion_hashes_reversed"),
        pytest.param(INCLUSION, another_index, "not a tlog-proof of that entry", id="a_proof_of_another_entry"),
        pytest.param(CONSISTENCY, edited_consistency(first_flipped), UNLIKE, id="a_consistency_hash_flipped"),
        pytest.param(CONSISTENCY, edited_consistency(last_flipped), UNLIKE, id="the_last_consistency_hash"),
        pytest.param(CONSISTENCY, edited_consistency(lambda _: []), UNLIKE, id="no_consistency_hashes"),
        pytest.param(r"/checkpoint", edited_note(one_entry_more), "invalid signature", id="a_larger_tree_claimed"),
        pytest.param(r"/checkpoint", lambda _: b"", "malformed note", id="no_checkpoint"),
    ],
)
def test_what_was_altered_on_the_way_is_refused(grown, auditor, pattern, edit, because):
    with between(grown.house.url, pattern, edit) as url:
        auditor.refuses(because, url, grown.vkey, grown.older)


def test_an_unaltered_log_is_accepted_through_the_same_middle(grown, auditor):
    with between(grown.house.url, "", lambda body: body) as url:
        assert auditor.run(url, grown.vkey, grown.older).returncode == 0


def test_signatures_of_unknown_witnesses_are_passed_over(grown, auditor):
    cosignature = b64encode(bytes(range(4 + 8 + 64))).decode()
    with between(grown.house.url, "/checkpoint", edited_note(lambda n: f"{n}— witness.example {cosignature}\n")) as url:
        assert auditor.run(url, grown.vkey, grown.older).returncode == 0


def test_a_checkpoint_signed_by_another_key_is_refused(grown, auditor):
    stranger = SigningKey.generate()
    with between(grown.house.url, "/checkpoint", edited_note(lambda note: resigned(note, stranger))) as url:
        auditor.refuses("no verifiable signatures", url, grown.vkey, grown.older)


def test_another_keys_signature_under_the_logs_key_id_is_refused(grown, auditor):
    stranger, key_id = SigningKey.generate(), log_key_id(grown.vkey)
    with between(grown.house.url, "/checkpoint", edited_note(lambda note: resigned(note, stranger, key_id))) as url:
        auditor.refuses("invalid signature", url, grown.vkey, grown.older)


def test_a_proof_that_leads_to_a_checkpoint_of_another_key_is_refused(grown, auditor):
    stranger = SigningKey.generate()

    def edit(file: str) -> str:
        head, _, note = file.partition("\n\n")
        return f"{head}\n\n{resigned(note, stranger)}"

    with between(grown.house.url, INCLUSION, edited_note(edit)) as url:
        auditor.refuses("no verifiable signatures", url, grown.vkey, grown.older)


def test_a_log_that_shrank_is_refused(grown, auditor):
    with between(grown.house.url, "/checkpoint", lambda _: grown.older.encode()) as url:
        auditor.refuses("shrank", url, grown.vkey, grown.newest)


def test_a_history_rewritten_under_the_logs_own_key_is_refused(grown, auditor):
    """The log once signed another tree of that size; its signatures are good, its history is not."""
    origin, size, root, _ = grown.older.split("\n", 3)
    other = grown.older.replace(root, flipped_text(root))
    once_signed = resigned(other, grown.house.registry.ledger.log.key, log_key_id(grown.vkey))
    auditor.refuses(f"consistency proof from {size}", grown.house.url, grown.vkey, once_signed)
    assert once_signed.startswith(f"{origin}\n{size}\n")
