"""What a witness has cosigned it remembers: killed, copied, damaged or full, no fork gets its signature."""

from __future__ import annotations

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import httpx
import pytest
from support.killing import kill_soon
from support.logs import ORIGIN
from support.waiting import until
from support.witnesses import NOW, TRUNK, VERIFIER, History, ask, forked, seen

from clients.witness import WITNESS_FOLDER, WITNESS_KEY_FILE, LenderWitness, origin_hash, witness_app
from crypto.errors import KeyFileError
from crypto.merkle import leaf_hash
from crypto.notes import Checkpoint, signature_line
from crypto.witnessing import MAX_REQUEST_BYTES, AddCheckpoint
from ops.processes import free_port


def reopened(witness: LenderWitness) -> LenderWitness:
    """What a new process finds in the same folder."""
    return replace(LenderWitness.open(witness.folder.parent, VERIFIER), clock=lambda: NOW)


def test_a_new_process_over_the_same_folder_still_refuses_the_fork(url, witness, street):
    assert ask(url, TRUNK.request(0, 10)).status_code == 200
    again = street(witness_app({"one": reopened(witness)}))
    assert ask(again, forked(9).request(0, 10)).status_code == 409
    assert ask(again, forked(9).request(10, 10)).status_code == 422
    assert ask(again, forked(9).request(10, 11)).status_code == 422
    assert ask(again, TRUNK.request(10, 11)).status_code == 200
    assert ask(url, TRUNK.request(10, 12)).status_code == 409, "the first process sees what the second one cosigned"


def test_what_is_answered_is_on_the_disk_first(witness, monkeypatch):
    """At the moment of the rename nothing has been answered; a death right before or after it leaves one of two heads,
    and from neither can the witness be led onto a fork of what it answered."""
    witness.add_checkpoint(TRUNK.request(0, 10).text.encode())
    real = type(witness.folder).replace

    class Killed(BaseException):
        pass

    def before(self, target):
        raise Killed

    def after(self, target):
        real(self, target)
        raise Killed

    for death, size in ((before, 10), (after, 11)):
        with monkeypatch.context() as patched:
            patched.setattr(type(witness.folder), "replace", death)
            with pytest.raises(Killed):
                witness.add_checkpoint(TRUNK.request(10, 11).text.encode())
        again = reopened(witness)
        assert f"\n{size}\n" in again.latest(ORIGIN)
    again.add_checkpoint(TRUNK.request(11, 12).text.encode())


def test_without_space_on_the_disk_nothing_is_cosigned(url, witness, monkeypatch):
    ask(url, TRUNK.request(0, 10))

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("crypto.keys.os.fsync", full)
        answer = ask(url, TRUNK.request(10, 11))
        assert answer.status_code == 503
        assert "—" not in answer.text
    assert f"\n{10}\n" in witness.latest(ORIGIN)
    assert ask(url, forked(10).request(10, 11)).status_code == 200, "the other branch was never cosigned"


SERVER = """
import sys, time
from pathlib import Path
import uvicorn
from clients.witness import LenderWitness, witness_app
from crypto.notes import Verifier

def slow():
    time.sleep(0.003)  # between reading what is remembered and replacing it
    return 1_800_000_000.0

found = LenderWitness.open(Path(sys.argv[1]), Verifier.from_vkey(sys.argv[2]))
witness = LenderWitness(found.key, found.logs, found.folder, slow)
uvicorn.run(witness_app({"one": witness}), port=int(sys.argv[3]), log_level="error")
"""


def start(home) -> tuple[subprocess.Popen, str]:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(home), VERIFIER.vkey, str(port)])
    until(lambda: answers(f"http://127.0.0.1:{port}/"), "the witness answered")
    return process, f"http://127.0.0.1:{port}"


def answers(url: str) -> bool:
    try:
        httpx.get(url)
    except httpx.TransportError:
        return False
    return True


def remembered(home) -> Checkpoint:
    known = LenderWitness.open(home, VERIFIER).latest(ORIGIN)
    return Checkpoint.parse(known.partition("\n\n")[0] + "\n") if known else TRUNK.head(0)


def test_kill_9_at_any_moment_forgets_nothing_that_was_cosigned(witness, street):
    def grow(url: str, first: int, last: int) -> None:
        for size in range(first, last):
            assert ask(url, TRUNK.request(size, size + 1)).status_code == 200

    home = witness.folder.parent
    for kill in range(4):
        process, url = start(home)
        first = remembered(home).size
        size = first + 5
        kill_soon(process, partial(grow, url, first, size), random.Random(kill))
        with pytest.raises(httpx.TransportError):
            while True:
                assert ask(url, TRUNK.request(size, size + 1)).status_code == 200
                size += 1
        process.wait()
        assert remembered(home).size >= size
        assert remembered(home) in (TRUNK.head(size), TRUNK.head(size + 1))
    again = street(witness_app({"one": reopened(witness)}))
    size = remembered(home).size
    assert ask(again, forked(size - 1).request(size, size + 1)).status_code == 422


