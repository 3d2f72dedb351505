"""Sealed bodies: to a subject's data key, and to a recipient by HPKE."""

import os

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import bodies
from crypto.bodies import SealedBody, new_data_key, seal, unseal, unwrap_key, wrap_key
from crypto.errors import SealError
from crypto.keys import RecipientKey
from crypto.sealing import seal_to, unseal_from

KEY, OTHER = b"\x01" * 32, b"\x02" * 32
CONTEXT = b"subject v1.abc, entry 7"


def flip(data, at, bit=0):
    changed = bytearray(data)
    changed[at] ^= 1 << bit
    return bytes(changed)


@pytest.fixture(scope="module")
def auditor():
    return RecipientKey.generate()


@settings(deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=40))
def test_a_body_opens_under_its_key_and_context(plaintext, context):
    assert unseal(KEY, seal(KEY, plaintext, context), context) == plaintext


def test_another_key_does_not_open_a_body():
    with pytest.raises(SealError, match="not sealed under this key"):
        unseal(OTHER, seal(KEY, b"secret", CONTEXT), CONTEXT)


@pytest.mark.parametrize("context", [b"", CONTEXT + b" ", CONTEXT[:-1]])
def test_another_context_does_not_open_a_body(context):
    with pytest.raises(SealError, match="altered"):
        unseal(KEY, seal(KEY, b"secret", CONTEXT), context)


def test_a_body_with_any_byte_flipped_does_not_open():
    body = seal(KEY, b"secret", CONTEXT)
    for at in range(len(body.ciphertext)):
        with pytest.raises(SealError):
            unseal(KEY, SealedBody(flip(body.ciphertext, at), body.commitment), CONTEXT)
    for at in range(len(body.commitment)):
        with pytest.raises(SealError):
            unseal(KEY, SealedBody(body.ciphertext, flip(body.commitment, at)), CONTEXT)


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 31, 37])
def test_a_truncated_body_does_not_open(length):
    body = seal(KEY, b"secret", CONTEXT)
    with pytest.raises(SealError):
        unseal(KEY, SealedBody(body.ciphertext[:length], body.commitment), CONTEXT)


def test_two_bodies_of_one_subject_cannot_swap_their_commitments():
    first, second = seal(KEY, b"given", CONTEXT), seal(KEY, b"withdrawn", CONTEXT)
    with pytest.raises(SealError, match="not sealed under this key"):
        unseal(KEY, SealedBody(first.ciphertext, second.commitment), CONTEXT)


def test_sealing_twice_gives_unrelated_bodies():
    first, second = seal(KEY, b"same", CONTEXT), seal(KEY, b"same", CONTEXT)
    assert first.ciphertext != second.ciphertext
    assert first.commitment != second.commitment


def multiply(x, y):
    """Multiplication in GF(2^128) as GCM orders its bits (NIST SP 800-38D, algorithm 1)."""
    z = 0
    for i in range(127, -1, -1):
        if x >> i & 1:
            z ^= y
        y = (y >> 1) ^ (0xE1 << 120 if y & 1 else 0)
    return z


def inverse(x):
    result = 1 << 127
    for _ in range(127):  # x^(2^128 - 2)
        x = multiply(x, x)
        result = multiply(result, x)
    return result


def test_a_ciphertext_crafted_to_open_under_two_keys_opens_only_under_the_committed_one():
    # GCM commits to no key (Grubbs, Lu, Ristenpart 2017): choose one block so that both tags agree.
    salt = bytes(16)
    (key1, nonce1, commitment1), (key2, nonce2, _) = (bodies._derive(key, salt) for key in (KEY, OTHER))

    def block(key, data):
        return int.from_bytes(Cipher(AES(key), ECB()).encryptor().update(data), "big")

    h1, h2 = block(key1, bytes(16)), block(key2, bytes(16))
    s1, s2 = block(key1, nonce1 + b"\0\0\0\1"), block(key2, nonce2 + b"\0\0\0\1")
    length = 128  # bits of ciphertext; no associated data
    c = multiply(multiply(length, h1 ^ h2) ^ s1 ^ s2, inverse(multiply(h1, h1) ^ multiply(h2, h2)))
    tag = multiply(c, multiply(h1, h1)) ^ multiply(length, h1) ^ s1
    crafted = c.to_bytes(16, "big") + tag.to_bytes(16, "big")
    assert AESGCM(key1).decrypt(nonce1, crafted, b"") != AESGCM(key2).decrypt(nonce2, crafted, b"")

    body = SealedBody(salt + crafted, commitment1)
    assert unseal(KEY, body, b"") == AESGCM(key1).decrypt(nonce1, crafted, b"")
    with pytest.raises(SealError, match="not sealed under this key"):
        unseal(OTHER, body, b"")


