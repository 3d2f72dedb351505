"""Names for people that only their lender can compute.

A national identity number has some 2^37 plausible values, so a plain hash of one falls within hours. Both names
here are HMAC-SHA256 under a 256-bit key that the registry does not hold:

- the *pairwise pseudonym*, under a key of one lender: two lenders' names for the same person have nothing in common;
- the *ledger pseudonym*, under a key shared by the lenders of a consortium: it lets the registry count one person
  once, and goes nowhere else.

What this does not do: a lender that colludes with the registry can try identity numbers against ledger
pseudonyms. docs/threat-model.md says so.
"""

from __future__ import annotations

import hmac
import unicodedata

from crypto.errors import CryptoError
from crypto.keys import b64

VERSION = "v1"
KEY_SIZE = 32


def _separates(letter: str) -> bool:
    """Spaces, hyphens and invisible characters, which people type into the same number differently."""
    return unicodedata.category(letter) in {"Zs", "Cc", "Cf", "Pd"}


def _name(key: bytes, purpose: str, identity: str) -> str:
    if len(key) != KEY_SIZE:
        raise CryptoError(f"a pseudonym key has {KEY_SIZE} bytes, this one has {len(key)}")
    letters = unicodedata.normalize("NFKC", identity).upper()
    normal = "".join(letter for letter in letters if not _separates(letter))
    if not normal:
        raise CryptoError("a person without an identity number has no pseudonym")
    message = f"tahini/pseudonym/{VERSION}/{purpose}\n{normal}".encode()
    return f"{VERSION}.{b64(hmac.digest(key, message, 'sha256'))}"


def pairwise_pseudonym(lender_key: bytes, identity: str) -> str:
    """The lender's name for the person with this identity number."""
    return _name(lender_key, "pairwise", identity)


def ledger_pseudonym(consortium_key: bytes, identity: str) -> str:
    """The consortium's name for the person, for the registry's eyes only."""
    return _name(consortium_key, "ledger", identity)


def sealed_ledger_pseudonym(registry_key: bytes, ledger_name: str) -> str:
    """What the registry keeps of a ledger name: useless to whoever has its database but not this key of 32 bytes."""
    if len(registry_key) != KEY_SIZE:
        raise CryptoError(f"the registry's ledger key has {KEY_SIZE} bytes, this one has {len(registry_key)}")
    digest = hmac.digest(registry_key, b"tahini/ledger-pseudonym/1\n" + ledger_name.encode(), "sha256")
    return f"{ledger_name.partition('.')[0]}.{b64(digest)}"
