"""The key by which a node authenticates to the SuperLink: ECDSA on P-384, as Flower's SuperNodes
want it.

It carries messages and nothing else: what a lender says is signed with the lender's own key. The
public half stands in the consortium document, so that the SuperLink admits exactly the roster that
the registry signed.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_ssh_private_key,
)

from crypto.keys import b64, replace_file, unb64
from fleet.errors import FleetError

FLEET_KEY_FILE = "fleet.key"


def create_fleet_key(home: Path) -> str:
    """Make a node's key, replacing an older one; returns the public half as it stands in the
    consortium document."""
    key = ec.generate_private_key(ec.SECP384R1())
    replace_file(
        home / FLEET_KEY_FILE,
        key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
    )
    return _text(key.public_key())


def fleet_key_text(home: Path) -> str:
    """The public half of a node's key; raises FleetError."""
    try:
        key = load_ssh_private_key((home / FLEET_KEY_FILE).read_bytes(), None)
    except (OSError, ValueError) as error:
        raise FleetError(f"{home / FLEET_KEY_FILE} is not a node's key ({error})") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise FleetError(f"{home / FLEET_KEY_FILE} is not a key on a curve that Flower takes")
    return _text(key.public_key())


def superlink_key(text: str) -> bytes:
    """The public half as the SuperLink registers it (PEM); raises FleetError."""
    try:
        key = load_der_public_key(unb64(text))
    except ValueError as error:
        raise FleetError("a node's key in the consortium document cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise FleetError(
            "a node's key in the consortium document is not on a curve that Flower takes"
        )
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _text(key: ec.EllipticCurvePublicKey) -> str:
    return b64(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
