"""C2SP signed-note, tlog-checkpoint and tlog-proof."""

from base64 import b64encode

import pytest

from crypto.errors import ProofError, SignatureError
from crypto.keys import SigningKey
from crypto.merkle import inclusion_proof, leaf_hash, leaves_reader, tree_root
from crypto.notes import (
    MAX_SIGNATURES,
    Checkpoint,
    InclusionProof,
    Verifier,
    open_checkpoint,
    open_note,
    sign_checkpoint,
    sign_note,
)

# Source: https://c2sp.org/signed-note, section "Signatures" and "Verifier keys".
EXAMPLE_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE_TEXT = "This is an example message.\n"
EXAMPLE_SIGNATURE = (
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
EXAMPLE = f"{EXAMPLE_TEXT}\n{EXAMPLE_SIGNATURE}"
LOG = "log.example/consents"
ENTRIES = [b"entry %d" % i for i in range(11)]


@pytest.fixture
def key():
    return SigningKey(b"\x07" * 32)


@pytest.fixture
def log(key):
    return Verifier(LOG, key.public)


@pytest.fixture
def read():
    return leaves_reader([leaf_hash(entry) for entry in ENTRIES])


@pytest.fixture
def checkpoint(read):
    return Checkpoint(LOG, len(ENTRIES), tree_root(len(ENTRIES), read))


@pytest.fixture
def proof(checkpoint, key, read):
    path = tuple(inclusion_proof(4, len(ENTRIES), read))
    return InclusionProof(4, path, sign_checkpoint(checkpoint, key))


def test_the_specifications_own_note_opens():
    verifier = Verifier.from_vkey(EXAMPLE_VKEY)
    assert verifier.key_id.hex() == "530d903a"
    assert open_note(EXAMPLE, [verifier]) == (EXAMPLE_TEXT, ["example.com/foo"])


def test_the_specifications_own_note_does_not_open_altered():
    with pytest.raises(SignatureError):
        open_note(EXAMPLE.replace("message", "massage"), [Verifier.from_vkey(EXAMPLE_VKEY)])


def test_a_note_opens_for_whoever_knows_its_signer(key, log):
    note = sign_note("first\n\nsecond — not a signature\n", LOG, key)
    assert open_note(note, [log]) == ("first\n\nsecond — not a signature\n", [LOG])


def test_a_verifier_survives_its_vkey(log):
    assert Verifier.from_vkey(log.vkey) == log


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "example.com/foo",
        "example.com/foo+530d903a",
        EXAMPLE_VKEY.replace("530d903a", "530d903b"),
        EXAMPLE_VKEY.replace("example.com/foo", "example.com/bar"),
        EXAMPLE_VKEY.replace("530d903a", "530D903A"),
        EXAMPLE_VKEY.replace("+AekyeRrm", "+AukyeRrm"),  # another signature type
        EXAMPLE_VKEY[:-4],
        EXAMPLE_VKEY + "AAAA",
        EXAMPLE_VKEY[:-1] + "!",
    ],
)
def test_a_verifier_key_that_is_not_one_is_refused(vkey):
    with pytest.raises(SignatureError):
        Verifier.from_vkey(vkey)


def test_signatures_of_unknown_keys_are_ignored(key, log):
    stranger = sign_note("text\n", "stranger.example", SigningKey(b"\x01" * 32))
    note = stranger + sign_note("text\n", LOG, key).rpartition("\n\n")[2]
    assert open_note(note, [log]) == ("text\n", [LOG])


def test_a_note_that_only_unknown_keys_signed_is_refused(log):
    with pytest.raises(SignatureError, match="not signed by any key"):
        open_note(sign_note("text\n", LOG, SigningKey(b"\x01" * 32)), [log])
    with pytest.raises(SignatureError, match="not signed by any key"):
        open_note(EXAMPLE, [])


