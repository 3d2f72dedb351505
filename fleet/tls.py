"""The consortium's certificate authority: X.509 (RFC 5280) for servers that institutions run for
each other.

Whoever has certificates of their own uses those; every command takes files. ECDSA on P-256, because
every TLS library speaks it. Leaf certificates live 90 days and are renewed by issuing them again:
servers read them anew when the file changes (:mod:`ops.certificates`), so that nothing is stopped.
"""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from crypto.keys import replace_file, write_secret
from fleet.errors import FleetError

CA_CERT, CA_KEY = "ca.crt", "ca.key"
AUTHORITY_LIFE = timedelta(days=10 * 365)
LEAF_LIFE = timedelta(days=90)
BACKDATED = timedelta(minutes=5)
"""Clocks differ."""


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _named(name: str) -> x509.Name:
    try:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    except ValueError as error:
        raise FleetError(
            f"a certificate cannot carry the name {name!r}: it has 1 to 64 characters"
        ) from error


def create_authority(folder: Path, name: str, moment: datetime | None = None) -> Path:
    """Make a consortium's root certificate and key; returns the certificate, which everybody pins.

    Raises:
        FleetError: there is one already, or a certificate cannot carry the name.
    """
    if (folder / CA_KEY).exists():
        raise FleetError(f"{folder} holds a certificate authority already")
    begin = moment or datetime.now(UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_named(f"{name} consortium"))
        .issuer_name(_named(f"{name} consortium"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - BACKDATED)
        .not_valid_after(begin + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_secret(folder / CA_KEY, _key_pem(key))
    replace_file(folder / CA_CERT, certificate.public_bytes(Encoding.PEM))
    return folder / CA_CERT


def issue(
    authority: Path, folder: Path, name: str, hosts: list[str], moment: datetime | None = None
) -> None:
    """Make ``NAME.key`` and ``NAME.crt`` in ``folder`` for a server at ``hosts``, replacing what
    was there.

    Args:
        hosts: DNS names and IP addresses that clients will call.

    Raises:
        FleetError: the authority's files are missing or damaged, or a certificate cannot carry a
            name.
    """
    try:
        root = x509.load_pem_x509_certificate((authority / CA_CERT).read_bytes())
        signer = load_pem_private_key((authority / CA_KEY).read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise FleetError(
            f"{authority} is no certificate authority ({error}); make one first"
        ) from error
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise FleetError(f"the key in {authority} is not the authority's")
    begin = moment or datetime.now(UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(root.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - BACKDATED)
        .not_valid_after(min(begin + LEAF_LIFE, root.not_valid_after_utc))
        .add_extension(
            x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_file(folder / f"{name}.key", _key_pem(key))
    replace_file(folder / f"{name}.crt", certificate.public_bytes(Encoding.PEM))


def _usage(signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    with suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(host))
    try:
        return x509.DNSName(host)
    except ValueError as error:
        raise FleetError(
            f"{host!r} is no address and no DNS name; a name with other letters is given as xn--"
        ) from error
