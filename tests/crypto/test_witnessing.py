"""What a witness decides, status by status and in order, and that no operator leads it onto a fork: C2SP tlog-witness
(https://c2sp.org/tlog-witness)."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule
from support.effort import effort
from support.logs import ORIGIN
from support.witnesses import LOG_KEY, TRUNK, VERIFIER, forked, proof_between

from crypto.cosignatures import CosigningKey
from crypto.keys import SigningKey
from crypto.merkle import EMPTY_ROOT, leaf_hash, leaves_reader, tree_root
from crypto.notes import Checkpoint, Verifier, sign_checkpoint, sign_note, signature_line
from crypto.witnessing import MAX_PROOF_LINES, MAX_REQUEST_BYTES, AddCheckpoint, WitnessRefusal, consider

LOGS = {ORIGIN: VERIFIER}
TWO = "log.test/two"
FORK = forked(10)


def at(size: int) -> dict[str, Checkpoint]:
    return {ORIGIN: TRUNK.head(size)}


def of_two(size: int, key: SigningKey) -> str:
    """A head of a second log, signed with this key."""
    return sign_checkpoint(replace(TRUNK.head(size), origin=TWO), key)


def refusal(asked: AddCheckpoint, latest: dict[str, Checkpoint]) -> tuple[int, int | None]:
    with pytest.raises(WitnessRefusal) as refused:
        consider(asked, LOGS, latest)
    return refused.value.status, refused.value.size


# --- the request


def test_a_request_is_written_as_the_specification_writes_it():
    asked = TRUNK.request(3, 7)
    lines = asked.text.split("\n")
    assert lines[0] == "old 3"
    assert lines[1 : 1 + len(asked.proof)] == [b64encode(value).decode() for value in asked.proof]
    assert lines[1 + len(asked.proof)] == ""
    assert "\n".join(lines[2 + len(asked.proof) :]) == asked.note
    assert TRUNK.request(0, 7).text == f"old 0\n\n{asked.note}"


@given(st.integers(0, 40), st.integers(0, 40))
def test_a_request_reads_back_as_it_was_written(old, size):
    asked = TRUNK.request(min(old, size), size)
    assert AddCheckpoint.parse(asked.text.encode()) == asked


HASH = b64encode(b"\1" * 32)
NOTE = TRUNK.note(5).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n\n",
        NOTE,
        b"old 0\n" + NOTE,
        b"old\n\n" + NOTE,
        b"old  0\n\n" + NOTE,
        b"Old 0\n\n" + NOTE,
        b"old 00\n\n" + NOTE,
        b"old 05\n\n" + NOTE,
        b"old -1\n\n" + NOTE,
        b"old +1\n\n" + NOTE,
        b"old 1e3\n\n" + NOTE,
        b"old 0 \n\n" + NOTE,
        b"old 0\r\n\r\n" + NOTE,
        b"old " + b"9" * 30 + b"\n\n" + NOTE,
        "old \u0661\n\n".encode() + NOTE,
        b"old 1\n" + HASH + b" \n\n" + NOTE,
        b"old 1\n" + HASH[:-1] + b"\n\n" + NOTE,
        b"old 1\n" + b64encode(b"\1" * 31) + b"\n\n" + NOTE,
        b"old 1\n" + b64encode(b"\1" * 33) + b"\n\n" + NOTE,
        b"old 1\n!" + HASH + b"\n\n" + NOTE,
        b"old 1\n" + (HASH + b"\n") * (MAX_PROOF_LINES + 1) + b"\n" + NOTE,
        b"old 1\n\xff\xfe\n\n" + NOTE,
        b"old 0\n\n" + NOTE + b"\n" * MAX_REQUEST_BYTES,
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_no_request_is_a_400(body):
    with pytest.raises(WitnessRefusal) as refused:
        AddCheckpoint.parse(body)
    assert refused.value.status == 400


def test_as_many_proof_lines_as_the_specification_allows_are_read():
    body = b"old 1\n" + (HASH + b"\n") * MAX_PROOF_LINES + b"\n" + NOTE
    assert len(AddCheckpoint.parse(body).proof) == MAX_PROOF_LINES == 63


@given(st.binary(max_size=300))
def test_no_bytes_are_anything_but_a_request_or_a_400(noise):
    for body in (noise, b"old 0\n" + noise, b"old 0\n\n" + noise):
        try:
            consider(AddCheckpoint.parse(body), LOGS, {})
        except WitnessRefusal as refused:
            assert refused.status in {400, 404}


# --- the decision


def test_what_extends_the_last_head_is_considered_good():
    for old, size in [(0, 0), (0, 1), (0, 40), (1, 1), (1, 2), (7, 8), (8, 8), (8, 33), (39, 40)]:
        latest = at(old) if old else {}
        assert consider(TRUNK.request(old, size), LOGS, latest) == TRUNK.head(size)
    assert consider(TRUNK.request(0, 9), LOGS, at(0)) == TRUNK.head(9), "an empty tree was cosigned before"


@pytest.mark.parametrize(
    "text",
    ["", "log.test/one\n", "log.test/one\n5\n", "log.test/one\n05\nAAAA\n", "log.test/one\nfive\nAAAA\n", "\n5\nx\n"],
)
def test_a_note_that_holds_no_checkpoint_is_a_400(text):
    assert refusal(AddCheckpoint(0, (), f"{text}\n— a AAAAAAAA\n"), {})[0] == 400


def test_an_unknown_origin_is_a_404_whoever_signed_it():
    for key in (LOG_KEY, SigningKey.generate()):
        assert refusal(AddCheckpoint(0, (), of_two(5, key)), {})[0] == 404


def test_without_a_signature_of_the_trusted_key_it_is_a_403():
    stranger, text = SigningKey.generate(), TRUNK.head(5).text
    other_name = text + "\n" + sign_note(text, TWO, LOG_KEY).rpartition("\n\n")[2]
    cosigned_only = text + "\n" + CosigningKey(ORIGIN, CosigningKey.generate("x").kind, LOG_KEY.seed).cosign(text, 1)
    good = TRUNK.note(5).rpartition("\n\n")[2]
    moved = TRUNK.head(6).text + "\n" + good
    for note in (sign_checkpoint(TRUNK.head(5), stranger), other_name, cosigned_only, moved):
        assert refusal(AddCheckpoint(0, (), note), {})[0] == 403


def test_a_bad_signature_under_the_trusted_key_s_id_is_a_403_even_beside_a_good_one():
    note = TRUNK.note(5)
    bad = signature_line(ORIGIN, LOGS[ORIGIN].key_id + b"\1" * 64)
    assert refusal(AddCheckpoint(0, (), note + bad), {})[0] == 403
    text, _, good = note.rpartition("\n\n")
    assert refusal(AddCheckpoint(0, (), f"{text}\n\n{bad}{good}"), {})[0] == 403


def test_signatures_of_unknown_keys_are_ignored():
    stranger = signature_line("witness.example/w", b"\1" * 68)
    same_name = signature_line(ORIGIN, b"\1\2\3\4" + b"\1" * 64)
    assert consider(AddCheckpoint(0, (), TRUNK.note(5) + stranger + same_name), LOGS, {}) == TRUNK.head(5)


def test_an_old_size_above_the_checkpoint_s_is_a_400():
    assert refusal(AddCheckpoint(6, (), TRUNK.note(5)), {}) == (400, None)
    assert refusal(AddCheckpoint(6, (), TRUNK.note(5)), at(6)) == (400, None)


@pytest.mark.parametrize(("old", "size", "last"), [(0, 5, 3), (2, 5, 3), (4, 5, 3), (1, 5, 0), (5, 5, 7), (0, 5, 7)])
def test_another_old_size_than_the_last_one_is_a_409_that_says_which(old, size, last):
    assert refusal(TRUNK.request(old, size), at(last) if last else {}) == (409, last)


def test_an_empty_tree_with_another_root_is_a_422():
    assert TRUNK.head(0).root == EMPTY_ROOT
    assert refusal(AddCheckpoint(0, (), sign_checkpoint(Checkpoint(ORIGIN, 0, b"\1" * 32), LOG_KEY)), {})[0] == 422


def test_a_proof_from_an_empty_tree_is_a_422():
    for latest in ({}, at(0)):
        assert refusal(AddCheckpoint(0, (b"\1" * 32,), TRUNK.note(5)), latest)[0] == 422


def test_the_same_size_with_another_root_or_with_a_proof_is_a_422():
    assert refusal(AddCheckpoint(12, (), FORK.note(12)), at(12))[0] == 422
    assert refusal(AddCheckpoint(12, (b"\1" * 32,), TRUNK.note(12)), at(12))[0] == 422


@given(st.integers(1, 39), st.integers(0, 39), st.data())
def test_a_proof_that_was_altered_in_any_place_is_a_422(old, grown, data):
    asked = TRUNK.request(old, min(40, old + 1 + grown))
    proof = list(asked.proof)
    at_hash = data.draw(st.integers(0, len(proof) - 1))
    altered = {
        "cut": proof[:at_hash] + proof[at_hash + 1 :],
        "longer": [*proof, b"\1" * 32],
        "flipped": [*proof[:at_hash], bytes([proof[at_hash][0] ^ 1]) + proof[at_hash][1:], *proof[at_hash + 1 :]],
        "none": [],
    }
    for hashes in altered.values():
        assert refusal(replace(asked, proof=tuple(hashes)), at(old))[0] == 422


def test_a_fork_is_a_422_with_the_proof_of_either_branch():
    for proof in (TRUNK.request(12, 20).proof, FORK.request(12, 20).proof, ()):
        assert refusal(AddCheckpoint(12, proof, FORK.note(20)), at(12))[0] == 422
    assert consider(FORK.request(9, 20), LOGS, at(9)) == FORK.head(20), "before they part, either may be the log"


FAULTS = {
    400: lambda r: replace(r, note=r.note.replace("\n30\n", "\n030\n")),
    404: lambda r: replace(r, note=r.note.replace(f"{ORIGIN}\n", "log.test/two\n", 1)),
    403: lambda r: replace(r, note=sign_checkpoint(FORK.head(30), SigningKey.generate())),
    409: lambda r: replace(r, old=19),
    422: lambda r: replace(r, proof=()),
}


@given(st.sets(st.sampled_from(sorted(FAULTS)), min_size=1))
def test_the_first_rule_that_is_broken_is_the_one_that_is_told(broken):
    """In the order of the module: well-formed, known, signed, then the sizes, then the proof."""
    asked = TRUNK.request(20, 30)
    for status in (422, 409, 403, 404, 400):
        if status in broken:
            asked = FAULTS[status](asked)
    expected = next(status for status in (400, 404, 403, 409, 422) if status in broken)
    assert refusal(asked, at(20))[0] == expected


def test_an_old_size_that_is_too_large_is_told_before_one_that_is_another():
    assert refusal(AddCheckpoint(31, (), TRUNK.note(30)), at(20)) == (400, None)


def test_logs_are_remembered_apart():
    other = SigningKey.generate()
    logs = LOGS | {TWO: Verifier(TWO, other.public)}
    second = of_two(5, other)
    assert consider(AddCheckpoint(0, (), second), logs, at(30)).origin == TWO
    with pytest.raises(WitnessRefusal) as refused:
        consider(AddCheckpoint(30, (), of_two(31, LOG_KEY)), logs, at(30))
    assert refused.value.status == 403, "one log's key signs nothing for the other"


# --- an adversarial log


class AdversarialLog(RuleBasedStateMachine):
    """The operator holds the log's key, keeps as many histories as it likes, and asks for anything with any proof.

    The oracle is the full list of leaves behind every head: of two heads that were cosigned, one list starts with the
    other.
    """

    histories = Bundle("histories")

    def __init__(self) -> None:
        super().__init__()
        self.latest: dict[str, Checkpoint] = {}
        self.cosigned: list[tuple[bytes, ...]] = []
        self.fresh = 0

    @initialize(target=histories)
    def begin(self) -> tuple[bytes, ...]:
        return ()

    @rule(target=histories, history=histories, count=st.integers(1, 9))
    def grow(self, history, count):
        self.fresh += 1
        return history + tuple(leaf_hash(f"{self.fresh}/{i}".encode()) for i in range(count))

    @rule(target=histories, history=histories, data=st.data())
    def fork(self, history, data):
        self.fresh += 1
        keep = data.draw(st.integers(0, len(history)))
        return history[:keep] + tuple(leaf_hash(f"{self.fresh}/{i}".encode()) for i in range(len(history) - keep))

    @rule(target=histories, history=consumes(histories), data=st.data())
    def reorder(self, history, data):
        return tuple(data.draw(st.permutations(history))) if len(history) < 8 else history[::-1]

    def _ask(self, history, old, proof, size=None) -> bool:
        root = tree_root(len(history), leaves_reader(list(history)))
        checkpoint = Checkpoint(ORIGIN, len(history) if size is None else size, root)
        asked = AddCheckpoint(old, tuple(proof), sign_checkpoint(checkpoint, LOG_KEY))
        try:
            self.latest[ORIGIN] = consider(AddCheckpoint.parse(asked.text.encode()), LOGS, self.latest)
        except WitnessRefusal:
            return False
        assert size is None or size == len(history), "a size that is not that of the tree was cosigned"
        self.cosigned.append(history)
        return True

    @rule(history=histories)
    def ask_honestly(self, history):
        """Whatever truly extends the last head is cosigned, and nothing else."""
        known = self.cosigned[-1] if self.cosigned else ()
        extends = history[: len(known)] == known
        proof = proof_between(history, len(known), len(history))
        assert self._ask(history, len(known), proof) == extends

    @rule(history=histories, other=histories, old=st.integers(0, 60), data=st.data())
    def ask_with_a_proof_of_another_history(self, history, other, old, data):
        known = len(self.cosigned[-1]) if self.cosigned else 0
        old = data.draw(st.sampled_from([old, known]))
        proof = proof_between(other, old, min(len(history), len(other)))
        if data.draw(st.booleans()) and proof:
            proof = proof[:-1] if data.draw(st.booleans()) else [*proof, proof[-1]]
        self._ask(history, old, proof)

    @rule(history=histories, size=st.integers(0, 60))
    def ask_with_a_wrong_size(self, history, size):
        known = self.cosigned[-1] if self.cosigned else ()
        if known and size != len(history):  # before anything was cosigned there is nothing to hold a size against
            proof = proof_between(history, len(known), size) if size < len(history) else []
            self._ask(history, len(known), proof, size)

    @invariant()
    def what_was_cosigned_is_one_history(self):
        for earlier, later in zip(self.cosigned, self.cosigned[1:], strict=False):
            assert later[: len(earlier)] == earlier


TestAdversarialLog = AdversarialLog.TestCase
TestAdversarialLog.settings = settings(max_examples=effort(120, 40), stateful_step_count=25, deadline=None)