def test_a_wrapped_data_key_comes_back_under_the_same_key_and_context():
    data_key = new_data_key()
    wrapped = wrap_key(KEY, data_key, b"subject")
    assert unwrap_key(KEY, wrapped, b"subject") == data_key
    assert data_key not in wrapped


@pytest.mark.parametrize(
    ("key", "context", "spoil"),
    [
        (OTHER, b"subject", lambda w: w),
        (b"short", b"subject", lambda w: w),
        (KEY, b"another subject", lambda w: w),
        (KEY, b"subject", lambda w: flip(w, 0)),
        (KEY, b"subject", lambda w: flip(w, 20)),
        (KEY, b"subject", lambda w: flip(w, -1)),
        (KEY, b"subject", lambda w: w[:-1]),
        (KEY, b"subject", lambda w: b""),
    ],
)
def test_a_wrapped_data_key_does_not_open_otherwise(key, context, spoil):
    with pytest.raises(SealError):
        unwrap_key(key, spoil(wrap_key(KEY, new_data_key(), b"subject")), context)


def test_after_a_data_key_is_destroyed_nothing_that_is_left_opens_the_body():
    data_key, key_encryption_key = new_data_key(), new_data_key()
    body = seal(data_key, b"what the borrower said", CONTEXT)
    destroyed = bytes(len(wrap_key(key_encryption_key, data_key, b"subject")))  # the row, overwritten
    del data_key
    with pytest.raises(SealError):
        unwrap_key(key_encryption_key, destroyed, b"subject")
    for left in (key_encryption_key, body.commitment, body.ciphertext[:32], bytes(32), new_data_key()):
        with pytest.raises(SealError):
            unseal(left, body, CONTEXT)


def test_data_keys_are_fresh_and_256_bits_long():
    keys = {new_data_key() for _ in range(50)}
    assert len(keys) == 50
    assert {len(key) for key in keys} == {32}


@settings(deadline=None, max_examples=20)
@given(st.binary(max_size=300), st.binary(max_size=40))
def test_the_auditor_opens_what_is_sealed_to_it(auditor, plaintext, context):
    assert unseal_from(auditor, seal_to(auditor.public, plaintext, context), context) == plaintext


def test_nobody_else_opens_what_is_sealed_to_the_auditor(auditor):
    with pytest.raises(SealError):
        unseal_from(RecipientKey.generate(), seal_to(auditor.public, b"roster", CONTEXT), CONTEXT)


def test_knowing_half_of_a_hybrid_key_opens_nothing(auditor):
    sealed = seal_to(auditor.public, b"roster", CONTEXT)
    for half in (
        RecipientKey(auditor.mlkem_seed, os.urandom(32)),
        RecipientKey(os.urandom(64), auditor.x25519_scalar),
    ):
        with pytest.raises(SealError):
            unseal_from(half, sealed, CONTEXT)


def test_what_is_sealed_to_the_auditor_is_bound_to_its_context(auditor):
    with pytest.raises(SealError):
        unseal_from(auditor, seal_to(auditor.public, b"roster", CONTEXT), b"another entry")


@pytest.mark.parametrize("at", [0, 500, 1100, -17, -1])
def test_an_altered_sealed_body_does_not_open_for_the_auditor(auditor, at):
    with pytest.raises(SealError):
        unseal_from(auditor, flip(seal_to(auditor.public, b"roster", CONTEXT), at), CONTEXT)


@pytest.mark.parametrize("length", [0, 3, 1120, 1130])
def test_a_truncated_sealed_body_does_not_open_for_the_auditor(auditor, length):
    with pytest.raises(SealError):
        unseal_from(auditor, seal_to(auditor.public, b"roster", CONTEXT)[:length], CONTEXT)


def test_sealing_to_the_auditor_twice_gives_unrelated_bodies(auditor):
    assert seal_to(auditor.public, b"same", CONTEXT) != seal_to(auditor.public, b"same", CONTEXT)
