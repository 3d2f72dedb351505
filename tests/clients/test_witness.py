"""A lender's witness over HTTP, as https://c2sp.org/tlog-witness asks: it remembers, and no fork gets its signature."""

from __future__ import annotations

import hashlib
import http.client
import itertools
import random
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from support.killing import kill_soon
from support.logs import ORIGIN, Logbook
from support.waiting import until
from support.wire import serve

from auditlog.database import Database
from clients.witness import WITNESS_FOLDER, WITNESS_KEY_FILE, LenderWitness, create_witness, origin_hash, witness_app
from consent.storage.migrating import migrate
from crypto.cosignatures import CosigningKey, Kind
from crypto.errors import KeyFileError, SignatureError
from crypto.keys import SigningKey
from crypto.merkle import EMPTY_ROOT, consistency_proof, leaf_hash, leaves_reader, tree_root
from crypto.notes import Checkpoint, Verifier, sign_checkpoint, signature_line, signers
from crypto.policies import Log, witnessed_by
from crypto.policies import Witness as Asked
from crypto.witnessing import MAX_REQUEST_BYTES, AddCheckpoint
from ops.processes import free_port
from protocol.errors import NotWitnessed, RegistryUnavailable
from protocol.log_client import HeadStore, LogClient

NOW = 1_800_000_000
LOG_KEY = SigningKey.generate()
VERIFIER = Verifier(ORIGIN, LOG_KEY.public)
HTTP = httpx.Client()
_numbers = itertools.count()


class History:
    """An operator's list of leaves, and everything that can be said about it with the log's key."""

    def __init__(self, *leaves: str) -> None:
        self.hashes = [leaf_hash(leaf.encode()) for leaf in leaves]

    def head(self, size: int) -> Checkpoint:
        return Checkpoint(ORIGIN, size, tree_root(size, leaves_reader(self.hashes[:size])))

    def note(self, size: int) -> str:
        return sign_checkpoint(self.head(size), LOG_KEY)

    def request(self, old: int, size: int) -> AddCheckpoint:
        proof = consistency_proof(old, size, leaves_reader(self.hashes[:size])) if 0 < old < size else []
        return AddCheckpoint(old, tuple(proof), self.note(size))


TRUNK = History(*(f"leaf {i}" for i in range(600)))


def forked(at: int, name: str = "other") -> History:
    """The trunk's first ``at`` leaves, then others."""
    branch = History()
    branch.hashes = TRUNK.hashes[:at] + [leaf_hash(f"{name} {i}".encode()) for i in range(at, 600)]
    return branch


@pytest.fixture(scope="module")
def street():
    """One real server; applications move in under a path of their own."""
    app = Starlette()
    with serve(app, free_port()) as url:

        def move_in(tenant: Starlette) -> str:
            path = f"/house-{next(_numbers)}"
            app.mount(path, tenant)
            return url + path

        yield move_in


def new_witness(home, kind: Kind = Kind.ED25519) -> LenderWitness:
    home.mkdir(parents=True)
    create_witness(home, "w.example/one", kind)
    return replace(LenderWitness.open(home, VERIFIER), clock=lambda: NOW)


@pytest.fixture
def witness(tmp_path) -> LenderWitness:
    return new_witness(tmp_path / "home")


@pytest.fixture
def url(street, witness) -> str:
    return street(witness_app({"one": witness}))


def ask(url: str, request: AddCheckpoint | bytes) -> httpx.Response:
    return HTTP.post(f"{url}/add-checkpoint", content=request if isinstance(request, bytes) else request.text)


def seen(url: str) -> httpx.Response:
    return HTTP.get(f"{url}/{hashlib.sha256(ORIGIN.encode()).hexdigest()}/checkpoint")


def reopened(witness: LenderWitness) -> LenderWitness:
    """What a new process finds in the same folder."""
    return replace(LenderWitness.open(witness.folder.parent, VERIFIER), clock=lambda: NOW)


@pytest.mark.parametrize("kind", Kind)
def test_what_extends_the_last_head_is_cosigned_and_verifies(tmp_path, street, kind):
    witness = new_witness(tmp_path / "home", kind)
    url = street(witness_app({"one": witness}))
    old = 0
    for size in (0, 1, 7, 7, 256, 600):
        request = TRUNK.request(old, size)
        answer = ask(url, request)
        assert answer.status_code == 200
        assert answer.text.startswith("— w.example/one ")
        assert answer.text.endswith("\n")
        assert answer.text.count("\n") == 1
        _, keys = signers(request.note + answer.text, [VERIFIER, witness.key.public])
        assert keys == [VERIFIER, witness.key.public]
        old = size


