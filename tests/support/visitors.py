"""People of the portal's tests, and how their consents stand by the registry's own word."""

from __future__ import annotations

from support.portal import Site

from demo.borrowers import DemoBorrower
from protocol.terms import TRAINING_PURPOSE


def standing(site: Site, person: DemoBorrower) -> dict[str, str]:
    """How a person's consents stand by the registry's own word."""
    with_key = site.house.borrower_client(person)
    return {
        one.pii_processing.sensitivity: str(one.event.event_state)
        for one in with_key.my_consents()
        if one.pii_processing.purpose == TRAINING_PURPOSE
    }


def answered(site: Site, answer: str, sensitive: bool) -> list[DemoBorrower]:
    return [one for one in site.house.borrowers["cedar"] if (one.answer, one.sensitive) == (answer, sensitive)]


def who(site: Site, answer: str) -> list[DemoBorrower]:
    return [one for one in site.house.borrowers["cedar"] if one.answer == answer]