def test_a_known_signer_that_fails_spoils_a_note_that_another_signed_well(key, log):
    witness_key = SigningKey(b"\x02" * 32)
    witness = Verifier("witness.example", witness_key.public)
    good = sign_note("text\n", LOG, key)
    forged = b64encode(witness.key_id + bytes(64)).decode()
    spoiled = good + f"— {witness.name} {forged}\n"
    assert open_note(spoiled, [log]) == ("text\n", [LOG])
    with pytest.raises(SignatureError):
        open_note(spoiled, [log, witness])


def test_two_known_signers_are_both_named(key, log):
    witness_key = SigningKey(b"\x02" * 32)
    note = sign_note("text\n", LOG, key) + sign_note("text\n", "witness.example", witness_key).rpartition("\n\n")[2]
    _, names = open_note(note, [log, Verifier("witness.example", witness_key.public)])
    assert names == [LOG, "witness.example"]


def test_the_same_key_under_another_name_is_unknown(key):
    with pytest.raises(SignatureError, match="not signed by any key"):
        open_note(sign_note("text\n", LOG, key), [Verifier("other.example", key.public)])


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n",
        "\n\n",
        EXAMPLE_TEXT,
        EXAMPLE_TEXT + EXAMPLE_SIGNATURE,  # no blank line
        EXAMPLE.rstrip("\n"),
        EXAMPLE + "\n",
        EXAMPLE + "trailing",
        EXAMPLE.replace("— ", "- "),
        EXAMPLE.replace("— ", "—"),
        EXAMPLE.replace("example.com/foo ", "example.com/foo  "),
        EXAMPLE.replace("aQM=", "aQM"),
        EXAMPLE.replace("Uw2QOkn8", "Uw2Q*kn8"),
        EXAMPLE.replace("example message", "example\tmessage"),
        EXAMPLE.replace("\n", "\r\n"),
        EXAMPLE_TEXT + "\n— example.com/foo Uw2QOg==\n",  # a key id and no signature
        EXAMPLE_TEXT + "\n— example.com/foo Uw2QOkn8srV1yJGh\n",  # too short a signature
        EXAMPLE_TEXT + "\n" + EXAMPLE_SIGNATURE + "not a signature line\n",
    ],
)
def test_a_malformed_note_is_refused(note):
    with pytest.raises(SignatureError):
        open_note(note, [Verifier.from_vkey(EXAMPLE_VKEY)])


def test_a_note_with_too_many_signatures_is_refused():
    with pytest.raises(SignatureError, match="not a signed note"):
        open_note(EXAMPLE_TEXT + "\n" + EXAMPLE_SIGNATURE * (MAX_SIGNATURES + 1), [Verifier.from_vkey(EXAMPLE_VKEY)])


def test_a_note_of_more_than_a_mebibyte_is_refused(key, log):
    with pytest.raises(SignatureError, match="not a signed note"):
        open_note(sign_note("x" * (1 << 20) + "\n", LOG, key), [log])


@pytest.mark.parametrize("text", ["no newline", "", "tab\there\n", "null\0\n", "return\r\n"])
def test_a_text_that_no_note_may_hold_is_not_signed(key, text):
    with pytest.raises(SignatureError):
        sign_note(text, LOG, key)


@pytest.mark.parametrize("name", ["", "two words", "plus+sign", "line\nbreak", "ideographic\u3000space"])
def test_a_name_that_no_key_may_have_does_not_sign(key, name):
    with pytest.raises(SignatureError, match="not a key name"):
        sign_note("text\n", name, key)


def test_a_checkpoint_survives_its_note(checkpoint, key, log):
    note = sign_checkpoint(checkpoint, key)
    assert note.startswith(f"{LOG}\n11\n{b64encode(checkpoint.root).decode()}\n\n— {LOG} ")
    assert open_checkpoint(note, log) == checkpoint


def test_a_checkpoint_of_another_origin_is_refused(checkpoint, key, log):
    other = Checkpoint("other.example/log", checkpoint.size, checkpoint.root)
    with pytest.raises(SignatureError, match="not of"):
        open_checkpoint(sign_note(other.text, LOG, key), log)


