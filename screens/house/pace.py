"""How often one visitor may ask: a bucket of calls that fills again with time. Pure but for its
own count."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

PER_MINUTE = 120
"""Pages and forms of one visit: more than people tap, less than a service notices."""


@dataclass
class Pace:
    """What is left of a visitor's calls."""

    per_minute: int = PER_MINUTE
    _left: float = field(init=False)
    _at: datetime | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._left = float(self.per_minute)

    def takes(self, moment: datetime) -> bool:
        """Whether one more is in time; counted if it is."""
        if self._at is not None:
            gone = max(0.0, (moment - self._at).total_seconds())
            self._left = min(self.per_minute, self._left + gone * self.per_minute / 60)
        self._at = moment
        if self._left < 1:
            return False
        self._left -= 1
        return True
