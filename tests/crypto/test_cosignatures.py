"""Witnesses' signatures, byte for byte as https://c2sp.org/tlog-cosignature writes them, and the keys behind them."""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode, b64encode
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.cosignatures import KEY_FILE_MAGIC, MAX_TIME, Cosigner, CosigningKey, Kind, signed_message
from crypto.errors import KeyFileError, SignatureError
from crypto.keys import SigningKey, read_secret, write_secret
from crypto.notes import Checkpoint, Verifier, encode_vkey, open_note, sign_checkpoint, sign_note, signers

NAME, NOW = "witness.example.com/w1", 1_679_315_147
TEXT = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
CHECKPOINT = Checkpoint.parse(TEXT)
KEYS = {kind: CosigningKey(NAME, kind, hashlib.sha256(kind.name.encode()).digest()) for kind in Kind}
SIZE = {Kind.ED25519: 64, Kind.ML_DSA_44: 2420}
PUBLIC = {Kind.ED25519: 32, Kind.ML_DSA_44: 1312}


def signature(line: str) -> bytes:
    """The ``timestamped_signature`` of a signature line."""
    return b64decode(line.split(" ")[2])[4:]


each_kind = pytest.mark.parametrize("kind", Kind)


# --- what is signed


def test_the_ed25519_message_is_the_specification_s_example():
    assert signed_message(Kind.ED25519, NAME, TEXT, NOW) == (
        b"cosignature/v1\n"
        b"time 1679315147\n"
        b"example.com/behind-the-sofa\n"
        b"20852163\n"
        b"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    )


def test_the_ml_dsa_message_is_the_specification_s_structure():
    assert signed_message(Kind.ML_DSA_44, NAME, TEXT, NOW) == b"".join(
        (
            b"subtree/v1\n\0",  # label
            bytes([22]) + b"witness.example.com/w1",  # cosigner_name<1..2^8-1>
            bytes.fromhex("00000000641850cb"),  # timestamp
            bytes([27]) + b"example.com/behind-the-sofa",  # log_origin<1..2^8-1>
            bytes(8),  # start
            bytes.fromhex("00000000013e2dc3"),  # end
            bytes.fromhex("0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62"),  # hash
        )
    )


def test_extension_lines_are_under_the_ed25519_signature_and_not_under_the_other():
    extended = TEXT + "an extension\n"
    assert signed_message(Kind.ED25519, NAME, extended, NOW).endswith(b"\nan extension\n")
    assert signed_message(Kind.ML_DSA_44, NAME, extended, NOW) == signed_message(Kind.ML_DSA_44, NAME, TEXT, NOW)


def test_only_the_ml_dsa_message_holds_the_cosigner_s_name():
    assert signed_message(Kind.ED25519, "other", TEXT, NOW) == signed_message(Kind.ED25519, NAME, TEXT, NOW)
    assert signed_message(Kind.ML_DSA_44, "other", TEXT, NOW) != signed_message(Kind.ML_DSA_44, NAME, TEXT, NOW)


@each_kind
@pytest.mark.parametrize("timestamp", [0, -1, MAX_TIME + 1, 1 << 64])
def test_a_cosignature_has_a_date_that_the_format_can_hold(kind, timestamp):
    with pytest.raises(SignatureError, match="dated"):
        KEYS[kind].cosign(TEXT, timestamp)
    for allowed in (1, MAX_TIME):
        KEYS[kind].public.check(signature(KEYS[kind].cosign(TEXT, allowed)), TEXT)


def test_names_that_the_ml_dsa_structure_cannot_hold_are_refused():
    for name, origin in (("", "log"), ("w" * 256, "log"), ("é" * 128, "log"), ("w", "l" * 256)):
        with pytest.raises(SignatureError, match="255 bytes"):
            signed_message(Kind.ML_DSA_44, name, replace(CHECKPOINT, origin=origin).text, NOW)
    signed_message(Kind.ML_DSA_44, "w" * 255, replace(CHECKPOINT, origin="l" * 255).text, NOW)
    with pytest.raises(SignatureError, match="not a checkpoint"):
        KEYS[Kind.ML_DSA_44].cosign("no checkpoint\n", NOW)


# --- signing and verifying


@each_kind
def test_a_cosignature_line_is_name_key_id_date_and_signature(kind):
    key = KEYS[kind]
    line = key.cosign(TEXT, NOW)
    match = re.fullmatch(r"— (\S+) ([A-Za-z0-9+/]+=*)\n", line)
    assert match[1] == NAME
    raw = b64decode(match[2], validate=True)
    assert raw[:4] == hashlib.sha256(NAME.encode() + b"\n" + bytes([kind]) + key.public.raw).digest()[:4]
    assert raw[4:12] == NOW.to_bytes(8, "big")
    assert len(raw) == 4 + 8 + SIZE[kind]


def test_the_signatures_are_ed25519_and_ml_dsa_44_over_the_message():
    key = KEYS[Kind.ED25519]
    private = Ed25519PrivateKey.from_private_bytes(key.seed)
    assert signature(key.cosign(TEXT, NOW))[8:] == private.sign(signed_message(key.kind, NAME, TEXT, NOW))
    key = KEYS[Kind.ML_DSA_44]
    public = MLDSA44PublicKey.from_public_bytes(key.public.raw)
    public.verify(signature(key.cosign(TEXT, NOW))[8:], signed_message(key.kind, NAME, TEXT, NOW))


def test_the_specification_s_example_of_a_note_is_read():
    """Its signatures are there, though not the keys that made them."""
    log_s = "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8="
    witness_s = (
        "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA=="
    )
    note = f"{TEXT}\n— example.com/behind-the-sofa {log_s}\n— {NAME} {witness_s}\n"
    with pytest.raises(SignatureError, match="not signed by any key"):
        signers(note, [KEYS[Kind.ED25519].public])
    line = note.splitlines()[-1]
    assert int.from_bytes(signature(line)[:8], "big") == NOW
    assert len(signature(line)) == 8 + 64


@each_kind
@settings(max_examples=25)
@given(size=st.integers(1, 2**63 - 1), root=st.binary(min_size=32, max_size=32), timestamp=st.integers(1, MAX_TIME))
def test_what_was_cosigned_verifies_and_nothing_else_does(kind, size, root, timestamp):
    key, text = KEYS[kind], Checkpoint("log.test/one", size, root).text
    made = signature(key.cosign(text, timestamp))
    key.public.check(made, text)
    others = [
        Checkpoint("log.test/two", size, root).text,
        Checkpoint("log.test/one", size - 1, root).text,
        Checkpoint("log.test/one", size, bytes([root[0] ^ 1]) + root[1:]).text,
    ]
    for other in others:
        with pytest.raises(SignatureError):
            key.public.check(made, other)
    with pytest.raises(SignatureError):
        key.public.check((timestamp ^ 1).to_bytes(8, "big") + made[8:], text)


@each_kind
@settings(max_examples=40)
@given(data=st.data())
def test_a_cosignature_altered_in_any_bit_or_cut_anywhere_is_refused(kind, data):
    key = KEYS[kind]
    made = bytearray(signature(key.cosign(TEXT, NOW)))
    cut = data.draw(st.integers(0, len(made) - 1))
    for altered in (bytes(made[:cut]), bytes(made) + b"\0"):
        with pytest.raises(SignatureError):
            key.public.check(altered, TEXT)
    made[cut] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(SignatureError):
        key.public.check(bytes(made), TEXT)


@each_kind
def test_another_key_or_the_other_kind_does_not_verify(kind):
    made = signature(KEYS[kind].cosign(TEXT, NOW))
    for other in (CosigningKey.generate(NAME, kind), *(key for key in KEYS.values() if key.kind is not kind)):
        with pytest.raises(SignatureError):
            other.public.check(made, TEXT)


def test_under_another_name_an_ml_dsa_cosignature_does_not_verify():
    key = KEYS[Kind.ML_DSA_44]
    with pytest.raises(SignatureError):
        Cosigner("witness.example.com/w2", key.kind, key.public.raw).check(signature(key.cosign(TEXT, NOW)), TEXT)


# --- on a note


LOG_KEY = SigningKey.generate()
NOTE = sign_checkpoint(CHECKPOINT, LOG_KEY)


@each_kind
def test_a_cosigned_note_opens_under_log_and_witness(kind):
    key, log = KEYS[kind], Verifier(CHECKPOINT.origin, LOG_KEY.public)
    note = NOTE + key.cosign(TEXT, NOW)
    assert signers(note, [log, key.public]) == (TEXT, [log, key.public])
    assert open_note(note, [log, key.public]) == (TEXT, [log.name, NAME])
    assert signers(note, [key.public])[1] == [key.public]


@each_kind
def test_a_cosignature_replayed_on_another_checkpoint_spoils_the_note(kind):
    key = KEYS[kind]
    line = key.cosign(TEXT, NOW)
    for other in (replace(CHECKPOINT, size=CHECKPOINT.size + 1), replace(CHECKPOINT, root=b"\1" * 32)):
        with pytest.raises(SignatureError):
            signers(sign_checkpoint(other, LOG_KEY) + line, [Verifier(other.origin, LOG_KEY.public), key.public])


def test_a_log_s_signature_is_no_cosignature_and_the_other_way_round():
    """The same Ed25519 key under the same name: type 01 and type 04 have other ids and sign other bytes."""
    witness = CosigningKey(CHECKPOINT.origin, Kind.ED25519, LOG_KEY.seed)
    log = Verifier(CHECKPOINT.origin, LOG_KEY.public)
    assert witness.public.raw == log.key.raw
    assert witness.public.key_id != log.key_id
    with pytest.raises(SignatureError, match="not signed by any key"):
        signers(NOTE, [witness.public])
    cosigned_only = f"{TEXT}\n{witness.cosign(TEXT, NOW)}"
    with pytest.raises(SignatureError, match="not signed by any key"):
        signers(cosigned_only, [log])
    bare = signature(NOTE.splitlines()[-1])
    for made in (bare, NOW.to_bytes(8, "big") + bare):
        with pytest.raises(SignatureError):
            witness.public.check(made, TEXT)
    with pytest.raises(SignatureError):
        Cosigner.from_vkey(log.vkey)
    with pytest.raises(SignatureError):
        Verifier.from_vkey(witness.public.vkey)


def test_no_text_that_a_log_signs_as_a_note_is_a_cosignature_of_another():
    """An operator who may choose what its log key signs still makes no cosignature: a note under the header is not
    a checkpoint of the log."""
    witness = CosigningKey(CHECKPOINT.origin, Kind.ED25519, LOG_KEY.seed)
    forged = sign_note(f"cosignature/v1\ntime {NOW}\n{TEXT}", CHECKPOINT.origin, LOG_KEY)
    raw = signature(forged.splitlines()[-1])
    witness.public.check(NOW.to_bytes(8, "big") + raw, TEXT)  # which is why a witness and a log never share a key
    with pytest.raises(SignatureError):
        Checkpoint.parse(forged.partition("\n\n")[0] + "\n")


# --- keys


@each_kind
def test_a_vkey_comes_back_as_the_key_that_it_was(kind):
    public = CosigningKey.generate("w.example/one", kind).public
    name, ident, material = public.vkey.split("+", 2)
    assert (name, ident) == ("w.example/one", public.key_id.hex())
    assert b64decode(material) == bytes([kind]) + public.raw
    assert len(public.raw) == PUBLIC[kind]
    assert Cosigner.from_vkey(public.vkey) == public


@each_kind
@pytest.mark.parametrize("change", [-1, 1, -32])
def test_a_vkey_of_a_wrong_length_is_refused(kind, change):
    raw = (KEYS[kind].public.raw + b"\0")[: PUBLIC[kind] + change]
    with pytest.raises(SignatureError):
        Cosigner.from_vkey(encode_vkey(NAME, bytes([kind]) + raw))


def test_vkeys_of_unknown_types_and_with_foreign_ids_are_refused():
    raw = KEYS[Kind.ED25519].public.raw
    for kind in (0x00, 0x01, 0x02, 0x05, 0x06, 0xFF):
        with pytest.raises(SignatureError):
            Cosigner.from_vkey(encode_vkey(NAME, bytes([kind]) + raw))
    good = KEYS[Kind.ED25519].public.vkey
    other_id = good.replace(KEYS[Kind.ED25519].public.key_id.hex(), "00000000")
    for bad in ("", "+", "++", good[:-4], good.replace("+", "-"), f"x{good}", good + "\n", other_id):
        with pytest.raises(SignatureError):
            Cosigner.from_vkey(bad)


@pytest.mark.parametrize("name", ["", "two words", "a+b", "tab\t", "line\n", "\x00"])
def test_a_key_is_made_only_under_a_name_that_a_note_can_carry(name):
    with pytest.raises(SignatureError, match="not a key name"):
        CosigningKey.generate(name)


@each_kind
@pytest.mark.parametrize("name", ["w", "witness.example.com/w1", "ű.example/ä"])
def test_a_key_file_holds_the_key_for_its_owner_s_eyes(kind, name, tmp_path):
    key, path = CosigningKey.generate(name, kind), tmp_path / "witness.key"
    write_secret(path, key.secret)
    assert path.stat().st_mode & 0o777 == 0o600
    loaded = CosigningKey.from_secret(read_secret(path))
    assert (loaded, loaded.public) == (key, key.public)
    for mode in (0o640, 0o604, 0o666):
        path.chmod(mode)
        with pytest.raises(KeyFileError, match="chmod 600"):
            read_secret(path)
    path.chmod(0o600)
    with pytest.raises(FileExistsError):
        write_secret(path, key.secret)


@pytest.mark.parametrize(
    "held",
    [
        b"",
        b"\4" + b"s" * 32 + b"name",
        KEY_FILE_MAGIC,
        KEY_FILE_MAGIC + b"\4" + b"s" * 31,
        KEY_FILE_MAGIC + b"\4" + b"s" * 32,
        KEY_FILE_MAGIC + b"\1" + b"s" * 32 + b"name",
        KEY_FILE_MAGIC + b"\5" + b"s" * 32 + b"name",
        KEY_FILE_MAGIC + b"\4" + b"s" * 32 + b"\xff\xfe",
        KEY_FILE_MAGIC[:-1] + b"\4" + b"s" * 32 + b"name",
    ],
)
def test_what_is_no_key_file_is_refused(held):
    with pytest.raises(KeyFileError, match="witness's key"):
        CosigningKey.from_secret(held)


@each_kind
def test_no_repr_shows_the_secret(kind):
    key = CosigningKey.generate(NAME, kind)
    for shown in (repr(key), str(key), repr([key]), repr(key.public)):
        assert repr(key.seed)[2:-1] not in shown
        assert key.seed.hex() not in shown
        assert b64encode(key.seed).decode() not in shown
    assert NAME in repr(key)
