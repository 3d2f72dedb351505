"""Exceptions of the credit model."""

from crypto.errors import TahiniError


class FeatureError(TahiniError):
    """A feature schema or a table does not fit: says which column and what to do."""


class ModelError(TahiniError):
    """A model file or parameter vector does not fit its specification."""
