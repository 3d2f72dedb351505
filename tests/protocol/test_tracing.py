"""Traces: off and absent without a collector; with one, a campaign is one trace, and nobody is in it."""

import subprocess
import sys

import httpx
import pytest
from support.collector import collecting

from protocol import tracing
from protocol.errors import ConsentError
from protocol.tracing import ENDPOINTS, accepted, flush, of_campaign, span, traceparent

SHA256 = "4f1c" * 16


@pytest.fixture
def collector(monkeypatch):
    with collecting() as opened:
        monkeypatch.setenv(ENDPOINTS[0], opened.url)
        monkeypatch.setattr(tracing._Tracing, "provider", None)
        tracing.begin("test", "aspen")
        yield opened
        flush()


def test_without_a_collector_nothing_is_imported_and_nothing_travels():
    script = (
        "import sys, protocol.tracing as t\n"
        "with t.span('a', t.of_campaign('4f1c' * 16)): print(repr(t.traceparent()), 'opentelemetry' in sys.modules)"
    )
    environment = {"PATH": "", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True, encoding="utf-8"
    )
    assert done.stdout == "'' False\n"


def test_spans_of_a_campaign_are_one_tree_whose_id_is_the_campaigns(collector):
    with span("campaign", of_campaign(SHA256)):
        with span("release", release=3, kind="train"):
            inner = traceparent()
        outer = traceparent()
    assert traceparent() == ""
    flush()
    release, campaign = collector.spans
    assert (campaign.name, campaign.trace, campaign.parent) == ("campaign", SHA256[:32], SHA256[32:48])
    assert (release.trace, release.parent) == (campaign.trace, campaign.id)
    assert release.attributes == {"tahini.release": "3", "tahini.kind": "train"}
    assert inner == f"00-{SHA256[:32]}-{release.id}-01"
    assert outer == f"00-{SHA256[:32]}-{campaign.id}-01"
    assert (release.service, release.instance) == ("tahini-test", "aspen")


def test_what_no_campaign_asked_for_is_not_traced(collector):
    with span("request"):
        assert traceparent() == ""
    flush()
    assert collector.spans == []


def test_an_error_is_told_by_its_kind_alone(collector):
    with pytest.raises(ValueError, match="Ann"), span("rows", of_campaign(SHA256)):
        raise ValueError("Ann's income is 3000")
    flush()
    assert [seen.status for seen in collector.spans] == ["ValueError"]
    assert b"Ann" not in collector.raw


@pytest.mark.parametrize("text", ["", "00-0-0-01", f"00-{'g' * 32}-{'0' * 16}-01", of_campaign(SHA256) + "-x", None, 7])
def test_what_is_no_traceparent_is_nothing(text):
    assert accepted(text) == ""
    assert accepted(of_campaign(SHA256)) == of_campaign(SHA256)


def test_the_registry_names_a_request_by_its_route_and_nobody_in_it(house, collector):
    person = house.borrowers["aspen"][0]
    client = house.client("aspen")
    with span("gate", of_campaign(SHA256)):
        client._send("GET", "/v1/campaigns?limit=7")
        with pytest.raises(ConsentError):
            client._send("GET", f"/v1/campaigns/{person.pseudonym}")
    flush()
    names = {seen.name for seen in collector.spans}
    assert {"GET /v1/campaigns", "GET /v1/campaigns/{sha256}"} <= names
    assert person.pseudonym.encode() not in collector.raw


def test_borrowers_and_strangers_are_not_traced_whatever_header_comes_with_them(house, collector):
    mine = house.borrower_client(house.borrowers["aspen"][0])
    with span("outside", of_campaign(SHA256)):
        mine._send("GET", "/v1/me/consents")
    httpx.get(house.url + "/healthz", headers={tracing.HEADER: of_campaign(SHA256)})
    flush()
    assert [seen.name for seen in collector.spans] == ["outside"]


def test_a_collector_whose_settings_are_wrong_stops_nothing(collector, monkeypatch):
    def refuse():
        raise ValueError("no number")

    monkeypatch.setattr(tracing, "_made", refuse)
    monkeypatch.setattr(tracing._Tracing, "broken", False)
    with span("campaign", of_campaign(SHA256)):
        assert traceparent() == ""
    assert tracing._Tracing.broken


def test_a_nodes_calls_carry_the_campaign_to_the_registry(house, collector):
    client = house.client("aspen")
    with span("gate", of_campaign(SHA256)):
        client.campaigns()
    flush()
    names = {seen.name: seen for seen in collector.spans}
    assert names["GET /v1/campaigns"].parent == names["gate"].id
