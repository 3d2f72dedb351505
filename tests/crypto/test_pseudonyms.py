"""Names for people: the VOPRF of RFC 9497, checked against its vectors and against a second implementation."""

import hashlib
import hmac
import json
import re
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ristretto as slow
from voprf import ristretto as fast

from crypto.errors import PseudonymError
from crypto.keys import b64
from crypto.pseudonyms import (
    ELEMENT_SIZE,
    MAX_BATCH,
    Evaluation,
    Kind,
    Scope,
    blind,
    evaluate,
    finish,
    normal_identity,
    public_key,
    sealed_ledger_pseudonym,
    version_of,
)

VECTORS = json.loads((Path(__file__).parent / "vectors" / "voprf_ristretto255.json").read_text(encoding="utf-8"))
SEED, OTHER = b"\x01" * 32, b"\x02" * 32
ASPEN = Scope("sesame", Kind.PAIRWISE, "aspen", 1)
LEDGER = Scope("sesame", Kind.LEDGER, "", 1)
IDENTITY = "11010119900307123X"
LOW_ORDER_OR_NOT_AN_ELEMENT = (
    bytes(32),  # the identity
    b"\xff" * 32,
    b"\x01" + bytes(31),  # negative
    (2**255 - 19).to_bytes(32, "little"),
    bytes.fromhex("26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371"),  # RFC 9496 appendix A.3
)


def unhex(values):
    return [bytes.fromhex(value) for value in values]


def cut(elements):
    return [elements[at : at + ELEMENT_SIZE] for at in range(0, len(elements), ELEMENT_SIZE)]


def evaluated(blinded, scope=ASPEN, seed=SEED):
    (answer,) = evaluate([(seed, scope)], blinded.elements)
    return answer


def named(identities, scope=ASPEN, seed=SEED, pinned=None):
    blinded = blind(identities)
    return finish(blinded, evaluated(blinded, scope, seed), pinned or public_key(seed, scope), scope)


# --- RFC 9497


def test_keys_are_derived_as_the_rfc_does():
    derived = fast.Evaluator.from_seed(bytes.fromhex(VECTORS["seed"]), bytes.fromhex(VECTORS["key_info"]))
    assert derived.public_key.serialize().hex() == VECTORS["pk"]
    secret = int.from_bytes(bytes.fromhex(VECTORS["sk"]), "little")
    assert slow.encode(slow.multiply(secret, slow.BASE)).hex() == VECTORS["pk"]


@pytest.mark.parametrize("vector", VECTORS["vectors"])
def test_evaluation_and_output_are_the_rfc_s(vector):
    evaluator = fast.Evaluator.from_seed(bytes.fromhex(VECTORS["seed"]), bytes.fromhex(VECTORS["key_info"]))
    blinded = [fast.BlindedInput.deserialize(element) for element in unhex(vector["blinded"])]
    answer = evaluator.evaluate_batch(blinded).serialize()
    assert answer[64:].hex() == "".join(vector["evaluated"])
    public = bytes.fromhex(VECTORS["pk"])
    assert slow.proof_holds(public, unhex(vector["blinded"]), unhex(vector["evaluated"]), answer[:64])
    for message, output in zip(unhex(vector["input"]), vector["output"], strict=True):
        assert evaluator.evaluate_known_input(message).hex() == output


@pytest.mark.parametrize("vector", VECTORS["vectors"])
def test_the_second_implementation_agrees_with_the_rfc(vector):
    public, blinded, evaluated = bytes.fromhex(VECTORS["pk"]), unhex(vector["blinded"]), unhex(vector["evaluated"])
    proof = bytes.fromhex(vector["proof"])
    assert slow.proof_holds(public, blinded, evaluated, proof)
    assert not slow.proof_holds(public, evaluated, blinded, proof)
    for message, scalar, element, output in zip(
        unhex(vector["input"]), unhex(vector["blind"]), evaluated, vector["output"], strict=True
    ):
        assert slow.finalize(message, int.from_bytes(scalar, "little"), element).hex() == output


def test_our_answers_carry_proofs_that_the_second_implementation_accepts():
    blinded = blind([IDENTITY, "another"])
    answer = evaluated(blinded)
    asked, answered = cut(blinded.elements), cut(answer.elements)
    assert slow.proof_holds(public_key(SEED, ASPEN), asked, answered, answer.proof)
    assert not slow.proof_holds(public_key(OTHER, ASPEN), asked, answered, answer.proof)


