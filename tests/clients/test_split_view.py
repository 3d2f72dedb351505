"""An operator with the log's key and two histories: no quorum of witnesses lets both be believed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.logs import Logbook
from support.witnesses import LOG_KEY, NOW, VERIFIER, ask, new_witness

from auditlog.database import Database
from clients.witness import witness_app
from consent.storage.migrating import migrate
from crypto.cosignatures import CosigningKey
from crypto.errors import SignatureError
from crypto.notes import Checkpoint, sign_checkpoint
from crypto.policies import Log, Policy, witnessed_by
from crypto.policies import Witness as Asked
from crypto.witnessing import AddCheckpoint
from protocol.errors import NotWitnessed, RegistryUnavailable
from protocol.heads import HeadStore
from protocol.log_client import LogClient

NAMES = ("aspen", "birch", "cedar")


@contextmanager
def split(street, root: Path) -> Iterator[tuple[str, Policy, list[Logbook]]]:
    """Three witnesses, any two make the quorum, and two logs under the operator's one key: (url, policy, logs)."""
    witnesses = {name: new_witness(root / name) for name in NAMES}
    url = street(witness_app(witnesses))
    asked = tuple(Asked(name, witness.key.public, f"{url}/{name}") for name, witness in witnesses.items())
    policy = witnessed_by(Log(VERIFIER), asked, 2)
    databases = [Database(root / f"{side}.db") for side in ("left", "right")]
    for database in databases:
        migrate(database)
    logs = [Logbook.over(database, LOG_KEY, policy) for database in databases]
    yield url, policy, logs
    for log in logs:
        log.sequencer.witnesses.close()
        log.database.close()


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


def sized(note: str) -> str:
    """The operator signs anything: a head so large that the witness answers where it stands."""
    head = Checkpoint.parse(note.partition("\n\n")[0] + "\n")
    return sign_checkpoint(replace(head, size=1 << 61), LOG_KEY)


@dataclass
class Branch:
    """What an operator does with one of its histories, and the notes that it got of it."""

    side: int
    book: Logbook
    url: str
    published: set[str] = field(default_factory=set)
    collected: dict[str, str] = field(default_factory=dict)
    """By signed head, the witnesses' lines."""

    def grow(self, count: int) -> None:
        self.book.append(*(f"{self.side}/{count}/{i}".encode() for i in range(count)))

    def publish(self, _: int) -> None:
        try:
            self.book.settle()
        except NotWitnessed:
            return
        with self.book.database.read() as session:
            self.published.add(self.book.log.checkpoint(session))

    def ask(self, number: int) -> None:
        while self.book.sequencer.integrate():
            pass
        with self.book.database.read() as session:
            note = self.book.log.signed_head(session)
            line = self.coaxed(session, f"{self.url}/{NAMES[number]}", note)
        if line not in self.collected.setdefault(note, ""):
            self.collected[note] += line

    def coaxed(self, session, witness: str, note: str) -> str:
        """What one witness can be got to sign: the operator starts from wherever the witness says it stands."""
        head = Checkpoint.parse(note.partition("\n\n")[0] + "\n")
        size = int(ask(witness, AddCheckpoint(1 << 60, (), sized(note))).text)
        if size > head.size:
            return ""
        proof = self.book.log.prove_consistency(session, size, head.size) if 0 < size < head.size else []
        answer = ask(witness, AddCheckpoint(size, tuple(proof), note))
        return answer.text if answer.status_code == 200 else ""

    def believed(self, policy: Policy) -> set[int]:
        """Sizes beyond what both histories share, under a quorum."""
        sizes = set()
        for note in self.published | {note + lines for note, lines in self.collected.items()}:
            with suppress(SignatureError):
                sizes.add(policy.open(note).size)
        return {size for size in sizes if size > 3}


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(moves=SPLIT)
@example(moves=[("publish", 0, 0), ("publish", 1, 0)])
@example(moves=[("ask", 0, 0), ("ask", 1, 1), ("publish", 0, 0), ("publish", 1, 0)])
@example(moves=[("ask", 0, 0), ("ask", 1, 1), ("ask", 1, 2), ("publish", 0, 0), ("ask", 0, 1), ("publish", 1, 0)])
def test_an_operator_who_forks_cannot_publish_both_branches(street, tmp_path_factory, moves):
    """Three witnesses, any two make the quorum; the operator has the log's key and asks whom it wants."""
    with split(street, tmp_path_factory.mktemp("split")) as (url, policy, books):
        for book in books:
            book.append(b"common 1", b"common 2", b"common 3")
            assert book.settle() == 3, "what both share is published on either side"
        branches = [Branch(side, book, url) for side, book in enumerate(books)]
        for move, side, number in (*BOTH_GROW, *moves):
            getattr(branches[side], move)(number)
        assert not all(branch.believed(policy) for branch in branches), "two histories have a quorum"


def test_a_reader_with_the_policy_refuses_the_branch_without_a_quorum(street, tmp_path):
    with split(street, tmp_path) as (_, policy, books):
        for book, own in zip(books, (b"left", b"right"), strict=True):
            book.append(b"common", own)
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
