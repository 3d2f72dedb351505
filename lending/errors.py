"""Exceptions of lending. Each has one sentence for a person: what happened, where, what to do."""

from crypto.errors import TahiniError


class LendingError(TahiniError):
    """Base of everything that lending refuses on purpose."""


class MoneyError(LendingError):
    """An amount or a rate is not whole, not in its range, or would have to be rounded unasked."""


class DateError(LendingError):
    """Days out of order, or a day that a calendar does not have."""


class LawTableError(LendingError):
    """A law table that makes no sense: not dated, two values on one day, a double."""


class LawSilent(LendingError):
    """The law tables say nothing for this day: nothing may rest on them, and nothing does."""


class ProductError(LendingError):
    """A product does not make sense, or asks for what the law of its day forbids."""


class TermsError(LendingError):
    """An amount, a term or a rate that the product does not offer."""


class CostError(LendingError):
    """Cash flows that have no annual cost."""


class AccountError(LendingError):
    """An event that cannot have happened to this loan, or a contract that does not add up; nothing
    changes."""


class PortfolioError(LendingError):
    """Figures were asked of rows that cannot give them: say of which, and what they need."""
