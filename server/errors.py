"""What can go wrong in this room."""


class CampaignStopped(Exception):
    """A campaign cannot go on. The message says which node or rule stopped it; nothing was released after that."""


class CoordinatorError(Exception):
    """The coordinator's home or input is not in order."""
