"""What can go wrong in this room."""


class PrivacyError(Exception):
    """A mechanism was asked for something it cannot do privately."""
