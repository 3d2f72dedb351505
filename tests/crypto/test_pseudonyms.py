"""Names for people."""

import hmac
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.errors import CryptoError
from crypto.keys import b64
from crypto.pseudonyms import ledger_pseudonym, pairwise_pseudonym

KEY, OTHER = b"\x01" * 32, b"\x02" * 32
IDENTITY = "11010119900307123X"


@pytest.fixture(params=[pairwise_pseudonym, ledger_pseudonym], ids=["pairwise", "ledger"])
def name(request):
    return request.param


def test_two_lenders_names_for_one_person_differ():
    assert pairwise_pseudonym(KEY, IDENTITY) != pairwise_pseudonym(OTHER, IDENTITY)


def test_a_pairwise_name_is_not_the_ledger_name_even_under_one_key():
    assert pairwise_pseudonym(KEY, IDENTITY) != ledger_pseudonym(KEY, IDENTITY)


def test_a_person_keeps_their_name(name):
    assert name(KEY, IDENTITY) == name(KEY, IDENTITY)


@pytest.mark.parametrize(
    "spelling",
    [
        "11010119900307123x",
        f"  {IDENTITY}\n",
        f"\u3000{IDENTITY}\u00a0",
        "１１０１０１１９９００３０７１２３Ｘ",
        "１１０１０１１９９００３０７１２３ｘ",
        "1101011990０３０７123X",
    ],
)
def test_one_person_has_one_name_however_the_number_was_typed(name, spelling):
    assert name(KEY, spelling) == name(KEY, IDENTITY)


@settings(deadline=None)
@given(st.text("0123456789X", min_size=1), st.text("0123456789X", min_size=1))
def test_two_people_have_two_names(first, second):
    assert (pairwise_pseudonym(KEY, first) == pairwise_pseudonym(KEY, second)) == (first == second)


@pytest.mark.parametrize("identity", ["", " ", "\t\n", "\u3000", "\u00a0"])
def test_a_person_without_an_identity_number_is_refused(name, identity):
    with pytest.raises(CryptoError, match="without an identity number"):
        name(KEY, identity)


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_key_of_another_length_is_refused(name, length):
    with pytest.raises(CryptoError, match="32 bytes"):
        name(bytes(length), IDENTITY)


def test_a_name_is_the_stated_hmac():
    message = f"tahini/pseudonym/v1/pairwise\n{IDENTITY}".encode()
    assert pairwise_pseudonym(KEY, IDENTITY) == "v1." + b64(hmac.digest(KEY, message, "sha256"))


def test_a_name_says_its_version_and_nothing_about_the_person(name):
    assert re.fullmatch(r"v1\.[A-Za-z0-9_-]{43}", name(KEY, IDENTITY))
    assert IDENTITY not in name(KEY, IDENTITY)


def test_a_refusal_does_not_quote_the_identity():
    with pytest.raises(CryptoError) as refusal:
        pairwise_pseudonym(b"short", IDENTITY)
    assert IDENTITY not in str(refusal.value)
