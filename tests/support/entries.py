"""Entries that a registry let through without a look at them, and the log as its auditor verifies it."""

from __future__ import annotations

from auditlog.audit import verify_log
from auditlog.entries import Entry


def audit(house):
    client = house.founded.auditor(house.url)
    house.clients.append(client)
    house.registry.ledger.catch_up()
    return verify_log(client, client.checkpoint_note(), house.founded.auditor_recipient)


def append(house, *entries: Entry) -> None:
    with house.registry.ledger.write() as session:
        house.registry.ledger.log.append(session, entries)