def test_several_keys_evaluate_one_batch_each_with_a_proof_of_its_own():
    """A batch that is read once: every answer is what its key alone would have answered, in the order of the keys."""
    blinded = blind([IDENTITY, "another"])
    keys = [(SEED, ASPEN), (OTHER, ASPEN), (SEED, LEDGER)]
    answers = evaluate(keys, blinded.elements)
    for (seed, scope), answer in zip(keys, answers, strict=True):
        assert finish(blinded, answer, public_key(seed, scope), scope) == named([IDENTITY, "another"], scope, seed)
    for answer in answers[1:]:
        with pytest.raises(PseudonymError, match="did not prove"):
            finish(blinded, answer, public_key(SEED, ASPEN), ASPEN)


def test_a_name_is_the_stated_function_of_the_rfc_s_output():
    output = fast.Evaluator.from_seed(SEED, b"tahini/names/1\nsesame\npairwise\naspen\n1").evaluate_known_input(
        b"tahini/identity/1\n" + IDENTITY.encode()
    )
    digest = hmac.digest(output, b"tahini/names/1\nsesame\npairwise\naspen\n1", hashlib.sha256)
    assert named([IDENTITY]) == [f"v1.{b64(digest)}"]


# --- names


@pytest.mark.parametrize(
    "other",
    [
        replace(ASPEN, lender="birch"),
        replace(ASPEN, version=2),
        replace(ASPEN, consortium="another"),
        LEDGER,
    ],
)
def test_another_lender_version_kind_or_consortium_gives_another_name_under_another_key(other):
    assert public_key(SEED, other) != public_key(SEED, ASPEN)
    assert named([IDENTITY], other)[0].partition(".")[2] != named([IDENTITY])[0].partition(".")[2]


def test_all_lenders_arrive_at_one_ledger_name():
    assert named([IDENTITY], LEDGER) == named([IDENTITY], LEDGER)


@pytest.mark.parametrize(
    "spelling",
    [
        "11010119900307123x",
        f"  {IDENTITY}\n",
        f"\u3000{IDENTITY}\u00a0",
        "１１０１０１１９９００３０７１２３Ｘ",
        "110101-19900307-123X",
        "1101011990０３０７123\u200bX",
    ],
)
def test_one_person_has_one_name_however_the_number_was_typed(spelling):
    assert normal_identity(spelling) == IDENTITY
    assert named([spelling]) == named([IDENTITY])


@settings(deadline=None, max_examples=30)
@given(st.lists(st.text("0123456789X", min_size=1), min_size=1, max_size=8))
def test_people_and_names_correspond(identities):
    names = named(identities)
    assert len(set(names)) == len(set(identities))
    assert names == [named([identity])[0] for identity in identities]


@given(st.text(st.characters(max_codepoint=0x17F), max_size=8))
def test_the_short_way_for_plain_numbers_is_the_long_one(identity):
    """Against the definition in docs/pseudonyms.md: NFKC, upper case, without what separates."""
    letters = unicodedata.normalize("NFKC", identity).upper()
    normal = "".join(letter for letter in letters if unicodedata.category(letter) not in {"Zs", "Cc", "Cf", "Pd"})
    if normal:
        assert normal_identity(identity) == normal
    else:
        with pytest.raises(PseudonymError):
            normal_identity(identity)


@pytest.mark.parametrize("identity", ["", " ", "\t\n", "\u3000", "\u00a0"])
def test_a_person_without_an_identity_number_is_refused(identity):
    with pytest.raises(PseudonymError, match="without an identity number"):
        blind([identity])


@pytest.mark.parametrize("identity", ["\ud800", "9" * 65_536])
def test_nonsense_is_named_or_refused_but_never_quoted(identity):
    try:
        assert version_of(named([identity])[0]) == 1
    except PseudonymError as error:
        assert identity not in str(error)


def test_a_name_says_its_version_and_nothing_about_the_person():
    assert re.fullmatch(r"v999\.[A-Za-z0-9_-]{43}", named([IDENTITY], replace(ASPEN, version=999))[0])


# --- what the service sees


def test_blinding_is_fresh_each_time_and_is_not_shown():
    one, two = blind([IDENTITY] * 3), blind([IDENTITY])
    assert len({*cut(one.elements), *cut(two.elements)}) == 4
    assert IDENTITY not in repr(one)


def test_batches_are_bounded():
    for people in ([], ["1"] * (MAX_BATCH + 1)):
        with pytest.raises(PseudonymError, match="batch"):
            blind(people)
        with pytest.raises(PseudonymError, match="batch"):
            evaluate([(SEED, ASPEN)], bytes(32) * len(people))


@pytest.mark.parametrize("element", LOW_ORDER_OR_NOT_AN_ELEMENT)
def test_what_is_no_element_is_not_evaluated(element):
    with pytest.raises(PseudonymError, match="not an element"):
        evaluate([(SEED, ASPEN)], blind([IDENTITY]).elements + element)


