"""Exceptions of lending. Each has one sentence for a person: what happened, where, what to do."""

from crypto.errors import TahiniError


class LendingError(TahiniError):
    """Base of everything that lending refuses on purpose."""


class MoneyError(LendingError):
    """An amount or a rate is not whole, not in its range, or would have to be rounded unasked."""


class AccountError(LendingError):
    """An event that cannot have happened to this loan, or a contract that does not add up; nothing
    changes."""


class PortfolioError(LendingError):
    """Figures were asked of rows that cannot give them: say of which, and what they need."""