def test_extension_lines_of_a_checkpoint_are_allowed(checkpoint, key, log):
    assert open_checkpoint(sign_note(checkpoint.text + "an extension\n", LOG, key), log) == checkpoint


ROOT64 = b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text",
    [
        f"{LOG}\n11\n",
        f"{LOG}\n-1\n{ROOT64}\n",
        f"{LOG}\n011\n{ROOT64}\n",
        f"{LOG}\n+11\n{ROOT64}\n",
        f"{LOG}\n1_1\n{ROOT64}\n",
        f"{LOG}\n١١\n{ROOT64}\n",
        f"{LOG}\n{'9' * 40}\n{ROOT64}\n",
        f"{LOG}\n11\n{ROOT64[:-4]}\n",
        f"{LOG}\n11\nnot base64!\n",
        f"{LOG}\n11\n{b64encode(bytes(33)).decode()}\n",
        f"\n11\n{ROOT64}\n",
        f"{LOG}\n11\n{ROOT64}\n\nx\n",
    ],
)
def test_a_malformed_checkpoint_is_refused_though_the_log_signed_it(text, key, log):
    with pytest.raises(SignatureError):
        open_checkpoint(sign_note(text, LOG, key), log)


def test_a_proof_survives_its_file_and_verifies(proof, log, checkpoint):
    parsed = InclusionProof.parse(proof.text)
    assert parsed == proof
    assert parsed.verify(ENTRIES[4], log) == checkpoint


def test_a_proof_file_begins_as_the_specification_says(proof):
    assert proof.text.startswith("c2sp.org/tlog-proof@v1\nindex 4\n")


def test_a_proof_of_the_only_entry_has_no_hashes_and_verifies(key, log):
    note = sign_checkpoint(Checkpoint(LOG, 1, leaf_hash(b"only")), key)
    assert InclusionProof.parse(InclusionProof(0, (), note).text).verify(b"only", log).size == 1


def test_extra_data_in_a_proof_file_is_passed_over(proof, log):
    text = proof.text.replace("\nindex 4", "\nextra aGVsbG8=\nindex 4")
    assert InclusionProof.parse(text).verify(ENTRIES[4], log)


def test_a_proof_is_for_one_entry_in_one_place_of_one_log(proof, log, key):
    with pytest.raises(ProofError):
        proof.verify(ENTRIES[5], log)
    with pytest.raises(ProofError):
        InclusionProof(5, proof.path, proof.checkpoint_note).verify(ENTRIES[4], log)
    with pytest.raises(ProofError):
        InclusionProof(4, proof.path[:-1], proof.checkpoint_note).verify(ENTRIES[4], log)
    with pytest.raises(SignatureError):
        proof.verify(ENTRIES[4], Verifier(LOG, SigningKey(b"\x01" * 32).public))
    with pytest.raises(SignatureError):
        proof.verify(ENTRIES[4], Verifier("other.example", key.public))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tlog-proof@v1", "tlog-proof@v2"),
        ("index 4", "index -4"),
        ("index 4", "index 04"),
        ("index 4", "index"),
        ("index 4", "index four"),
        ("index 4\n", ""),
        ("index 4\n", "index 4\nnot base64!\n"),
        ("\n\n", "\n"),
        ("index 4\n", "index 4\n" + f"{ROOT64}\n" * 65),
    ],
)
def test_a_malformed_proof_file_is_refused(proof, old, new):
    with pytest.raises((ProofError, SignatureError)):
        InclusionProof.parse(proof.text.replace(old, new, 1))


def test_a_hash_of_the_wrong_length_spoils_a_proof(proof, log):
    short = InclusionProof.parse(proof.text.replace(b64encode(proof.path[0]).decode(), b64encode(b"short").decode()))
    with pytest.raises(ProofError, match="32 bytes"):
        short.verify(ENTRIES[4], log)
