"""A login at a lender's own front reaches that lender's customer, and nobody and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.identity import Site, bearer
from support.world import GENERAL, PORTAL, trust, trusted_issuer

from consent.identity.devissuer import Authorize, issue_id_token
from consent.identity.errors import IdentityMisconfigured
from consent.identity.settings import load_issuers
from crypto.keys import SigningKey

AT_ASPENS, AT_BIRCHES = "counter-aspen", "counter-birch"


@pytest.fixture
def fronts(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Both lenders have a front at the general issuer."""
    counters = {AT_ASPENS: "aspen", AT_BIRCHES: "birch"}
    general = trusted_issuer(GENERAL, site.general_key, counters=counters)
    monkeypatch.setattr("support.identity.trust", lambda home, *_: trust(home, general))
    site.start()
    return site


def log_in(site: Site, client: str, who: str = "ada", **changes: object) -> dict[str, str]:
    asked = Authorize(subject=who, nonce=site.nonce(), client_id=client)
    return bearer(site.exchange(issue_id_token(site.general_key, GENERAL, asked, **changes)))


def linked(site: Site, who: str = "ada") -> None:
    for lender in ("aspen", "birch"):
        assert site.link(log_in(site, PORTAL, who), site.people[lender][0]).status_code == 201


def test_a_login_at_a_counter_speaks_as_that_lenders_customer_alone(fronts: Site):
    linked(fronts)
    for client, lender in ((AT_ASPENS, "aspen"), (AT_BIRCHES, "birch")):
        mine = log_in(fronts, client)
        expected = {"lender": lender, "pseudonyms": [fronts.people[lender][0].pseudonym]}
        assert fronts.http.get("/v1/me/counter", headers=mine).json() == expected
    recipients = {
        one["recipient"]
        for notice in fronts.http.get("/v1/me/notices", headers=log_in(fronts, AT_ASPENS)).json()["items"]
        for one in notice["questions"]
    }
    assert recipients <= {"aspen"}


def test_whoever_is_no_customer_of_the_counters_lender_is_nobody_there(fronts: Site):
    fronts.link(log_in(fronts, PORTAL, "eve"), fronts.people["birch"][1])
    eve = log_in(fronts, AT_ASPENS, "eve")
    refused = fronts.http.get("/v1/me/counter", headers=eve)
    assert (refused.status_code, refused.json()["reason"]) == (403, "not-linked")


def test_a_counter_sees_makes_and_ends_no_links(fronts: Site):
    linked(fronts)
    found = fronts.http.get("/v1/me/links", headers=log_in(fronts, PORTAL)).json()["links"]
    mine = log_in(fronts, AT_ASPENS)
    assert fronts.http.get("/v1/me/links", headers=mine).status_code == 403
    assert fronts.link(mine, fronts.people["aspen"][2]).status_code == 403
    assert fronts.http.delete(f"/v1/me/links/{found[0]['id']}", headers=mine).status_code == 403


def test_a_login_at_the_portal_is_none_at_a_counter(fronts: Site):
    linked(fronts)
    assert fronts.http.get("/v1/me/counter", headers=log_in(fronts, PORTAL)).status_code == 403


@pytest.mark.parametrize("changes", [{"azp": PORTAL}, {"aud": [AT_ASPENS, AT_BIRCHES]}, {"azp": ""}])
def test_an_id_token_is_for_one_client(fronts: Site, changes: dict[str, object]):
    asked = Authorize(subject="ada", nonce=fronts.nonce(), client_id=AT_ASPENS)
    answer = fronts.exchange(issue_id_token(fronts.general_key, GENERAL, asked, **changes))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"counters": {PORTAL: "aspen"}}, "portal's client_id"),
        ({"counters": {AT_ASPENS: "aspen"}, "lenders": ["birch"]}, "does not speak for"),
        ({"counters": {AT_ASPENS: "nobody-here"}}, "which is not a lender"),
    ],
)
def test_settings_that_make_no_sense_are_refused(site: Site, tmp_path: Path, changes, says):
    trust(tmp_path, trusted_issuer(GENERAL, SigningKey.generate(), **changes))
    with pytest.raises(IdentityMisconfigured, match=says):
        load_issuers(tmp_path, site.registry.consortium)


def test_what_binds_for_good_is_not_done_with_what_a_counter_holds(fronts: Site):
    """The lender's own front has the token of whoever logs in there."""
    linked(fronts)
    headers = log_in(fronts, AT_ASPENS)
    for answer in (
        fronts.http.delete("/v1/me", headers=headers),
        fronts.http.post("/v1/me/keys", json={"token": "a.b.c"}, headers=headers),
    ):
        assert answer.status_code == 403 and "at the portal" in answer.json()["detail"], answer.text
