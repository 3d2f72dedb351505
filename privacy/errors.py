"""Exceptions of differential privacy."""

from crypto.errors import TahiniError


class PrivacyError(TahiniError):
    """A mechanism was asked for something it cannot do privately."""
