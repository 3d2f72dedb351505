"""Exceptions of the demo."""

from crypto.errors import TahiniError


class DemoError(TahiniError):
    """The demo cannot go on; one sentence says what happened and where."""
