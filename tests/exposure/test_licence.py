"""Nobody is licensed: no server does anything, not even again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.exposure import NAMING_RECIPIENT, NOON, Somebody, TwoServers, consortium

from exposure.amounts import Exposure
from exposure.envelopes import opened
from protocol.errors import NotAllowed
from protocol.exposure import ExposureQuestion
from protocol.parties import Role


@pytest.fixture
def somebody() -> Somebody:
    person = Somebody()
    person.states("aspen", Exposure(1, 100_00))
    return person


@pytest.mark.parametrize("role", [Role.REGISTRY, Role.NAMING])
def test_without_a_licence_no_server_does_anything(somebody: Somebody, role: Role):
    sent = somebody.question("aspen")
    off = TwoServers(consortium(exposure=None))
    token = sent.registry if role is Role.REGISTRY else opened(sent.naming, NAMING_RECIPIENT, sent.operation)
    server = off.registry if role is Role.REGISTRY else off.naming
    with pytest.raises(NotAllowed, match="no licensed operator"):
        server.read(token, ExposureQuestion, NOON)
    first, second = somebody.servers.read(sent)
    order = somebody.servers.at_registry(first)
    done = replace(somebody.servers)
    done.at_naming(second, order)
    done.settle(first)
    for wrong in (
        lambda: off.registry.propose(somebody.servers.registry_book, first, NOON),
        lambda: off.registry.settle(somebody.servers.registry_book, first, NOON),
        lambda: off.naming.follow(somebody.servers.naming_book, second, order, NOON),
        lambda: off.naming.follow(done.naming_book, second, order, NOON),
        lambda: off.registry.repeated(done.registry_book, first, NOON),
    ):
        with pytest.raises(NotAllowed, match="no licensed operator"):
            wrong()
