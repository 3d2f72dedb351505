"""The certificate authority: who pins it believes what it issued, nobody else does, and servers renew in place."""

import socket
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from support.waiting import PATIENCE_S

from fleet.errors import FleetError
from fleet.tls import CA_CERT, CA_KEY, LEAF_LIFE, create_authority, issue
from ops.certificates import RenewingContext, expires_at
from protocol.errors import CertificateRefused


@pytest.fixture
def authority(tmp_path):
    create_authority(tmp_path / "ca", "sesame")
    return tmp_path / "ca"


@contextmanager
def server(context):
    """Answers every handshake, as uvicorn would, with whatever the context shows by then."""
    listening = socket.create_server(("127.0.0.1", 0))
    ending = threading.Event()

    def serve():
        while not ending.is_set():
            try:
                connection, _ = listening.accept()
                with context.wrap_socket(connection, server_side=True) as wrapped:
                    wrapped.recv(1)
            except OSError:
                continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        ending.set()
        listening.close()


def shown(port, authority, name="127.0.0.1"):
    """The certificate that a client who pins ``authority`` is shown, in DER; raises SSLError if it is not believed."""
    context = ssl.create_default_context(cafile=str(authority))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as plain,
        context.wrap_socket(plain, server_hostname=name) as wrapped,
    ):
        return wrapped.getpeercert(binary_form=True)


def test_who_pins_the_authority_believes_its_servers_under_their_names_only(authority, tmp_path):
    issue(authority, tmp_path, "registry", ["127.0.0.1", "registry.example"])
    with server(RenewingContext(tmp_path / "registry.crt", tmp_path / "registry.key").context) as port:
        assert shown(port, authority / CA_CERT)
        assert shown(port, authority / CA_CERT, "registry.example")
        with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
            shown(port, authority / CA_CERT, "coordinator.example")


def test_another_consortiums_authority_is_not_believed(authority, tmp_path):
    create_authority(tmp_path / "other", "sesame")
    issue(authority, tmp_path, "registry", ["127.0.0.1"])
    with (
        server(RenewingContext(tmp_path / "registry.crt", tmp_path / "registry.key").context) as port,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        shown(port, tmp_path / "other" / CA_CERT)


def test_a_server_cannot_issue_certificates_itself(authority, tmp_path):
    """Whoever holds a leaf's key must not be able to vouch for others."""
    issue(authority, tmp_path, "leaf", ["127.0.0.1"])
    (tmp_path / "rogue").mkdir()
    (tmp_path / "rogue" / CA_CERT).write_bytes((tmp_path / "leaf.crt").read_bytes())
    (tmp_path / "rogue" / CA_KEY).write_bytes((tmp_path / "leaf.key").read_bytes())
    issue(tmp_path / "rogue", tmp_path, "forged", ["127.0.0.1"])
    chain = (tmp_path / "forged.crt").read_bytes() + (tmp_path / "leaf.crt").read_bytes()
    (tmp_path / "forged.crt").write_bytes(chain)
    with (
        server(RenewingContext(tmp_path / "forged.crt", tmp_path / "forged.key").context) as port,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        shown(port, authority / CA_CERT)


def test_a_renewed_certificate_is_shown_without_a_restart(authority, tmp_path):
    issue(authority, tmp_path, "registry", ["127.0.0.1"])
    renewing = RenewingContext(tmp_path / "registry.crt", tmp_path / "registry.key")
    with server(renewing.context) as port:
        first = shown(port, authority / CA_CERT)
        assert not renewing.refresh()
        issue(authority, tmp_path, "registry", ["127.0.0.1"])
        assert renewing.refresh()
        second = shown(port, authority / CA_CERT)
    assert first != second


def test_a_certificate_that_does_not_fit_its_key_is_refused_and_the_old_one_stays(authority, tmp_path):
    issue(authority, tmp_path, "registry", ["127.0.0.1"])
    renewing = RenewingContext(tmp_path / "registry.crt", tmp_path / "registry.key")
    issue(authority, tmp_path, "other", ["127.0.0.1"])
    with server(renewing.context) as port:
        first = shown(port, authority / CA_CERT)
        (tmp_path / "registry.crt").write_bytes((tmp_path / "other.crt").read_bytes())
        with pytest.raises(CertificateRefused, match="cannot be used"):
            renewing.refresh()
        assert shown(port, authority / CA_CERT) == first


def test_lives_are_those_stated(authority, tmp_path):
    begin = datetime(2026, 3, 1, tzinfo=UTC)
    issue(authority, tmp_path, "registry", ["127.0.0.1"], begin)
    assert expires_at(tmp_path / "registry.crt") == begin + LEAF_LIFE
    create_authority(tmp_path / "old", "old", begin - timedelta(days=3640))
    issue(tmp_path / "old", tmp_path, "late", ["127.0.0.1"], begin)
    assert expires_at(tmp_path / "late.crt") == expires_at(tmp_path / "old" / CA_CERT), "no leaf outlives its authority"


def test_keys_are_for_their_owner_only_and_never_made_twice(authority, tmp_path):
    issue(authority, tmp_path, "registry", ["127.0.0.1"])
    for path in (authority / CA_KEY, tmp_path / "registry.key"):
        assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(FleetError, match="already"):
        create_authority(authority, "sesame")


@pytest.mark.parametrize("damage", [None, b"", b"no PEM"])
def test_without_an_authority_nothing_is_issued(authority, tmp_path, damage):
    if damage is None:
        (authority / CA_KEY).unlink()
    else:
        (authority / CA_KEY).write_bytes(damage)
    with pytest.raises(FleetError, match="no certificate authority"):
        issue(authority, tmp_path / "out", "registry", ["127.0.0.1"])
    assert not (tmp_path / "out").exists()
