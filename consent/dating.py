"""Documents are handed in on the day on which they say that they were signed."""

from __future__ import annotations

from datetime import datetime, timedelta

from protocol.changes import CLOCK_SKEW
from protocol.errors import Conflict

SIGNED_BEFORE = timedelta(days=1)
"""How long before it is handed in a notice, a campaign or an approval can be signed: what evidence
of a period must tell of goes by these days (``auditlog.pack_others``), and no yes is older than its
notice."""


def require_day(what: str, signed: datetime, moment: datetime) -> None:
    """Raises Conflict: the document says that it is of another time."""
    if not moment - SIGNED_BEFORE <= signed <= moment + CLOCK_SKEW:
        raise Conflict(
            f"{what} says that it was signed at {signed.isoformat()}; it must be handed in within "
            "a day, and not before: check the clock, and sign again"
        )
