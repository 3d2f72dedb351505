"""What of a decision may be told, and the table of what its offer costs."""

from __future__ import annotations

from desk.errors import NotLoggedYet
from desk.office import Desk
from desk.records import Held
from lending.terms.disclosure import DisclosureTable
from protocol.errors import Conflict


def require_effect(found: Held) -> None:
    """Raises NotLoggedYet; Conflict where the decision is void."""
    if found.refused is not None:
        raise Conflict(
            "the decision is void: a consent that it rested on was taken back before it was logged"
        )
    if not found.effective:
        raise NotLoggedYet("the log has not given the decision an index yet; ask again in a second")


def disclosed(desk: Desk, found: Held) -> DisclosureTable:
    """Of an application's newest offer, as of the day of the decision."""
    decision = found.made(desk).decision
    if decision.offer is None:
        raise Conflict("the decision offers nothing")
    return desk.lending.disclosure(decision.offer, desk.day(decision.decided_at))