@pytest.mark.parametrize("size", [1, 31, 33, 65])
def test_an_element_of_another_length_is_not_evaluated(size):
    with pytest.raises(PseudonymError, match="32 bytes each"):
        evaluate([(SEED, ASPEN)], b"\x02" * size)


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_seed_of_another_length_is_refused(length):
    with pytest.raises(PseudonymError, match="32 bytes"):
        public_key(bytes(length), ASPEN)


# --- a service that cheats


def test_an_answer_under_another_key_names_nobody(capfd):
    """Tagging: a key of its own for one lender would tell that lender's people from everybody else's."""
    with pytest.raises(PseudonymError, match="did not prove"):
        named([IDENTITY, "another"], seed=OTHER, pinned=public_key(SEED, ASPEN))
    assert IDENTITY not in "".join(capfd.readouterr())


@pytest.mark.parametrize("scope", [LEDGER, replace(ASPEN, lender="birch"), replace(ASPEN, version=2)])
def test_an_answer_with_the_key_of_another_purpose_names_nobody(scope):
    blinded = blind([IDENTITY])
    with pytest.raises(PseudonymError, match="did not prove"):
        finish(blinded, evaluated(blinded, scope), public_key(SEED, ASPEN), ASPEN)


def altered(answer):
    first, second = cut(answer.elements)
    flipped = bytes([answer.proof[0] ^ 1]) + answer.proof[1:]
    yield Evaluation(second + first, answer.proof)
    yield Evaluation(first + first, answer.proof)
    yield Evaluation(first, answer.proof)
    yield Evaluation(first + second + second, answer.proof)
    yield Evaluation(b"", answer.proof)
    yield Evaluation(answer.elements, flipped)
    yield Evaluation(answer.elements, answer.proof[32:] + answer.proof[:32])
    yield Evaluation(answer.elements, b"\xff" * 64)
    yield Evaluation(answer.elements, answer.proof[:-1])
    yield Evaluation(answer.elements, bytes(64))
    yield Evaluation(first + bytes(32), answer.proof)
    yield Evaluation(first + second[:-1], answer.proof)
    yield Evaluation(first + second + b"\x00", answer.proof)


def test_no_altered_answer_names_anybody():
    blinded = blind([IDENTITY, "another"])
    answer = evaluated(blinded)
    for wrong in altered(answer):
        with pytest.raises(PseudonymError):
            finish(blinded, wrong, public_key(SEED, ASPEN), ASPEN)
    assert len(finish(blinded, answer, public_key(SEED, ASPEN), ASPEN)) == 2


def test_an_answer_to_somebody_else_s_question_names_nobody():
    answer = evaluated(blind([IDENTITY]))
    with pytest.raises(PseudonymError, match="did not prove"):
        finish(blind([IDENTITY]), answer, public_key(SEED, ASPEN), ASPEN)


# --- what the registry keeps


def test_the_registry_keeps_something_else_than_the_ledger_name():
    name = named([IDENTITY], LEDGER)[0]
    kept = sealed_ledger_pseudonym(SEED, name)
    assert kept == sealed_ledger_pseudonym(SEED, name)
    assert kept != name
    assert kept != sealed_ledger_pseudonym(OTHER, name)
    message = b"tahini/ledger-pseudonym/1\n" + name.encode()
    assert kept == "v1." + b64(hmac.digest(SEED, message, "sha256"))


def test_what_the_registry_keeps_says_its_version():
    assert version_of(sealed_ledger_pseudonym(SEED, named([IDENTITY], replace(LEDGER, version=12))[0])) == 12


@pytest.mark.parametrize("text", ["", "v1.", "v0." + "A" * 43, "v1." + "A" * 44, "v1." + "+" * 43, f"v1.{'A' * 43}\n"])
def test_what_is_no_name_is_not_kept(text):
    with pytest.raises(PseudonymError, match="not a pseudonym"):
        sealed_ledger_pseudonym(SEED, text)


def test_the_registry_s_key_has_32_bytes():
    with pytest.raises(PseudonymError, match="32 bytes"):
        sealed_ledger_pseudonym(b"short", named([IDENTITY], LEDGER)[0])


@pytest.mark.parametrize("fields", [("", 0), ("", 1000)])
def test_a_version_is_from_1_to_999(fields):
    with pytest.raises(PseudonymError, match="version"):
        Scope("sesame", Kind.LEDGER, *fields)


def test_a_scope_says_whose_it_is():
    with pytest.raises(PseudonymError, match="lender"):
        Scope("sesame", Kind.LEDGER, "aspen", 1)
    with pytest.raises(PseudonymError, match="lender"):
        Scope("sesame", Kind.PAIRWISE, "", 1)
