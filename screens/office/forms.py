"""What the office's forms send."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from protocol.schema import Pseudonym
from screens.house.forms import OwnForm

MAX_REASONS = 4


class OfficeButton(OwnForm):
    """A form with a button and nothing to fill in."""


class NoForm(OwnForm):
    """Why this lender takes no part."""

    reason: str = Field(min_length=1, max_length=500)


class TicketForm(OwnForm):
    """For whom a ticket is made."""

    pseudonym: Pseudonym


class VerdictForm(OwnForm):
    """What a reviewer decides of a case: reasons a line each, an amount in yuan."""

    outcome: Literal["approve", "decline"]
    reasons: str = Field(max_length=2_000)
    amount: str = Field(default="", pattern=r"^$|^[0-9]{1,9}(\.[0-9]{1,2})?$")
    term_days: str = Field(default="", pattern=r"^$|^[1-9][0-9]{0,4}$")

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(line.strip() for line in self.reasons.splitlines() if line.strip())

    @property
    def fen(self) -> int | None:
        """The amount, if one was said."""
        if not self.amount:
            return None
        yuan, _, rest = self.amount.partition(".")
        return int(yuan) * 100 + int(rest.ljust(2, "0"))

    @property
    def days(self) -> int | None:
        return int(self.term_days) if self.term_days else None


class SecondForm(OwnForm):
    """Whether a second person agrees to what was proposed."""

    agrees: Literal["yes", "no"]
