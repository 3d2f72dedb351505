"""Whoever answers decides neither how long one waits nor how much one holds: on real sockets."""

from __future__ import annotations

import gzip
import ssl
from pathlib import Path

import httpx
import pytest
from support.peers import MEGABYTES, OK, SLOWLY, answering
from support.waiting import until

from auditlog.witnesses import Submitter
from consent.identity.errors import IssuerUnavailable
from consent.identity.jwks import fetch
from crypto.cosignatures import CosigningKey
from crypto.keys import SigningKey
from crypto.merkle import leaf_hash
from crypto.notes import Checkpoint, Verifier, sign_checkpoint
from crypto.policies import Log, Witness, unwitnessed
from fleet.tls import CA_CERT, create_authority, issue
from protocol.bounded import Bounds, Unending, ask, ask_again
from protocol.errors import NotWitnessed, RegistryUnavailable
from protocol.log_client import LogClient, http_client

SOON = Bounds(64 * 1024, 1.0)
LONG = Bounds(64 * 1024, 600.0)
KEY = SigningKey.generate()
LOG = Verifier("log.test/bounded", KEY.public)


@pytest.fixture
def http():
    with httpx.Client(trust_env=False) as client:
        yield client


def hangs_up(peer) -> None:
    until(lambda: peer.hung_up == peer.asked == 1, "the one who asked hung up")


@pytest.mark.parametrize("how", SLOWLY)
def test_an_answer_that_comes_a_byte_at_a_time_ends_when_its_time_is_over(http, how):
    with answering(*SLOWLY[how]) as peer:
        with pytest.raises(Unending, match="does not end in time"):
            ask(http, "GET", peer.url, SOON)
        hangs_up(peer)


@pytest.mark.parametrize("how", ["headers", "until it hangs up"])
def test_over_tls_as_well(tmp_path, how):
    with answering(*SLOWLY[how], tls=spoken(tmp_path)) as peer:
        with http_client("", tmp_path / "ca" / CA_CERT) as http, pytest.raises(Unending, match="does not end in time"):
            ask(http, "GET", peer.url, Bounds(SOON.most, 3.0))
        hangs_up(peer)


def spoken(folder: Path) -> ssl.SSLContext:
    create_authority(folder / "ca", "sesame")
    issue(folder / "ca", folder, "peer", ["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "peer.crt", folder / "peer.key")
    return context


@pytest.mark.parametrize("asking", [ask, ask_again], ids=["alone", "kept"])
@pytest.mark.parametrize("how", MEGABYTES)
def test_an_answer_that_is_longer_than_it_may_be_is_not_read_to_its_end(http, how, asking):
    with answering(*MEGABYTES[how], pace_s=0.0) as peer:
        with pytest.raises(httpx.TransportError) as refused:
            asking(http, "GET", peer.url, LONG)
        assert isinstance(refused.value, Unending) == (how != "headers"), "of headers httpx has a limit of its own"
        hangs_up(peer)


@pytest.mark.parametrize("how", [how for how in SLOWLY if how != "headers"])
def test_on_a_connection_that_is_kept_a_body_has_its_time_too(http, how):
    with answering(*SLOWLY[how]) as peer, pytest.raises(Unending, match="does not end in time"):
        ask_again(http, "GET", peer.url, SOON)


def test_a_few_bytes_that_would_be_very_many_are_not_unpacked(http):
    packed = gzip.compress(bytes(1 << 24))
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    with answering(head + packed) as peer, pytest.raises(httpx.DecodingError, match="compressed"):
        ask(http, "GET", peer.url, LONG)


@pytest.mark.parametrize("asking", [ask, ask_again], ids=["alone", "kept"])
def test_what_is_whole_in_time_and_short_enough_is_handed_on_as_it_came(http, asking):
    body = b"\xff" * SOON.most
    head = b"HTTP/1.1 404 Not Found\r\nX-Said: so\r\nContent-Length: %d\r\n\r\n" % len(body)
    with answering(head + body) as peer:
        answer = asking(http, "POST", peer.url, LONG, content=b"{}", headers={"Content-Type": "x/y"})
    assert (answer.status_code, answer.content, answer.headers["X-Said"]) == (404, body, "so")
    sent = httpx.Client(transport=httpx.MockTransport(lambda asked: httpx.Response(200, json=dict(asked.headers))))
    heard = ask(sent, "POST", "http://peer.test", LONG, content=b"{}", headers={"Content-Type": "x/y"}).json()
    assert (heard["content-type"], heard["accept-encoding"]) == ("x/y", "identity")


def test_a_redirect_is_not_followed(http):
    with answering(OK + b"\r\n") as other:
        moved = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %s\r\n\r\n" % other.url.encode()
        with answering(moved) as peer:
            assert ask(http, "GET", peer.url, LONG).status_code == 302
        assert other.asked == 0


@pytest.mark.parametrize("how", ["headers", "until it hangs up"])
def test_a_witness_that_dribbles_does_not_hold_the_log(http, how):
    checkpoint = Checkpoint(LOG.name, 1, leaf_hash(b"one"))
    witness = CosigningKey.generate("aspen.example/witness")
    with answering(*SLOWLY[how]) as peer:
        asked = Submitter(Witness("aspen", witness.public, peer.url), peer.url, http, LOG.name, LOG, bounds=SOON)
        with pytest.raises(NotWitnessed, match="does not end in time"):
            asked.submit(sign_checkpoint(checkpoint, KEY), checkpoint, lambda *_: [])
        hangs_up(peer)
    assert not asked.busy.locked()


def test_a_registry_that_says_more_than_there_is_to_say_does_not_answer():
    with answering(*MEGABYTES["chunks"], pace_s=0.0) as peer:
        client = LogClient(peer.url, unwitnessed(Log(LOG)), http=httpx.Client(base_url=peer.url, trust_env=False))
        client.bounds = LONG
        with pytest.raises(RegistryUnavailable, match="does not end in time, or is longer than it may be"):
            client.head()
        client.close()
        hangs_up(peer)


def test_an_issuer_that_dribbles_lets_nobody_in(monkeypatch):
    monkeypatch.setattr("consent.identity.jwks.ANSWER", SOON)
    with answering(*SLOWLY["headers"]) as peer, pytest.raises(IssuerUnavailable, match="too slowly"):
        fetch(peer.url)