def test_two_processes_with_many_threads_never_cosign_a_fork(witness):
    home = witness.folder.parent
    servers = [start(home) for _ in range(2)]
    branch, size = TRUNK, 0
    try:
        with ThreadPoolExecutor(4) as pool, httpx.Client() as client:
            for turn in range(15):
                rivals = [History() for _ in range(4)]
                for number, rival in enumerate(rivals):
                    rival.hashes = [*branch.hashes[:size], leaf_hash(f"{turn}/{number}".encode())]
                asked = [(servers[n % 2][1], rival.request(size, size + 1)) for n, rival in enumerate(rivals)]
                answers = list(
                    pool.map(lambda one: client.post(f"{one[0]}/add-checkpoint", content=one[1].text), asked)
                )
                won = [number for number, answer in enumerate(answers) if answer.status_code == 200]
                assert len(won) == 1, [answer.status_code for answer in answers]
                assert {answer.status_code for answer in answers} == {200, 409}
                branch, size = rivals[won[0]], size + 1
    finally:
        for process, _ in servers:
            process.kill()
            process.wait()


DAMAGES = {
    "emptied": lambda data: b"",
    "cut off": lambda data: data[:-20],
    "with another size": lambda data: data.replace(b"\n10\n", b"\n9\n"),
    "with another log's head": lambda data: data.replace(ORIGIN.encode() + b"\n", b"log.test/two\n", 1),
    "without the witness's signature": lambda data: data[: data.index("— w.example".encode())],
    "with another text's signature": lambda data: data.replace(b"\n10\n", b"\n10\nextension\n"),
    "no text": lambda data: b"\xff" + data,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_memory_is_neither_believed_nor_served_and_nothing_is_cosigned(url, witness, damage):
    assert ask(url, TRUNK.request(0, 10)).status_code == 200
    memory = witness.folder / f"{origin_hash(ORIGIN)}.checkpoint"
    memory.write_bytes(damage(memory.read_bytes()))
    for request in (TRUNK.request(10, 11), TRUNK.request(0, 11), forked(3).request(9, 12)):
        answer = ask(url, request)
        assert answer.status_code == 503
        assert "nothing was cosigned" in answer.text
        assert "—" not in answer.text
    assert seen(url).status_code == 503, "a monitor does not get it either"


def junk(name: str, size: int) -> str:
    """A signature line of a key that nobody knows."""
    return signature_line(name, size.to_bytes(4, "big") + b"\1" * 64)


def test_signatures_of_unknown_keys_are_neither_believed_nor_kept(url):
    crowded = TRUNK.note(10) + "".join(junk("w.example/stranger", i) for i in range(63))
    assert ask(url, AddCheckpoint(0, (), crowded)).status_code == 200
    assert "stranger" not in seen(url).text
    assert ask(url, AddCheckpoint(10, (), crowded + junk("w.example/stranger", 99))).status_code == 403


def test_a_crowd_of_unknown_signatures_under_the_log_s_name_does_not_stop_the_witness(url):
    """Anybody who can read the log's public checkpoint can send this; what is kept is the log's own line alone."""
    crowded = TRUNK.note(10) + "".join(junk(ORIGIN, i) for i in range(63))
    lines = ask(url, AddCheckpoint(0, (), crowded)).text
    assert seen(url).text == TRUNK.note(10) + lines
    assert ask(url, TRUNK.request(10, 11)).status_code == 200


def test_a_checkpoint_as_large_as_a_request_may_be_does_not_stop_the_witness(url):
    empty = len(AddCheckpoint(0, (), TRUNK.note(10) + f"— {ORIGIN} \n").text.encode())
    filling = "A" * ((MAX_REQUEST_BYTES - empty) // 4 * 4)
    large = TRUNK.note(10) + f"— {ORIGIN} {filling}\n"
    assert ask(url, AddCheckpoint(0, (), large)).status_code in {200, 403}
    assert ask(url, TRUNK.request(*((10, 11) if seen(url).status_code == 200 else (0, 11)))).status_code == 200


def test_a_home_without_a_witness_is_refused(tmp_path):
    with pytest.raises(KeyFileError, match="no witness"):
        LenderWitness.open(tmp_path, VERIFIER)
    (tmp_path / WITNESS_FOLDER).mkdir()
    with pytest.raises(KeyFileError, match=WITNESS_KEY_FILE):
        LenderWitness.open(tmp_path, VERIFIER)


def test_the_key_and_what_is_remembered_are_for_the_owner_s_eyes(witness):
    home = witness.folder.parent
    assert (home / WITNESS_KEY_FILE).stat().st_mode & 0o077 == 0
    assert witness.folder.stat().st_mode & 0o077 == 0
