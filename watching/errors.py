"""Exceptions of watching. Each has one sentence for a person: what happened, where, what to do."""

from crypto.errors import TahiniError


class WatchError(TahiniError):
    """Figures were asked of counts or series that cannot give them."""
