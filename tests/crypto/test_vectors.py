"""Known answers that others published: every vector in ``vectors/`` is accepted or refused as its source says.

Each file names its source, commit and licence: RFC 6962 trees and probes (transparency-dev/merkle), C2SP signed notes,
HPKE over ML-KEM-768 + X25519 (draft-ietf-hpke-pq) and Wycheproof.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from crypto.bodies import unwrap_key
from crypto.errors import ProofError, SealError, SignatureError
from crypto.keys import PublicKey, RecipientKey
from crypto.merkle import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    leaves_reader,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from crypto.notes import Checkpoint, Verifier, open_note
from crypto.sealing import unseal_from

VECTORS = Path(__file__).with_name("vectors")


def load(name: str) -> dict[str, Any]:
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


def by(key: str, cases: list[dict[str, Any]]) -> list[Any]:
    """The cases as parameters, named by one of their fields."""
    return [pytest.param(case, id=str(case[key]).replace(" ", "_")) for case in cases]


def unhex(case: dict[str, Any], *names: str) -> list[bytes]:
    return [bytes.fromhex(case[name]) for name in names]


TREES, NOTES, HPKE = load("merkle"), load("signed_notes"), load("hpke_mlkem768_x25519")
ED25519, AES_GCM, HKDF_SHA256, ML_DSA_44 = (
    load(f"wycheproof_{name}") for name in ("ed25519", "aes_gcm", "hkdf_sha256", "mldsa_44")
)
ROOTS = [bytes.fromhex(root) for root in TREES["roots"]]
HASHES = [bytes.fromhex(value) for value in TREES["hashes"]]
READ = leaves_reader([leaf_hash(bytes.fromhex(entry)) for entry in TREES["entries"]])


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.json")), ids=lambda path: path.stem)
def test_every_vector_file_says_where_it_is_from(path):
    vectors = json.loads(path.read_text(encoding="utf-8"))
    assert vectors["source"]
    if not vectors["source"].startswith("RFC "):
        assert vectors["license"] and len(vectors["commit"]) == 40


# --- RFC 6962 trees


@pytest.mark.parametrize("size", range(9))
def test_the_reference_trees_have_the_published_roots(size):
    assert tree_root(size, READ) == ROOTS[size]


def test_the_complete_subtrees_have_the_published_hashes():
    for level, row in enumerate(TREES["nodes"]):
        assert [READ(level, index).hex() for index in range(len(row))] == row


def test_inclusion_in_every_reference_tree_is_proved_against_its_published_root():
    for size in range(1, 9):
        for index in range(size):
            verify_inclusion(READ(0, index), index, size, inclusion_proof(index, size, READ), ROOTS[size])


def test_every_reference_tree_extends_the_smaller_ones():
    for new in range(1, 9):
        for old in range(1, new + 1):
            verify_consistency(old, new, consistency_proof(old, new, READ), ROOTS[old], ROOTS[new])


def hashes_of(probe: dict[str, Any]) -> list[bytes]:
    return [HASHES[place] for place in probe["proof"]]


def accepted(probe: dict[str, Any]) -> bool:
    """As the source says, unless this house says otherwise and why."""
    return probe["accept"] and "house" not in probe


@pytest.mark.parametrize("probe", by("name", TREES["inclusion"]))
def test_an_inclusion_probe_is_decided_as_published(probe):
    question = (HASHES[probe["leaf"]], probe["index"], probe["size"], hashes_of(probe), HASHES[probe["root"]])
    if accepted(probe):
        verify_inclusion(*question)
        assert inclusion_proof(probe["index"], probe["size"], READ) == hashes_of(probe)
    else:
        with pytest.raises(ProofError):
            verify_inclusion(*question)


@pytest.mark.parametrize("probe", by("name", TREES["consistency"]))
def test_a_consistency_probe_is_decided_as_published(probe):
    roots = (HASHES[probe["old_root"]], HASHES[probe["new_root"]])
    if accepted(probe):
        verify_consistency(probe["old"], probe["new"], hashes_of(probe), *roots)
        assert consistency_proof(probe["old"], probe["new"], READ) == hashes_of(probe)
    else:
        with pytest.raises(ProofError):
            verify_consistency(probe["old"], probe["new"], hashes_of(probe), *roots)


@pytest.mark.parametrize("new", range(9))
def test_consistency_from_an_empty_tree_is_refused_not_answered(new):
    """RFC 6962 defines it for 0 < old only, and every published probe of size zero is to be refused."""
    with pytest.raises(ProofError, match="not defined"):
        consistency_proof(0, new, READ)
    with pytest.raises(ProofError, match="not defined"):
        verify_consistency(0, new, [], ROOTS[0], ROOTS[new])


# --- signed notes


def note_of(case: dict[str, Any]) -> str:
    text, separator, signatures = case["note"].rpartition("\n\n")
    return text + separator + signatures * case.get("times", 1)


@pytest.mark.parametrize("case", by("name", NOTES["notes"]))
def test_a_note_opens_for_those_whom_its_source_says(case):
    verifiers = [Verifier.from_vkey(vkey) for vkey in case["keys"]]
    if case["signed_by"] is None:
        with pytest.raises(SignatureError):
            open_note(note_of(case), verifiers)
    else:
        text = case["note"].rpartition("\n\n")[0] + "\n"
        assert open_note(note_of(case), verifiers) == (text, case["signed_by"])


@pytest.mark.parametrize("case", by("name", NOTES["vkeys"]))
def test_a_verifier_key_is_read_as_published(case):
    if case["accept"]:
        assert Verifier.from_vkey(case["vkey"]).vkey == case["vkey"]
    else:
        with pytest.raises(SignatureError):
            Verifier.from_vkey(case["vkey"])


def test_no_mangling_of_a_verifier_key_is_accepted():
    """Every part of it, and every character of it raised by one, as the test of x/mod does."""
    vkey = next(case["vkey"] for case in NOTES["vkeys"] if case["name"] == "Peter")
    parts = {vkey[i:j] for i in range(len(vkey)) for j in range(i + 1, len(vkey) + 1)} - {vkey}
    raised = {vkey[:i] + chr(ord(vkey[i]) + 1) + vkey[i + 1 :] for i in range(len(vkey))}
    for mangled in parts | raised:
        with pytest.raises(SignatureError):
            Verifier.from_vkey(mangled)


def test_the_specifications_checkpoint_is_parsed():
    stated = NOTES["checkpoint"]
    checkpoint = Checkpoint.parse(stated["text"])
    assert (checkpoint.origin, checkpoint.size) == (stated["origin"], stated["size"])
    assert checkpoint.root == b64decode(stated["root"])


# --- HPKE over ML-KEM-768 + X25519


def labeled_extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")


def labeled_expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """RFC 9180 section 4, for at most 32 bytes: one round of HKDF-Expand."""
    labeled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(prk, labeled + b"\x01", "sha256")[:length]


def key_schedule(aead_id: int, shared_secret: bytes, info: bytes) -> tuple[bytes, bytes]:
    """RFC 9180 section 5.1 in base mode with HKDF-SHA256: key of 32 bytes and first nonce."""
    suite = b"HPKE" + b"".join(number.to_bytes(2, "big") for number in (0x647A, 1, aead_id))
    hashed = (labeled_extract(suite, b"", label, part) for label, part in ((b"psk_id_hash", b""), (b"info_hash", info)))
    context = b"\0" + b"".join(hashed)
    secret = labeled_extract(suite, shared_secret, b"secret", b"")
    key = labeled_expand(suite, secret, b"key", context, 32)
    return key, labeled_expand(suite, secret, b"base_nonce", context, 12)


def recipient(case: dict[str, Any]) -> RecipientKey:
    """The published private key is a seed of both halves."""
    halves = hashlib.shake_256(bytes.fromhex(case["skRm"])).digest(96)
    return RecipientKey(halves[:64], halves[64:])


def sealed_in_our_suite(case: dict[str, Any]) -> tuple[bytes, bytes, bytes]:
    """(ciphertext, info, plaintext): the published encapsulation, and AES-256-GCM under the published secret."""
    enc, secret, info = unhex(case, "enc", "shared_secret", "info")
    (plaintext,) = unhex(case["encryption"], "pt")
    key, nonce = key_schedule(2, secret, info)
    return enc + AESGCM(key).encrypt(nonce, plaintext, b""), info, plaintext


HPKE_CASES = by("kdf_id", HPKE["cases"])


def test_the_key_schedule_of_these_tests_is_the_published_one():
    case = next(case for case in HPKE["cases"] if case["kdf_id"] == 1)
    secret, info, key, nonce = unhex(case, "shared_secret", "info", "key", "base_nonce")
    assert key_schedule(case["aead_id"], secret, info) == (key, nonce)


@pytest.mark.parametrize("case", HPKE_CASES)
def test_a_published_private_key_has_the_published_public_key(case):
    assert recipient(case).public.raw.hex() == case["pkRm"]


@pytest.mark.parametrize("case", HPKE_CASES)
def test_what_is_sealed_under_the_published_secret_opens(case):
    ciphertext, info, plaintext = sealed_in_our_suite(case)
    assert unseal_from(recipient(case), ciphertext, info) == plaintext


@pytest.mark.parametrize("case", HPKE_CASES)
@pytest.mark.parametrize("place", [0, 1087, 1088, 1119, 1120, -1])
def test_a_flipped_bit_in_either_encapsulation_or_in_the_text_is_refused(case, place):
    ciphertext, info, _ = sealed_in_our_suite(case)
    altered = bytearray(ciphertext)
    altered[place] ^= 1
    with pytest.raises(SealError):
        unseal_from(recipient(case), bytes(altered), info)


@pytest.mark.parametrize("case", HPKE_CASES)
def test_another_info_a_cut_text_and_another_suite_are_refused(case):
    ciphertext, info, _ = sealed_in_our_suite(case)
    published = bytes.fromhex(case["enc"] + case["encryption"]["ct"])  # of ChaCha20-Poly1305
    for wrong, context in ((ciphertext, info + b"\0"), (ciphertext[:-1], info), (ciphertext[:1119], info), (b"", info)):
        with pytest.raises(SealError):
            unseal_from(recipient(case), wrong, context)
    with pytest.raises(SealError):
        unseal_from(recipient(case), published, info)


# --- Wycheproof


@pytest.mark.parametrize("case", by("id", ED25519["cases"]))
def test_an_ed25519_signature_is_decided_as_wycheproof_says(case):
    key, message, signature = unhex(case, "key", "message", "signature")
    if case["accept"]:
        PublicKey(key).verify(signature, message)
    else:
        with pytest.raises(SignatureError):
            PublicKey(key).verify(signature, message)


@pytest.mark.parametrize("case", by("id", AES_GCM["cases"]))
def test_aes_gcm_opens_what_wycheproof_says(case):
    key, nonce, aad, plaintext, ciphertext, tag = unhex(case, "key", "nonce", "aad", "plaintext", "ciphertext", "tag")
    wrapped = nonce + ciphertext + tag
    if case["accept"]:
        assert unwrap_key(key, wrapped, aad) == plaintext
    else:
        with pytest.raises(SealError):
            unwrap_key(key, wrapped, aad)


@pytest.mark.parametrize("case", by("id", HKDF_SHA256["cases"]))
def test_the_key_derivation_is_decided_as_wycheproof_says(case):
    """Of the library, as the product calls it: its own functions fix info and length."""
    ikm, salt, info, okm = unhex(case, "ikm", "salt", "info", "okm")
    if case["accept"]:
        assert HKDF(SHA256(), case["size"], salt, info).derive(ikm) == okm
    else:
        with pytest.raises(ValueError, match="derive"):
            HKDF(SHA256(), case["size"], salt, info).derive(ikm)


@pytest.mark.parametrize("case", by("id", ML_DSA_44["cases"]))
def test_an_ml_dsa_signature_is_decided_as_wycheproof_says(case):
    """Of the library, as the product calls it: its own functions fix what is signed."""
    key = MLDSA44PublicKey.from_public_bytes(b64decode(ML_DSA_44["keys"][case["key"]]))
    message, signature = b64decode(case["message"]), b64decode(case["signature"])
    if case["accept"]:
        key.verify(signature, message)
    else:
        with pytest.raises((InvalidSignature, ValueError)):
            key.verify(signature, message)
