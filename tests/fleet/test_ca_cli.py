"""``tahini ca``: an authority, certificates, and until when they are valid."""

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from support.commands import done, refused, tahini, told

from fleet.tls import issue


@pytest.fixture
def authority(tmp_path):
    done("ca", "init", "--ca", tmp_path / "ca", "--name", "sesame")
    return tmp_path / "ca"


def test_an_authority_issues_what_its_pinners_believe(authority, tmp_path):
    hosts = ("--host", "registry.example", "--host", "127.0.0.1")
    assert "valid until" in done("ca", "issue", "registry", "--ca", authority, *hosts, "--to", tmp_path / "tls")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls" / "registry.crt", tmp_path / "tls" / "registry.key")
    assert (tmp_path / "tls" / "registry.key").stat().st_mode & 0o077 == 0
    assert told("ca", "show", tmp_path / "tls" / "registry.crt")["days"] in (89, 90)


def test_one_that_has_expired_is_said_by_the_exit_code(authority, tmp_path):
    issue(authority, tmp_path, "old", ["127.0.0.1"], datetime.now(UTC) - timedelta(days=100))
    assert tahini("ca", "show", tmp_path / "old.crt").exit_code == 3


def test_what_cannot_be_is_refused_in_one_sentence(authority, tmp_path):
    assert "holds a certificate authority already" in refused("ca", "init", "--ca", authority, "--name", "other")
    nowhere = refused("ca", "issue", "x", "--ca", tmp_path / "none", "--host", "a.example")
    assert "is no certificate authority" in nowhere
    (tmp_path / "no.crt").write_text("no", encoding="utf-8")
    assert "is not a certificate" in refused("ca", "show", tmp_path / "no.crt")