def test_every_refusal_has_the_status_and_the_content_type_of_the_specification(url):
    assert ask(url, TRUNK.request(0, 10)).status_code == 200
    stranger = SigningKey.generate()
    head = TRUNK.head(20)
    unknown_origin = sign_checkpoint(replace(head, origin="log.test/unknown"), stranger)
    spoiled = TRUNK.note(20) + signature_line(ORIGIN, VERIFIER.key_id + b"\1" * 64)
    refusals = {
        400: [
            b"",
            b"\xff\xfe",
            b"old 10\n",
            b"old 010\n\n" + TRUNK.note(20).encode(),
            b"old 10\nbm90IGEgaGFzaA==\n\n" + TRUNK.note(20).encode(),
            b"old 10\n\nlog.test/one\n20\n",
            AddCheckpoint(10, (b"\0" * 32,) * 64, TRUNK.note(20)),
            TRUNK.request(30, 20),
        ],
        403: [AddCheckpoint(10, (), sign_checkpoint(head, stranger)), AddCheckpoint(10, (), spoiled)],
        404: [AddCheckpoint(10, (), unknown_origin)],
        409: [TRUNK.request(0, 20), TRUNK.request(9, 20), TRUNK.request(11, 20), TRUNK.request(0, 5)],
        422: [
            AddCheckpoint(10, (), TRUNK.note(20)),
            AddCheckpoint(10, (*TRUNK.request(10, 20).proof, b"\0" * 32), TRUNK.note(20)),
            AddCheckpoint(10, TRUNK.request(10, 20).proof, forked(5).note(20)),
            AddCheckpoint(10, (), forked(5).note(10)),
        ],
    }
    for status, requests in refusals.items():
        for request in requests:
            answer = ask(url, request)
            assert answer.status_code == status, (status, request, answer.text)
            assert answer.headers["content-type"].partition(";")[0] == (
                "text/x.tlog.size" if status == 409 else "text/plain"
            )
            if status == 409:
                assert answer.text == "10\n"
    assert ask(url, TRUNK.request(10, 20)).status_code == 200, "no refusal changed what the witness remembers"


def test_a_conflict_has_exactly_the_content_type_of_the_specification(url):
    answer = ask(url, TRUNK.request(3, 20))
    assert (answer.status_code, answer.headers["content-type"]) == (409, "text/x.tlog.size")


def test_before_it_cosigned_anything_a_witness_stands_at_zero(url):
    answer = ask(url, TRUNK.request(3, 20))
    assert (answer.status_code, answer.text) == (409, "0\n")
    wrong_root = sign_checkpoint(Checkpoint(ORIGIN, 0, b"\0" * 32), LOG_KEY)
    assert ask(url, AddCheckpoint(0, (), wrong_root)).status_code == 422
    assert ask(url, AddCheckpoint(0, (b"\0" * 32,), TRUNK.note(3))).status_code == 422
    assert TRUNK.head(0).root == EMPTY_ROOT
    assert ask(url, TRUNK.request(0, 0)).status_code == 200


def test_monitors_get_the_last_head_with_both_signatures(url, witness):
    assert seen(url).status_code == 404
    assert httpx.get(f"{url}/{'0' * 64}/checkpoint").status_code == 404
    request = TRUNK.request(0, 12)
    with_others = request.note + CosigningKey.generate("w.example/two").cosign(TRUNK.head(12).text, NOW)
    lines = ask(url, AddCheckpoint(0, (), with_others)).text
    answer = seen(url)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text == request.note + lines
    assert signers(answer.text, [VERIFIER, witness.key.public])[1] == [VERIFIER, witness.key.public]
    ask(url, TRUNK.request(12, 13))
    assert Checkpoint.parse(seen(url).text.partition("\n\n")[0] + "\n").size == 13


def test_several_witnesses_of_one_process_remember_apart(tmp_path, street):
    names = ("aspen", "birch")
    url = street(witness_app({name: new_witness(tmp_path / name) for name in names}))
    assert ask(f"{url}/aspen", TRUNK.request(0, 5)).status_code == 200
    assert ask(f"{url}/birch", forked(0).request(0, 5)).status_code == 200
    assert ask(f"{url}/aspen", forked(0).request(5, 6)).status_code == 422
    assert ask(url, TRUNK.request(5, 6)).status_code == 404


