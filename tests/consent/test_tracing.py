"""Traces: off and absent without a collector; with one, a campaign is one trace, and nobody is in it."""

import subprocess
import sys

import httpx
import pytest
from support.collector import collecting

from consent import tracing
from consent.tracing import ENDPOINTS, accepted, flush, of_campaign, span, traceparent

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
        "import sys, consent.tracing as t\n"
        "with t.span('a', t.of_campaign('4f1c' * 16)): print(repr(t.traceparent()), 'opentelemetry' in sys.modules)"
    )
    environment = {"PATH": "", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
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
    somebody = house.borrowers["aspen"][0].pseudonym
    for target in (f"/v1/subjects/{somebody}", "/healthz"):
        httpx.get(house.url + target, headers={tracing.HEADER: of_campaign(SHA256)})
    httpx.get(house.url + "/healthz")
    flush()
    assert len(collector.spans) == 2, "a request that belongs to no campaign is not traced"
    assert {seen.trace for seen in collector.spans} == {SHA256[:32]}
    assert "GET /healthz" in {seen.name for seen in collector.spans}
    assert somebody.encode() not in collector.raw


def test_a_nodes_calls_carry_the_campaign_to_the_registry(house, collector):
    client = house.client("aspen")
    with span("gate", of_campaign(SHA256)):
        client.campaigns()
    flush()
    names = {seen.name: seen for seen in collector.spans}
    assert names["GET /v1/campaigns"].parent == names["gate"].id
