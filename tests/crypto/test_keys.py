"""Keys, their texts and the files that hold them."""

import os
import stat

import pytest

from crypto.errors import KeyFileError, SignatureError
from crypto.keys import (
    PublicKey,
    RecipientKey,
    RecipientPublicKey,
    SigningKey,
    b64,
    load_recipient_key,
    load_signing_key,
    save_recipient_key,
    save_signing_key,
    unb64,
)

# Source: RFC 8032 section 7.1, tests 1 and 2: secret key, public key, message, signature.
RFC8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25b"
            "f5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b"
            "2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
]


@pytest.fixture
def key():
    return SigningKey(bytes(range(32)))


@pytest.fixture
def recipient():
    return RecipientKey(bytes(range(64)), bytes(range(100, 132)))


@pytest.mark.parametrize(("secret", "public", "message", "signature"), RFC8032)
def test_signatures_are_those_of_rfc_8032(secret, public, message, signature):
    key = SigningKey(bytes.fromhex(secret))
    assert key.public.raw.hex() == public
    assert key.sign(bytes.fromhex(message)).hex() == signature
    key.public.verify(bytes.fromhex(signature), bytes.fromhex(message))


def test_a_signature_is_for_one_message_and_one_key(key):
    signature = key.sign(b"message")
    for wrong, message, public in [
        (signature, b"massage", key.public),
        (signature, b"message", SigningKey(bytes(32)).public),
        (signature[:-1], b"message", key.public),
        (b"", b"message", key.public),
        (signature, b"message", PublicKey(b"\xff" * 31)),
    ]:
        with pytest.raises(SignatureError):
            public.verify(wrong, message)


def test_generated_keys_differ():
    assert SigningKey.generate() != SigningKey.generate()
    assert RecipientKey.generate() != RecipientKey.generate()


def test_a_public_key_survives_its_text(key, recipient):
    assert PublicKey.from_text(key.public.text) == key.public
    assert RecipientPublicKey.from_text(recipient.public.text) == recipient.public


@pytest.mark.parametrize(
    "text", ["", "AAAA", "not a key", "é" * 43, "A" * 42, "A" * 44, "A" * 42 + "B", "A" * 43 + "="]
)
def test_a_text_that_is_no_public_key_is_refused(text):
    with pytest.raises(SignatureError):
        PublicKey.from_text(text)


@pytest.mark.parametrize("text", ["QQ==", "QR", "Q", "+w", "QQ\n", " QQ"])
def test_base64url_has_one_spelling(text):
    assert unb64("QQ") == b"A"
    with pytest.raises(ValueError):
        unb64(text)


def test_no_way_to_print_a_key_shows_its_secret(key, recipient):
    for owner, secrets in ((key, [key.seed]), (recipient, [recipient.mlkem_seed, recipient.x25519_scalar])):
        shown = f"{owner!r} {owner} {[owner]} {owner.public!r}" + repr(getattr(owner, "jwk", ""))
        for secret in secrets:
            for spelling in (repr(secret)[2:-1], secret.hex(), b64(secret), secret.hex().upper()):
                assert spelling[:12] not in shown


def test_keys_survive_their_files(tmp_path, key, recipient):
    save_signing_key(tmp_path / "signing", key)
    save_recipient_key(tmp_path / "recipient", recipient)
    assert load_signing_key(tmp_path / "signing") == key
    assert load_recipient_key(tmp_path / "recipient") == recipient
    assert load_recipient_key(tmp_path / "recipient").public == recipient.public


def test_a_key_file_is_born_readable_by_its_owner_only(tmp_path, key):
    previous = os.umask(0)
    try:
        save_signing_key(tmp_path / "key", key)
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o602, 0o610])
def test_a_key_file_that_others_can_touch_is_refused(tmp_path, key, mode):
    path = tmp_path / "key"
    save_signing_key(path, key)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        load_signing_key(path)


def test_a_key_file_is_never_overwritten(tmp_path, key):
    save_signing_key(tmp_path / "key", key)
    with pytest.raises(FileExistsError):
        save_signing_key(tmp_path / "key", SigningKey.generate())
    assert load_signing_key(tmp_path / "key") == key


def test_a_missing_key_file_is_named(tmp_path):
    with pytest.raises(KeyFileError, match="nowhere"):
        load_signing_key(tmp_path / "nowhere")
    with pytest.raises(KeyFileError, match="cannot read"):
        load_signing_key(tmp_path)


def test_a_key_file_of_another_kind_is_refused(tmp_path, key, recipient):
    save_signing_key(tmp_path / "signing", key)
    save_recipient_key(tmp_path / "recipient", recipient)
    with pytest.raises(KeyFileError, match="32 bytes, expected 96"):
        load_recipient_key(tmp_path / "signing")
    with pytest.raises(KeyFileError, match="96 bytes, expected 32"):
        load_signing_key(tmp_path / "recipient")


def test_a_refusal_does_not_quote_the_secret(tmp_path, key):
    save_signing_key(tmp_path / "key", key)
    with pytest.raises(KeyFileError) as refusal:
        load_recipient_key(tmp_path / "key")
    assert key.seed.hex() not in str(refusal.value)
    assert repr(key.seed)[2:14] not in str(refusal.value)
