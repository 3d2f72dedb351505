"""What the naming service refuses on purpose, and what its clients make of it."""

from __future__ import annotations

from datetime import datetime

from protocol.errors import ConsentError


class QuotaSpent(ConsentError):
    """This lender has named as many people today as it may. ``retry_at`` says when to come back."""

    status = 429
    code = "quota-spent"

    def __init__(self, sentence: str, retry_at: datetime) -> None:
        super().__init__(sentence)
        self.retry_at = retry_at

    def __reduce__(self) -> tuple[type[QuotaSpent], tuple[str, datetime]]:
        """Comes back from another process with the time it was raised with."""
        return type(self), (str(self), self.retry_at)


class VersionGone(ConsentError):
    """There is no such version of the naming keys, or it was retired."""

    status = 404
    code = "no-such-version"


class NamingUnavailable(ConsentError):
    """The naming service does not answer, or cannot log what it would do. Nobody was named."""

    status = 503
    code = "naming-unavailable"
