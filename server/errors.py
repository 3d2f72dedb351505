"""Exceptions of the coordinator."""

from crypto.errors import TahiniError


class CampaignStopped(TahiniError):
    """A campaign cannot go on. The message says which node or rule stopped it; nothing was released
    after that."""


class CoordinatorError(TahiniError):
    """The coordinator's home or input is not in order."""
