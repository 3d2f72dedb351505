"""An operator with the log's key and two histories: no quorum of witnesses lets both be believed."""

from __future__ import annotations

import shutil
from dataclasses import replace

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.logs import Logbook
from support.witnesses import LOG_KEY, NOW, VERIFIER, new_street, new_witness

from auditlog.database import Database
from clients.witness import witness_app
from consent.storage.migrating import migrate
from crypto.cosignatures import CosigningKey
from crypto.errors import SignatureError
from crypto.notes import Checkpoint, sign_checkpoint
from crypto.policies import Log, witnessed_by
from crypto.policies import Witness as Asked
from crypto.witnessing import AddCheckpoint
from protocol.errors import NotWitnessed, RegistryUnavailable
from protocol.heads import HeadStore
from protocol.log_client import LogClient


@pytest.fixture(scope="module")
def street():
    with new_street() as move_in:
        yield move_in


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