def test_only_the_methods_of_the_specification_are_answered(url):
    assert httpx.get(f"{url}/add-checkpoint").status_code == 405
    assert httpx.put(f"{url}/add-checkpoint", content=b"x").status_code == 405
    assert httpx.post(f"{url}/{origin_hash(ORIGIN)}/checkpoint").status_code == 405


def test_a_request_is_read_up_to_its_limit_whether_it_states_its_length_or_not(url):
    host, _, path = url.removeprefix("http://").partition("/")
    body = TRUNK.request(0, 5).text.encode()

    def answered(headers, *chunks):
        connection = http.client.HTTPConnection(host, timeout=10)
        connection.putrequest("POST", f"/{path}/add-checkpoint")
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        for chunk in chunks:
            connection.send(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        status = connection.getresponse().status
        connection.close()
        return status

    chunked = {"Transfer-Encoding": "chunked"}
    assert answered({"Content-Length": str(MAX_REQUEST_BYTES + 1)}) == 413
    assert answered({"Content-Length": "9" * 30}) == 400
    assert answered(chunked, body, b"x" * MAX_REQUEST_BYTES, b"") == 413
    assert answered({}) == 400, "nothing is no request"
    assert seen(url).status_code == 404, "none of them was cosigned"
    padded = body + b"x" * (MAX_REQUEST_BYTES - len(body))
    assert ask(url, padded).status_code == 403, "a request of the largest size is read"
    assert answered(chunked, body[:10], body[10:], b"") == 200


# --- what it remembers


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
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_memory_is_not_believed_and_nothing_is_cosigned(url, witness, damage):
    assert ask(url, TRUNK.request(0, 10)).status_code == 200
    memory = witness.folder / f"{origin_hash(ORIGIN)}.checkpoint"
    memory.write_bytes(damage(memory.read_bytes()))
    for request in (TRUNK.request(10, 11), TRUNK.request(0, 11), forked(3).request(9, 12)):
        answer = ask(url, request)
        assert answer.status_code == 503
        assert "nothing was cosigned" in answer.text
        assert "—" not in answer.text


def test_a_memory_that_is_not_text_is_not_believed_either(url, witness):
    ask(url, TRUNK.request(0, 10))
    memory = witness.folder / f"{origin_hash(ORIGIN)}.checkpoint"
    memory.write_bytes(b"\xff" + memory.read_bytes())
    assert ask(url, TRUNK.request(10, 11)).status_code == 503
    assert seen(url).status_code == 503


def test_a_damaged_memory_is_not_served_to_monitors(url, witness):
    ask(url, TRUNK.request(0, 10))
    memory = witness.folder / f"{origin_hash(ORIGIN)}.checkpoint"
    memory.write_bytes(memory.read_bytes().replace(b"\n10\n", b"\n9\n"))
    assert seen(url).status_code == 503


def junk(name: str, size: int) -> str:
    """A signature line of a key that nobody knows."""
    return signature_line(name, size.to_bytes(4, "big") + b"\1" * 64)


def test_signatures_of_unknown_keys_are_neither_believed_nor_kept(url, witness):
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


# --- the split view


@pytest.fixture(scope="module")
def empty_log(tmp_path_factory):
    path = tmp_path_factory.mktemp("empty") / "log.db"
    database = Database(path)
    migrate(database)
    database.close()
    return path


SPLIT = st.lists(
    st.one_of(
        st.tuples(st.just("grow"), st.integers(0, 1), st.integers(1, 5)),
        st.tuples(st.just("publish"), st.integers(0, 1), st.just(0)),
        st.tuples(st.just("ask"), st.integers(0, 1), st.integers(0, 2)),
    ),
    min_size=1,
    max_size=14,
)
BOTH_GROW = [("grow", 0, 2), ("grow", 1, 3)]


def coaxed(client, url, log, session, note: str, head: Checkpoint) -> str:
    """What an operator can get out of one witness for one head: it starts from wherever the witness says it stands."""
    size = int(client.post(f"{url}/add-checkpoint", content=AddCheckpoint(1 << 60, (), sized(note)).text).text)
    if size > head.size:
        return ""
    proof = log.prove_consistency(session, size, head.size) if 0 < size < head.size else []
    answer = client.post(f"{url}/add-checkpoint", content=AddCheckpoint(size, tuple(proof), note).text)
    return answer.text if answer.status_code == 200 else ""


def sized(note: str) -> str:
    """The operator signs anything: a head so large that the witness answers where it stands."""
    head = Checkpoint.parse(note.partition("\n\n")[0] + "\n")
    return sign_checkpoint(replace(head, size=1 << 61), LOG_KEY)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(moves=SPLIT)
@example(moves=[("publish", 0, 0), ("publish", 1, 0)])
@example(moves=[("ask", 0, 0), ("ask", 1, 1), ("publish", 0, 0), ("publish", 1, 0)])
@example(moves=[("ask", 0, 0), ("ask", 1, 1), ("ask", 1, 2), ("publish", 0, 0), ("ask", 0, 1), ("publish", 1, 0)])
def test_an_operator_who_forks_cannot_publish_both_branches(street, empty_log, tmp_path_factory, moves):
    """Three witnesses, any two make the quorum; the operator has the log's key and asks whom it wants."""
    root = tmp_path_factory.mktemp("split")
    names = ("aspen", "birch", "cedar")
    witnesses = {name: new_witness(root / name) for name in names}
    url = street(witness_app(witnesses))
    asked = tuple(Asked(name, witnesses[name].key.public, f"{url}/{name}") for name in names)
    policy = witnessed_by(Log(VERIFIER), asked, 2)
    branches = []
    for name in ("left", "right"):
        path = root / f"{name}.db"
        shutil.copy(empty_log, path)
        branches.append(Logbook.over(Database(path), LOG_KEY, policy))
        branches[-1].append(b"common 1", b"common 2", b"common 3")
        assert branches[-1].settle() == 3, "what both share is published on either side"
    collected: list[dict[str, str]] = [{}, {}]
    published: list[set[str]] = [set(), set()]
    with httpx.Client() as client:
        for move, side, number in (*BOTH_GROW, *moves):
            book = branches[side]
            if move == "grow":
                book.append(*(f"{side}/{number}/{i}".encode() for i in range(number)))
            elif move == "publish":
                try:
                    book.settle()
                except NotWitnessed:
                    continue
                with book.database.read() as session:
                    published[side].add(book.log.checkpoint(session))
            else:
                while book.sequencer.integrate():
                    pass
                with book.database.read() as session:
                    note = book.log.signed_head(session)
                head = Checkpoint.parse(note.partition("\n\n")[0] + "\n")
                with book.database.read() as session:
                    line = coaxed(client, f"{url}/{names[number]}", book.log, session, note, head)
                if line not in collected[side].get(note, ""):
                    collected[side][note] = collected[side].get(note, "") + line
    believed: list[set[int]] = [set(), set()]
    for side in (0, 1):
        candidates = published[side] | {note + lines for note, lines in collected[side].items()}
        for note in candidates:
            try:
                head = policy.open(note)
            except SignatureError:
                continue
            if head.size > 3:
                believed[side].add(head.size)
    assert not (believed[0] and believed[1]), "two histories have a quorum"
    for book in branches:
        book.sequencer.witnesses.close()
        book.database.close()


def test_a_reader_with_the_policy_refuses_the_branch_without_a_quorum(street, empty_log, tmp_path):
    names = ("aspen", "birch", "cedar")
    witnesses = {name: new_witness(tmp_path / name) for name in names}
    url = street(witness_app(witnesses))
    policy = witnessed_by(Log(VERIFIER), tuple(Asked(n, w.key.public, f"{url}/{n}") for n, w in witnesses.items()), 2)
    books = []
    for name in ("left", "right"):
        shutil.copy(empty_log, tmp_path / f"{name}.db")
        books.append(Logbook.over(Database(tmp_path / f"{name}.db"), LOG_KEY, policy))
        books[-1].append(b"common", name.encode())
    assert books[0].settle() == 2
    with pytest.raises(NotWitnessed, match="422"):
        books[1].settle()
    with books[0].database.read() as session:
        good = books[0].log.checkpoint(session)
    with books[1].database.read() as session:
        lonely = books[1].log.signed_head(session)
    shown = [good]
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text=shown[0]))
    for heads in (None, HeadStore(tmp_path / "head")):
        shown[0] = good
        with httpx.Client(base_url="http://log.test", transport=transport) as client:
            reader = LogClient("http://log.test", policy, heads, client)
            assert reader.head().size == 2
            one_alone = lonely + CosigningKey.generate("aspen.example/witness").cosign(lonely, NOW)
            for note in (lonely, one_alone, lonely + good.rpartition("\n\n")[2]):
                shown[0] = note
                with pytest.raises(RegistryUnavailable, match=r"quorum|does not verify"):
                    reader.head()
    for book in books:
        book.sequencer.witnesses.close()
        book.database.close()
