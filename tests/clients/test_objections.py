"""Whoever objects is read by no gate until the objection is closed (异议标注), whatever the node held before."""

from __future__ import annotations

import pytest

from protocol.client.rights import BorrowerRightsClient
from protocol.rights import RequestContent


@pytest.mark.parametrize("features", [(), ("late",)])
def test_who_objects_is_absent_from_the_next_roster_until_they_close_it(active, features):
    active.open_gate(0, "cedar")
    person = active.consenting("cedar")[3]
    assert person.pseudonym in active.members(0, "cedar")
    with BorrowerRightsClient(active.url, active.founded.consortium, person.pseudonym, person.key) as desk:
        asked = RequestContent(kind="object", features=features)
        sha256 = desk.ask("cedar", asked).step.request_sha256
        active.open_gate(1, "cedar")
        assert active.members(1, "cedar") == active.members(0, "cedar") - {person.pseudonym}
        desk.close_request(sha256)
    client = active.client("cedar")
    held = active.node("cedar").consents.sync(client, active.campaign.purpose)
    needs = active.campaign.needs(active.founded.consortium)
    again = held.usable(client.places(active.campaign.sha256), needs).members
    assert person.pseudonym in again, "and is used again afterwards"
