"""Everything that a lender looks at of its model and its loans, at once: what ``tahini desk
monitor`` tells and the office shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from desk.commands.challenge import ChallengerSeen, challengers
from desk.commands.monitor import Watched, monitor
from desk.commands.portfolio import PortfolioSeen, portfolio
from desk.lending_rules import ReleasedRules
from desk.office import Desk
from lending.account.default import Definition
from protocol.errors import NotFound


@dataclass(frozen=True)
class SeenAtWork:
    """One look."""

    model: str
    """By its hash."""
    as_of: date
    watched: Watched
    portfolio: PortfolioSeen
    challengers: list[ChallengerSeen]


def watch(
    desk: Desk, definition: Definition, as_of: date | None = None, lost: Decimal | None = None
) -> SeenAtWork:
    """The desk until a day, today if none is named.

    Args:
        lost: the share of what is owed that is lost of a loan that goes bad.

    Raises:
        NotFound: there is no model that could be watched. Malformed: the day is to come.
    """
    rules = desk.released
    if not isinstance(rules, ReleasedRules) or rules.model is None:
        raise NotFound("this desk has no model that could be watched; people decide")
    scorer = rules.model.scorer
    bins = {table.name: table.missing + 1 for table in scorer.look_up.tables}
    day = desk.now().date() if as_of is None else as_of
    return SeenAtWork(
        scorer.model_sha256,
        day,
        monitor(desk, scorer.model_sha256, bins, definition, day),
        portfolio(desk, definition, day, lost),
        challengers(desk, definition, day),
    )
