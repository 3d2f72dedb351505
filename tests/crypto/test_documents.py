"""Typed signed documents: a verifier believes one key, one algorithm, one type."""

import hmac
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.documents import canonical_json, document_hash, sign_document, unverified_payload, verify_document
from crypto.errors import SignatureError
from crypto.keys import SigningKey, b64, unb64

PAYLOAD = {"id": "c1", "purpose": "credit", "spend": 1.5, "names": ["张三", "é"]}
KEY = SigningKey(b"\x05" * 32)
STRANGER = SigningKey(b"\x06" * 32)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-1e9, 1e9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=6,
)
briefly = settings(deadline=None, max_examples=40)


def compact(header, payload, signer):
    """A JWS made by hand, as an attacker would."""
    signed = f"{b64(json.dumps(header).encode())}.{b64(payload)}"
    return f"{signed}.{b64(signer(signed.encode()))}"


def header(**changes):
    return {"alg": "Ed25519", "typ": "consent", "kid": KEY.public.thumbprint} | changes


@pytest.fixture
def token():
    return sign_document("consent", PAYLOAD, KEY)


def test_a_signed_document_verifies(token):
    assert verify_document(token, "consent", KEY.public) == PAYLOAD


def test_a_token_made_by_hand_verifies_when_everything_is_right():
    # The control for the forgeries below: their only fault is the one they are named for.
    assert verify_document(compact(header(), b'{"id":"c1"}', KEY.sign), "consent", KEY.public) == {"id": "c1"}


def test_a_header_names_algorithm_type_and_key(token):
    assert json.loads(unb64(token.split(".")[0])) == header()


def test_a_document_of_another_signer_is_refused(token):
    with pytest.raises(SignatureError, match="does not verify"):
        verify_document(token, "consent", STRANGER.public)


@pytest.mark.parametrize("typ", ["receipt", "Consent", "consent ", ""])
def test_a_document_of_another_type_is_refused(token, typ):
    with pytest.raises(SignatureError, match="expected a"):
        verify_document(token, typ, KEY.public)


def test_a_document_without_a_type_is_refused():
    untyped = compact({"alg": "Ed25519"}, b"{}", KEY.sign)
    with pytest.raises(SignatureError, match="found one of type None"):
        verify_document(untyped, "consent", KEY.public)


@pytest.mark.parametrize("name", ["none", "None", "NONE", ""])
def test_an_unsigned_document_is_refused(name):
    for signer in (lambda _: b"", KEY.sign):
        with pytest.raises(SignatureError):
            verify_document(compact(header(alg=name), b"{}", signer), "consent", KEY.public)


@pytest.mark.parametrize("secret", [KEY.public.raw, KEY.public.text.encode(), KEY.public.thumbprint.encode()])
def test_the_public_key_used_as_a_shared_secret_forges_nothing(secret):
    forged = compact(header(alg="HS256"), b"{}", lambda signed: hmac.digest(secret, signed, "sha256"))
    with pytest.raises(SignatureError):
        verify_document(forged, "consent", KEY.public)


@pytest.mark.parametrize("name", ["EdDSA", "ed25519", "Ed448", "ES256", 7, ["Ed25519"], None])
def test_even_the_right_key_signs_under_one_algorithm_name_only(name):
    with pytest.raises(SignatureError):
        verify_document(compact(header(alg=name), b"{}", KEY.sign), "consent", KEY.public)


def test_a_key_that_a_document_brings_along_is_not_believed():
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": STRANGER.public.text}
    forged = compact(header(jwk=jwk, kid=STRANGER.public.thumbprint), b"{}", STRANGER.sign)
    with pytest.raises(SignatureError):
        verify_document(forged, "consent", KEY.public)


def test_a_critical_header_that_nobody_here_understands_is_refused():
    with pytest.raises(SignatureError):
        verify_document(compact(header(crit=["exp"], exp=1), b"{}", KEY.sign), "consent", KEY.public)


def test_an_altered_payload_is_refused(token):
    head, _, signature = token.split(".")
    altered = b64(canonical_json(PAYLOAD | {"spend": 0.1}))
    with pytest.raises(SignatureError):
        verify_document(f"{head}.{altered}.{signature}", "consent", KEY.public)


def test_a_type_exchanged_after_signing_is_refused(token):
    _, payload, signature = token.split(".")
    with pytest.raises(SignatureError):
        verify_document(
            f"{b64(json.dumps(header(typ='receipt')).encode())}.{payload}.{signature}", "receipt", KEY.public
        )


def test_a_signature_moved_to_another_document_is_refused(token):
    other = sign_document("consent", PAYLOAD | {"id": "c2"}, KEY)
    moved = ".".join([*other.split(".")[:2], token.split(".")[2]])
    with pytest.raises(SignatureError):
        verify_document(moved, "consent", KEY.public)


@briefly
@given(st.integers(0, 511))
def test_any_flipped_bit_of_a_signature_is_noticed(bit):
    head, payload, signature = sign_document("consent", PAYLOAD, KEY).split(".")
    raw = (int.from_bytes(unb64(signature), "big") ^ 1 << bit).to_bytes(64, "big")
    with pytest.raises(SignatureError):
        verify_document(f"{head}.{payload}.{b64(raw)}", "consent", KEY.public)


@pytest.mark.parametrize("text", ["", ".", "..", "....", "a.b", "a.b.c.d", "é.é.é", "{}", "\ud800.a.b", "e30.e30."])
def test_what_is_not_a_signed_document_is_refused(text):
    with pytest.raises(SignatureError):
        verify_document(text, "consent", KEY.public)
    with pytest.raises(SignatureError):
        unverified_payload(text)


@pytest.mark.parametrize("payload", [b"[]", b'"text"', b"7", b"null", b"", b"{", b"\xff"])
def test_a_payload_that_is_not_an_object_is_refused_though_well_signed(payload):
    token = compact(header(), payload, KEY.sign)
    with pytest.raises(SignatureError):
        verify_document(token, "consent", KEY.public)
    with pytest.raises(SignatureError):
        unverified_payload(token)


def test_an_unverified_payload_is_what_a_document_claims(token):
    assert unverified_payload(token) == PAYLOAD
    assert unverified_payload(compact(header(), b'{"by":"a stranger"}', STRANGER.sign)) == {"by": "a stranger"}


@briefly
@given(st.dictionaries(st.text(max_size=5), json_values, max_size=6), st.randoms())
def test_canonical_json_does_not_depend_on_the_order_of_keys(value, random):
    keys = list(value)
    random.shuffle(keys)
    shuffled = {key: value[key] for key in keys}
    assert canonical_json(shuffled) == canonical_json(value)
    assert document_hash(shuffled) == document_hash(value)


@briefly
@given(st.dictionaries(st.text(max_size=5), json_values, max_size=6))
def test_any_payload_survives_signing(value):
    assert verify_document(sign_document("consent", value, KEY), "consent", KEY.public) == value


def test_canonical_json_is_that_of_rfc_8785():
    # Source: RFC 8785 section 3.2.2 (input) and section 3.2.3 (output).
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": '€$\u000f\nA\'B"\\\\"/',
        "literals": [None, True, False],
    }
    assert canonical_json(value).decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        r""""string":"€$\u000f\nA'B\"\\\\\"/"}"""
    )


def test_the_hash_of_a_document_changes_with_its_content():
    assert document_hash(PAYLOAD) != document_hash(PAYLOAD | {"spend": 1.6})
    assert len(document_hash(PAYLOAD)) == 64


def test_what_json_cannot_hold_is_not_signed():
    with pytest.raises(ValueError):
        sign_document("consent", {"spend": float("nan")}, KEY)
